"""Chapter 3's random grounds are those of the library and of the long trainings."""

from types import SimpleNamespace

import nbformat
import pytest
import torch
from conftest import CHECKOUT

from dlapps import dann, runtime

CELLS = ("lay", "smooth")


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
    sources = {}
    for cell in nbformat.read(path, as_version=4).cells:
        sources[cell.id] = cell.source
    digits = torch.zeros(4, 28, 28, dtype=torch.uint8)
    names = {"torch": torch, "dann": dann, "runtime": runtime, "seed": 0}
    names["source"] = SimpleNamespace(images=digits)
    for name in CELLS:
        exec(sources[name], names)
    exec(sources["textures"].partition("on_ours")[0], names)
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


def test_textures_are_those_of_the_library(chapter):
    ours = chapter.textures(100, runtime.make_generator(0))
    library = dann.random_textures(100, (28, 28), runtime.make_generator(0))
    torch.testing.assert_close(ours, library, rtol=0, atol=1e-3)
