"""Data sets say what they are."""

import gzip

import numpy as np
import pytest
from PIL import Image

from dlapps import datasets
from dlapps.core import assets
from dlapps.core.assets import AssetError
from dlapps.core.images import PictureError
from studies.pictures import load_scenes15


@pytest.fixture
def folder(tmp_path):
    """Two classes of two pictures each."""
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(2):
            pixels = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.jpg")
    return tmp_path


def test_folders_are_classes(folder):
    pictures = datasets.load_folder(folder)
    assert pictures.class_names == ("cat", "dog")
    assert pictures.labels.tolist() == [0, 0, 1, 1]
    assert pictures.names[2] == "dog/0.jpg"


def test_pictures_without_folders_have_no_labels(folder):
    pictures = datasets.load_folder(folder / "cat")
    assert pictures.labels is None
    assert len(pictures) == 2


def test_a_picture_beside_the_folders_of_the_classes_is_named(folder):
    Image.new("RGB", (9, 9)).save(folder / "stray.png")
    with pytest.raises(
        PictureError,
        match=r"in the folder of its class .*, got stray.png beside the folders",
    ):
        datasets.load_folder(str(folder))


def test_labels_of_maps_are_read_without_the_features(monkeypatch):
    def refuse(values):
        raise AssertionError("features were decoded")

    monkeypatch.setattr("dlapps.datasets.scenes15.from_bytes", refuse)
    maps, labels, new_maps, new_labels = datasets.load_scenes15_maps()
    assert maps.shape == (450, 192, 7, 7)
    assert new_maps.shape == (150, 192, 7, 7)
    assert labels.tolist() == np.repeat(np.arange(15), 30).tolist()
    assert new_labels.tolist() == np.repeat(np.arange(15), 10).tolist()


def make_digits(path):
    random = np.random.default_rng(0)
    table = np.column_stack(
        [random.integers(0, 256, (5000, 784)), np.repeat(np.arange(10), 500)]
    )
    with gzip.open(path, "wt", compresslevel=1) as file:
        np.savetxt(file, table, fmt="%d", delimiter=",")


@pytest.fixture
def messages(capsys):
    """Read what was printed of data sets that could not be had."""
    assets.say_once.cache_clear()
    return lambda: capsys.readouterr().out


def test_mnist_falls_back_to_the_embedded_digits(tmp_path, monkeypatch, messages):
    make_digits(tmp_path / "digits.csv.gz")

    def fetch(name):
        if name != "mnist_5k":
            raise AssetError("no network")
        return tmp_path / "digits.csv.gz"

    monkeypatch.setattr("dlapps.core.assets.fetch", fetch)
    train = datasets.load_mnist("train")
    test = datasets.load_mnist("test")
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    # A profile takes the first of them: none may lack a class.
    assert np.bincount(train.labels[:300], minlength=10).min() >= 15
    assert np.array_equal(train.images, datasets.load_mnist("train").images)
    assert train.origin.startswith("5,000 digits")
    train_bytes = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in train_bytes for image in test.images)
    assert messages() == "MNIST: its 5,000 packaged digits are used\n"


def test_photos_of_installed_packages():
    photos = datasets.load_photos()
    assert set(photos.names) >= {"cat", "coffee", "temple", "portrait"}
    assert all(
        photo.dtype == np.uint8 and photo.shape[2] == 3 for photo in photos.images
    )


@pytest.mark.network
def test_twenty_labelled_pictures():
    pictures = datasets.load_imagenet20()
    assert len(pictures) == len(pictures.names) == 20
    assert len(set(pictures.labels.tolist())) == 19
    assert {"bull mastiff", "dalmatian", "spoonbill", "yurt"} <= set(pictures.names)
    assert all(
        image.dtype == np.uint8 and image.shape[2] == 3 for image in pictures.images
    )


def test_pictures_that_cannot_be_fetched_are_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("DLAPPS_HOME", str(tmp_path))
    monkeypatch.delenv("DLAPPS_DATA", raising=False)
    features = datasets.load_scenes15_features()
    with pytest.raises(AssetError, match="scenes15"):
        features.pictures([0])


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("split", "part", "count"), [("train", "train", 60_000), ("test", "t10k", 10_000)]
)
def test_mnist_of_the_mirror(split, part, count):
    if not all(
        assets.is_present(f"mnist-{part}-{kind}") for kind in ("images", "labels")
    ):
        pytest.skip("no MNIST: set DLAPPS_DATA")
    digits = datasets.load_mnist(split)
    assert digits.images.shape == (count, 28, 28)
    assert digits.images.flags.writeable
    assert set(digits.labels.tolist()) == set(range(10))


def test_photos_stand_in_for_what_cannot_be_reached(monkeypatch, messages):
    def fetch(name):
        raise AssetError(f"no {name}")

    monkeypatch.setattr("dlapps.core.assets.fetch", fetch)
    photos = datasets.load_backgrounds()
    assert photos.names == datasets.load_photos().names
    assert photos.names == datasets.load_backgrounds().names
    # Once, however often they are asked for.
    line = f"BSDS500: {len(photos)} packaged photographs are used instead"
    assert messages() == line + "\n"


def test_digits_are_read_from_files_of_idx(tmp_path, monkeypatch):
    digits = (np.arange(2 * 784) % 256).astype(np.uint8).reshape(2, 28, 28)
    (tmp_path / "images").write_bytes(bytes(16) + digits.tobytes())
    (tmp_path / "labels").write_bytes(bytes(8) + bytes([7, 3]))
    monkeypatch.setattr(
        "dlapps.core.assets.fetch", lambda name: tmp_path / name.rpartition("-")[2]
    )
    read = datasets.load_mnist("test")
    assert np.array_equal(read.images, digits)
    assert read.labels.tolist() == [7, 3]


def test_both_splits_of_mnist_come_from_one_source(monkeypatch):
    fetch = assets.fetch

    def fetch_without_test_labels(name):
        if name == "mnist-t10k-labels":
            raise AssetError(f"no {name}")
        return fetch("mnist_5k")

    monkeypatch.setattr("dlapps.core.assets.fetch", fetch_without_test_labels)
    assert len(datasets.load_mnist("train")) == 4000
    assert len(datasets.load_mnist("test")) == 1000


@pytest.mark.mirror
def test_the_scene_with_a_wrong_tag_stands_upright():
    if not assets.is_present("scenes15"):
        pytest.skip("no 15-Scene: set DLAPPS_DATA")
    scenes = load_scenes15("train")
    place = scenes.names.index("kitchen/image_0172.jpg")
    features = datasets.load_scenes15_features()
    row = features.names.index("kitchen/image_0172.jpg")
    height, width, _ = scenes.images[place].shape
    assert height > width
    assert np.array_equal(scenes.images[place], features.pictures([row])[0])
