"""Maps without a gradient, and what the study of saliency holds every map to; wrong input is not looked for.

All run in the precision that the caller opened.
"""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_array, csr_array, diags_array, kron, kronsum
from scipy.sparse.linalg import splu
from torch import Tensor, nn

from dlapps.core.class_scores import choose_classes, chunk_size, forward, pick
from dlapps.core.runtime import make_generator
from dlapps.saliency import rank_correlations
from dlapps.saliency.faithfulness import GREY, rank_pixels

# Of the pixels that `road` removes.
SHARES = (0.2, 0.4, 0.6)
# (network, images (N, C, H, W), targets (N,)) -> maps (N, H, W).
Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]


@torch.no_grad()
def occlusion(network: nn.Module, images: Tensor, targets: Tensor, window: int = 32, stride: int = 16) -> Tensor:
    """S_c(x) - S_c(x under a grey window), the mean over all windows that cover a pixel (Zeiler & Fergus 2014, 4.2).

    targets: (N,), or K classes for each picture, (N, K). window, stride: in pixels; the last window ends at the border.
    Returns (N, H, W), or (N, K, H, W), signed, in logits.
    """
    classes, (height, width) = targets.view(len(images), -1), images.shape[2:]
    tops, lefts = (sorted({*range(0, side - window, stride), side - window}) for side in (height, width))
    corners = [(top, left) for top in tops for left in lefts]
    scores = forward(network, images).gather(1, classes)
    total, count = images.new_zeros(*classes.shape, height, width), images.new_zeros(height, width)
    for start in range(0, len(corners), chunk_size(images)):
        part = corners[start : start + chunk_size(images)]
        masks = images.new_ones(len(part), 1, height, width)
        for mask, (top, left) in zip(masks, part, strict=True):
            mask[:, top : top + window, left : left + window] = 0
        for image, wanted, score, map_ in zip(images, classes, scores, total, strict=True):
            lost = score - forward(network, _cover(image, masks))[:, wanted]
            map_ += torch.einsum("nk,nhw->khw", lost, 1 - masks[:, 0])
        count += (1 - masks[:, 0]).sum(0)
    return (total / count).view(*targets.shape, height, width)


@torch.no_grad()
def rise(network: nn.Module, images: Tensor, targets: Tensor, num_masks: int = 1000, cells: int = 7) -> Tensor:
    """2 / R sum over R masks M of p_c(x seen through M) M (Petsiuk, Das & Saenko 2018, equation 6).

    A mask shows half of cells x cells squares, blurred and shifted; what it covers is grey. The mean of p_c over the
    masks is subtracted first: the map loses a constant and much of its noise, and is signed. The paper takes 4,000 to
    8,000 masks. All pictures see the same ones. targets: (N,) or (N, K). Returns (N, H, W) or (N, K, H, W).
    """
    classes, generator = targets.view(len(images), -1), make_generator(0)
    total = images.new_zeros(*classes.shape, *images.shape[2:])
    scores, seen = torch.zeros_like(total[..., 0, 0]), torch.zeros_like(total[0, 0])
    for start in range(0, num_masks, chunk_size(images)):
        masks = _draw_masks(min(chunk_size(images), num_masks - start), cells, images, generator)
        for image, wanted, score, map_ in zip(images, classes, scores, total, strict=True):
            found = forward(network, _cover(image, masks)).softmax(1)[:, wanted]
            score += found.sum(0)
            map_ += torch.einsum("nk,nhw->khw", found, masks[:, 0])
        seen += masks.sum((0, 1))
    maps = (total - scores[..., None, None] / num_masks * seen) / (0.5 * num_masks)
    return maps.view(*targets.shape, *images.shape[2:])


def _draw_masks(number: int, cells: int, images: Tensor, generator: torch.Generator) -> Tensor:
    """(number, 1, H, W) in [0, 1]: random squares, enlarged to one more than fits and shifted by less than one."""
    squares = torch.rand(number, 1, cells + 1, cells + 1, generator=generator, device="cpu") < 0.5
    places = torch.rand(number, 2, generator=generator, device="cpu").tolist()
    height, width = images.shape[2:]
    down, right = (-(-side // cells) for side in (height, width))
    large = F.interpolate(squares.float(), ((cells + 1) * down, (cells + 1) * right), mode="bilinear")
    cut = []
    for mask, place in zip(large, places, strict=True):
        top, left = int(place[0] * down), int(place[1] * right)
        cut.append(mask[:, top : top + height, left : left + width])
    return torch.stack(cut).to(images.device)


def _cover(image: Tensor, masks: Tensor) -> Tensor:
    return GREY + (image - GREY) * masks


def road(network: nn.Module, images: Tensor, maps: Tensor | np.ndarray) -> Tensor:
    """What removing the lowest pixels leaves of a probability, less what removing the highest does (Rong et al. 2022).

    Of the predicted class, the mean over the shares of pixels that are removed and imputed: (N,) in [-1, 1], 0 on
    average for a map that knows nothing. maps: (N, H, W).
    """
    ranks, classes = rank_pixels(images, maps), choose_classes(network, images, None)

    def probability(removed: Tensor) -> Tensor:
        return pick(forward(network, impute(images, removed)).softmax(1), classes)

    pixels = ranks[0].numel()
    counts = [round(share * pixels) for share in SHARES]
    highest = torch.stack([probability(ranks < count) for count in counts], 1)
    lowest = torch.stack([probability(ranks >= pixels - count) for count in counts], 1)
    return (lowest - highest).mean(1)


def impute(images: Tensor, removed: Tensor, noise_std: float = 0.01) -> Tensor:
    """Pictures whose removed pixels are the weighted mean of their neighbours, removed or not, plus noise.

    removed: booleans (N, H, W), not all of a picture. The means solve one sparse linear system, the noisy linear
    imputation of Rong et al. (2022); at the border the weights of the neighbours that exist are scaled to 1. noise_std:
    in pixel units, N(0, noise_std^2); the result is clamped to [0, 1].
    """
    noise = noise_std * torch.randn(images.shape, generator=make_generator(0), device="cpu")
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


def point_at_cells(maps: Tensor) -> dict[str, Tensor]:
    """Whether the maps (G, 4, H, W) of a grid's classes, in the order of the cells, point at their cells.

    Of each class of each grid (G, 4), in [0, 1], 1 for a map equal to the truth. hits: the share of the map's maxima in
    its cell, the pointing game (Zhang et al. 2018). mass: what a map has above 0 inside the cell, as a share of all
    that it has above 0 (the localisation metric of Böhle, Fritz & Schiele 2021); 1/4 for a map with nothing above 0.
    """
    # (G, 4, row of cells, h, column of cells, w) -> (G, 4, 4 cells, pixels).
    cells = maps.unflatten(3, (2, -1)).unflatten(2, (2, -1)).transpose(3, 4)
    cells = cells.flatten(4).flatten(2, 3)
    highest, positive = cells == cells.amax((2, 3), keepdim=True), cells.clamp(min=0)
    hits, mass = (
        (part.sum(3).double() / part.sum((2, 3)).unsqueeze(2)).diagonal(dim1=1, dim2=2) for part in (highest, positive)
    )
    return {"hits": hits, "mass": mass.nan_to_num(1 / 4)}


def max_sensitivity(
    network: nn.Module, images: Tensor, explain: Explain, num_samples: int, radius: float = 0.02
) -> Tensor:
    """max over y within radius of x of ||map(y) - map(x)|| / ||map(x)|| (Yeh et al. 2019, normalised).

    y: num_samples pictures whose pixels differ from x by uniform noise in [-radius, radius], clamped to [0, 1]; the
    class stays the predicted one. Returns (N,) >= 0: lower is better, and 0 for a map that does not depend on the
    picture, so that it says nothing alone.
    """
    generator, classes = make_generator(0), choose_classes(network, images, None)
    maps = explain(network, images, classes).flatten(1)
    worst = torch.zeros(len(images), device=images.device)
    for _ in range(num_samples):
        noise = radius * (2 * torch.rand(images.shape, generator=generator, device="cpu") - 1).to(images.device)
        moved = explain(network, (images + noise).clamp(0, 1), classes).flatten(1)
        worst = torch.maximum(worst, (moved - maps).norm(dim=1) / maps.norm(dim=1).clamp(min=1e-12))
    return worst


def sanity_check(network: nn.Module, images: Tensor, explain: Explain, num_stages: int) -> dict[str, Tensor]:
    """Spearman's rank correlation of maps before and after weights are randomised from the top (Adebayo et al. 2018).

    The last 1/S, 2/S ... S/S of the layers are randomised in turn. Returns {deepest layer randomised: correlations
    (N,)}; a method that depends on what was learned falls towards 0. A constant map correlates with nothing: 0.
    """
    classes = choose_classes(network, images, None)
    before = explain(network, images, classes)
    layers = [name for name, module in network.named_modules() if _own_weights(module)][::-1]
    correlations = {}
    for stage in range(1, num_stages + 1):
        randomised = layers[: math.ceil(len(layers) * stage / num_stages)]
        after = explain(randomise_weights(network, randomised), images, classes)
        correlations[randomised[-1]] = rank_correlations(before, after)
    return correlations


def randomise_weights(network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A copy of the network in which the weights of some layers are drawn anew.

    Each weight of two dimensions or more becomes normal noise of the mean and deviation it had; biases and batch norm
    stay, so that activations keep their scale.
    """
    network = copy.deepcopy(network)
    generator = make_generator(0)
    with torch.no_grad():
        for name in layers:
            for weight in _own_weights(network.get_submodule(name)):
                mean, deviation = float(weight.mean()), float(weight.std())
                noise = torch.empty_like(weight, device="cpu")
                weight.copy_(noise.normal_(mean, deviation, generator=generator))
    return network


def _own_weights(layer: nn.Module) -> list[Tensor]:
    """Those of two dimensions or more that no layer inside it has, whatever their names."""
    return [weight for weight in layer.parameters(recurse=False) if weight.ndim > 1]
