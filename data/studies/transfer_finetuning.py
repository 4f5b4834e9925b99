"""EfficientNet-Lite0 and Lite2 on 15-Scene for Chapter 1: one pass over the pictures, and their last stage fine-tuned.

Decoding and the frozen stages cost most, so they run once: each picture and its mirror image leave the averages of
four stages and the maps of stage 5, on which stage 6 and a new last layer are trained.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained
from dlapps.core import results, runtime
from dlapps.core.images import stack_pixels
from dlapps.core.sweeps import keep
from dlapps.transfer import finetune, pool
from dlapps.transfer.linear import make_folds, random_splits
from studies.transfer_training import NUM_CLASSES, STAGES

SIZE, SEEDS, NUM_SPLITS = 352, (0, 1, 2), 10
RATES, EPOCHS = (1e-3, 3e-3, 1e-2, 3e-2), (2, 4, 8)


@torch.inference_mode()
def run_stages(name: str, split: str) -> dict[str, np.ndarray]:
    """One pass over a split, 352 x 352: for each stage its averages over positions, (N, 2, C).

    The second axis is the picture and its mirror image. "maps": what stage 5 gives, float16 (N, 2, C, 11, 11).
    """
    network, scenes = pretrained.load(name), datasets.load_scenes15(split)
    backbone = network.backbone
    stem = network.normalisation, backbone.conv_stem, backbone.bn1
    last = nn.Sequential(backbone.conv_head, backbone.bn2)
    stages = (nn.Sequential(*stem, *backbone.blocks[:5]), *backbone.blocks[5:7], last)
    found: dict[str, list[Tensor]] = {stage: [] for stage in (*STAGES, "maps")}
    for path in scenes.images:
        pixels = stack_pixels([path], SIZE)
        values = torch.cat([pixels, pixels.flip(3)]).contiguous(memory_format=torch.channels_last)
        with runtime.autocast("cpu"):
            for stage, module in zip(STAGES, stages, strict=True):
                values = module(values)
                found[stage].append(pool(values.float(), "average"))
                if stage == "blocks.5":
                    found["maps"].append(values.half())
    return {stage: torch.stack(parts).numpy() for stage, parts in found.items()}


def stage_averages(name: str) -> list[np.ndarray]:
    """The averages of four stages over all pictures, training pictures first, (4485, C) each, of picture and mirror."""
    passes = [keep(run_stages)(name, split) for split in ("train", "test")]
    return [np.concatenate([of_split[stage] for of_split in passes]).mean(1) for stage in STAGES]


def load_maps(name: str) -> tuple[Tensor, Tensor]:
    """Stage 5's maps of all pictures, training pictures first, (4485, 2, C, 11, 11) float16, and their labels."""
    maps = [torch.from_numpy(keep(run_stages)(name, split)["maps"]) for split in ("train", "test")]
    labels = [torch.from_numpy(datasets.load_scenes15(split).labels) for split in ("train", "test")]
    return torch.cat(maps), torch.cat(labels)


class FixedStatistics(nn.ModuleList):
    """Layers that stay in eval mode while they are trained: the statistics of their batch norms do not move."""

    def train(self, mode: bool = True) -> FixedStatistics:
        """Stay in eval mode, whatever is asked for."""
        return super().train(False)


class LastStages(nn.Module):
    """The last stage and the last convolution of an EfficientNet-Lite, and a new last layer on three averages.

    Takes what stage 5 gives, (N, C, H, W). The statistics of the batch norms stay those of ImageNet: batches of 30
    pictures would be poor estimates.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__()
        backbone = pretrained.load(name).backbone
        last = backbone.blocks[6]
        self.stages = FixedStatistics([last, nn.Sequential(backbone.conv_head, backbone.bn2)])
        channels = last[0].conv_pw.in_channels + last[-1].conv_pwl.out_channels
        channels += backbone.conv_head.out_channels
        self.head = finetune.NewHead(channels, NUM_CLASSES, seed)
        runtime.channels_last(self)

    def _averages(self, maps: Tensor) -> Tensor:
        averages = [F.normalize(maps.float().mean((2, 3)), dim=1)]
        for stage in self.stages:
            maps = stage(maps)
            averages.append(F.normalize(maps.float().mean((2, 3)), dim=1))
        return torch.cat(averages, dim=1)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, 15) of stage 5's maps (N, C, H, W)."""
        return self.head(self._averages(maps))


def fit(name: str, rows: np.ndarray, rate: float, num_epochs: int, seed: int) -> LastStages:
    """Stage 6, the last convolution and a new last layer (at a rate of .01) on these rows and their mirror images."""
    maps, labels = load_maps(name)
    inputs, targets = maps[rows].flatten(0, 1), labels[rows].repeat_interleave(2)
    network = LastStages(name, seed)
    rates = {network.stages: rate, network.head: 1e-2}
    finetune.fit_classifier(network, inputs, targets, num_epochs, rates, label_smoothing=0.1, batch_size=30, seed=seed)
    return network


def read(name: str, network: LastStages, rows: np.ndarray) -> np.ndarray:
    """Logits (N, 15) float32, the mean over each picture and its mirror image."""
    maps, _ = load_maps(name)
    logits = finetune.batched_logits(network, maps[rows].flatten(0, 1))
    return logits.unflatten(0, (-1, 2)).mean(1).numpy()


def scores(name: str, fit_rows: np.ndarray, rows: np.ndarray, rate: float, num_epochs: int, seed: int) -> np.ndarray:
    """What a network trained on some rows says of others, logits (N, 15)."""
    return read(name, fit(name, fit_rows, rate, num_epochs, seed), rows)


def choose_rate_and_epochs(name: str) -> tuple[dict[str, float], float, int]:
    """Cross-entropy on fold 0 of the training pictures for each rate and number of epochs, and the choice.

    Of the settings within one standard error of the best (paired over pictures) that of the fewest epochs, the best
    among these: 300 pictures cannot tell the others apart.
    """
    labels = datasets.load_scenes15("train").labels
    fit_rows, held_out = next(make_folds().split(np.zeros(len(labels)), labels))
    targets, losses = torch.from_numpy(labels[held_out]), {}
    for rate, num_epochs in itertools.product(RATES, EPOCHS):
        logits = torch.from_numpy(keep(scores)(name, fit_rows, held_out, rate, num_epochs, 0))
        losses[rate, num_epochs] = F.cross_entropy(logits, targets, reduction="none")
    best = min(losses.values(), key=torch.mean)
    errors = {setting: (loss - best).std() / len(loss) ** 0.5 for setting, loss in losses.items()}
    comparable = [setting for setting, loss in losses.items() if loss.mean() - best.mean() <= errors[setting]]
    rate, num_epochs = min(comparable, key=lambda setting: (setting[1], losses[setting].mean()))
    means = {f"{rate:g} {epochs}": float(loss.mean()) for (rate, epochs), loss in losses.items()}
    return means, rate, num_epochs


def finetune_last_stage(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Scores of the training pictures out of fold (1500, 15), of the test pictures (seeds, 2985, 15), of random splits.

    The splits (S, 2985, 15) are those of `linear.random_splits`, their test pictures in order; beside the scores, how
    rate and number of epochs were chosen.
    """
    losses, rate, num_epochs = choose_rate_and_epochs(name)
    labels = load_maps(name)[1].numpy()
    fit_and_read = keep(scores)
    train, test = np.arange(1500), np.arange(1500, len(labels))
    out_of_fold = np.empty((len(train), NUM_CLASSES), np.float32)
    for fit_rows, held_out in make_folds().split(train, labels[train]):
        out_of_fold[held_out] = fit_and_read(name, fit_rows, held_out, rate, num_epochs, 0)
    arrays = {f"{name} train": out_of_fold}
    arrays[f"{name} test"] = np.stack([fit_and_read(name, train, test, rate, num_epochs, seed) for seed in SEEDS])
    splits = random_splits(labels, NUM_SPLITS)
    arrays[f"{name} splits"] = np.stack([fit_and_read(name, *rows, rate, num_epochs, 0) for rows in splits])
    return arrays, {"losses": losses, "rate": rate, "num_epochs": num_epochs}


def make_scenes15_finetuned() -> Path:
    """Class scores of two networks whose last stage was fine-tuned; about an hour on one core."""
    arrays: dict[str, np.ndarray] = {}
    chosen: dict[str, dict[str, Any]] = {}
    for name in ("efficientnet_lite2", "efficientnet_lite0"):
        found, chosen[name] = finetune_last_stage(name)
        arrays |= {key: values.astype(np.float16) for key, values in found.items()}
    results.save_arrays("scenes15-finetuned", arrays)
    return results.save("scenes15-finetuned", chosen, SEEDS)
