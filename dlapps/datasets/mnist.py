"""MNIST: handwritten digits."""

import functools
import gzip
from pathlib import Path

import numpy as np

from dlapps.core import assets
from dlapps.core.assets import AssetError
from dlapps.datasets.dataset import Dataset, check_split

DIGITS = tuple("0123456789")
FILES = (
    "mnist-train-images",
    "mnist-train-labels",
    "mnist-t10k-images",
    "mnist-t10k-labels",
)


def load_mnist(split: str = "train") -> Dataset[np.ndarray]:
    """Load MNIST [LeCun et al. 1998]: uint8 (60000, 28, 28) or (10000, 28, 28).

    If it cannot be fetched, 5,000 of its digits come from the package index: of each
    digit's 500 the first 400 are for training, the others for testing. They are
    shuffled once, so that the first of them are of all classes, as MNIST's are. A line
    says so, and so does `origin`.

    Raises OSError if what is fetched cannot be stored, as on a full disk.
    """
    check_split(split)
    try:
        # Both splits, since the 5,000 digits may be among MNIST's own training digits.
        files = {name: assets.fetch(name) for name in FILES}
    except AssetError:
        assets.say_once("MNIST: its 5,000 packaged digits are used")
        return _load_mnist_5k(split)
    part = "t10k" if split == "test" else "train"
    # A header, then a byte for each pixel or label. A bytearray: PyTorch warns of
    # arrays that cannot be written to.
    image_bytes = bytearray(files[f"mnist-{part}-images"].read_bytes())
    label_bytes = files[f"mnist-{part}-labels"].read_bytes()
    images = np.frombuffer(image_bytes, np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(label_bytes, np.uint8, offset=8).astype(np.int64)
    return Dataset(images, labels, DIGITS, assets.describe(f"mnist-{part}-images"))


def _load_mnist_5k(split: str) -> Dataset[np.ndarray]:
    table = _read_table(assets.fetch("mnist_5k"))
    is_train = np.arange(len(table)) % 500 < 400
    rows = np.flatnonzero(is_train if split == "train" else ~is_train)
    rows = np.random.default_rng(0).permutation(rows)
    images = table[rows, :-1].reshape(-1, 28, 28)
    labels = table[rows, -1].astype(np.int64)
    return Dataset(images, labels, DIGITS, assets.describe("mnist_5k"))


@functools.cache
def _read_table(path: Path) -> np.ndarray:
    """Return rows of 784 pixels and a label, sorted by label.

    It is cached, since reading takes a second, and both splits of both domains need it.
    """
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[np.argsort(table[:, -1], kind="stable")]
