"""Checks of Chapter 4: steps and losses by hand, and trainings of exercises."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from checks.expect import Variables, expect, expect_same, same
from dlapps.core import metrics
from dlapps.gan import Training, draw_latents, flow, generate


def discriminator_step(its: Variables) -> None:
    """Let `discriminator_loss(real, fake)` be the sum of the two means of the
    discriminator's loss, through which no gradient shall reach the fake images.
    """
    real = its.pixels[:16]
    fake = its.pixels[16:32].clone().requires_grad_()
    loss = its.discriminator_loss(real, fake)
    wanted = -F.logsigmoid(its.discriminator(real)).mean()
    wanted = wanted - F.logsigmoid(-its.discriminator(fake)).mean()
    why = "one of the two alone is no task"
    expect_same(wanted, loss, "as the loss of these images", why)
    # autograd fails if the loss does not depend on the fakes at all.
    (gradient,) = torch.autograd.grad(loss + 0 * wanted, fake)
    why = "they have a loss of their own"
    expect(not gradient.any(), "no gradient in the fakes", "one", why)


def generator_step(its: Variables) -> None:
    """Let `generator_loss(fake)` be the mean of -log D(G(z)) of fake images."""
    fake = its.pixels[:16]
    why = "with the sign turned it learns to be found out; log(1 - D(G(z))) saturates"
    wanted = -F.logsigmoid(its.discriminator(fake)).mean()
    expect_same(wanted, its.generator_loss(fake), "as the loss of these images", why)


def small_run(its: Variables) -> None:
    """Let `settings` be `gan.PRACTICAL` with batches of 16 and the profile's
    `gan_epochs`, and `small` what `gan.fit_gan` trains on `images` with them and seed
    0.
    """
    _expect_trained(its.small)


def conditional(its: Variables) -> None:
    """Let `narrow` be `gan.PRACTICAL` for ten classes, with batches of 32, the
    profile's `cdcgan_epochs`, a learning rate of 2e-4 for the generator and an average
    of 0.99; `told` what `gan.fit_gan` trains on `images` and `labels` with them and
    seed 0.
    """
    _expect_trained(its.told)
    zeros = _sample(its.told, 2, label=0)
    ones = _sample(its.told, 2, label=1)
    why = "a generator can draw well and ignore its labels"
    expect(not same(zeros, ones), "other images of another label", "the same", why)


def _expect_trained(training: Training) -> None:
    losses = training.history.discriminator_loss + training.history.generator_loss
    why = "one that is not finite spoils every weight at the next step"
    expect(np.isfinite(losses).all(), "finite losses", "others", why)
    settings = training.settings
    rates = (settings.generator_rate, settings.discriminator_rate)
    why = "each network learns from the other"
    expect(min(rates) > 0, "learning rates above 0", rates, why)
    images = _sample(training, 4)
    shape = tuple(images.shape)
    wanted = (4, 1, settings.size, settings.size)
    highest = float(images.abs().max())
    why = "in another range real images are told from fakes by their ground"
    got = f"{shape} up to {highest:.3g}"
    expect(shape == wanted and highest <= 1, f"samples {wanted} in [-1, 1]", got, why)
    of_six = _sample(training, 6)
    alone = not training.generator.training and same(of_six[:2], images[:2])
    why = "in training mode batch norm mixes the batch into each image"
    expect(alone, "the same image of a z in any batch", "others", why)


@torch.no_grad()
def _sample(training: Training, number: int, label: int = 0) -> Tensor:
    """Images of the generator as it is; the first z are the same for any number."""
    z = draw_latents(8, training.generator.latent_dim, seed=0)[:number]
    labels = torch.full((number,), label) if training.settings.num_classes else None
    return generate(training.generator, z, labels, "float32")


def measures(its: Variables) -> None:
    """Let `floor` be the Fréchet distance of the real and the training features,
    `distance` that of the real and the fake ones in units of it; `precision` and
    `recall` those of the fakes, with k = 3.
    """
    real, fake = its.real_features, its.fake_features
    lowest = metrics.frechet_distance(real, its.train_features)
    wanted = [lowest, metrics.frechet_distance(real, fake) / lowest]
    wanted += metrics.precision_recall(real, fake, k=3)
    got = [its.floor, its.distance, its.precision, its.recall]
    why = "turned round, a generator of one good digit would have the best recall"
    expect_same(wanted, got, "as floor, distance, precision and recall", why)


def saturation(its: Variables) -> None:
    """Let `logits` be what the trained discriminator of `small` says of 128 images of a
    fresh generator, and `norms` the two norms of the gradient of all its weights: of
    the saturating loss, log(1 - D(G(z))), and of the other one, -log D(G(z)).
    """
    why = (
        "a sure discriminator leaves the saturating loss without a gradient, "
        "so the other is used"
    )
    mean = its.logits.mean()
    expect(mean < 0, "logits of a sure discriminator, below 0", f"{mean:.3g}", why)
    saturating, other = map(float, its.norms)
    smaller = 0 < saturating < other
    got = f"{saturating:.3g} against {other:.3g}"
    expect(smaller, "a smaller gradient of the saturating loss", got, why)


def inside(its: Variables) -> None:
    """Let `inside(points, others, k=3)` be the share of points (N, D) that lie in a
    ball around one of others (M, D); a ball reaches to the k-th nearest of the other
    others.
    """
    points, others = torch.randn(2, 64, 2, generator=torch.Generator().manual_seed(0))
    wanted, _ = metrics.precision_recall(others, points)
    why = "a point is not its own neighbour"
    expect_same(wanted, its.inside(points, others), "as the share inside", why)


def flow_loss(its: Variables) -> None:
    """Let `network` be the committed flow, `batch` a hundred of `pixels` and
    `batch_labels` their labels; `noise` as many normal images, `times` from 0 to 1 as
    (N, 1, 1, 1), `x` the points between, noise at 0 and image at 1, and `squares` the
    mean squared error of the network's velocity there.
    """
    why = "with time turned round the network is asked of points that it never saw"
    between = (1 - its.times) * its.noise + its.times * its.batch
    expect(same(its.x, between), "points from noise at 0 to images at 1", "others", why)
    times = its.times.flatten()
    wanted = flow.flow_loss(its.network, its.batch, its.batch_labels, its.noise, times)
    expect_same(wanted, its.squares, "as the loss at these points", why)
