"""Class scores of a network: predictions, and gradients with respect to the pixels.

A network is any nn.Module that takes pixels (N, C, H, W) in [0, 1] and gives logits
(N, K). A public function calls `check_input` once; the functions that it then calls
trust the images. Gradients run in the precision that the caller opened
(`torch.autocast`). Predictions decide what counts as a success, and always run in
float32.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dlapps.core.images import as_pictures

Images = Tensor | np.ndarray
Classes = int | Sequence[int] | np.ndarray | Tensor
# Pixels (N, C, H, W) to logits (N, K).
Network = Callable[[Tensor], object]
# Logits (N, K) and classes, one row an image, to the values (N,) to differentiate.
Score = Callable[[Tensor, Tensor], Tensor]

# A network reads 8 large pictures in one pass, or as many small ones as have the pixels
# of 128 digits. A larger batch is slower on a CPU: its activations outgrow the caches.
CHUNK = 8
CHUNK_PIXELS = 128 * 28 * 28


def check_network(network: nn.Module) -> None:
    """Raise ValueError unless the network is a module in eval mode.

    In training mode, dropout and batch normalisation would make every score random.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"expected a network, an nn.Module, got {network!r}; "
            "pretrained.load makes one of a name."
        )
    if any(layer.training for layer in network.modules()):
        raise ValueError(
            "expected a network in eval mode, got one in training mode; "
            "call network.eval()."
        )


def check_input(network: nn.Module, images: Images) -> Tensor:
    """Check the network, and return the images as `images.as_pictures` makes them."""
    check_network(network)
    return as_pictures(images)


def choose_or_predict(
    network: nn.Module, images: Tensor, targets: Classes | None
) -> Tensor:
    """Return the target classes as int64 (N,), the predicted ones if none are given."""
    if targets is None:
        return float32_logits(network, images).argmax(1)
    return choose_classes(network, images, targets)


def choose_classes(network: nn.Module, images: Tensor, targets: Classes) -> Tensor:
    """Return the target classes as int64 (N,).

    targets: the number of a class, or one for each image.

    Raises ValueError for anything else, and for a class that has no logit.
    """
    if isinstance(targets, Tensor):
        targets = targets.cpu()
    classes = np.atleast_1d(np.asarray(targets))
    if classes.dtype.kind not in "iu" or classes.shape not in ((1,), (len(images),)):
        raise ValueError(
            f"expected one class, or one for each of {len(images)} images, got "
            f"{targets!r}; pass whole numbers."
        )
    with torch.no_grad():
        last = read_logits(network, images[:1]).shape[1] - 1
    if classes.min() < 0 or classes.max() > last:
        raise ValueError(
            f"expected classes from 0 to {last}, got {targets!r}; "
            "pick an output of the network."
        )
    return torch.as_tensor(classes, device=images.device).long().expand(len(images))


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logit of one class for each image: (N, K), (N,) -> (N,)."""
    return logits.gather(1, classes[:, None]).squeeze(1)


def float32(images: Tensor) -> torch.autocast:
    """Return a context that suspends the precision opened by the caller."""
    return torch.autocast(images.device.type, enabled=False)


def read_logits(network: Network, images: Tensor) -> Tensor:
    """Return the logits (N, K) of images (N, C, H, W), in the images' dtype.

    Raises ValueError for an output that is not a tensor (N, K) of finite numbers.
    """
    output = network(images)
    number = len(images)
    if not isinstance(output, Tensor) or output.shape[:-1] != (number,):
        got = getattr(output, "shape", type(output).__name__)
        raise ValueError(
            f"expected logits of shape ({number}, K), one a class, got {got}; "
            "wrap the network in a module that gives them."
        )
    if not output.isfinite().all():
        raise ValueError(
            "expected finite logits, got NaN or infinity; check the weights."
        )
    return output.to(images.dtype)


@torch.no_grad()
def float32_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return logits (N, K) in float32, whatever precision the caller opened.

    Raises ValueError for K = 1: a single score predicts nothing.
    """
    chunks = []
    with float32(images):
        for chunk in images.split(chunk_size(images)):
            chunks.append(read_logits(network, copy_channels_last(chunk)))
    logits = torch.cat(chunks)
    if logits.shape[1] < 2:
        raise ValueError(
            "expected logits of two classes or more, got one; "
            "of a score s, have it give (-s, s)."
        )
    return logits


def pixel_gradient(
    network: Network, images: Tensor, classes: Tensor, score: Score = pick
) -> tuple[Tensor, Tensor]:
    """Return the gradient (N, C, H, W) of each score, and the logits (N, K).

    The gradient is with respect to the pixels. The `.grad` and `requires_grad` of the
    weights and of the caller's tensor stay as they are.

    score: a function of logits (n, K) and classes (n, ...), by default the logit of the
        class.
    """
    gradients = []
    logits = []
    size = chunk_size(images)
    chunks = zip(images.split(size), classes.split(size), strict=True)
    for pictures, labels in chunks:
        with torch.enable_grad():
            pictures = copy_channels_last(pictures.detach()).requires_grad_()
            outputs = read_logits(network, pictures)
            total = score(outputs, labels).sum()
        (gradient,) = torch.autograd.grad(total, pictures)
        gradients.append(gradient)
        logits.append(outputs.detach())
    return torch.cat(gradients), torch.cat(logits)


def chunk_size(images: Tensor) -> int:
    """Return how many images of this size a network reads in one pass."""
    return max(CHUNK, CHUNK_PIXELS // math.prod(images.shape[2:]))


def copy_channels_last(images: Tensor) -> Tensor:
    """Return a copy whose memory format makes convolutions 1.5 times as fast on a CPU.

    With one channel both formats have the same order, and the weights alone decide in
    which format a layer computes.
    """
    layout = torch.channels_last if images.shape[1] > 1 else torch.contiguous_format
    return images.clone(memory_format=layout)
