"""Generative adversarial networks (Goodfellow et al. 2014): the DCGAN of Radford et al.
(2016) and a conditional DCGAN.

Trainings take several grey images uint8 (N, H, H) with levels from 0 to 255. Networks
take and draw float32 (N, 1, S, S) in [-1, 1], where S is a power of two, 16 or more.
Latent vectors z are float32 (N, latent_dim), labels (N,) in [0, K).
Wrong sizes and labels out of range raise ValueError.
"""

from dlapps.gan import flow
from dlapps.gan.judge import (
    classify,
    features_and_logits,
    fit_digit_classifier,
    load_digit_classifier,
    precision_recall,
)
from dlapps.gan.networks import (
    CONDITIONAL_PRACTICAL,
    PRACTICAL,
    ConditionalDiscriminator,
    ConditionalGenerator,
    Discriminator,
    Generator,
    Settings,
    make_networks,
)
from dlapps.gan.sampling import (
    draw_latents,
    load,
    prepare_images,
    sample,
    sample_grid,
    to_uint8,
)
from dlapps.gan.training import Training, fit_gan

__all__ = [
    "CONDITIONAL_PRACTICAL",
    "PRACTICAL",
    "ConditionalDiscriminator",
    "ConditionalGenerator",
    "Discriminator",
    "Generator",
    "Settings",
    "Training",
    "classify",
    "draw_latents",
    "features_and_logits",
    "fit_digit_classifier",
    "fit_gan",
    "flow",
    "load",
    "load_digit_classifier",
    "make_networks",
    "precision_recall",
    "prepare_images",
    "sample",
    "sample_grid",
    "to_uint8",
]
