"""The losses of a GAN (Goodfellow et al. 2014), and the updates that descend them.

D is the probability that an image is real. A discriminator computes its logit, so that
D = sigmoid(logit).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.runtime import autocast


def log_d(logits: Tensor) -> Tensor:
    """Return log D of logits, which does not overflow as sigmoid and log would."""
    return -F.softplus(-logits)


def log_not_d(logits: Tensor) -> Tensor:
    """Return log(1 - D) of logits."""
    return -F.softplus(logits)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Compute -log D(x) - log(1 - D(G(z))) of logits (N,): equation 1, negated."""
    return -(log_d(real).mean() + log_not_d(fake).mean())


def saturating_loss(fake: Tensor) -> Tensor:
    """Compute log(1 - D(G(z))) of logits (N,): the generator's part of equation 1.

    Its gradient with respect to a logit is -D(G(z)), which vanishes while the
    discriminator wins.
    """
    return log_not_d(fake).mean()


def non_saturating_loss(fake: Tensor) -> Tensor:
    """Compute -log D(G(z)) of logits (N,), the loss that section 3 proposes instead.

    Its gradient does not vanish while the discriminator wins.
    """
    return -log_d(fake).mean()


Loss = Callable[[Tensor], Tensor]
# The generator's losses by their names in the settings.
LOSSES: dict[str, Loss] = {
    "non-saturating": non_saturating_loss,
    "saturating": saturating_loss,
}


def generate(
    generator: nn.Module,
    z: Tensor,
    labels: Tensor | None = None,
    precision: str = "fast",
) -> Tensor:
    """Draw images (N, C, S, S) float32, through which gradients reach the generator.

    The generator runs in the mode that it is in.

    precision: as for `runtime.autocast`.
    """
    with autocast(z.device, precision):
        return call(generator, z, labels)


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
    """Update D on real and fake images (N, C, S, S) of the same labels.

    No gradient reaches the generator. Returns scalars from before the update:
    discriminator_loss, real_probability (mean D(x)), fake_probability (mean D(G(z)))
    and discriminator_gradient (its L2 norm).
    """
    # Two passes, because batch norm has to see real and fake images apart; under one
    # autocast, so that both use the same rounded weights.
    with autocast(real.device):
        real_logits = call(discriminator, real, labels)
        fake_logits = call(discriminator, fake.detach(), labels)
    loss = discriminator_loss(real_logits, fake_logits)
    return {
        "discriminator_loss": loss.detach(),
        "real_probability": real_logits.detach().sigmoid().mean(),
        "fake_probability": fake_logits.detach().sigmoid().mean(),
        "discriminator_gradient": descend(loss, discriminator, optimiser),
    }


def generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    fake: Tensor,
    labels: Tensor | None,
    optimiser: torch.optim.Optimizer,
    loss: Loss,
) -> dict[str, Tensor]:
    """Update G through D, whose weights stay, on images that `generate` drew.

    Returns scalars: generator_loss, fooling_probability (mean D(G(z)), after the update
    of D) and generator_gradient (its L2 norm).
    """
    with autocast(fake.device):
        logits = call(discriminator, fake, labels)
    value = loss(logits)
    return {
        "generator_loss": value.detach(),
        "fooling_probability": logits.detach().sigmoid().mean(),
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


def spread(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return the standard deviation over a batch, averaged over pixels.

    images: (N, ...).
    labels: (N,). With labels it is the deviation within the classes, which is 0 for a
        generator that draws a single image of each class.
    """
    mean = images.mean(0)
    if labels is not None:
        one_hot = F.one_hot(labels).to(images.dtype)
        sums = one_hot.T @ images.flatten(1)
        counts = one_hot.sum(0)[:, None].clamp(min=1)
        mean = (sums / counts)[labels].view_as(images)
    return (images - mean).square().mean(0).sqrt().mean()
