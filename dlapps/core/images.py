"""Pixels: from files and arrays to tensors in [0, 1], and the checks that keep them
there.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from dlapps import DlappsError

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

Picture = str | Path | Image.Image | np.ndarray


class PictureError(DlappsError, ValueError):
    """A file or an array that is not a picture, or pixels that a network does not take."""


def read_picture(path: str | Path) -> Image.Image:
    """Decode one file to an RGB picture (a grey one is copied to the three channels,
    what is transparent is white).

    As it is stored: cameras note how to turn a picture, and so do data sets whose
    pictures were turned since (15-Scene has one). `PIL.ImageOps.exif_transpose` turns
    it. Raises PictureError for a file that is missing, empty, truncated or not a
    picture.
    """
    try:
        with Image.open(path) as picture:
            return _to_rgb(picture)
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        size = Path(path).stat().st_size if Path(path).is_file() else None
        got = (
            "no such file"
            if size is None
            else f"{size:,} bytes that do not decode ({error})"
        )
        raise PictureError(
            f"expected a picture in {path}, got {got}; replace the file or take it out of the folder."
        ) from error


def to_picture(picture: Picture) -> Image.Image:
    """An RGB PIL picture of a path, a PIL picture, or an array (H, W), (H, W, 3) or (H,
    W, 4), uint8 or in [0, 1].

    One that is transparent, an array by its fourth channel, is laid on white.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return _to_rgb(picture)
    array = np.asarray(picture)
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise PictureError(
            f"expected an array (H, W) or (H, W, 3 or 4), got {array.shape}; move the channels last."
        )
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        if not (np.issubdtype(array.dtype, np.floating) and low >= 0 and high <= 1):
            got = f"{array.dtype} from {low:.3g} to {high:.3g}"
            raise PictureError(
                f"expected uint8, or floats in [0, 1], got {got}; convert the array."
            )
        array = np.round(array * 255).astype(np.uint8)
    return _to_rgb(Image.fromarray(array))


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Three channels of 8 bits; Pillow would clip grey levels of 16 bits, and those of
    other types have no range.
    """
    if picture.mode.startswith("I;16"):
        return Image.fromarray(
            np.round(np.asarray(picture) / 257).astype(np.uint8)
        ).convert("RGB")
    if picture.mode in ("I", "F"):
        wanted, remedy = (
            "8 or 16 bits a channel",
            "divide it by its highest level, as floats in [0, 1]",
        )
        raise PictureError(
            f"expected {wanted}, got a picture of mode {picture.mode!r}; {remedy}."
        )
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


def to_pixels(
    picture: Picture, size: int | tuple[int, int] = 224, crop: float | None = None
) -> torch.Tensor:
    """One picture as a float32 tensor (3, H, W) in [0, 1].

    size: side of the square, or (height, width). The picture is resized bilinearly, its
    aspect ratio given up, as the practical does. crop: preserve the aspect ratio
    instead, resize (bicubic) so that the central square covers this share of the short
    side, and cut it out, as EfficientNet was evaluated (.875).
    """
    image = to_picture(picture)
    height, width = (size, size) if isinstance(size, int) else size
    kind, box = Image.Resampling.BILINEAR, None
    if crop is not None:
        short = crop * min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        kind, box = Image.Resampling.BICUBIC, (left, top, left + short, top + short)
    image = image.resize((width, height), kind, box=box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


def scaled_shape(picture: Picture, short_side: int) -> tuple[int, int]:
    """(height, width) of a picture scaled to that short side at its aspect ratio; of a
    file only the head is read.
    """
    if isinstance(picture, (str, Path)):
        try:
            with Image.open(picture) as opened:
                width, height = opened.size
        except (OSError, UnidentifiedImageError):
            width, height = read_picture(picture).size
    else:
        width, height = to_picture(picture).size
    scale = short_side / min(width, height)
    return round(height * scale), round(width * scale)


def stack_pixels(
    pictures: Iterable[Picture],
    size: int | tuple[int, int] = 224,
    crop: float | None = None,
) -> torch.Tensor:
    """Several pictures as one tensor (N, 3, H, W) in [0, 1], transparent ones on white;
    see `to_pixels`.
    """
    check_several(pictures)
    pixels = [to_pixels(picture, size, crop) for picture in pictures]
    if not pixels:
        raise PictureError(
            "expected at least one picture, got none; check the folder or the list."
        )
    return torch.stack(pixels)


def from_pixels(pixels: torch.Tensor) -> np.ndarray:
    """uint8 array (H, W, C) or (N, H, W, C) from pixels (C, H, W) or (N, C, H, W) in
    [0, 1]: what a PNG stores.

    Grey pixels (C = 1) give (H, W) or (N, H, W), which plots and files take as grey.
    """
    if not pixels.is_floating_point():
        raise PictureError(
            f"expected pixels in [0, 1], got {pixels.dtype}; they are levels already."
        )
    levels = pixels.detach().cpu().float().clamp(0, 1).mul(255).round().byte()
    levels = levels.movedim(-3, -1).contiguous()
    return (levels.squeeze(-1) if levels.shape[-1] == 1 else levels).numpy()


def stretch(picture: np.ndarray) -> np.ndarray:
    """The picture (H, W) or (H, W, 3) with full contrast: float, from 0 at its lowest
    to 1 at its highest value.
    """
    values = picture - picture.min().astype(float)
    return values / (values.max() or 1.0)


def as_pictures(
    images: torch.Tensor | np.ndarray, channels: int | None = None
) -> torch.Tensor:
    """Checked pictures of a tensor or an array: float32 (N, C, H, W) in [0, 1], on its
    device, without a graph.

    images: float32 in [0, 1], or uint8, which is divided by 255; (N, C, H, W), or as
    files and data sets hold pictures: (N, H, W, 3), and uint8 (N, H, W), which is grey.
    channels: the C that is wanted; any by default. Raises PictureError for another
    type, shape or range, and for an empty set.
    """
    if isinstance(images, np.ndarray) and images.dtype in (np.uint8, np.float32):
        # A copy: torch shares neither read-only memory nor negative strides.
        images = torch.from_numpy(np.array(images))
    if not isinstance(images, torch.Tensor) or images.dtype not in (
        torch.uint8,
        torch.float32,
    ):
        got = f"{type(images).__name__} of {getattr(images, 'dtype', 'no type')}"
        remedy = "convert it, divide 0-255 values by 255, or take stack_pixels"
        raise PictureError(
            f"expected pictures as a tensor or array, uint8 or float32, got {got}; {remedy}."
        )
    check_several(images)
    pictures = images.detach()
    if pictures.dtype == torch.uint8 and pictures.ndim == 3:
        pictures = pictures[:, None]
    elif pictures.shape[3:] == (3,) and pictures.shape[1] not in (1, 3, channels):
        pictures = pictures.movedim(3, 1).contiguous()
    if pictures.dtype == torch.uint8:
        check_levels(pictures)
        pictures = pictures.float().div_(255)
    check_shape(pictures, channels)
    if pictures.numel() == 0:
        raise PictureError(
            f"expected at least one picture, got {tuple(pictures.shape)}; check the selection."
        )
    check_unit(pictures)
    return pictures


def check_levels(images: torch.Tensor) -> None:
    """Warn of a whole set of uint8 images, not all black, with no level above 16:
    digits of 4 bits, or masks.
    """
    highest = int(images.max()) if images.numel() else 0
    if 0 < highest <= 16:
        remedy = f"multiply by {255 // highest}, unless the images are that dark"
        warnings.warn(
            f"expected levels from 0 to 255, got {highest} at most; {remedy}.",
            stacklevel=3,
        )


def check_unit(pixels: torch.Tensor) -> None:
    """Raise PictureError for a value outside [0, 1], NaN among them."""
    low, high = (float(bound) for bound in torch.aminmax(pixels.detach()))
    if not (low >= 0 and high <= 1):
        raise PictureError(
            f"expected pixels in [0, 1], got values from {low:.4g} to {high:.4g}; divide 0-255 values by 255, "
            "leave the normalisation to the network, and look for NaN."
        )


def check_several(pictures: object) -> None:
    """Raise PictureError for one picture, whose rows would be taken for pictures: a
    path, PIL's, or of (H, W, 3).
    """
    shape = tuple(getattr(pictures, "shape", ()))
    if isinstance(pictures, (str, Path, Image.Image)) or shape[2:] == (3,):
        got = f"one of shape {shape}" if shape else repr(pictures)
        raise PictureError(
            f"expected several pictures, got {got}; put it in a list, or add the batch axis."
        )


def check_shape(images: torch.Tensor, channels: int | None = 3) -> None:
    """Raise PictureError unless images is a floating tensor (N, channels, H, W); its
    range is not looked at.
    """
    wanted = f"(N, {'C' if channels is None else channels}, H, W)"
    if not isinstance(images, torch.Tensor):
        got = type(images).__name__
        raise PictureError(
            f"expected a tensor {wanted}, got {got}; images.as_pictures makes one."
        )
    if images.ndim != 4 or channels not in (None, images.shape[1]):
        remedy = "add the batch axis, or take the channels that the network has"
        raise PictureError(
            f"expected shape {wanted}, got {tuple(images.shape)}; {remedy}."
        )
    if not images.is_floating_point():
        raise PictureError(
            f"expected floats in [0, 1], got {images.dtype}; divide levels by 255."
        )


def find_pictures(folder: str | Path) -> list[Path]:
    """The picture files in a folder and the folders below it, sorted, but for hidden
    ones (.thumbnails, __MACOSX).

    Raises PictureError where there are no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(
            f"expected a folder of pictures, got no folder {folder}; check the path."
        )
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(
            part.startswith((".", "__MACOSX"))
            for part in path.relative_to(folder).parts
        )
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not hidden:
            found.append(path)
    if not found:
        kinds = ", ".join(PICTURE_SUFFIXES)
        raise PictureError(
            f"expected pictures ({kinds}) in {folder}, got none; check the path."
        )
    return found


def as_uint8(images: ArrayLike) -> torch.Tensor:
    """Images of a list, an array (copied) or a tensor as a uint8 tensor: (N, H, W), or
    (N, H, W, 3).

    Channels may also come first, (N, 3, H, W), and a single one is dropped. Raises
    PictureError for another type or shape, and for an empty set.
    """
    check_several(images)
    # A copy: torch shares neither read-only memory nor negative strides.
    try:
        levels = (
            images
            if isinstance(images, torch.Tensor)
            else torch.from_numpy(np.array(images))
        )
    except (ValueError, TypeError) as error:
        raise PictureError(
            "expected images as arrays of one size, got files or several sizes; make "
            "an array by images.from_pixels(images.stack_pixels(pictures, size))."
        ) from error
    if levels.ndim == 4 and levels.shape[3] not in (1, 3):
        levels = levels.movedim(1, 3)
    if levels.ndim == 4 and levels.shape[3] == 1:
        levels = levels[..., 0]
    if (
        levels.dtype != torch.uint8
        or levels.ndim < 3
        or levels.shape[3:] not in ((), (3,))
    ):
        wanted, got = (
            "images uint8 (N, H, W), (N, H, W, 3) or (N, 3, H, W)",
            tuple(np.shape(images)),
        )
        remedy = "add the batch axis, or make levels uint8 of pixels, times 255"
        raise PictureError(f"expected {wanted}, got {levels.dtype} {got}; {remedy}.")
    if not levels.numel():
        raise PictureError(
            "expected at least one image, got none; check the selection."
        )
    return levels.contiguous()
