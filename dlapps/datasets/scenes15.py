"""15-Scene: features of its pictures, which come with the code."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.preprocessing import normalize
from torch import Tensor

from dlapps.core import assets, paths
from dlapps.core.checks import check_name

NUM_TRAIN = 1500


def read_as_stored(path: Path) -> np.ndarray:
    """Read a picture uint8 (H, W, 3); one of its EXIF tags is wrong, so none counts."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@dataclass(frozen=True)
class SceneFeatures:
    """Features of all 15-Scene pictures, those for training first.

    The pictures themselves cannot be committed.

    blocks: a matrix (4485, D) float32 for each recipe. "pool3", "pool4" and "pool5" are
        averages of VGG16's maps, of images of 224 x 224 pixels. "pool5 untrained" has
        random weights; its rows have length 1, less the mean of the training rows.
        "Lite2" are the last four layers of EfficientNet-Lite2, of 352 x 352 pixels,
        projected on 512 numbers.
    labels: int64 (4485,).
    names: "bedroom/image_0001.jpg" and so on.
    """

    blocks: dict[str, np.ndarray]
    labels: np.ndarray
    names: tuple[str, ...]
    class_names: tuple[str, ...]

    def split(
        self, block: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return X_train (1500, D), y_train, X_test (2985, D) and y_test of a block.

        Each row of features is L2-normalised. Raises ValueError for an unknown block.
        """
        check_name("a block", block, self.blocks)
        X_train, X_test = np.split(normalize(self.blocks[block]), [NUM_TRAIN])
        y_train, y_test = np.split(self.labels, [NUM_TRAIN])
        return X_train, y_train, X_test, y_test

    @property
    def has_pictures(self) -> bool:
        """Whether the pictures themselves are stored."""
        return assets.is_present("scenes15")

    def pictures(self, rows: Iterable[int]) -> list[np.ndarray]:
        """Load the pictures of these rows, uint8 (H, W, 3).

        Raises AssetError if they cannot be fetched.
        """
        folder = assets.fetch("scenes15")
        pictures = []
        for row in rows:
            split = "train" if row < NUM_TRAIN else "test"
            pictures.append(read_as_stored(folder / split / self.names[row]))
        return pictures


def from_bytes(values: np.ndarray) -> np.ndarray:
    """Convert floats of one byte to float32.

    uint8 has 5 bits of exponent and 3 of mantissa, int8 a sign, 5 bits of exponent and
    2 of mantissa. Both are the first bits of a float16, uint8 those after its sign.
    """
    dropped = 8 if values.dtype == np.int8 else 7
    bits = values.view(np.uint8).astype(np.uint16) << dropped
    return bits.view(np.float16).astype(np.float32)


def load_scenes15_features() -> SceneFeatures:
    """Load the features of 15-Scene that come with the code.

    A study in data/studies of the repository made them from the pictures.
    """
    path = paths.require_network("scenes15-features.npz", "the features of 15-Scene")
    with np.load(path) as file:
        arrays = dict(file)
    labels = arrays.pop("labels").astype(np.int64)
    names = tuple(arrays.pop("names"))
    class_names = tuple(arrays.pop("class_names"))
    blocks = {name: from_bytes(values) for name, values in arrays.items()}
    return SceneFeatures(blocks, labels, names, class_names)


def load_scenes15_maps() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Load what the last stage of EfficientNet-Lite0 is given: X, y, X_test, y_test.

    Maps float32 (450, 192, 7, 7) and labels int64 (450,), thirty training images of
    each class at 224 x 224; and ten others of each class, 150. Each number was stored
    in one byte.
    """
    path = paths.require_network("scenes15-maps.npz", "the feature maps")
    with np.load(path) as arrays:
        maps = torch.from_numpy(arrays["maps"] * arrays["scales"])
        rows = arrays["rows"]
    # The blocks of features are left undecoded.
    path = paths.require_network("scenes15-features.npz", "the features of 15-Scene")
    with np.load(path) as arrays:
        labels = torch.from_numpy(arrays["labels"].astype(np.int64)[rows])
    is_test = torch.arange(len(rows)) % 4 == 0
    return maps[~is_test], labels[~is_test], maps[is_test], labels[is_test]
