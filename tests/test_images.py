import numpy as np
import pytest
import torch
from PIL import Image

from dlapps import images
from dlapps.images import PictureError


def test_pixels_round_trip_through_8_bits():
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    pixels = images.to_pixels(picture, (8, 6))
    assert pixels.shape == (3, 8, 6)
    assert pixels.dtype == torch.float32
    assert np.array_equal(images.from_pixels(pixels), picture)


def test_grey_is_copied_to_three_channels():
    pixels = images.to_pixels(np.full((5, 5), 0.5), 5)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_squash_keeps_everything_and_crop_keeps_the_aspect():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, :10] = 255
    assert images.to_pixels(picture, 50)[:, :, 0].mean() > 0.9
    assert images.to_pixels(picture, 50, crop=1.0).max() == 0


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"expected an array \(H, W\) or \(H, W, 3\), got shape \(4, 4, 2\)"),
        (np.full((4, 4), 200.0), "expected uint8, or floats in"),
        (np.zeros((4, 4), np.int64), "got int64"),
        (np.full((4, 4), np.nan), "expected uint8, or floats in"),
    ],
)
def test_arrays_that_are_no_pictures(array, message):
    with pytest.raises(PictureError, match=message):
        images.to_pixels(array)


@pytest.mark.parametrize("content", [b"", b"not a picture", None])
def test_files_that_are_no_pictures(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PictureError, match=r"expected a picture in .*a\.jpg"):
        images.read_picture(path)


def test_truncated_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(PictureError, match="bytes that do not decode"):
        images.read_picture(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(3, 8, 8), "add the batch axis"),
        (torch.zeros(1, 1, 8, 8), "grey copied to three"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "divide 0-255 values by 255"),
        (torch.full((1, 3, 8, 8), 255.0), "got values from 255 to 255"),
        (torch.full((1, 3, 8, 8), -0.1), "got values from -0.1 to -0.1"),
        (torch.full((1, 3, 8, 8), torch.nan), "got values from nan to nan"),
        (torch.zeros(0, 3, 8, 8), "expected at least one picture"),
        (np.zeros((1, 3, 8, 8)), "images.stack_pixels makes one"),
    ],
)
def test_pixels_that_no_network_takes(tensor, message):
    with pytest.raises(PictureError, match=message):
        images.check_pixels(tensor)


def test_folder_without_pictures(tmp_path):
    with pytest.raises(PictureError, match="got none"):
        images.find_pictures(tmp_path)
    with pytest.raises(PictureError, match="expected a folder"):
        images.find_pictures(tmp_path / "missing")


def test_no_picture_at_all():
    with pytest.raises(PictureError, match="expected at least one picture, got none"):
        images.stack_pixels([])
