"""Numbers and labels as a caller passes them: converted and checked."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def as_tensor(values: ArrayLike) -> Tensor:
    """Return a tensor as it is, and an array or a list as a copy.

    PyTorch shares neither read-only memory nor negative strides.

    Raises ValueError for values that are not numbers.
    """
    if isinstance(values, Tensor):
        return values
    array = np.array(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"expected numbers, got an array of {array.dtype}; "
            "convert it, for example names to numbers."
        )
    return torch.from_numpy(array)


def as_labels(labels: ArrayLike, number: int, num_classes: int | None = None) -> Tensor:
    """Return the labels of `number` examples as int64 (N,) on the CPU.

    labels: a list, an array or a tensor of whole numbers.

    Raises ValueError for no example, for another number or type of labels, and for a
    label that is not in [0, num_classes).
    """
    labels = as_tensor(labels).cpu()
    is_whole = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.shape != (number,) or number == 0 or not is_whole:
        raise ValueError(
            f"expected whole numbers ({number},) as labels, one an input and at least "
            f"one, got {labels.dtype} {tuple(labels.shape)}; check the selection."
        )
    low = int(labels.amin())
    high = int(labels.amax())
    last = math.inf if num_classes is None else num_classes - 1
    if low < 0 or high > last:
        raise ValueError(
            f"expected labels from 0 to {last}, got {low} to {high}; "
            "number the classes from 0, or make the networks of more classes."
        )
    return labels.long()
