"""Maps without a gradient, and what the study of saliency holds every map to."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csc_array, csr_array, diags_array, kron, kronsum
from scipy.sparse.linalg import splu
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    check_range,
    choose_classes,
    chunk_size,
    forward,
    pick,
)
from dlapps.core.images import check_shape
from dlapps.core.pixel_network import find_layer
from dlapps.core.runtime import make_generator
from dlapps.saliency.faithfulness import rank_correlations, rank_pixels
from dlapps.saliency.maps import Explain

GREY = 0.5


@torch.no_grad()
def occlusion(
    network: nn.Module, images: Images, targets: Classes | None = None, window: int = 32, stride: int = 16
) -> Tensor:
    """S_c(x) - S_c(x under a grey window), the mean over all windows that cover a pixel (Zeiler & Fergus 2014, 4.2).

    window, stride: in pixels, the stride at most the window; the last window ends at the border. Returns (N, H, W),
    signed, in logits. Runs in the precision that the caller opened.
    """
    images = check_input(network, images)
    classes, (height, width) = _classes_of(network, images, targets), images.shape[2:]
    if not 1 <= stride <= window <= min(height, width):
        raise ValueError(
            f"expected 1 <= stride <= window <= {min(height, width)}, got stride {stride} and window {window}; change "
            "them."
        )
    tops, lefts = (sorted({*range(0, side - window, stride), side - window}) for side in (height, width))
    corners = [(top, left) for top in tops for left in lefts]
    scores = _pick(network, images, classes)
    total, count = images.new_zeros(*classes.shape, height, width), images.new_zeros(height, width)
    for start in range(0, len(corners), chunk_size(images)):
        part = corners[start : start + chunk_size(images)]
        masks = images.new_ones(len(part), 1, height, width)
        for mask, (top, left) in zip(masks, part, strict=True):
            mask[:, top : top + window, left : left + window] = 0
        for image, wanted, score, map_ in zip(images, classes, scores, total, strict=True):
            lost = score - _pick(network, _cover(image, masks), wanted.expand(len(part), -1))
            map_ += torch.einsum("nk,nhw->khw", lost, 1 - masks[:, 0])
        count += (1 - masks[:, 0]).sum(0)
    return _as_targets(total / count, targets)


@torch.no_grad()
def rise(
    network: nn.Module,
    images: Images,
    targets: Classes | None = None,
    num_masks: int = 1000,
    cells: int = 7,
    share: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """1 / (share R) sum over R masks M of p_c(x seen through M) M (Petsiuk, Das & Saenko 2018, equation 6).

    A mask shows a share of cells x cells squares, blurred and shifted; what it covers is grey. The mean of p_c over the
    masks is subtracted first: the map loses a constant and much of its noise, and is signed. The paper takes 4,000 to
    8,000 masks. All pictures see the same ones. Returns (N, H, W). Runs in the precision that the caller opened.
    """
    check_counts(num_masks=num_masks, cells=cells)
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, got {share}; .5 is the paper's.")
    images, generator = check_input(network, images), make_generator(seed)
    classes = _classes_of(network, images, targets)
    total = images.new_zeros(*classes.shape, *images.shape[2:])
    scores, seen = torch.zeros_like(total[..., 0, 0]), torch.zeros_like(total[0, 0])
    for start in range(0, num_masks, chunk_size(images)):
        number = min(chunk_size(images), num_masks - start)
        masks = _draw_masks(number, cells, share, images, generator)
        for image, wanted, score, map_ in zip(images, classes, scores, total, strict=True):
            found = _pick(network, _cover(image, masks), wanted.expand(number, -1), probabilities=True)
            score += found.sum(0)
            map_ += torch.einsum("nk,nhw->khw", found, masks[:, 0])
        seen += masks.sum((0, 1))
    return _as_targets((total - scores[..., None, None] / num_masks * seen) / (share * num_masks), targets)


def _draw_masks(number: int, cells: int, share: float, images: Tensor, generator: torch.Generator) -> Tensor:
    """(number, 1, H, W) in [0, 1]: random squares, enlarged to one more than fits and shifted by less than one."""
    squares = torch.rand(number, 1, cells + 1, cells + 1, generator=generator, device="cpu") < share
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


def _classes_of(network: nn.Module, images: Tensor, targets: Classes | None) -> Tensor:
    """Classes (N, K), K = 1 unless the targets are a tensor of several for each picture."""
    if isinstance(targets, Tensor) and targets.ndim == 2 and len(targets) == len(images):
        return targets.to(images.device)
    return choose_classes(network, images, targets)[:, None]


def _as_targets(maps: Tensor, targets: Classes | None) -> Tensor:
    return maps if isinstance(targets, Tensor) and targets.ndim == 2 else maps[:, 0]


def _pick(network: nn.Module, images: Tensor, classes: Tensor, probabilities: bool = False) -> Tensor:
    """Logits, or probabilities, of the classes (n, K) of n pictures."""
    logits = forward(network, images)
    check_range(classes, logits)
    return (logits.softmax(1) if probabilities else logits).gather(1, classes)


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


@dataclass(frozen=True)
class Pointing:
    """Of each class of each grid (G, K): `hits`, the share of the map's maxima in its cell, and `mass` inside it.

    Both are in [0, 1]; 1 is a map equal to the truth.
    """

    hits: Tensor
    mass: Tensor


def point_at_cells(maps: Tensor, side: int = 2) -> Pointing:
    """Whether the maps (G, side^2, H, W) of a grid's classes, in the order of the cells, point at their cells.

    hits: the pointing game (Zhang et al. 2018). mass: what a map has above 0 inside the cell, as a share of all that it
    has above 0 (the localisation metric of Böhle, Fritz & Schiele 2021); 1 / side^2 for a map with nothing above 0.
    Raises ValueError for maps of another shape.
    """
    if maps.ndim != 4 or maps.shape[1] != side**2 or maps.shape[2] % side or maps.shape[3] % side:
        raise ValueError(
            f"expected maps of shape (G, {side**2}, {side} h, {side} w), got {tuple(maps.shape)}; pass one a class."
        )
    # (G, K, row of cells, h, column of cells, w) -> (G, K, K cells, pixels).
    cells = maps.unflatten(3, (side, -1)).unflatten(2, (side, -1)).transpose(3, 4)
    cells = cells.flatten(4).flatten(2, 3)
    highest, positive = cells == cells.amax((2, 3), keepdim=True), cells.clamp(min=0)
    hits, mass = (
        (part.sum(3).double() / part.sum((2, 3)).unsqueeze(2)).diagonal(dim1=1, dim2=2) for part in (highest, positive)
    )
    return Pointing(hits, mass.nan_to_num(1 / side**2))


def randomise_weights(network: nn.Module, layers: Sequence[str] | None = None, seed: int = 0) -> nn.Module:
    """A copy of the network in which the weights of some layers (default: all) are drawn anew.

    Each weight of two dimensions or more becomes normal noise of the mean and deviation it had; biases and batch norm
    stay, so that activations keep their scale. Raises ValueError for a layer that is none, or has no such weight.
    """
    network = copy.deepcopy(network)
    generator = make_generator(seed)
    with torch.no_grad():
        for name in _weighted_layers(network) if layers is None else layers:
            layer = find_layer(network, name) if name else network
            if not (weights := _own_weights(layer)):
                raise ValueError(
                    f"expected a layer with a weight, got {name}, a {type(layer).__name__}; choose others."
                )
            for weight in weights:
                mean, deviation = float(weight.mean()), float(weight.std())
                noise = torch.empty_like(weight, device="cpu")
                weight.copy_(noise.normal_(mean, deviation, generator=generator))
    return network


def max_sensitivity(
    network: nn.Module,
    images: Images,
    explain: Explain,
    targets: Classes | None = None,
    radius: float = 0.02,
    num_samples: int = 10,
    seed: int = 0,
) -> Tensor:
    """max over y within radius of x of ||map(y) - map(x)|| / ||map(x)|| (Yeh et al. 2019, normalised).

    explain: as in `sanity_check`. y: num_samples pictures whose pixels differ from x by uniform noise in
    [-radius, radius], clamped to [0, 1]; the class stays. Returns (N,) >= 0: lower is better, and 0 for a map that does
    not look at the picture, so that it says nothing alone.
    """
    check_counts(num_samples=num_samples)
    images, generator = check_input(network, images), make_generator(seed)
    classes = choose_classes(network, images, targets)
    maps = explain(network, images, classes).flatten(1)
    worst = torch.zeros(len(images), device=images.device)
    for _ in range(num_samples):
        noise = radius * (2 * torch.rand(images.shape, generator=generator, device="cpu") - 1).to(images.device)
        moved = explain(network, (images + noise).clamp(0, 1), classes).flatten(1)
        worst = torch.maximum(worst, (moved - maps).norm(dim=1) / maps.norm(dim=1).clamp(min=1e-12))
    return worst


def sanity_check(
    network: nn.Module,
    images: Images,
    explain: Explain,
    targets: Classes | None = None,
    num_stages: int = 5,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Spearman's rank correlation of maps before and after weights are randomised from the top (Adebayo et al. 2018).

    explain: (network, images, targets) -> maps (N, H, W), such as `input_gradient`; of `grad_cam`, which takes a layer
    too, `lambda network, images, targets: grad_cam(network, images, "features.29", targets)`. The last 1/S, 2/S ...
    S/S of the layers are randomised in turn. Returns {deepest layer randomised: correlations (N,)}; a method that
    depends on what was learned falls towards 0. A constant map correlates with nothing: 0.
    """
    images = check_input(network, images)
    classes = choose_classes(network, images, targets)
    before, layers = explain(network, images, classes), _weighted_layers(network)[::-1]
    correlations = {}
    for stage in range(1, num_stages + 1):
        randomised = layers[: math.ceil(len(layers) * stage / num_stages)]
        after = explain(randomise_weights(network, randomised, seed), images, classes)
        correlations[randomised[-1]] = rank_correlations(before, after)
    return correlations


def _weighted_layers(network: nn.Module) -> list[str]:
    """Names of the layers with a weight of two dimensions or more, from the input to the output."""
    return [name for name, module in network.named_modules() if _own_weights(module)]


def _own_weights(layer: nn.Module) -> list[Tensor]:
    """Those of two dimensions or more that no layer inside it has, whatever their names."""
    return [weight for weight in layer.parameters(recurse=False) if weight.ndim > 1]
