"""Pictures that no chapter needs: 15-Scene as files, and more of ImageNet."""

from pathlib import Path
from typing import Any

import numpy as np

from dlapps.core import assets
from dlapps.core.images import find_pictures
from dlapps.datasets import Dataset, load_folder
from dlapps.datasets.photos import name_classes
from dlapps.datasets.scenes15 import read_as_stored
from dlapps.pretrained import imagenet_class_names

# Its EXIF tag says that it lies on its side, but it stands upright as it is stored.
UPRIGHT_AS_STORED = "kitchen/image_0172.jpg"


def load_scenes15(split: str) -> Dataset[list[Path | np.ndarray]]:
    """The practical's split of 15-Scene [Lazebnik et al. 2006].

    1,500 pictures for training, 100 of each class, and 2,985 for testing. They are
    paths; the one picture whose file has a wrong EXIF tag is an array.
    """
    scenes = load_folder(assets.fetch("scenes15") / split)
    pictures: list[Path | np.ndarray] = list(scenes.images)
    if UPRIGHT_AS_STORED in scenes.names:
        place = scenes.names.index(UPRIGHT_AS_STORED)
        pictures[place] = read_as_stored(scenes.images[place])
    origin = assets.describe("scenes15")
    return Dataset(pictures, scenes.labels, scenes.class_names, origin, scenes.names)


def load_imagenet_val25() -> Dataset[Any]:
    """The practical's 25 ImageNet validation pictures: uint8 (25, 224, 224, 3)."""
    with np.load(assets.fetch("imagenet_val25")) as file:
        images = file["X"].astype(np.uint8)
        labels = file["y"].astype(np.int64)
    return name_classes(images, labels, "imagenet_val25")


def load_imagenet_samples() -> Dataset[Any]:
    """500 ImageNet pictures of 500 classes, a list of paths; sizes differ.

    The labels come from the file names.
    """
    paths = find_pictures(assets.fetch("imagenet_samples"))
    label_of = {}  # of the two classes "cardigan" the last one, the garment
    for label, class_name in enumerate(imagenet_class_names()):
        label_of[_plain_name(class_name)] = label
    labels = [label_of[_plain_name(path.stem.partition("_")[2])] for path in paths]
    return name_classes(paths, np.array(labels, np.int64), "imagenet_samples")


def _plain_name(name: str) -> str:
    return name.lower().translate(str.maketrans(" -", "__", "'"))
