"""Expectation over transformations: a network that has looked at a picture in several ways."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.adversarial.examples import jpeg, resize
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


def resize_and_pad(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Input diversity (Xie et al. 2019): every second time smaller, by up to a tenth, somewhere on a grey ground."""
    if torch.rand((), generator=generator, device="cpu") < 0.5:
        return pictures
    scale = 0.9 + 0.1 * torch.rand((), generator=generator, device="cpu").item()
    height, width = pictures.shape[2:]
    small = F.interpolate(pictures, (round(scale * height), round(scale * width)), mode="nearest")
    rows, columns = height - small.shape[2], width - small.shape[3]
    top, left = (int(torch.randint(free + 1, (), generator=generator, device="cpu")) for free in (rows, columns))
    return F.pad(small, (left, columns - left, top, rows - top), value=0.5)


def compress_or_resize(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """What a website does to uploads: JPEG of quality 60 to 95, or .5 to .95 of the side and back.

    JPEG has no useful gradient, so it passes straight through (Athalye, Carlini & Wagner 2018).
    """
    strength = torch.rand((), generator=generator, device="cpu").item()
    if torch.rand((), generator=generator, device="cpu") < 0.5:
        return resize(pictures, 0.5 + 0.45 * strength)
    return pictures + (jpeg(pictures, 60 + round(35 * strength)) - pictures).detach()
