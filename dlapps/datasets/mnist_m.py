"""MNIST-M: digits laid on patches of photos by their difference, the target domain of
Chapter 3.
"""

from collections.abc import Sequence
from contextlib import suppress
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


def make_mnist_m(
    digits: ArrayLike, photos: Sequence[ArrayLike], seed: int
) -> np.ndarray:
    """|patch - digit|: on the strokes the negative of a random patch of a photo,
    elsewhere the patch.

    digits: uint8 (N, H, W), a stroke wherever a pixel is above 0; photos: uint8 arrays
    (H', W', 3). Photo, row and column of each patch are drawn uniformly. Returns uint8
    (N, H, W, 3). Raises PictureError for other shapes or types, and for a photo smaller
    than a digit (Ganin et al. 2016).
    """
    digits, backgrounds = np.asarray(digits), [np.asarray(photo) for photo in photos]
    _check(digits, backgrounds)
    random, height, width = np.random.default_rng(seed), *digits.shape[1:]
    chosen = random.integers(len(backgrounds), size=len(digits))
    places = random.random((2, len(digits)))
    pictures = np.empty((*digits.shape, 3), np.uint8)
    for index, photo in enumerate(backgrounds):
        rows = np.flatnonzero(chosen == index)
        patches = sliding_window_view(photo, (height, width), axis=(0, 1))
        top, left = (places[:, rows] * np.reshape(patches.shape[:2], (2, 1))).astype(
            int
        )
        pictures[rows] = np.moveaxis(patches[top, left], 1, -1)
    # 255 - patch is patch with every bit flipped.
    pictures ^= np.where(digits > 0, 255, 0).astype(np.uint8)[..., None]
    return pictures


def load_mnist_m(split: str = "train", seed: int = 0) -> Dataset[np.ndarray]:
    """MNIST-M as published: uint8 (60000, 28, 28, 3) or (10000, 28, 28, 3), in the
    order of `load_mnist`.

    Patches come from BSDS500's training photos where they can be had, else from the
    photos of installed packages; every fourth photo serves the test split alone, so
    that no background is seen in both. `provenance` says of what it is.
    """
    digits, photos = load_mnist(split), split_photos(load_backgrounds(), split)
    pictures = make_mnist_m(digits.images, photos.images, seed)
    made_of = (digits.provenance, photos.provenance)
    name = f"MNIST-M of {made_of[0].name} and {len(photos)} photos ({made_of[1].name}), seed {seed}"
    source = "; ".join(part.source for part in made_of)
    licence = "; ".join(part.licence for part in made_of)
    return replace(
        digits, images=pictures, provenance=Provenance(name, source, licence)
    )


def load_backgrounds() -> Dataset[list[np.ndarray]]:
    """The photos that patches are cut from, a list of uint8 arrays (H, W, 3):
    BSDS500's, else those of packages.

    Packages have thirty: ten of installed ones, and the twenty ImageNet pictures of the
    package index.
    """
    try:
        files = find_pictures(assets.fetch("bsds500"))
    except AssetError:
        photos = load_packaged_photos()
        assets.say_once(
            f"BSDS500 could not be reached: {len(photos)} packaged photographs instead"
        )
        return photos
    images = [np.asarray(read_picture(file)) for file in files]
    names = tuple(file.stem for file in files)
    return Dataset(images, None, (), assets.provenance("bsds500"), names)


def load_packaged_photos() -> Dataset[list[np.ndarray]]:
    """Thirty photos of packages, a list of uint8 arrays (H, W, 3): `load_photos`, and
    the twenty ImageNet pictures.
    """
    parts: list[Dataset[list[np.ndarray]]] = [load_photos()]
    with suppress(AssetError):  # without any network
        parts.append(load_imagenet20())
    photos = [photo for part in parts for photo in part.images]
    names = tuple(name for part in parts for name in part.names)
    source = "; ".join(part.provenance.source for part in parts)
    licence = "; ".join(part.provenance.licence for part in parts)
    return Dataset(photos, None, (), Provenance("packaged", source, licence), names)


def split_photos(
    photos: Dataset[list[np.ndarray]], split: str
) -> Dataset[list[np.ndarray]]:
    """The photos of one split: every fourth is for testing, the others for training."""
    check_split(split)
    rows = [row for row in range(len(photos)) if (row % 4 == 3) == (split == "test")]
    images, names = (
        [photos.images[row] for row in rows],
        tuple(photos.names[row] for row in rows),
    )
    return Dataset(images, None, (), photos.provenance, names)


def _check_digits(digits: np.ndarray) -> None:
    if digits.ndim != 3 or digits.dtype != np.uint8 or not len(digits):
        raise PictureError(
            f"expected digits uint8 (N, H, W), got {digits.dtype} {digits.shape}; convert them."
        )


def _check(digits: np.ndarray, photos: Sequence[np.ndarray]) -> None:
    _check_digits(digits)
    if not len(photos):
        raise PictureError(
            "expected at least one photo, got none; pass some to cut patches from."
        )
    for photo in photos:
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise PictureError(
                f"expected photos uint8 (H, W, 3), got {photo.dtype} {photo.shape}; convert them."
            )
        if photo.shape[0] < digits.shape[1] or photo.shape[1] < digits.shape[2]:
            raise PictureError(
                f"expected photos of at least {digits.shape[1]} x {digits.shape[2]} pixels, got {photo.shape[0]} x "
                f"{photo.shape[1]}; enlarge it or leave it out."
            )
