"""What Chapter 1 needs of the pictures of 15-Scene: features, trainings on pictures, scores of a fine-tuned network."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from PIL import Image
from sklearn.preprocessing import normalize

from dlapps import datasets, paths, pretrained, results, transfer
from dlapps.studies import transfer_training
from dlapps.sweeps import sweep

SEEDS = (0, 1, 2)

# (network, layers, pooling, size, aspect kept): one pass over the pictures each.
SCENES_PASSES = (
    ("vgg16_features", ("pool3", "pool4", "relu5_3", "pool5"), "average+max", 224, False),
    ("vgg16_features", ("relu5_1", "relu5_2", "relu5_3"), "pyramid", 320, True),
    ("squeezenet1_1", ("features.12",), "average", 224, False),
    ("efficientnet_lite0", ("blocks.5", "blocks.6", "bn2"), "average", 320, True),
)
# What is committed of it: these as they are, the pyramid (6,144 numbers a picture) projected.
SCENES_BLOCKS = (
    "vgg16_features pool3 average 224",
    "vgg16_features pool4 average 224",
    "vgg16_features relu5_3 average 224",
    "vgg16_features pool5 average 224",
    "vgg16_features pool5 max 224",
    "vgg16_features relu5_3 average 320 aspect",
    "squeezenet1_1 features.12 average 224",
    "efficientnet_lite0 blocks.5 average 320 aspect",
    "efficientnet_lite0 blocks.6 average 320 aspect",
    "efficientnet_lite0 bn2 average 320 aspect",
)
SCENES_PYRAMID = tuple(f"vgg16_features relu5_{number} quarters 320 aspect" for number in (1, 2, 3))
NUM_PROJECTED = 512
# Both poolings begin with the average: (name of the rest, times as many columns as the average).
PARTS = {"average+max": ("max", 1), "pyramid": ("quarters", 4)}


def extract_scenes(
    network: str, layers: tuple[str, ...], pooling: str, size: int, keep_aspect: bool
) -> dict[str, np.ndarray]:
    """Features float32 (4485, D) of all 15-Scene pictures, train first, named "network layer pooling size [aspect]"."""
    pictures = [*datasets.load_scenes15("train").images, *datasets.load_scenes15("test").images]
    features = transfer.extract_features(
        pretrained.load(network), pictures, layers, pooling, size, keep_aspect, progress=True
    )
    rest, times = PARTS.get(pooling, ("", 0))
    how, blocks = f"{size}{' aspect' if keep_aspect else ''}", {}
    for layer, block in features.items():
        channels = block.shape[1] // (1 + times)
        blocks[f"{network} {layer} average {how}"] = block[:, :channels]
        if rest:
            blocks[f"{network} {layer} {rest} {how}"] = block[:, channels:]
    return blocks


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
    calls = {settings: partial(extract, *settings) for settings in SCENES_PASSES}
    for _, of_one_pass in sweep(calls, "passes over the pictures"):
        blocks |= of_one_pass
    pyramid = np.concatenate([normalize(blocks[name]) for name in SCENES_PYRAMID], axis=1)
    kept = {name: blocks[name] for name in SCENES_BLOCKS}
    kept["vgg16_features relu5 quarters 320 aspect"] = project(pyramid, 1500, NUM_PROJECTED)
    train, test = datasets.load_scenes15("train"), datasets.load_scenes15("test")
    arrays = {name: round_mantissa(block, bits=3) for name, block in kept.items()}
    arrays["labels"] = np.concatenate([train.labels, test.labels]).astype(np.uint8)
    sizes = [Image.open(path).size[::-1] for path in [*train.images, *test.images]]
    arrays["sizes"] = np.array(sizes, dtype=np.uint16)
    arrays["names"] = np.array([*train.names, *test.names])
    arrays["class_names"] = np.array(train.class_names)
    return results.save_arrays("scenes15-features", arrays)


def make_scenes15_experiments() -> Path:
    """What Chapter 1 says of trainings on the pictures; about 20 minutes on two cores."""
    keep = joblib.Memory(paths.cache(), verbose=0).cache
    steps = {10: 150, 25: 250, 50: 400, 100: 600}
    calls: dict[Hashable, Callable[[], Any]] = {
        (number, seed): partial(keep(transfer_training.train_from_nothing), number, steps[number], seed)
        for number in steps
        for seed in SEEDS
    }
    calls |= {
        "grey": keep(transfer_training.compare_grey_inputs),
        "random_weights": partial(keep(transfer_training.random_weights_accuracy), SEEDS[0]),
        "last_block": partial(keep(transfer_training.compare_last_layers), seeds=SEEDS),
    }
    found = dict(sweep(calls, "experiments"))
    parts = {
        "from_nothing": {str(number): [found[number, seed] for seed in SEEDS] for number in steps},
        "grey": found["grey"],
        "random_weights": [found["random_weights"]],
        "last_block": found["last_block"],
    }
    return results.save("scenes15-experiments", parts, SEEDS)


def make_scenes15_finetuned() -> Path:
    """Class scores of EfficientNet-Lite0 with its last stages fine-tuned, for every picture; about 10 minutes."""
    keep = joblib.Memory(paths.cache(), verbose=0).cache
    scores = keep(transfer_training.finetune_lite0)(seeds=SEEDS)
    arrays = {name: values.astype(np.float16) for name, values in scores.items()}
    return results.save_arrays("scenes15-finetuned", arrays)
