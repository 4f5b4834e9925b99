"""Chapter 4, generative adversarial networks: every training in the notebook is looked at, whatever its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlapps.classroom.checks.expect import expect, same
from dlapps.gan import Training, draw_latents, generate


def samples_like_the_images(variables: Mapping[str, Any]) -> str | None:
    """Generated images are (N, 1, S, S) in [-1, 1], the range of the generator's tanh, and real ones have to be too.
    Real images in [0, 1] are told from fakes by their ground alone, and the generator learns nothing else."""
    for name, training in _trainings(variables):
        images, size = _sample(training, 4), training.preset.size
        if tuple(images.shape) != (4, 1, size, size) or images.abs().max() > 1:
            return f"expected samples (4, 1, {size}, {size}) in [-1, 1] of {name}, got {tuple(images.shape)}"
    return None


def a_sample_is_its_own(variables: Mapping[str, Any]) -> str | None:
    """Samples are drawn in eval mode, so that an image depends on its z and nothing else. In training mode batch norm
    mixes the batch into it: the same z gives other images beside others, and a grid of one z a column shows nothing."""
    for name, training in _trainings(variables):
        if training.generator.training or not same(_sample(training, 6)[:2], _sample(training, 2)):
            return f"expected the same image of a z alone and in a batch, got others of {name}"
    return None


def labels_are_obeyed(variables: Mapping[str, Any]) -> str | None:
    """One z with two labels gives two images. A generator that ignores its labels, or gets them in another order than
    the discriminator, draws digits that look right and are not those that were asked for."""
    for name, training in _trainings(variables):
        if training.preset.num_classes and same(_sample(training, 2, label=0), _sample(training, 2, label=1)):
            return f"expected other images of another label, got the same of {name}"
    return None


def losses_stay_finite(variables: Mapping[str, Any]) -> str | None:
    """A loss that is not a number spoils every weight at the next update, and training goes on as if nothing were.
    log(1 - D) of a sure discriminator is where it comes from: compute losses from logits."""
    for name, training in _trainings(variables):
        losses = training.history.discriminator_loss + training.history.generator_loss
        if not np.isfinite(losses).all():
            return f"expected finite losses, got others in {name}"
    return None


def both_networks_are_trained(variables: Mapping[str, Any]) -> str | None:
    """The discriminator learns to tell, the generator to fool it, one step each in turn. With a fake that is not
    detached, or an optimiser that holds the other's weights, one of them stands still or works against itself."""
    both = [name for name, training in _trainings(variables) if len(training.preset.trained) == 2]
    return expect(both, "a training of both networks", "none")


def _trainings(variables: Mapping[str, Any]) -> Iterator[tuple[str, Training]]:
    """Trainings by name, in dictionaries too; a ValueError when there is none."""
    found = False
    for name, value in variables.items():
        for key, part in value.items() if isinstance(value, dict) and not name.startswith("_") else ((None, value),):
            if isinstance(part, Training) and not name.startswith("_"):
                found = True
                yield (name if key is None else f"{name}[{key!r}]"), part
    if not found:
        raise ValueError("no result of fit_gan or fit_conditional_gan")


@torch.no_grad()
def _sample(training: Training, number: int, label: int = 0) -> Tensor:
    """Images of the generator as it is; the first z are the same for any number."""
    device = next(training.generator.parameters()).device
    z = draw_latents(8, training.generator.latent_dim, seed=0)[:number].to(device)
    labels = torch.full((number,), label, device=device) if training.preset.num_classes else None
    return generate(training.generator, z, labels, "float32").cpu()
