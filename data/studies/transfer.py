"""What Chapter 1 needs of the pictures of 15-Scene.

These are features, trainings on pictures, and networks that are fine-tuned.
EfficientNet-Lite0 and Lite2 make one pass over the pictures, since decoding and the
frozen stages cost most. Of each picture and its mirror image they leave the averages of
four stages, and the maps of stage 5, on which stage 6 and a new last layer are trained.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained, transfer
from dlapps.core import runtime
from dlapps.core.images import stack_pixels, to_picture
from dlapps.datasets.scenes15 import from_bytes
from dlapps.transfer import finetune, pool
from dlapps.transfer.linear import choose_svm, make_folds, random_splits
from labreport import results
from labreport.report import find_report
from studies import transfer_training
from studies.runs import Calls, add_entries, cached, make_missing
from studies.sweeps import keep, sweep
from studies.transfer_training import NUM_CLASSES, first_fold, load_scenes

SEEDS = (0, 1, 2)
# Of the networks that are fine-tuned.
SIZE = 352
NUM_SPLITS = 10
STAGES = ("blocks.4", "blocks.5", "blocks.6", "bn2")
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
EPOCHS = (2, 4, 8)


@dataclass(frozen=True)
class Pass:
    """One pass over the pictures, as `transfer.extract_features` makes it."""

    network: str
    layers: tuple[str, ...]
    pooling: str
    size: int = 224
    keep_aspect: bool = False


PASSES = (
    Pass("vgg16_features", ("pool3", "pool4", "relu5_3", "pool5"), "average+max"),
    Pass("vgg16_features", ("relu5_1", "relu5_2", "relu5_3"), "pyramid", 320, True),
    Pass("squeezenet1_1", ("features.12",), "average"),
)
# The quarters of pool5 have a file of their own, and change nothing else.
QUARTERS = Pass("vgg16_features", ("pool5",), "pyramid")
# What is committed of these passes, as it is.
BLOCKS = (
    "vgg16_features pool3 average 224",
    "vgg16_features pool4 average 224",
    "vgg16_features relu5_3 average 224",
    "vgg16_features pool5 average 224",
    "vgg16_features pool5 max 224",
    "vgg16_features relu5_3 average 320 aspect",
    "squeezenet1_1 features.12 average 224",
)
# The pyramid (6,144 numbers a picture) is committed as a projection, and so are the
# averages of an EfficientNet-Lite's four stages.
PYRAMID = (
    "vgg16_features relu5_1 quarters 320 aspect",
    "vgg16_features relu5_2 quarters 320 aspect",
    "vgg16_features relu5_3 quarters 320 aspect",
)


def extract_scenes(settings: Pass) -> dict[str, np.ndarray]:
    """Features float32 (4485, D) of all 15-Scene pictures, those to train on first.

    Named "network layer pooling size [aspect]", with the average, the maximum and the
    quarters of a layer as blocks of their own.
    """
    images, _ = load_scenes()
    features = transfer.extract_features(
        pretrained.load(settings.network),
        images,
        settings.layers,
        settings.pooling,
        settings.size,
        settings.keep_aspect,
    )
    size = f"{settings.size} aspect" if settings.keep_aspect else str(settings.size)
    blocks = {}
    for layer, block in features.items():
        name = f"{settings.network} {layer}"
        channels = block.shape[1]
        if settings.pooling == "average+max":
            channels //= 2
            blocks[f"{name} max {size}"] = block[:, channels:]
        elif settings.pooling == "pyramid":
            channels //= 5
            blocks[f"{name} quarters {size}"] = block[:, channels:]
        blocks[f"{name} average {size}"] = block[:, :channels]
    return blocks


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


def project(
    block: np.ndarray, num_train: int = 1500, num_dimensions: int = 512
) -> np.ndarray:
    """The block (N, D) in the num_dimensions coordinates of the most energy.

    An uncentred PCA of rows that are L2-normalised first: products between rows, all
    that a linear SVM sees, are kept up to the energy that is left out. Only training
    rows choose the coordinates; those that cross-validation holds out are among them.
    """
    rows = normalize(block)
    _, _, directions = np.linalg.svd(rows[:num_train], full_matrices=False)
    return rows @ directions[:num_dimensions].T


def make_scenes15_features() -> Path:
    """Make the features of Chapter 1: about 20 minutes on two cores."""
    blocks: dict[str, np.ndarray] = {}
    calls = {settings: cached(extract_scenes, settings) for settings in PASSES}
    for _, of_one_pass in sweep(calls, "passes over the pictures"):
        blocks |= of_one_pass
    committed = {name: blocks[name] for name in BLOCKS}
    pyramid = [normalize(blocks[name]) for name in PYRAMID]
    committed["vgg16_features relu5 quarters 320 aspect"] = project(np.hstack(pyramid))
    for name in ("efficientnet_lite0", "efficientnet_lite2"):
        averages = [stage_outputs(name, stage).mean(1) for stage in STAGES]
        stages = [normalize(block) for block in averages]
        committed[f"{name} stages average {SIZE} mirrored"] = project(np.hstack(stages))
    arrays = {name: to_bytes(block) for name, block in committed.items()}
    images, labels = load_scenes()
    arrays["labels"] = labels.astype(np.uint8)
    sizes = [to_picture(image).size[::-1] for image in images]
    arrays["sizes"] = np.array(sizes, dtype=np.uint16)
    train = datasets.load_scenes15("train")
    test = datasets.load_scenes15("test")
    arrays["names"] = np.array(list(train.names) + list(test.names))
    arrays["class_names"] = np.array(train.class_names)
    return results.save_arrays("scenes15-features", arrays, find_report().networks)


def make_scenes15_quarters() -> Path:
    """Make the averages of pool5's quarters: ten minutes on one core.

    They are projected, so that a row is as long as one of pool5. The results say what
    this changes, with C = 1: the accuracy in cross-validation and on the test images
    for all 2,048 numbers, for 512 of them, and for these in a byte each.
    """
    name = "vgg16_features pool5 quarters 224"
    _, labels = load_scenes()
    whole = keep(extract_scenes)(QUARTERS)[name]
    projected = project(whole)
    rounded = to_bytes(projected)
    results.save_arrays("scenes15-quarters", {name: rounded}, find_report().networks)
    variants = {
        "2048": whole,
        "512": projected,
        "512 bytes": from_bytes(rounded),
    }
    measured = {}
    for label, block in variants.items():
        X_train, X_test = np.split(normalize(block), [1500])
        y_train, y_test = np.split(labels, [1500])
        svm = choose_svm((X_train, y_train, X_test, y_test), [1])
        measured[label] = {
            "cv_accuracy": svm.cv_accuracy,
            "test_accuracy": svm.test_accuracy,
        }
    return results.save("scenes15-quarters", measured, (0,))


def make_scenes15_experiments() -> Path:
    """Make Chapter 1's trainings on the pictures: an hour and a half on one core."""
    train = transfer_training.train_from_nothing
    calls: Calls = {}
    calls["runs", "pixels 32", 0] = partial(transfer_training.plain_pixels, 32)
    for seed in SEEDS:
        # Pictures of each class, and updates.
        calls["runs", "10", seed] = partial(train, 10, 150, seed)
        calls["runs", "25", seed] = partial(train, 25, 250, seed)
        calls["runs", "50", seed] = partial(train, 50, 400, seed)
        calls["runs", "100", seed] = partial(train, 100, 600, seed)
        # Nine times as many updates.
        calls["runs", "100 for 180 epochs", seed] = partial(train, 100, 5400, seed)
        random_weights = partial(transfer_training.random_weights, seed)
        calls["runs", "random weights", seed] = random_weights
    calls["runs", "block 5"] = partial(transfer_training.finetune_last_block, SEEDS)
    calls["grey",] = transfer_training.compare_grey_inputs
    add_entries("scenes15-experiments", {("shares",): ["accuracy", "cv"]}, SEEDS)
    make_missing("scenes15-experiments", calls, SEEDS)
    return find_report().results / "scenes15-experiments.json"


@torch.inference_mode()
def run_stages(name: str, split: str) -> dict[str, np.ndarray]:
    """Make one pass over a split, 352 x 352: the averages of each stage, (N, 2, C).

    The second axis is the picture and its mirror image. "maps": what stage 5 gives,
    float16 (N, 2, C, 11, 11).
    """
    network = pretrained.load(name)
    backbone = network.backbone
    first = nn.Sequential(
        network.normalisation, backbone.conv_stem, backbone.bn1, backbone.blocks[:5]
    )
    last = nn.Sequential(backbone.conv_head, backbone.bn2)
    stages = (first, backbone.blocks[5], backbone.blocks[6], last)
    outputs: dict[str, list[Tensor]] = {name: [] for name in (*STAGES, "maps")}
    for path in datasets.load_scenes15(split).images:
        pixels = stack_pixels([path], SIZE)
        both = torch.cat([pixels, pixels.flip(3)])
        values = both.contiguous(memory_format=torch.channels_last)
        with runtime.autocast("cpu"):
            for stage, module in zip(STAGES, stages, strict=True):
                values = module(values)
                outputs[stage].append(pool(values.float(), "average"))
                if stage == "blocks.5":
                    outputs["maps"].append(values.half())
    return {stage: torch.stack(parts).numpy() for stage, parts in outputs.items()}


def stage_outputs(name: str, stage: str) -> np.ndarray:
    """What `run_stages` gives of a stage for all pictures, those to train on first."""
    train = keep(run_stages)(name, "train")
    test = keep(run_stages)(name, "test")
    return np.concatenate([train[stage], test[stage]])


def load_maps(name: str) -> tuple[Tensor, Tensor]:
    """Stage 5's maps (4485, 2, C, 11, 11) float16 of all pictures, and the labels."""
    _, labels = load_scenes()
    maps = stage_outputs(name, "maps")
    return torch.from_numpy(maps), torch.from_numpy(labels)


class FixedStatistics(nn.ModuleList):
    """Layers whose batch norms keep their statistics while they are trained."""

    def train(self, mode: bool = True) -> FixedStatistics:
        """Stay in eval mode, whatever mode is."""
        return super().train(False)


class LastStages(nn.Module):
    """The end of an EfficientNet-Lite, with a new last layer on three averages.

    It begins with the last stage, so it takes what stage 5 gives, (N, C, H, W). The
    statistics of the batch norms stay those of ImageNet: batches of 30 pictures would
    be poor estimates.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__()
        backbone = pretrained.load(name).backbone
        last = backbone.blocks[6]
        self.stages = FixedStatistics(
            [last, nn.Sequential(backbone.conv_head, backbone.bn2)]
        )
        channels = last[0].conv_pw.in_channels + last[-1].conv_pwl.out_channels
        channels += backbone.conv_head.out_channels
        self.head = finetune.NewHead(channels, NUM_CLASSES, seed)
        runtime.channels_last(self)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, 15) of stage 5's maps (N, C, H, W)."""
        averages = [F.normalize(maps.float().mean((2, 3)), dim=1)]
        for stage in self.stages:
            maps = stage(maps)
            averages.append(F.normalize(maps.float().mean((2, 3)), dim=1))
        return self.head(torch.cat(averages, dim=1))


class Setting(NamedTuple):
    """How the last stages are trained: their highest learning rate, and the epochs."""

    rate: float
    num_epochs: int


def scores(
    name: str, fit_rows: np.ndarray, rows: np.ndarray, setting: Setting, seed: int
) -> np.ndarray:
    """Logits (N, 15) float32 of some rows by a network trained on others.

    Trained are stage 6, the last convolution and a new last layer (at a rate of .01),
    on pictures and their mirror images; logits are the mean over both.
    """
    maps, labels = load_maps(name)
    network = LastStages(name, seed)
    finetune.fit_classifier(
        network,
        maps[fit_rows].flatten(0, 1),
        labels[fit_rows].repeat_interleave(2),
        setting.num_epochs,
        {network.stages: setting.rate, network.head: 1e-2},
        label_smoothing=0.1,
        batch_size=30,
        seed=seed,
    )
    logits = finetune.batched_logits(network, maps[rows].flatten(0, 1))
    return logits.unflatten(0, (-1, 2)).mean(1).numpy()


def choose_setting(
    score: Callable[[np.ndarray, np.ndarray, Setting, int], np.ndarray],
    settings: Iterable[Setting],
) -> tuple[Setting, dict[Setting, float]]:
    """The best setting on fold 0 of the training pictures, and all cross-entropies.

    Of the settings within one standard error of the best (paired over pictures) it is
    the best among those of the fewest epochs: 300 pictures cannot tell them apart.

    score: as `scores`, with the network's name bound.
    """
    labels = datasets.load_scenes15("train").labels
    fit_rows, held_out = first_fold(labels)
    targets = torch.from_numpy(labels[held_out])
    losses: dict[Setting, Tensor] = {}
    for setting in settings:
        logits = score(fit_rows, held_out, setting, 0)
        losses[setting] = F.cross_entropy(
            torch.from_numpy(logits), targets, reduction="none"
        )
    means = {setting: float(loss.mean()) for setting, loss in losses.items()}
    best = min(losses.values(), key=torch.mean)
    comparable = []
    for setting, loss in losses.items():
        error = (loss - best).std() / len(loss) ** 0.5
        if loss.mean() - best.mean() <= error:
            comparable.append(setting)
    chosen = min(comparable, key=lambda setting: (setting.num_epochs, means[setting]))
    return chosen, means


def finetune_last_stage(name: str, setting: Setting) -> dict[str, np.ndarray]:
    """Logits of fine-tuned networks, by what they are of.

    "train": (1500, 15), of the training pictures out of fold. "test": (seeds, 2985,
    15). "splits": (S, 2985, 15), those of `linear.random_splits`, their test pictures
    in order.
    """
    _, all_labels = load_maps(name)
    labels = all_labels.numpy()
    train = np.arange(1500)
    test = np.arange(1500, len(labels))
    out_of_fold = np.empty((len(train), NUM_CLASSES), np.float32)
    for fit_rows, held_out in make_folds().split(train, labels[train]):
        out_of_fold[held_out] = keep(scores)(name, fit_rows, held_out, setting, 0)
    of_test = [keep(scores)(name, train, test, setting, seed) for seed in SEEDS]
    of_splits = []
    for fit_rows, rows in random_splits(labels, NUM_SPLITS):
        of_splits.append(keep(scores)(name, fit_rows, rows, setting, 0))
    return {
        "train": out_of_fold,
        "test": np.stack(of_test),
        "splits": np.stack(of_splits),
    }


def make_scenes15_finetuned() -> Path:
    """Fine-tune the last stage of two networks: about an hour on one core."""
    arrays = {}
    chosen = {}
    for name in ("efficientnet_lite2", "efficientnet_lite0"):
        settings = itertools.starmap(Setting, itertools.product(RATES, EPOCHS))
        setting, losses = choose_setting(partial(keep(scores), name), settings)
        chosen[name] = {
            "losses": {f"{rate:g} {n}": loss for (rate, n), loss in losses.items()},
            "rate": setting.rate,
            "num_epochs": setting.num_epochs,
        }
        for part, logits in finetune_last_stage(name, setting).items():
            arrays[f"{name} {part}"] = logits.astype(np.float16)
    results.save_arrays("scenes15-finetuned", arrays)
    return results.save("scenes15-finetuned", chosen, SEEDS)
