"""The grounds of Chapter 3's studies."""

import pytest
import torch

from studies import dann_recipe

torch.set_num_threads(1)


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
