"""Pixels: from files and arrays to tensors in [0, 1], and checks of them.

Pictures that are explained or attacked are float32 (N, C, H, W) in [0, 1]: see
`as_pictures`. Those of data sets are uint8 (N, H, W) or (N, H, W, 3): see `as_uint8`.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from dlapps.core.arrays import as_tensor
from dlapps.core.checks import DlappsError, check_between, check_counts

PICTURE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".webp",
    ".ppm",
    ".tif",
    ".tiff",
    ".gif",
)
# What Pillow raises for a file that is no picture, or one too large.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# By so much pixels leave [0, 1] when they are resized.
ROUNDING = 1e-3

Picture = str | Path | Image.Image | np.ndarray


class PictureError(DlappsError, ValueError):
    """A file or an array that is not a picture, or pixels that no network takes."""


def read_picture(path: str | Path) -> Image.Image:
    """Read a file as an upright RGB picture.

    A picture that its camera noted as turned (EXIF orientation) is turned back, grey is
    copied to three channels, and transparent pixels become white. Raises PictureError,
    which names the file, if it does not decode or has levels of more than 8 bits.
    """
    try:
        with Image.open(path) as picture:
            return _to_rgb(picture)
    except UNREADABLE as error:
        raise PictureError(
            f"expected a picture in {path}, got none ({error}); "
            "replace the file or take it out of the folder."
        ) from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Turn a picture upright, and convert it to three channels of 8 bits."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":
        # Pillow would clip them at 255.
        raise PictureError(
            f"expected levels of 8 bits, got mode {picture.mode}; "
            "bring the highest level to 255, as uint8."
        )
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def to_picture(picture: Picture) -> Image.Image:
    """Convert a path, a PIL picture or an array to an upright RGB picture.

    An array is uint8 (H, W), (H, W, 3) or (H, W, 4); its fourth channel is the opacity.
    Transparent pixels are laid on white.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return _to_rgb(picture)
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,), (4,)):
        raise PictureError(
            "expected an array uint8 (H, W) or (H, W, 3 or 4), got "
            f"{array.dtype} {array.shape}; images.from_pixels makes one of pixels."
        )
    return _to_rgb(Image.fromarray(array))


def to_pixels(
    picture: Picture, size: int | tuple[int, int] = 224, crop: float | None = None
) -> torch.Tensor:
    """Convert one picture to a float32 tensor (3, H, W) in [0, 1].

    By default the whole picture is resized bilinearly, and its aspect ratio is given
    up, as in the practical.

    size: side of the square, or (height, width).
    crop: keep the aspect ratio instead, and resize (bicubic) the central square whose
        side is this share of the short side, as EfficientNet was evaluated (.875).
    """
    height, width = size if isinstance(size, tuple) else (size, size)
    check_counts(height=height, width=width)
    image = to_picture(picture)
    if crop is None:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    else:
        check_between(0, 1, crop=crop)
        side = crop * min(image.size)
        left = (image.width - side) / 2
        top = (image.height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


def stack_pixels(
    pictures: Iterable[Picture],
    size: int | tuple[int, int] = 224,
    crop: float | None = None,
) -> torch.Tensor:
    """Convert pictures to one tensor (N, 3, H, W) in [0, 1]; see `to_pixels`."""
    check_several(pictures)
    pixels = [to_pixels(picture, size, crop) for picture in pictures]
    if not pixels:
        raise PictureError("expected a picture, got none; check the folder or list.")
    return torch.stack(pixels)


def from_pixels(pixels: ArrayLike) -> np.ndarray:
    """Convert pixels in [0, 1] to levels uint8, as a PNG stores them.

    Pixels (C, H, W) or (N, C, H, W) give an array (H, W, C) or (N, H, W, C). Grey
    pixels (C = 1) give (H, W) or (N, H, W), which plots and files take as grey.

    Raises PictureError for other shapes, and for levels.
    """
    pixels = as_tensor(pixels)
    if pixels.shape[-3:-2] not in ((1,), (3,)):
        raise PictureError(
            "expected pixels (C, H, W) or (N, C, H, W) of one channel or three, got "
            f"{tuple(pixels.shape)}; move the channels in front."
        )
    # Noise may leave [0, 1]; levels of 0 to 255 would all be white.
    check_pixels(pixels[None] if pixels.ndim == 3 else pixels, slack=9)
    levels = pixels.detach().cpu().float().clamp(0, 1).mul(255).round().byte()
    levels = levels.movedim(-3, -1).contiguous()
    if levels.shape[-1] == 1:
        levels = levels.squeeze(-1)
    return levels.numpy()


def round_to_8_bits(pixels: torch.Tensor) -> torch.Tensor:
    """Round pixels in [0, 1] to multiples of 1 / 255, as a PNG stores them."""
    return (pixels * 255).round() / 255


def warp(
    pixels: torch.Tensor, matrices: torch.Tensor, padding: str = "zeros"
) -> torch.Tensor:
    """Return pixels (N, C, H, W) that are read at other places, bilinearly.

    matrices: (N, 2, 3), from a place (x, y, 1) of the result to the one in the image
        where its value is read. Both run from -1 to 1.
    padding: what is read beyond the border, as for `F.grid_sample`.
    """
    grid = F.affine_grid(matrices, list(pixels.shape), align_corners=False)
    return F.grid_sample(
        pixels, grid.to(pixels.device), padding_mode=padding, align_corners=False
    )


def stretch(picture: np.ndarray) -> np.ndarray:
    """Stretch a picture (H, W) or (H, W, 3) to full contrast.

    Returns floats from 0 at its lowest to 1 at its highest value.
    """
    values = picture - picture.min().astype(float)
    return values / (values.max() or 1.0)


def as_pictures(
    images: torch.Tensor | np.ndarray, channels: int | None = None
) -> torch.Tensor:
    """Check pictures, and return them as pixels (N, C, H, W) float32 in [0, 1].

    They stay on their device, and lose their graph.

    images: floats (N, C, H, W) in [0, 1], or those of a data set, as `as_uint8` takes
        them, which are divided by 255.
    channels: the C that is wanted; any by default.

    Raises PictureError for another type, shape or range, and for an empty set.
    """
    pixels = as_tensor(images).detach()
    if pixels.dtype == torch.uint8:
        pixels = levels_to_pixels(as_uint8(pixels))
    check_pixels(pixels, channels)
    return pixels.float()


def as_uint8(images: ArrayLike) -> torch.Tensor:
    """Check the pictures of a data set, and return them as a uint8 tensor.

    images: (N, H, W) of grey or (N, H, W, 3) of colours. A list or an array is copied.

    Raises PictureError for another type or shape, for a single picture (H, W, 3 or 4)
    and for an empty set. (3, H, W) is three grey pictures here. Warns of levels that
    are those of another range, all nearly black.
    """
    levels = as_tensor(images)
    is_grey = levels.ndim == 3 and levels.shape[2] not in (3, 4)
    has_shape = is_grey or levels.shape[3:] == (3,)
    if levels.dtype != torch.uint8 or not has_shape or levels.numel() == 0:
        raise PictureError(
            "expected images uint8 (N, H, W) or (N, H, W, 3), got "
            f"{levels.dtype} {tuple(levels.shape)}; move the channels last, add the "
            "batch axis, or make levels of pixels by images.from_pixels."
        )
    highest = int(levels.amax())
    if 0 < highest <= 16:
        warnings.warn(
            f"expected levels up to 255, got none above {highest}; scale them.",
            stacklevel=3,
        )
    return levels.contiguous()


def levels_to_pixels(levels: torch.Tensor) -> torch.Tensor:
    """Convert uint8 (N, H, W) or (N, H, W, 3) to float32 (N, C, H, W) in [0, 1]."""
    if levels.ndim == 3:
        levels = levels[..., None]
    return levels.movedim(3, 1).contiguous().float().div_(255)


def check_several(pictures: object) -> None:
    """Raise PictureError for a single picture, whose rows or channels would be taken
    for pictures.

    A single picture is a path, a PIL picture, or an array or tensor (H, W, C) or
    (C, H, W) of 3 or 4 channels.
    """
    shape = tuple(getattr(pictures, "shape", ()))
    is_array = len(shape) == 3 and (shape[0] in (3, 4) or shape[2] in (3, 4))
    if is_array or isinstance(pictures, (str, Path, Image.Image)):
        got = f"one of shape {shape}" if shape else repr(pictures)
        raise PictureError(
            f"expected several pictures, got {got}; put one in a list, or add the "
            "batch axis, [None]; grey ones need that of the channel, [:, None]."
        )


def check_pixels(
    pixels: torch.Tensor, channels: int | None = None, slack: float = 0
) -> None:
    """Raise PictureError unless pixels are floats (N, channels, H, W) in [0, 1].

    They may leave [0, 1] by the slack, as noise does. With some it is a guard against
    levels of 0 to 255 alone.
    """
    shape = tuple(pixels.shape)
    has_shape = pixels.ndim == 4 and channels in (None, shape[1]) and 0 not in shape
    if not (pixels.is_floating_point() and has_shape):
        raise PictureError(
            f"expected pixels (N, {channels or 'C'}, H, W) of floats, got "
            f"{pixels.dtype} {shape}; add the batch axis, or take images.as_pictures."
        )
    low, high = torch.aminmax(pixels.detach())
    if not (low >= -slack and high <= 1 + slack):
        raise PictureError(
            f"expected pixels in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "divide 0-255 values by 255, leave the normalisation to the network, "
            "and look for NaN."
        )


def find_pictures(folder: str | Path) -> list[Path]:
    """List the picture files in a folder and the folders below it, sorted.

    Hidden ones (.thumbnails, __MACOSX) are left out. Raises PictureError if there are
    no pictures.
    """
    pictures = []
    for path in sorted(Path(folder).rglob("*")):
        parts = path.relative_to(folder).parts
        is_hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
        is_picture = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        if is_picture and not is_hidden:
            pictures.append(path)
    if not pictures:
        raise PictureError(
            f"expected pictures ({', '.join(PICTURE_SUFFIXES)}) in {folder}, got none; "
            "check the path."
        )
    return pictures
