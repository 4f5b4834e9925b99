"""Grounds and the score of Chapter 3's studies."""

import pytest
import torch

from studies import dann_methods, dann_recipe

torch.set_num_threads(1)


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_proxy_a_distance_is_two_for_separate_domains_and_about_zero_for_equal_ones():
    source, target = features(200, 5), features(200, 5, seed=1)
    assert dann_methods.proxy_a_distance(source, target + 20) == pytest.approx(2)
    assert abs(dann_methods.proxy_a_distance(source, target)) < 0.5


def test_grounds_are_flat_without_contrast_and_noisy_with_it():
    generator = torch.Generator().manual_seed(0)
    for flat in dann_recipe.draw_grounds(5, generator, contrast=0.0):
        assert flat.shape == (5, 3, 28, 28)
        assert float(flat.std((2, 3)).max()) == pytest.approx(0, abs=1e-6)
    for noisy in dann_recipe.draw_grounds(5, generator, contrast=0.3):
        assert float(noisy.std((2, 3)).min()) > 0.01


def test_three_digits_in_four_are_laid_on_grounds_and_the_rest_stay_on_black():
    empty = torch.zeros(400, 3, 28, 28)
    laid = dann_recipe.lay(empty, torch.Generator().manual_seed(0))
    on_black = (laid.amax((1, 2, 3)) == 0).float().mean()
    assert float(on_black) == pytest.approx(0.25, abs=0.06)
