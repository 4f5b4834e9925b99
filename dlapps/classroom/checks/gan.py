"""Chapter 4, generative adversarial networks: the first steps by hand, and each training that an exercise makes."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps.classroom.checks.expect import expect, same
from dlapps.gan import Training, draw_latents, generate


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
    wanted = torch.special.entr(shares).sum()
    if len(shares) != 10 or not same(shares.sum(), 1):
        return f"expected ten shares that sum to 1, got {len(shares)} that sum to {float(shares.sum()):.4g}"
    return expect(same(entropy, wanted), f"an entropy of {float(wanted):.4f}", f"{float(entropy):.4f}")


def the_gradients_of_two_losses(norms: Mapping[str, Tensor]) -> str | None:
    """A sure discriminator leaves the true loss without a gradient, and the loss that is used with one. That is why the
    generator is not trained on the loss of the game."""
    true, used = float(norms["true"]), float(norms["used"])
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
    trained = training.preset.trained
    return expect(len(trained) == 2, "a training of both networks", " and ".join(trained))


@torch.no_grad()
def _sample(training: Training, number: int, label: int = 0) -> Tensor:
    """Images of the generator as it is; the first z are the same for any number."""
    device = next(training.generator.parameters()).device
    z = draw_latents(8, training.generator.latent_dim, seed=0)[:number].to(device)
    labels = torch.full((number,), label, device=device) if training.preset.num_classes else None
    return generate(training.generator, z, labels, "float32").cpu()
