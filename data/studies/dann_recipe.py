"""A recipe that adapts better than DANN: textures, and pseudo-labels of a teacher.

It lays the source's digits on random textures, and learns the labels that a teacher,
the average of the trained network, predicts for the target with confidence. Pixels are
(N, C, 28, 28) float32 in [0, 1].
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dlapps.core.arrays import as_labels
from dlapps.core.images import as_uint8
from dlapps.core.training import (
    History,
    Means,
    Monitor,
    count_batches,
    make_one_cycle,
    minimise,
    move_average,
    run_epochs,
)
from dlapps.dann import random_affine, random_strokes, random_textures
from dlapps.dann.pictures import DomainBatch, draw_domain_batches
from dlapps.dann.settings import Settings

WEIGHT_DECAY = 1e-2
# Of the teacher's weights, which are a moving average of the student's.
AVERAGE_DECAY = 0.998
# The share of the training after which pseudo-labels are learnt.
WARM_UP = 0.15
# AdamW and one cycle of the rate.
IMPROVED = Settings(learning_rate=4e-3)

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def draw_textures(
    number: int, generator: torch.Generator, negative: float = 0.5
) -> tuple[Tensor, Tensor]:
    """What digits lie on, and what their strokes show: (number, 3, 28, 28) each.

    With the probability `negative` the strokes are the negative of the texture below
    them; otherwise they are another texture.
    """
    below = random_textures(number, (28, 28), generator)
    others = below.roll(number // 2, 0)
    is_negative = torch.rand(number, 1, 1, 1, generator=generator) < negative
    return below, torch.where(is_negative, 1 - below, others)


def draw_grounds(
    number: int, generator: torch.Generator, contrast: float
) -> tuple[Tensor, Tensor]:
    """The same of random colours with white noise, for both.

    The colours are drawn as those of `dann.random_textures`. The noise of a ground has
    a random deviation up to `contrast`: 0 gives flat colours, .32 the contrasts of
    `dann.random_textures`, but without smoothness and borders.
    """
    grounds = []
    for _ in range(2):
        grey = 0.15 + 0.7 * torch.rand(number, 1, 1, 1, generator=generator)
        tint = 0.4 * torch.rand(number, 3, 1, 1, generator=generator) - 0.2
        deviation = contrast * torch.rand(number, 1, 1, 1, generator=generator)
        shared = torch.randn(number, 1, 28, 28, generator=generator)
        own = torch.randn(number, 3, 28, 28, generator=generator)
        noise = 0.9 * shared + 0.4 * own
        grounds.append((grey + tint + deviation * noise).clamp(0, 1))
    below, above = grounds
    return below, above


def lay(
    pixels: Tensor,
    generator: torch.Generator,
    draw: Draw = draw_textures,
    share: float = 0.75,
) -> Tensor:
    """Move grey digits (N, 3, 28, 28), and lay a share of them on what `draw` gives.

    The rest stay on black.
    """
    digits = random_affine(pixels[:, :1].contiguous(), generator, padding="zeros")
    digits = random_strokes(digits, generator)
    below, above = draw(len(digits), generator)
    laid = below.lerp(above, digits)
    is_laid = torch.rand(len(digits), 1, 1, 1, generator=generator) < share
    return torch.where(is_laid, laid, digits)


def fit_improved(
    network: nn.Module,
    source: Tensor,
    labels: Tensor,
    target: Tensor,
    settings: Settings = IMPROVED,
    seed: int = 0,
    threshold: float = 0.9,
    monitor: Monitor | None = None,
) -> History:
    """Train on augmented source digits and on confident predictions for the target.

    The network gets the weights of the teacher, which the monitor sees, too.

    source: grey images (N, H, W).
    threshold: the probability from which a prediction is learnt. Above 1 none is.

    Returns the history of the loss.
    """
    domains = (as_uint8(source), as_labels(labels, len(source)), as_uint8(target))
    num_steps = settings.num_epochs * count_batches(len(source), settings.batch_size)
    optimiser, schedule = make_one_cycle(
        {network: settings.learning_rate}, WEIGHT_DECAY, num_steps
    )
    average = AveragedModel(network, use_buffers=True)
    teacher: Any = average.module.requires_grad_(False)

    def compute_loss(batch: DomainBatch, generator: torch.Generator) -> Tensor:
        if batch.progress < WARM_UP or threshold > 1:
            return F.cross_entropy(network(batch.source).float(), batch.classes)
        with torch.no_grad():
            probabilities = teacher(batch.target).float().softmax(1)
        confidence, learnt = probabilities.max(1)
        trusted = (confidence >= threshold).float()
        moved = random_affine(batch.target, generator)
        return joint_loss(network, batch, moved, learnt, trusted)

    def train_epoch(epoch: int, generator: torch.Generator) -> dict[str, float]:
        network.train()
        means = Means()
        batches = draw_domain_batches(network, domains, settings, epoch, generator, lay)
        for batch in batches:
            loss = compute_loss(batch, generator)
            minimise(loss, optimiser)
            schedule.step()
            move_average(average, network, AVERAGE_DECAY)
            means.add({"loss": loss}, len(batch.classes))
        return means.as_numbers()

    history = run_epochs(train_epoch, teacher, settings.num_epochs, seed, monitor)
    network.load_state_dict(teacher.state_dict())
    network.eval()
    return history


def joint_loss(
    student: nn.Module,
    batch: DomainBatch,
    moved: Tensor,
    learnt: Tensor,
    trusted: Tensor,
) -> Tensor:
    """Return the loss of augmented source digits and of moved target images.

    learnt, trusted: the labels (N,) of the target's images, and 1 for those that are
        trusted, else 0: float32 (N,).
    """
    # One pass: batch norm sees both domains together.
    both = torch.cat([batch.source, moved])
    both = both.contiguous(memory_format=torch.channels_last)
    source_logits, target_logits = student(both).float().split(len(moved))
    class_loss = F.cross_entropy(source_logits, batch.classes)
    target_losses = F.cross_entropy(target_logits, learnt, reduction="none")
    return class_loss + (trusted * target_losses).mean()
