"""Class scores of a network: their predictions in float32, and their gradient with respect to the pixels.

Every network here takes pixels (N, 3, H, W) in [0, 1] and gives logits (N, K). The gradients run in the precision that
the caller opened (`runtime.autocast`); predictions, which decide what counts as a success, always run in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dlapps import images as pixels

Classes = int | Sequence[int] | Tensor
# (logits (n, K), the rows of the batch they belong to) -> (n,) values, whose sum is differentiated.
Objective = Callable[[Tensor, slice], Tensor]

# Pictures in one pass: bounds the memory, and a larger batch is no faster on a CPU; below 16, PyTorch computes 1 x 1
# convolutions the slow way on one thread.
CHUNK = 16


def check_input(network: nn.Module, images: Tensor) -> None:
    """Raise ValueError unless the images are pixels (see `images.check_pixels`) and the network is in eval mode."""
    pixels.check_pixels(images)
    check_eval_mode(network)


def check_eval_mode(network: nn.Module) -> None:
    """Raise ValueError for a network in training mode: dropout and batch norm would make every score a lottery."""
    if network.training:
        raise ValueError("expected a network in eval mode, got one in training mode; call network.eval() first.")


def expand_classes(classes: Classes, number: int, device: torch.device | str) -> Tensor:
    """Classes as int64 (N,) on a device; one class stands for all. ValueError for another number, or for floats."""
    classes = torch.as_tensor(classes, device=device)
    if classes.is_floating_point() or classes.shape not in {(), (1,), (number,)}:
        raise ValueError(
            f"expected one integer class, or one for each of {number} images, got shape {tuple(classes.shape)} of "
            f"{classes.dtype}; pass an int or int64 (N,)."
        )
    return classes.long().expand(number)


def check_range(classes: Tensor, logits: Tensor) -> None:
    """Raise ValueError for a class that is none of the K in logits (N, K)."""
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(
            f"expected classes from 0 to {logits.shape[1] - 1}, got {low if low < 0 else high}; pick one of the "
            f"{logits.shape[1]} outputs of the network."
        )


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class for each image: (N, K), (N,) -> (N,). ValueError for a class that is none of the K."""
    check_range(classes, logits)
    return logits.gather(1, classes[:, None]).squeeze(1)


def ranks(logits: Tensor, classes: Classes) -> Tensor:
    """The place (N,) int64 of each image's class among the logits (N, K): 1 for the highest."""
    scores = pick(logits, expand_classes(classes, len(logits), logits.device))
    return 1 + (logits > scores[:, None]).sum(1)


def float32(images: Tensor) -> torch.autocast:
    """A context in which the precision opened by the caller does not hold."""
    return torch.autocast(images.device.type, enabled=False)


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) without a gradient, computed in the precision that the caller opened."""
    chunks = map(_channels_last, images.split(CHUNK))
    return torch.cat([network(chunk).to(images.dtype) for chunk in chunks])


def float32_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K), in float32 whatever precision the caller opened."""
    with float32(images):
        return forward(network, images)


def choose_classes(network: nn.Module, images: Tensor, targets: Classes | None) -> Tensor:
    """The targets as int64 (N,), or the predicted classes where none are given; on the images' device."""
    if targets is None:
        return float32_logits(network, images).argmax(1)
    return expand_classes(targets, len(images), images.device)


def pixel_gradient(network: nn.Module, images: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
    """Gradient (N, 3, H, W) of an objective with respect to the images, and the logits (N, K) it was taken at.

    The images are differentiated and nothing else: the `.grad` and `requires_grad` of weights and of the caller's
    tensor stay as they are.
    """
    gradients: list[Tensor] = []
    logits: list[Tensor] = []
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        with torch.enable_grad():
            leaf = _channels_last(images[rows].detach()).requires_grad_()
            output = network(leaf).to(images.dtype)
            gradients += torch.autograd.grad(objective(output, rows).sum(), leaf)
        logits.append(output.detach())
    return torch.cat(gradients), torch.cat(logits)


def _channels_last(images: Tensor) -> Tensor:
    """A copy in the memory format in which convolutions on a CPU are about 1.5 times as fast."""
    return images.clone(memory_format=torch.channels_last)
