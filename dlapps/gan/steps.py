"""The losses of a GAN (Goodfellow et al. 2014).

D is the probability that an image is real. A discriminator computes its logit s, so
that log D = -softplus(-s) and log(1 - D) = -softplus(s), which do not overflow.
"""

import torch.nn.functional as F
from torch import Tensor, nn


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
