"""Saliency maps without a gradient, and the pointing game.

Maps are made in the precision that the caller opened. Input is not checked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.class_scores import chunk_size, forward
from dlapps.core.runtime import make_generator
from dlapps.saliency.faithfulness import GREY


@torch.no_grad()
def occlusion(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    window: int = 32,
    stride: int = 16,
) -> Tensor:
    """S_c(x) - S_c(x under a grey window), as Zeiler & Fergus (2014), section 4.2.

    A pixel has the mean over all windows that cover it. targets: (N,), or K classes for
    each picture, (N, K). window, stride: in pixels; the last window ends at the border.
    Returns (N, H, W), or (N, K, H, W), signed, in logits.
    """
    height, width = images.shape[2:]
    classes = targets.view(len(images), -1)
    scores = forward(network, images).gather(1, classes)
    windows = _cut_windows(images, window, stride)
    total = images.new_zeros(*classes.shape, height, width)
    for masks in windows.split(chunk_size(images)):
        for row, image in enumerate(images):
            covered = forward(network, _cover(image, masks))[:, classes[row]]
            lost = scores[row] - covered
            total[row] += torch.einsum("nk,nhw->khw", lost, 1 - masks[:, 0])
    count = (1 - windows[:, 0]).sum(0)
    return (total / count).view(*targets.shape, height, width)


def _cut_windows(images: Tensor, window: int, stride: int) -> Tensor:
    """Masks (M, 1, H, W): 0 in one of all windows, 1 elsewhere."""
    height, width = images.shape[2:]
    masks = []
    for top in _starts(height, window, stride):
        for left in _starts(width, window, stride):
            mask = images.new_ones(1, height, width)
            mask[:, top : top + window, left : left + window] = 0
            masks.append(mask)
    return torch.stack(masks)


def _starts(side: int, window: int, stride: int) -> list[int]:
    last = side - window
    return [*range(0, last, stride), last]


@torch.no_grad()
def rise(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    num_masks: int = 1000,
    cells: int = 7,
) -> Tensor:
    """RISE: 2 / R sum over R masks M of p_c(x seen through M) M.

    Equation 6 of Petsiuk, Das & Saenko (2018). A mask shows half of cells x cells
    squares, blurred and shifted; what it covers is grey. The mean of p_c over the masks
    is subtracted first: the map loses a constant and much of its noise, and is signed.
    The paper takes 4,000 to 8,000 masks. All pictures see the same ones. targets: (N,)
    or (N, K). Returns (N, H, W) or (N, K, H, W).
    """
    height, width = images.shape[2:]
    classes = targets.view(len(images), -1)
    generator = make_generator(0)
    total = images.new_zeros(*classes.shape, height, width)
    sums = images.new_zeros(*classes.shape)
    visible = images.new_zeros(height, width)
    for start in range(0, num_masks, chunk_size(images)):
        number = min(chunk_size(images), num_masks - start)
        masks = _draw_masks(number, cells, images, generator)
        for row, image in enumerate(images):
            logits = forward(network, _cover(image, masks))
            probabilities = logits.softmax(1)[:, classes[row]]
            sums[row] += probabilities.sum(0)
            total[row] += torch.einsum("nk,nhw->khw", probabilities, masks[:, 0])
        visible += masks.sum((0, 1))
    means = sums[..., None, None] / num_masks
    maps = (total - means * visible) / (0.5 * num_masks)
    return maps.view(*targets.shape, height, width)


def _draw_masks(
    number: int, cells: int, images: Tensor, generator: torch.Generator
) -> Tensor:
    """Masks (number, 1, H, W) in [0, 1] of random squares, enlarged and shifted.

    There is one square more than fits; the shift is less than one.
    """
    height, width = images.shape[2:]
    down = -(-height // cells)
    right = -(-width // cells)
    squares = torch.rand(
        number, 1, cells + 1, cells + 1, generator=generator, device="cpu"
    )
    shifts = torch.rand(number, 2, generator=generator, device="cpu").tolist()
    size = ((cells + 1) * down, (cells + 1) * right)
    large = F.interpolate((squares < 0.5).float(), size, mode="bilinear")
    masks = []
    for mask, (shift_down, shift_right) in zip(large, shifts, strict=True):
        top = int(shift_down * down)
        left = int(shift_right * right)
        masks.append(mask[:, top : top + height, left : left + width])
    return torch.stack(masks).to(images.device)


def _cover(image: Tensor, masks: Tensor) -> Tensor:
    return GREY + (image - GREY) * masks


def find_hits(maps: Tensor) -> Tensor:
    """The pointing game (Zhang et al. 2018): whether a map's maximum lies in its cell.

    Maps (G, 4, H, W) are of the classes of a grid, in the order of its cells. Returns
    the share of a map's maxima that lie there, (G, 4) in [0, 1]; 1/4 for a constant
    map.
    """
    highest = maps == maps.amax((2, 3), keepdim=True)
    # (G, 4, row of cells, h, column of cells, w) -> (G, 4, 4 cells).
    by_cell = highest.unflatten(3, (2, -1)).unflatten(2, (2, -1))
    counts = by_cell.double().sum((3, 5)).flatten(2)
    return (counts / counts.sum(2, keepdim=True)).diagonal(dim1=1, dim2=2)
