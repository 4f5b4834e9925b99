"""Chapter 4, generative adversarial networks: the first steps by hand, and each training that an exercise makes."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps import gan
from dlapps.classroom.checks.expect import expect, same
from dlapps.core import metrics
from dlapps.gan import PointTraining, Training, draw_latents, flow, generate


def a_logit_for_each_image(
    real: Tensor, real_logits: Tensor, fake_logits: Tensor, fooling_logits: Tensor
) -> str | None:
    """The discriminator answers for each image by itself, with one number. Fewer numbers are answers to other images,
    or means in which what is right and what is wrong cancel."""
    got = [len(torch.as_tensor(part).flatten()) for part in (real_logits, fake_logits, fooling_logits)]
    differ = len(set(got)) == 1 and not same(real_logits.flatten(), fake_logits.flatten())
    return expect(
        differ and got[0] == len(real), f"three times {len(real)} logits, of real images and of others", f"{got}"
    )


def the_loss_of_the_discriminator(real_logits: Tensor, fake_logits: Tensor, d_loss: Tensor) -> str | None:
    """The discriminator pays for each real image that it calls fake and each fake that it calls real. A loss of one of
    the two is lowest when every image gets the same answer."""
    wanted = -F.logsigmoid(real_logits).mean() - F.logsigmoid(-fake_logits).mean()
    return expect(same(d_loss, wanted), f"{wanted.item():.4f} from the logits", f"{d_loss.item():.4f}")


def the_loss_of_the_generator(fooling_logits: Tensor, g_loss: Tensor) -> str | None:
    """The generator wants its images called real, -log D(G(z)). With the sign turned it learns to be found out, and
    log(1 - D(G(z))) has no gradient while the discriminator is sure."""
    wanted = -F.logsigmoid(fooling_logits).mean()
    return expect(same(g_loss, wanted), f"{wanted.item():.4f} from the logits", f"{g_loss.item():.4f}")


def entropy_of_the_shares(shares: Tensor, entropy: Tensor) -> str | None:
    """Shares of ten digits sum to 1, and their entropy is at most log 10, when all are drawn equally often. Counts in
    place of shares, or another base of the logarithm, cannot be compared with the chapter's table."""
    shares = torch.as_tensor(shares)
    wanted = torch.special.entr(shares).sum()
    if len(shares) != 10 or not same(shares.sum(), 1):
        return f"expected ten shares that sum to 1, got {len(shares)} that sum to {float(shares.sum()):.4g}"
    return expect(same(entropy, wanted), f"an entropy of {float(wanted):.4f}", f"{float(entropy):.4f}")


def distances_of_features(
    real_features: Tensor,
    train_features: Tensor,
    fake_features: Tensor,
    floor: float,
    distance: float,
    precision: float,
    recall: float,
) -> str | None:
    """The Fréchet distance of samples is given in units of the floor, that of as many real images; precision looks for
    samples among real images, recall for real images among samples. Turned round, a generator that repeats one good
    digit has the best recall."""
    lowest = metrics.frechet_distance(real_features, train_features)
    wanted = [lowest, metrics.frechet_distance(real_features, fake_features) / lowest]
    wanted += metrics.precision_recall(real_features, fake_features, k=3)
    got = [float(each) for each in (floor, distance, precision, recall)]
    told = [", ".join(f"{each:.4g}" for each in values) for values in (wanted, got)]
    return expect(same(wanted, got), f"floor, distance, precision and recall of {told[0]}", told[1])


def modes_of_the_ring(ring: PointTraining, found: int, near: float) -> str | None:
    """A mode is found where enough of the last samples lie near it. Counted on other samples, or by eye, a collapse
    that comes late is missed."""
    wanted = gan.count_modes(ring.samples[-1])
    got = f"{found} and {float(near):.3f}"
    return expect(same(wanted, (found, near)), f"{wanted[0]} modes and a share of {wanted[1]:.3f}", got)


def the_loss_of_the_flow(
    network: flow.VelocityNetwork,
    real: Tensor,
    digits: Tensor,
    noise: Tensor,
    times: Tensor,
    x: Tensor,
    squares: Tensor,
) -> str | None:
    """Between noise and image the point is (1 - t) noise + t image, and its velocity image - noise. With time the other
    way round the network is asked of points that it never saw."""
    wanted = flow.flow_loss(network, real, digits, noise, times.flatten())
    t = times.view(-1, 1, 1, 1)
    right = same(x, (1 - t) * noise + t * real) and same(squares, wanted)
    return expect(right, f"points between noise and image, with a loss of {wanted.item():.4f}", f"{float(squares):.4f}")


def the_gradients_of_two_losses(norms: Mapping[str, Tensor], logits: Tensor) -> str | None:
    """A sure discriminator leaves the true loss without a gradient, and the loss that is used with one. That is why the
    generator is not trained on the loss of the game."""
    true, used = float(norms["true"]), float(norms["used"])
    unsure = torch.as_tensor(logits).flatten()
    if len(unsure) < 2 or float(unsure.mean()) >= 0:
        return f"expected logits of a sure discriminator, below 0, got {len(unsure)} of mean {float(unsure.mean()):.3g}"
    return expect(0 < true < used, "a smaller gradient of the true loss", f"{true:.3g} against {used:.3g}")


def samples_like_the_images(training: Training) -> str | None:
    """Generated images are (N, 1, S, S) in [-1, 1], the range of the generator's tanh, and real ones have to be too.
    Real images in [0, 1] are told from fakes by their ground alone, and the generator learns nothing else."""
    images, wanted = _sample(training, 4), (4, 1, training.preset.size, training.preset.size)
    fits = tuple(images.shape) == wanted and images.abs().max() <= 1
    got = f"{tuple(images.shape)} up to {float(images.abs().max()):.3g}"
    return expect(fits, f"samples {wanted} in [-1, 1]", got)


def a_sample_is_its_own(training: Training) -> str | None:
    """Samples are drawn in eval mode, so that an image depends on its z and nothing else. In training mode batch norm
    mixes the batch into it: the same z gives other images beside others, and a grid of one z a column shows nothing."""
    alone = not training.generator.training and same(_sample(training, 6)[:2], _sample(training, 2))
    return expect(alone, "the same image of a z alone and in a batch", "others")


def labels_are_obeyed(told: Training) -> str | None:
    """One z with two labels gives two images. A generator that ignores its labels, or gets them in another order than
    the discriminator, draws digits that look right and are not those that were asked for."""
    deaf = same(_sample(told, 2, label=0), _sample(told, 2, label=1))
    return expect(told.preset.num_classes and not deaf, "other images of another label", "the same")


def losses_stay_finite(training: Training) -> str | None:
    """A loss that is not a number spoils every weight at the next update, and training goes on as if nothing were.
    log(1 - D) of a sure discriminator is where it comes from: compute losses from logits."""
    losses = training.history.discriminator_loss + training.history.generator_loss
    return expect(np.isfinite(losses).all(), "finite losses", "others")


def both_networks_are_trained(training: Training) -> str | None:
    """The discriminator learns to tell, the generator to fool it, one step each in turn. With a fake that is not
    detached, or an optimiser that holds the other's weights, one of them stands still or works against itself."""
    rates = training.preset.generator_rate, training.preset.discriminator_rate
    return expect(min(rates) > 0, "a training of both networks", f"learning rates {rates[0]} and {rates[1]}")


@torch.no_grad()
def _sample(training: Training, number: int, label: int = 0) -> Tensor:
    """Images of the generator as it is; the first z are the same for any number."""
    device = next(training.generator.parameters()).device
    z = draw_latents(8, training.generator.latent_dim, seed=0)[:number].to(device)
    labels = torch.full((number,), label, device=device) if training.preset.num_classes else None
    return generate(training.generator, z, labels, "float32").cpu()
