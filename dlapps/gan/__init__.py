"""Generative adversarial networks (Goodfellow et al. 2014): the DCGAN of Radford et al.
(2016) and a conditional DCGAN.

Trainings take images uint8, grey (N, H, H) or colour (N, H, H, 3), as tensors, arrays
or lists. Networks take and draw float32 (N, C, S, S) in [-1, 1], where S is a power of
two, 16 or more. Latent vectors z are float32 (N, latent_dim), labels (N,) in [0, K).
Wrong sizes and labels out of range raise ValueError.
"""

from dlapps.gan import flow
from dlapps.gan.judge import (
    classify,
    conditional_accuracy,
    features_and_logits,
    fit_digit_classifier,
    gan_train_accuracy,
    load_digit_classifier,
    stroke_statistics,
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
    interpolate,
    load_assigned,
    load_best,
    load_generator,
    sample,
    sample_grid,
    save_generator,
    to_uint8,
)
from dlapps.gan.steps import LOSSES, generate, spread
from dlapps.gan.training import Training, fit_gan, prepare_images

__all__ = [
    "CONDITIONAL_PRACTICAL",
    "LOSSES",
    "PRACTICAL",
    "ConditionalDiscriminator",
    "ConditionalGenerator",
    "Discriminator",
    "Generator",
    "Settings",
    "Training",
    "classify",
    "conditional_accuracy",
    "draw_latents",
    "features_and_logits",
    "fit_digit_classifier",
    "fit_gan",
    "flow",
    "gan_train_accuracy",
    "generate",
    "interpolate",
    "load_assigned",
    "load_best",
    "load_digit_classifier",
    "load_generator",
    "make_networks",
    "prepare_images",
    "sample",
    "sample_grid",
    "save_generator",
    "spread",
    "stroke_statistics",
    "to_uint8",
]
