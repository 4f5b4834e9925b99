"""Fine-tuning beside its control: the same classifier on layers that do not move.

A fine-tuned network of Chapter 1 differs from the support vector machine in more than
its moving layers: it sees mirrored pictures, another loss with label smoothing, and
other averages. The control shares all of these. Only its layers are frozen, so that the
averages are computed once and the new last layer alone is trained.

Learning rate and epochs of the controls are chosen on fold 0 of the training pictures,
by the rule that chose those of the fine-tuned networks. No choice is made on test
pictures.
"""

import itertools
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dlapps import pretrained
from dlapps.core import runtime
from dlapps.core.training import Augment
from dlapps.transfer import finetune
from dlapps.transfer.linear import choose_per_class
from labreport import results
from labreport.report import find_report
from studies import transfer, transfer_training
from studies.sweeps import keep
from studies.transfer import Setting
from studies.transfer_training import NUM_CLASSES, NUM_TRAIN, load_scenes

SEEDS = (0, 1, 2)
# Of the new last layer of a control.
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
EPOCHS = (4, 8, 16, 32)
NETWORKS = {
    "vgg16": "vgg16",
    "lite0": "efficientnet_lite0",
    "lite2": "efficientnet_lite2",
}
STAGES = ("blocks.5", "blocks.6", "bn2")
# Of the rate that was chosen for VGG16's block 5.
BLOCK_RATE = 1e-4
# Training pictures of each class whose maps are committed, and their size.
NUM_MAPS = 40
MAP_SIZE = 224


def view_averages(name: str) -> Tensor:
    """What the new last layer is given by frozen layers, float32 (4485, 2, D).

    The second axis is the picture and its mirror image.
    """
    if name == "vgg16":
        return block_averages()
    averages = []
    for stage in STAGES:
        average = torch.from_numpy(transfer.stage_outputs(name, stage))
        averages.append(F.normalize(average, dim=2))
    return torch.cat(averages, dim=2)


@torch.inference_mode()
def block_averages() -> Tensor:
    """pool5's averages of VGG16 (4485, 2, 512), of pool4's maps and mirrored maps."""
    block = pretrained.load("vgg16_features").backbone[-7:]
    views = []
    for split in ("train", "test"):
        maps, _ = keep(transfer_training.pool4_maps)(split)
        for batch in maps.split(50):
            both = torch.stack([batch, batch.flip(3)], 1).flatten(0, 1)
            both = both.contiguous(memory_format=torch.channels_last)
            with runtime.autocast("cpu"):
                averages = block(both).float().mean((2, 3))
            views.append(averages.unflatten(0, (-1, 2)))
    return torch.cat(views)


def choose_view(views: Tensor, generator: torch.Generator) -> Tensor:
    """Take the mirror image of the whole batch with probability 1/2.

    views: (N, 2, D). This is what `transfer_training.flip` does to maps.
    """
    mirrored = int(torch.rand((), generator=generator) < 0.5)
    return views[:, mirrored]


def frozen_scores(
    name: str, fit_rows: np.ndarray, rows: np.ndarray, setting: Setting, seed: int
) -> np.ndarray:
    """Logits (N, 15) float32 of some rows by a last layer trained on others.

    As for the fine-tuned networks, the EfficientNets are trained on each picture and
    its mirror image and tested on the mean of both; VGG16 is trained on one of the two
    and tested on the picture.
    """
    views = keep(view_averages)(name)
    _, all_labels = load_scenes()
    labels = torch.from_numpy(all_labels)
    head = finetune.NewHead(views.shape[2], NUM_CLASSES, seed)
    inputs = views[fit_rows]
    targets = labels[fit_rows]
    augment: Augment | None = choose_view
    if name != "vgg16":
        inputs = inputs.flatten(0, 1)
        targets = targets.repeat_interleave(2)
        augment = None
    finetune.fit_classifier(
        head,
        inputs,
        targets,
        setting.num_epochs,
        {head: setting.rate},
        label_smoothing=0.1,
        batch_size=30,
        seed=seed,
        augment=augment,
    )
    if name == "vgg16":
        return finetune.batched_logits(head, views[rows, 0]).numpy()
    logits = finetune.batched_logits(head, views[rows].flatten(0, 1))
    return logits.unflatten(0, (-1, 2)).mean(1).numpy()


def moving_scores(seed: int) -> np.ndarray:
    """Logits (2985, 15) float32 of the test pictures by VGG16, its block 5 fine-tuned.

    The setting is that of `transfer_training.finetune_last_block`.
    """
    maps, labels = keep(transfer_training.pool4_maps)("train")
    network = transfer_training.fit_last_block(maps, labels, BLOCK_RATE, seed)
    test_maps, _ = keep(transfer_training.pool4_maps)("test")
    return finetune.batched_logits(network, test_maps).numpy()


def make_scenes15_control() -> Path:
    """Train the controls, and VGG16's block 5 once more: half an hour on one core.

    Arrays are bool (seeds, 2985), whether each test picture is right: "lite0 frozen",
    "lite0 moving" and so on. The answers of the fine-tuned EfficientNets are those of
    scenes15-finetuned.
    """
    _, labels = load_scenes()
    train = np.arange(NUM_TRAIN)
    test = np.arange(NUM_TRAIN, len(labels))
    settings = list(itertools.starmap(Setting, itertools.product(RATES, EPOCHS)))
    tuned = results.load_arrays("scenes15-finetuned")
    arrays = {}
    chosen = {}
    for label, name in NETWORKS.items():
        score = partial(keep(frozen_scores), name)
        setting, losses = transfer.choose_setting(score, settings)
        chosen[label] = {
            "losses": {f"{rate:g} {n}": loss for (rate, n), loss in losses.items()},
            "rate": setting.rate,
            "num_epochs": setting.num_epochs,
        }
        frozen = np.stack([score(train, test, setting, seed) for seed in SEEDS])
        if name == "vgg16":
            moving = np.stack([keep(moving_scores)(seed) for seed in SEEDS])
        else:
            moving = tuned[f"{name} test"]
        arrays[f"{label} frozen"] = frozen.argmax(2) == labels[test]
        arrays[f"{label} moving"] = moving.argmax(2) == labels[test]
    results.save_arrays("scenes15-control", arrays)
    return results.save("scenes15-control", chosen, SEEDS)


@torch.inference_mode()
def make_scenes15_maps() -> Path:
    """Make the maps that the last stage of EfficientNet-Lite0 is given.

    They are those of 40 training pictures of each class at 224 x 224, rounded to whole
    numbers of bytes: a map is its byte times the scale of its channel.
    """
    images, labels = load_scenes()
    rows = np.sort(choose_per_class(labels[:NUM_TRAIN], NUM_MAPS, seed=0))
    network = pretrained.load(NETWORKS["lite0"])
    backbone = network.backbone
    batches = []
    for start in range(0, len(rows), 20):
        chosen = [images[row] for row in rows[start : start + 20]]
        pixels = network.normalisation(transfer.stack_pixels(chosen, MAP_SIZE))
        stem = backbone.bn1(backbone.conv_stem(pixels))
        batches.append(backbone.blocks[:6](stem))
    maps = torch.cat(batches).numpy()  # (600, 192, 7, 7)
    scales = np.abs(maps).max((0, 2, 3), keepdims=True) / 127
    arrays = {
        "maps": np.round(maps / scales).astype(np.int8),
        "scales": scales[0].astype(np.float32),
        "rows": rows.astype(np.uint16),
    }
    return results.save_arrays("scenes15-maps", arrays, find_report().networks)
