from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, PngImagePlugin
from torch import nn

from dlapps import gan, saliency
from dlapps.core import images
from dlapps.core.images import PictureError
from dlapps.datasets import load_folder
from dlapps.transfer import DeepFeatures


def test_full_contrast_goes_from_0_to_1_and_a_flat_picture_stays_flat():
    picture = np.array([[250, 251], [253, 255]], np.uint8)
    assert images.stretch(picture) == pytest.approx(np.array([[0, 0.2], [0.6, 1]]))
    assert not images.stretch(np.full((2, 2, 3), 7, np.uint8)).any()


def test_grey_is_copied_to_three_channels():
    pixels = images.to_pixels(np.full((5, 5), 0.5), 5)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_what_is_transparent_is_white():
    shades = np.array(
        [[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8
    )
    on_white = np.array([[[200, 100, 0], [255, 255, 255], [244, 224, 204]]], np.uint8)
    assert np.array_equal(
        images.from_pixels(images.stack_pixels([shades], (1, 3)))[0], on_white
    )
    grey = Image.merge(
        "LA",
        [Image.new("L", (2, 1), 40), Image.fromarray(np.array([[255, 0]], np.uint8))],
    )
    assert np.array_equal(np.asarray(images.to_picture(grey))[0, :, 0], [40, 255])
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.info["transparency"] = 1
    assert np.array_equal(
        np.asarray(images.to_picture(palette))[0], [[10, 20, 30], [255, 255, 255]]
    )


# What turns an upright picture into the one stored under an EXIF orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_that_its_camera_noted_as_turned_is_read_upright(tmp_path, orientation):
    upright = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "photo.png"
    Image.fromarray(upright).transpose(STORED[orientation]).save(path, exif=exif)
    assert np.array_equal(images.read_picture(path), upright)
    assert images.scaled_shape(path, 20) == (20, 30)
    with Image.open(path) as opened:
        assert np.array_equal(images.to_picture(opened), upright)
        assert images.scaled_shape(opened, 20) == (20, 30)


def test_the_size_of_a_file_is_read_without_its_pixels(tmp_path):
    path = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    assert images.scaled_shape(path, 20) == (20, 30)
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"got 10 bytes that do not decode"):
        images.scaled_shape(path, 20)


def test_grey_levels_of_16_bits_keep_their_range(tmp_path):
    levels = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    expected = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    assert np.array_equal(images.read_picture(tmp_path / "deep.png"), expected)
    assert np.array_equal(
        images.to_picture(Image.open(tmp_path / "deep.png")), expected
    )
    with pytest.raises(
        PictureError, match=r"8 or 16 bits a channel, got .* mode 'F'; divide"
    ):
        images.to_picture(Image.fromarray(levels.astype(np.float32)))


def test_a_file_whose_levels_have_no_known_range_is_named(tmp_path):
    path = tmp_path / "deep.tif"
    Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    with pytest.raises(PictureError, match=r"deep\.tif: expected 8 or 16 bits"):
        images.read_picture(path)


def test_hidden_folders_hold_no_pictures_and_a_gif_is_one(tmp_path):
    for name in (
        "cats/1.gif",
        "dogs/1.png",
        ".thumbnails/1.png",
        "__MACOSX/cats/._1.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    (tmp_path / "dogs" / "folder.png").mkdir()
    assert images.find_pictures(tmp_path) == [
        tmp_path / "cats/1.gif",
        tmp_path / "dogs/1.png",
    ]
    assert load_folder(tmp_path).class_names == ("cats", "dogs")


def test_squash_keeps_everything_and_crop_keeps_the_aspect():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :10] = 255
    assert images.to_pixels(picture, 50)[:, :, 0].mean() > 0.9
    assert images.to_pixels(picture, 50, crop=1.0).max() == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((4, 4, 2), np.uint8),
            r"array \(H, W\) or \(H, W, 3 or 4\) with pixels, got \(4, 4, 2\)",
        ),
        (np.full((4, 4), 200.0), "expected uint8, or floats in"),
        (np.zeros((4, 4), np.int64), "got int64"),
        (np.full((4, 4), np.nan), "expected uint8, or floats in"),
        (np.zeros((0, 5)), r"with pixels, got \(0, 5\); .* check how it was cut"),
        (np.zeros((0, 5, 3), np.uint8), r"with pixels, got \(0, 5, 3\)"),
    ],
)
def test_arrays_that_are_no_pictures(array, message):
    with pytest.raises(PictureError, match=message):
        images.to_pixels(array)


@pytest.mark.parametrize("crop", [0, -0.5, 2, np.nan])
def test_a_crop_is_a_share_above_0(crop):
    with pytest.raises(ValueError, match=r"expected crop > 0, at most 1, got"):
        images.to_pixels(np.zeros((4, 4)), 4, crop)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(PictureError, match=r"got a folder; images.find_pictures"):
        images.to_pixels(tmp_path)


def test_a_picture_with_a_text_too_long_is_named(tmp_path):
    path = tmp_path / "long.png"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("note", "a" * (2 * PngImagePlugin.MAX_TEXT_CHUNK), zip=True)
    Image.new("RGB", (4, 4)).save(path, pnginfo=notes)
    with pytest.raises(PictureError, match=r"long\.png.* that do not decode"):
        images.read_picture(path)


def test_pixels_of_no_picture_are_named():
    with pytest.raises(PictureError, match=r"got none, \(0, 3, 4, 4\)"):
        images.from_pixels(torch.zeros(0, 3, 4, 4))


@pytest.mark.parametrize("content", [b"", b"not a picture", None, "truncated"])
def test_files_that_are_not_pictures(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content == "truncated":
        Image.fromarray(
            np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        ).save(path)
        content = path.read_bytes()[:-500]
    if content is not None:
        path.write_bytes(content)
    got = "no such file" if content is None else r"[\d,]+ bytes that do not decode"
    with pytest.raises(
        PictureError, match=rf"expected a picture in .*a\.jpg, got {got}"
    ):
        images.read_picture(path)


@pytest.mark.parametrize(
    ("pictures", "channels", "message"),
    [
        (torch.zeros(3, 8, 8), None, "add the batch axis"),
        (
            torch.zeros(1, 1, 8, 8),
            3,
            r"expected shape \(N, 3, H, W\), got \(1, 1, 8, 8\)",
        ),
        (torch.zeros(1, 3, 8, 8).int(), None, "torch.int32; convert it, divide 0-255"),
        (torch.full((1, 3, 8, 8), 255.0), None, "got values from 255 to 255"),
        (torch.full((1, 3, 8, 8), -0.1), None, "got values from -0.1 to -0.1"),
        (torch.full((1, 3, 8, 8), torch.nan), None, "got values from nan to nan"),
        (torch.zeros(0, 3, 8, 8), None, "expected at least one picture"),
        (np.zeros((1, 3, 8, 8)), None, "got ndarray of float64"),
        (torch.zeros(1, 3, 8, 8).half(), None, "got Tensor of torch.float16"),
        (["a.png"], None, "got list of no type"),
    ],
)
def test_what_are_no_pictures(pictures, channels, message):
    with pytest.raises(PictureError, match=message):
        images.as_pictures(pictures, channels)


def test_pictures_of_data_sets_become_tensors_that_networks_take():
    grey = np.random.default_rng(0).integers(0, 256, (2, 6, 5), dtype=np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    expected = torch.from_numpy(grey / np.float32(255))[:, None]
    for pictures in (
        grey,
        torch.from_numpy(grey),
        grey[:, None],
        torch.from_numpy(grey)[:, None],
        grey[..., None],
    ):
        torch.testing.assert_close(images.as_pictures(pictures, 1), expected)
    expected = torch.from_numpy(colours / np.float32(255)).permute(0, 3, 1, 2)
    forms = colours, torch.from_numpy(colours), colours / np.float32(255)
    for pictures in (*forms, colours.transpose(0, 3, 1, 2)):
        torch.testing.assert_close(images.as_pictures(pictures), expected)
    assert torch.equal(
        images.as_pictures(colours[:, ::-1]), images.as_pictures(colours).flip(2)
    )


def test_pictures_that_are_tensors_already_stay_as_they_are():
    mine = torch.rand(2, 1, 4, 3, requires_grad=True)
    taken = images.as_pictures(mine)
    assert not taken.requires_grad
    assert taken.data_ptr() == mine.data_ptr()
    assert images.as_pictures(torch.rand(2, 5, 4, 3), 5).shape == (2, 5, 4, 3)


def test_pixels_become_what_a_file_stores_grey_ones_without_channels():
    grey = np.random.default_rng(0).integers(0, 256, (2, 6, 5), dtype=np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    for pictures in (grey, colours):
        pixels = images.as_pictures(pictures)
        assert np.array_equal(images.from_pixels(pixels), pictures)
        assert np.array_equal(images.from_pixels(pixels[0]), pictures[0])
    pixels = images.to_pixels(colours[0], (6, 5))
    assert pixels.dtype == torch.float32
    assert np.array_equal(images.from_pixels(pixels), colours[0])


ONE_PICTURE = {
    "path": "a.png",
    "Path": Path("a.png"),
    "PIL": Image.new("RGB", (9, 8)),
    "channels last": np.zeros((8, 9, 3), np.uint8),
    "opacity last": torch.zeros(8, 9, 4, dtype=torch.uint8),
    "channels first": torch.zeros(3, 8, 9),
    "opacity first": np.zeros((4, 8, 9), np.uint8),
}
DOORS = {
    "stack_pixels": images.stack_pixels,
    "fit": DeepFeatures("squeezenet1_1", "features").fit,
    "transform": DeepFeatures("squeezenet1_1", "features").transform,
    "input_gradient": partial(saliency.input_gradient, nn.Conv2d(3, 4, 3).eval()),
    "fit_gan": gan.fit_gan,
}


@pytest.mark.parametrize("one", ONE_PICTURE.values(), ids=ONE_PICTURE)
@pytest.mark.parametrize("take", DOORS.values(), ids=DOORS)
def test_one_picture_is_not_taken_for_its_rows_or_channels(take, one):
    message = r"^expected several pictures, got .*; put one in a list, or add the batch"
    with pytest.raises(PictureError, match=message):
        take(one)


def test_three_grey_pictures_may_be_meant():
    grey = np.zeros((3, 8, 9), np.uint8)
    assert images.stack_pixels(list(grey), 8).shape == (3, 3, 8, 8)
    assert images.as_pictures(grey[:, None]).shape == (3, 1, 8, 9)
    assert images.as_uint8(grey).shape == (3, 8, 9)


def test_sets_without_a_picture(tmp_path):
    for call, message in (
        (lambda: images.find_pictures(tmp_path), "got none"),
        (
            lambda: images.find_pictures(tmp_path / "missing"),
            "expected a folder of pictures",
        ),
        (lambda: images.stack_pixels([]), "expected at least one picture, got none"),
    ):
        with pytest.raises(PictureError, match=message):
            call()


LEVELS = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)


def test_levels_come_in_one_form():
    for colours in (LEVELS, torch.tensor(LEVELS), LEVELS.transpose(0, 3, 1, 2)):
        assert np.array_equal(images.as_uint8(colours), LEVELS)
    grey = LEVELS[..., 0]
    for given in (grey, grey[..., None], grey[:, None]):
        assert np.array_equal(images.as_uint8(given), grey)
    assert np.array_equal(images.as_uint8(list(grey[:, ::-1])), grey[:, ::-1])


@pytest.mark.parametrize(
    "given",
    [LEVELS / 255, LEVELS[0, ..., 0], LEVELS[..., :2], LEVELS[:0], LEVELS.astype(int)],
)
def test_levels_of_another_form_get_one_sentence(given):
    message = r"images uint8 \(N, H, W\), |at least one picture, got \(0, 4, 6, 3\)"
    with pytest.raises(PictureError, match=message):
        images.as_uint8(given)


def test_a_warp_reads_each_value_where_its_matrix_says():
    picture = torch.arange(12.0).view(1, 1, 3, 4).repeat(2, 1, 1, 1)
    # The first is mirrored; the second is read one of its four pixels to the right.
    mirror = [[-1.0, 0, 0], [0, 1, 0]]
    right = [[1.0, 0, 2 / 4], [0, 1, 0]]
    matrices = torch.tensor([mirror, right])
    mirrored, moved = images.warp(picture, matrices)
    torch.testing.assert_close(mirrored, picture[0].flip(2))
    torch.testing.assert_close(moved[..., :3], picture[0, ..., 1:])
    assert not moved[..., 3].any()
    _, reflected = images.warp(picture, matrices, "reflection")
    torch.testing.assert_close(reflected[..., 3], picture[0, ..., 3])
