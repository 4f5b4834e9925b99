"""A recipe that adapts further: source digits on random textures, then pseudo-labels of an averaged teacher.

Beside `fit_dann` it takes the same domains and gives the same history; no target label is ever seen.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from dlapps import paths
from dlapps.dann.augment import lay_on_textures, random_affine, random_colours, random_strokes
from dlapps.dann.layers import DomainClassifier
from dlapps.dann.pictures import as_domains, batch_to_pixels, draw_batches
from dlapps.dann.training import domain_loss
from dlapps.dann.virtual import virtual_adversarial_loss
from dlapps.runtime import autocast, channels_last, device_of
from dlapps.training import History, make_one_cycle, minimise, run_epochs, seeded
from dlapps.weights import load_weights, update_average


class ImprovedNetwork(nn.Module):
    """Five convolutions with batch norm on instance-normalised pixels (N, 3, 28, 28); class logits (N, K); 0.27 M.

    Instance norm takes contrast and tint of each picture away; strides in place of poolings keep a step cheap.
    """

    def __init__(self, seed: int = 0, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.feature_extractor = nn.Sequential(
                nn.InstanceNorm2d(3),
                _block(3, 32, 5, 2), _block(32, 48, 3, 1), _block(48, 64, 3, 2), _block(64, 128, 3, 1),
                _block(128, 128, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            )  # fmt: skip
            self.label_predictor = nn.Linear(128, num_classes)
            self.domain_classifier = DomainClassifier(128)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))


def _block(channels: int, width: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


@dataclass(frozen=True)
class ImprovedSettings:
    """How the improved network is trained: AdamW, one cycle of the learning rate, batch_size of each domain.

    Its ingredients, each of which can be left out: textures (share of source digits laid on them), colours (random
    convolutions and inversion), pseudo-labels whose probability reaches the threshold (above 1: none) once warm_up of
    the training is over, given by the average of the weights with this decay a step. The last three add the domain loss
    of DANN, the entropy of predictions on the target, and their virtual adversarial loss.
    """

    num_epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    textures: float = 0.75
    negative: float = 0.5
    colours: bool = True
    warm_up: float = 0.15
    threshold: float = 0.9
    decay: float = 0.998
    reversal_weight: float = 0.0
    entropy_weight: float = 0.0
    virtual_weight: float = 0.0


IMPROVED = ImprovedSettings()


def fit_improved(
    network: ImprovedNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: ImprovedSettings = IMPROVED,
    seed: int = 0,
    precision: str = "fast",
    **options: Any,
) -> History:
    """Train on augmented source digits and on confident predictions for the target; the network ends as the average.

    Source pictures are grey, (N, H, W). Returns the history: loss, class_loss (its part for the source), labelled_share
    (of the target pictures), and what the monitor adds. options: as for `fit_source_only`.
    """
    source, labels, target = as_domains(source, labels, target, network.num_classes)
    if source.ndim != 3:
        raise ValueError(f"expected source pictures (N, H, W), got {tuple(source.shape)}; pass grey strokes on black.")
    device, student = device_of(network), copy.deepcopy(network)
    num_steps = -(-len(source) // settings.batch_size)
    optimiser, schedule = _make_optimiser(student, settings, settings.num_epochs * num_steps)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        student.train()
        sums = torch.zeros(3)
        for step, (here, there) in enumerate(draw_batches(source, target, settings.batch_size, generator)):
            self_training = epoch + step / num_steps >= settings.warm_up * settings.num_epochs
            digits = augment_source(batch_to_pixels(source[here], device), settings, generator)
            pictures = batch_to_pixels(target[there], device) if self_training else None
            with autocast(device, precision):
                classes = labels[here].to(device)
                losses = improved_losses(student, network, digits, classes, pictures, settings, generator)
            minimise(losses[0], optimiser)
            schedule.step()
            # The first steps are forgotten sooner: their weights are nearly random.
            made = schedule.last_epoch
            update_average(network, student, min(settings.decay, (1 + made) / (10 + made)))
            sums += torch.stack(losses).detach().cpu() * len(here) / len(source)
        return dict(zip(("loss", "class_loss", "labelled_share"), sums.tolist(), strict=True))

    parts = {"student": student, "optimiser": optimiser, "schedule": schedule}
    identity = {"fit": "improved", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"source": source, "labels": labels, "target": target}
    train = seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def _make_optimiser(
    student: nn.Module, settings: ImprovedSettings, num_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    if num_steps < 10:
        raise ValueError(
            f"expected at least 10 steps of training, got {num_steps}; take more epochs or smaller batches."
        )
    return make_one_cycle({student: settings.learning_rate}, settings.weight_decay, num_steps)


def load_improved() -> ImprovedNetwork:
    """The committed network, in eval mode: seed 0 of IMPROVED on all of MNIST and MNIST-M of BSDS500's photos."""
    path = paths.require_result("mnistm-improved.pt", "the network", "run dlapps data make mnistm-improved")
    return load_weights(ImprovedNetwork(), path)


def augment_source(pixels: Tensor, settings: ImprovedSettings, generator: torch.Generator) -> Tensor:
    """Grey digits (N, 3, H, W) moved, a share of them laid on textures, their colours changed."""
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    laid = lay_on_textures(digits, generator, settings.negative)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < settings.textures
    laid = torch.where(chosen.to(laid.device), laid, digits)
    return random_colours(laid, generator) if settings.colours else laid


def improved_losses(
    student: ImprovedNetwork,
    teacher: ImprovedNetwork,
    digits: Tensor,
    labels: Tensor,
    pictures: Tensor | None,
    settings: ImprovedSettings,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of a step, its part for the source, and the share of target pictures that the teacher labels."""
    if pictures is None:
        class_loss = F.cross_entropy(student(digits).float(), labels)
        return class_loss, class_loss, class_loss.new_zeros(())
    with torch.no_grad():
        confidence, pseudo_labels = teacher(pictures).float().softmax(1).max(1)
    moved = random_affine(pictures, generator)
    moved = random_colours(moved, generator) if settings.colours else moved
    both = torch.cat([digits, moved]).contiguous(memory_format=torch.channels_last)
    features = student.feature_extractor(both)
    logits = student.label_predictor(features).float()
    class_loss = F.cross_entropy(logits[: len(digits)], labels)
    trusted = (confidence >= settings.threshold).float()
    target_logits = logits[len(digits) :]
    target_losses = F.cross_entropy(target_logits, pseudo_labels, reduction="none")
    loss = class_loss + (trusted * target_losses).mean()
    if settings.entropy_weight:
        entropy = torch.distributions.Categorical(logits=target_logits).entropy().mean()
        loss += settings.entropy_weight * entropy
    if settings.virtual_weight:
        loss += settings.virtual_weight * virtual_adversarial_loss(student, pictures, generator)
    if settings.reversal_weight:
        weight = settings.reversal_weight
        loss += domain_loss(student.domain_classifier, features, len(digits), weight)[0]
    return loss, class_loss, trusted.mean()
