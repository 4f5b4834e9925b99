"""Numbers, labels and sizes as a caller passes them: converted and checked."""

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
    if number == 0:
        raise ValueError("expected at least one input, got none; check the selection.")
    if labels.shape != (number,):
        count = len(labels) if labels.ndim == 1 else tuple(labels.shape)
        raise ValueError(
            f"expected as many labels as inputs, got {count} and {number}; "
            "check the selection."
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"expected whole numbers as labels, got {labels.dtype}; "
            "pass numbers of classes."
        )
    low = int(labels.amin())
    high = int(labels.amax())
    if num_classes and not (low >= 0 and high < num_classes):
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}, got {low} to {high}; "
            "number the classes from 0, or make the networks of more classes."
        )
    return labels.long()


def check_sizes(what: str, tensor: Tensor, *sizes: int) -> None:
    """Raise ValueError unless a tensor is (N, *sizes).

    what: the tensor's name in the error.
    """
    if tensor.shape[1:] != sizes:
        expected = ", ".join(map(str, sizes))
        raise ValueError(
            f"expected {what} (N, {expected}), got {tuple(tensor.shape)}; "
            "resize or reshape them."
        )
