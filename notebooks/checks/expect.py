"""What a check looks at, and what it says."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Variables:
    """A notebook's variables as attributes; AssertionError for one that is missing."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.__dict__.update(variables)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(
            f"expected `{name}`, got no such variable: the exercise asks for it."
        )


def expect(holds: object, expected: str, got: object, why: str) -> None:
    """Raises AssertionError where it does not hold: what was expected, what came, and
    why it matters.
    """
    if not bool(holds):
        raise AssertionError(f"expected {expected}, got {got}: {why}.")


def expect_pixels(pixels: torch.Tensor, name: str) -> None:
    """Raises AssertionError unless images are float (N, 3, H, W) in [0, 1]."""
    why, got = (
        "networks here take such images, and files hold no others",
        tuple(pixels.shape),
    )
    fits = pixels.ndim == 4 and got[1] == 3 and pixels.is_floating_point()
    expect(fits, f"`{name}` float (N, 3, H, W)", f"{pixels.dtype} {got}", why)
    low, high = float(pixels.min()), float(pixels.max())
    expect(
        low >= 0 and high <= 1, f"`{name}` in [0, 1]", f"{low:.3g} to {high:.3g}", why
    )


def expect_same(wanted: Any, got: Any, what: str, why: str) -> None:
    """Raises AssertionError unless two numbers, or lists of numbers, are the same, but
    for rounding.
    """
    first, second = _read(wanted), _read(got)
    told = [
        ", ".join(f"{number:.4g}" for number in each) or "none"
        for each in (first, second)
    ]
    fits = len(first) == len(second) and np.allclose(
        first, second, rtol=1e-4, atol=1e-6
    )
    expect(fits, f"{told[0]} {what}", told[1], why)


def _read(numbers: Any) -> list[float]:
    each = numbers if isinstance(numbers, (list, tuple)) else [numbers]
    return [float(torch.as_tensor(number).detach()) for number in each]


def same(first: Any, second: Any) -> bool:
    """Whether two tensors hold the same numbers, but for rounding."""
    first, second = (torch.as_tensor(each).detach().float() for each in (first, second))
    close = 1e-3 * float(first.abs().max())
    return first.shape == second.shape and torch.allclose(
        first, second, rtol=1e-3, atol=close
    )
