"""What several studies of Chapter 2 share."""

from __future__ import annotations

import copy

from sklearn.svm import LinearSVC

from dlapps import datasets, pretrained, transfer
from dlapps.pretrained import PixelNetwork


def load_network(name: str) -> PixelNetwork:
    """A network of ImageNet's classes, or "NAME scenes": its feature maps with Chapter 1's SVM for 15 scenes."""
    base, _, scenes = name.partition(" ")
    if not scenes:
        return pretrained.load(base)
    features = datasets.load_scenes15_features()
    if base == "vgg16":
        network, block = pretrained.load("vgg16_features"), "vgg16_features pool5 average 224"
    else:
        network, block = copy.deepcopy(pretrained.load(base)), f"{base} bn2 average 320 aspect"
        network.backbone.reset_classifier(0, "")
    rows, labels, _, _ = features.split(block)
    svm = LinearSVC(random_state=0).fit(rows, labels)
    return transfer.attach_classifier(network, svm, features.class_names)
