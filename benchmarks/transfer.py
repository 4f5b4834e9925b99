"""Features, against the loop one writes first: one picture at a time, NCHW, gradients
on.
"""

from functools import partial

import torch
from comparison import Comparison, copy_contiguous, say_cosine

from dlapps import datasets, pretrained
from dlapps.core.images import to_pixels
from dlapps.transfer import DeepFeatures

NUM_PICTURES = 16
LAYERS = {
    "vgg16_features": "pool5",
    "squeezenet1_1": "features",
    "efficientnet_lite0": "bn2",
}


def extract_plainly(network, layer, pictures):
    """What a first notebook does: float32 (N, D)."""
    features = []

    def store(_module, _inputs, output):
        features.append(output.mean((2, 3)).detach())

    with network.layer(layer).register_forward_hook(store):
        for picture in pictures:
            network(to_pixels(picture)[None])
    return torch.cat(features)


def extract(network, layer, pictures):
    return torch.from_numpy(DeepFeatures(network, layer).transform(pictures))


def list_comparisons():
    pictures = datasets.load_imagenet20().images[:NUM_PICTURES]
    for name, layer in LAYERS.items():
        network = pretrained.load(name)
        plain = copy_contiguous(network).requires_grad_(True)
        yield Comparison(
            f"{name}, features of {NUM_PICTURES} pictures",
            "plain loop",
            partial(extract_plainly, plain, layer, pictures),
            partial(extract, network, layer, pictures),
            say_cosine,
        )
