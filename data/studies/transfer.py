"""Chapter 1's features of 15-Scene, and how good each recipe is on random splits.

Features are made once from the pictures, which may not be redistributed; the chapter
needs nothing else of them.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import nn

from dlapps import datasets, pretrained
from dlapps.core.images import stack_pixels, to_picture
from dlapps.core.runtime import make_generator
from dlapps.datasets.scenes15 import from_bytes
from dlapps.transfer import layer_outputs
from labreport import results
from labreport.report import find_report
from studies.pictures import load_scenes15

NUM_TRAIN = 1500
NUM_SPLITS = 10
PER_CLASS = 100
COSTS = (1, 3, 10, 30, 100)
LARGE = 320
LITE_SIZE = 352
LITE_LAYERS = ("blocks.4", "blocks.5", "blocks.6", "bn2")
# Training pictures of each class whose maps are committed, and their size.
NUM_MAPS = 40
MAP_SIZE = 224


def load_scenes() -> tuple[list[Path | np.ndarray], np.ndarray]:
    """All pictures of 15-Scene, the 1,500 to train on first, and labels (4485,)."""
    train = load_scenes15("train")
    test = load_scenes15("test")
    images = list(train.images) + list(test.images)
    return images, np.concatenate([train.labels, test.labels])


def untrained_vgg16(seed: int) -> pretrained.PixelNetwork:
    """VGG16's convolutions with random weights, drawn as by He et al. (2015)."""
    network = pretrained.load("vgg16_features")
    generator = make_generator(seed)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(
                layer.weight, nonlinearity="relu", generator=generator
            )
            nn.init.zeros_(layer.get_parameter("bias"))
    return network


def extract(
    network: pretrained.PixelNetwork,
    layers: tuple[str, ...],
    size: int,
    keep_aspect: bool = False,
) -> dict[str, np.ndarray]:
    """Average and maximum of each layer, float32 (4485, 2, C), of all pictures.

    size: of the square they are resized to; with keep_aspect, their shorter side.
    """
    images, _ = load_scenes()
    rows: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    for image in images:
        shape = (size, size)
        if keep_aspect:
            width, height = to_picture(image).size
            scale = size / min(width, height)
            shape = (round(height * scale), round(width * scale))
        outputs = layer_outputs(network, stack_pixels([image], shape), layers)
        for layer, maps in outputs.items():
            both = torch.stack([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
            rows[layer].append(both[0].cpu().numpy())
    return {layer: np.stack(parts) for layer, parts in rows.items()}


def join(averages: list[np.ndarray]) -> np.ndarray:
    """Rows of several layers side by side, each of length 1, as 512 numbers.

    The rows are projected on the directions in which the training rows have most
    energy, so that no recipe has more numbers than pool5.
    """
    rows = np.hstack([normalize(average) for average in averages])
    _, _, directions = np.linalg.svd(rows[:NUM_TRAIN], full_matrices=False)
    return rows @ directions[:512].T


def centre(average: np.ndarray) -> np.ndarray:
    """Rows of length 1 less the mean of the training rows."""
    rows = normalize(average)
    return rows - rows[:NUM_TRAIN].mean(0)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Values rounded to one byte each, which `datasets.scenes15.from_bytes` reads.

    uint8 for values from 0 on, int8 for any: floats of 5 bits of exponent, and 3 bits
    of mantissa or a sign and 2 bits. The relative error is 1/16 or 1/8 at most.
    """
    signed = bool(values.min() < 0)
    dropped = 8 if signed else 7
    raw = values.astype(np.float16).view(np.uint16).astype(np.uint32)
    rounded = (raw + (1 << (dropped - 1))) >> dropped
    return rounded.astype(np.uint8).view(np.int8 if signed else np.uint8)


def make_scenes15_features() -> Path:
    """Make the features of Chapter 1, and those that only the random splits use.

    It takes about half an hour on one core.
    """
    vgg16 = pretrained.load("vgg16_features")
    small = extract(vgg16, ("pool3", "pool4", "pool5"), 224)
    large = extract(vgg16, ("relu5_1", "relu5_2", "relu5_3", "pool5"), LARGE, True)
    lite2 = extract(pretrained.load("efficientnet_lite2"), LITE_LAYERS, LITE_SIZE)
    untrained = extract(untrained_vgg16(0), ("pool5",), 224)
    last_three = [large[layer][:, 0] for layer in ("relu5_1", "relu5_2", "relu5_3")]
    others = {
        "pool5 maximum": to_bytes(small["pool5"][:, 1]),
        "pool5 of larger images": to_bytes(large["pool5"][:, 0]),
        "three layers of larger images": to_bytes(join(last_three)),
    }
    results.save_arrays("scenes15-others", others)
    blocks = {
        "pool3": small["pool3"][:, 0],
        "pool4": small["pool4"][:, 0],
        "pool5": small["pool5"][:, 0],
        "pool5 untrained": centre(untrained["pool5"][:, 0]),
        "Lite2": join([lite2[layer][:, 0] for layer in LITE_LAYERS]),
    }
    return save_features(blocks)


def load_block(recipe: str) -> np.ndarray:
    """Features (4485, D) of a recipe, of which the library has those of the chapter."""
    blocks = datasets.load_scenes15_features().blocks
    if recipe in blocks:
        return blocks[recipe]
    return from_bytes(results.load_arrays("scenes15-others")[recipe])


def save_features(blocks: dict[str, np.ndarray]) -> Path:
    """Write blocks (4485, D) in a byte a number, with labels and names."""
    arrays = {name: to_bytes(block) for name, block in blocks.items()}
    train = load_scenes15("train")
    test = load_scenes15("test")
    labels = np.concatenate([train.labels, test.labels])
    arrays["labels"] = labels.astype(np.uint8)
    arrays["names"] = np.array(list(train.names) + list(test.names))
    arrays["class_names"] = np.array(train.class_names)
    return results.save_arrays("scenes15-features", arrays, find_report().networks)


def make_scenes15_maps() -> Path:
    """Make the maps that the last stage of EfficientNet-Lite0 is given.

    They are those of 40 training pictures of each class at 224 x 224, rounded to whole
    numbers of bytes: a map is its byte times the scale of its channel.
    """
    images, labels = load_scenes()
    rows = np.sort(draw_rows(labels[:NUM_TRAIN], NUM_MAPS, seed=0))
    network = pretrained.load("efficientnet_lite0")
    parts = []
    for row in rows:
        pixels = stack_pixels([images[row]], MAP_SIZE)
        parts.append(layer_outputs(network, pixels, ["blocks.5"])["blocks.5"])
    maps = torch.cat(parts).numpy()  # (600, 192, 7, 7)
    scales = np.abs(maps).max((0, 2, 3), keepdims=True) / 127
    arrays = {
        "maps": np.round(maps / scales).astype(np.int8),
        "scales": scales[0].astype(np.float32),
        "rows": rows.astype(np.uint16),
    }
    return results.save_arrays("scenes15-maps", arrays, find_report().networks)


def draw_rows(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Rows of so many random pictures of each class."""
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        chosen.append(random.permutation(np.flatnonzero(labels == label))[:number])
    return np.concatenate(chosen)


def draw_split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, 100 random ones of each class, and all others to test on.

    This is the protocol of Lazebnik et al. (2006).
    """
    rows = draw_rows(labels, PER_CLASS, seed)
    return rows, np.setdiff1d(np.arange(len(labels)), rows)


def fit_svm(
    X: np.ndarray, y: np.ndarray, costs: tuple[float, ...] = COSTS
) -> LinearSVC:
    """A linear SVM with the best C in five-fold cross-validation."""
    search = GridSearchCV(LinearSVC(random_state=0), {"C": list(costs)}, cv=5)
    return search.fit(X, y).best_estimator_
