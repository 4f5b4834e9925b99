"""Pictures with their labels, ready to use.

If a whole data set cannot be fetched, the part of it that packages carry is loaded.
"""

from dlapps.datasets.dataset import Dataset
from dlapps.datasets.folder import load_folder
from dlapps.datasets.mnist import load_mnist
from dlapps.datasets.mnist_m import (
    load_backgrounds,
    load_mnist_m,
    make_mnist_m,
    split_photos,
)
from dlapps.datasets.photos import (
    load_imagenet20,
    load_photos,
)
from dlapps.datasets.scenes15 import (
    load_scenes15_features,
    load_scenes15_maps,
)

__all__ = [
    "Dataset",
    "load_backgrounds",
    "load_folder",
    "load_imagenet20",
    "load_mnist",
    "load_mnist_m",
    "load_photos",
    "load_scenes15_features",
    "load_scenes15_maps",
    "make_mnist_m",
    "split_photos",
]
