"""Chapter 1's experiments that need the pictures of 15-Scene; `labreport study
scenes15-experiments` runs them all.

No choice is made on test pictures: learning rates of fine-tuning are chosen on a fifth
of the training pictures (fold 0 of `make_folds`), C by cross-validation on all of them,
and the rate of training from random weights was fixed beforehand. What makes an entry
returns it: {"scores": ..., "settings": ...}.
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
from labreport.sweeps import keep

NUM_CLASSES, NUM_TRAIN = 15, 1500
# Of VGG16's block 5: the rates that are tried, and the epochs.
RATES, NUM_EPOCHS = (3e-5, 1e-4, 3e-4), 4
# Of linear SVMs: rows that differ little, as those of random weights, need a large C.
COSTS = (0.1, 1, 10, 100, 1000)


def to_grey(network: PixelNetwork) -> PixelNetwork:
    """A copy that takes grey pixels (N, 1, H, W): the filters of its first convolution
    averaged over the channels.

    They respond with a third of what the biases were learnt for.
    """
    backbone = copy.deepcopy(network.backbone)
    first = next(part for part in backbone.modules() if isinstance(part, nn.Conv2d))
    first.in_channels, first.weight = (
        1,
        nn.Parameter(first.weight.data.mean(1, keepdim=True)),
    )
    norm = network.normalisation
    mean, deviation = float(norm.mean.mean()), float(norm.std.mean())
    return PixelNetwork(f"{network.name}, grey", backbone, (mean,), (deviation,))


def make_small_vgg(num_classes: int) -> nn.Sequential:
    """VGG's design at a size that 1,500 pictures may train: six 3 x 3 convolutions,
    batch norm, four poolings.

    Grey pixels (N, 1, H, W) in [0, 1] to logits (N, K); 0.3 M parameters.
    """
    layers: list[nn.Module] = [Normalisation((0.5,), (0.25,))]
    for index, (before, after) in enumerate(
        itertools.pairwise((1, 32, 32, 64, 64, 128, 128))
    ):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        if index in (1, 3, 4, 5):
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, num_classes),
    )


def flip_and_shift(shift: int, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture with probability 1/2 and move the batch by up to `shift`
    pixels, borders reflected.
    """
    mirrored = torch.rand(len(pixels), 1, 1, 1, generator=generator) < 0.5
    pixels = torch.where(mirrored, pixels.flip(3), pixels)
    top, left = torch.randint(0, 2 * shift + 1, (2,), generator=generator).tolist()
    padded = F.pad(pixels, (shift,) * 4, mode="reflect")
    return padded[:, :, top : top + pixels.shape[2], left : left + pixels.shape[3]]


def flip(maps: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror the whole batch with probability 1/2: feature maps of mirrored pictures
    are mirrored maps, nearly.
    """
    return maps.flip(3) if torch.rand((), generator=generator) < 0.5 else maps


def load_grey(split: str, size: int) -> tuple[Tensor, Tensor]:
    """15-Scene as grey pixels (N, 1, size, size) in [0, 1], and its labels."""
    scenes = datasets.load_scenes15(split)
    pixels = torch.cat([stack_pixels([path], size)[:, :1] for path in scenes.images])
    return pixels, torch.from_numpy(scenes.labels)


def train_from_nothing(number: int, num_steps: int, seed: int, size: int = 64) -> Entry:
    """The test accuracy of a small VGG trained on `number` pictures a class, from
    random weights.
    """
    pixels, labels = load_grey("train", size)
    rows = torch.from_numpy(choose_per_class(labels.numpy(), number, seed))
    # Weights are drawn from PyTorch's default generator, as by every nn.Module.
    with runtime.drawn_from(seed):
        network = make_small_vgg(NUM_CLASSES)
    epochs = round(num_steps * 50 / len(rows))
    finetune.fit_classifier(
        network, pixels[rows], labels[rows], epochs, {network: 3e-3}, seed=seed,
        augment=partial(flip_and_shift, size // 10),
    )  # fmt: skip
    return {
        "scores": {"accuracy": finetune.accuracy(network, *load_grey("test", size))}
    }


def compare_grey_inputs() -> dict[str, float]:
    """VGG16's pool5 average of the training pictures, grey as input in two ways: CV
    with C = 1.
    """
    scenes, network = datasets.load_scenes15("train"), pretrained.load("vgg16_features")
    results = {}
    for name, variant in {"copy": network, "mean": to_grey(network)}.items():
        features = normalize(
            transfer.extract_features(variant, scenes.images, ["pool5"])["pool5"]
        )
        accuracies = cross_val_score(
            LinearSVC(random_state=0), features, scenes.labels, cv=make_folds()
        )
        results[f"{name}_accuracy"] = float(accuracies.mean())
    return results


def load_scenes() -> tuple[list[Path], np.ndarray]:
    """All pictures of 15-Scene, the 1,500 to train on first, and their labels (4485,)."""
    train, test = (datasets.load_scenes15(split) for split in ("train", "test"))
    return [*train.images, *test.images], np.concatenate([train.labels, test.labels])


def random_features(seed: int) -> np.ndarray:
    """pool5's averages of all pictures by a VGG16 whose weights are random (He et al.
    2015), (4485, 512) float32.
    """
    network, generator = pretrained.load("vgg16_features"), runtime.make_generator(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, nonlinearity="relu", generator=generator
            )
            nn.init.zeros_(module.get_parameter("bias"))
    return transfer.extract_features(network, load_scenes()[0], ["pool5"])["pool5"]


def random_weights(seed: int) -> Entry:
    """The practical's classifier on features that nothing was learnt for."""
    return score_svm(keep(random_features)(seed))


def plain_pixels(size: int) -> Entry:
    """The same without a network: on size x size grey pixels."""
    return score_svm(
        torch.cat([load_grey(split, size)[0] for split in ("train", "test")])
        .flatten(1)
        .numpy()
    )


def score_svm(features: np.ndarray) -> Entry:
    """Accuracies of a linear SVM on all pictures' features (4485, D), rows
    L2-normalised, C chosen in five folds.
    """
    rows, labels = normalize(features), load_scenes()[1]
    svm = choose_svm(
        (rows[:NUM_TRAIN], labels[:NUM_TRAIN], rows[NUM_TRAIN:], labels[NUM_TRAIN:]),
        COSTS,
    )
    return {
        "scores": {"accuracy": svm.test_accuracy, "cv": svm.cv_accuracy},
        "settings": {"C": svm.cost},
    }


def pool4_maps(split: str) -> tuple[Tensor, Tensor]:
    """What block 5 of VGG16 gets, (N, 512, 14, 14) bfloat16, and the labels: the frozen
    front runs once.
    """
    scenes, network = datasets.load_scenes15(split), pretrained.load("vgg16_features")
    front = nn.Sequential(network.normalisation, network.backbone[:-7])  # to pool4
    maps = []
    for start in range(0, len(scenes), 32):
        batch = stack_pixels(scenes.images[start : start + 32]).to(
            memory_format=torch.channels_last
        )
        with torch.inference_mode(), runtime.autocast("cpu"):
            maps.append(front(batch).bfloat16())
    return torch.cat(maps), torch.from_numpy(scenes.labels)


def fit_last_block(
    maps: Tensor, labels: Tensor, learning_rate: float, seed: int
) -> nn.Module:
    """Block 5 of VGG16 and a new last layer, trained together on pool4's maps; the last
    layer at a rate of .01.
    """
    block, head = (
        pretrained.load("vgg16_features").backbone[-7:],
        finetune.NewHead(512, NUM_CLASSES, seed),
    )
    network = runtime.channels_last(nn.Sequential(block, head))
    finetune.fit_classifier(
        network, maps, labels, NUM_EPOCHS, {block: learning_rate, head: 1e-2}, label_smoothing=0.1, batch_size=30,
        seed=seed, augment=flip,
    )  # fmt: skip
    return network


def finetune_last_block(seeds: Sequence[int]) -> dict[int, Entry]:
    """Block 5 fine-tuned, an entry a seed; its learning rate is chosen on fold 0 of the
    training pictures.
    """
    maps, labels = pool4_maps("train")
    fit_rows, held_out = (
        torch.from_numpy(rows)
        for rows in next(make_folds().split(np.zeros(len(labels)), labels))
    )
    validation = {}
    for rate in RATES:
        network = fit_last_block(maps[fit_rows], labels[fit_rows], rate, seed=0)
        validation[rate] = finetune.accuracy(network, maps[held_out], labels[held_out])
    best = max(validation, key=validation.__getitem__)
    settings, test = (
        {"learning_rate": best, "validation": validation},
        pool4_maps("test"),
    )
    accuracies = {
        seed: finetune.accuracy(fit_last_block(maps, labels, best, seed), *test)
        for seed in seeds
    }
    return {
        seed: {"scores": {"accuracy": found}, "settings": settings}
        for seed, found in accuracies.items()
    }
