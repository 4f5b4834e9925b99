"""Long computations on data that cannot be committed: their small results are, and the notebooks read those.

`dlapps data make NAME` runs one of `STUDIES` and replaces its file in data/results. Each step is kept in data/cache as
soon as it is done, so that a stopped study goes on where it was.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.preprocessing import normalize

from dlapps import datasets, paths, pretrained, transfer

# (network, layers, pooling, size, aspect kept): one pass over the pictures each.
SCENES_PASSES = (
    ("vgg16_features", ("pool3", "pool4", "relu5_1", "relu5_3", "pool5"), "average", 224, False),
    ("vgg16_features", ("pool4", "pool5"), "max", 224, False),
    ("squeezenet1_1", ("features.7", "features.12"), "average", 224, False),
    ("efficientnet_lite0", ("blocks.4", "blocks.5", "blocks.6", "bn2"), "average", 320, True),
)


def block_name(network: str, layer: str, pooling: str, size: int, keep_aspect: bool) -> str:
    """How a block of features is called: "efficientnet_lite0 blocks.6 average 320 aspect"."""
    return f"{network} {layer} {pooling} {size}{' aspect' if keep_aspect else ''}"


def extract_scenes(
    network: str, layers: tuple[str, ...], pooling: str, size: int, keep_aspect: bool
) -> dict[str, np.ndarray]:
    """Features float32 (4485, D) of all 15-Scene pictures, train first, under their block names."""
    pictures = [*datasets.load_scenes15("train").images, *datasets.load_scenes15("test").images]
    features = transfer.extract_features(
        pretrained.load(network), pictures, layers, pooling, size, keep_aspect, progress=True
    )
    return {block_name(network, layer, pooling, size, keep_aspect): block for layer, block in features.items()}


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """float16 with `bits` of its 10 mantissa bits kept, the rest zero, so that a file of them compresses well.

    The relative error is at most 2 ** -(bits + 1).
    """
    dropped = 10 - bits
    raw = values.astype(np.float16).view(np.uint16).astype(np.uint32)
    rounded = ((raw + (1 << (dropped - 1))) >> dropped) << dropped
    return rounded.astype(np.uint16).view(np.float16)


def project(block: np.ndarray, num_train: int, num_dimensions: int) -> np.ndarray:
    """The block (N, D) in the coordinates (N, num_dimensions) in which its training rows have the most energy.

    An uncentred PCA of rows that are L2-normalised first: products between rows, all that a linear SVM sees, are kept
    up to the energy left out. Only training rows choose the coordinates.
    """
    rows = normalize(block)
    _, _, directions = np.linalg.svd(rows[:num_train], full_matrices=False)
    return rows @ directions[:num_dimensions].T


def make_scenes15_features() -> Path:
    """The features that Chapter 1 works with, from the pictures; about 20 minutes on two cores."""
    extract = joblib.Memory(paths.cache(), verbose=0).cache(extract_scenes)
    blocks: dict[str, np.ndarray] = {}
    for settings in SCENES_PASSES:
        blocks |= extract(*settings)
    train, test = datasets.load_scenes15("train"), datasets.load_scenes15("test")
    arrays = {name: round_mantissa(block, bits=4) for name, block in blocks.items()}
    arrays["labels"] = np.concatenate([train.labels, test.labels]).astype(np.uint8)
    arrays["sizes"] = np.array([Image.open(path).size[::-1] for path in [*train.images, *test.images]], dtype=np.uint16)
    arrays["names"] = np.array([*train.names, *test.names])
    arrays["class_names"] = np.array(train.class_names)
    return save_arrays(paths.results() / "scenes15-features.npz", arrays)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write an .npz that NumPy reads, compressed by LZMA column by column: a third smaller than savez_compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asfortranarray(array), allow_pickle=False)
            # A fixed date: the same arrays give the same file.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)
    return temporary.replace(path)


STUDIES: dict[str, Callable[[], Path]] = {"scenes15-features": make_scenes15_features}
