"""MNIST-M: the differences of digits and patches of photos.

It is the target domain of Chapter 3.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dlapps.core import assets
from dlapps.core.assets import AssetError, Provenance
from dlapps.core.images import PictureError, find_pictures, read_picture
from dlapps.datasets.dataset import Dataset, check_split
from dlapps.datasets.mnist import load_mnist
from dlapps.datasets.photos import load_imagenet20, load_photos

# Of the patches that `load_mnist_m` draws.
SEED = 0


def make_mnist_m(
    digits: ArrayLike, photos: Sequence[ArrayLike], seed: int
) -> np.ndarray:
    """Compute |patch - digit|, the pictures of MNIST-M [Ganin et al. 2016].

    On the strokes it is the negative of a random patch of a photo, elsewhere the patch.
    Photo, row and column of each patch are drawn uniformly.

    digits: uint8 (N, H, W), a stroke wherever a pixel is above 0.
    photos: uint8 arrays (H', W', 3).

    Returns uint8 (N, H, W, 3). Raises PictureError for other shapes or types, and for a
    photo smaller than a digit.
    """
    digits = np.asarray(digits)
    backgrounds = [np.asarray(photo) for photo in photos]
    _check(digits, backgrounds)
    random = np.random.default_rng(seed)
    chosen = random.integers(len(backgrounds), size=len(digits))
    places = random.random((2, len(digits)))  # of the patch in its photo, as shares
    pictures = np.empty((*digits.shape, 3), np.uint8)
    for index, photo in enumerate(backgrounds):
        rows = np.flatnonzero(chosen == index)
        patches = sliding_window_view(photo, (*digits.shape[1:], 3))[:, :, 0]
        top = (places[0, rows] * patches.shape[0]).astype(int)
        left = (places[1, rows] * patches.shape[1]).astype(int)
        pictures[rows] = patches[top, left]
    strokes = digits > 0
    pictures[strokes] = 255 - pictures[strokes]
    return pictures


def load_mnist_m(split: str = "train") -> Dataset[np.ndarray]:
    """Make MNIST-M: uint8 (60000, 28, 28, 3) or (10000, 28, 28, 3).

    It is made as published, of digits in the order of `load_mnist` and patches of
    BSDS500's training photos or, if they cannot be fetched, of the photos of packages.
    Unlike the published pictures it has no background in both splits: every fourth
    photo is for the test split alone. `provenance` says which digits and photos it is
    made of.
    """
    digits = load_mnist(split)
    photos = split_photos(load_backgrounds(), split)
    pictures = make_mnist_m(digits.images, photos.images, SEED)
    provenance = Provenance(
        f"MNIST-M of {digits.provenance.name} and {len(photos)} photos "
        f"({photos.provenance.name}), seed {SEED}",
        f"{digits.provenance.source}; {photos.provenance.source}",
        f"{digits.provenance.licence}; {photos.provenance.licence}",
    )
    return Dataset(pictures, digits.labels, digits.class_names, provenance)


def load_backgrounds() -> Dataset[list[np.ndarray]]:
    """Load the photos that patches are cut from, a list of uint8 arrays (H, W, 3).

    They are the 200 of BSDS500 or, if these cannot be fetched, the thirty of
    `load_packaged_photos`.
    """
    try:
        folder = assets.fetch("bsds500")
    except AssetError:
        photos = load_packaged_photos()
        assets.say_once(
            f"BSDS500: {len(photos)} packaged photographs are used in its place"
        )
        return photos
    files = find_pictures(folder)
    images = [np.asarray(read_picture(file)) for file in files]
    names = tuple(file.stem for file in files)
    return Dataset(images, None, (), assets.provenance("bsds500"), names)


def load_packaged_photos() -> Dataset[list[np.ndarray]]:
    """Load thirty photos, a list of uint8 arrays (H, W, 3).

    They are the ten of `load_photos` and the twenty of `load_imagenet20`, which are
    left out if they cannot be fetched.
    """
    photos = load_photos()
    own = replace(photos.provenance, name="packaged")
    try:
        more = load_imagenet20()
    except AssetError:  # no network
        return replace(photos, provenance=own)
    provenance = Provenance(
        own.name,
        f"{own.source}; {more.provenance.source}",
        f"{own.licence}; {more.provenance.licence}",
    )
    images = photos.images + more.images
    return Dataset(images, None, (), provenance, photos.names + more.names)


def split_photos(
    photos: Dataset[list[np.ndarray]], split: str
) -> Dataset[list[np.ndarray]]:
    """Return the photos of one split.

    Every fourth photo is for testing, the others are for training.
    """
    check_split(split)
    is_test = split == "test"
    rows = [row for row in range(len(photos)) if (row % 4 == 3) == is_test]
    images = [photos.images[row] for row in rows]
    names = tuple(photos.names[row] for row in rows)
    return Dataset(images, None, (), photos.provenance, names)


def _check(digits: np.ndarray, photos: Sequence[np.ndarray]) -> None:
    if digits.ndim != 3 or digits.dtype != np.uint8 or not len(digits):
        raise PictureError(
            f"expected digits uint8 (N, H, W), got {digits.dtype} {digits.shape}; "
            "convert them."
        )
    if not len(photos):
        raise PictureError(
            "expected at least one photo, got none; pass some to cut patches from."
        )
    height, width = digits.shape[1:]
    for photo in photos:
        is_photo = photo.ndim == 3 and photo.shape[2] == 3 and photo.dtype == np.uint8
        if not is_photo or photo.shape[0] < height or photo.shape[1] < width:
            raise PictureError(
                f"expected photos uint8 (H, W, 3) of at least {height} x {width} "
                f"pixels, got {photo.dtype} {photo.shape}; "
                "convert the photo, or leave a small one out."
            )
