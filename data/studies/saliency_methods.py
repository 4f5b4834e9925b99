"""Maps without a gradient, in the precision that the caller opened, and the pointing
game; input is not checked.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.class_scores import chunk_size, forward
from dlapps.core.runtime import make_generator
from dlapps.saliency.faithfulness import GREY

# (network, images (N, C, H, W), targets (N,)) -> maps (N, H, W).
Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]


@torch.no_grad()
def occlusion(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    window: int = 32,
    stride: int = 16,
) -> Tensor:
    """S_c(x) - S_c(x under a grey window), the mean over all windows that cover a pixel
    (Zeiler & Fergus 2014, 4.2).

    targets: (N,), or K classes for each picture, (N, K). window, stride: in pixels; the
    last window ends at the border. Returns (N, H, W), or (N, K, H, W), signed, in
    logits.
    """
    classes, (height, width) = targets.view(len(images), -1), images.shape[2:]
    tops, lefts = (
        sorted({*range(0, side - window, stride), side - window})
        for side in (height, width)
    )
    corners = [(top, left) for top in tops for left in lefts]
    scores = forward(network, images).gather(1, classes)
    total, count = (
        images.new_zeros(*classes.shape, height, width),
        images.new_zeros(height, width),
    )
    for start in range(0, len(corners), chunk_size(images)):
        part = corners[start : start + chunk_size(images)]
        masks = images.new_ones(len(part), 1, height, width)
        for mask, (top, left) in zip(masks, part, strict=True):
            mask[:, top : top + window, left : left + window] = 0
        for image, wanted, score, map_ in zip(
            images, classes, scores, total, strict=True
        ):
            lost = score - forward(network, _cover(image, masks))[:, wanted]
            map_ += torch.einsum("nk,nhw->khw", lost, 1 - masks[:, 0])
        count += (1 - masks[:, 0]).sum(0)
    return (total / count).view(*targets.shape, height, width)


@torch.no_grad()
def rise(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    num_masks: int = 1000,
    cells: int = 7,
) -> Tensor:
    """2 / R sum over R masks M of p_c(x seen through M) M (Petsiuk, Das & Saenko 2018,
    equation 6).

    A mask shows half of cells x cells squares, blurred and shifted; what it covers is
    grey. The mean of p_c over the masks is subtracted first: the map loses a constant
    and much of its noise, and is signed. The paper takes 4,000 to 8,000 masks. All
    pictures see the same ones. targets: (N,) or (N, K). Returns (N, H, W) or (N, K, H,
    W).
    """
    classes, generator = targets.view(len(images), -1), make_generator(0)
    total = images.new_zeros(*classes.shape, *images.shape[2:])
    scores, seen = torch.zeros_like(total[..., 0, 0]), torch.zeros_like(total[0, 0])
    for start in range(0, num_masks, chunk_size(images)):
        masks = _draw_masks(
            min(chunk_size(images), num_masks - start), cells, images, generator
        )
        for image, wanted, score, map_ in zip(
            images, classes, scores, total, strict=True
        ):
            found = forward(network, _cover(image, masks)).softmax(1)[:, wanted]
            score += found.sum(0)
            map_ += torch.einsum("nk,nhw->khw", found, masks[:, 0])
        seen += masks.sum((0, 1))
    maps = (total - scores[..., None, None] / num_masks * seen) / (0.5 * num_masks)
    return maps.view(*targets.shape, *images.shape[2:])


def _draw_masks(
    number: int, cells: int, images: Tensor, generator: torch.Generator
) -> Tensor:
    """(number, 1, H, W) in [0, 1]: random squares, enlarged to one more than fits and
    shifted by less than one.
    """
    squares = (
        torch.rand(number, 1, cells + 1, cells + 1, generator=generator, device="cpu")
        < 0.5
    )
    places = torch.rand(number, 2, generator=generator, device="cpu").tolist()
    height, width = images.shape[2:]
    down, right = (-(-side // cells) for side in (height, width))
    large = F.interpolate(
        squares.float(), ((cells + 1) * down, (cells + 1) * right), mode="bilinear"
    )
    cut = []
    for mask, place in zip(large, places, strict=True):
        top, left = int(place[0] * down), int(place[1] * right)
        cut.append(mask[:, top : top + height, left : left + width])
    return torch.stack(cut).to(images.device)


def _cover(image: Tensor, masks: Tensor) -> Tensor:
    return GREY + (image - GREY) * masks


def find_hits(maps: Tensor) -> Tensor:
    """Whether the maximum of each map (G, 4, H, W) lies in its cell: the pointing game
    (Zhang et al. 2018).

    The maps are of a grid's classes, in the order of the cells. Returns the share of a
    map's maxima that do, (G, 4) in [0, 1], 1/4 for a constant map.
    """
    highest = maps == maps.amax((2, 3), keepdim=True)
    # (G, 4, row of cells, h, column of cells, w) -> (G, 4, 4 cells).
    counts = (
        highest.unflatten(3, (2, -1))
        .unflatten(2, (2, -1))
        .double()
        .sum((3, 5))
        .flatten(2)
    )
    return (counts / counts.sum(2, keepdim=True)).diagonal(dim1=1, dim2=2)
