"""The losses of a GAN (Goodfellow et al. 2014), and the updates that descend them.

D is the probability that an image is real. A discriminator computes its logit s, so
that log D = -softplus(-s) and log(1 - D) = -softplus(s), which do not overflow.
"""

from collections.abc import Callable

import torch
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


Loss = Callable[[Tensor], Tensor]
# The generator's losses by their names in the settings.
LOSSES: dict[str, Loss] = {
    "non-saturating": non_saturating_loss,
    "saturating": saturating_loss,
}


def call(network: nn.Module, inputs: Tensor, labels: Tensor | None) -> Tensor:
    """Return a network's output in float32, with labels if there are some."""
    if labels is None:
        return network(inputs).float()
    return network(inputs, labels).float()


def discriminator_step(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    optimiser: torch.optim.Optimizer,
) -> dict[str, Tensor]:
    """Update D on real and fake images (N, 1, S, S) of the same labels.

    No gradient reaches the generator. Returns scalars from before the update:
    discriminator_loss, real_probability (mean D(x)), fake_probability (mean D(G(z))).
    """
    # Two passes, because batch norm has to see real and fake images apart.
    real_logits = call(discriminator, real, labels)
    fake_logits = call(discriminator, fake.detach(), labels)
    loss = discriminator_loss(real_logits, fake_logits)
    descend(loss, discriminator, optimiser)
    return {
        "discriminator_loss": loss.detach(),
        "real_probability": real_logits.detach().sigmoid().mean(),
        "fake_probability": fake_logits.detach().sigmoid().mean(),
    }


def generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    fake: Tensor,
    labels: Tensor | None,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
) -> dict[str, Tensor]:
    """Update G through D, whose weights stay, on images that it drew.

    Returns scalars: generator_loss and generator_gradient (its L2 norm).
    """
    value = loss(call(discriminator, fake, labels))
    return {
        "generator_loss": value.detach(),
        "generator_gradient": descend(value, generator, optimiser),
    }


def descend(
    loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer
) -> Tensor:
    """Make one step down a loss, and return the L2 norm of the gradient.

    Unlike `loss.backward()`, this computes no gradient for the other network.
    """
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return torch.stack([gradient.norm() for gradient in gradients]).norm()
