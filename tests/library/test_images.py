from functools import partial

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import nn

from dlapps import adversarial, dann, gan, saliency
from dlapps.core import images
from dlapps.core.images import PictureError
from dlapps.core.runtime import make_generator
from dlapps.core.training import make_one_cycle
from dlapps.datasets import load_folder
from dlapps.transfer import DeepFeatures


def test_full_contrast_goes_from_0_to_1_and_a_flat_picture_stays_flat():
    picture = np.array([[250, 251], [253, 255]], np.uint8)
    assert images.stretch(picture) == pytest.approx(np.array([[0, 0.2], [0.6, 1]]))
    assert not images.stretch(np.full((2, 2, 3), 7, np.uint8)).any()


def test_what_is_transparent_is_white():
    shades = np.array(
        [[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8
    )
    on_white = np.array([[[200, 100, 0], [255, 255, 255], [244, 224, 204]]], np.uint8)
    assert np.array_equal(
        images.from_pixels(images.stack_pixels([shades], (1, 3)))[0], on_white
    )
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
    with Image.open(path) as opened:
        assert np.array_equal(images.to_picture(opened), upright)


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
    with pytest.raises(PictureError, match=r"expected a picture in .*a\.jpg, got none"):
        images.read_picture(path)


def test_pictures_of_data_sets_become_tensors_that_networks_take():
    grey = np.random.default_rng(0).integers(0, 256, (2, 6, 5), dtype=np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (2, 6, 5, 3), dtype=np.uint8)
    expected = torch.from_numpy(grey / np.float32(255))[:, None]
    for pictures in (grey, torch.from_numpy(grey), expected, expected.double().numpy()):
        torch.testing.assert_close(images.as_pictures(pictures, 1), expected)
    expected = torch.from_numpy(colours / np.float32(255)).permute(0, 3, 1, 2)
    for pictures in (colours, torch.from_numpy(colours), expected):
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
        assert np.array_equal(images.from_pixels(0.999 * pixels[0]), pictures[0])
    pixels = images.to_pixels(colours[0], (6, 5))
    assert pixels.dtype == torch.float32
    assert np.array_equal(images.from_pixels(pixels), colours[0])


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


# What a public function answers by a sentence, by what it is given in whose place.
LEVELS = np.full((2, 8, 9, 3), 200, np.uint8)
PIXELS = torch.full((2, 3, 8, 9), 0.5)
NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
EXTRACTOR = DeepFeatures("squeezenet1_1", "features")
SINGLE = {
    "a path": "a.png",
    "PIL": Image.new("RGB", (9, 8)),
    "RGB": LEVELS[0],
    "RGBA": torch.zeros(8, 9, 4, dtype=torch.uint8),
    "channels first": PIXELS[0],
}
SETS = {
    "channels first, uint8": LEVELS.transpose(0, 3, 1, 2),
    "RGBA, uint8": np.full((2, 8, 9, 4), 200, np.uint8),
    "whole numbers": LEVELS.astype(int),
    "16 bits": LEVELS.astype(np.uint16),
    "levels as floats": 255 * PIXELS,
    "below 0": PIXELS - 1,
    "NaN": PIXELS * torch.nan,
    "none": PIXELS[:0],
    "files": ["a.png", "b.png"],
}
# Of trainings, which take uint8 alone.
OF_TRAININGS = {**SETS, "pixels": PIXELS, "RGB": LEVELS[0]}
EXPLAIN = partial(saliency.input_gradient, NETWORK.eval())
TABLE = []
for take in (EXPLAIN, EXTRACTOR.fit, EXTRACTOR.transform, images.stack_pixels):
    TABLE += [(take, given) for given in SINGLE.values()]
TABLE += [(EXPLAIN, given) for given in SETS.values()]
for take in (images.as_uint8, gan.fit_gan, partial(dann.predict, NETWORK)):
    TABLE += [(take, given) for given in OF_TRAININGS.values()]


@pytest.mark.parametrize(("take", "given"), TABLE)
def test_what_is_no_set_of_pictures_is_refused(take, given):
    with pytest.raises(ValueError, match=r"^expected "):
        take(given)


@pytest.mark.parametrize("highest", [1, 16])
@pytest.mark.parametrize("take", [EXPLAIN, images.as_uint8])
def test_levels_of_another_range_are_not_taken_for_black_without_a_word(take, highest):
    with pytest.warns(UserWarning, match=rf"up to 255, got none above {highest}"):
        take(LEVELS // 200 * highest)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_deep_levels_are_refused(tmp_path, kind):
    Image.fromarray(np.full((4, 4), 255, kind)).save(tmp_path / "deep.tif")
    with pytest.raises(PictureError, match=r"deep\.tif.* levels of 8 bits, got"):
        images.read_picture(tmp_path / "deep.tif")


NUMBERS = {
    "a crop": lambda: images.to_pixels(LEVELS[0], crop=1.5),
    "half a seed": lambda: make_generator(1.5),
    "a rate": lambda: dann.Settings(learning_rate=-0.1),
    "a rate of a part": lambda: make_one_cycle({NETWORK: -0.1}, 0, 9),
    "a step": lambda: adversarial.fool(NETWORK, PIXELS, 1, step_size=-1),
    "a radius": lambda: adversarial.pgd(NETWORK, PIXELS, "2/255"),
    "a radius in levels": lambda: adversarial.pgd(NETWORK, PIXELS, 8),
    "a deviation": lambda: saliency.smooth_grad(NETWORK, PIXELS, noise_std=np.nan),
    "epochs": lambda: dann.Settings(num_epochs=2.5),
}


@pytest.mark.parametrize("call", NUMBERS.values(), ids=NUMBERS)
def test_a_number_out_of_range_is_refused(call):
    with pytest.raises(ValueError, match=r"^expected .*, got .*; take "):
        call()
