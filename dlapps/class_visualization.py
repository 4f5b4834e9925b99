"""Class visualisation: pictures that raise a class score, found by gradient ascent.

`visualize(network, 106)` draws by the lab assignment's recipe, PRACTICAL, and
`visualize(network, 106, MODERN)` by that of Olah, Mordvintsev & Schubert 2017. The
assignment's without jitter and blur is `PixelAscent(jitter=0, blur_every=0)`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize
from torchvision.transforms.functional import gaussian_blur

from dlapps.core.checks import check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_network,
    choose_classes,
    float32,
    pixel_gradient,
)
from dlapps.core.images import as_pictures, warp
from dlapps.core.runtime import device_of, make_generator, progress
from dlapps.pretrained import IMAGENET_MEAN, IMAGENET_STD

# What a recipe climbs: pictures (N, 3, H, W) as the network is to see them, to a number
# whose gradient is that of the sum of their scores.
Score = Callable[[Tensor], Tensor]

MEAN_STD = torch.tensor([IMAGENET_MEAN, IMAGENET_STD], device="cpu").view(2, 3, 1, 1)
# Square root of the covariance of the colours of ImageNet's pixels, as lucid publishes
# it. The factor is a contrast of .25, divided by the matrix's largest norm of a column.
COLOURS = 0.541182 * torch.tensor(
    [[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], device="cpu"
)


@dataclass(frozen=True)
class PixelAscent:
    """The lab assignment's recipe: steps of one length on z = (x - mean) / std.

    A step adds 5 g / ||g|| to z, with g = d (S_c - .001 ||z||^2) / d z, and clamps z to
    what x in [0, 1] allows. Mean and standard deviation are those of ImageNet's pixels,
    norms those of a whole picture.

    jitter: the network reads the picture rolled by up to so many pixels along each
        axis, which changes from step to step; 0 for none.
    blur_every: steps between blurs by a Gaussian of .5 pixels, the first of which
        follows the first step; 0 for none.
    """

    jitter: int = 16
    blur_every: int = 10

    def noise(self, size: int, generator: Generator) -> Tensor:
        """Draw a picture (1, 3, size, size), its z from N(0, 1)."""
        mean, std = MEAN_STD
        z = torch.randn(1, 3, size, size, generator=generator, device="cpu")
        return (mean + std * z).clamp(0, 1)

    def climb(
        self, score: Score, x: Tensor, steps: Iterable[int], generator: Generator
    ) -> Tensor:
        """Return the pictures x (N, 3, H, W) after the steps."""
        mean, std = MEAN_STD.to(x)
        for step in steps:
            z = ((x - mean) / std).requires_grad_()
            seen = _roll(mean + std * z, self.jitter, generator)
            objective = score(seen) - 0.001 * z.square().sum()
            (gradient,) = torch.autograd.grad(objective, z)
            direction = normalize(gradient.flatten(1)).view_as(z)
            x = (x + 5 * std * direction).clamp(0, 1)
            if self.blur_every and step % self.blur_every == 0:
                with float32(x):
                    x = gaussian_blur(x, 5, 0.5)
        return x


class FourierAscent:
    """The recipe of Olah, Mordvintsev & Schubert 2017: Adam on a picture's spectrum.

    x = sigmoid(a + COLOURS irfft2(p / f)), where a are the logits of the first picture,
    f the frequency, and p are decorrelated colours. Dividing by f gives all scales the
    weight that they have in natural pictures. Adam, with steps of .02, raises S_c less
    .002 times the total variation, the sum of absolute differences between neighbouring
    pixels (compare Mahendran & Vedaldi 2015).

    The network reads the picture rolled by up to 16 pixels, scaled by .7 to 1.3 and
    turned by up to 15 degrees, and rolled by up to 8. The scales have a wider range
    than in the paper: other networks do not recognise what shows at one size only.
    """

    def noise(self, size: int, generator: Generator) -> Tensor:
        """Draw a picture (1, 3, size, size) of a = 0, its p from N(0, .01^2)."""
        shape = (1, 3, size, size // 2 + 1, 2)  # real and imaginary parts
        p = 0.01 * torch.randn(shape, generator=generator, device="cpu")
        return _colours(torch.view_as_complex(p), size).sigmoid()

    def climb(
        self, score: Score, x: Tensor, steps: Iterable[int], generator: Generator
    ) -> Tensor:
        """Return the pictures x (N, 3, H, W), at first clamped to [.01, .99]."""
        first = torch.logit(x, eps=0.01)
        width = x.shape[3]
        p = torch.zeros_like(torch.fft.rfft2(x)).requires_grad_()
        optimiser = torch.optim.Adam([p], lr=0.02)
        for _ in steps:
            x = torch.sigmoid(first + _colours(p, width))
            seen = _scale_and_turn(_roll(x, 16, generator), generator)
            seen = _roll(seen, 8, generator)
            variation = x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()
            loss = 0.002 * variation - score(seen)
            (p.grad,) = torch.autograd.grad(loss, p)
            optimiser.step()
        return torch.sigmoid(first + _colours(p, width))


PRACTICAL = PixelAscent()
MODERN = FourierAscent()


@torch.enable_grad()
def visualize(
    network: nn.Module,
    targets: Classes,
    recipe: PixelAscent | FourierAscent = PRACTICAL,
    *,
    initial: Images | None = None,
    num_steps: int = 200,
    size: int = 224,
    seed: int = 0,
) -> Tensor:
    """Draw pictures that raise S_c(x) - R(x), by gradient ascent on x.

    This is the class visualisation of Simonyan, Vedaldi & Zisserman 2014, section 2.
    All pictures start from the same noise and are moved alike, so that a picture does
    not depend on the batch. The network runs in the precision that the caller opened
    (`torch.autocast`), everything else in float32.

    network: any nn.Module in eval mode that takes pixels and gives logits.
    targets: the number of a class, or N of them, each of which gets its picture.
    recipe: PRACTICAL, MODERN, or a `PixelAscent` of your own.
    initial: pictures (N, 3, H, W) in [0, 1] to start from, by default noise.
    size: the side of the noise in pixels.
    seed: of the noise, and of the moves before the network reads a picture.

    Returns (N, 3, H, W) float32 in [0, 1].

    Raises ValueError for a class that the network does not have, another number of
    classes than of initial pictures, bad pixels, and a network in training mode or
    whose logits are not finite.
    """
    check_counts(0, num_steps=num_steps)
    check_counts(size=size)
    check_network(network)
    generator = make_generator(seed)
    if initial is None:
        number = math.prod(np.shape(targets))  # 1 for a number
        noise = recipe.noise(size, generator).repeat(number, 1, 1, 1)
        x = noise.to(device_of(network))
    else:
        x = as_pictures(initial, 3)
    classes = choose_classes(network, x, targets)

    def score(seen: Tensor) -> Tensor:
        # In chunks, which are faster than one large batch.
        gradient, _ = pixel_gradient(network, seen, classes)
        return (gradient * seen).sum()

    steps = progress(range(num_steps), "steps")
    return recipe.climb(score, x, steps, generator).detach()


def _roll(x: Tensor, reach: int, generator: Generator) -> Tensor:
    """Roll all pictures by the same random -reach to reach pixels along each axis."""
    shift = torch.randint(-reach, reach + 1, (2,), generator=generator, device="cpu")
    return x.roll(shift.tolist(), (2, 3))


def _scale_and_turn(x: Tensor, generator: Generator) -> Tensor:
    """Scale all pictures by the same random .7 to 1.3, turn them by -15 to 15 degrees.

    A picture that is not square is turned as if it were squeezed into a square.
    """
    growth, turn = torch.rand(2, generator=generator, device="cpu").tolist()
    scale = 0.7 + 0.6 * growth
    angle = math.radians(30 * turn - 15)
    cos = math.cos(angle)
    sin = math.sin(angle)
    matrix = x.new_tensor([[[cos, -sin, 0], [sin, cos, 0]]]) / scale
    # As channels of one picture, all share one grid.
    stacked = x.flatten(0, 1)[None]
    with float32(x):
        return warp(stacked, matrix, "reflection").view_as(x)


def _colours(p: Tensor, width: int) -> Tensor:
    """Return COLOURS irfft2(p / f) (N, 3, H, width) of p (N, 3, H, width // 2 + 1)."""
    height = p.shape[2]
    down = torch.fft.fftfreq(height, device=p.device)
    right = torch.fft.rfftfreq(width, device=p.device)
    frequencies = torch.hypot(down[:, None], right)
    # The constant counts as the lowest of the other frequencies. Complex numbers are
    # slow to divide.
    spectrum = p * (1 / frequencies.clamp(min=1 / max(height, width)))
    # Colours are mixed before the transform: autocast leaves complex numbers alone.
    spectrum = torch.einsum("cd,ndhw->nchw", COLOURS.to(p), spectrum)
    return torch.fft.irfft2(spectrum, s=(height, width), norm="ortho")
