"""MNIST-M is made by its published recipe, the same for the same seed, and no photo
serves both splits.
"""

import numpy as np
import pytest
import torch

from dlapps import datasets
from dlapps.core import assets
from dlapps.core.assets import AssetError
from dlapps.core.images import PictureError
from dlapps.datasets import Dataset


@pytest.fixture
def digits():
    strokes = np.random.default_rng(0).integers(0, 256, (40, 6, 5)).astype(np.uint8)
    return np.where(strokes > 180, strokes, 0).astype(np.uint8)


@pytest.fixture
def photos():
    random = np.random.default_rng(1)
    return [
        random.integers(0, 256, shape).astype(np.uint8)
        for shape in ((6, 5, 3), (9, 12, 3), (30, 7, 3))
    ]


def test_by_hand():
    digit = np.array([[[0, 1], [200, 0]]], np.uint8)
    photo = np.array(
        [[[10, 20, 30], [0, 128, 255]], [[250, 5, 99], [1, 2, 3]]], np.uint8
    )
    expected = [[[10, 20, 30], [255, 127, 0]], [[5, 250, 156], [1, 2, 3]]]
    assert datasets.make_mnist_m(digit, [photo], seed=0)[0].tolist() == expected


def test_every_picture_is_the_difference_of_its_digit_and_a_patch_of_a_photo(
    digits, photos
):
    all_places = {}
    for index, photo in enumerate(photos):
        for top in range(photo.shape[0] - 5):
            for left in range(photo.shape[1] - 4):
                patch = photo[top : top + 6, left : left + 5]
                all_places[patch.tobytes()] = (index, top, left)
    pictures = datasets.make_mnist_m(digits, photos, seed=3).astype(int)
    patches = np.abs(pictures - 255 * (digits > 0)[..., None]).astype(np.uint8)
    places = {all_places[patch.tobytes()] for patch in patches}
    assert {place[0] for place in places} == {0, 1, 2}
    assert len(places) > 15


def test_same_seed_same_pictures_of_arrays_or_tensors(digits, photos):
    first = datasets.make_mnist_m(digits, photos, seed=0)
    mixed = [torch.from_numpy(photos[0]), *photos[1:]]
    again = datasets.make_mnist_m(torch.from_numpy(digits), mixed, seed=0)
    other = datasets.make_mnist_m(digits, photos, seed=1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_is_not_uint8_is_refused(digits, photos):
    with pytest.raises(PictureError, match="photos uint8, got float64; convert"):
        datasets.make_mnist_m(digits / 255, photos, seed=0)


def test_without_bsds500_the_photos_of_packages_stand_in(monkeypatch, digits):
    def fetch(name):
        raise AssetError(f"no {name}")

    monkeypatch.setattr("dlapps.core.assets.fetch", fetch)
    monkeypatch.setattr(
        "dlapps.datasets.mnist_m.load_mnist",
        lambda split: Dataset(digits, None, (), "40 digits"),
    )
    made = datasets.load_mnist_m("train")
    assert made.images.shape == (40, 6, 5, 3)
    assert "40 digits" in made.origin
    assert "packaged" in made.origin


def test_no_photo_serves_both_splits():
    photos = datasets.load_photos()
    train = set(datasets.split_photos(photos, "train").names)
    test = set(datasets.split_photos(photos, "test").names)
    assert train
    assert test
    assert not train & test
    assert train | test == set(photos.names)


@pytest.mark.mirror
def test_of_the_mirror():
    if not assets.is_present("bsds500"):
        pytest.skip("no BSDS500: set DLAPPS_DATA")
    made = datasets.load_mnist_m("test")
    digits = datasets.load_mnist("test")
    assert made.images.shape == (10_000, 28, 28, 3)
    assert np.array_equal(made.labels, digits.labels)
    assert "BSDS500" in made.origin
