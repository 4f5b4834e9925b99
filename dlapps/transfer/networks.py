"""Networks changed for another task: a linear classifier as the last layer."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from sklearn.svm import LinearSVC
from torch import nn

from dlapps.pretrained import PixelNetwork
from dlapps.transfer.finetune import SCALE, NewHead


def attach_classifier(network: PixelNetwork, svm: LinearSVC, class_names: Sequence[str]) -> PixelNetwork:
    """One network from pixels to class scores: feature maps, their average, L2 norm, a fitted linear SVM.

    network: pixels to feature maps (N, D, H/32, W/32), as vgg16_features is. svm: fitted on its "average" features,
    each row L2-normalised; the logits are its decision values (of two classes, that of the second, and its negative).
    The layers are backbone.features and backbone.head.
    """
    weights, biases = (torch.from_numpy(part).float() for part in (svm.coef_, svm.intercept_))
    if len(svm.classes_) == 2:
        weights, biases = torch.cat([-weights, weights]), torch.cat([-biases, biases])
    if len(weights) != len(class_names):
        raise ValueError(f"expected a name for each of {len(weights)} classes, got {len(class_names)}; pass them all.")
    head = NewHead(weights.shape[1], len(weights), seed=0)
    head.linear.weight.data, head.linear.bias.data = weights / SCALE, biases
    backbone = nn.Sequential(OrderedDict(features=network.backbone, head=head))
    mean, std = (part.flatten().tolist() for part in (network.normalisation.mean, network.normalisation.std))
    return PixelNetwork(
        f"{network.name}, linear SVM", backbone, mean, std, class_names, network.input_size, network.crop
    )
