"""Class scores of a network: their predictions in float32, and their gradient with
respect to the pixels.

A network here is any nn.Module that takes pixels (N, C, H, W) in [0, 1] and gives
logits (N, K). The gradients run in the precision that the caller opened
(`runtime.autocast`); predictions, which decide what counts as a success, always run in
float32.
"""

import difflib
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from dlapps.core import images as pixels

Images = Tensor | np.ndarray
Classes = int | str | Sequence[int] | Sequence[str] | np.ndarray | Tensor
# Pixels (N, C, H, W) to logits (N, K).
Network = Callable[[Tensor], object]
# (logits (n, K), the rows of the batch they belong to) -> (n,) values, whose sum is
# differentiated.
RowValues = Callable[[Tensor, slice], Tensor]

# Pictures in one pass, and pixels of more that are small: 128 digits of 28 x 28. A
# larger batch is slower on a CPU: its activations outgrow the caches, and are memory
# that the system hands out anew in each pass.
CHUNK, CHUNK_PIXELS = 8, 128 * 28 * 28


def chunk_size(images: Tensor) -> int:
    """How many pictures of the size of these (N, C, H, W) go through a network in one
    pass.
    """
    return max(CHUNK, CHUNK_PIXELS // math.prod(images.shape[2:]))


def check_input(network: nn.Module, images: Images) -> Tensor:
    """The images as a network takes them (see `images.as_pictures`); a ValueError too
    for a network in training.
    """
    check_eval_mode(network)
    for weight in network.parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise ValueError(
                f"expected a network in float32, got {weight.dtype}; call network.float()."
            )
    return pixels.as_pictures(images)


def check_eval_mode(network: nn.Module) -> None:
    """Raise ValueError for a network in training mode, or a random layer that is: every
    score would be a lottery.
    """
    for name, layer in network.named_modules():
        if layer.training and (
            layer is network or isinstance(layer, (_DropoutNd, _BatchNorm))
        ):
            named = f"one whose {type(layer).__name__} {name} is" if name else "one"
            raise ValueError(
                f"expected a network in eval mode, got {named} in training mode; call network.eval()."
            )


def expand_classes(
    classes: Classes, number: int, device: torch.device | str, names: Sequence[str] = ()
) -> Tensor:
    """Classes as int64 (N,) on a device; one class stands for all.

    A class is a number, or the name that `names` has once. ValueError for another
    number of classes, for floats and booleans, and for a name that no class has, or
    several.
    """
    listed = [classes] if isinstance(classes, str) else classes
    listed = listed.tolist() if isinstance(listed, np.ndarray) else listed
    if isinstance(listed, (list, tuple)):
        listed = [
            _find_class(each, names) if isinstance(each, str) else each
            for each in listed
        ]
    found = torch.as_tensor(listed, device=device)
    if (
        found.is_floating_point()
        or found.dtype == torch.bool
        or found.shape not in {(), (1,), (number,)}
    ):
        got = f"shape {tuple(found.shape)} of {found.dtype}; pass an int or int64 (N,)"
        raise ValueError(
            f"expected one integer class, or one for each of {number} images, got {got}."
        )
    return found.long().expand(number)


def _find_class(name: str, names: Sequence[str]) -> int:
    if (number := list(names).count(name)) != 1:
        similar = difflib.get_close_matches(name, sorted({*names} - {name}))
        remedy = f"take {similar}, or pass" if similar else "pass"
        raise ValueError(
            f"expected a name that one of the network's {len(names)} class_names is, got {name!r}, which {number} are; "
            f"{remedy} the number of the class."
        )
    return list(names).index(name)


def check_numbers(logits: Tensor) -> None:
    """Raise ValueError for logits (N, K) of which some are NaN or infinite."""
    # A sum is finite where all are, but for overflow: one pass instead of five, in each
    # step of an attack.
    if not (math.isfinite(logits.detach().sum()) or logits.isfinite().all()):
        kind = "NaN" if logits.isnan().any() else "infinity"
        got = f"{kind} for {int((~logits.isfinite()).any(1).sum())} of {len(logits)} pictures"
        raise ValueError(f"expected finite logits, got {got}; check the weights.")


def check_range(classes: Tensor, logits: Tensor) -> None:
    """Raise ValueError for a class outside 0 to K - 1 of logits (N, K)."""
    low, high = (int(bound) for bound in torch.aminmax(classes))
    last = logits.shape[1] - 1
    if low < 0 or high > last:
        got = low if low < 0 else high
        raise ValueError(
            f"expected classes from 0 to {last}, got {got}; pick an output of the network."
        )


def pick(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class for each image: (N, K), (N,) -> (N,). ValueError as
    `check_range` has it.
    """
    check_range(classes, logits)
    return logits.gather(1, classes[:, None]).squeeze(1)


def ranks(logits: Tensor, classes: Classes) -> Tensor:
    """The place (N,) int64 of each image's class among the logits (N, K): 1 for the
    highest.
    """
    scores = pick(logits, expand_classes(classes, len(logits), logits.device))
    return 1 + (logits > scores[:, None]).sum(1)


def float32(images: Tensor) -> torch.autocast:
    """A context in which the precision opened by the caller does not hold."""
    return torch.autocast(images.device.type, enabled=False)


@torch.no_grad()
def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) without a gradient, computed in the precision that the caller
    opened.
    """
    chunks = map(channels_last, images.split(chunk_size(images)))
    return torch.cat([read_logits(network, chunk) for chunk in chunks])


def read_logits(network: Network, images: Tensor) -> Tensor:
    """The logits of n pictures in their type; ValueError for an output that is no
    tensor (n, K) of finite numbers.
    """
    output = network(images)
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(images):
        wanted = f"logits of shape ({len(images)}, K), one a class"
        raise ValueError(
            f"expected {wanted}, got {_shape(output)}; wrap the network in a module that gives them."
        )
    check_numbers(output)
    return output.to(images.dtype)


def float32_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K), in float32 whatever precision the caller opened; ValueError for a
    single one.
    """
    with float32(images):
        logits = forward(network, images)
    if logits.shape[1] < 2:
        raise ValueError(
            "expected logits of two classes or more, got one; of a score s, have it give (-s, s)."
        )
    return logits


def choose_classes(
    network: nn.Module, images: Tensor, targets: Classes | None
) -> Tensor:
    """The targets as int64 (N,), the predicted classes for None; on the images' device."""
    if targets is None:
        return float32_logits(network, images).argmax(1)
    return expand_classes(
        targets, len(images), images.device, getattr(network, "class_names", ())
    )


class _SomeClasses(nn.Module):
    """A network whose layers take some of their weights from elsewhere."""

    def __init__(self, network: nn.Module, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.network, self.weights = network, weights

    def forward(self, pictures: Tensor) -> Tensor:
        return functional_call(self.network, self.weights, pictures)


def keep_classes(network: nn.Module, classes: Tensor) -> tuple[nn.Module, Tensor]:
    """A network that computes the scores of these classes (N,) alone, and the place
    (N,) of each among them.

    The other classes are a fifth of SqueezeNet's work. A network that does not name its
    `last_layer` stays as it is.
    """
    name = getattr(network, "last_layer", None)
    if name is None:
        return network, classes
    layer = network.get_submodule(f"backbone.{name}")
    check_range(classes, layer.get_parameter("weight").flatten(1).T)
    wanted, places = classes.unique(return_inverse=True)
    rows = {
        f"backbone.{name}.{part}": values[wanted]
        for part, values in layer.named_parameters()
    }
    return _SomeClasses(network, rows), places


def pixel_gradient(
    network: Network, images: Tensor, objective: RowValues
) -> tuple[Tensor, Tensor]:
    """Gradient (N, C, H, W) of an objective with respect to the images, and the logits
    (N, K) it was taken at.

    The images are differentiated and nothing else: the `.grad` and `requires_grad` of
    weights and of the caller's tensor stay as they are. Raises ValueError for a network
    that passes no gradient on.
    """
    gradients: list[Tensor] = []
    logits: list[Tensor] = []
    size = chunk_size(images)
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        with torch.enable_grad():
            leaf = channels_last(images[rows].detach()).requires_grad_()
            output = read_logits(network, leaf)
            values = objective(output, rows)
            if not values.requires_grad:
                raise ValueError(
                    "expected logits with a gradient, got some without; let the network detach nothing."
                )
            gradients += torch.autograd.grad(values, leaf, torch.ones_like(values))
        logits.append(output.detach())
    return torch.cat(gradients), torch.cat(logits)


def _shape(output: object) -> str:
    return (
        f"shape {tuple(output.shape)}"
        if isinstance(output, Tensor)
        else type(output).__name__
    )


def channels_last(images: Tensor) -> Tensor:
    """A copy in the memory format in which convolutions on a CPU are about 1.5 times as
    fast.

    Of one channel the order is the same; only the weights then say in which format
    layers compute.
    """
    layout = torch.channels_last if images.shape[1] > 1 else torch.contiguous_format
    return images.clone(memory_format=layout)
