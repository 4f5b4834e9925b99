"""What a map is good for besides being looked at: it says where in the picture the class is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_to_window(images: Tensor, maps: Tensor, side: int, stride: int = 8) -> Tensor:
    """The square window with the highest mean of a map, cut out of each picture and enlarged to the whole.

    images: (N, 3, H, W) in [0, 1]; maps: (N, H, W); side: of the window in pixels, at most H and W; windows begin at
    multiples of stride. Returns (N, 3, H, W). Raises ValueError for maps of another shape, or too large a window.
    """
    height, width = images.shape[2:]
    if maps.shape != (len(images), height, width) or not 1 <= side <= min(height, width):
        raise ValueError(
            f"expected maps of shape {(len(images), height, width)} and a side up to {min(height, width)}, got "
            f"{tuple(maps.shape)} and {side}; pass one map an image and a smaller window."
        )
    means = F.avg_pool2d(maps[:, None], side, stride)[:, 0]
    windows = []
    for image, place in zip(images, means.flatten(1).argmax(1).tolist(), strict=True):
        top, left = (stride * index for index in divmod(place, means.shape[2]))
        windows.append(image[:, top : top + side, left : left + side])
    return F.interpolate(torch.stack(windows), (height, width), mode="bilinear")
