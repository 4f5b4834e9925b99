"""Class scores of a network: predictions, and gradients with respect to the pixels.

A network is any nn.Module that takes pixels (N, C, H, W) in [0, 1] and gives logits
(N, K). A public function calls `check_input` once; the functions that it then calls
trust the images. Gradients run in the precision that the caller opened
(`torch.autocast`). Predictions decide what counts as a success, and always run in
float32.
"""

import difflib
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from dlapps.core.images import as_pictures

Images = Tensor | np.ndarray
Classes = int | str | Sequence[int] | Sequence[str] | np.ndarray | Tensor
# Pixels (N, C, H, W) to logits (N, K).
Network = Callable[[Tensor], object]
# Logits (N, K) and classes, one row an image, to the values (N,) to differentiate.
Score = Callable[[Tensor, Tensor], Tensor]

# A network reads 8 large pictures in one pass, or as many small ones as have the pixels
# of 128 digits. A larger batch is slower on a CPU: its activations outgrow the caches.
CHUNK = 8
CHUNK_PIXELS = 128 * 28 * 28


def check_network(network: nn.Module) -> None:
    """Raise ValueError unless the network is in float32 and in eval mode.

    In training mode, dropout and batch normalisation would make every score random.
    """
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"expected a network, an nn.Module, got {network!r}; "
            "pretrained.load makes one of a name."
        )
    for name, layer in network.named_modules():
        is_random = isinstance(layer, (_DropoutNd, _BatchNorm))
        if layer.training and (layer is network or is_random):
            got = f"one whose {type(layer).__name__} {name} is" if name else "one"
            raise ValueError(
                f"expected a network in eval mode, got {got} in training mode; "
                "call network.eval()."
            )
    for weight in network.parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise ValueError(
                f"expected a network in float32, got {weight.dtype}; "
                "call network.float()."
            )


def check_input(network: nn.Module, images: Images) -> Tensor:
    """Check the network, and return the images as `images.as_pictures` makes them."""
    check_network(network)
    return as_pictures(images)


def expand_classes(
    classes: Classes, number: int, device: torch.device | str, names: Sequence[str] = ()
) -> Tensor:
    """Return the classes as int64 (number,) on the device; a single class is repeated.

    classes: a number or a name that occurs once in `names`, or `number` of them.

    Raises ValueError for another number of classes, for floats and booleans, and for a
    name that no class or several classes have.
    """
    if isinstance(classes, np.ndarray):
        classes = classes.tolist()
    if isinstance(classes, str):
        classes = [classes]
    if isinstance(classes, (list, tuple)):
        classes = [
            _find_class(value, names) if isinstance(value, str) else value
            for value in classes
        ]
    try:
        indices = torch.as_tensor(classes, device=device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"expected one class, or one for each of {number} images, got "
            f"{classes!r}; pass whole numbers, or names of the network's classes."
        ) from error
    is_integer = not (indices.is_floating_point() or indices.dtype == torch.bool)
    if not is_integer or indices.shape not in {(), (1,), (number,)}:
        raise ValueError(
            f"expected one class, or one for each of {number} images, got "
            f"shape {tuple(indices.shape)} of {indices.dtype}; "
            "pass whole numbers, or names of the network's classes."
        )
    return indices.long().expand(number)


def _find_class(name: str, names: Sequence[str]) -> int:
    count = list(names).count(name)
    if count != 1:
        similar = difflib.get_close_matches(name, sorted(set(names) - {name}))
        remedy = f"take {similar}, or pass" if similar else "pass"
        raise ValueError(
            f"expected one of the network's {len(names)} class_names, got {name!r}, "
            f"the name of {count} classes; {remedy} the number of the class."
        )
    return list(names).index(name)


def choose_classes(
    network: nn.Module, images: Tensor, targets: Classes | None
) -> Tensor:
    """Return the target classes as int64 (N,), the predicted ones if none are given."""
    if targets is None:
        return float32_logits(network, images).argmax(1)
    names = getattr(network, "class_names", ())
    return expand_classes(targets, len(images), images.device, names)


def check_range(classes: Tensor, logits: Tensor) -> None:
    """Raise ValueError for a class outside 0 to K - 1 of logits (N, K)."""
    low, high = (int(bound) for bound in torch.aminmax(classes))
    last = logits.shape[1] - 1
    if low < 0 or high > last:
        got = low if low < 0 else high
        raise ValueError(
            f"expected classes from 0 to {last}, got {got}; "
            "pick an output of the network."
        )


def check_classes(network: nn.Module, images: Tensor, classes: Tensor) -> None:
    """Raise ValueError for classes that the network does not have.

    The network reads the first of the images.
    """
    with torch.no_grad():
        logits = read_logits(network, images[:1])
    check_range(classes, logits)


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the logit of one class for each image: (N, K), (N,) -> (N,)."""
    return logits.gather(1, classes[:, None]).squeeze(1)


def ranks(logits: Tensor, classes: Classes) -> Tensor:
    """Return the place (N,) int64 of each image's class among the logits (N, K).

    The highest logit has place 1. Raises ValueError for a class that has no logit.
    """
    classes = expand_classes(classes, len(logits), logits.device)
    check_range(classes, logits)
    scores = pick(logits, classes)
    return 1 + (logits > scores[:, None]).sum(1)


def float32(images: Tensor) -> torch.autocast:
    """Return a context that suspends the precision opened by the caller."""
    return torch.autocast(images.device.type, enabled=False)


def read_logits(network: Network, images: Tensor) -> Tensor:
    """Return the logits (N, K) of images (N, C, H, W), in the images' dtype.

    Raises ValueError for an output that is not a tensor (N, K).
    """
    output = network(images)
    if isinstance(output, Tensor):
        if output.ndim == 2 and len(output) == len(images):
            return output.to(images.dtype)
        got = f"shape {tuple(output.shape)}"
    else:
        got = type(output).__name__
    raise ValueError(
        f"expected logits of shape ({len(images)}, K), one a class, got {got}; "
        "wrap the network in a module that gives them."
    )


def check_finite(logits: Tensor) -> None:
    """Raise ValueError if some of the logits (N, K) are NaN or infinite."""
    finite = logits.isfinite()
    if not finite.all():
        kind = "NaN" if logits.isnan().any() else "infinity"
        number = int((~finite).any(1).sum())
        raise ValueError(
            f"expected finite logits, got {kind} for {number} of {len(logits)} "
            "pictures; check the weights."
        )


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Return logits (N, K) without a gradient, in the precision that the caller opened.

    Raises ValueError for logits that are not finite.
    """
    logits = torch.cat(
        [
            read_logits(network, copy_channels_last(chunk))
            for chunk in images.split(chunk_size(images))
        ]
    )
    check_finite(logits)
    return logits


def float32_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return logits (N, K) in float32, whatever precision the caller opened.

    Raises ValueError for K = 1: a single score predicts nothing.
    """
    with float32(images):
        logits = forward(network, images)
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
    weights and of the caller's tensor stay as they are. The logits may be NaN.

    score: a function of logits (n, K) and classes (n, ...), by default the logit of the
        class.

    Raises ValueError for a network that passes no gradient on.
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
        gradient = None
        if total.requires_grad:
            # Of a network that detaches its pixels only the weights get a gradient.
            (gradient,) = torch.autograd.grad(total, pictures, allow_unused=True)
        if gradient is None:
            raise ValueError(
                "expected logits with a gradient, got some without; "
                "let the network detach nothing."
            )
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
