"""Twenty ImageNet pictures, and photos that installed packages carry."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from dlapps.core import assets
from dlapps.core.images import find_pictures, read_picture
from dlapps.datasets.dataset import Dataset
from dlapps.pretrained import imagenet_class_names

# Photos that packages carry: data/README.md has their licences.
PHOTOS = {
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}


def load_imagenet20() -> Dataset[list[np.ndarray]]:
    """Load 20 ImageNet pictures of 19 classes, a list of uint8 arrays (H, W, 3).

    Labels are in ImageNet's order.
    """
    images = []
    labels = []
    for path in find_pictures(assets.fetch("imagenet20")):
        images.append(np.asarray(read_picture(path)))
        labels.append(int(path.stem.rpartition("_")[2]))
    return name_classes(images, np.array(labels, np.int64), "imagenet20")


def name_classes(images: Any, labels: np.ndarray, asset: str) -> Dataset[Any]:
    """Return a data set of ImageNet's pictures, labels in ImageNet's order."""
    class_names = imagenet_class_names()
    names = tuple(class_names[label] for label in labels)
    return Dataset(images, labels, class_names, assets.describe(asset), names)


def load_photos() -> Dataset[list[np.ndarray]]:
    """Load ten photos of installed packages, a list of uint8 arrays (H, W, 3)."""
    photos = []
    for package, member in PHOTOS.values():
        path = Path(str(files(package))) / member
        photos.append(np.asarray(read_picture(path)))
    return Dataset(photos, None, (), "photos of installed packages", tuple(PHOTOS))
