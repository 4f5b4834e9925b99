"""Maps by covered pixels against the parts of a linear score, and the pointing game."""

from functools import partial

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from dlapps import saliency
from studies import saliency_methods as study

torch.set_num_threads(1)

CORNERS = [(0, 0), (0, 8), (6, 0), (6, 8)]
FIRST = torch.zeros(3, dtype=torch.long)


class Linear(nn.Module):
    """Logits (w . x, 0); probabilities near 1/2 are nearly linear too."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        score = (x * self.weights).sum((1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.fixture(scope="module")
def network():
    weights = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Linear(1e-3 * weights).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_the_truth_wins_the_game_and_what_knows_nothing_is_right_once_in_four():
    truth = torch.zeros(1, 4, 12, 16)
    for cell, (top, left) in enumerate(CORNERS):
        truth[0, cell, top : top + 6, left : left + 8] = 1
    assert torch.equal(study.find_hits(truth), torch.ones(1, 4).double())
    shifted = truth.roll(8, 3)
    assert torch.equal(study.find_hits(shifted), torch.zeros(1, 4).double())
    assert (study.find_hits(torch.zeros(1, 4, 12, 16)) == 0.25).all()
    random = saliency.random_map(torch.zeros(4000, 3, 4, 4)).view(1000, 4, 4, 4)
    assert study.find_hits(random).mean() == pytest.approx(0.25, abs=0.03)


def test_occlusion_of_a_linear_score_by_hand(network, images):
    part = ((images - 0.5) * network.weights).sum(1)
    alone = study.occlusion(network, images, FIRST, window=1, stride=1)
    torch.testing.assert_close(alone, part, atol=1e-7, rtol=1e-4)
    # Windows at 0, 4, 8, 12 cover each pixel once: it gets what its window adds to the
    # score.
    blocks = study.occlusion(network, images, FIRST, window=4, stride=4)
    sums = 16 * nn.functional.avg_pool2d(part[:, None], 4)[:, 0]
    torch.testing.assert_close(blocks[:, ::4, ::4], sums, atol=1e-6, rtol=1e-4)
    assert study.occlusion(network, images, FIRST, window=6, stride=5).isfinite().all()


def test_rise_finds_what_a_linear_score_is_made_of(network, images):
    maps = study.rise(network, images, FIRST, num_masks=1500, cells=16)
    part = ((images - 0.5) * network.weights).sum(1)
    for found, expected in zip(maps, part, strict=True):
        assert spearmanr(found.flatten(), expected.flatten()).statistic > 0.85
    # A probability near 1/2 has a quarter of the score's slope, and the variance of a
    # mask is half its mean.
    slope = (maps * part).sum() / part.square().sum()
    assert slope.item() == pytest.approx(0.25 * 0.5, rel=0.1)


@pytest.mark.parametrize(
    "explain",
    [partial(study.occlusion, window=16, stride=16), partial(study.rise, num_masks=40)],
)
def test_one_pass_gives_the_maps_of_several_classes(network, images, explain):
    both = explain(network, images, torch.tensor([[0, 1], [1, 0], [0, 1]]))
    assert both.shape == (3, 2, 16, 16)
    second = explain(network, images, torch.tensor([1, 0, 1]))
    torch.testing.assert_close(both[:, 1], second)
