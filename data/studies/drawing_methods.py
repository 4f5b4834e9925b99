"""MACO, and the objective that the study of class visualisation compares with the score."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dlapps.class_visualization.ascent import ROBUST, Ascent
from dlapps.class_visualization.ingredients import (
    Noise,
    Objective,
    Seen,
    Transform,
    class_score,
    from_spectrum,
    to_spectrum,
)


def make_maco(natural: Tensor) -> Ascent:
    """MACO (Fel et al. 2023): only the phase moves, the magnitude is the mean of these natural pictures (N, 3, H, W).

    Windows as in ROBUST, one a step, and noise; the paper takes 32 of about a quarter of the side, and noise of .08.
    """
    form = Phase(measure_magnitude(natural).mean(0))
    transforms: tuple[Transform, ...] = (*ROBUST.transforms, Noise(0.08))
    adam = replace(ROBUST, optimiser=torch.optim.Adam, normalised=False, step_size=0.1)
    return replace(adam, parametrisation=form, transforms=transforms)


@dataclass(frozen=True, eq=False)
class Phase:
    """Phase of the spectrum alone, its magnitude fixed to the mean of natural pictures': MACO (Fel et al. 2023, eq. 5).

    x = sigmoid(COLOURS irfft2(magnitude e^(i p))). magnitude: (3, H, W / 2 + 1), as `measure_magnitude` gives it, of
    pictures as large as those to be drawn.
    """

    magnitude: Tensor

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """p (1, 3, size, size / 2 + 1) of white noise."""
        return to_spectrum(torch.randn(1, 3, size, size, generator=generator, device="cpu")).angle()

    def encode(self, pictures: Tensor) -> Tensor:
        """The phases of pictures (N, 3, H, W), whose own magnitude is lost."""
        return to_spectrum(torch.logit(pictures, eps=0.01)).angle()

    def decode(self, parameter: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in (0, 1) of p (N, 3, H, W / 2 + 1)."""
        return torch.sigmoid(self._colours(parameter))

    def constrain(self, parameter: Tensor) -> Tensor:
        """The phases of a real picture: with others, the inverse transform would change the magnitude."""
        return to_spectrum(self._colours(parameter)).angle()

    def _colours(self, parameter: Tensor) -> Tensor:
        magnitude = self.magnitude.to(parameter.device).expand_as(parameter)
        return from_spectrum(torch.polar(magnitude, parameter))


def measure_magnitude(pictures: Tensor) -> Tensor:
    """Of each picture (N, 3, H, W) in [0, 1], (N, 3, H, W / 2 + 1); the mean over natural ones is for `Phase`."""
    return to_spectrum(torch.logit(pictures, eps=0.01)).abs()


def _target_margin(seen: Seen) -> Tensor:
    others = seen.logits.scatter(1, seen.targets[:, None], -torch.inf)
    return class_score(seen) - others.logsumexp(1)


# The logarithm of the odds (N,) of the targets' probability: it falls where a rival rises.
class_margin = Objective(_target_margin)
