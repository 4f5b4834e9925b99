"""A network that takes pixels in [0, 1]: a backbone with its normalisation in front, frozen, in eval mode."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlapps.core.images import PictureError, check_shape
from dlapps.core.runtime import channels_last


class Normalisation(nn.Module):
    """(x - mean) / std for each channel of pixels (N, C, H, W) in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not min(std) > 0:
            raise ValueError(
                f"expected a mean and a std > 0 for each channel, got {tuple(mean)} and {tuple(std)}; pass both alike."
            )
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels of the shape that came."""
        return (pixels - self.mean) / self.std


class PixelNetwork(nn.Module):
    """A backbone with its normalisation in front, so that no caller can normalise twice or not at all.

    Takes pixels (N, C, H, W) in [0, 1], gives logits (N, K) (feature maps where the backbone has no classifier).
    Attributes: `name`, `class_names` (K of them, or an empty tuple), `input_size` (the side of the training pictures),
    `crop` (the share of the short side used in its published evaluation, None where pictures are squashed instead),
    `channels` (C), `last_layer` (of the backbone, whose rows are the classes, where nothing mixes them afterwards; else
    None). The backbone itself is frozen and put in eval mode, its weights channels_last.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] = (),
        input_size: int = 224,
        crop: float | None = None,
        last_layer: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.last_layer = name, last_layer
        self.class_names, self.input_size, self.crop = tuple(class_names), input_size, crop
        self.normalisation, self.channels = Normalisation(mean, std), len(mean)
        # Any: its parts have the names that its library gives them.
        self.backbone: Any = backbone
        for module in backbone.modules():
            # Else a hook would see what the next layer made of a layer's output. torch's types know no such name.
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]
        channels_last(self.requires_grad_(False).eval())

    def forward(self, pixels: Tensor) -> Tensor:
        """The backbone's output on normalised pixels; PictureError for another shape, or values far outside [0, 1]."""
        check_shape(pixels, self.channels)
        # No more than a guard against 0-255: noise may leave [0, 1], as SmoothGrad's does.
        if not pixels.detach().abs().amax() <= 10:
            raise PictureError(
                f"expected pixels in [0, 1], got values up to {float(pixels.amax()):.4g}; divide 0-255 values by 255."
            )
        return self.backbone(self.normalisation(pixels))

    def __repr__(self) -> str:
        # Of torch, hundreds of lines, below each cell that ends with eval(); they are those of `backbone`.
        return f"PixelNetwork({self.name!r})"

    @torch.no_grad()
    def predict(self, pixels: Tensor, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each picture (N, C, H, W) the k most likely classes, (name, probability) from high to low.

        All of a network of fewer classes; one without a name is called by its index. Raises ValueError for a network
        that gives no logits (N, K).
        """
        logits = self(pixels)
        if logits.ndim != 2:
            raise ValueError(f"expected logits (N, K), got {tuple(logits.shape)}; choose a network with a classifier.")
        probabilities, classes = logits.softmax(1).topk(min(k, logits.shape[1]))
        names = [*self.class_names, *map(str, range(len(self.class_names), logits.shape[1]))]
        rows = zip(classes.tolist(), probabilities.tolist(), strict=True)
        return [[(names[index], share) for index, share in zip(*row, strict=True)] for row in rows]

    def classify(self, pixels: Tensor) -> list[str]:
        """The name of the most likely class of each picture (N, C, H, W); see `predict`."""
        return [row[0][0] for row in self.predict(pixels, 1)]

    def __sklearn_clone__(self) -> PixelNetwork:
        # Frozen, it is shared by the clones of an estimator.
        return self

    def layer(self, name: str) -> nn.Module:
        """The module of that name inside the backbone; a ValueError that lists the names otherwise."""
        return find_layer(self, name)


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """The module of that dotted name inside a network, or inside its `backbone`, where it has one.

    Raises a ValueError that lists the outer names otherwise.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    if "backbone" in modules:
        return find_layer(modules["backbone"], name)
    valid = ", ".join(key for key in modules if key and key.count(".") < 2)
    raise ValueError(f"expected a layer among {valid}, got {name!r}; choose one of them or of their parts.")


def to_arrays(network: PixelNetwork) -> tuple[PixelNetwork, str]:
    """A copy with arrays in place of its weights and buffers, and their device: joblib hashes arrays by their values,
    where tensors hash anew in each process."""
    tensors = [*network.parameters(), *network.buffers()]
    # In C's order, whatever the order in memory: it is part of the hash.
    arrays = {id(tensor): np.array(tensor.numpy(force=True), order="C") for tensor in tensors}
    return copy.deepcopy(network, arrays), str(tensors[0].device)


def from_arrays(network: PixelNetwork, device: str) -> PixelNetwork:
    """The network of which `to_arrays` made both."""
    tensors: dict[int, Tensor] = {}  # By array: what layers share stays shared.
    for module in network.modules():
        buffers = (array for array in module._buffers.values() if array is not None)
        tensors |= {id(array): torch.tensor(array) for array in buffers}
        weights = (array for array in module._parameters.values() if array is not None)
        tensors |= {id(array): nn.Parameter(torch.tensor(array), requires_grad=False) for array in weights}
    return channels_last(copy.deepcopy(network, tensors)).to(device)
