"""What a check says."""

import numpy as np
import torch


def expect(holds: object, expected: str, got: object) -> str | None:
    """None where it holds, else what was expected and what was found."""
    return None if bool(holds) else f"expected {expected}, got {got}"


def expect_pixels(pixels: torch.Tensor, name: str) -> str | None:
    """Whether pictures are float (N, 3, H, W) in [0, 1]."""
    shape, low, high = tuple(pixels.shape), float(pixels.min()), float(pixels.max())
    if len(shape) != 4 or shape[1] != 3 or not pixels.is_floating_point():
        return f"expected {name} float (N, 3, H, W), got {pixels.dtype} {shape}"
    return expect(low >= 0 and high <= 1, f"{name} in [0, 1]", f"values from {low:.3g} to {high:.3g}")


def same(first: object, second: object) -> bool:
    """Whether two arrays or tensors hold the same numbers, but for rounding."""
    first, second = (value.detach().cpu() if torch.is_tensor(value) else value for value in (first, second))
    first, second = np.asarray(first, float), np.asarray(second, float)
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-3, atol=1e-3 * np.abs(first).max())
