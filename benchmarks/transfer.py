"""Feature extraction against the loop one writes first: one picture at a time, NCHW,
float32, gradients on.

`python benchmarks/transfer.py [--rounds 5] [--threads 1] [NAME ...]`
"""

from functools import partial

import torch
from timing import compare, least_cosine, main, say_least_cosine

from dlapps import datasets, pretrained
from dlapps.core.images import to_pixels
from dlapps.transfer import DeepFeatures

PICTURES = 16
LAYERS = {
    "vgg16_features": "pool5",
    "squeezenet1_1": "features",
    "efficientnet_lite0": "bn2",
}


def load_pictures():
    return datasets.load_imagenet20().images[:PICTURES]


def extract_naively(network, pictures, layer):
    """What a first notebook does: float32 (N, D)."""
    backbone = network.backbone.to(memory_format=torch.contiguous_format)
    backbone.requires_grad_(True)
    outputs = []
    hook = network.layer(layer).register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    features = []
    for picture in pictures:
        pixels = to_pixels(picture)[None]
        backbone(network.normalisation(pixels))
        features.append(outputs.pop().mean((2, 3)).detach())
    hook.remove()
    network.to(memory_format=torch.channels_last).requires_grad_(False)
    return torch.cat(features)


def extract(network, pictures, layer, is_bfloat16):
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bfloat16):
        features = DeepFeatures(network, layer).transform(pictures)
    return torch.from_numpy(features)


def measure(name, layer, pictures, rounds):
    network = pretrained.load(name)
    ways = {
        "plain loop": partial(extract_naively, network, pictures, layer),
        "float32": partial(extract, network, pictures, layer, False),
        "autocast": partial(extract, network, pictures, layer, True),
    }
    what = f"{name}, features of {PICTURES} pictures"
    return compare(what, ways, rounds, least_cosine, say_least_cosine)


def list_comparisons():
    pictures = load_pictures()
    comparisons = {}
    for name, layer in LAYERS.items():
        comparisons[name] = partial(measure, name, layer, pictures)
    return comparisons


if __name__ == "__main__":
    main(__doc__, [list_comparisons])
