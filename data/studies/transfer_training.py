"""Chapter 1's trainings on 15-Scene: from random weights, and with last layers that
move beside the same layers frozen.

No choice is made on test pictures: learning rates and epochs are chosen on a fifth of
the training pictures, C by cross-validation on all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import normalize
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained
from dlapps.core import runtime, training
from dlapps.core.arrays import as_tensor
from dlapps.core.classifier import as_floats, fit_classifier
from dlapps.core.images import stack_pixels
from dlapps.core.runtime import make_generator
from dlapps.pretrained import Normalisation
from labreport import results
from labreport.report import find_report
from labreport.results import Entry
from studies import transfer
from studies.runs import Calls, add_entries, bfloat16, make_missing
from studies.sweeps import keep
from studies.transfer import NUM_SPLITS, NUM_TRAIN, draw_split, load_scenes

NUM_CLASSES = 15
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
# Rates and epochs that are tried: of moving layers, and of a head on frozen ones.
Grid = tuple[tuple[float, ...], tuple[int, ...]]
MOVING: Grid = ((1e-3, 3e-3, 1e-2, 3e-2), (2, 4, 8))
FROZEN: Grid = ((3e-3, 1e-2, 3e-2, 1e-1), (4, 8, 16, 32))
MOVING_VGG16: Grid = ((3e-5, 1e-4, 3e-4), (2, 4, 8))
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

Setting = tuple[float, int]  # the highest learning rate, and the epochs


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


def train_from_nothing(number: int, num_steps: int, seed: int, size: int = 64) -> Entry:
    """Train a small VGG on `number` pictures a class from random weights."""
    pixels, labels = load_grey(size)
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
            augment=partial(flip_and_shift, size // 10),
        )
    scores = logits(network, pixels[NUM_TRAIN:])
    accuracy = training.accuracy(scores, labels[NUM_TRAIN:])
    return {"scores": {"accuracy": accuracy}}


def logits(network: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (N, K) float32 of a network in eval mode, batch by batch."""
    return training.predict(
        network, as_tensor(inputs), batch_size=64, prepare=as_floats
    )


def test_pixels(size: int) -> Entry:
    """Test accuracy of a linear SVM on size x size grey pixels."""
    pixels, labels = load_grey(size)
    rows = normalize(pixels.flatten(1).numpy())
    svm = transfer.fit_svm(rows[:NUM_TRAIN], labels[:NUM_TRAIN], LARGE_COSTS)
    accuracy = svm.score(rows[NUM_TRAIN:], labels[NUM_TRAIN:])
    return {"scores": {"accuracy": accuracy}, "settings": {"C": svm.C}}


def make_scenes15_scratch() -> Path:
    """Train from random weights, and classify pixels: an hour on one core."""
    calls: Calls = {("runs", "pixels 32", 0): partial(test_pixels, 32)}
    for seed in SEEDS:
        for number, steps in STEPS.items():
            train = partial(train_from_nothing, number, steps, seed)
            calls["runs", str(number), seed] = train
    # Nine times as many updates.
    calls["runs", "100 for 180 epochs", 0] = partial(train_from_nothing, 100, 5400, 0)
    add_entries("scenes15-scratch", {("shares",): ["accuracy"]}, SEEDS)
    make_missing("scenes15-scratch", calls, SEEDS)
    return find_report().results / "scenes15-scratch.json"


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


@torch.inference_mode()
def frozen_features(name: str) -> Tensor:
    """What frozen last layers make of these maps, float32 (4485, 2, D)."""
    layers = LastLayers(name)
    features = []
    for maps in keep(frozen_maps)(name):
        with torch.autocast("cpu", torch.bfloat16):
            features.append(layers(maps.to(memory_format=torch.channels_last)))
    return torch.stack(features)


def choose_view(views: Tensor, generator: torch.Generator) -> Tensor:
    """Take the mirror image of the whole batch (N, 2, ...) with probability 1/2."""
    mirrored = int(torch.rand((), generator=generator) < 0.5)
    return views[:, mirrored]


def train_and_score(
    name: str,
    moves: bool,
    fit_rows: np.ndarray,
    rows: np.ndarray,
    setting: Setting,
    seed: int,
) -> np.ndarray:
    """Logits (N, 15) float32 of some pictures by a training on others.

    The EfficientNets are trained on each picture and its mirror image, and tested on
    the mean of both; VGG16 is trained on one of the two, and tested on the picture.
    """
    rate, num_epochs = setting
    _, all_labels = load_scenes()
    labels = torch.from_numpy(all_labels[fit_rows])
    head = NewHead(keep(frozen_features)(name).shape[2], seed)
    network: nn.Module = head
    rates: dict[nn.Module, float] = {head: rate}
    views = keep(frozen_features)(name)
    if moves:
        layers = LastLayers(name)
        network = nn.Sequential(layers, head)
        rates = {layers: rate, head: HEAD_RATE}
        views = keep(frozen_maps)(name)
    inputs = views[fit_rows]
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
        return logits(network, views[rows, 0]).numpy()
    both = logits(network, views[rows].flatten(0, 1)).unflatten(0, (-1, 2))
    return both.mean(1).numpy()


def list_settings(name: str, moves: bool) -> Iterator[Setting]:
    """The settings that are tried."""
    rates, epochs = FROZEN
    if moves:
        rates, epochs = MOVING_VGG16 if name == "VGG16" else MOVING
    return itertools.product(rates, epochs)


def choose_setting(name: str, moves: bool) -> tuple[Setting, dict[str, float]]:
    """The best setting on a fifth of the training pictures, and all cross-entropies.

    Of the settings within one standard error of the best (paired over pictures) it is
    the best among those of the fewest epochs: 300 pictures cannot tell them apart.
    """
    _, labels = load_scenes()
    train = np.arange(NUM_TRAIN)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    fit_rows, held_out = next(folds.split(train, labels[train]))
    targets = torch.from_numpy(labels[held_out])
    losses: dict[Setting, Tensor] = {}
    for setting in list_settings(name, moves):
        scores = keep(train_and_score)(name, moves, fit_rows, held_out, setting, 0)
        losses[setting] = F.cross_entropy(
            torch.from_numpy(scores), targets, reduction="none"
        )
    return best_setting(losses), {
        f"{rate:g} {epochs}": float(loss.mean())
        for (rate, epochs), loss in losses.items()
    }


def best_setting(losses: dict[Setting, Tensor]) -> Setting:
    """Of losses (N,) by setting, the shortest that cannot be told from the best."""
    best = min(losses.values(), key=torch.mean)
    comparable = []
    for (rate, num_epochs), loss in losses.items():
        error = (loss - best).std() / len(loss) ** 0.5
        if loss.mean() - best.mean() <= error:
            comparable.append((num_epochs, float(loss.mean()), rate))
    num_epochs, _, rate = min(comparable)
    return rate, num_epochs


def make_scenes15_control() -> Path:
    """Train with moving and with frozen layers: two hours on one core.

    Arrays are bool (seeds, 2985), whether each test picture is right: "Lite0 frozen",
    "Lite0 moving" and so on.
    """
    _, labels = load_scenes()
    train = np.arange(NUM_TRAIN)
    test = np.arange(NUM_TRAIN, len(labels))
    arrays = {}
    chosen = {}
    for name, moves in itertools.product(NETWORKS, (False, True)):
        run = f"{name} {'moving' if moves else 'frozen'}"
        setting, losses = choose_setting(name, moves)
        rate, num_epochs = setting
        chosen[run] = {"rate": rate, "num_epochs": num_epochs, "losses": losses}
        right = []
        for seed in SEEDS:
            scores = keep(train_and_score)(name, moves, train, test, setting, seed)
            right.append(scores.argmax(1) == labels[test])
        arrays[run] = np.stack(right)
    results.save_arrays("scenes15-control", arrays)
    return results.save("scenes15-control", chosen, SEEDS)


def moving_scores(name: str, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Class scores of pictures by a network whose last layers moved, as chosen."""
    chosen = results.load("scenes15-control")[f"{name} moving"]
    setting = (chosen["rate"], chosen["num_epochs"])
    return keep(train_and_score)(name, True, rows, others, setting, 0)


def compare_recipes(rows: np.ndarray, others: np.ndarray) -> dict[str, np.ndarray]:
    """Class scores (N, 15) of some pictures by each recipe fitted on others.

    The sum is that of Lite2's SVM and of both EfficientNets with moving layers.
    """
    scenes = datasets.load_scenes15_features()
    scores = {}
    for recipe in RECIPES:
        X = normalize(scenes.blocks[recipe])
        svm = transfer.fit_svm(X[rows], scenes.labels[rows])
        scores[recipe] = svm.decision_function(X[others])
    votes = [scores["Lite2"]]
    for name in ("Lite0", "Lite2"):
        votes.append(moving_scores(name, rows, others))
    scores["sum of three"] = np.sum([vote / vote.std() for vote in votes], axis=0)
    return scores


def make_scenes15_splits() -> Path:
    """Compare the recipes on ten random splits: an hour on one core.

    Accuracies on these are means over classes, as in published works. "usual" has
    those on the usual test pictures.
    """
    labels = datasets.load_scenes15_features().labels
    runs: dict[str, dict[str, Entry]] = {}
    for seed in range(NUM_SPLITS):
        rows, others = draw_split(labels, seed)
        for recipe, scores in compare_recipes(rows, others).items():
            accuracy = balanced_accuracy_score(labels[others], scores.argmax(1))
            entry = {"scores": {"accuracy": float(accuracy)}}
            runs.setdefault(recipe, {})[str(seed)] = entry
    usual = {}
    train = np.arange(NUM_TRAIN)
    test = np.arange(NUM_TRAIN, len(labels))
    for recipe, scores in compare_recipes(train, test).items():
        usual[recipe] = float(np.mean(scores.argmax(1) == labels[test]))
    parts = {"shares": ["accuracy"], "usual": usual, "runs": runs}
    return results.save("scenes15-splits", parts, range(NUM_SPLITS))
