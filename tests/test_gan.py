"""Networks to the layer, steps that reach one network only, what a training measures."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from dlapps import DlappsError, gan
from dlapps.core.runtime import make_generator
from dlapps.core.training import DivergenceError
from dlapps.gan import sampling, toy
from studies.gan_presets import r1

torch.set_num_threads(1)

TINY = replace(gan.PRACTICAL, generator_channels=4, discriminator_channels=4, size=16)
TINY = replace(TINY, latent_dim=5, batch_size=8, num_epochs=2)
CONDITIONAL = replace(TINY, num_classes=3)
COLOUR = replace(TINY, channels=3)
QUICK = replace(TINY, generator_channels=16, generator_rate=1e-2)


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


def in_colour(images):
    """White strokes in green, on red."""
    return torch.stack([255 - images, images, torch.zeros_like(images)], 3)


def own(size=16, channels=1):
    """A generator and a discriminator of linear layers, with dropout; the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        numbers = channels * size * size
        norm, to_images = nn.BatchNorm1d(numbers), nn.Unflatten(1, (channels, size, size))
        generator = nn.Sequential(nn.Linear(5, numbers, bias=False), norm, nn.Tanh(), to_images)
        first, last = nn.Linear(numbers, 8), nn.Linear(8, 1)
        return generator, nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Dropout(), last)


def z_of(number, latent_dim=5, seed=0):
    return gan.draw_latents(number, latent_dim, seed)


def weights_of(*networks):
    return [weight.detach().clone() for network in networks for weight in network.parameters()]


def unchanged(before, *networks):
    return all(torch.equal(a, b) for a, b in zip(before, weights_of(*networks), strict=True))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_practical_s_networks_have_its_numbers_of_weights():
    # 16 weights a pair of channels, 2 a channel of batch norm, no biases.
    pairs, normed = 100 * 128 + 128 * 64 + 64 * 32 + 32, 128 + 64 + 32
    assert count(gan.Generator()) == 16 * pairs + 2 * normed
    pairs = 32 + 32 * 64 + 64 * 128 + 128
    assert count(gan.Discriminator()) == 16 * pairs + 2 * normed
    pairs = 100 * 256 + 10 * 256 + 512 * 256 + 256 * 128 + 128
    assert count(gan.ConditionalGenerator()) == 16 * pairs + 2 * (256 + 256 + 256 + 128)
    pairs = 1 * 64 + 10 * 64 + 128 * 256 + 256 * 512 + 512
    assert count(gan.ConditionalDiscriminator()) == 16 * pairs + 2 * (256 + 512)


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("num_classes", [0, 10])
def test_shapes_range_and_one_logit_an_image(size, num_classes):
    preset = replace(TINY, size=size, num_classes=num_classes)
    generator, discriminator = gan.make_networks(preset, 0)
    given = (torch.tensor([3, 9, 3]),) if num_classes else ()
    fakes = generator(z_of(3), *given)
    assert fakes.shape == (3, 1, size, size)
    assert fakes.abs().max() <= 1
    assert discriminator(fakes, *given).shape == (3,)


def test_initialisation_is_the_practical_s_and_hangs_on_the_seed_alone():
    before = torch.random.get_rng_state()
    generator, discriminator = gan.make_networks(gan.PRACTICAL, 0)
    assert torch.equal(torch.random.get_rng_state(), before)
    norm = generator.rest[1][1].requires_grad_(False)
    assert discriminator.layers[1][0].weight.detach().std() == pytest.approx(0.02, rel=0.02)
    assert norm.weight.mean() == pytest.approx(1, abs=0.02)
    assert norm.weight.std() == pytest.approx(0.02, rel=0.4)
    assert not norm.bias.any()
    assert unchanged(weights_of(generator, discriminator), *gan.make_networks(gan.PRACTICAL, 0))
    assert not unchanged(weights_of(generator), gan.make_networks(gan.PRACTICAL, 1)[0])


def test_products_are_the_convolutions_that_they_stand_for():
    generator, discriminator = gan.make_networks(TINY, 0)
    z, maps = z_of(3), torch.randn(3, 4, 8, 8)
    first, last, logits = generator.first[0], generator.rest[-2], discriminator.layers[-1]
    torch.testing.assert_close(first(z), F.conv_transpose2d(z[:, :, None, None], first.weight))
    expected = F.conv_transpose2d(maps, last.weight, stride=2, padding=1)
    torch.testing.assert_close(last(maps), expected)
    maps = torch.randn(3, 8, 4, 4)
    torch.testing.assert_close(logits(maps), F.conv2d(maps, logits.weight).flatten())


def one_hot_maps(labels, size, num_classes=3):
    return F.one_hot(labels, num_classes).float()[:, :, None, None].expand(-1, -1, size, size)


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_s_label_table_is_the_convolution(training):
    generator = gan.make_networks(CONDITIONAL, 0)[0].double().train(training)
    y, z = torch.tensor([0, 2, 2, 0, 0]), z_of(5).double()
    table = F.conv_transpose2d(one_hot_maps(y, 1).double(), generator.from_labels.weight)
    halves = generator.from_z(z), generator.norm_labels(table)
    plain = generator.rest(generator.both(F.relu(torch.cat(halves, 1)))).float()
    torch.testing.assert_close(generator(z, y), plain)
    soft = F.one_hot(y, 3).double()
    torch.testing.assert_close(generator(z, soft), plain)


@pytest.mark.parametrize("training", [True, False])
def test_the_discriminator_s_label_table_is_the_convolution(training):
    discriminator = gan.make_networks(CONDITIONAL, 0)[1].train(training)
    y, x = torch.tensor([0, 2, 2, 0, 0]), torch.rand(5, 1, 16, 16)
    halves = discriminator.from_images(x), discriminator.from_labels(one_hot_maps(y, 16))
    plain = discriminator.rest(discriminator.both(F.leaky_relu(torch.cat(halves, 1), 0.2)))
    torch.testing.assert_close(discriminator(x, y), plain)
    parameters = [*discriminator.parameters()]
    weights = torch.linspace(-1, 1, 5)
    ours = torch.autograd.grad(discriminator(x, y) @ weights, parameters)
    for mine, theirs in zip(ours, torch.autograd.grad(plain @ weights, parameters), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_losses_by_hand():
    s = torch.tensor([0.0, 2.0])
    d = torch.sigmoid(s)
    plain, saturating, wasserstein = gan.LOSSES.values()
    torch.testing.assert_close(plain.discriminator(s, s), -(d.log().mean() + (1 - d).log().mean()))
    torch.testing.assert_close(plain.generator(s), -d.log().mean())
    torch.testing.assert_close(saturating.generator(s), (1 - d).log().mean())
    assert wasserstein.discriminator(s, s + 3) == -wasserstein.generator(s + 2) == 3


def test_frames_are_taken_on_the_way_and_at_the_end(images, labels):
    preset = replace(CONDITIONAL, average=0.9, anneal=True)
    training = gan.fit_conditional_gan(images, labels, preset, frame_every=3)
    assert training.frame_batches == [0, 3, 6, 8]
    assert training.frames.shape == (4, 30, 16, 16)
    assert {len(values) for name, values in training.history.items() if name != "measures"} == {8}
    z = z_of(10).repeat(3, 1)
    drawn = gan.to_uint8(gan.sample(training.generator, z, torch.arange(3).repeat_interleave(10)))
    assert torch.equal(training.frames[-1], drawn)


@pytest.mark.parametrize("classes", [0, 3])
def test_colour_images_are_learnt_and_drawn_in_colour(images, labels, classes):
    preset = replace(QUICK, channels=3, num_classes=classes, num_epochs=20)
    training = gan.fit_gan(in_colour(images), preset, labels=labels if classes else None)
    assert training.frames.shape[1:] == (30 if classes else 64, 16, 16, 3)
    red, green, blue = training.frames[-1].float().mean((0, 1, 2))
    assert red > 20 + max(green, blue)
    if classes:
        grid = gan.to_uint8(gan.sample_grid(training.generator, z_of(4)))
        assert grid.shape == (3, 4, 16, 16, 3)


def test_channels_first_arrays_and_lists_are_one(images, labels):
    expected = gan.fit_gan(in_colour(images), COLOUR).history
    for given in (in_colour(images).movedim(3, 1), in_colour(images).numpy()[:, ::-1][:, ::-1]):
        assert gan.fit_gan(given, COLOUR).history == expected
    expected, bytes_ = gan.fit_gan(images, CONDITIONAL, labels=labels).history, labels.byte().numpy()
    for given, told in ((images.numpy(), labels.tolist()), (images[:, None], bytes_)):
        assert gan.fit_conditional_gan(given, told, CONDITIONAL).history == expected
    assert torch.equal(gan.find_clusters(images.numpy(), 3), gan.find_clusters(images, 3))


def test_levels_and_pixels_are_each_other_s_inverse():
    levels = torch.randint(256, (2, 3, 5, 5), dtype=torch.uint8, generator=make_generator(0))
    for channels, expected in ((levels, levels.movedim(1, 3)), (levels[:, :1], levels[:, 0])):
        pixels = channels.float() / 127.5 - 1
        assert torch.equal(gan.to_uint8(pixels), expected)
        assert torch.equal(gan.to_uint8(pixels.numpy()), expected)


def test_networks_of_one_s_own_are_trained_in_place(images, tmp_path):
    networks, path = own(), tmp_path / "run.pt"
    before = weights_of(networks[0])
    training = gan.fit_gan(images, TINY, networks=networks, checkpoint=path)
    assert (training.generator, training.discriminator) == networks
    assert not any(map(torch.equal, before, weights_of(networks[0])))
    # Dropout hangs on the seed alone; the checkpoint is that of these networks.
    for options in ({}, {"checkpoint": str(path)}):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            assert gan.fit_gan(images, TINY, networks=own(), **options).history == training.history


@pytest.mark.parametrize("loss", gan.LOSSES)
def test_a_training_is_that_of_a_textbook_loop(images, loss):
    preset = replace(TINY, batch_size=30, num_epochs=2, loss=loss)
    generator, discriminator = own()
    # Without dropout, whose draws the loop below would have to repeat.
    discriminator = nn.Sequential(*discriminator[:3], discriminator[4])
    given = copy.deepcopy((generator, discriminator))
    gan.fit_gan(images, preset, networks=given, precision="float32")
    real, draw = images[:, None].float() / 127.5 - 1, make_generator(0)
    rates = {generator: preset.generator_rate, discriminator: preset.discriminator_rate}
    adam = [torch.optim.Adam(each.parameters(), rates[each], (0.5, 0.999)) for each in rates]

    def step(optimiser, value):
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    for _ in range(2):
        fake = generator(torch.randn(30, 5, generator=draw))
        scores = discriminator(real), discriminator(fake.detach())
        step(adam[1], gan.LOSSES[loss].discriminator(*scores))
        step(adam[0], gan.LOSSES[loss].generator(discriminator(fake)))
    for mine, theirs in zip(weights_of(generator, discriminator), weights_of(*given), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-6, rtol=1e-4)
    assert all(weight.grad is None for network in given for weight in network.parameters())


def test_two_threads_give_the_same_gradients_twice():
    narrow = replace(gan.CONDITIONAL_PRACTICAL, generator_channels=32, discriminator_channels=16)
    generator, discriminator = gan.make_networks(narrow, seed=0)
    z, labels = gan.draw_latents(128, 100, seed=0), torch.arange(128) % 10
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        losses = [discriminator(gan.generate(generator, z, labels), labels).sum() for _ in range(5)]
        gradients = [torch.autograd.grad(loss, [*generator.parameters()]) for loss in losses]
    finally:
        torch.set_num_threads(threads)
    for again in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], again, strict=True))


def test_measures_are_taken_in_eval_mode_and_kept(images):
    training = gan.fit_gan(images, TINY, measure=lambda one: {"on": one.training}, measure_every=3)
    assert training.history.measures == [{"batch": batch, "on": False} for batch in (3, 6, 8)]


def test_a_picture_is_resized_as_pillow_does():
    picture = torch.randint(256, (1, 28, 28), dtype=torch.uint8, generator=make_generator(0))
    for size in (16, 32, 64):
        resized = Image.fromarray(picture[0].numpy()).resize((size, size), Image.BILINEAR)
        expected = torch.tensor(np.asarray(resized)).int()
        assert (gan.prepare_images(picture, size)[0] - expected).abs().max() <= 1


def test_samples_do_not_depend_on_the_batch_and_leave_the_mode(monkeypatch):
    generator = gan.make_networks(TINY, 0)[0]
    whole = gan.sample(generator, z_of(9))
    monkeypatch.setattr(sampling, "BATCH", 2)
    parts = gan.sample(generator, z_of(9))
    torch.testing.assert_close(whole, parts, atol=2e-2, rtol=0)
    for z in (z_of(9).tolist(), z_of(9).numpy().astype(float)):
        torch.testing.assert_close(gan.sample(generator, z), whole, atol=2e-2, rtol=0)
    assert generator.training


@pytest.mark.parametrize("labels", [None, [0, 1, 2], [[0.5, 0.5]] * 5, [0, 1, 2, 3, 0], 1])
def test_labels_that_are_not_one_a_latent_vector_get_one_sentence(labels):
    generator = gan.make_networks(CONDITIONAL, 0)[0].eval()
    with pytest.raises(ValueError, match=r"expected (as many )?(labels|mixtures \(5, 3\))"):
        gan.sample(generator, z_of(5), labels)


def test_a_generator_of_another_preset_is_not_saved(tmp_path):
    generator = gan.make_networks(TINY, 0)[0]
    with pytest.raises(ValueError, match="expected the generator of this preset, got one of"):
        gan.save_generator(tmp_path / "g.pt", generator, gan.PRACTICAL)
    assert not [*tmp_path.iterdir()]


def test_a_grid_has_a_row_a_digit_and_a_column_a_z():
    generator = gan.make_networks(CONDITIONAL, 0)[0].eval()
    grid = gan.sample_grid(generator, z_of(4))
    assert grid.shape == (3, 4, 1, 16, 16)
    row = gan.sample(generator, z_of(4), torch.full((4,), 2))
    torch.testing.assert_close(grid[2], row, atol=2e-2, rtol=0)


def test_interpolation_stays_on_the_sphere():
    first, second = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = gan.interpolate(first, second, 5)
    torch.testing.assert_close(way.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(way[[0, -1]], torch.stack([first, second]))
    torch.testing.assert_close(gan.interpolate(first, first, 3), first.expand(3, 2))
    assert torch.equal(gan.interpolate(first.numpy(), second.tolist(), 5), way)


def test_health_names_what_went_wrong():
    def health(real, fake, spread):
        history = {"real_probability": [real], "fake_probability": [fake], "spread": [spread]}
        return gan.GanHistory(history).health().partition(":")[0]

    assert health(0.7, 0.3, 0.9) == "balanced"
    assert health(0.7, 0.3, 0.1) == "collapsed"
    assert health(0.99, 0.01, 0.9) == "the discriminator wins"
    assert health(0.5, 0.5, 0.9) == "the generator wins"
    assert gan.GanHistory().health() == "not trained yet"


def test_spread_notices_that_all_images_of_a_class_are_alike():
    labels = torch.arange(40) % 4
    alike = torch.randn(4, 1, 8, 8, generator=make_generator(0))[labels]
    assert gan.spread(alike) > 0.5
    assert gan.spread(alike, labels) < 1e-6
    noise = torch.randn(40, 1, 8, 8, generator=make_generator(1))
    within = torch.stack([noise[labels == label].var(0, correction=0) for label in range(4)])
    torch.testing.assert_close(gan.spread(alike + noise, labels), within.mean(0).sqrt().mean())
    # Classes that do not occur in the batch change nothing.
    torch.testing.assert_close(gan.spread(noise, 2 * labels), gan.spread(noise, labels))


@pytest.mark.parametrize("preset", [COLOUR, CONDITIONAL], ids=["colour", "conditional"])
def test_a_generator_is_stored_in_half_precision(preset, tmp_path):
    generator, _ = gan.make_networks(preset, 0)
    path = gan.save_generator(str(tmp_path / "generator.pt"), generator, preset)
    loaded = gan.load_generator(path)
    assert not loaded.training
    given = z_of(3), torch.arange(3) if preset.num_classes else None
    drawn, expected = (gan.sample(each, *given) for each in (loaded, generator))
    torch.testing.assert_close(drawn, expected, atol=2e-2, rtol=0)


def test_the_committed_generators_draw_in_the_right_range():
    for kind, labels in (("dcgan", None), ("cdcgan", torch.arange(4))):
        generator = gan.load_best(kind)
        images = gan.sample(generator, gan.draw_latents(4, generator.latent_dim, seed=0), labels)
        assert images.shape == (4, 1, 32, 32)
        # White strokes on black: both ends of the range are reached.
        assert images.amin() < -0.9
        assert images.amax() > 0.5
    with pytest.raises(DlappsError, match="expected a generator in"):
        gan.load_best("other")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(images, tmp_path):
    path = tmp_path / "training.pt"

    def poison(generator):
        next(generator.parameters()).data.fill_(torch.nan)
        return {}

    with pytest.raises(DivergenceError, match=r"expected finite numbers, got nan .* in batch 6"):
        gan.fit_gan(images, TINY, 0, checkpoint=path, measure=poison, measure_every=6)
    assert len(torch.load(path, weights_only=True)["history"]["spread"]) == 4


def fit_own(images, generator, discriminator=None):
    return gan.fit_gan(images, TINY, networks=(generator, discriminator or own()[1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: gan.fit_gan(x.float()), "expected images uint8"),
        (lambda x, y: gan.fit_gan(x, replace(TINY, size=24)), "a size of 16, 32, 64"),
        (lambda x, y: gan.fit_gan(x[:, :, :10], TINY), "square images, got 16 x 10 pixels; crop"),
        (lambda x, y: gan.fit_gan(in_colour(x), TINY), "images of 1 channels, .* got 3; take"),
        (lambda x, y: gan.fit_gan(x, COLOUR), "images of 3 channels, as the preset has, got 1"),
        (lambda x, y: replace(TINY, loss="wgan"), "saturating, wasserstein, got 'wgan'"),
        (lambda x, y: gan.to_uint8(torch.zeros(2, 4, 8, 8)), r"images .* got \(2, 4, 8, 8\)"),
        (lambda x, y: gan.find_clusters(x, 31), "at least 31 images, one a cluster, got 30"),
        (lambda x, y: fit_own(x, own()[1]), "a generator for inputs .* got one that fails"),
        (lambda x, y: fit_own(x, own(8)[0]), r"images \(2, 1, 16, 16\), got \(2, 1, 8,"),
        (lambda x, y: fit_own(x, own()[0], nn.Flatten()), r"a logit each \(2,\), got \(2, 256\)"),
        (lambda x, y: gan.fit_gan(x, CONDITIONAL), "call fit_gan without labels"),
        (lambda x, y: gan.fit_conditional_gan(x, y, TINY), "call fit_gan without labels"),
        (lambda x, y: gan.fit_gan(x, CONDITIONAL, labels=y + 1), "labels from 0 to 2, got 1 to 3"),
        (lambda x, y: gan.fit_gan(x, CONDITIONAL, labels=y[1:]), "as many labels .* 29 and 30"),
        (lambda x, y: gan.Discriminator()(x[:2, None].float()), r"images \(N, 1, 32, 32\), got"),
        (lambda x, y: gan.Generator()(torch.zeros(2, 5)), r"latent vectors \(N, 100\)"),
    ],
)
def test_bad_input_gets_one_sentence(images, labels, call, message):
    with pytest.raises(ValueError, match=message):
        call(images, labels)


def test_modes_are_counted_where_points_lie_near():
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(10, 1)
    assert toy.count_modes(centres) == (2, 1)
    assert toy.count_modes(torch.cat([centres, torch.zeros(20, 2)])) == (2, 0.5)
    modes, share = toy.count_modes(toy.draw_ring(2000, make_generator(0)))
    assert (modes, share) == (8, pytest.approx(0.99, abs=0.01))


def test_a_fast_generator_falls_on_few_of_the_ring_and_the_penalty_prevents_it():
    fast = {"rates": (5e-3, 1e-3), "num_steps": 600, "num_frames": 3}
    plain, penalised = (toy.fit_ring(penalty=penalty, **fast) for penalty in (None, r1))
    assert toy.count_modes(plain.samples[-1])[0] < toy.count_modes(penalised.samples[-1])[0]
    assert plain.samples.shape == (4, 512, 2)
    assert plain.steps == (0, 200, 400, 600)
    shown = torch.randn(512, 2, generator=make_generator(1))
    assert torch.equal(plain.generator(shown).detach(), plain.samples[-1])
    short, again = (toy.fit_ring(num_steps=2, num_frames=10) for _ in range(2))
    assert torch.equal(again.samples, short.samples)
    assert short.steps == (0, 1, 2)
    assert len(short.samples) == 3


def test_clusters_are_where_images_differ(images, labels):
    clusters = gan.find_clusters(images.amax(2, keepdim=True).expand(-1, -1, 16), 3)
    assert clusters.dtype == torch.int64
    # Two images share a cluster exactly where they share a height.
    assert torch.equal(clusters[:, None] == clusters, labels[:, None] == labels)
