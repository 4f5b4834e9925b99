"""The data set that every loader returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from dlapps.core.checks import check_name

Images = TypeVar("Images", bound=np.ndarray | Sequence[Any], covariant=True)


@dataclass(frozen=True)
class Dataset(Generic[Images]):
    """Pictures, labels and where they come from.

    images: a uint8 array (N, H, W) or (N, H, W, 3), or a list of paths or arrays if
        sizes differ.
    labels: int64 (N,), or None.
    class_names: class_names[label] is the name of a class.
    origin: what the pictures are. `dlapps data` lists sources and licences.
    names: one for each picture, for captions.
    """

    images: Images
    labels: np.ndarray | Any  # Any: None only for pictures without labels
    class_names: tuple[str, ...]
    origin: str
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)


def check_split(split: str) -> None:
    """Raise ValueError for a split that is neither train nor test."""
    check_name("a split", split, ("train", "test"))
