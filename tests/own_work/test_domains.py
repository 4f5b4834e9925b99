"""Domain adaptation of one's own: pictures, parts, schedule and the end of a training, each in a short script."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def draw_bars(number, seed):
    """Vertical bars at one of four places on 16 x 20 grey pictures, uint8, and the places."""
    random = np.random.default_rng(seed)
    places = random.integers(0, 4, number)
    pictures = random.integers(0, 60, (number, 16, 20)).astype(np.uint8)
    for picture, place in zip(pictures, places, strict=True):
        picture[2:14, 5 * place + 1 : 5 * place + 4] = 220
    return pictures, places


def test_parts_and_a_schedule_of_one_s_own_on_grey_arrays():
    source, labels = draw_bars(160, 0)
    target, answers = draw_bars(160, 1)
    target = (0.6 * target + 60).astype(np.uint8)

    from torch import nn

    from dlapps import dann

    layers = [nn.InstanceNorm2d(1), nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten()]
    network = dann.DomainAdversarialNetwork(
        0, num_classes=4, feature_extractor=nn.Sequential(*layers), input_shape=(1, 16, 20)
    )
    settings = dann.Settings(num_epochs=6, batch_size=16, learning_rate=0.05, schedule=lambda p: 0.3 * p**2)
    history = dann.fit_dann(network, source, list(labels), target, settings)
    features = dann.predict(network.feature_extractor, target)

    assert features.shape == (160, 64)
    assert history.reversal_weight[-1] == pytest.approx(0.3)
    assert dann.accuracy(network, target, list(answers)) > 0.9
    assert dann.health(history).startswith("aligned: class loss 0.0")


def test_a_monitor_prints_stops_and_the_training_goes_on_later(capsys):
    source, labels = draw_bars(64, 0)
    target, _ = draw_bars(64, 1)

    from dataclasses import replace

    from dlapps import dann

    def watch(network, epoch):
        print("epoch", epoch)
        if epoch == 2:
            raise dann.Stop

    network = dann.DomainAdversarialNetwork(0, num_classes=4, input_shape=(3, 16, 20))
    settings = dann.Settings(num_epochs=5, batch_size=16)
    stopped = dann.fit_dann(network, source, labels, target, settings, monitor=watch, checkpoint="ck.pt")
    longer = replace(settings, num_epochs=6)
    history = dann.fit_dann(network, source, labels, target, longer, checkpoint="ck.pt", extend=True)

    assert capsys.readouterr().out.split() == ["epoch", "0", "epoch", "1", "epoch", "2"]
    assert len(stopped.class_loss) == 3
    assert len(history.class_loss) == 6
    assert history.class_loss[:3] == stopped.class_loss


def test_a_target_that_was_not_reached_says_so():
    source, labels = draw_bars(160, 0)

    from dlapps import dann

    network = dann.DomainAdversarialNetwork(0, num_classes=4, input_shape=(3, 16, 20))
    settings = dann.Settings(num_epochs=6, batch_size=16, learning_rate=0.02)
    history = dann.fit_dann(network, source, labels, 255 - source, settings)

    assert dann.accuracy(network, source, labels) > 0.9
    assert dann.accuracy(network, 255 - source, labels) < 0.6
    assert dann.health(history).startswith("the domains are told apart: ")


def test_what_no_history_shows_is_said_in_its_words():
    """The target's classes are the source's, mixed up: nothing but labels could tell."""
    source, labels = draw_bars(160, 0)
    target, places = draw_bars(160, 1)

    from dlapps import dann

    network = dann.DomainAdversarialNetwork(0, num_classes=4, input_shape=(3, 16, 20))
    settings = dann.Settings(num_epochs=6, batch_size=16, learning_rate=0.02)
    verdict = dann.health(dann.fit_dann(network, source, labels, target, settings))

    assert dann.accuracy(network, target, (places + 1) % 4) < 0.1
    assert verdict.startswith("aligned")
    assert "classes may still be mixed up" in verdict


def test_a_picture_s_gradient_of_one_s_own_step_is_reversed():
    from dlapps import dann

    network = dann.DomainAdversarialNetwork(0)
    pixels = torch.rand(4, 3, 28, 28, requires_grad=True)
    features = network.feature_extractor(pixels)
    gradients = [
        torch.autograd.grad(network.domain_classifier(passed).sum(), pixels, retain_graph=True)[0]
        for passed in (features, dann.GradientReversal.apply(features, 0.7))
    ]

    torch.testing.assert_close(gradients[1], -0.7 * gradients[0])
