"""The automatic checks of a class: each passes what is right and finds its mistake."""

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
from dlapps import dann, gan, pretrained, saliency
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
    pixels = torch.zeros(1, 3, 2, 2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    with pytest.raises(AssertionError, match=missing):
        checks.run(visualizing.maps, {"network": network, "pixels": pixels})
    failed = r"as the exercise asks for them,\sgot\sTypeError:\s"
    with pytest.raises(AssertionError, match=failed):
        checks.run(transfer.mistakes, {"rows": None})


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


def gradient(score, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(score(x).sum(), x)[0]


def test_visualizing_knows_the_gradient_of_the_score():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten())
    network.append(nn.Linear(400, 5)).eval()
    pixels = torch.rand(3, 3, 12, 12)
    trap = {"gradient": lambda score, x: -gradient(score, x)}
    finds(visualizing.gradient, trap, pixels=pixels, gradient=gradient)
    maps = saliency.input_gradient(network, pixels)
    predicted = network(pixels).argmax(1)
    of_loss = gradient(lambda x: F.cross_entropy(network(x), predicted), pixels)
    signed = gradient(lambda x: network(x).amax(1), pixels)
    wrong_maps = (maps[:, None], -maps, of_loss.abs().amax(1), signed.amax(1))
    traps = [{"maps": wrong} for wrong in wrong_maps]
    finds(visualizing.maps, *traps, network=network, pixels=pixels, maps=maps)


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


def test_domains_know_the_sign_of_the_reversed_gradient():
    def reverse(sign):
        return SimpleNamespace(
            apply=lambda x, weight: GradientReversal.apply(x, sign * weight)
        )

    traps = [{"Reverse": reverse(-1)}, {"Reverse": reverse(0)}]
    finds(domains.reversal, *traps, Reverse=reverse(1))


def test_domains_know_the_losses_of_a_batch():
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


def test_generation_knows_the_loss_that_does_not_saturate():
    def saturating(discriminator, fake):
        return F.logsigmoid(-discriminator(fake)).mean()

    def non_saturating(discriminator, fake):
        return -F.logsigmoid(discriminator(fake)).mean()

    right = {"points": torch.randn(32, 2), "generator_loss": non_saturating}
    finds(generation.generator_step, {"generator_loss": saturating}, **right)


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
