"""MNIST-M: the differences of digits and patches of photos.

It is the target domain of Chapter 3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from dlapps.core import assets
from dlapps.core.assets import AssetError
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
    photos: uint8 arrays (H', W', 3), none smaller than a digit.

    Returns uint8 (N, H, W, 3). Raises PictureError for what is not uint8.
    """
    digits = np.asarray(digits)
    backgrounds = [np.asarray(photo) for photo in photos]
    for array in [digits, *backgrounds]:
        if array.dtype != np.uint8:
            raise PictureError(
                f"expected digits and photos uint8, got {array.dtype}; convert them."
            )
    random = np.random.default_rng(seed)
    chosen = random.integers(len(backgrounds), size=len(digits))
    places = random.random((2, len(digits)))  # of the patch in its photo, as shares
    height, width = digits.shape[1:]
    pictures = np.empty((len(digits), height, width, 3), np.uint8)
    for index, photo in enumerate(backgrounds):
        rows = np.flatnonzero(chosen == index)
        patches = sliding_window_view(photo, (height, width, 3))[:, :, 0]
        top = (places[0, rows] * patches.shape[0]).astype(int)
        left = (places[1, rows] * patches.shape[1]).astype(int)
        pictures[rows] = patches[top, left]
    strokes = digits > 0
    pictures[strokes] = 255 - pictures[strokes]
    return pictures


def load_mnist_m(split: str = "train") -> Dataset[np.ndarray]:
    """Make MNIST-M: uint8 (60000, 28, 28, 3) or (10000, 28, 28, 3).

    It is made as published, of digits in the order of `load_mnist` and patches of
    `load_backgrounds`. Unlike the published pictures it has no background in both
    splits: every fourth photo is for the test split alone. `origin` says which digits
    and photos it is made of.
    """
    digits = load_mnist(split)
    photos = split_photos(load_backgrounds(), split)
    pictures = make_mnist_m(digits.images, photos.images, SEED)
    origin = (
        f"MNIST-M of {digits.origin} and {len(photos)} photos ({photos.origin}), "
        f"seed {SEED}"
    )
    return Dataset(pictures, digits.labels, digits.class_names, origin)


def load_backgrounds() -> Dataset[list[np.ndarray]]:
    """Load the photos that patches are cut from, a list of uint8 arrays (H, W, 3).

    They are the 200 of BSDS500 or, if these cannot be fetched, the ten of `load_photos`
    and the twenty of `load_imagenet20`, if these can.
    """
    try:
        folder = assets.fetch("bsds500")
    except AssetError:
        return _load_packaged()
    files = find_pictures(folder)
    images = [np.asarray(read_picture(file)) for file in files]
    names = tuple(file.stem for file in files)
    return Dataset(images, None, (), assets.describe("bsds500"), names)


def _load_packaged() -> Dataset[list[np.ndarray]]:
    photos = load_photos()
    images = photos.images
    names = photos.names
    try:
        more = load_imagenet20()
        images = images + more.images
        names = names + more.names
    except AssetError:
        pass  # no network
    assets.say_once(f"BSDS500: {len(images)} packaged photographs are used instead")
    return Dataset(images, None, (), "packaged", names)


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
    return Dataset(images, None, (), photos.origin, names)
