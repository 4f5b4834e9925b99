"""What makes the features of both domains alike in `fit_dann`: a gradient that is reversed, or a distance that falls.

An alignment is called with the network, the features (N, D) of a batch, the source's first, how many these are, and the
weight that the schedule gives. It returns its loss, a scalar that is added to the class loss, and what it measured,
scalar tensors by name. One that is an nn.Module is trained along with the network.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.dann.layers import DomainAdversarialNetwork, GradientReversal

Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[DomainAdversarialNetwork, Tensor, int, float], Aligned]


def reverse_gradient(network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float) -> Aligned:
    """The network's domain classifier descends its loss, the features climb it (Ganin et al. 2016).

    Measures domain_loss and domain_accuracy.
    """
    return domain_loss(network.domain_classifier, features, num_source, weight)


def domain_loss(classifier: nn.Module, features: Tensor, num_source: int, weight: float) -> Aligned:
    """Loss and accuracy of a domain classifier on features (N, D), the source's first; its gradient is reversed."""
    logits = classifier(GradientReversal.apply(features, weight)).float().flatten()
    domains = (torch.arange(len(logits), device=logits.device) >= num_source).float()
    loss = F.binary_cross_entropy_with_logits(logits, domains)
    right = ((logits > 0) == domains.bool()).float()
    return loss, {"domain_loss": loss, "domain_accuracy": right.mean()}
