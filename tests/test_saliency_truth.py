"""What saliency maps are held to: grids of known classes, covered and removed pixels, small noise."""

import captum.metrics
import numpy as np
import pytest
import torch
from torch import nn

from dlapps import saliency
from studies import saliency_methods

torch.set_num_threads(1)

CORNERS = [(0, 0), (0, 8), (6, 0), (6, 8)]


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(10, 3, 6, 8, generator=torch.Generator().manual_seed(0))


class Linear(nn.Module):
    """logits (w . x, 0), whose probabilities are nearly linear too as long as they are near 1/2."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        score = (x * self.weights).sum((1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.fixture(scope="module")
def network():
    return Linear(1e-3 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_a_grid_holds_pictures_of_different_classes_where_it_says(pictures):
    labels = torch.arange(5).repeat(2)
    grids, classes = saliency.make_grids(pictures, labels, 4)
    assert grids.shape == (4, 3, 12, 16)
    for grid, cells in zip(grids, classes.tolist(), strict=True):
        assert len(set(cells)) == 4
        for (top, left), label in zip(CORNERS, cells, strict=True):
            cell = grid[:, top : top + 6, left : left + 8]
            assert any(torch.equal(cell, picture) for picture in pictures[labels == label])


def test_no_picture_is_used_twice_while_there_are_others(pictures):
    grids, classes = saliency.make_grids(pictures[:8], range(8), 4)
    assert sorted(classes[:2].flatten().tolist()) == sorted(classes[2:].flatten().tolist()) == [*range(8)]
    again, _ = saliency.make_grids(pictures[:8].numpy(), np.arange(8), 4)
    assert torch.equal(grids, again)


def test_the_truth_wins_the_game_and_what_knows_nothing_is_right_once_in_four():
    maps = torch.zeros(2, 4, 12, 16)
    for cell, (top, left) in enumerate(CORNERS):
        maps[0, cell, top : top + 6, left : left + 8] = 1
        maps[1, cell, top, left], maps[1, cell, 5, 7] = 3, 1
    found = saliency_methods.point_at_cells(maps)
    assert torch.equal(found.hits, torch.ones(2, 4).double())
    assert torch.equal(found.mass[0], torch.ones(4).double())
    assert found.mass[1].tolist() == [1, 0.75, 0.75, 0.75]
    nothing = saliency_methods.point_at_cells(torch.zeros(1, 4, 12, 16))
    assert (nothing.hits == 0.25).all()
    assert (nothing.mass == 0.25).all()
    random = saliency_methods.point_at_cells(saliency.random_map(torch.zeros(4000, 3, 4, 4)).view(1000, 4, 4, 4))
    assert random.hits.mean() == pytest.approx(0.25, abs=0.03)
    assert random.mass.mean() == pytest.approx(0.25, abs=0.01)


def test_what_a_map_has_below_zero_does_not_count():
    maps = torch.full((1, 4, 4, 4), -1.0)
    maps[0, :, 0, 0] = 2
    assert saliency_methods.point_at_cells(maps).mass.tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("pictures", "labels", "message"),
    [
        ([np.zeros((3, 4, 4)), np.zeros((3, 5, 4))], [0, 1], "expected pictures as a tensor or array"),
        (torch.rand(4, 3, 4, 4), [0, 1, 2], r"one label for each of 4 pictures"),
        (torch.rand(4, 3, 4, 4), [0, 1, 1, 0], r"4 different ones at least.* got \(4,\) labels of 2 classes"),
        (2 * torch.ones(4, 3, 4, 4), [0, 1, 2, 3], r"pixels in \[0, 1\]"),
    ],
)
def test_grids_that_cannot_be_made_are_refused(pictures, labels, message):
    with pytest.raises(ValueError, match=message):
        saliency.make_grids(pictures, labels, 1)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (4, 4, 4), (1, 4, 5, 4)])
def test_maps_of_another_grid_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected maps of shape \(G, 4, 2 h, 2 w\)"):
        saliency_methods.point_at_cells(torch.zeros(shape))


def test_occlusion_of_a_linear_score_by_hand(network, images):
    part = ((images - 0.5) * network.weights).sum(1)
    alone = saliency_methods.occlusion(network, images, 0, window=1, stride=1)
    torch.testing.assert_close(alone, part, atol=1e-7, rtol=1e-4)
    # Windows at 0, 4, 8, 12 cover each pixel once: it gets what its window adds to the score.
    blocks = saliency_methods.occlusion(network, images, 0, window=4, stride=4)
    sums = 16 * nn.functional.avg_pool2d(part[:, None], 4)[:, 0]
    torch.testing.assert_close(blocks[:, ::4, ::4], sums, atol=1e-6, rtol=1e-4)
    assert saliency_methods.occlusion(network, images, 0, window=6, stride=5).isfinite().all()


def test_rise_finds_what_a_linear_score_is_made_of(network, images):
    maps = saliency_methods.rise(network, images, 0, num_masks=1500, cells=16)
    part = ((images - 0.5) * network.weights).sum(1)
    assert saliency.rank_correlations(maps, part).min() > 0.85
    # A probability near 1/2 has a quarter of the score's slope, and the variance of a mask is half its mean.
    slope = (maps * part).sum() / part.square().sum()
    assert slope.item() == pytest.approx(0.25 * 0.5, rel=0.1)


@pytest.mark.parametrize(
    "explain", [saliency_methods.occlusion, lambda *args: saliency_methods.rise(*args, num_masks=40)]
)
def test_one_pass_gives_the_maps_of_several_classes(network, images, explain):
    options = (16, 16) if explain is saliency_methods.occlusion else ()
    both = explain(network, images, torch.tensor([[0, 1], [1, 0], [0, 1]]), *options)
    assert both.shape == (3, 2, 16, 16)
    torch.testing.assert_close(both[:, 1], explain(network, images, [1, 0, 1], *options))
    torch.testing.assert_close(explain(network, images, None, *options)[0], both[0, network(images)[0].argmax()])
    with pytest.raises(ValueError, match="expected classes from 0 to 1, got 2"):
        explain(network, images, 2, *options)


@pytest.mark.parametrize("options", [{"window": 17}, {"stride": 0}, {"window": 4, "stride": 5}])
def test_windows_that_do_not_fit_are_refused(network, images, options):
    with pytest.raises(ValueError, match="expected 1 <= stride <= window <= 16"):
        saliency_methods.occlusion(network, images, 0, **options)


@pytest.mark.parametrize("options", [{"num_masks": 0}, {"cells": 0}, {"share": 1.0}])
def test_masks_that_are_none_are_refused(network, images, options):
    with pytest.raises(ValueError, match=r"expected (num_masks >= 1|cells >= 1|a share between 0 and 1)"):
        saliency_methods.rise(network, images, 0, **options)


def test_imputation_by_hand():
    picture = torch.tensor([[[[0.0, 0.6, 0.0], [0.3, 0.9, 0.6], [0.0, 0.0, 0.0]]]])
    removed = torch.zeros(1, 3, 3, dtype=torch.bool)
    removed[0, 1, 1] = True
    # (.6 + .3 + .6 + 0) / 6 + 0 / 12.
    assert saliency_methods.impute(picture, removed, 0)[0, 0, 1, 1].item() == pytest.approx(0.25)
    # In a corner three neighbours are left, of weights 1/6, 1/6 and 1/12: (.6 + .3) * .4 + .9 * .2.
    removed = torch.zeros(1, 3, 3, dtype=torch.bool)
    removed[0, 0, 0] = True
    assert saliency_methods.impute(picture, removed, 0)[0, 0, 0, 0].item() == pytest.approx(0.54)


def test_two_unknown_neighbours_by_hand():
    row = torch.tensor([[[[0.0, 0.9, 0.9, 0.6]]]])
    removed = torch.tensor([[[False, True, True, False]]])
    # a = (0 + b) / 2, b = (a + .6) / 2.
    filled = saliency_methods.impute(row, removed, 0)
    torch.testing.assert_close(filled, torch.tensor([[[[0.0, 0.2, 0.4, 0.6]]]]))


def test_imputation_goes_on_with_a_plane_keeps_the_rest_and_adds_noise(images):
    plane = (torch.arange(16.0)[:, None] + torch.arange(16.0))[None, None].expand(1, 3, -1, -1) / 40
    removed = torch.zeros(1, 16, 16, dtype=torch.bool)
    removed[0, 4:9, 3:12] = True
    torch.testing.assert_close(saliency_methods.impute(plane, removed, 0), plane)
    noisy = saliency_methods.impute(plane, removed, 0.05)
    assert torch.equal(noisy[:, :, ~removed[0]], plane[:, :, ~removed[0]])
    assert (noisy - plane)[:, :, removed[0]].std() == pytest.approx(0.05, rel=0.2)
    with pytest.raises(ValueError, match="leave a pixel of each picture"):
        saliency_methods.impute(images, torch.ones(3, 16, 16, dtype=torch.bool))


def test_road_knows_the_true_map_from_its_opposite_and_from_noise():
    weights = torch.zeros(3, 16, 16)
    weights[:, 4:8, 4:8] = 0.2
    network = Linear(weights).eval()
    images = 0.4 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    images[:, :, 4:8, 4:8] += 0.6
    true = saliency_methods.road(network, images, weights.sum(0).expand(2, -1, -1), 0, shares=(0.1, 0.3))
    assert true.highest_first.shape == true.lowest_first.shape == (2, 2)
    whole = network(images).softmax(1)[:, 0]
    torch.testing.assert_close(true.lowest_first, whole[:, None].expand(-1, 2), atol=1e-4, rtol=0)
    assert (true.gap > 0.05).all()
    opposite = saliency_methods.road(network, images, -weights.sum(0).expand(2, -1, -1), 0, shares=(0.1, 0.3))
    assert (opposite.gap < -0.05).all()
    random = saliency_methods.road(network, images, saliency.random_map(images), 0, shares=(0.1, 0.3))
    assert (random.gap.abs() < true.gap / 3).all()


def test_road_refuses_shares_and_maps(network, images):
    with pytest.raises(ValueError, match=r"expected shares between 0 and 1, got \(0.5, 1\)"):
        saliency_methods.road(network, images, images[:, 0], 0, shares=(0.5, 1))
    with pytest.raises(ValueError, match="one map an image"):
        saliency_methods.road(network, images, images[:, 0, :8], 0)


def test_agreement_does_not_depend_on_how_sure_the_network_is(images):
    def curves(probability):
        ratio = torch.linspace(0, 1, 5) * probability
        return saliency.DeletionInsertion(
            torch.linspace(0, 1, 5), ratio.flip(0)[None], ratio.sqrt()[None] * probability**0.5
        )

    torch.testing.assert_close(curves(0.9).agreement, curves(0.2).agreement)
    assert curves(0.9).insertion_area > 4 * curves(0.2).insertion_area


def test_maps_of_a_linear_score_are_not_sensitive(network, images):
    assert saliency_methods.max_sensitivity(network, images, saliency.input_gradient, 0).max() < 1e-6


def test_a_map_of_zeros_is_not_sensitive(network, images):
    found = saliency_methods.max_sensitivity(network, images, lambda *_: torch.zeros(len(images), 4, 4), 0)
    assert torch.equal(found, torch.zeros(len(images)))


def test_max_sensitivity_agrees_with_captum(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(6 * 14 * 14, 5)).eval()
    inside = images * 0.8 + 0.1
    found = saliency_methods.max_sensitivity(network, inside, saliency.input_gradient, 1, radius=0.05, num_samples=200)

    def explain(inputs):
        pixels = inputs[0] if isinstance(inputs, tuple) else inputs
        return (saliency.input_gradient(network, pixels.detach(), 1)[:, None],)

    theirs = captum.metrics.sensitivity_max(explain, inside, perturb_radius=0.05, n_perturb_samples=200)
    torch.testing.assert_close(found, theirs.float(), rtol=0.1, atol=0)


class Sum(torch.nn.Module):
    """Class 0 by the sum of all values, class 1 by nothing."""

    def forward(self, x):
        total = x.sum((1, 2, 3))
        return torch.stack([total, torch.zeros_like(total)], 1)


def test_a_deletion_curve_by_hand():
    x, maps = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]]), torch.tensor([[[1.0, 2.0], [2.0, 0.0]]])
    found = saliency.deletion_insertion(Sum().eval(), x, maps, 0, num_steps=4, deleted=0.0, blur_sigma=0.1)
    # Of two equal values the first goes first: .2, then .3, .1 and .4.
    torch.testing.assert_close(found.deletion[0], torch.tensor([1.0, 0.8, 0.5, 0.4, 0.0]).sigmoid())
