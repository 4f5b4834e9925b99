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

from dlapps import pretrained, saliency
from dlapps.core import class_scores

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
    ]
    return nn.Sequential(
        *layers, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4 * 4, 5)
    ).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def targets():
    return torch.tensor([0, 3, 2, 4])


METHODS = {
    "input_gradient": saliency.input_gradient,
    "smooth_grad": lambda *args: saliency.smooth_grad(*args, num_samples=4),
    "integrated_gradients": lambda *args: saliency.integrated_gradients(
        *args, num_steps=4
    ),
    "grad_cam": lambda network, x, targets=None: saliency.grad_cam(
        network, x, "3", targets
    ),
    "guided_backprop": saliency.guided_backprop,
}


each_method = pytest.mark.parametrize("explain", METHODS.values(), ids=METHODS)


def close(first, second, tolerance=1e-4):
    torch.testing.assert_close(first, second, atol=tolerance, rtol=tolerance)


def test_gradients_agree_with_captum(network, images, targets):
    leaf = images.clone().requires_grad_()
    theirs = captum.attr.Saliency(network).attribute(leaf, target=targets)
    close(saliency.input_gradient(network, images, targets), theirs.amax(1))


def test_smooth_grad_agrees_with_captum_without_noise(network, images, targets):
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(network))
    given = {"nt_samples": 3, "stdevs": 0.0, "target": targets, "abs": False}
    theirs = tunnel.attribute(images.clone().requires_grad_(), **given)
    found = saliency.smooth_grad(network, images, targets, noise_std=0.0, num_samples=3)
    close(found, theirs.abs().amax(1))


def test_integrated_gradients_agree_with_captum_and_are_complete(
    network, images, targets
):
    theirs = captum.attr.IntegratedGradients(network).attribute(
        images, target=targets, n_steps=20
    )
    close(
        saliency.integrated_gradients(network, images, targets, num_steps=20),
        theirs.sum(1),
    )
    maps = saliency.integrated_gradients(network, images, targets, num_steps=200)
    with torch.no_grad():
        gained = network(images) - network(torch.zeros_like(images))
    close(maps.sum((1, 2)), gained.gather(1, targets[:, None])[:, 0], 1e-2)


def test_grad_cam_agrees_with_captum(network, images, targets):
    layer_grad_cam = captum.attr.LayerGradCam(network, network[3])
    theirs = layer_grad_cam.attribute(images, target=targets, relu_attributions=True)
    theirs = captum.attr.LayerAttribution.interpolate(
        theirs, (12, 12), "bilinear"
    ).squeeze(1)
    close(saliency.grad_cam(network, images, "3", targets), theirs.detach())


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_guided_backprop_agrees_with_captum(network, images, targets):
    leaf = images.clone().requires_grad_()
    theirs = captum.attr.GuidedBackprop(network).attribute(leaf, target=targets)
    close(saliency.guided_backprop(network, images, targets), theirs.abs().amax(1))


@each_method
def test_maps_are_one_a_picture_and_explain_the_predicted_class(
    explain, network, images
):
    maps = explain(network, images)
    assert maps.shape == (4, 12, 12)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    close(maps, explain(network, images, network(images).argmax(1)))


def small_network(channels):
    torch.manual_seed(channels)
    layers = [
        nn.Conv2d(channels, 6, 3),
        nn.ReLU(),
        nn.Identity(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 48, 5)).eval()


@each_method
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_pictures_have_as_many_channels_as_the_network(explain, channels):
    x = torch.rand(3, channels, 10, 12)
    maps = explain(small_network(channels), x, 1)
    assert maps.shape == (3, 10, 12)
    assert maps.isfinite().all()
    assert torch.equal(
        maps, explain(small_network(channels), x.numpy(), np.array([1, 1, 1]))
    )
    curves = saliency.deletion_insertion(
        small_network(channels), x, maps.numpy(), 1, num_steps=2
    )
    assert curves.deletion.shape == (3, 3)


def test_smooth_grad_of_a_linear_score_is_its_gradient(images):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(432, 5)).eval()
    found = saliency.smooth_grad(linear, images, 1, noise_std=0.5)
    close(found, saliency.input_gradient(linear, images, 1))


@pytest.mark.parametrize("channels", [1, 4])
def test_the_gradient_of_any_channels_is_that_of_autograd(channels):
    network = small_network(channels)
    x = torch.rand(3, channels, 10, 12, requires_grad=True)
    (expected,) = torch.autograd.grad(network(x)[:, 2].sum(), x)
    close(saliency.input_gradient(network, x, 2), expected.abs().amax(1), 1e-6)


@each_method
def test_a_map_does_not_depend_on_the_batch_around_it(
    explain, network, images, targets, monkeypatch
):
    monkeypatch.setattr("dlapps.core.class_scores.CHUNK_PIXELS", 1)
    many = images.repeat(class_scores.CHUNK, 1, 1, 1)
    maps = explain(network, many, targets.repeat(class_scores.CHUNK))
    close(maps[:4], explain(network, images, targets))
    close(maps[:1], explain(network, images[:1], int(targets[0])))
    close(maps[-4:], maps[:4])


@each_method
def test_what_the_caller_owns_stays_as_it_was(explain, images, network):
    mine = images.clone().requires_grad_()
    assert not explain(network, mine, 1).requires_grad
    assert mine.grad is None
    assert all(
        weight.grad is None and weight.requires_grad for weight in network.parameters()
    )
    with torch.no_grad():
        explain(network, images, 1)


@each_method
def test_no_hook_is_left_after_a_run_that_fails(explain, network, images):
    broken = nn.Sequential(*list(network)[:-1], nn.Linear(7, 5)).eval()
    with pytest.raises(RuntimeError):
        explain(broken, images, 1)
    assert not any(
        module._forward_hooks or module._backward_hooks for module in broken.modules()
    )


@each_method
def test_bad_pixels_get_one_sentence(explain, network, images):
    with pytest.raises(ValueError, match="divide 0-255"):
        explain(network, images * 255)


@each_method
@pytest.mark.parametrize("classes", [5, -1, [0, 1], 0.5, True])
def test_bad_classes_get_one_sentence(explain, network, images, classes):
    with pytest.raises(ValueError, match="expected"):
        explain(network, images, classes)


@each_method
def test_a_network_in_training_mode_is_refused(explain, images):
    with pytest.raises(ValueError, match="in training mode"):
        explain(nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(432, 5)), images)


def test_an_unknown_layer_lists_the_valid_ones(network, images):
    with pytest.raises(ValueError, match="expected a layer among 0, 1, 2, 3, 4, 5, 6"):
        saliency.grad_cam(network, images, "features")
    with pytest.raises(ValueError, match="take an earlier layer"):
        saliency.grad_cam(network, images, "6")


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


@pytest.mark.parametrize("layer", ["never", "aside", "pair"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_layer_that_no_score_depends_on_is_refused(images, layer, frozen):
    network = Aside().eval().requires_grad_(not frozen)
    with pytest.raises(
        ValueError, match=f"the class scores depend on, got {layer}; take another"
    ):
        saliency.grad_cam(network, images, layer)
    assert not network.get_submodule(layer)._forward_hooks


def test_a_class_may_be_named(network, images):
    names = "cat", "crane", "dog", "crane", "fox"
    named = pretrained.wrap(copy.deepcopy(network), class_names=names)
    expected = saliency.input_gradient(named, images, 4)
    for name in ("fox", np.array(["fox"])):
        assert torch.equal(saliency.input_gradient(named, images, name), expected)
    maps = saliency.grad_cam(named, images, "3", ["cat", "dog", "fox", "cat"])
    assert torch.equal(maps, saliency.grad_cam(named, images, "3", [0, 2, 4, 0]))
    message = "5 class_names, got 'crane', the name of 2 classes; pass the"
    with pytest.raises(ValueError, match=message):
        saliency.input_gradient(named, images, "crane")
    with pytest.raises(ValueError, match="got 'tabby', the name of 0"):
        saliency.input_gradient(network, images, "tabby")


@each_method
def test_what_are_no_logits_is_refused(explain, images, network):
    with pytest.raises(
        ValueError, match=r"logits of shape \(\d+, K\), .* shape \(\d+,\); wrap"
    ):
        explain(
            nn.Sequential(*network, nn.Linear(5, 1), nn.Flatten(0)).eval(), images, 0
        )


def test_a_network_in_float64_gets_one_sentence(network, images):
    with pytest.raises(
        ValueError, match=r"expected a network in float32, .* call network.float"
    ):
        saliency.input_gradient(copy.deepcopy(network).double(), images)


def test_a_network_of_one_score_has_no_classes(images):
    one = nn.Sequential(nn.Flatten(), nn.Linear(432, 1)).eval()
    assert saliency.input_gradient(one, images, 0).any()
    with pytest.raises(
        ValueError, match="two classes or more, got one; of a score s, have it give"
    ):
        class_scores.float32_logits(one, images)


def test_guided_backprop_needs_rectifiers(images):
    with pytest.raises(ValueError, match=r"nn\.ReLU"):
        saliency.guided_backprop(
            nn.Sequential(nn.Flatten(), nn.Linear(432, 5)).eval(), images
        )


def test_rectifiers_may_work_in_place(network, images, targets):
    in_place = copy.deepcopy(network)
    for module in in_place.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    for method in ("guided_backprop", "grad_cam"):
        explain = METHODS[method]
        close(explain(in_place, images, targets), explain(network, images, targets))


def test_smooth_grad_is_the_same_for_one_seed_and_another_for_two(network, images):
    smooth = partial(saliency.smooth_grad, network, images, 1, num_samples=5)
    first, again, other = (smooth(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_smooth_grad_in_chunks_equals_one_batch(network, images, monkeypatch):
    sizes = []
    hook = network.register_forward_pre_hook(
        lambda module, inputs: sizes.append(len(inputs[0]))
    )
    try:
        whole = saliency.smooth_grad(network, images[:1], 1, num_samples=25)
        monkeypatch.setattr("dlapps.core.class_scores.CHUNK_PIXELS", 1)
        close(saliency.smooth_grad(network, images[:1], 1, num_samples=25), whole, 1e-6)
    finally:
        hook.remove()
    assert sizes[0] == 25
    assert sum(sizes[1:]) == 25
    assert max(sizes[1:]) == class_scores.CHUNK


def test_more_small_pictures_than_large_ones_go_through_at_once():
    small, large, huge = (
        class_scores.chunk_size(torch.empty(1, 3, side, side))
        for side in (28, 224, 2240)
    )
    assert small > large == huge == class_scores.CHUNK


def test_convolutions_on_one_channel_follow_the_memory_format_of_the_weights():
    convolution = nn.Conv2d(1, 4, 3)
    for weights in (torch.contiguous_format, torch.channels_last):
        maps = convolution.to(memory_format=weights)(
            class_scores.copy_channels_last(torch.rand(2, 1, 8, 8))
        )
        assert maps.is_contiguous(memory_format=weights)


def test_large_logits_whose_sum_is_none_are_finite():
    class_scores.check_finite(torch.full((2, 3), 3e38))


def test_input_gradients_stay_in_float32_under_autocast(network, images):
    expected = saliency.input_gradient(network, images, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(saliency.input_gradient(network, images, 1), expected)
        smooth = saliency.smooth_grad(network, images, 1)
    assert smooth.dtype == torch.float32
    assert not torch.equal(smooth, saliency.smooth_grad(network, images, 1))


class Centre(nn.Module):
    """Class 1 where the middle of the picture is bright."""

    def forward(self, x):
        score = x[..., 4:8, 4:8].sum((1, 2, 3)) / 4 - 6
        return torch.stack([-score, score], 1)


def test_the_true_map_beats_the_baselines():
    x = torch.zeros(3, 3, 12, 12)
    x[:, :, 4:8, 4:8] = 1
    network = Centre().eval()
    maps = {
        "gradient": saliency.input_gradient(network, x, 1),
        "random": saliency.random_map(x),
        "inverted": -saliency.centre_prior(x),
    }
    measure = partial(saliency.deletion_insertion, network, x, targets=1, num_steps=12)
    true, *baselines = (measure(each) for each in maps.values())
    for other in baselines:
        assert (true.deletion_area < other.deletion_area).all()
        assert (true.insertion_area > other.insertion_area).all()
        assert (true.gap > other.gap).all()


def test_curves_start_and_end_where_they_must(network, images):
    curves = saliency.deletion_insertion(
        network, images, saliency.random_map(images), num_steps=4
    )
    with torch.no_grad():
        whole = network(images).softmax(1).max(1)
        grey = network(torch.full_like(images, 0.5)).softmax(1)
    assert curves.deletion.shape == curves.insertion.shape == (4, 5)
    close(curves.deletion[:, 0], whole.values)
    close(curves.insertion[:, -1], whole.values)
    close(curves.deletion[:, -1], grey[torch.arange(4), whole.indices])
    assert ((curves.deletion_area >= 0) & (curves.deletion_area <= 1)).all()


def test_baselines():
    x = torch.rand(2, 3, 9, 7)
    prior = saliency.centre_prior(x)
    assert prior.shape == saliency.random_map(x).shape == (2, 9, 7)
    assert prior[0].argmax() == 4 * 7 + 3
    channels_last = x.movedim(1, 3).numpy()
    assert torch.equal(saliency.centre_prior(channels_last), prior)
    assert torch.equal(saliency.random_map(channels_last), saliency.random_map(x))
    assert torch.equal(saliency.random_map(x, seed=1), saliency.random_map(x, seed=1))


def test_ranks_count_from_the_highest_score():
    logits = torch.tensor([[0.1, 0.7, 0.2], [3.0, 1.0, 2.0]])
    assert class_scores.ranks(logits, [1, 1]).tolist() == [1, 3]
    assert class_scores.ranks(logits, 2).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda n, x: saliency.integrated_gradients(n, x, num_steps=0),
            "num_steps >= 1, got 0",
        ),
        (
            lambda n, x: saliency.deletion_insertion(n, x, x[:, 0], num_steps=-1),
            "steps >= 1, got -1",
        ),
        (
            lambda n, x: saliency.deletion_insertion(n, x, x[:, 0, :6]),
            "one map an image",
        ),
        (
            lambda n, x: saliency.deletion_insertion(n, x[:, :, :5], x[:, 0, :5]),
            r"5 pixels, .* got \(5, 12\)",
        ),
        (
            lambda n, x: saliency.smooth_grad(n, x, num_samples=0),
            "num_samples >= 1, got 0",
        ),
        (
            lambda n, x: saliency.smooth_grad(n, x, noise_std=-1.0),
            "noise_std >= 0, finite, a number, got -1",
        ),
        (
            lambda n, x: saliency.smooth_grad(n, x, noise_std=np.nan),
            "noise_std >= 0, finite, a number, got",
        ),
    ],
)
def test_bad_arguments_get_one_sentence(network, images, call, message):
    with pytest.raises(ValueError, match=rf"expected .*{message}"):
        call(network, images)


CORNERS = [(0, 0), (0, 8), (6, 0), (6, 8)]


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(10, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def test_a_grid_holds_pictures_of_different_classes_where_it_says(pictures):
    labels = torch.arange(5).repeat(2)
    grids, classes = saliency.make_grids(pictures, labels, 4)
    assert grids.shape == (4, 3, 12, 16)
    for grid, cells in zip(grids, classes.tolist(), strict=True):
        assert len(set(cells)) == 4
        for (top, left), label in zip(CORNERS, cells, strict=True):
            cell = grid[:, top : top + 6, left : left + 8]
            assert any(
                torch.equal(cell, picture) for picture in pictures[labels == label]
            )


def test_no_picture_is_used_twice_while_there_are_others(pictures):
    grids, classes = saliency.make_grids(pictures[:8], range(8), 4)
    first, second = (sorted(half.flatten().tolist()) for half in classes.split(2))
    assert first == second == [*range(8)]
    again, _ = saliency.make_grids(pictures[:8].numpy(), np.arange(8), 4)
    assert torch.equal(grids, again)


@pytest.mark.parametrize(
    ("pictures", "labels", "message"),
    [
        (
            [np.zeros((3, 4, 4)), np.zeros((3, 5, 4))],
            [0, 1],
            "pictures as a tensor or array",
        ),
        (torch.rand(4, 3, 4, 4), [0, 1, 2], r"one label for each of 4 pictures"),
        (
            torch.rand(4, 3, 4, 4),
            [0, 1, 1, 0],
            r"4 different .* \(4,\) labels of 2 classes",
        ),
        (2 * torch.ones(4, 3, 4, 4), [0, 1, 2, 3], r"pixels in \[0, 1\]"),
    ],
)
def test_grids_that_cannot_be_made_are_refused(pictures, labels, message):
    with pytest.raises(ValueError, match=message):
        saliency.make_grids(pictures, labels, 1)


class Sum(torch.nn.Module):
    """Class 0 by the sum of all values, class 1 by nothing."""

    def forward(self, x):
        total = x.sum((1, 2, 3))
        return torch.stack([total, torch.zeros_like(total)], 1)


def test_a_deletion_curve_by_hand():
    x = torch.full((1, 1, 6, 6), 0.5)
    x[0, 0, 0, :4] = torch.tensor([0.6, 0.7, 0.8, 0.9])
    maps = torch.zeros(1, 6, 6)
    maps[0, 0, :4] = torch.tensor([1.0, 2.0, 2.0, 0.5])
    found = saliency.deletion_insertion(Sum().eval(), x, maps, 0, num_steps=36)
    # Of two equal values the first goes first: .2 above grey, then .3, .1 and .4, and
    # the grey rest changes nothing.
    lost = torch.tensor([0.0, 0.2, 0.5, 0.6, 1.0, *[1.0] * 32])
    torch.testing.assert_close(found.deletion[0], (19.0 - lost).sigmoid())
