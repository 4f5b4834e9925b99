"""What a check looks at, and how it says what is wrong."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


class Variables:
    """A notebook's variables as attributes.

    Raises AssertionError for one that is missing.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self.__dict__.update(variables)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(
            f"expected `{name}`, got no such variable: the exercise asks for it."
        )


def expect(holds: object, expected: str, got: object, why: str) -> None:
    """Raise AssertionError unless it holds: what was expected, what came, and why."""
    if not bool(holds):
        raise AssertionError(f"expected {expected}, got {got}: {why}.")


def expect_pixels(pixels: torch.Tensor, name: str) -> None:
    """Raise AssertionError unless images are float (N, 3, H, W) in [0, 1]."""
    why = "networks here take such images, and files hold no others"
    shape = tuple(pixels.shape)
    fits = pixels.ndim == 4 and shape[1] == 3 and pixels.is_floating_point()
    expect(fits, f"`{name}` float (N, 3, H, W)", f"{pixels.dtype} {shape}", why)
    low = float(pixels.min())
    high = float(pixels.max())
    fits = low >= 0 and high <= 1
    expect(fits, f"`{name}` in [0, 1]", f"{low:.3g} to {high:.3g}", why)


def expect_same(wanted: Any, got: Any, what: str, why: str) -> None:
    """Raise AssertionError unless two numbers, or lists of numbers, are the same.

    They may differ by rounding.
    """
    first = _read(wanted)
    second = _read(got)
    fits = len(first) == len(second)
    fits = fits and np.allclose(first, second, rtol=1e-4, atol=1e-6)
    expect(fits, f"{_write(first)} {what}", _write(second), why)


def _read(numbers: Any) -> list[float]:
    if not isinstance(numbers, (list, tuple)):
        numbers = [numbers]
    return [float(torch.as_tensor(number).detach()) for number in numbers]


def _write(numbers: list[float]) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers) or "none"


def same(first: Any, second: Any) -> bool:
    """Whether two tensors have the same numbers, but for rounding."""
    first = torch.as_tensor(first).detach().float()
    second = torch.as_tensor(second).detach().float()
    if first.shape != second.shape:
        return False
    close = 1e-3 * float(first.abs().max())
    return torch.allclose(first, second, rtol=1e-3, atol=close)
