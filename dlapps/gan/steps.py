"""The losses of a GAN (Goodfellow et al. 2014), and the updates that descend them.

D is the probability that an image is real. A discriminator computes its logit s, so
that log D = -softplus(-s) and log(1 - D) = -softplus(s), which do not overflow.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.training import DivergenceError


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Compute -log D(x) - log(1 - D(G(z))) of logits (N,): equation 1, negated."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def saturating_loss(fake: Tensor) -> Tensor:
    """Compute log(1 - D(G(z))) of logits (N,): the generator's part of equation 1.

    Its gradient with respect to a logit is -D(G(z)), which vanishes while the
    discriminator wins.
    """
    return -F.softplus(fake).mean()


def non_saturating_loss(fake: Tensor) -> Tensor:
    """Compute -log D(G(z)) of logits (N,), the loss that section 3 proposes instead.

    Its gradient does not vanish while the discriminator wins.
    """
    return F.softplus(-fake).mean()


# The generator's losses by their names in the settings.
LOSSES = {
    "non-saturating": non_saturating_loss,
    "saturating": saturating_loss,
}


def call(network: nn.Module, inputs: Tensor, labels: Tensor | None) -> Tensor:
    """Return a network's output in float32, with labels if there are some."""
    if labels is None:
        return network(inputs).float()
    return network(inputs, labels).float()


def descend(
    loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer
) -> Tensor:
    """Make one step down a loss, and return the L2 norm of the gradient.

    Unlike `loss.backward()`, this computes no gradient for the other network.

    Raises DivergenceError if the loss is NaN or infinite.
    """
    if not loss.isfinite():
        raise DivergenceError(
            f"expected a finite loss, got {loss.item()}; lower the learning rates."
        )
    weights = list(network.parameters())
    optimiser.zero_grad()
    loss.backward(inputs=weights)
    length = nn.utils.clip_grad_norm_(weights, math.inf)  # clips nothing
    optimiser.step()
    return length
