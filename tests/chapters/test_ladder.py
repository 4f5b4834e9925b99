"""Chapter 3's digits are laid on grounds as the library lays them."""

from types import SimpleNamespace

import nbformat
import pytest
import torch
from conftest import CHECKOUT

from dlapps import dann, runtime


@pytest.fixture(scope="module")
def pixels():
    """Four hundred grey images with a bright bar, as pixels."""
    images = torch.zeros(400, 28, 28, dtype=torch.uint8)
    images[:, 6:22, 12:16] = 200
    return dann.batch_to_pixels(images)


@pytest.fixture(scope="module")
def chapter():
    """What the chapter's cells define; nothing is trained."""
    path = CHECKOUT / "notebooks" / "3_domain_adaptation.ipynb"
    names = {"torch": torch, "dann": dann}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.id == "lay":
            exec(cell.source, names)
    return SimpleNamespace(**names)


def test_digits_are_laid_as_the_library_lays_them(chapter, pixels):
    grounds = torch.rand(len(pixels), 3, 28, 28, generator=runtime.make_generator(1))
    laid = chapter.lay(pixels, grounds, runtime.make_generator(0))
    generator = runtime.make_generator(0)
    moved = dann.random_affine(pixels[:, :1], generator, padding="zeros")
    strokes = dann.random_strokes(moved, generator)
    expected = grounds.lerp(grounds.roll(len(grounds) // 2, 0), strokes)
    on_black = (laid == strokes).flatten(1).all(1)
    assert 0.15 < float(on_black.float().mean()) < 0.35
    torch.testing.assert_close(laid[~on_black], expected[~on_black])
