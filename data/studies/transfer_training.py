"""Chapter 1's trainings on 15-Scene: from random weights, and with last layers that
move beside the same layers frozen.

No choice is made on test pictures: learning rates and epochs were chosen on a fifth of
the training pictures (data/README.md says where that code is), C is chosen by
cross-validation on all of them.
"""

from __future__ import annotations

import functools
import itertools
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained
from dlapps.core import runtime, training
from dlapps.core.classifier import as_floats, fit_classifier
from dlapps.core.images import stack_pixels
from dlapps.core.runtime import make_generator
from dlapps.pretrained import Normalisation
from labreport.results import Entry
from studies import transfer
from studies.runs import Calls, add_arrays, bfloat16, make_missing
from studies.transfer import NUM_SPLITS, NUM_TRAIN, draw_split, load_scenes

NUM_CLASSES = 15
GREY_SIZE = 64
SEEDS = (0, 1, 2)
# Rows of pixels differ little and need a large C.
LARGE_COSTS = (0.1, 1, 10, 100, 1000, 10_000, 100_000)
# Training pictures of each class, and updates.
STEPS = {10: 150, 25: 250, 50: 400, 100: 600}
NETWORKS = {
    "VGG16": "vgg16_features",
    "Lite0": "efficientnet_lite0",
    "Lite2": "efficientnet_lite2",
}
# The highest learning rate and the epochs of each training.
SETTINGS = {
    "VGG16 frozen": (3e-2, 4),
    "VGG16 moving": (1e-4, 4),
    "Lite0 frozen": (1e-2, 4),
    "Lite0 moving": (3e-2, 4),
    "Lite2 frozen": (3e-3, 8),
    "Lite2 moving": (3e-3, 2),
}
HEAD_RATE = 1e-2  # beside moving layers
RECIPES = (
    "pool3",
    "pool4",
    "pool5 maximum",
    "pool5",
    "pool5 of larger images",
    "three layers of larger images",
    "Lite2",
)


def make_small_vgg(num_classes: int) -> nn.Sequential:
    """VGG's design at a size that 1,500 pictures may train; 0.3 M parameters.

    Grey pixels (N, 1, H, W) in [0, 1] to logits (N, K).
    """
    network = nn.Sequential(Normalisation((0.5,), (0.25,)))
    widths = itertools.pairwise((1, 32, 32, 64, 64, 128, 128))
    for index, (before, after) in enumerate(widths):
        network.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
        network.append(nn.BatchNorm2d(after))
        network.append(nn.ReLU())
        if index in (1, 3, 4, 5):
            network.append(nn.MaxPool2d(2))
    network.append(nn.AdaptiveAvgPool2d(1))
    network.append(nn.Flatten())
    network.append(nn.Dropout(0.3))
    network.append(nn.Linear(128, num_classes))
    return network


def flip_and_shift(shift: int, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture with probability 1/2, move the batch by up to `shift` pixels.

    What a move uncovers reflects the border.
    """
    mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
    pixels = torch.where(mirrored, pixels.flip(3), pixels)
    top, left = torch.randint(0, 2 * shift + 1, (2,), generator=generator).tolist()
    padded = F.pad(pixels, (shift,) * 4, mode="reflect")
    return padded[:, :, top : top + pixels.shape[2], left : left + pixels.shape[3]]


def load_grey(size: int) -> tuple[Tensor, np.ndarray]:
    """All pictures as grey pixels (4485, 1, size, size) in [0, 1], and labels."""
    images, labels = load_scenes()
    pixels = [stack_pixels([image], size)[:, :1] for image in images]
    return torch.cat(pixels), labels


def train_from_nothing(number: int, num_steps: int, seed: int) -> Entry:
    """Train a small VGG on `number` pictures a class from random weights."""
    pixels, labels = load_grey(GREY_SIZE)
    rows = transfer.draw_rows(labels[:NUM_TRAIN], number, seed)
    # Weights are drawn from PyTorch's default generator, as by every nn.Module.
    with runtime.drawn_from(seed):
        network = make_small_vgg(NUM_CLASSES)
    with bfloat16():
        fit_classifier(
            network,
            pixels[rows],
            labels[rows],
            round(num_steps * 50 / len(rows)),
            {network: 3e-3},
            seed=seed,
            augment=partial(flip_and_shift, GREY_SIZE // 10),
        )
    scores = logits(network, pixels[NUM_TRAIN:])
    accuracy = training.accuracy(scores, labels[NUM_TRAIN:])
    return {"scores": {"accuracy": accuracy}}


def logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (N, K) float32 of a network in eval mode, batch by batch."""
    return training.predict(network, inputs, batch_size=64, prepare=as_floats)


def test_pixels(size: int) -> Entry:
    """Test accuracy of a linear SVM on size x size grey pixels."""
    pixels, labels = load_grey(size)
    rows = normalize(pixels.flatten(1).numpy())
    svm = transfer.fit_svm(rows[:NUM_TRAIN], labels[:NUM_TRAIN], LARGE_COSTS)
    accuracy = svm.score(rows[NUM_TRAIN:], labels[NUM_TRAIN:])
    return {"scores": {"accuracy": accuracy}}


def make_scenes15_scratch() -> Path:
    """Train from random weights, and classify pixels: an hour on one core."""
    calls: Calls = {("runs", "pixels 32", 0): partial(test_pixels, 32)}
    for seed in SEEDS:
        for number, steps in STEPS.items():
            train = partial(train_from_nothing, number, steps, seed)
            calls["runs", str(number), seed] = train
    # Nine times as many updates.
    calls["runs", "100 for 180 epochs", 0] = partial(train_from_nothing, 100, 5400, 0)
    return make_missing("scenes15-scratch", calls, SEEDS, shares=["accuracy"])


class NewHead(nn.Module):
    """A new last layer on features (N, D): L2-normalise, scale, score classes.

    The normalisation, which a linear SVM uses too, makes learning rates independent of
    the network; the scale allows the softmax to be confident.
    """

    def __init__(self, num_features: int, seed: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, NUM_CLASSES)
        nn.init.normal_(self.linear.weight, std=0.01, generator=make_generator(seed))
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, 15)."""
        return self.linear(10 * F.normalize(features, dim=1))


class LastLayers(nn.ModuleList):
    """The layers of a network that may move: maps (N, C, H, W) to features (N, D).

    Features are the averages of what each part gives, each of length 1, side by side.
    The parts stay in eval mode: batches of 30 pictures would give poor statistics.
    """

    def __init__(self, name: str) -> None:
        backbone = pretrained.load(NETWORKS[name]).backbone
        if name == "VGG16":
            super().__init__([backbone[-7:]])
        else:
            end = nn.Sequential(backbone.conv_head, backbone.bn2)
            super().__init__([nn.Identity(), backbone.blocks[6], end])
        runtime.channels_last(self).requires_grad_()

    def train(self, mode: bool = True) -> LastLayers:
        """Stay in eval mode, whatever mode is."""
        return super().train(False)

    def forward(self, maps: Tensor) -> Tensor:
        """Features (N, D) of maps (N, C, H, W)."""
        averages = []
        for part in self:
            maps = part(maps)
            averages.append(F.normalize(maps.float().mean((2, 3)), dim=1))
        return torch.cat(averages, dim=1)


@functools.cache
@torch.inference_mode()
def frozen_maps(name: str) -> Tensor:
    """What the last layers are given, (4485, 2, C, H, W) in half precision.

    The second axis is the picture and its mirror image. For VGG16, of which pictures
    have 224 x 224 pixels and not 352 x 352, it is the mirrored map.
    """
    network = pretrained.load(NETWORKS[name])
    backbone = network.backbone
    if name == "VGG16":
        front = backbone[:-7]  # to pool4
        size = 224
    else:
        front = nn.Sequential(backbone.conv_stem, backbone.bn1, backbone.blocks[:6])
        size = transfer.LITE_SIZE
    images, _ = load_scenes()
    maps = []
    for image in images:
        pixels = network.normalisation(stack_pixels([image], size))
        if name != "VGG16":
            pixels = torch.cat([pixels, pixels.flip(3)])
        with torch.autocast("cpu", torch.bfloat16):
            outputs = front(pixels.to(memory_format=torch.channels_last))
        if name == "VGG16":
            outputs = torch.cat([outputs, outputs.flip(3)]).bfloat16()
        else:
            outputs = outputs.half()
        maps.append(outputs)
    return torch.stack(maps)


@functools.cache
@torch.inference_mode()
def frozen_features(name: str) -> Tensor:
    """What frozen last layers make of these maps, float32 (4485, 2, D)."""
    layers = LastLayers(name)
    features = []
    for maps in frozen_maps(name):
        with torch.autocast("cpu", torch.bfloat16):
            features.append(layers(maps.to(memory_format=torch.channels_last)))
    return torch.stack(features)


def choose_view(views: Tensor, generator: torch.Generator) -> Tensor:
    """Take the mirror image of the whole batch (N, 2, ...) with probability 1/2."""
    mirrored = int(torch.rand((), generator=generator) < 0.5)
    return views[:, mirrored]


def train_and_score(run: str, seed: int) -> np.ndarray:
    """Logits (2985, 15) float32 of the test pictures by a training on the others.

    The EfficientNets are trained on each picture and its mirror image, and tested on
    the mean of both; VGG16 is trained on one of the two, and tested on the picture.

    run: its name in SETTINGS.
    """
    name, way = run.split()
    rate, num_epochs = SETTINGS[run]
    _, all_labels = load_scenes()
    labels = torch.from_numpy(all_labels[:NUM_TRAIN])
    views = frozen_features(name)
    head = NewHead(views.shape[2], seed)
    network: nn.Module = head
    rates: dict[nn.Module, float] = {head: rate}
    if way == "moving":
        views = frozen_maps(name)
        layers = LastLayers(name)
        network = nn.Sequential(layers, head)
        rates = {layers: rate, head: HEAD_RATE}
    inputs = views[:NUM_TRAIN]
    augment: training.Augment | None = choose_view
    if name != "VGG16":
        inputs = inputs.flatten(0, 1)
        labels = labels.repeat_interleave(2)
        augment = None
    with bfloat16():
        fit_classifier(
            network,
            inputs,
            labels,
            num_epochs,
            rates,
            label_smoothing=0.1,
            batch_size=30,
            seed=seed,
            augment=augment,
        )
    if name == "VGG16":
        return logits(network, views[NUM_TRAIN:, 0]).numpy()
    both = logits(network, views[NUM_TRAIN:].flatten(0, 1)).unflatten(0, (-1, 2))
    return both.mean(1).numpy()


def control(run: str) -> dict[str, float]:
    """Three trainings; returns their setting.

    Which test pictures are right is written, bool (3, 2985).
    """
    _, labels = load_scenes()
    right = []
    for seed in SEEDS:
        scores = train_and_score(run, seed)
        right.append(scores.argmax(1) == labels[NUM_TRAIN:])
    add_arrays("scenes15-control", {run: np.stack(right)})
    rate, num_epochs = SETTINGS[run]
    return {"rate": rate, "num_epochs": num_epochs}


def make_scenes15_control() -> Path:
    """Train with moving and with frozen layers: an hour on one core."""
    calls: Calls = {(run,): partial(control, run) for run in SETTINGS}
    return make_missing("scenes15-control", calls, SEEDS)


def predict(recipe: str, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The classes (N,) of other pictures by a recipe that is fitted to some."""
    labels = datasets.load_scenes15_features().labels
    X = normalize(transfer.load_block(recipe))
    svm = transfer.fit_svm(X[rows], labels[rows])
    return svm.predict(X[others])


def score_split(recipe: str, seed: int) -> Entry:
    """Its accuracy on a random split."""
    labels = datasets.load_scenes15_features().labels
    rows, others = draw_split(labels, seed)
    predicted = predict(recipe, rows, others)
    accuracy = float(np.mean(predicted == labels[others]))
    return {"scores": {"accuracy": accuracy}}


def make_scenes15_splits() -> Path:
    """Compare the recipes on ten random splits: an hour on one core."""
    calls: Calls = {}
    for recipe in RECIPES:
        for seed in range(NUM_SPLITS):
            calls["runs", recipe, seed] = partial(score_split, recipe, seed)
    seeds = range(NUM_SPLITS)
    return make_missing("scenes15-splits", calls, seeds, shares=["accuracy"])
