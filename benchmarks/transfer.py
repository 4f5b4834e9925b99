"""Feature extraction against the loop one writes first: one picture at a time, NCHW,
float32, gradients on.

The pictures are those of 15-Scene where they are at hand, else the photos of installed
packages. `python benchmarks/transfer.py [--rounds 5] [--threads 1] [NAME ...]`
"""

from functools import partial

import torch
from timing import compare, least_cosine, main

from dlapps import datasets, pretrained
from dlapps.core.assets import AssetError
from dlapps.core.images import to_pixels
from dlapps.transfer import extract_features

PICTURES = 16
LAYERS = {
    "vgg16_features": "pool5",
    "squeezenet1_1": "features",
    "efficientnet_lite0": "bn2",
}


def load_pictures():
    try:
        pictures = datasets.load_scenes15("test").images
        return list(pictures[:: len(pictures) // PICTURES][:PICTURES])
    except AssetError:
        photos = datasets.load_photos().images
        return [photos[index % len(photos)] for index in range(PICTURES)]


def extract_naively(network, pictures, layer):
    """float32 (N, D): what a first notebook does."""
    features, seen = [], []
    hook = network.layer(layer).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    backbone = network.backbone.to(
        memory_format=torch.contiguous_format
    ).requires_grad_(True)
    for picture in pictures:
        backbone(network.normalisation(to_pixels(picture)[None]))
        features.append(seen.pop().mean((2, 3)).detach())
    hook.remove()
    network.to(memory_format=torch.channels_last).requires_grad_(False)
    return torch.cat(features)


def measure(name, layer, pictures, rounds):
    network = pretrained.load(name)

    def extract(precision):
        return torch.from_numpy(
            extract_features(network, pictures, [layer], precision=precision)[layer]
        )

    ways = {
        "plain loop": lambda: extract_naively(network, pictures, layer),
        "float32": partial(extract, "float32"),
        "fast": partial(extract, "fast"),
    }
    what = f"{name}, features of {PICTURES} pictures"
    yield from compare(
        what,
        ways,
        rounds,
        least_cosine,
        lambda *features: f"cosine {least_cosine(*features):.4f}",
    )


def list_comparisons():
    pictures = load_pictures()
    return {
        name: partial(measure, name, layer, pictures) for name, layer in LAYERS.items()
    }


if __name__ == "__main__":
    main(__doc__, list_comparisons)
