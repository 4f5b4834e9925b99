"""What Chapter 4's trials add: spectral norm, PyTorch's initialisation."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from dlapps import gan
from dlapps.core.runtime import make_generator
from studies import gan_settings
from studies.gan_settings import Trial

torch.set_num_threads(1)

TINY = Trial(generator_channels=4, discriminator_channels=4, size=16)
TINY = replace(TINY, latent_dim=5, batch_size=8, num_epochs=2)


def test_a_trial_that_adds_nothing_is_the_library_s_training():
    images = torch.randint(256, (60, 16, 16), generator=make_generator(0)).byte()
    networks = gan_settings.make_networks(TINY, 0)
    training = gan.fit_gan(images, TINY, networks=networks)
    assert training.history == gan.fit_gan(images, TINY).history


def test_spectral_norm_makes_the_largest_singular_value_one():
    trial = Trial(discriminator_channels=8, spectral=True)
    _, discriminator = gan_settings.make_networks(trial, 0)
    assert not any(type(layer) is nn.BatchNorm2d for layer in discriminator.layers)
    # It takes a step of its power iteration at each call.
    for _ in range(60):
        discriminator(torch.rand(4, 1, 32, 32))
    for module in discriminator.eval().modules():
        if isinstance(module, nn.Conv2d):
            length = torch.linalg.matrix_norm(module.weight.flatten(1), 2)
            assert length.item() == pytest.approx(1, abs=0.05)


def test_pytorch_s_own_initialisation():
    _, discriminator = gan_settings.make_networks(Trial(initialised=False), 0)
    # Uniform up to 1 / sqrt(fan in), 32 channels of 16 weights.
    weight = discriminator.layers[3].weight.detach()
    assert weight.abs().max() == pytest.approx(512**-0.5, rel=1e-3)
