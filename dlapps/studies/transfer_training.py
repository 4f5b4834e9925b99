"""Chapter 1's experiments that need the pictures of 15-Scene; `dlapps data make scenes15-experiments` runs them all.

No choice is made on test pictures: learning rates are chosen on a fifth of the training pictures (fold 0 of
`make_folds`), and what is compared by cross-validation never sees the test split.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torch import Tensor, nn
from torch.nn import functional as F

from dlapps import datasets, pretrained, runtime, transfer
from dlapps.images import read_picture, stack_pixels, to_pixels
from dlapps.transfer import finetune
from dlapps.transfer.linear import choose_per_class, make_folds

NUM_CLASSES = 15


def load_grey(split: str, size: int) -> tuple[Tensor, Tensor]:
    """15-Scene as grey pixels (N, 1, size, size) in [0, 1], and its labels."""
    scenes = datasets.load_scenes15(split)
    pixels = torch.cat([stack_pixels([path], size)[:, :1] for path in scenes.images])
    return pixels, torch.from_numpy(scenes.labels)


def train_from_nothing(number: int, num_steps: int, seed: int, size: int = 64) -> float:
    """Test accuracy of a small VGG trained on `number` pictures a class, from random weights."""
    pixels, labels = load_grey("train", size)
    rows = torch.from_numpy(choose_per_class(labels.numpy(), number, seed))
    # SmallVGG draws its weights from PyTorch's default generator, as every nn.Module does.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = finetune.SmallVGG(NUM_CLASSES)
        epochs = round(num_steps * 50 / len(rows))
        augment = finetune.flip_and_shift(size // 10)
        finetune.fit_classifier(
            network, pixels[rows], labels[rows], epochs, {network: 3e-3}, seed=seed, augment=augment, progress=True
        )
    return finetune.accuracy(network, *load_grey("test", size))


def cross_validate(features: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy over the folds of a linear SVM (C = 1) on L2-normalised rows."""
    svm, rows = LinearSVC(random_state=0), normalize(features)
    return float(cross_val_score(svm, rows, labels, cv=make_folds()).mean())


def compare_grey_inputs() -> dict[str, float]:
    """VGG16's pool5 average of the training pictures, grey given in three ways; cosines to the copied channels."""
    scenes = datasets.load_scenes15("train")
    network, (grey, _) = pretrained.load("vgg16_features"), load_grey("train", 224)
    variants = {"copy": network, **{reduce: transfer.to_grey(network, reduce) for reduce in ("sum", "mean")}}
    results, reference = {}, None
    for name, variant in variants.items():
        parts = [_pool5(variant, batch, 3 if name == "copy" else 1) for batch in grey.split(32)]
        features = normalize(torch.cat(parts).numpy())
        reference = features if reference is None else reference
        results[f"{name}_accuracy"] = cross_validate(features, scenes.labels)
        results[f"{name}_cosine"] = float((features * reference).sum(1).mean())
    return results


@torch.inference_mode()
def _pool5(network: nn.Module, grey: Tensor, channels: int) -> Tensor:
    with runtime.autocast("cpu"):
        return network(grey.expand(-1, channels, -1, -1)).float().mean((2, 3))


def random_weights_accuracy(seed: int) -> float:
    """Cross-validated accuracy with pool5 of a VGG16 whose weights are random (He et al. 2015)."""
    scenes, network = datasets.load_scenes15("train"), pretrained.load("vgg16_features")
    generator = runtime.make_generator(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.get_parameter("bias"))
    features = transfer.extract_features(network, scenes.images, ["pool5"], progress=True)["pool5"]
    return cross_validate(features, scenes.labels)


@torch.inference_mode()
def _run_front(front: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    maps = []
    for batch in batches:
        with runtime.autocast("cpu"):
            maps.append(front(batch.to(memory_format=torch.channels_last)).bfloat16())
    return torch.cat(maps)


def pool4_maps(split: str) -> tuple[Tensor, Tensor]:
    """What block 5 of VGG16 gets, (N, 512, 14, 14) bfloat16, and the labels: the frozen front runs once."""
    scenes, network = datasets.load_scenes15(split), pretrained.load("vgg16_features")
    front, _ = finetune.split_at(network.backbone, "conv5_1")
    batches = (stack_pixels(scenes.images[start : start + 32]) for start in range(0, len(scenes), 32))
    maps = _run_front(nn.Sequential(network.normalisation, front), batches)
    return maps, torch.from_numpy(scenes.labels)


def fit_last_block(maps: Tensor, labels: Tensor, learning_rate: float, num_epochs: int, seed: int) -> nn.Module:
    """Block 5 of VGG16 and a new last layer, trained together on pool4's maps; the last layer at a rate of .01."""
    _, tail = finetune.split_at(pretrained.load("vgg16_features").backbone, "conv5_1")
    block, head = copy.deepcopy(tail), finetune.NewHead(512, NUM_CLASSES, seed)
    network = runtime.channels_last(nn.Sequential(block, head))
    finetune.fit_classifier(
        network, maps, labels, num_epochs, {block: learning_rate, head: 1e-2}, label_smoothing=0.1, batch_size=30,
        seed=seed, augment=finetune.flip, progress=True,
    )  # fmt: skip
    return network


def compare_last_layers(
    learning_rates: Sequence[float] = (3e-5, 1e-4), num_epochs: int = 4, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, object]:
    """Test accuracies, one a seed: block 5 fine-tuned, its learning rate chosen on fold 0 of the training pictures."""
    maps, labels = pool4_maps("train")
    fit_rows, held_out = (torch.from_numpy(rows) for rows in next(make_folds().split(np.zeros(len(labels)), labels)))
    validation = {}
    for rate in learning_rates:
        network = fit_last_block(maps[fit_rows], labels[fit_rows], rate, num_epochs, seed=0)
        validation[rate] = finetune.accuracy(network, maps[held_out], labels[held_out])
    best = max(validation, key=validation.__getitem__)
    test_maps, test_labels = pool4_maps("test")
    accuracies = [
        finetune.accuracy(fit_last_block(maps, labels, best, num_epochs, seed), test_maps, test_labels)
        for seed in seeds
    ]
    return {"accuracies": accuracies, "learning_rate": best, "validation": list(validation.values())}


class FixedStatistics(nn.ModuleList):
    """Layers that stay in eval mode while they are trained: the statistics of their batch norms do not move."""

    def train(self, mode: bool = True) -> FixedStatistics:
        """Stay in eval mode, whatever is asked for."""
        return super().train(False)


class LastStages(nn.Module):
    """The last two stages of EfficientNet-Lite0 and a new last layer on the averages of their three outputs.

    Takes what stage 4 gives, (N, 112, H, W). The statistics of the batch norms stay those of ImageNet: batches of 30
    pictures would be poor estimates.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        backbone = pretrained.load("efficientnet_lite0").backbone
        last = nn.Sequential(backbone.conv_head, backbone.bn2)
        self.stages = FixedStatistics([*backbone.blocks[5:], last])
        self.head = finetune.NewHead(192 + 320 + 1280, NUM_CLASSES, seed)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, 15) of stage 4's maps (N, 112, H, W)."""
        averages = []
        for stage in self.stages:
            maps = stage(maps)
            averages.append(F.normalize(maps.float().mean((2, 3)), dim=1))
        return self.head(torch.cat(averages, dim=1))


def stage4_maps(pixels: Iterable[Tensor]) -> Tensor:
    """Batches of pixels to what EfficientNet-Lite0's stage 5 gets, (N, 112, H/16, W/16) bfloat16."""
    network = pretrained.load("efficientnet_lite0")
    backbone = network.backbone
    stages = (backbone.conv_stem, backbone.bn1, *backbone.blocks[:5])
    return _run_front(nn.Sequential(network.normalisation, *stages), pixels)


def random_crops(paths: Sequence[Path], size: int, seed: int) -> Iterator[Tensor]:
    """One random part of each picture, half to all of its area, resized to size x size; every other batch mirrored."""
    random = np.random.default_rng(seed)
    for number, start in enumerate(range(0, len(paths), 30)):
        crops = []
        for path in paths[start : start + 30]:
            picture = read_picture(path)
            share = np.sqrt(random.uniform(0.5, 1, 1) * np.exp(random.uniform(-0.29, 0.29) * np.array([1, -1])))
            width, height = np.minimum(share, 1) * picture.size
            left, top = random.uniform(0, (picture.width - width, picture.height - height))
            crops.append(to_pixels(picture.crop((left, top, left + width, top + height)), size))
        batch = torch.stack(crops)
        yield batch.flip(3) if number % 2 else batch


def finetune_lite0(rate: float = 1e-3, num_views: int = 6, seeds: Sequence[int] = (0, 1, 2)) -> dict:
    """Scores of the fine-tuned last stages: out of fold for the training pictures (seed 0), and of the test pictures.

    Trained on random crops of 256 x 256, read at 320 x 320. Returns "train" (1500, 15), "test" (seeds, 2985, 15).
    """
    scenes, test = datasets.load_scenes15("train"), datasets.load_scenes15("test")
    views = torch.stack([stage4_maps(random_crops(scenes.images, 256, seed)) for seed in range(num_views)])
    whole = {
        name: stage4_maps(stack_pixels([p], 320) for p in part.images)
        for name, part in (("train", scenes), ("test", test))
    }
    labels = torch.from_numpy(scenes.labels)

    def fit(rows: Tensor, seed: int) -> nn.Module:
        network = LastStages(seed)
        inputs, targets = views[:, rows].flatten(0, 1), labels[rows].repeat(num_views)
        finetune.fit_classifier(
            network, inputs, targets, num_epochs=1, learning_rates={network.stages: rate, network.head: 1e-2},
            label_smoothing=0.1, batch_size=30, seed=seed, progress=True,
        )  # fmt: skip
        return network

    out_of_fold = torch.empty(len(labels), NUM_CLASSES)
    for fit_rows, held_out in make_folds().split(np.zeros(len(labels)), labels):
        network = fit(torch.from_numpy(fit_rows), seed=0)
        out_of_fold[held_out] = finetune.batched_logits(network, whole["train"][held_out])
    scores = [finetune.batched_logits(fit(torch.arange(len(labels)), seed), whole["test"]) for seed in seeds]
    return {"train": out_of_fold.numpy(), "test": torch.stack(scores).numpy()}
