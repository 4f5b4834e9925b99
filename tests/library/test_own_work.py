"""Work of a user's own that no chapter does: short scripts."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from conftest import draw_bars
from torch import nn

from dlapps import adversarial, dann, datasets, gan, pretrained, saliency
from dlapps.class_visualization import visualize
from dlapps.core.classifier import fit_classifier
from dlapps.core.images import from_pixels
from dlapps.core.runtime import drawn_from
from dlapps.gan import flow

torch.set_num_threads(1)


def test_a_network_of_timm_reads_pixels():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    names = ["tabby", "crane", "fox"]

    torch.manual_seed(0)
    module = timm.create_model("resnet10t", num_classes=3)
    network = pretrained.wrap(module, class_names=names, input_size=64)
    maps = saliency.grad_cam(network, pictures, "layer4", targets=2)
    fooled = adversarial.fool(network, pictures, [0, 1, 2], step_size=1.0)

    again = saliency.grad_cam(network, pictures, "backbone.layer4", targets=2)
    assert torch.equal(maps, again)
    assert network.classify(fooled.images) == names
    assert fooled.success.all()


def draw_pictures(number, seed):
    """Vertical bars at one of four places on 16 x 20 grey pictures, uint8, and the
    places.
    """
    random = np.random.default_rng(seed)
    places = random.integers(0, 4, number)
    noise = random.integers(0, 60, (number, 16, 20))
    bars = draw_bars(5 * places + 1, slice(2, 14), 3, (16, 20))
    return np.where(bars, 220, noise).astype(np.uint8), places


class BarsNetwork(nn.Module):
    num_classes = 4

    def __init__(self):
        super().__init__()
        self.feature_extractor = nn.Sequential(
            nn.InstanceNorm2d(3),
            nn.Conv2d(3, 8, 5, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((1, 8)),
            nn.Flatten(),
        )
        self.label_predictor = dann.layers.LabelPredictor(64, num_classes=4)
        self.domain_classifier = dann.layers.DomainClassifier(64)

    def forward(self, pixels):
        return self.label_predictor(self.feature_extractor(pixels))


def test_parts_and_a_schedule_of_one_s_own_on_grey_arrays():
    source, labels = draw_pictures(160, 0)
    target, answers = draw_pictures(160, 1)
    target = (0.6 * target + 60).astype(np.uint8)

    with drawn_from(0):
        network = BarsNetwork()
    settings = dann.Settings(num_epochs=6, batch_size=16, learning_rate=0.05)
    settings = replace(settings, schedule=lambda progress: 0.3 * progress**2)
    history = dann.fit_dann(network, source, list(labels), target, settings)
    assert history.reversal_weight[-1] == pytest.approx(0.3)
    assert dann.accuracy(network, target, list(answers)) > 0.9
    assert history.class_loss[-1] < 0.1


def test_a_target_that_was_not_reached_says_so():
    source, labels = draw_pictures(160, 0)
    source = np.pad(source, ((0, 0), (6, 6), (4, 4)))
    network = dann.DomainAdversarialNetwork(0, num_classes=4)
    settings = dann.Settings(num_epochs=6, batch_size=16, learning_rate=0.02)
    with pytest.warns(UserWarning, match="a domain classifier that is sometimes wrong"):
        history = dann.fit_dann(network, source, labels, 255 - source, settings)
    assert dann.accuracy(network, source, labels) > 0.9
    assert dann.accuracy(network, 255 - source, labels) < 0.6
    assert history.domain_accuracy[-1] > 0.95


def small_network():
    torch.manual_seed(0)
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return pooled.extend([nn.Flatten(), nn.Linear(4, 3)]).eval()


def fit_small(labels, num_epochs=2):
    network = small_network()
    fit_classifier(network, PIXELS, labels, num_epochs, {network: 0.01})


def diverged_network():
    network = small_network()
    nn.init.constant_(network[-1].bias, float("nan"))
    return network


PIXELS = torch.full((2, 3, 16, 16), 0.5)
LEVELS = np.full((2, 28, 28), 200, np.uint8)
REFUSED = [
    lambda: adversarial.pgd(diverged_network(), PIXELS, 0.1, labels=1),
    lambda: adversarial.fool(small_network(), PIXELS, None),
    lambda: fit_small([0, -100]),
    lambda: dann.fit_source_only(dann.DomainAdversarialNetwork(0), LEVELS, [1, 10]),
    lambda: fit_small([0, 1], num_epochs=0),
    lambda: pretrained.wrap("resnet18"),
    lambda: pretrained.wrap(pretrained.wrap(small_network())),
    lambda: pretrained.wrap(small_network()).predict(PIXELS, k=2.5),
    lambda: pretrained.wrap(small_network(), class_names="abcdefgh").predict(PIXELS),
    lambda: from_pixels(255 * PIXELS),
    lambda: from_pixels(PIXELS * torch.nan),
    lambda: gan.to_uint8(PIXELS[:, :1] * 255),
    lambda: gan.to_uint8(PIXELS[:, :1] * torch.nan),
    lambda: gan.Settings(loss="saturated"),
    lambda: gan.Settings(batch_size=0),
    lambda: gan.load("wgan"),
    lambda: datasets.load_mnist("val"),
    lambda: dann.load_trained("improved"),
    lambda: dann.fit_source_only(nn.Linear(4, 2), LEVELS, [0, 1]),
    lambda: dann.fit_dann(nn.Linear(4, 2), LEVELS, [0, 1], LEVELS),
    lambda: flow.FlowSettings(num_epochs=0),
    lambda: flow.sample(flow.VelocityNetwork(), [10]),
    lambda: flow.sample(flow.VelocityNetwork(), [1], num_steps=0),
    lambda: fit_small([0, 1], num_epochs=1),
    lambda: visualize(small_network(), 0, size=0),
]


@pytest.mark.parametrize("call", REFUSED)
def test_what_would_give_a_silent_wrong_result_is_one_sentence(call):
    with pytest.raises(ValueError, match=r"^expected [^\n]*; [^\n]*$"):
        call()


def test_files_of_ones_own_are_not_taken_for_the_library_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("results", "networks"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "flow.pt").write_bytes(b"mine")
    assert flow.load_best().settings == flow.STANDARD
