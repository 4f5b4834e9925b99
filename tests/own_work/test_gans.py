"""GANs of one's own: colour, arrays, networks, and whether the images are any good, each in a short script."""

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def draw_flags(number=64):
    """Red above, blue below, with a bright band at one of many heights: uint8 (N, 16, 16, 3)."""
    random = np.random.default_rng(0)
    flags = np.zeros((number, 16, 16, 3), np.uint8)
    flags[:, :8, :, 0] = flags[:, 8:, :, 2] = 200
    for flag, height in zip(flags, random.integers(0, 14, number), strict=True):
        flag[height : height + 2] = 255
    return flags


def test_colour_arrays_to_a_mosaic():
    flags = draw_flags()

    from dataclasses import replace

    from dlapps import gan
    from dlapps.plots.gan import plot_mosaic

    preset = replace(gan.PRACTICAL, channels=3, size=16, batch_size=16, generator_rate=1e-2, num_epochs=20)
    preset = replace(preset, generator_channels=16, discriminator_channels=16)
    training = gan.fit_gan(flags, preset, checkpoint="run.pt")
    z = gan.draw_latents(12, preset.latent_dim, seed=1)
    samples = gan.to_uint8(gan.sample(training.generator, z))
    plot_mosaic(samples.reshape(3, 4, 16, 16, 3)).savefig("mosaic.png")
    gan.save_generator("generator.pt", training.generator, preset)

    assert samples[:, :8, :, 0].float().mean() > samples[:, :8, :, 2].float().mean() + 10
    assert samples[:, 8:, :, 2].float().mean() > samples[:, 8:, :, 0].float().mean() + 10
    kept = gan.to_uint8(gan.sample(gan.load_generator("generator.pt"), z)).int()
    assert (kept - samples.int()).abs().float().mean() < 3


def test_networks_of_one_s_own():
    flags = draw_flags()[..., 0]

    from dataclasses import replace

    from torch import nn

    from dlapps import gan

    preset = replace(gan.PRACTICAL, latent_dim=8, size=16, batch_size=16, num_epochs=30, generator_rate=2e-3)
    generator = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 256), nn.Tanh(), nn.Unflatten(1, (1, 16, 16)))
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    training = gan.fit_gan(flags, preset, networks=(generator, discriminator))
    samples = gan.to_uint8(gan.sample(generator, gan.draw_latents(64, 8, seed=1)))

    assert training.generator is generator
    assert np.abs(samples.numpy().mean((0, 2)) - flags.mean((0, 2))).mean() < 40


def test_health_of_images_that_are_bad():
    flags = np.concatenate([draw_flags(256)] * 2)[..., 0]
    flags = flags - np.random.default_rng(1).integers(0, 20, flags.shape, np.uint8)

    from dataclasses import replace

    from dlapps import gan

    preset = replace(gan.PRACTICAL, size=16, batch_size=64, num_epochs=4, generator_channels=8)
    training = gan.fit_gan(flags, preset)
    z = gan.draw_latents(200, preset.latent_dim, seed=1)
    fakes = gan.to_uint8(gan.sample(training.generator, z))
    alone, seen = training.history.health(), training.history.health(real=flags, fake=fakes)

    assert "judged by losses and spread alone" in alone
    assert seen.startswith(("poor", "collapsed"))
    assert "precision 0." in seen


def test_what_would_be_squashed_is_refused():
    from dataclasses import replace

    from dlapps import gan

    with pytest.raises(ValueError, match="expected square images, got 20 x 32 pixels; crop or pad them"):
        gan.fit_gan(np.zeros((8, 20, 32), np.uint8))
    with pytest.raises(ValueError, match="expected loss to be one of non-saturating, saturating, hinge, got 'wgan'"):
        replace(gan.PRACTICAL, loss="wgan")
