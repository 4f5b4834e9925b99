"""Pixels: from files and arrays to tensors in [0, 1], and checks of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import ExifTags, Image, ImageOps

from dlapps.core.arrays import as_tensor
from dlapps.core.checks import DlappsError, check_counts

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
# EXIF orientations of pictures that a camera took on its side.
LYING = (5, 6, 7, 8)
# Of deep levels whose range a file does not say.
MODES_WITHOUT_RANGE = ("I", "F")
# What Pillow raises for a file that is no picture, or one too large.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

Picture = str | Path | Image.Image | np.ndarray


class PictureError(DlappsError, ValueError):
    """A file or an array that is not a picture, or pixels that no network takes."""


def read_picture(path: str | Path) -> Image.Image:
    """Read a file as an upright RGB picture.

    A picture that its camera noted as turned (EXIF orientation) is turned back, grey is
    copied to three channels, and transparent pixels become white. Raises PictureError,
    which names the file, if it is missing, empty, truncated or not a picture, or has
    levels of an unknown range.
    """
    try:
        with Image.open(path) as picture:
            return _to_rgb(picture)
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    except UNREADABLE as error:
        if Path(path).is_dir():
            raise PictureError(
                f"expected a picture in {path}, got a folder; "
                "images.find_pictures lists its pictures."
            ) from error
        if Path(path).is_file():
            size = Path(path).stat().st_size
            got = f"{size:,} bytes that do not decode ({error})"
        else:
            got = "no such file"
        raise PictureError(
            f"expected a picture in {path}, got {got}; "
            "replace the file or take it out of the folder."
        ) from error


def to_picture(picture: Picture) -> Image.Image:
    """Convert a path, a PIL picture or an array to an upright RGB picture.

    An array is (H, W), (H, W, 3) or (H, W, 4), uint8 or in [0, 1]; its fourth channel
    is the opacity. Transparent pixels are laid on white.
    """
    if isinstance(picture, (str, Path)):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return _to_rgb(picture)
    array = np.asarray(picture)
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not has_shape or array.size == 0:
        raise PictureError(
            "expected an array (H, W) or (H, W, 3 or 4) with pixels, got "
            f"{array.shape}; move the channels last, or check how it was cut."
        )
    if array.dtype != np.uint8:
        low, high = float(array.min()), float(array.max())
        is_float = np.issubdtype(array.dtype, np.floating)
        if not (is_float and low >= 0 and high <= 1):
            raise PictureError(
                "expected uint8, or floats in [0, 1], got "
                f"{array.dtype} from {low:.3g} to {high:.3g}; convert the array."
            )
        array = np.round(array * 255).astype(np.uint8)
    return _to_rgb(Image.fromarray(array))


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Turn a picture upright, and convert it to three channels of 8 bits.

    Pillow would clip grey levels of 16 bits; other deep levels have no known range.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):
        levels = np.round(np.asarray(picture) / 257).astype(np.uint8)
        return Image.fromarray(levels).convert("RGB")
    if picture.mode in MODES_WITHOUT_RANGE:
        raise PictureError(
            "expected 8 or 16 bits a channel, got a picture of mode "
            f"{picture.mode!r}; divide it by its highest level, as floats in [0, 1]."
        )
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert("RGB")


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
        if not 0 < crop <= 1:
            raise ValueError(
                f"expected crop > 0, at most 1, got {crop}; "
                "take the share of the short side that is to be seen."
            )
        side = crop * min(image.size)
        left = (image.width - side) / 2
        top = (image.height - side) / 2
        box = (left, top, left + side, top + side)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)


def scaled_shape(picture: Picture, short_side: int) -> tuple[int, int]:
    """Return the (height, width) of a picture whose short side is scaled to a length.

    The aspect ratio is kept. A file is opened, but not decoded.
    """
    width, height = _upright_size(picture)
    scale = short_side / min(width, height)
    return round(height * scale), round(width * scale)


def _upright_size(picture: Picture) -> tuple[int, int]:
    """Return the width and the height of a picture that is turned upright."""
    if isinstance(picture, (str, Path)):
        try:
            with Image.open(picture) as opened:
                return _upright_size(opened)
        except UNREADABLE:
            return read_picture(picture).size  # which says what is wrong with it
    if not isinstance(picture, Image.Image):
        return to_picture(picture).size
    width, height = picture.size
    if picture.getexif().get(ExifTags.Base.Orientation) in LYING:
        return height, width
    return width, height


def stack_pixels(
    pictures: Iterable[Picture],
    size: int | tuple[int, int] = 224,
    crop: float | None = None,
) -> torch.Tensor:
    """Convert pictures to one tensor (N, 3, H, W) in [0, 1]; see `to_pixels`."""
    check_several(pictures)
    pixels = [to_pixels(picture, size, crop) for picture in pictures]
    if not pixels:
        raise PictureError(
            "expected at least one picture, got none; check the folder or the list."
        )
    return torch.stack(pixels)


def from_pixels(pixels: torch.Tensor) -> np.ndarray:
    """Convert pixels in [0, 1] to levels uint8, as a PNG stores them.

    Pixels (C, H, W) or (N, C, H, W) give an array (H, W, C) or (N, H, W, C). Grey
    pixels (C = 1) give (H, W) or (N, H, W), which plots and files take as grey.
    """
    if not pixels.is_floating_point():
        raise PictureError(
            f"expected pixels in [0, 1], got {pixels.dtype}; they are levels already."
        )
    # Noise may leave [0, 1]; levels of 0 to 255 would all be white.
    check_unit(pixels, slack=9)
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

    images: float32 in [0, 1], or uint8, which is divided by 255. The channels may also
        come last, and uint8 (N, H, W) is grey.
    channels: the C that is wanted; any by default.

    Raises PictureError for another type, shape or range, for a single picture and for
    an empty set.
    """
    check_several(images)
    if isinstance(images, np.ndarray) and images.dtype in (np.uint8, np.float32):
        images = as_tensor(images)
    dtypes = (torch.uint8, torch.float32)
    if not isinstance(images, torch.Tensor) or images.dtype not in dtypes:
        dtype = getattr(images, "dtype", "no type")
        raise PictureError(
            "expected pictures as a tensor or array, uint8 or float32, got "
            f"{type(images).__name__} of {dtype}; "
            "convert it, divide 0-255 values by 255, or take stack_pixels."
        )
    pictures = _move_channels(images.detach(), 1, channels)
    if images.dtype == torch.uint8:
        if pictures.ndim == 3:
            pictures = pictures[:, None]
        pictures = pictures.float().div_(255)
    check_shape(pictures, channels)
    check_unit(pictures)
    return pictures


def as_uint8(images: ArrayLike) -> torch.Tensor:
    """Return images as a uint8 tensor (N, H, W) of grey or (N, H, W, 3) of colours.

    images: uint8, (N, H, W) or with channels that come first or last. A list or an
        array is copied.

    Raises PictureError for another type or shape, for a single picture (H, W, 3 or 4)
    and for an empty set. (3, H, W) is three grey images here.
    """
    if isinstance(images, torch.Tensor):
        levels = images
    else:
        try:
            levels = as_tensor(images)
        except (ValueError, TypeError) as error:
            raise PictureError(
                "expected images as arrays of one size, got files or several sizes; "
                "take images.from_pixels(images.stack_pixels(pictures, size))."
            ) from error
    levels = _move_channels(levels, 3)
    if levels.shape[3:] == (1,):
        levels = levels.squeeze(3)
    is_grey = levels.ndim == 3 and levels.shape[2] not in (3, 4)
    has_shape = is_grey or levels.shape[3:] == (3,)
    if levels.dtype != torch.uint8 or not has_shape:
        raise PictureError(
            "expected images uint8 (N, H, W), (N, H, W, 3) or (N, 3, H, W), got "
            f"{levels.dtype} {tuple(np.shape(images))}; "
            "add the batch axis, or make levels uint8 of pixels, times 255."
        )
    return levels.contiguous()


def _move_channels(
    pictures: torch.Tensor, axis: int, channels: int | None = None
) -> torch.Tensor:
    """Move the channels of pictures (N, C, H, W) or (N, H, W, C) to an axis, 1 or 3.

    An axis of length 1, 3 or `channels` is taken for that of the channels. Where both
    axes have such a length, the pictures stay as they are.

    Raises PictureError for an empty set.
    """
    if pictures.numel() == 0:
        raise PictureError(
            f"expected at least one picture, got {tuple(pictures.shape)}; "
            "check the selection."
        )
    if pictures.ndim != 4:
        return pictures
    lengths = (1, 3, channels)
    other = 3 if axis == 1 else 1
    if pictures.shape[axis] in lengths or pictures.shape[other] not in lengths:
        return pictures
    return pictures.movedim(other, axis).contiguous()


def check_unit(pixels: torch.Tensor, slack: float = 0) -> None:
    """Raise PictureError for no pixels, for NaN, or for a value that leaves [0, 1] by
    more than `slack`.

    With some slack it is a guard against 0-255 alone: noise may leave [0, 1].
    """
    if pixels.numel() == 0:
        shape = tuple(pixels.shape)
        raise PictureError(f"expected pixels, got none, {shape}; check the selection.")
    low, high = (float(bound) for bound in torch.aminmax(pixels.detach()))
    if not (low >= -slack and high <= 1 + slack):
        raise PictureError(
            f"expected pixels in [0, 1], got values from {low:.4g} to {high:.4g}; "
            "divide 0-255 values by 255, leave the normalisation to the network, "
            "and look for NaN."
        )


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


def check_shape(images: torch.Tensor, channels: int | None) -> None:
    """Raise PictureError unless images is a floating tensor (N, channels, H, W)."""
    wanted = f"(N, {'C' if channels is None else channels}, H, W)"
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        raise PictureError(
            f"expected a tensor {wanted} of floats in [0, 1], got "
            f"{type(images).__name__} of {getattr(images, 'dtype', 'no type')}; "
            "images.as_pictures makes one."
        )
    if images.ndim != 4 or channels not in (None, images.shape[1]):
        raise PictureError(
            f"expected shape {wanted}, got {tuple(images.shape)}; "
            "add the batch axis, or take the channels that the network has."
        )


def find_pictures(folder: str | Path) -> list[Path]:
    """List the picture files in a folder and the folders below it, sorted.

    Hidden ones (.thumbnails, __MACOSX) are left out. Raises PictureError if there are
    no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PictureError(
            f"expected a folder of pictures, got no folder {folder}; check the path."
        )
    pictures = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        is_hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
        is_picture = path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        if is_picture and not is_hidden:
            pictures.append(path)
    if not pictures:
        kinds = ", ".join(PICTURE_SUFFIXES)
        raise PictureError(
            f"expected pictures ({kinds}) in {folder}, got none; check the path."
        )
    return pictures
