"""Chapter 3's random grounds are those of the library and of the long trainings."""

from dataclasses import replace
from types import SimpleNamespace

import nbformat
import pytest
import torch
from conftest import CHECKOUT

from dlapps import dann, runtime
from studies import dann_methods

CELLS = ("move", "flat", "white", "smooth", "textures", "climb-textures")


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
    return SimpleNamespace(**names)


def test_textures_are_laid_as_the_library_lays_them(chapter, pixels):
    without_negatives = replace(dann.IMPROVED, negative=0.0, textures=1.0)
    expected = dann.augment_source(pixels, runtime.make_generator(0), without_negatives)
    laid = chapter.on_textures(pixels, runtime.make_generator(0))
    on_black = laid[:, :, 0].abs().amax((1, 2)) == 0
    assert 0.15 < float(on_black.float().mean()) < 0.35
    difference = (laid - expected)[~on_black].abs()
    assert float(difference.mean()) < 1e-5


@pytest.mark.parametrize(("rung", "contrast"), [("on_flat", 0.0), ("on_noise", 0.32)])
def test_colours_and_noise_are_those_of_the_long_trainings(
    chapter, pixels, rung, contrast
):
    ours = getattr(chapter, rung)(pixels, runtime.make_generator(0))
    theirs = dann_methods.lay_on_grounds(pixels, runtime.make_generator(1), contrast)
    for laid in (ours, theirs):
        assert laid.shape == pixels.shape
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=0.03)
    within = ours.std((2, 3)).mean()
    assert float(within) == pytest.approx(float(theirs.std((2, 3)).mean()), abs=0.02)
