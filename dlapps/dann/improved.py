"""A recipe that adapts further: source digits on random textures, then pseudo-labels of an averaged teacher.

Called as `fit_dann` is, with a grey source; it has a history of its own. No target label is seen unless
`target_labels` gives them.
"""

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps import check_counts, check_shares
from dlapps.core import paths
from dlapps.core.runtime import autocast, channels_last, check_last_batch, device_of, drawn_from
from dlapps.core.training import (
    History,
    as_labels,
    check_options,
    load_weights,
    make_one_cycle,
    minimise,
    run_epochs,
    seeded,
    update_average,
)
from dlapps.dann.augment import lay_on_textures, random_affine, random_strokes
from dlapps.dann.layers import DomainClassifier
from dlapps.dann.pictures import as_domains, batch_to_pixels, draw_batches


class ImprovedNetwork(nn.Module):
    """A small residual network on instance-normalised pixels (N, 3, 28, 28); class logits (N, K); 0.92 M weights.

    Ten convolutions, six of them in residual blocks (He et al. 2016), the first at full resolution; instance norm takes
    contrast and tint of each picture away. A domain classifier besides, for `fit_dann`.
    """

    def __init__(self, seed: int = 0, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        with drawn_from(seed):
            self.feature_extractor = nn.Sequential(
                nn.InstanceNorm2d(3), *_convolution(3, 32, 5, 1),
                *_convolution(32, 64, 3, 2), Residual(64),
                *_convolution(64, 96, 3, 2), Residual(96),
                *_convolution(96, 160, 3, 2), Residual(160),
                nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            )  # fmt: skip
            self.label_predictor = nn.Linear(160, num_classes)
            self.domain_classifier = DomainClassifier(160)
        channels_last(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits (N, K) of pixels (N, 3, 28, 28) in [0, 1]."""
        return self.label_predictor(self.feature_extractor(pixels))


class Residual(nn.Module):
    """ReLU of the maps (N, C, H, W) and of what two convolutions add to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(*_convolution(width, width, 3, 1), *_convolution(width, width, 3, 1)[:2])

    def forward(self, maps: Tensor) -> Tensor:
        """Maps of the same shape."""
        return F.relu(maps + self.change(maps))


def _convolution(channels: int, width: int, size: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, size, stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU()]


class Shifted(nn.Module):
    """A network whose probabilities are the mean over a picture (N, C, H, W) and its four shifts by a pixel.

    Called, it gives their logarithms (N, K); what a shift uncovers repeats the border.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Log-probabilities (N, K)."""
        height, width = pixels.shape[2:]
        padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
        corners = ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
        views = [padded[:, :, top : top + height, left : left + width] for top, left in corners]
        return torch.stack([self.network(view).float().softmax(1) for view in views]).mean(0).log()


@dataclass(frozen=True)
class ImprovedSettings:
    """How the improved network is trained: AdamW, one cycle of the learning rate, batch_size of each domain.

    textures: share of source digits that are laid on random textures; negative: share of those that are the negative of
    theirs. Once warm_up of the training is over, pseudo-labels join whose probability reaches the threshold (above 1:
    none, and no target picture is used), given by the average of the weights with this decay a step.
    """

    num_epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    textures: float = 0.75
    negative: float = 0.5
    warm_up: float = 0.15
    threshold: float = 0.9
    decay: float = 0.998

    def __post_init__(self) -> None:
        check_counts(num_epochs=self.num_epochs, batch_size=self.batch_size)
        check_shares(textures=self.textures, negative=self.negative, warm_up=self.warm_up, decay=self.decay)


IMPROVED = ImprovedSettings()


def fit_improved(
    network: ImprovedNetwork,
    source: ArrayLike,
    labels: ArrayLike,
    target: ArrayLike,
    settings: ImprovedSettings = IMPROVED,
    seed: int = 0,
    precision: str = "fast",
    target_labels: ArrayLike | None = None,
    **options: Any,
) -> History:
    """Train on augmented source digits and on confident predictions for the target; the network ends as the average.

    Source pictures are grey, (N, H, W). target_labels take the place of the predictions, for an oracle. Returns the
    history: loss, class_loss (its part for the source), labelled_share (of the target pictures), and what the monitor
    adds. options: as for `fit_source_only`.
    """
    check_options("fit_improved", options)
    source, labels, target = as_domains(network, source, labels, target)
    if source.ndim != 3:
        raise ValueError(f"expected source pictures (N, H, W), got {tuple(source.shape)}; pass grey strokes on black.")
    answers = None if target_labels is None else as_labels(target_labels, len(target), network.num_classes)
    device, student = device_of(network), copy.deepcopy(network)
    num_steps = -(-len(source) // settings.batch_size)
    one = batch_to_pixels(source[:1], device)
    check_last_batch(student, lambda: student(one), len(source), settings.batch_size)
    in_all = settings.num_epochs * num_steps
    optimiser, schedule = make_one_cycle({student: settings.learning_rate}, settings.weight_decay, in_all)
    first = settings.warm_up * settings.num_epochs if settings.threshold <= 1 else math.inf

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        student.train()
        sums = torch.zeros(3)
        batches = draw_batches(source, target, settings.batch_size, generator)
        for step, (here, there) in enumerate(batches):
            digits = augment_source(batch_to_pixels(source[here], device), settings, generator)
            classes, pseudo = labels[here].to(device), None
            with autocast(device, precision):
                if epoch + step / num_steps >= first:
                    pictures = batch_to_pixels(target[there], device)
                    known = None if answers is None else answers[there].to(device)
                    pseudo = label_target(network, pictures, settings, generator, known)
                losses = improved_losses(student, digits, classes, pseudo)
            minimise(losses[0], optimiser)
            schedule.step()
            # The first steps are forgotten sooner: their weights are nearly random.
            made = schedule.last_epoch
            update_average(network, student, min(settings.decay, (1 + made) / (10 + made)))
            sums += torch.stack(losses).detach().cpu() * len(here) / len(source)
        return dict(zip(("loss", "class_loss", "labelled_share"), sums.tolist(), strict=True))

    parts = {"student": student, "optimiser": optimiser, "schedule": schedule}
    identity = {"fit": "improved", **asdict(settings), "seed": seed, "precision": precision}
    identity |= {"source": source, "labels": labels, "target": target, "answers": answers}
    train = seeded(train_epoch, seed)
    return run_epochs(train, network, parts, identity, settings.num_epochs, **options)


def load_improved() -> ImprovedNetwork:
    """The committed network, in eval mode: seed 0 of IMPROVED on all of MNIST and MNIST-M of BSDS500's photos."""
    path = paths.require_result("mnistm-improved.pt", "the network", "run dlapps data make mnistm-improved")
    return load_weights(ImprovedNetwork(), path)


def augment_source(pixels: Tensor, settings: ImprovedSettings, generator: torch.Generator) -> Tensor:
    """Grey digits (N, 3, H, W) moved, a share of them laid on textures."""
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    laid = lay_on_textures(digits, generator, settings.negative)
    chosen = torch.rand(len(digits), 1, 1, 1, generator=generator) < settings.textures
    return torch.where(chosen.to(laid.device), laid, digits)


Pseudo = tuple[Tensor, Tensor, Tensor]


def label_target(
    teacher: ImprovedNetwork,
    pictures: Tensor,
    settings: ImprovedSettings,
    generator: torch.Generator,
    known: Tensor | None = None,
) -> Pseudo:
    """Target pictures (N, 3, H, W) moved, the teacher's labels for them as they were, and which of these to trust.

    known: labels (N,) that take the place of the teacher's.
    """
    if known is None:
        with torch.no_grad():
            confidence, known = teacher(pictures).float().softmax(1).max(1)
        trusted = (confidence >= settings.threshold).float()
    else:
        trusted = torch.ones(len(known), device=known.device)
    return random_affine(pictures, generator), known, trusted


def improved_losses(
    student: ImprovedNetwork, digits: Tensor, labels: Tensor, pseudo: Pseudo | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of a step, its part for the source, and the share of target pictures whose labels are trusted."""
    if pseudo is None:
        class_loss = F.cross_entropy(student(digits).float(), labels)
        return class_loss, class_loss, class_loss.new_zeros(())
    moved, pseudo_labels, trusted = pseudo
    both = torch.cat([digits, moved]).contiguous(memory_format=torch.channels_last)
    logits = student(both).float()
    class_loss = F.cross_entropy(logits[: len(digits)], labels)
    target_losses = F.cross_entropy(logits[len(digits) :], pseudo_labels, reduction="none")
    return class_loss + (trusted * target_losses).mean(), class_loss, trusted.mean()
