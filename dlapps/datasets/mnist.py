"""Handwritten digits, and pieces of clothing in the same form."""

import functools
import gzip
from pathlib import Path

import numpy as np

from dlapps.core import assets
from dlapps.core.assets import AssetError
from dlapps.datasets.dataset import Dataset, check_split


def load_mnist(split: str = "train") -> Dataset[np.ndarray]:
    """MNIST [LeCun et al. 1998]: uint8 (60000, 28, 28) or (10000, 28, 28).

    Where neither the mirror nor the network gives it, the 5,000 digits of the package
    index: of each digit's 500 the first 400 are train, the others test, shuffled once
    so that the first of them are of all classes, as MNIST's are. A line says so, and so
    does `provenance`.
    """
    try:
        return _load_idx("mnist", split, _digits())
    except AssetError:
        assets.say_once("MNIST could not be reached: 5,000 of its digits instead")
        return _load_mnist_5k(split)


def _load_idx(
    name: str, split: str, class_names: tuple[str, ...]
) -> Dataset[np.ndarray]:
    check_split(split)
    part = "t10k" if split == "test" else "train"
    images, labels = f"{name}-{part}-images", f"{name}-{part}-labels"
    # A bytearray: PyTorch warns of arrays that cannot be written to.
    pixels = np.frombuffer(
        bytearray(assets.fetch(images).read_bytes()), np.uint8, offset=16
    )
    targets = np.frombuffer(
        assets.fetch(labels).read_bytes(), np.uint8, offset=8
    ).astype(np.int64)
    return Dataset(
        pixels.reshape(-1, 28, 28), targets, class_names, assets.provenance(images)
    )


def _load_mnist_5k(split: str) -> Dataset[np.ndarray]:
    table = _read_table(assets.fetch("mnist_5k"))
    pixels, targets = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    rank = np.arange(len(table)) % 500
    chosen = np.random.default_rng(0).permutation(
        np.flatnonzero(rank < 400 if split == "train" else rank >= 400)
    )
    return Dataset(
        pixels[chosen], targets[chosen], _digits(), assets.provenance("mnist_5k")
    )


@functools.cache
def _read_table(path: Path) -> np.ndarray:
    """Rows of 784 pixels and a label, by label. A second to parse, and asked for by
    both splits of both domains.
    """
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[np.argsort(table[:, -1], kind="stable")]


def _digits() -> tuple[str, ...]:
    return tuple("0123456789")
