"""What a check looks at, and how it says what is wrong."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


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


def expect(holds: bool, expected: str, got: str, why: str) -> None:
    """Raise AssertionError unless it holds: what was expected, what came, and why."""
    if not holds:
        raise AssertionError(f"expected {expected}, got {got}: {why}.")


def expect_same(wanted: Any, got: Any, what: str, why: str) -> None:
    """Raise AssertionError unless numbers are the same, but for rounding.

    wanted, got: a number, a list of numbers or a tensor.
    """
    first = torch.as_tensor(wanted).detach().double()
    second = torch.as_tensor(got).detach().double()
    fits = first.shape == second.shape
    if fits:
        rounding = 1e-4 * float(first.abs().max())
        fits = torch.allclose(first, second, rtol=0, atol=rounding)
    expect(fits, f"{_write(first)} {what}", _write(second), why)


def _write(numbers: Tensor) -> str:
    if numbers.numel() > 3:
        return f"{tuple(numbers.shape)} numbers of mean {numbers.mean():.4g}"
    return ", ".join(f"{number:.4g}" for number in numbers.flatten().tolist())
