"""Maps without a gradient: what a class score loses where the picture is covered. A reference, and slow.

`targets` may have K classes for each picture, (N, K): one pass then gives the maps (N, K, H, W) of all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps import check_counts
from dlapps.core.class_scores import Classes, Images, check_input, check_range, choose_classes, chunk_size, forward
from dlapps.core.runtime import make_generator

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
