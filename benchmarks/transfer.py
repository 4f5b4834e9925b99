"""Feature extraction against the loop one writes first: one picture at a time, NCHW, float32, gradients on.

Both run in this process on the same pictures, interleaved; medians are printed, the ratio, and the cosine between the
two sets of features. `python benchmarks/transfer.py [--pictures 32] [--rounds 5] [--threads N]`
"""

import argparse
import json

import numpy as np
import torch
from timing import time_interleaved

from dlapps import datasets, pretrained
from dlapps.assets import AssetError
from dlapps.images import to_pixels
from dlapps.transfer import extract_features

LAYERS = {"vgg16_features": "pool5", "squeezenet1_1": "features", "efficientnet_lite0": "bn2"}


def load_pictures(count):
    """15-Scene where it is at hand, else the photos of installed packages, repeated."""
    try:
        pictures = datasets.load_scenes15("test").images
        return list(pictures[:: len(pictures) // count][:count]), "15-Scene"
    except AssetError:
        photos = datasets.load_photos().images
        return [photos[index % len(photos)] for index in range(count)], "photos of installed packages"


def extract_naively(network, pictures, layer):
    """float32 (N, D): what a first notebook does."""
    features, seen = [], []
    hook = network.layer(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    backbone = network.backbone.to(memory_format=torch.contiguous_format).requires_grad_(True)
    for picture in pictures:
        backbone(network.normalisation(to_pixels(picture)[None]))
        features.append(seen.pop().mean((2, 3)).detach().numpy())
    hook.remove()
    network.to(memory_format=torch.channels_last).requires_grad_(False)
    return np.concatenate(features)


def measure(name, layer, pictures, rounds):
    """Seconds of each way, and against the naive one the ratio and the least cosine."""
    network = pretrained.load(name)
    ways = {
        "naive": lambda: extract_naively(network, pictures, layer),
        "fast": lambda: extract_features(network, pictures, [layer])[layer],
        "float32": lambda: extract_features(network, pictures, [layer], precision="float32")[layer],
    }
    medians, features = time_interleaved(ways, rounds)
    result = {"network": name, "naive_seconds": round(medians["naive"], 3)}
    for way in ("fast", "float32"):
        products = (features["naive"] * features[way]).sum(1)
        cosines = products / np.linalg.norm(features["naive"], axis=1) / np.linalg.norm(features[way], axis=1)
        result |= {
            f"{way}_seconds": round(medians[way], 3),
            f"{way}_ratio": round(medians["naive"] / medians[way], 2),
            f"{way}_least_cosine": round(float(cosines.min()), 5),
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pictures, source = load_pictures(options.pictures)
    print(f"{len(pictures)} pictures of {source}, {options.threads} threads, medians of {options.rounds} rounds")
    for name, layer in LAYERS.items():
        print(json.dumps(measure(name, layer, pictures, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
