"""The automatic checks of a class: each passes what is right and finds its mistake."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC
from torch import nn

import checks
from checks import domain_adaptation as domains
from checks import generative_adversarial_networks as generation
from checks import transfer_learning as transfer
from checks import visualizing_networks as visualizing
from dlapps import adversarial, dann, gan, pretrained, saliency
from dlapps.dann import GradientReversal

torch.set_num_threads(1)
SENTENCE = r"^expected [^\n]+, got [^\n]+: [^\n]+[^.]\.$"


def finds(check, *traps, **right):
    """Assert that a check passes what is right, and finds the mistake of each trap."""
    checks.run(check, right)
    for trap in traps:
        with pytest.raises(AssertionError, match=SENTENCE):
            check(checks.Variables({**right, **trap}))


def test_what_a_check_cannot_look_at_is_a_sentence_too():
    missing = "expected `maps`, got no such variable: the exercise"
    with pytest.raises(AssertionError, match=missing):
        checks.run(visualizing.maps, {"pixels": torch.zeros(1, 3, 2, 2)})
    failed = r"as the exercise asks for them,\sgot\sTypeError:\s"
    with pytest.raises(AssertionError, match=failed):
        checks.run(transfer.baseline, {"y_train": None, "y_test": []})


def test_transfer_finds_a_normalisation_left_in_and_a_mode_never_changed(monkeypatch):
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, bias=False))
    nn.init.constant_(module[1].weight[0], 1.0)
    nn.init.zeros_(module[1].weight[1])
    network = pretrained.wrap(module, (0.9, 0.9, 0.9), (0.1, 0.1, 0.1), input_size=2)
    monkeypatch.setattr(pretrained, "load", lambda name: network)
    photos = SimpleNamespace(images=[np.full((2, 2, 3), 128, np.uint8)] * 4)
    row = {"pixels 0 to 1": 3, "pixels 0 to 255": 3, "training mode": 0}
    right = {"photos": photos, "truths": torch.tensor([0, 0, 0, 1]), "rows": [row, row]}
    traps = []
    for column, wrong in (("pixels 0 to 1", 1), ("pixels 0 to 255", 4)):
        traps.append({"rows": [row | {column: wrong}, row]})
    traps.append({"rows": [row, row | {"training mode": 15}]})
    finds(transfer.mistakes, *traps, **right)
    with pytest.raises(AssertionError, match=r"KeyError:\s'pixels 0 to 255'"):
        checks.run(transfer.mistakes, right | {"rows": [{"pixels 0 to 1": 3}, row]})


def test_transfer_finds_what_spoils_an_accuracy():
    y = np.arange(4485) % 3
    X = np.eye(3)[y]
    X[1500:1600] = np.eye(3)[0]  # test pictures that look like others
    svm = LinearSVC(random_state=0).fit(X[:1500], y[:1500])
    unseeded = LinearSVC(random_state=None).fit(X[:1500], y[:1500])
    right = {
        "X_train": X[:1500],
        "y_train": y[:1500],
        "X_test": X[1500:],
        "y_test": y[1500:],
        "baseline": svm,
        "baseline_accuracy": svm.score(X[1500:], y[1500:]),
    }
    traps = [
        {"baseline_accuracy": svm.score(X[:1500], y[:1500])},
        {"baseline": unseeded},
    ]
    traps += [{"y_test": y[1501:]}, {"X_test": 3 * X[1500:]}, {"X_test": 0 * X[1500:]}]
    finds(transfer.baseline, *traps, **right)


def test_transfer_finds_a_cost_chosen_on_the_test_pictures():
    # What is learnt from noisy labels is wrong for the test pictures, the more so the
    # larger C is.
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 20))
    y = (X[:, 0] + 2 * random.normal(size=200) > 0).astype(int)
    split = (X[:60], y[:60], X[60:], y[60:])
    scenes = SimpleNamespace(split=lambda recipe: split)
    search = GridSearchCV(LinearSVC(random_state=0), {"C": [1, 3, 10, 30]}, cv=5)
    chosen = search.fit(X[:60], y[:60]).predict(X[60:]) == y[60:]
    other = LinearSVC(C=1e-4, random_state=0).fit(X[:60], y[:60])
    answers = other.predict(X[60:]) == y[60:]
    assert answers.mean() != chosen.mean()
    right = {"scenes": scenes, "seed": 0, "pool3": chosen, "pool5": chosen}
    finds(transfer.layers, {"pool3": answers}, {"pool5": answers}, **right)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 5),
        )
        network.requires_grad_(False).eval()
        network.class_names = ["spoonbill", *"abcd"]
        return network


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def gradient(score, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(score(x).sum(), x)[0]


def test_visualizing_knows_the_gradient_of_the_score(network, pixels):
    right = {"network": network, "pixels": pixels}
    traps = [
        {"gradient": lambda score, x: -gradient(score, x)},
        {"network": copy.deepcopy(network).train()},
        {"network": copy.deepcopy(network).requires_grad_()},
    ]
    finds(visualizing.gradient, *traps, **right, gradient=gradient)
    maps = saliency.input_gradient(network, pixels)
    predicted = network(pixels).argmax(1)
    of_loss = gradient(lambda x: F.cross_entropy(network(x), predicted), pixels)
    wrong_maps = (maps[:, None], -maps, maps[:2], of_loss.abs().amax(1))
    traps = [{"maps": wrong} for wrong in wrong_maps]
    finds(visualizing.maps, *traps, **right, maps=maps)


def test_visualizing_knows_maps_that_are_another_or_all_one():
    network = pretrained.load("squeezenet1_1")
    photos = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([2, 0, 1, 3])
    right = {"network": network, "four": photos, "classes": classes}
    cam = saliency.grad_cam(network, photos, "backbone.features.12", classes)
    traps = []
    for wrong in (cam[:1].repeat(4, 1, 1), cam[:3], 1 - cam):
        traps.append({"cam": wrong})
    finds(visualizing.cam, *traps, **right, cam=cam)


def test_visualizing_finds_images_that_no_file_can_hold(network, pixels):
    fooled = adversarial.fool(network, pixels, 3)
    right = {"network": network, "target": 3, "goose": pixels[:1]}
    traps = [{"by_logit": fooled.images[:1]}]
    traps_of_all = []
    for wrong in (fooled.images + 0.5, pixels):
        traps.append({"by_logit": torch.cat([pixels[:1], wrong[:1]])})
        traps_of_all.append({"fooled": replace(fooled, images=wrong)})
    path = torch.cat([pixels[:1], fooled.images[:1]])
    finds(visualizing.climb, *traps, **right, by_logit=path)
    finds(visualizing.fool_all, *traps_of_all, **right, fooled=fooled)


def test_visualizing_finds_drawings_that_do_not_climb(network, pixels):
    ascent = gradient(lambda x: network(x)[:, 0], pixels).sign()
    climbed = (pixels + 0.1 * ascent).clamp(0, 1)

    def draw_to(end):
        return lambda x, label, steps: torch.cat([x] * steps + [end[:1]])

    right = {"network": network, "wombat": 0, "noise": pixels[:1]}
    right["draw"] = draw_to(climbed)
    traps = [{"draw": draw_to(pixels)}, {"draw": draw_to(2 * climbed)}]
    traps.append({"draw": lambda x, label, steps: climbed[:1]})
    finds(visualizing.draw_loop, *traps, **right)


def test_domains_know_the_sign_of_the_reversed_gradient():
    def reverse(sign):
        return SimpleNamespace(
            apply=lambda x, weight: GradientReversal.apply(x, sign * weight)
        )

    cut = SimpleNamespace(apply=lambda x, weight: x.detach() * weight)
    wrong_layers = (reverse(-1), reverse(0), cut, nn.Identity)
    traps = [{"Reverse": wrong} for wrong in wrong_layers]
    finds(domains.reversal, *traps, Reverse=reverse(1))


def test_losses_of_a_batch_and_of_pseudo_labels_are_recomputed():
    digits, pictures = torch.randint(256, (2, 8, 28, 28), dtype=torch.uint8)
    labels = torch.arange(8)
    right = {"digits": digits, "pictures": pictures, "labels": labels}
    right["make_network"] = lambda: dann.DomainAdversarialNetwork(0)
    source = dann.batch_to_pixels(digits)
    target = dann.batch_to_pixels(pictures)

    def losses(network, here, there, weight):
        return dann.dann_losses(network, source, target, labels, weight)[:2]

    def swapped(network, here, there, weight):
        return losses(network, here, there, weight)[::-1]

    finds(domains.losses, {"losses": swapped}, losses=losses, **right)
    logits = torch.diag(torch.tensor([9.0, 9.0, 1.0]))
    right = {"logits": logits, "confidence": logits.softmax(1).amax(1)}
    right["pseudo_labels"] = torch.arange(3)
    right["right"] = torch.tensor([True, False, True])
    right["thresholds"] = [0.0, 0.9]
    right["kept"] = [1.0, 2 / 3]
    right["correct"] = [2 / 3, 1 / 2]
    traps = [{"confidence": logits.amax(1)}, {"correct": [2 / 3, 1 / 3]}]
    traps.append({"pseudo_labels": torch.tensor([0, 0, 2])})
    traps.append({"kept": [1.0, 1.0]})
    finds(domains.pseudo_labels, *traps, **right)


def test_domains_find_networks_that_did_not_learn_chosen_epochs_and_other_layers():
    digits = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
    labels = np.arange(40) % 10
    fresh, baseline, adapted = (dann.DomainAdversarialNetwork(seed=0) for _ in range(3))
    for network, epochs in ((baseline, 1), (adapted, 2)):
        settings = replace(dann.PAPER, num_epochs=epochs)
        dann.fit_source_only(network, digits, labels, settings)
    right = {
        "make_network": lambda: dann.DomainAdversarialNetwork(seed=0),
        "test_images": digits,
        "test_labels": labels,
        "baseline": baseline,
        "before": dann.accuracy(baseline, digits, labels),
    }
    other = dann.DomainAdversarialNetwork(seed=0, normalisation=nn.Identity())
    traps = {"before": 0.99}, {"baseline": fresh}, {"baseline": other}
    finds(domains.baseline, *traps, **right)
    traps = ({"adapted": wrong} for wrong in (fresh, baseline, other))
    finds(domains.adaptation, *traps, adapted=adapted, **right)


def test_generation_plays_the_game_again():
    def descend(loss, optimiser):
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def pile_up(loss, optimiser):
        loss.backward()
        optimiser.step()

    def play(generator_rate, discriminator_rate):
        cloud = torch.zeros(500, 2)
        landscape = torch.full((60, 60), 0.5)
        return {50: (cloud, landscape), 1000: (cloud, landscape)}

    def play_on(generator_rate, discriminator_rate):
        game = play(generator_rate, discriminator_rate)
        cloud, landscape = game[1000]
        return game | {1000: (cloud + 1, landscape)}

    def play_logits(generator_rate, discriminator_rate):
        cloud, landscape = play(generator_rate, discriminator_rate)[50]
        return dict.fromkeys([50, 1000], (cloud, landscape - 2))

    def play_once(generator_rate, discriminator_rate):
        return {50: play(generator_rate, discriminator_rate)[50]}

    finds(generation.descend, {"descend": pile_up}, descend=descend)
    traps = [{"play": trap} for trap in (play_on, play_logits, play_once)]
    right = {"MOMENTS": (50, 1000), "play": play}
    finds(generation.loop, *traps, **right)


def test_generation_computes_losses_and_scores_again():
    right = {"points": torch.randn(32, 2)}

    def loss(discriminator, real, fake):
        of_real = F.logsigmoid(discriminator(real))
        return -of_real.mean() - F.logsigmoid(-discriminator(fake)).mean()

    def alone(discriminator, real, fake):
        return loss(discriminator, real, real)

    def detached(discriminator, real, fake):
        return loss(discriminator, real, fake.detach())

    def saturating(discriminator, fake):
        return F.logsigmoid(-discriminator(fake)).mean()

    def non_saturating(discriminator, fake):
        return -F.logsigmoid(discriminator(fake)).mean()

    right["discriminator_loss"] = detached
    right["generator_loss"] = non_saturating
    traps = [{"discriminator_loss": loss}, {"discriminator_loss": alone}]
    finds(generation.discriminator_step, *traps, **right)
    trap = {"generator_loss": saturating}
    finds(generation.generator_step, trap, **right)
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 30, 2, generator=generator)
    precision, recall = gan.precision_recall(real, fake, k=3)
    right = {"precision": precision, "recall": recall}
    traps = [{name: 0} for name in right]
    features = {"real_features": real, "sample_features": fake}
    finds(generation.measures, *traps, **features, **right)


def test_generation_knows_shares_and_flows_that_were_never_computed():
    def precision(points, others):
        return gan.precision_recall(others, points)[0]

    def recall(points, others):
        return gan.precision_recall(others, points)[1]

    def to_the_nearest_but_one(points, others):
        return gan.precision_recall(others, points, k=2)[0]

    traps = [{"inside": trap} for trap in (recall, to_the_nearest_but_one)]
    finds(generation.inside, *traps, inside=precision)

    def flow_loss(velocity, noise, data, times):
        between = (1 - times) * noise + times * data
        return F.mse_loss(velocity(between, times), data - noise)

    def turned(velocity, noise, data, times):
        return flow_loss(velocity, data, noise, times)

    def from_noise(velocity, noise, data, times):
        return F.mse_loss(velocity(noise, times), data - noise)

    def of_the_norm(velocity, noise, data, times):
        return 2 * flow_loss(velocity, noise, data, times)

    traps = [{"flow_loss": trap} for trap in (turned, from_noise, of_the_norm)]
    finds(generation.flow_loss, *traps, flow_loss=flow_loss)
    for trap, why in ((turned, "turned round"), (of_the_norm, "and coordinates")):
        with pytest.raises(AssertionError, match=why):
            checks.run(generation.flow_loss, {"flow_loss": trap})
