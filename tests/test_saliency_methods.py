"""What the study holds saliency maps to: grids of known classes, covered and removed pixels, noise, random weights."""

from functools import partial

import captum.metrics
import pytest
import torch
from torch import nn

from dlapps import saliency
from studies import saliency_methods as study

torch.set_num_threads(1)

CORNERS = [(0, 0), (0, 8), (6, 0), (6, 8)]
FIRST = torch.zeros(3, dtype=torch.long)


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


def test_the_truth_wins_the_game_and_what_knows_nothing_is_right_once_in_four():
    maps = torch.zeros(2, 4, 12, 16)
    for cell, (top, left) in enumerate(CORNERS):
        maps[0, cell, top : top + 6, left : left + 8] = 1
        maps[1, cell, top, left], maps[1, cell, 5, 7] = 3, 1
    found = study.point_at_cells(maps)
    assert torch.equal(found["hits"], torch.ones(2, 4).double())
    assert torch.equal(found["mass"][0], torch.ones(4).double())
    assert found["mass"][1].tolist() == [1, 0.75, 0.75, 0.75]
    nothing = study.point_at_cells(torch.zeros(1, 4, 12, 16))
    assert (nothing["hits"] == 0.25).all()
    assert (nothing["mass"] == 0.25).all()
    random = study.point_at_cells(saliency.random_map(torch.zeros(4000, 3, 4, 4)).view(1000, 4, 4, 4))
    assert random["hits"].mean() == pytest.approx(0.25, abs=0.03)
    assert random["mass"].mean() == pytest.approx(0.25, abs=0.01)


def test_what_a_map_has_below_zero_does_not_count():
    maps = torch.full((1, 4, 4, 4), -1.0)
    maps[0, :, 0, 0] = 2
    assert study.point_at_cells(maps)["mass"].tolist() == [[1, 0, 0, 0]]


def test_occlusion_of_a_linear_score_by_hand(network, images):
    part = ((images - 0.5) * network.weights).sum(1)
    alone = study.occlusion(network, images, FIRST, window=1, stride=1)
    torch.testing.assert_close(alone, part, atol=1e-7, rtol=1e-4)
    # Windows at 0, 4, 8, 12 cover each pixel once: it gets what its window adds to the score.
    blocks = study.occlusion(network, images, FIRST, window=4, stride=4)
    sums = 16 * nn.functional.avg_pool2d(part[:, None], 4)[:, 0]
    torch.testing.assert_close(blocks[:, ::4, ::4], sums, atol=1e-6, rtol=1e-4)
    assert study.occlusion(network, images, FIRST, window=6, stride=5).isfinite().all()


def test_rise_finds_what_a_linear_score_is_made_of(network, images):
    maps = study.rise(network, images, FIRST, num_masks=1500, cells=16)
    part = ((images - 0.5) * network.weights).sum(1)
    assert saliency.rank_correlations(maps, part).min() > 0.85
    # A probability near 1/2 has a quarter of the score's slope, and the variance of a mask is half its mean.
    slope = (maps * part).sum() / part.square().sum()
    assert slope.item() == pytest.approx(0.25 * 0.5, rel=0.1)


@pytest.mark.parametrize("explain", [partial(study.occlusion, window=16, stride=16), partial(study.rise, num_masks=40)])
def test_one_pass_gives_the_maps_of_several_classes(network, images, explain):
    both = explain(network, images, torch.tensor([[0, 1], [1, 0], [0, 1]]))
    assert both.shape == (3, 2, 16, 16)
    torch.testing.assert_close(both[:, 1], explain(network, images, torch.tensor([1, 0, 1])))


PICTURE = [[0.0, 0.6, 0.0], [0.3, 0.9, 0.6], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("picture", "places", "expected"),
    [
        # (.6 + .3 + .6 + 0) / 6 + 0 / 12.
        (PICTURE, [(1, 1)], [0.25]),
        # In a corner three neighbours are left, of weights 1/6, 1/6 and 1/12: (.6 + .3) * .4 + .9 * .2.
        (PICTURE, [(0, 0)], [0.54]),
        # Two that are unknown: a = (0 + b) / 2, b = (a + .6) / 2.
        ([[0.0, 0.9, 0.9, 0.6]], [(0, 1), (0, 2)], [0.2, 0.4]),
    ],
)
def test_imputation_by_hand(picture, places, expected):
    picture = torch.tensor(picture)[None, None]
    removed = torch.zeros(picture.shape[1:], dtype=torch.bool)
    for row, column in places:
        removed[0, row, column] = True
    filled = study.impute(picture, removed, 0)
    torch.testing.assert_close(filled[0, :, removed[0]][0], torch.tensor(expected))
    assert torch.equal(filled[0, :, ~removed[0]], picture[0, :, ~removed[0]])


def test_imputation_goes_on_with_a_plane_keeps_the_rest_and_adds_noise():
    plane = (torch.arange(16.0)[:, None] + torch.arange(16.0))[None, None].expand(1, 3, -1, -1) / 40
    removed = torch.zeros(1, 16, 16, dtype=torch.bool)
    removed[0, 4:9, 3:12] = True
    torch.testing.assert_close(study.impute(plane, removed, 0), plane)
    noisy = study.impute(plane, removed, 0.05)
    assert torch.equal(noisy[:, :, ~removed[0]], plane[:, :, ~removed[0]])
    assert (noisy - plane)[:, :, removed[0]].std() == pytest.approx(0.05, rel=0.2)


def test_road_knows_the_true_map_from_its_opposite_and_from_noise(monkeypatch):
    monkeypatch.setattr(study, "SHARES", (0.1, 0.3))
    weights = torch.zeros(3, 16, 16)
    weights[:, 4:8, 4:8] = 0.2
    network = Linear(weights).eval()
    images = 0.4 * torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    images[:, :, 4:8, 4:8] += 0.6
    truth = weights.sum(0).expand(2, -1, -1)
    tried = truth, -truth, saliency.random_map(images)
    true, opposite, random = (study.road(network, images, maps) for maps in tried)
    assert (true > 0.05).all()
    assert (opposite < -0.05).all()
    assert (random.abs() < true / 3).all()


def test_maps_that_do_not_depend_on_the_picture_are_not_sensitive(network, images):
    assert study.max_sensitivity(network, images, saliency.input_gradient, 4).max() < 1e-6
    zeros = study.max_sensitivity(network, images, lambda *_: torch.zeros(len(images), 4, 4), 4)
    assert torch.equal(zeros, torch.zeros(len(images)))


def test_max_sensitivity_agrees_with_captum(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), nn.Flatten(), nn.Linear(6 * 14 * 14, 5)).eval()
    inside = images * 0.8 + 0.1
    found = study.max_sensitivity(network, inside, saliency.input_gradient, 200, radius=0.05)

    classes = network(inside).argmax(1)

    def explain(inputs):
        pixels = inputs[0] if isinstance(inputs, tuple) else inputs
        targets = classes.repeat_interleave(len(pixels) // 3)
        return (saliency.input_gradient(network, pixels.detach(), targets)[:, None],)

    theirs = captum.metrics.sensitivity_max(explain, inside, perturb_radius=0.05, n_perturb_samples=200)
    torch.testing.assert_close(found, theirs.float(), rtol=0.1, atol=0)


@pytest.fixture
def layers():
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)
    return nn.Sequential(*parts, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)).eval()


def test_randomised_weights_leave_the_network_alone(layers):
    before = {name: value.clone() for name, value in layers.state_dict().items()}
    state = torch.get_rng_state()
    top = study.randomise_weights(layers, ["6"])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in layers.state_dict().items())
    changed = [name for name, value in top.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["6.weight"]


def test_weights_of_attention_and_of_weight_norm_are_randomised_too():
    attention = nn.Sequential(nn.MultiheadAttention(4, 2), nn.utils.parametrizations.weight_norm(nn.Linear(4, 2)))
    drawn = study.randomise_weights(attention, [name for name, _ in attention.named_modules()])
    for name, weight in attention.named_parameters():
        assert torch.equal(weight, drawn.get_parameter(name)) is (weight.ndim < 2), name


def test_sanity_check_tells_a_gradient_from_an_edge_detector(layers, images):
    edges = study.sanity_check(layers, images, lambda network, x, targets: x.diff(dim=3).abs().amax(1), num_stages=3)
    gradient = study.sanity_check(layers, images, saliency.input_gradient, num_stages=3)
    constant = study.sanity_check(layers, images, lambda network, x, targets: torch.ones(3, 16, 16), num_stages=1)
    assert list(edges) == list(gradient) == ["6", "3", "0"]
    assert all(torch.allclose(values, torch.ones(3, dtype=values.dtype)) for values in edges.values())
    assert gradient["0"].abs().mean() < 0.5
    assert torch.equal(constant["0"], torch.zeros(3))
