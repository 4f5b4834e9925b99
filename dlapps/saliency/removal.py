"""ROAD: pixels taken away without a trace, so that only what they said is missing (Rong et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array, diags_array, kron, kronsum
from scipy.sparse.linalg import splu
from torch import Tensor, nn

from dlapps.core.class_scores import Classes, Images, check_input, choose_classes, forward, pick
from dlapps.core.images import check_shape
from dlapps.core.runtime import make_generator
from dlapps.saliency.faithfulness import rank_pixels


@dataclass(frozen=True)
class Removal:
    """Probability of the target (N, S) after shares (S,) of the pixels were removed, highest or lowest first."""

    shares: Tensor
    highest_first: Tensor
    lowest_first: Tensor

    @property
    def gap(self) -> Tensor:
        """Mean over the shares of what removing the lowest leaves more than removing the highest (N,), in [-1, 1].

        Its expectation is 0 for a map that knows nothing.
        """
        return (self.lowest_first - self.highest_first).mean(1)


def road(
    network: nn.Module,
    images: Images,
    maps: Tensor | np.ndarray,
    targets: Classes | None = None,
    shares: Sequence[float] = (0.2, 0.4, 0.6),
    noise_std: float = 0.01,
    seed: int = 0,
) -> Removal:
    """Probability of a class while pixels are removed and imputed, most and least relevant first (Rong et al. 2022).

    images: (N, C, H, W); maps: (N, H, W); targets: the predicted classes by default; shares: between 0 and 1. Runs in
    the precision that the caller opened. Raises ValueError for bad images, classes, shares or maps.
    """
    images = check_input(network, images)
    ranks = rank_pixels(images, maps)
    if not all(0 < share < 1 for share in shares):
        raise ValueError(f"expected shares between 0 and 1, got {tuple(shares)}; some pixels have to stay.")
    classes, pixels = choose_classes(network, images, targets), ranks[0].numel()

    def left(removed: Tensor) -> Tensor:
        return pick(forward(network, impute(images, removed, noise_std, seed)).softmax(1), classes)

    counts = [round(share * pixels) for share in shares]
    highest = torch.stack([left(ranks < count) for count in counts], 1)
    lowest = torch.stack([left(ranks >= pixels - count) for count in counts], 1)
    return Removal(torch.tensor(shares, device=images.device), highest, lowest)


def impute(images: Tensor, removed: Tensor, noise_std: float = 0.01, seed: int = 0) -> Tensor:
    """Pictures whose removed pixels are the weighted mean of their neighbours, removed or not, plus noise.

    images: (N, C, H, W) in [0, 1]; removed: booleans (N, H, W), not all of a picture. Its means solve one
    sparse linear system, the noisy linear imputation of Rong et al. (2022); at the border the weights of the neighbours
    that exist are scaled to 1. noise_std: in pixel units, N(0, noise_std^2); the result is clamped to [0, 1].
    """
    check_shape(images, None)
    expected, leaves = (len(images), *images.shape[2:]), removed.dtype == torch.bool
    if not leaves or removed.shape != expected or bool(removed.flatten(1).all(1).any()):
        raise ValueError(
            f"expected removed as booleans {expected} that leave a pixel of each picture, got {removed.dtype} "
            f"{tuple(removed.shape)}; keep at least one."
        )
    noise = noise_std * torch.randn(images.shape, generator=make_generator(seed), device="cpu")
    pairs = zip(images.cpu().double().numpy(), removed.cpu().numpy(), strict=True)
    means = torch.from_numpy(np.stack([_solve(*pair) for pair in pairs])).float()
    return torch.where(removed[:, None], (means + noise).clamp(0, 1).to(images.device), images)


def _solve(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """(C, H, W): A x = b for the removed pixels x, A the weights among them, b their known neighbours."""
    filled, gone = image.copy(), removed.ravel()
    if not gone.any():
        return filled
    # Weights of neighbours, 1/6 beside and 1/12 across a corner, as in the paper: a row for each removed pixel.
    down, right = (diags_array([1.0, 1.0], offsets=[-1, 1], shape=(side, side)) for side in removed.shape)
    weights = csr_array(kronsum(right, down) / 6 + kron(down, right) / 12)[gone]
    matrix = csc_array(diags_array(weights.sum(1)) - weights[:, gone])
    # Symmetric and diagonally dominant: no pivots are needed.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    filled[:, removed] = factors.solve(weights[:, ~gone] @ image[:, ~removed].T).T
    return filled
