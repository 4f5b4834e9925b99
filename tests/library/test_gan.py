"""The networks against the lab assignment's, steps that reach one network only, what a
training gives, samples.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dlapps import gan
from dlapps.core.runtime import make_generator
from dlapps.core.training import DivergenceError
from dlapps.gan import sampling
from dlapps.gan.networks import initialise
from dlapps.gan.steps import LOSSES, discriminator_loss

torch.set_num_threads(1)

TINY = gan.Settings(
    latent_dim=5,
    generator_channels=4,
    discriminator_channels=4,
    size=16,
    batch_size=8,
    num_epochs=2,
)
CONDITIONAL = replace(TINY, num_classes=3)


@pytest.fixture(scope="module")
def images():
    """Bright squares on black, at one of three heights, and these as labels."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.zeros(30, 16, 16, dtype=torch.uint8)
    for row, picture in enumerate(pictures):
        left = int(torch.randint(10, (), generator=generator))
        picture[1 + 5 * (row % 3) : 5 + 5 * (row % 3), left : left + 5] = 255
    return pictures


@pytest.fixture(scope="module")
def labels():
    return torch.arange(30) % 3


def own():
    """A generator and a discriminator of linear layers, the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = nn.Sequential(
            nn.Linear(5, 256, bias=False),
            nn.BatchNorm1d(256),
            nn.Tanh(),
            nn.Unflatten(1, (1, 16, 16)),
        )
        discriminator = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256, 8),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(8, 1),
        )
    return generator, discriminator


def z_of(number):
    return gan.draw_latents(number, 5, seed=0)


def weights_of(*networks):
    return [
        weight.detach().clone()
        for network in networks
        for weight in network.parameters()
    ]


def close_samples(first, second):
    """The same but for the rounding of bfloat16."""
    torch.testing.assert_close(first, second, atol=2e-2, rtol=0)


class Assigned(nn.Module):
    """A network of the lab assignment: first layers, those of the labels, the rest."""

    def __init__(self, first, of_labels, rest):
        super().__init__()
        self.first = first
        self.of_labels = of_labels
        self.rest = rest

    def forward(self, inputs, labels=None):
        if inputs.ndim == 2:
            inputs = inputs[:, :, None, None]
        maps = self.first(inputs)
        if labels is not None:
            planes = torch.zeros(len(inputs), 10, *inputs.shape[2:])
            planes[torch.arange(len(inputs)), labels] = 1
            maps = torch.cat([maps, self.of_labels(planes)], 1)
        return self.rest(maps)


def start(before, after):
    layer = nn.ConvTranspose2d(before, after, 4, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


def up(before, after):
    layer = nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(after), nn.ReLU())


def draw_from(maps):
    layer = nn.ConvTranspose2d(maps, 1, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, nn.Tanh())


def down(before, after, norm=True):
    layer = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
    layers = [layer, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    if not norm:
        del layers[1]
    return nn.Sequential(*layers)


def one_logit(maps):
    return nn.Sequential(nn.Conv2d(maps, 1, 4, bias=False), nn.Flatten(0))


def assigned_networks(settings, seed):
    """The assignment's generator and discriminator, with the weights of the seed."""
    if settings.num_classes:
        rest = nn.Sequential(up(512, 256), up(256, 128), draw_from(128))
        generator = Assigned(start(100, 256), start(10, 256), rest)
        rest = nn.Sequential(down(128, 256), down(256, 512), one_logit(512))
        first = down(1, 64, norm=False)
        discriminator = Assigned(first, down(10, 64, norm=False), rest)
    else:
        rest = nn.Sequential(up(128, 64), up(64, 32), draw_from(32))
        generator = Assigned(start(100, 128), None, rest)
        rest = nn.Sequential(down(32, 64), down(64, 128), one_logit(128))
        discriminator = Assigned(down(1, 32), None, rest)
    draws = make_generator(seed)
    initialise(generator, draws)
    initialise(discriminator, draws)
    return generator, discriminator


def check_same_state(first, second, **tolerance):
    """The same weights and statistics, in the same order."""
    first = list(first.state_dict().values())
    second = list(second.state_dict().values())
    torch.testing.assert_close(first, second, check_stride=False, **tolerance)


def train_gradients(generator, discriminator, z, labels):
    """Logits of samples in training mode, and the gradient of all weights."""
    fakes = generator(z, *labels)
    logits = discriminator(fakes, *labels)
    weights = [*generator.parameters(), *discriminator.parameters()]
    loss = F.softplus(-logits).mean()
    return fakes, logits, torch.autograd.grad(loss, weights)


@pytest.mark.parametrize("settings", [gan.PRACTICAL, gan.CONDITIONAL_PRACTICAL])
def test_networks_compute_what_the_assignment_s_do(settings):
    assigned = assigned_networks(settings, 0)
    ours = gan.make_networks(settings, 0)
    for first, second in zip(assigned, ours, strict=True):
        check_same_state(first, second, atol=0, rtol=0)
    z = gan.draw_latents(6, 100, seed=1)
    # Some classes twice, others not at all.
    labels = (torch.tensor([0, 3, 3, 9, 0, 4]),) if settings.num_classes else ()
    fakes, logits, gradients = train_gradients(*assigned, z, labels)
    our_fakes, our_logits, our_gradients = train_gradients(*ours, z, labels)
    torch.testing.assert_close(our_fakes, fakes, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(our_logits, logits, atol=1e-5, rtol=1e-4)
    for gradient, expected in zip(our_gradients, gradients, strict=True):
        error = (gradient - expected).norm() / expected.norm()
        assert error < 1e-4
    # Batch norm has gathered the same statistics, which it uses in eval mode.
    for first, second in zip(assigned, ours, strict=True):
        check_same_state(first.eval(), second.eval())
    images = assigned[0](z, *labels)
    torch.testing.assert_close(ours[0](z, *labels), images, atol=1e-5, rtol=1e-4)
    expected = assigned[1](images, *labels)
    torch.testing.assert_close(ours[1](images, *labels), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_shapes_range_and_one_logit_an_image(size, num_classes):
    settings = replace(TINY, size=size, num_classes=num_classes)
    generator, discriminator = gan.make_networks(settings, 0)
    labels = (torch.tensor([3, 9, 3]),) if num_classes else ()
    fakes = generator(z_of(3), *labels)
    assert fakes.shape == (3, 1, size, size)
    assert fakes.abs().max() <= 1
    assert discriminator(fakes, *labels).shape == (3,)


def test_initialisation_is_the_assignment_s_and_depends_on_the_seed_alone():
    before = torch.random.get_rng_state()
    generator, discriminator = gan.make_networks(gan.PRACTICAL, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    convolution = discriminator.layers[3].weight.detach()
    assert convolution.std() == pytest.approx(0.02, rel=0.02)
    norm = generator.to_images[1].requires_grad_(False)
    assert norm.weight.mean() == pytest.approx(1, abs=0.02)
    other, _ = gan.make_networks(gan.PRACTICAL, 1)
    assert not torch.equal(weights_of(other)[0], weights_of(generator)[0])


def test_losses_by_hand():
    real = torch.tensor([0.0, 2.0])
    fake = torch.tensor([-1.0, 3.0])
    d_real = torch.sigmoid(real)
    d_fake = torch.sigmoid(fake)
    log_real = d_real.log().mean()
    log_not_fake = (1 - d_fake).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), -log_real - log_not_fake)
    torch.testing.assert_close(LOSSES["saturating"](fake), log_not_fake)
    torch.testing.assert_close(LOSSES["non-saturating"](fake), -d_fake.log().mean())


def test_frames_are_taken_on_the_way_and_at_the_end(images, labels):
    settings = replace(CONDITIONAL, average=0.9, anneal=True)
    training = gan.fit_gan(images, settings, labels=labels, frame_every=3)
    assert training.frame_batches == [0, 3, 6, 8]
    assert training.frames.shape == (4, 30, 16, 16)
    assert {len(values) for values in training.history.values()} == {8}
    drawn = gan.to_uint8(gan.sample_grid(training.generator, z_of(10)))
    assert torch.equal(training.frames[-1], drawn.flatten(0, 1))


def test_levels_and_pixels_are_each_other_s_inverse():
    levels = torch.randint(
        256, (2, 5, 5), dtype=torch.uint8, generator=make_generator(0)
    )
    pixels = sampling.from_uint8(levels)
    torch.testing.assert_close(pixels, levels[:, None] / 127.5 - 1)
    assert torch.equal(gan.to_uint8(pixels), levels)
    assert torch.equal(gan.to_uint8(pixels.numpy()), levels)


def test_networks_of_one_s_own_are_trained_in_place(images):
    networks = own()
    before = weights_of(networks[0])
    state = torch.random.get_rng_state()
    training = gan.fit_gan(images, TINY, networks=networks)
    assert (training.generator, training.discriminator) == networks
    assert not any(map(torch.equal, before, weights_of(networks[0])))
    # Dropout hangs on the seed alone.
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(1)
    again = gan.fit_gan(images, TINY, networks=own())
    assert again.history == training.history


def test_samples_come_from_the_average_which_nears_the_last_weights(images):
    def distance(average):
        networks = gan.make_networks(TINY, 0)
        settings = replace(TINY, num_epochs=4, average=average)
        training = gan.fit_gan(images, settings, networks=networks)
        averaged = training.generator.from_z[1].weight.detach()
        return (averaged - networks[0].from_z[1].weight.detach()).abs().mean()

    assert distance(0) == 0
    assert 0 < distance(0.2) < distance(0.9)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_is_that_of_a_textbook_loop(images, loss):
    settings = replace(TINY, batch_size=30, num_epochs=2, loss=loss)
    generator, discriminator = own()
    # Without dropout, whose draws the loop below would have to repeat.
    discriminator = nn.Sequential(*discriminator[:3], discriminator[4])
    given = copy.deepcopy((generator, discriminator))
    gan.fit_gan(images, settings, networks=given)
    real = images[:, None] / 127.5 - 1
    latents = make_generator(0)
    adam_g = torch.optim.Adam(
        generator.parameters(), settings.generator_rate, (0.5, 0.999)
    )
    adam_d = torch.optim.Adam(
        discriminator.parameters(), settings.discriminator_rate, (0.5, 0.999)
    )
    bce = F.binary_cross_entropy_with_logits
    ones = torch.ones(30, 1)
    zeros = torch.zeros(30, 1)
    for _ in range(2):
        fake = generator(torch.randn(30, 5, generator=latents))
        real_loss = bce(discriminator(real), ones)
        fake_loss = bce(discriminator(fake.detach()), zeros)
        adam_d.zero_grad()
        (real_loss + fake_loss).backward()
        adam_d.step()
        logits = discriminator(fake)
        adam_g.zero_grad()
        if loss == "non-saturating":
            bce(logits, ones).backward()
        else:
            (-bce(logits, zeros)).backward()
        adam_g.step()
    plain_weights = weights_of(generator, discriminator)
    torch.testing.assert_close(weights_of(*given), plain_weights, atol=2e-6, rtol=1e-4)


def test_a_picture_is_resized_as_pillow_does():
    picture = torch.randint(
        256, (1, 28, 28), dtype=torch.uint8, generator=make_generator(0)
    )
    for size in (16, 32, 64):
        resized = Image.fromarray(picture[0].numpy()).resize(
            (size, size), Image.BILINEAR
        )
        expected = torch.tensor(np.asarray(resized)).int()
        assert (gan.prepare_images(picture, size)[0] - expected).abs().max() <= 1


def test_samples_do_not_depend_on_the_batch_and_leave_the_mode(monkeypatch):
    generator = gan.make_networks(CONDITIONAL, 0)[0]
    z = z_of(9)
    labels = torch.tensor([0, 1, 2] * 3)
    at_once = gan.sample(generator, z, labels)
    monkeypatch.setattr(sampling, "BATCH", 2)
    close_samples(gan.sample(generator, z.tolist(), labels.numpy()), at_once)
    assert generator.training


def test_a_grid_has_a_row_a_digit_and_a_column_a_z():
    generator = gan.make_networks(CONDITIONAL, 0)[0].eval()
    grid = gan.sample_grid(generator, z_of(4))
    assert grid.shape == (3, 4, 1, 16, 16)
    close_samples(grid[2], gan.sample(generator, z_of(4), torch.full((4,), 2)))


def test_the_committed_generators_draw_in_the_right_range():
    for name, labels in (("dcgan", None), ("cdcgan", torch.arange(4))):
        images = gan.sample(gan.load(name), gan.draw_latents(4, 100, seed=0), labels)
        assert images.shape == (4, 1, 32, 32)
        # White strokes on black: both ends of the range are reached.
        assert images.amin() < -0.9
        assert images.amax() > 0.5


def test_a_loss_that_is_not_finite_stops_the_training(images):
    with pytest.raises(
        DivergenceError, match=r"expected a finite loss, got (nan|inf);"
    ):
        gan.fit_gan(images, replace(TINY, generator_rate=1e38))


def test_bad_input_gets_one_sentence(images):
    with pytest.raises(ValueError, match=r"^expected a size of 16, 32, 64"):
        gan.fit_gan(images, replace(TINY, size=24))
    with pytest.raises(ValueError, match=r"^expected square grey images"):
        gan.fit_gan(images[:, :, :10], TINY)
    with pytest.raises(ValueError, match=r"^expected settings with classes and labels"):
        gan.fit_gan(images, CONDITIONAL)
