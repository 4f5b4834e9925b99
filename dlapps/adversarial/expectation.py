"""Expectation over transformations: a network that has looked at a picture in several ways."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.runtime import make_generator

# (pictures (N, C, H, W), generator) -> pictures, seen in one of many ways.
Transform = Callable[[Tensor, torch.Generator], Tensor]


class Expectation(nn.Module):
    """The mean of a network's logits over random transforms of the pictures (Athalye, Engstrom, Ilyas & Kwok 2018).

    transform: (pictures, generator) -> pictures, such as `class_visualization.Jitter(4)`, or a function of one's own;
    the gradient goes through it. The num_samples draws are the same at each call: scores repeat, and any attack or
    saliency method takes it for a network like others. Judge what an attack made with another seed.
    """

    def __init__(
        self,
        network: nn.Module,
        transform: Transform,
        num_samples: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(num_samples=num_samples)
        self.backbone = network
        self.transform = transform
        self.num_samples = num_samples
        self.seed = seed
        self.class_names, self.training = getattr(network, "class_names", ()), network.training

    def forward(self, pictures: Tensor) -> Tensor:
        """Mean logits (N, K) of pictures (N, C, H, W)."""
        generator = make_generator(self.seed)
        seen = [self.backbone(self.transform(pictures, generator)) for _ in range(self.num_samples)]
        return torch.stack(seen).mean(0)
