"""What makes the features of both domains alike in `fit_dann`: a gradient that is reversed."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps.dann.layers import DomainAdversarialNetwork, GradientReversal

Aligned = tuple[Tensor, dict[str, Tensor]]
Alignment = Callable[[DomainAdversarialNetwork, Tensor, int, float], Aligned]


def reverse_gradient(network: DomainAdversarialNetwork, features: Tensor, num_source: int, weight: float) -> Aligned:
    """The network's domain classifier descends its loss, the features climb it (Ganin et al. 2016).

    features (N, D) of a batch, the source's first. Returns the loss and, by name, domain_loss and domain_accuracy.
    """
    return domain_loss(network.domain_classifier(GradientReversal.apply(features, weight)), num_source)


def domain_loss(logits: Tensor, num_source: int) -> Aligned:
    """Loss and accuracy of a domain classifier from its logits (N,) or (N, 1), the source's first."""
    logits = logits.float().flatten()
    domains = (torch.arange(len(logits), device=logits.device) >= num_source).float()
    loss = F.binary_cross_entropy_with_logits(logits, domains)
    right = ((logits > 0) == domains.bool()).float()
    return loss, {"domain_loss": loss, "domain_accuracy": right.mean()}
