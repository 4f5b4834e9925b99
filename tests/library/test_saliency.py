"""Saliency maps against captum, against gradients worked out by hand, and what must
hold for every method.
"""

import copy
from functools import partial

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from dlapps import saliency
from dlapps.core import class_scores

torch.set_num_threads(1)

# More samples than a network reads in one pass, once CHUNK_PIXELS is 1.
SAMPLES = class_scores.CHUNK + 1
METHODS = {
    "input_gradient": saliency.input_gradient,
    "smooth_grad": partial(saliency.smooth_grad, num_samples=SAMPLES),
    "integrated_gradients": partial(saliency.integrated_gradients, num_steps=SAMPLES),
    "grad_cam": partial(saliency.grad_cam, layer="3"),
    "guided_backprop": saliency.guided_backprop,
}
each_method = pytest.mark.parametrize("explain", METHODS.values(), ids=METHODS)


def make_network(channels=3):
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(channels, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*convolutions, nn.Linear(8 * 4 * 4, 5)).eval()


@pytest.fixture
def network():
    return make_network()


@pytest.fixture
def images():
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def targets():
    return torch.tensor([0, 3, 2, 4])


def close(first, second, tolerance=1e-4):
    torch.testing.assert_close(first, second, atol=tolerance, rtol=tolerance)


def test_gradients_agree_with_captum(network, images, targets):
    peer = captum.attr.Saliency(network)
    theirs = peer.attribute(images.clone().requires_grad_(), target=targets)
    close(saliency.input_gradient(network, images, targets), theirs.amax(1))


def test_smooth_grad_agrees_with_captum_without_noise(network, images, targets):
    peer = captum.attr.NoiseTunnel(captum.attr.Saliency(network))
    leaf = images.clone().requires_grad_()
    theirs = peer.attribute(leaf, stdevs=0.0, target=targets, abs=False)
    found = saliency.smooth_grad(network, images, targets, noise_std=0.0)
    close(found, theirs.abs().amax(1))


def test_smooth_grad_averages_gradients_with_their_signs():
    class Bowl(nn.Module):  # a slope of either sign around a grey of .5
        def forward(self, x):
            score = (x - 0.5).square().sum((1, 2, 3))
            return torch.stack([score, -score], 1)

    grey = torch.full((1, 3, 12, 12), 0.5)
    found = saliency.smooth_grad(Bowl().eval(), grey, 0, 0.1, num_samples=400)
    assert found.max() < 0.05  # the mean of absolute slopes is .16


def test_integrated_gradients_agree_with_captum_and_are_complete(
    network, images, targets
):
    peer = captum.attr.IntegratedGradients(network)
    theirs = peer.attribute(images, target=targets, n_steps=20).sum(1)
    integrate = partial(saliency.integrated_gradients, network, images, targets)
    close(integrate(num_steps=20), theirs)
    gained = network(images) - network(torch.zeros_like(images))
    scores = class_scores.pick(gained.detach(), targets)
    close(integrate(num_steps=200).sum((1, 2)), scores, 1e-2)


def test_grad_cam_agrees_with_captum(network, images, targets):
    peer = captum.attr.LayerGradCam(network, network[3])
    theirs = peer.attribute(images, target=targets, relu_attributions=True).detach()
    large = captum.attr.LayerAttribution.interpolate(theirs, (12, 12), "bilinear")
    close(saliency.grad_cam(network, images, "3", targets), large.squeeze(1))


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_backprop_agrees_with_captum(network, images, targets):
    peer = captum.attr.GuidedBackprop(network)
    theirs = peer.attribute(images.clone().requires_grad_(), target=targets)
    close(saliency.guided_backprop(network, images, targets), theirs.abs().amax(1))


def test_maps_of_a_linear_score_are_its_weights(images):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(432, 5)).eval()
    weights = linear[1].weight[1].detach().view(3, 12, 12)
    largest = weights.abs().amax(0).expand(4, -1, -1)
    close(saliency.input_gradient(linear, images, 1), largest)
    close(saliency.smooth_grad(linear, images, 1, noise_std=0.25), largest)
    integrated = saliency.integrated_gradients(linear, images, 1)
    close(integrated, (weights * images).sum(1))


@each_method
def test_a_map_is_that_of_the_predicted_class_whatever_the_batch(
    explain, network, images, monkeypatch
):
    maps = explain(network, images)
    assert maps.shape == (4, 12, 12)
    assert maps.dtype == torch.float32
    classes = network(images).argmax(1)
    close(explain(network, images[:1], targets=int(classes[0])), maps[:1])
    monkeypatch.setattr(class_scores, "CHUNK_PIXELS", 1)
    many = explain(network, images.repeat(3, 1, 1, 1), targets=classes.repeat(3))
    close(many, maps.repeat(3, 1, 1))


@each_method
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_pictures_have_as_many_channels_as_the_network(explain, channels):
    x = torch.rand(3, channels, 12, 12)
    maps = explain(make_network(channels), x, targets=1)
    assert maps.isfinite().all()
    classes = np.array([1, 1, 1])
    assert torch.equal(
        maps, explain(make_network(channels), x.numpy(), targets=classes)
    )


@each_method
def test_what_the_caller_owns_stays_as_it_was(explain, images, network):
    mine = images.clone().requires_grad_()
    with torch.no_grad():
        explain(network, mine, targets=1)
    assert not explain(network, mine, targets=1).requires_grad
    for leaf in (mine, *network.parameters()):
        assert leaf.grad is None
        assert leaf.requires_grad


@each_method
def test_no_hook_is_left_after_a_run_that_fails(explain, network, images):
    network[-1] = nn.Linear(7, 5).eval()
    with pytest.raises(RuntimeError):
        explain(network, images, targets=1)
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks


class Aside(nn.Module):
    """Layers that are never called, called for nothing, and that give no tensor."""

    def __init__(self):
        super().__init__()
        self.never = nn.Conv2d(3, 4, 3)
        self.aside = nn.Conv2d(3, 4, 3)
        self.pair = nn.RNN(3, 4)
        self.last = nn.Linear(432, 5)

    def forward(self, x):
        self.aside(x)
        self.pair(x.mean((2, 3)))
        return self.last(x.flatten(1))


ASIDE = Aside().eval()
ONE_SCORE = nn.Sequential(nn.Flatten(), nn.Linear(432, 1), nn.Flatten(0)).eval()
EVERY = tuple(METHODS.values())
ONE = (saliency.input_gradient,)


def unchanged(network, images):
    return network, images, None


def with_targets(targets):
    return lambda network, images: (network, images, targets)


REFUSED = [
    (EVERY, lambda n, x: (n.train(), x, 1)),
    (EVERY, with_targets(5)),
    (EVERY, with_targets([0, 1])),
    (ONE, with_targets(0.5)),
    (ONE, lambda n, x: (ONE_SCORE, x, 0)),
    (ONE, lambda n, x: ("efficientnet_lite0", x, 0)),
    ([saliency.guided_backprop], lambda n, x: (ASIDE, x, 1)),
    ([partial(saliency.grad_cam, layer="features")], unchanged),
    ([partial(saliency.grad_cam, layer="6")], unchanged),
    (
        [partial(saliency.grad_cam, layer=name) for name in ASIDE._modules],
        lambda n, x: (ASIDE, x, 1),
    ),
]


@pytest.mark.parametrize(("methods", "change"), REFUSED)
def test_what_has_no_map_is_refused(network, images, methods, change):
    network, images, targets = change(network, images)
    for explain in methods:
        with pytest.raises(ValueError, match=r"^expected [^\n]*; [^\n]*$"):
            explain(network, images, targets=targets)


@pytest.mark.parametrize("method", ["guided_backprop", "grad_cam"])
def test_rectifiers_may_work_in_place(method, network, images):
    in_place = copy.deepcopy(network)
    in_place[1].inplace = True
    in_place[4].inplace = True
    explain = METHODS[method]
    close(explain(in_place, images), explain(network, images))


def test_smooth_grad_is_the_same_for_one_seed_and_another_for_two(network, images):
    first = saliency.smooth_grad(network, images, 1, seed=3)
    assert torch.equal(saliency.smooth_grad(network, images, 1, seed=3), first)
    assert not torch.equal(saliency.smooth_grad(network, images, 1, seed=4), first)


@each_method
def test_two_methods_take_the_precision_of_the_caller(explain, network, images):
    expected = explain(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        found = explain(network, images)
    takes_it = explain in (METHODS["smooth_grad"], METHODS["grad_cam"])
    assert found.dtype == torch.float32
    assert torch.equal(found, expected) != takes_it


@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_on_one_channel_follow_the_memory_format_of_the_weights(format):
    convolution = nn.Conv2d(1, 4, 3).to(memory_format=format)
    maps = convolution(class_scores.copy_channels_last(torch.rand(2, 1, 8, 8)))
    assert maps.is_contiguous(memory_format=format)


def test_a_single_score_has_a_gradient_and_predicts_nothing(images):
    single = nn.Sequential(nn.Flatten(), nn.Linear(432, 1)).eval()
    assert saliency.input_gradient(single, images, 0).any()
    with pytest.raises(ValueError, match="two classes or more, got one; of a score s"):
        saliency.input_gradient(single, images)
