"""15-Scene: its pictures, and the features of them that come with the code."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.preprocessing import normalize

from dlapps.core import assets, paths
from dlapps.core.assets import AssetError
from dlapps.core.checks import check_name
from dlapps.datasets.dataset import Dataset, check_split
from dlapps.datasets.folder import load_folder

# Its EXIF tag says that it lies on its side, but it stands upright as it is stored.
UPRIGHT_AS_STORED = "kitchen/image_0172.jpg"
SCENES15_COUNTS = {"train": 1500, "test": 2985}
NUM_TRAIN = SCENES15_COUNTS["train"]


def load_scenes15(split: str) -> Dataset[list[Path | np.ndarray]]:
    """Load the practical's split of 15-Scene [Lazebnik et al. 2006].

    It has 1,500 pictures for training, 100 of each class, and 2,985 for testing. They
    are paths; the one picture whose file has a wrong EXIF tag is an array. Raises
    AssetError if the pictures cannot be fetched; `load_scenes15_features` loads
    features of them even then.
    """
    check_split(split)
    scenes = load_folder(assets.fetch("scenes15") / split, check=False)
    if len(scenes) != SCENES15_COUNTS[split]:
        raise AssetError(
            f"expected {SCENES15_COUNTS[split]:,} {split} pictures, "
            f"got {len(scenes):,}; fetch them again."
        )
    pictures: list[Path | np.ndarray] = list(scenes.images)
    if UPRIGHT_AS_STORED in scenes.names:
        place = scenes.names.index(UPRIGHT_AS_STORED)
        pictures[place] = _read_as_stored(scenes.images[place])
    provenance = assets.provenance("scenes15")
    return Dataset(
        pictures, scenes.labels, scenes.class_names, provenance, scenes.names
    )


def _read_as_stored(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@dataclass(frozen=True)
class SceneFeatures:
    """Features of all 15-Scene pictures, those for training first.

    The pictures themselves cannot be committed.

    blocks: a matrix (4485, D) float32 for each name, such as "vgg16_features pool5
        average 224".
    labels: int64 (4485,).
    sizes: (4485, 2), height and width in pixels.
    names: "bedroom/image_0001.jpg" and so on.
    """

    blocks: dict[str, np.ndarray]
    labels: np.ndarray
    sizes: np.ndarray
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
            pictures.append(_read_as_stored(folder / split / self.names[row]))
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
    arrays: dict[str, np.ndarray] = {}
    for filename in ("scenes15-features.npz", "scenes15-quarters.npz"):
        path = paths.require_network(filename, "the features of 15-Scene")
        with np.load(path) as file:
            arrays |= dict(file)
    labels = arrays.pop("labels").astype(np.int64)
    sizes = arrays.pop("sizes")
    names = tuple(arrays.pop("names"))
    class_names = tuple(arrays.pop("class_names"))
    blocks = {name: from_bytes(values) for name, values in arrays.items()}
    return SceneFeatures(blocks, labels, sizes, names, class_names)


def load_scenes15_maps() -> tuple[np.ndarray, np.ndarray]:
    """Load what the last stage of EfficientNet-Lite0 is given, and the classes.

    Returns maps float32 (600, 192, 7, 7) of forty training pictures of each class, at
    224 x 224, and their labels int64 (600,), class by class. Each number was stored in
    one byte.
    """
    path = paths.require_network("scenes15-maps.npz", "the feature maps")
    with np.load(path) as arrays:
        maps = arrays["maps"].astype(np.float32) * arrays["scales"]
        rows = arrays["rows"]
    # The blocks of features are left undecoded.
    path = paths.require_network("scenes15-features.npz", "the features of 15-Scene")
    with np.load(path) as arrays:
        labels = arrays["labels"].astype(np.int64)
    return maps, labels[rows]
