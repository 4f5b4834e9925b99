"""One update of each network, and the losses that they minimise. Logits s = logit D, so that D = sigmoid(s)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlapps.core.runtime import autocast

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """discriminator(real logits (N,), fake logits (N,)) and generator(fake logits): scalars, both to be minimised."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, equation 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """max(0, 1 - s(x)) + max(0, 1 + s(G(z))) (Lim and Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    """s(G(z)) - s(x) (Arjovsky, Chintala and Bottou 2017, eq. 2), for a discriminator whose slope a penalty bounds."""
    return fake.mean() - real.mean()


LOSSES = {
    # -log D(G(z)): a gradient that stays while the discriminator wins (Goodfellow et al. 2014, section 3).
    "non-saturating": Loss(cross_entropy, lambda fake: F.softplus(-fake).mean()),
    # log(1 - D(G(z))): the generator's part of the game's one value, its gradient D itself.
    "saturating": Loss(cross_entropy, lambda fake: -F.softplus(fake).mean()),
    "hinge": Loss(hinge, lambda fake: -fake.mean()),
    "wasserstein": Loss(wasserstein, lambda fake: -fake.mean()),
}


def squared_slopes(discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    """Squared L2 norms (N,) of the logits' gradients with respect to images (N, ...), with their graph, in float32."""
    images = images.detach().float().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        logits = discriminator(images, *given(labels))
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.flatten(1).square().sum(1)


PENALTIES = ("none", "R1", "gradient")


def penalise(
    name: str,
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    labels: Tensor | None,
    generator: torch.Generator,
) -> Tensor:
    """What is added to D's loss, a scalar, for its slopes on images (N, C, S, S): one of PENALTIES.

    D has to treat each image apart: through batch norm a slope would be one of the other images too.

    "R1": half the mean squared slope at real images (Mescheder, Geiger and Nowozin 2018, eq. 9). "gradient": the mean
    of (slope - 1)^2 at random points between real and fake ones (Gulrajani et al. 2017, eq. 3).
    """
    if name == "none":
        return real.new_zeros(())
    if name == "R1":
        return squared_slopes(discriminator, real, labels).mean() / 2
    shares = torch.rand(len(real), *[1] * (real.ndim - 1), generator=generator, device="cpu").to(real.device)
    slopes = squared_slopes(discriminator, real.lerp(fake.detach(), shares), labels).clamp(min=1e-12).sqrt()
    return (slopes - 1).square().mean()


def likeness(images: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """How much nearer images lie than their latent vectors: mean |z - z'| over mean |G(z) - G(z')|, a scalar.

    The inverse of what a mode-seeking generator maximises (Mao et al. 2019, section 3.2), of images (N, C, S, S) with
    their graph and z (N, latent_dim), each with the next one, or the next of its label. 0 where there is no such pair.
    """
    order = torch.arange(len(z)) if labels is None else labels.cpu().argsort(stable=True)
    first, second = order[:-1], order[1:]
    if labels is not None:
        alike = labels.cpu()[first] == labels.cpu()[second]
        first, second = first[alike], second[alike]
    if not len(first):
        return images.new_zeros(())
    apart = (images[first] - images[second]).abs().mean().clamp(min=1e-5)
    return (z[first] - z[second]).abs().mean() / apart


def move(images: Tensor, generator: torch.Generator, share: float = 0.125) -> Tensor:
    """Images (N, C, S, S) moved by up to a share of their side, each on its own, -1 coming in; with their graph.

    Of real and fake images alike, so that a discriminator cannot learn the real ones by heart (Zhao et al. 2020).
    """
    size = images.shape[-1]
    reach = round(share * size)
    down, right = torch.randint(-reach, reach + 1, (2, len(images), 1), generator=generator).to(images.device)
    places = torch.arange(size, device=images.device)
    padded = F.pad(images, (reach,) * 4, value=-1).movedim(1, -1)
    rows, columns = places + reach + down, places + reach + right
    picked = padded[torch.arange(len(images), device=images.device)[:, None, None], rows[:, :, None], columns[:, None]]
    return picked.movedim(-1, 1)


def generate(generator: nn.Module, z: Tensor, labels: Tensor | None = None, precision: str = "fast") -> Tensor:
    """Images (N, C, S, S) float32 of a generator as it is, in training or eval mode, with its graph."""
    with autocast(z.device, precision):
        return generator(z, *given(labels)).float()


def discriminator_step(
    discriminator: nn.Module,
    real: Tensor,
    fake: Tensor,
    optimiser: torch.optim.Optimizer | None,
    loss: Loss = LOSSES["non-saturating"],
    labels: Tensor | None = None,
    precision: str = "fast",
    penalty: Tensor | float = 0.0,
) -> Losses:
    """One update of D on real and fake images (N, C, S, S) of the same labels; no gradient reaches the generator.

    Two passes, since batch norm has to see real and fake images apart. optimiser None: measure only. penalty: what is
    added to the loss, as `penalise` gives it times its weight. Returns scalars: discriminator_loss (without penalty),
    real_probability (mean D(x)), fake_probability (mean D(G(z))), discriminator_gradient (its L2 norm), all as they
    were before the update.
    """
    with autocast(real.device, precision):
        real_logits, fake_logits = (discriminator(images, *given(labels)).float() for images in (real, fake.detach()))
    value = loss.discriminator(real_logits, fake_logits)
    return {
        "discriminator_loss": value.detach(),
        "real_probability": real_logits.detach().sigmoid().mean(),
        "fake_probability": fake_logits.detach().sigmoid().mean(),
        "discriminator_gradient": descend(value + penalty, discriminator, optimiser),
    }


def generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    fake: Tensor,
    optimiser: torch.optim.Optimizer | None,
    loss: Loss = LOSSES["non-saturating"],
    labels: Tensor | None = None,
    precision: str = "fast",
    penalty: Tensor | float = 0.0,
) -> Losses:
    """One update of G through D on images that `generate` made with their graph; D's stay as they are.

    penalty: what is added to the loss, as `likeness` gives it times its weight. Returns scalars: generator_loss
    (without penalty), fooling_probability (mean D(G(z)), after D's update), generator_gradient.
    """
    with autocast(fake.device, precision):
        logits = discriminator(fake, *given(labels)).float()
    value = loss.generator(logits)
    return {
        "generator_loss": value.detach(),
        "fooling_probability": logits.detach().sigmoid().mean(),
        "generator_gradient": descend(value + penalty, generator, optimiser),
    }


def descend(value: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer | None) -> Tensor:
    """One step down, or none without an optimiser; the norm of the gradient of the network's weights."""
    parameters = list(network.parameters())
    # Unlike backward(), this neither computes nor stores a gradient of the other network.
    gradients = torch.autograd.grad(value, parameters)
    if optimiser is not None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return torch.stack([gradient.norm() for gradient in gradients]).norm()


def spread(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Standard deviation over the batch, averaged over pixels; with labels, within their classes: a generator that
    draws one and the same image of each class has none."""
    mean = images.mean(0)
    if labels is not None:
        one_hot = F.one_hot(labels).to(images.dtype)
        mean = (one_hot.T @ images.flatten(1) / one_hot.sum(0)[:, None].clamp(min=1))[labels].view_as(images)
    return (images - mean).square().mean(0).sqrt().mean()


def given(labels: Tensor | None) -> tuple[Tensor, ...]:
    """The labels as arguments of a network: none for an unconditional one."""
    return () if labels is None else (labels,)
