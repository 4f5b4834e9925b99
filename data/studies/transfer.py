"""What Chapter 1 needs of the pictures of 15-Scene: features, and trainings on pictures."""

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.preprocessing import normalize

from dlapps import datasets, pretrained, transfer
from dlapps.core import results
from dlapps.core.sweeps import keep, sweep
from studies import transfer_training
from studies.transfer_finetuning import SIZE, stage_averages

SEEDS = (0, 1, 2)

# (network, layers, pooling, size, keep_aspect): one pass over the pictures each.
SCENES_PASSES = (
    ("vgg16_features", ("pool3", "pool4", "relu5_3", "pool5"), "average+max", 224, False),
    ("vgg16_features", ("relu5_1", "relu5_2", "relu5_3"), "pyramid", 320, True),
    ("squeezenet1_1", ("features.12",), "average", 224, False),
)
# What is committed of it: these as they are, the pyramid (6,144 numbers a picture) projected, as is what four stages of
# an EfficientNet-Lite say.
SCENES_BLOCKS = (
    "vgg16_features pool3 average 224",
    "vgg16_features pool4 average 224",
    "vgg16_features relu5_3 average 224",
    "vgg16_features pool5 average 224",
    "vgg16_features pool5 max 224",
    "vgg16_features relu5_3 average 320 aspect",
    "squeezenet1_1 features.12 average 224",
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


def to_bytes(values: np.ndarray) -> np.ndarray:
    """One byte a number, which `datasets.from_bytes` reads: uint8 for values from 0 on, int8 for any.

    Floats of 5 bits of exponent, and 3 bits of mantissa or a sign and 2 bits: a relative error of 1/16 or 1/8 at most.
    """
    signed = bool(values.min() < 0)
    dropped = 8 if signed else 7
    raw = values.astype(np.float16).view(np.uint16).astype(np.uint32)
    rounded = (raw + (1 << (dropped - 1))) >> dropped
    return rounded.astype(np.uint8).view(np.int8 if signed else np.uint8)


def project(block: np.ndarray, num_train: int, num_dimensions: int) -> np.ndarray:
    """The block (N, D) in the coordinates (N, num_dimensions) in which its training rows have the most energy.

    An uncentred PCA of rows that are L2-normalised first: products between rows, all that a linear SVM sees, are kept
    up to the energy left out. Only training rows choose the coordinates, those that
    cross-validation holds out among them.
    """
    rows = normalize(block)
    _, _, directions = np.linalg.svd(rows[:num_train], full_matrices=False)
    return rows @ directions[:num_dimensions].T


def make_scenes15_features() -> Path:
    """The features that Chapter 1 works with, from the pictures; about 20 minutes on two cores."""
    blocks: dict[str, np.ndarray] = {}
    calls = {settings: partial(keep(extract_scenes), *settings) for settings in SCENES_PASSES}
    for _, of_one_pass in sweep(calls, "passes over the pictures"):
        blocks |= of_one_pass
    pyramid = np.concatenate([normalize(blocks[name]) for name in SCENES_PYRAMID], axis=1)
    committed = {name: blocks[name] for name in SCENES_BLOCKS}
    committed["vgg16_features relu5 quarters 320 aspect"] = project(pyramid, 1500, NUM_PROJECTED)
    for name in ("efficientnet_lite0", "efficientnet_lite2"):
        side_by_side = np.concatenate([normalize(block) for block in stage_averages(name)], axis=1)
        committed[f"{name} stages average {SIZE} mirrored"] = project(side_by_side, 1500, NUM_PROJECTED)
    train, test = datasets.load_scenes15("train"), datasets.load_scenes15("test")
    arrays = {name: to_bytes(block) for name, block in committed.items()}
    arrays["labels"] = np.concatenate([train.labels, test.labels]).astype(np.uint8)
    sizes = [Image.open(path).size[::-1] for path in [*train.images, *test.images]]
    arrays["sizes"] = np.array(sizes, dtype=np.uint16)
    arrays["names"] = np.array([*train.names, *test.names])
    arrays["class_names"] = np.array(train.class_names)
    return results.save_arrays("scenes15-features", arrays)


def make_scenes15_experiments() -> Path:
    """What Chapter 1 says of trainings on the pictures; about 20 minutes on two cores."""
    train = keep(transfer_training.train_from_nothing)
    # (pictures of each class, updates): those of 100 pictures for 20, 60 and 180 epochs.
    scratch = {
        "10": (10, 150),
        "25": (25, 250),
        "50": (50, 400),
        "100": (100, 600),
        "100 for 60 epochs": (100, 1800),
        "100 for 180 epochs": (100, 5400),
    }
    calls: dict[Hashable, Callable[[], Any]] = {
        (run, seed): partial(train, *settings, seed) for run, settings in scratch.items() for seed in SEEDS
    }
    calls |= {
        "grey": keep(transfer_training.compare_grey_inputs),
        "inputs": keep(transfer_training.compare_inputs),
        "random_weights": partial(keep(transfer_training.random_weights_accuracy), SEEDS[0]),
        "last_block": partial(keep(transfer_training.compare_last_layers), seeds=SEEDS),
    }
    found = dict(sweep(calls, "experiments"))
    runs = {run: {str(seed): {"accuracy": found[run, seed]} for seed in SEEDS} for run in scratch}
    accuracies = found["last_block"].pop("accuracies")
    runs["block 5"] = {str(seed): {"accuracy": value} for seed, value in zip(SEEDS, accuracies, strict=True)}
    names = ("grey", "inputs", "random_weights", "last_block")
    return results.save("scenes15-experiments", {"runs": runs} | {name: found[name] for name in names}, SEEDS)
