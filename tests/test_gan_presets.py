"""What Chapter 4's studies add to a training: penalties, other norms, moved images, modes sought, clusters."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlapps import gan
from dlapps.core.runtime import make_generator
from studies import gan_presets
from studies.gan_presets import PENALTIES, Trial, fit_trial, likeness

torch.set_num_threads(1)

TINY = Trial(generator_channels=4, discriminator_channels=4, size=16)
TINY = replace(TINY, latent_dim=5, batch_size=8, num_epochs=2)


@pytest.fixture(scope="module")
def places():
    """0 to 5: three heights, left or right, a sixth of them left."""
    return 2 * (torch.arange(60) % 3) + (torch.arange(60) >= 10)


@pytest.fixture(scope="module")
def images(places):
    """Squares of several greys at these places."""
    grey = torch.randint(200, 256, (60,), generator=make_generator(0)).byte()
    pictures = torch.zeros(60, 16, 16, dtype=torch.uint8)
    for picture, place, level in zip(pictures, places, grey, strict=True):
        top, left = 1 + 5 * (place // 2), 1 + 9 * (place % 2)
        picture[top : top + 4, left : left + 4] = level
    return pictures


def test_a_trial_that_adds_nothing_is_the_library_s_training(images):
    assert fit_trial(images, TINY).history == gan.fit_gan(images, TINY).history


def test_a_network_of_rate_0_stands_still(images):
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):
        training = fit_trial(images, replace(TINY, **{f"{name}_rate": 0.0}))
        start = dict(zip(("generator", "discriminator"), gan.make_networks(TINY, 0), strict=True))
        for part, same in ((name, True), (other, False)):
            pairs = zip(start[part].parameters(), getattr(training, part).parameters(), strict=True)
            assert all(torch.equal(*pair) for pair in pairs) == same


def test_slopes_are_those_of_a_linear_discriminator():
    real, fake = torch.rand(2, 5, 1, 4, 4)
    weights = torch.zeros(4, 4)
    weights[0, :2] = torch.tensor([3.0, 4.0])

    def score(images):
        return (images * weights).sum((1, 2, 3))

    given = score, real, fake, None, make_generator(0)
    found = {name: penalty(*given).item() for name, penalty in PENALTIES.items()}
    assert found == pytest.approx({"R1": 25 / 2, "gradient": (5 - 1) ** 2})


def test_a_penalty_flattens_the_discriminator(images):
    trial = replace(TINY, penalty="R1", norm="none", discriminator_rate=1e-2, initialised=False)
    real, slopes = images[:, None].float() / 127.5 - 1, []
    for weight in (0.0, 10.0):
        discriminator = fit_trial(images, replace(trial, penalty_weight=weight)).discriminator
        slopes.append(gan_presets.squared_slopes(discriminator, real, None).mean())
    assert slopes[1] < slopes[0] / 2


def test_likeness_is_of_neighbours_of_one_label():
    images = torch.tensor([0.0, 1, 3, 7]).view(4, 1, 1, 1).expand(-1, 1, 2, 2).requires_grad_()
    z = torch.tensor([[0.0], [2.0], [3.0], [6.0]])
    assert likeness(images, z).item() == pytest.approx((2 + 1 + 3) / (1 + 2 + 4))
    assert likeness(images, z, torch.arange(4) % 2).item() == pytest.approx((3 + 4) / (3 + 6))
    assert likeness(images, z, torch.arange(4)) == 0
    likeness(images, z).backward()
    assert images.grad[0].sum() > 0 > images.grad[3].sum()  # downwards they move apart


def test_a_generator_that_seeks_modes_varies_more(images, places):
    told = replace(TINY, num_classes=3, num_epochs=8)
    trials = (replace(told, seeking=weight) for weight in (0.0, 0.3))
    made = (fit_trial(images, trial, labels=places // 2) for trial in trials)
    plain, sought = (training.history.spread for training in made)
    assert np.mean(sought[-10:]) > 1.4 * np.mean(plain[-10:])


@pytest.mark.parametrize("norm", gan_presets.NORMS)
def test_norms_of_the_discriminator(norm):
    _, discriminator = gan_presets.make_networks(Trial(discriminator_channels=8, norm=norm), 0)
    normed = [isinstance(block[1], nn.BatchNorm2d) for block in discriminator.layers[:-1]]
    assert normed == [norm == "batch", *["batch" in norm] * 2]
    for weight in discriminator.parameters():
        if weight.ndim == 4:
            assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.2)
    # Spectral norm takes a step of its power iteration at each call.
    images = torch.rand(4, 1, 32, 32)
    together, alone = (copy.deepcopy(discriminator)(part) for part in (images, images[:2]))
    assert torch.allclose(together[:2], alone, atol=1e-6) is (norm in ("layer", "spectral", "none"))
    for _ in range(60):
        discriminator(images)
    for module in discriminator.eval().modules():
        if norm == "spectral" and isinstance(module, nn.Conv2d):
            length = torch.linalg.matrix_norm(module.weight.flatten(1), 2)
            assert length.item() == pytest.approx(1, abs=0.05)


def test_pytorch_s_own_initialisation():
    _, discriminator = gan_presets.make_networks(Trial(initialised=False), 0)
    # Uniform up to 1 / sqrt(fan in), 32 channels of 16 weights.
    weight = discriminator.layers[1][0].weight.detach()
    assert weight.abs().max() == pytest.approx(512**-0.5, rel=1e-3)


def test_moved_images_are_shifted_ones_and_hand_the_gradient_back():
    images = torch.rand(6, 1, 16, 16, requires_grad=True)
    moved, again = (gan_presets.move(images, make_generator(0)) for _ in range(2))
    assert torch.equal(moved, again)
    for image, shifted in zip(images.detach()[:, 0], moved.detach()[:, 0], strict=True):
        windows = F.pad(image, (2,) * 4, value=-1).unfold(0, 16, 1).unfold(1, 16, 1)
        assert (windows == shifted).all((2, 3)).any()
    moved.sum().backward()
    assert images.grad.max() == 1
    assert images.grad.sum() == (moved != -1).sum()


def test_a_training_with_everything_on_goes_on_as_an_unbroken_one(images, tmp_path):
    trial = replace(TINY, penalty="gradient", loss="wasserstein", norm="none", moves=True)

    def break_off(generator, epoch):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_trial(images, trial, checkpoint=tmp_path / "run.pt", monitor=break_off)
    resumed = fit_trial(images, trial, checkpoint=tmp_path / "run.pt")
    assert resumed.history == fit_trial(images, trial).history


def test_the_last_number_of_z_draws_a_cluster_as_often_as_images_fall_into_it(places):
    def echo(z, labels):  # In place of a generator: an image is its label.
        assert z.shape == (len(labels), 5)
        return labels.float()

    echo.latent_dim, echo.num_classes = 5, 6
    generator = gan_presets.ClusteredGenerator(echo, places)
    drawn = generator(gan.draw_latents(6000, 6, seed=0)).long()
    shares = torch.bincount(drawn, minlength=6) / 6000
    torch.testing.assert_close(shares, torch.bincount(places) / 60, atol=0.01, rtol=0)
    # An extreme z draws the last one, not one beyond it.
    assert generator(torch.full((1, 6), 99.0)).item() == 5


def test_a_generator_on_clusters_draws_them(images, places):
    measured = []
    trial = replace(TINY, clusters=6, average=0.9)
    training = fit_trial(images, trial, measure=lambda one: measured.append(one) or {})
    assert training.generator.latent_dim == measured[-1].latent_dim == 6
    drawn = gan.to_uint8(gan.sample(training.generator, gan.draw_latents(64, 6, 0)))
    assert torch.equal(training.frames[-1], drawn)
    expected = torch.bincount(places) / 60
    torch.testing.assert_close(training.generator.shares.sort().values, expected.sort().values)
