"""Chapter 1's experiments that need the pictures of 15-Scene.

`python -m studies scenes15-experiments` runs them all. No choice is made on test
pictures: learning rates of fine-tuning are chosen on a fifth of the training pictures
(fold 0 of `make_folds`), C by cross-validation on all of them, and the rate of training
from random weights was fixed beforehand.
"""

import copy
import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained, transfer
from dlapps.core import runtime
from dlapps.core.images import stack_pixels
from dlapps.pretrained import Normalisation, PixelNetwork
from dlapps.transfer import finetune
from dlapps.transfer.linear import choose_per_class, choose_svm, make_folds
from labreport.results import Entry
from studies.sweeps import keep

NUM_CLASSES = 15
NUM_TRAIN = 1500
# For VGG16's block 5.
RATES = (3e-5, 1e-4, 3e-4)
NUM_EPOCHS = 4
# For linear SVMs: rows that differ little, as those of random weights, need a large C.
COSTS = (0.1, 1, 10, 100, 1000, 10_000, 100_000)


def to_grey(network: PixelNetwork) -> PixelNetwork:
    """A copy for grey pixels (N, 1, H, W), its first filters averaged over channels.

    They respond with a third of what the biases were learnt for.
    """
    backbone = copy.deepcopy(network.backbone)
    first = next(part for part in backbone.modules() if isinstance(part, nn.Conv2d))
    first.in_channels = 1
    first.weight = nn.Parameter(first.weight.data.mean(1, keepdim=True))
    mean = float(network.normalisation.mean.mean())
    deviation = float(network.normalisation.std.mean())
    return PixelNetwork(f"{network.name}, grey", backbone, (mean,), (deviation,))


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


def flip(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror the whole batch with probability 1/2.

    Feature maps of mirrored pictures are nearly mirrored maps.
    """
    return maps.flip(3) if torch.rand((), generator=generator) < 0.5 else maps


def load_grey(split: str, size: int) -> tuple[Tensor, Tensor]:
    """15-Scene as grey pixels (N, 1, size, size) in [0, 1], and its labels (N,)."""
    scenes = datasets.load_scenes15(split)
    pixels = torch.cat([stack_pixels([path], size)[:, :1] for path in scenes.images])
    return pixels, torch.from_numpy(scenes.labels)


def train_from_nothing(number: int, num_steps: int, seed: int, size: int = 64) -> Entry:
    """Train a small VGG on `number` pictures a class from random weights."""
    pixels, labels = load_grey("train", size)
    rows = torch.from_numpy(choose_per_class(labels.numpy(), number, seed))
    # Weights are drawn from PyTorch's default generator, as by every nn.Module.
    with runtime.drawn_from(seed):
        network = make_small_vgg(NUM_CLASSES)
    epochs = round(num_steps * 50 / len(rows))
    finetune.fit_classifier(
        network,
        pixels[rows],
        labels[rows],
        epochs,
        {network: 3e-3},
        seed=seed,
        augment=partial(flip_and_shift, size // 10),
    )
    test_pixels, test_labels = load_grey("test", size)
    accuracy = finetune.accuracy(network, test_pixels, test_labels)
    return {"scores": {"accuracy": accuracy}}


def compare_grey_inputs() -> dict[str, float]:
    """Accuracies in cross-validation of two ways to put grey pictures into VGG16.

    The grey channel is copied, or the first filters are averaged; pool5's average,
    C = 1.
    """
    network = pretrained.load("vgg16_features")
    return {
        "copy_accuracy": _cross_validate(network),
        "mean_accuracy": _cross_validate(to_grey(network)),
    }


def _cross_validate(network: PixelNetwork) -> float:
    scenes = datasets.load_scenes15("train")
    features = transfer.extract_features(network, scenes.images, ["pool5"])["pool5"]
    svm = LinearSVC(random_state=0)
    rows = normalize(features)
    accuracies = cross_val_score(svm, rows, scenes.labels, cv=make_folds())
    return float(accuracies.mean())


def first_fold(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and rows that are held out, of fold 0 of `make_folds`."""
    return next(make_folds().split(labels, labels))


def load_scenes() -> tuple[list[Path | np.ndarray], np.ndarray]:
    """All pictures of 15-Scene, the 1,500 to train on first, and labels (4485,)."""
    train = datasets.load_scenes15("train")
    test = datasets.load_scenes15("test")
    images = list(train.images) + list(test.images)
    return images, np.concatenate([train.labels, test.labels])


def random_features(seed: int) -> np.ndarray:
    """pool5's averages (4485, 512) of all pictures by a VGG16 of random weights.

    Weights are drawn as by He et al. (2015).
    """
    network = pretrained.load("vgg16_features")
    generator = runtime.make_generator(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, nonlinearity="relu", generator=generator
            )
            nn.init.zeros_(module.get_parameter("bias"))
    images, _ = load_scenes()
    return transfer.extract_features(network, images, ["pool5"])["pool5"]


def random_weights(seed: int) -> Entry:
    """The practical's classifier on features of random weights."""
    return score_svm(keep(random_features)(seed))


def plain_pixels(size: int) -> Entry:
    """The practical's classifier on size x size grey pixels."""
    train, _ = load_grey("train", size)
    test, _ = load_grey("test", size)
    return score_svm(torch.cat([train, test]).flatten(1).numpy())


def score_svm(features: np.ndarray) -> Entry:
    """Accuracies of a linear SVM on all pictures' features (4485, D).

    Rows are L2-normalised; C is chosen in five folds.
    """
    rows = normalize(features)
    _, labels = load_scenes()
    train = slice(NUM_TRAIN)
    test = slice(NUM_TRAIN, None)
    svm = choose_svm((rows[train], labels[train], rows[test], labels[test]), COSTS)
    return {
        "scores": {"accuracy": svm.test_accuracy, "cv": svm.cv_accuracy},
        "settings": {"C": svm.cost},
    }


def pool4_maps(split: str) -> tuple[Tensor, Tensor]:
    """The input (N, 512, 14, 14) bfloat16 of VGG16's block 5, and the labels.

    The frozen layers before it run once.
    """
    scenes = datasets.load_scenes15(split)
    network = pretrained.load("vgg16_features")
    front = nn.Sequential(network.normalisation, network.backbone[:-7])  # to pool4
    maps = []
    for start in range(0, len(scenes), 32):
        batch = stack_pixels(scenes.images[start : start + 32])
        with torch.inference_mode(), runtime.autocast("cpu"):
            outputs = front(batch.to(memory_format=torch.channels_last))
            maps.append(outputs.bfloat16())
    return torch.cat(maps), torch.from_numpy(scenes.labels)


def fit_last_block(
    maps: Tensor, labels: Tensor, learning_rate: float, seed: int
) -> nn.Module:
    """Train block 5 of VGG16 and a new last layer together on pool4's maps.

    The last layer has a rate of .01.
    """
    block = pretrained.load("vgg16_features").backbone[-7:]
    head = finetune.NewHead(512, NUM_CLASSES, seed)
    network = runtime.channels_last(nn.Sequential(block, head))
    finetune.fit_classifier(
        network,
        maps,
        labels,
        NUM_EPOCHS,
        {block: learning_rate, head: 1e-2},
        label_smoothing=0.1,
        batch_size=30,
        seed=seed,
        augment=flip,
    )
    return network


def finetune_last_block(seeds: Sequence[int]) -> dict[int, Entry]:
    """Fine-tune block 5, an entry for each seed.

    Its learning rate is chosen on fold 0 of the training pictures.
    """
    maps, labels = pool4_maps("train")
    fit_rows, held_out = first_fold(labels.numpy())
    validation = {}
    for rate in RATES:
        network = fit_last_block(maps[fit_rows], labels[fit_rows], rate, seed=0)
        validation[rate] = finetune.accuracy(network, maps[held_out], labels[held_out])
    best = max(validation, key=validation.__getitem__)
    settings = {"learning_rate": best, "validation": validation}
    test_maps, test_labels = pool4_maps("test")
    entries: dict[int, Entry] = {}
    for seed in seeds:
        network = fit_last_block(maps, labels, best, seed)
        accuracy = finetune.accuracy(network, test_maps, test_labels)
        entries[seed] = {"scores": {"accuracy": accuracy}, "settings": settings}
    return entries
