"""ImageNet pictures where the mirror has them, and photos that installed packages
carry.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dlapps.core import assets
from dlapps.core.assets import Provenance
from dlapps.core.images import find_pictures, read_picture
from dlapps.datasets.dataset import Dataset
from dlapps.pretrained import imagenet_class_names

PHOTOS = {
    "cat": ("skimage", "data/chelsea.png", "CC0, Stefan van der Walt"),
    "coffee": ("skimage", "data/coffee.png", "CC0, Rachel Michetti"),
    "rocket": ("skimage", "data/rocket.jpg", "CC0, SpaceX"),
    "motorcycle": (
        "skimage",
        "data/motorcycle_left.png",
        "CC0, Middlebury Stereo 2014",
    ),
    "astronaut": ("skimage", "data/astronaut.png", "public domain, NASA"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg", "public domain, NASA"),
    "tissue": ("skimage", "data/ihc.png", "no known copyright restrictions, CMMI"),
    "temple": ("sklearn", "datasets/images/china.jpg", "CC BY, danielbuechele"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "CC BY, dany13"),
    "portrait": (
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "public domain, US Navy",
    ),
}


def load_imagenet_val25() -> Dataset[np.ndarray]:
    """The practical's 25 ImageNet validation pictures: uint8 (25, 224, 224, 3), labels
    in ImageNet's order.
    """
    with np.load(assets.fetch("imagenet_val25")) as file:
        images, labels = file["X"].astype(np.uint8), file["y"].astype(np.int64)
    return _name_classes(images, labels, "imagenet_val25")


def load_imagenet20() -> Dataset[list[np.ndarray]]:
    """20 ImageNet pictures of 19 classes, a list of uint8 arrays (H, W, 3); labels in
    ImageNet's order.
    """
    files = find_pictures(assets.fetch("imagenet20"))
    images = [np.asarray(read_picture(file)) for file in files]
    labels = np.array(
        [int(file.stem.rpartition("_")[2]) for file in files], dtype=np.int64
    )
    return _name_classes(images, labels, "imagenet20")


def load_imagenet_samples() -> Dataset[list[Path]]:
    """500 ImageNet pictures of 500 classes, paths of several sizes; labels in
    ImageNet's order, from the file names.
    """
    files = find_pictures(assets.fetch("imagenet_samples"))
    index = {
        _plain_name(name): label for label, name in enumerate(imagenet_class_names())
    }
    written = [_plain_name(file.stem.partition("_")[2]) for file in files]
    labels = np.array([index[name] for name in written], dtype=np.int64)
    return _name_classes(files, labels, "imagenet_samples")


def _name_classes(images: Any, labels: np.ndarray, asset: str) -> Dataset[Any]:
    class_names = imagenet_class_names()
    names = tuple(class_names[label] for label in labels)
    return Dataset(images, labels, class_names, assets.provenance(asset), names)


def _plain_name(name: str) -> str:
    return name.lower().translate(str.maketrans(" -", "__", "'"))


def load_photos() -> Dataset[list[np.ndarray]]:
    """Photos that installed packages carry, a list of uint8 arrays (H, W, 3); no
    labels.
    """
    specs = {package: find_spec(package) for package, _, _ in PHOTOS.values()}
    folders = {
        package: Path(spec.origin).parent
        for package, spec in specs.items()
        if spec and spec.origin
    }
    found = {name: entry for name, entry in PHOTOS.items() if entry[0] in folders}
    files = [folders[package] / member for package, member, _ in found.values()]
    photos = [np.asarray(read_picture(file)) for file in files]
    licence = "; ".join(f"{name}: {licence}" for name, (_, _, licence) in found.items())
    source = f"installed packages {', '.join(folders)}"
    provenance = Provenance(f"{len(photos)} photos", source, licence)
    return Dataset(photos, None, (), provenance, tuple(found))
