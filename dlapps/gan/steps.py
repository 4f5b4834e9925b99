"""One update of each network, and the losses that they minimise. Logits s = logit D, so
that D = sigmoid(s).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.runtime import autocast

Loss = Callable[[Tensor], Tensor]
# The generator's loss, a scalar to be minimised, of the logits (N,) of its images.
LOSSES: dict[str, Loss] = {
    # -log D(G(z)): a gradient that stays while the discriminator wins (Goodfellow et
    # al. 2014, section 3).
    "non-saturating": lambda fake: F.softplus(-fake).mean(),
    # log(1 - D(G(z))): the generator's part of the game's one value, its gradient D
    # itself.
    "saturating": lambda fake: -F.softplus(fake).mean(),
}


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss of logits: -log D(x) - log(1 - D(G(z))) (Goodfellow et
    al. 2014, equation 1).
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generate(
    generator: nn.Module,
    z: Tensor,
    labels: Tensor | None = None,
    precision: str = "fast",
) -> Tensor:
    """Images (N, C, S, S) float32 of a generator as it is, in training or eval mode,
    with its graph.
    """
    with autocast(z.device, precision):
        return generator(z, *as_arguments(labels)).float()


def discriminator_step(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    optimiser: torch.optim.Optimizer,
    labels: Tensor | None = None,
    precision: str = "fast",
) -> dict[str, Tensor]:
    """One update of D on real and fake images (N, C, S, S) of the same labels; no
    gradient reaches the generator.

    Two passes, since batch norm has to see real and fake images apart. Returns scalars:
    discriminator_loss, real_probability (mean D(x)), fake_probability (mean D(G(z))),
    discriminator_gradient (its L2 norm), all as they were before the update.
    """
    with autocast(real.device, precision):
        real_logits = discriminator(real, *as_arguments(labels)).float()
        fake_logits = discriminator(fake.detach(), *as_arguments(labels)).float()
    value = cross_entropy(real_logits, fake_logits)
    return {
        "discriminator_loss": value.detach(),
        "real_probability": real_logits.detach().sigmoid().mean(),
        "fake_probability": fake_logits.detach().sigmoid().mean(),
        "discriminator_gradient": descend(value, discriminator, optimiser),
    }


def generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    fake: Tensor,
    optimiser: torch.optim.Optimizer,
    loss: Loss = LOSSES["non-saturating"],
    labels: Tensor | None = None,
    precision: str = "fast",
) -> dict[str, Tensor]:
    """One update of G through D on images that `generate` made with their graph; D's
    stay as they are.

    Returns scalars: generator_loss, fooling_probability (mean D(G(z)), after D's
    update), generator_gradient.
    """
    with autocast(fake.device, precision):
        logits = discriminator(fake, *as_arguments(labels)).float()
    value = loss(logits)
    return {
        "generator_loss": value.detach(),
        "fooling_probability": logits.detach().sigmoid().mean(),
        "generator_gradient": descend(value, generator, optimiser),
    }


def descend(
    value: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer
) -> Tensor:
    """One step down; returns the norm of the gradient of the network's weights."""
    parameters = list(network.parameters())
    # Unlike backward(), this neither computes nor stores a gradient of the other
    # network.
    gradients = torch.autograd.grad(value, parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return torch.stack([gradient.norm() for gradient in gradients]).norm()


def spread(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Standard deviation over the batch, averaged over pixels; with labels, within
    their classes: a generator that draws one and the same image of each class has none.
    """
    mean = images.mean(0)
    if labels is not None:
        one_hot = F.one_hot(labels).to(images.dtype)
        mean = (one_hot.T @ images.flatten(1) / one_hot.sum(0)[:, None].clamp(min=1))[
            labels
        ].view_as(images)
    return (images - mean).square().mean(0).sqrt().mean()


def as_arguments(labels: Tensor | None) -> tuple[Tensor, ...]:
    """The labels as arguments of a network: none for an unconditional one."""
    return () if labels is None else (labels,)
