"""What Chapter 1 needs of the pictures of 15-Scene: features, trainings on pictures,
and networks fine-tuned.

EfficientNet-Lite0 and Lite2 make one pass over the pictures, since decoding and the
frozen stages cost most: each picture and its mirror image leave the averages of four
stages and the maps of stage 5, on which stage 6 and a new last layer are trained.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained, transfer
from dlapps.core import runtime
from dlapps.core.images import stack_pixels
from dlapps.transfer import finetune, pool
from dlapps.transfer.linear import make_folds, random_splits
from labreport import paths, results
from labreport.sweeps import keep, sweep
from studies import transfer_training
from studies.runs import Calls, add_entries, cached, make_missing
from studies.transfer_training import NUM_CLASSES, load_scenes

SEEDS = (0, 1, 2)
# Of the networks that are fine-tuned.
SIZE, NUM_SPLITS = 352, 10
STAGES = ("blocks.4", "blocks.5", "blocks.6", "bn2")
RATES, EPOCHS = (1e-3, 3e-3, 1e-2, 3e-2), (2, 4, 8)

# (network, layers, pooling, size, keep_aspect): one pass over the pictures each.
SCENES_PASSES = (
    (
        "vgg16_features",
        ("pool3", "pool4", "relu5_3", "pool5"),
        "average+max",
        224,
        False,
    ),
    ("vgg16_features", ("relu5_1", "relu5_2", "relu5_3"), "pyramid", 320, True),
    ("squeezenet1_1", ("features.12",), "average", 224, False),
)
# What is committed of it: these as they are, the pyramid (6,144 numbers a picture)
# projected, as is what four stages of an EfficientNet-Lite say.
SCENES_BLOCKS = (
    "vgg16_features pool3 average 224",
    "vgg16_features pool4 average 224",
    "vgg16_features relu5_3 average 224",
    "vgg16_features pool5 average 224",
    "vgg16_features pool5 max 224",
    "vgg16_features relu5_3 average 320 aspect",
    "squeezenet1_1 features.12 average 224",
)
SCENES_PYRAMID = tuple(
    f"vgg16_features relu5_{number} quarters 320 aspect" for number in (1, 2, 3)
)
# Both poolings begin with the average: (name of the rest, times as many columns as the
# average).
PARTS = {"average+max": ("max", 1), "pyramid": ("quarters", 4)}


def extract_scenes(
    network: str, layers: tuple[str, ...], pooling: str, size: int, keep_aspect: bool
) -> dict[str, np.ndarray]:
    """Features float32 (4485, D) of all 15-Scene pictures, train first, named "network
    layer pooling size [aspect]".
    """
    features = transfer.extract_features(
        pretrained.load(network), load_scenes()[0], layers, pooling, size, keep_aspect
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
    """One byte a number, which `datasets.from_bytes` reads: uint8 for values from 0 on,
    int8 for any.

    Floats of 5 bits of exponent, and 3 bits of mantissa or a sign and 2 bits: a
    relative error of 1/16 or 1/8 at most.
    """
    signed = bool(values.min() < 0)
    dropped = 8 if signed else 7
    raw = values.astype(np.float16).view(np.uint16).astype(np.uint32)
    rounded = (raw + (1 << (dropped - 1))) >> dropped
    return rounded.astype(np.uint8).view(np.int8 if signed else np.uint8)


def project(
    block: np.ndarray, num_train: int = 1500, num_dimensions: int = 512
) -> np.ndarray:
    """The block (N, D) in the coordinates (N, num_dimensions) in which its training
    rows have the most energy.

    An uncentred PCA of rows that are L2-normalised first: products between rows, all
    that a linear SVM sees, are kept up to the energy left out. Only training rows
    choose the coordinates, those that cross-validation holds out among them.
    """
    rows = normalize(block)
    _, _, directions = np.linalg.svd(rows[:num_train], full_matrices=False)
    return rows @ directions[:num_dimensions].T


def make_scenes15_features() -> Path:
    """The features that Chapter 1 works with, from the pictures; about 20 minutes on
    two cores.
    """
    blocks: dict[str, np.ndarray] = {}
    calls = {settings: cached(extract_scenes, *settings) for settings in SCENES_PASSES}
    for _, of_one_pass in sweep(calls, "passes over the pictures"):
        blocks |= of_one_pass
    pyramid = np.concatenate(
        [normalize(blocks[name]) for name in SCENES_PYRAMID], axis=1
    )
    committed = {name: blocks[name] for name in SCENES_BLOCKS}
    committed["vgg16_features relu5 quarters 320 aspect"] = project(pyramid)
    for name in ("efficientnet_lite0", "efficientnet_lite2"):
        side_by_side = np.concatenate(
            [normalize(block) for block in stage_averages(name)], axis=1
        )
        committed[f"{name} stages average {SIZE} mirrored"] = project(side_by_side)
    train, test = datasets.load_scenes15("train"), datasets.load_scenes15("test")
    arrays = {name: to_bytes(block) for name, block in committed.items()}
    arrays["labels"] = np.concatenate([train.labels, test.labels]).astype(np.uint8)
    sizes = [Image.open(path).size[::-1] for path in [*train.images, *test.images]]
    arrays["sizes"] = np.array(sizes, dtype=np.uint16)
    arrays["names"] = np.array([*train.names, *test.names])
    arrays["class_names"] = np.array(train.class_names)
    return results.save_arrays("scenes15-features", arrays, paths.networks())


def make_scenes15_experiments() -> Path:
    """What Chapter 1 says of trainings on the pictures; about an hour and a half on one
    core.
    """
    # (pictures of each class, updates): those of 100 pictures for 20 epochs, and for
    # 180 with one seed.
    scratch = {"10": (10, 150), "25": (25, 250), "50": (50, 400), "100": (100, 600)}
    train = transfer_training.train_from_nothing
    calls: Calls = {("runs", "100 for 180 epochs", 0): partial(train, 100, 5400, 0)}
    calls["runs", "pixels 32", 0] = partial(transfer_training.plain_pixels, 32)
    for seed in SEEDS:
        calls |= {
            ("runs", run, seed): partial(train, *scratch[run], seed) for run in scratch
        }
        calls["runs", "random weights", seed] = partial(
            transfer_training.random_weights, seed
        )
    calls["runs", "block 5"] = partial(transfer_training.finetune_last_block, SEEDS)
    calls["grey",] = transfer_training.compare_grey_inputs
    add_entries("scenes15-experiments", {("shares",): ["accuracy", "cv"]}, SEEDS)
    make_missing("scenes15-experiments", calls, SEEDS)
    return paths.results() / "scenes15-experiments.json"


@torch.inference_mode()
def run_stages(name: str, split: str) -> dict[str, np.ndarray]:
    """One pass over a split, 352 x 352: for each stage its averages over positions, (N,
    2, C).

    The second axis is the picture and its mirror image. "maps": what stage 5 gives,
    float16 (N, 2, C, 11, 11).
    """
    network, scenes = pretrained.load(name), datasets.load_scenes15(split)
    backbone = network.backbone
    stem = network.normalisation, backbone.conv_stem, backbone.bn1
    last = nn.Sequential(backbone.conv_head, backbone.bn2)
    stages = (nn.Sequential(*stem, *backbone.blocks[:5]), *backbone.blocks[5:7], last)
    found: dict[str, list[Tensor]] = {stage: [] for stage in (*STAGES, "maps")}
    for path in scenes.images:
        pixels = stack_pixels([path], SIZE)
        values = torch.cat([pixels, pixels.flip(3)]).contiguous(
            memory_format=torch.channels_last
        )
        with runtime.autocast("cpu"):
            for stage, module in zip(STAGES, stages, strict=True):
                values = module(values)
                found[stage].append(pool(values.float(), "average"))
                if stage == "blocks.5":
                    found["maps"].append(values.half())
    return {stage: torch.stack(parts).numpy() for stage, parts in found.items()}


def stage_averages(name: str) -> list[np.ndarray]:
    """The averages of four stages over all pictures, training pictures first, (4485, C)
    each, of picture and mirror.
    """
    passes = [keep(run_stages)(name, split) for split in ("train", "test")]
    return [
        np.concatenate([of_split[stage] for of_split in passes]).mean(1)
        for stage in STAGES
    ]


def load_maps(name: str) -> tuple[Tensor, Tensor]:
    """Stage 5's maps of all pictures, training pictures first, (4485, 2, C, 11, 11)
    float16, and their labels.
    """
    maps = [
        torch.from_numpy(keep(run_stages)(name, split)["maps"])
        for split in ("train", "test")
    ]
    return torch.cat(maps), torch.from_numpy(load_scenes()[1])


class FixedStatistics(nn.ModuleList):
    """Layers that stay in eval mode while they are trained: the statistics of their
    batch norms do not move.
    """

    def train(self, mode: bool = True) -> FixedStatistics:
        """Stay in eval mode, whatever is asked for."""
        return super().train(False)


class LastStages(nn.Module):
    """The last stage and the last convolution of an EfficientNet-Lite, and a new last
    layer on three averages.

    Takes what stage 5 gives, (N, C, H, W). The statistics of the batch norms stay those
    of ImageNet: batches of 30 pictures would be poor estimates.
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


def scores(
    name: str,
    fit_rows: np.ndarray,
    rows: np.ndarray,
    rate: float,
    num_epochs: int,
    seed: int,
) -> np.ndarray:
    """What a network trained on some rows says of others: logits (N, 15) float32.

    Trained are stage 6, the last convolution and a new last layer (at a rate of .01),
    on pictures and their mirror images; logits are the mean over both.
    """
    maps, labels = load_maps(name)
    inputs, targets = (
        maps[fit_rows].flatten(0, 1),
        labels[fit_rows].repeat_interleave(2),
    )
    network = LastStages(name, seed)
    rates = {network.stages: rate, network.head: 1e-2}
    finetune.fit_classifier(
        network,
        inputs,
        targets,
        num_epochs,
        rates,
        label_smoothing=0.1,
        batch_size=30,
        seed=seed,
    )
    logits = finetune.batched_logits(network, maps[rows].flatten(0, 1))
    return logits.unflatten(0, (-1, 2)).mean(1).numpy()


def choose_rate_and_epochs(name: str) -> tuple[dict[str, float], float, int]:
    """Cross-entropy on fold 0 of the training pictures for each rate and number of
    epochs, and the choice.

    Of the settings within one standard error of the best (paired over pictures) that of
    the fewest epochs, the best among these: 300 pictures cannot tell the others apart.
    """
    labels = datasets.load_scenes15("train").labels
    fit_rows, held_out = next(make_folds().split(np.zeros(len(labels)), labels))
    targets, losses = torch.from_numpy(labels[held_out]), {}
    for rate, num_epochs in itertools.product(RATES, EPOCHS):
        logits = torch.from_numpy(
            keep(scores)(name, fit_rows, held_out, rate, num_epochs, 0)
        )
        losses[rate, num_epochs] = F.cross_entropy(logits, targets, reduction="none")
    best = min(losses.values(), key=torch.mean)
    errors = {
        setting: (loss - best).std() / len(loss) ** 0.5
        for setting, loss in losses.items()
    }
    comparable = [
        setting
        for setting, loss in losses.items()
        if loss.mean() - best.mean() <= errors[setting]
    ]
    rate, num_epochs = min(
        comparable, key=lambda setting: (setting[1], losses[setting].mean())
    )
    means = {
        f"{rate:g} {epochs}": float(loss.mean())
        for (rate, epochs), loss in losses.items()
    }
    return means, rate, num_epochs


def finetune_last_stage(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Scores of the training pictures out of fold (1500, 15), of the test pictures
    (seeds, 2985, 15), of random splits.

    The splits (S, 2985, 15) are those of `linear.random_splits`, their test pictures in
    order; beside the scores, how rate and number of epochs were chosen.
    """
    losses, rate, num_epochs = choose_rate_and_epochs(name)
    labels = load_maps(name)[1].numpy()
    read = partial(keep(scores), name)
    train, test = np.arange(1500), np.arange(1500, len(labels))
    out_of_fold = np.empty((len(train), NUM_CLASSES), np.float32)
    for fit_rows, held_out in make_folds().split(train, labels[train]):
        out_of_fold[held_out] = read(fit_rows, held_out, rate, num_epochs, 0)
    arrays = {f"{name} train": out_of_fold}
    arrays[f"{name} test"] = np.stack(
        [read(train, test, rate, num_epochs, seed) for seed in SEEDS]
    )
    splits = random_splits(labels, NUM_SPLITS)
    arrays[f"{name} splits"] = np.stack(
        [read(*rows, rate, num_epochs, 0) for rows in splits]
    )
    return arrays, {"losses": losses, "rate": rate, "num_epochs": num_epochs}


def make_scenes15_finetuned() -> Path:
    """Class scores of two networks whose last stage was fine-tuned; about an hour on
    one core.
    """
    arrays: dict[str, np.ndarray] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for name in ("efficientnet_lite2", "efficientnet_lite0"):
        found, chosen[name] = finetune_last_stage(name)
        arrays |= {key: values.astype(np.float16) for key, values in found.items()}
    results.save_arrays("scenes15-finetuned", arrays)
    return results.save("scenes15-finetuned", chosen, SEEDS)
