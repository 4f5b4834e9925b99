"""Class visualisation on tiny networks: the climb, and what must hold on the way."""

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torchvision.transforms.functional import InterpolationMode, affine

from dlapps import class_visualization as cv
from dlapps.core.runtime import make_generator

torch.set_num_threads(1)
RECIPES = {"practical": cv.PRACTICAL, "modern": cv.MODERN}
each_recipe = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def make_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
    # Scores as large as a trained network's, for which the penalties were weighed.
    with torch.no_grad():
        network[-1].weight.mul_(1000)
    return network.eval()


NETWORK = make_network()
PICTURES = 0.05 + 0.9 * torch.rand(2, 3, 32, 32, generator=make_generator(1))


def visualize(targets, recipe, num_steps=4, network=NETWORK, **options):
    options = {"size": 32, **options}
    return cv.visualize(network, targets, recipe, num_steps=num_steps, **options)


def spectrum(x):
    """The coefficients p (N, 3, H, W // 2 + 1) of pictures, without their redundant
    first and last column.
    """
    colours = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(cv.COLOURS), x.logit())
    down = torch.fft.fftfreq(x.shape[2])[:, None]
    right = torch.fft.rfftfreq(x.shape[3])
    p = torch.fft.rfft2(colours, norm="ortho") * torch.hypot(down, right)
    return torch.view_as_real(p[..., 1:-1])


@each_recipe
@torch.no_grad()
def test_the_score_rises_and_the_picture_stays_valid(recipe):
    start = visualize([0, 3], recipe, 0)
    drawn = visualize([0, 3], recipe, 12)
    rise = NETWORK(drawn) - NETWORK(start)
    assert (rise[[0, 1], [0, 3]] > 0).all()
    assert drawn.shape == (2, 3, 32, 32)
    assert drawn.dtype == torch.float32
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert not drawn.requires_grad
    assert all(weight.grad is None for weight in NETWORK.parameters())


@each_recipe
def test_a_picture_depends_on_its_seed_and_not_on_the_batch(recipe):
    both = visualize([0, 3], recipe, seed=5)
    assert torch.equal(both, visualize([0, 3], recipe, seed=5))
    alone = visualize(3, recipe, seed=5)
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=0)
    assert (alone - visualize(3, recipe, seed=6)).abs().max() > 0.01


@each_recipe
def test_a_climb_may_start_from_pictures(recipe):
    start = visualize(1, recipe, 0, initial=PICTURES)
    torch.testing.assert_close(start, PICTURES, atol=1e-3, rtol=0)
    drawn = visualize(1, recipe, initial=PICTURES)
    assert torch.equal(drawn, visualize([1, 1], recipe, initial=PICTURES.numpy()))
    assert (NETWORK(drawn)[:, 1] > NETWORK(PICTURES)[:, 1]).all()


def test_the_practical_recipe_is_a_loop_by_hand():
    generator = make_generator(7)
    z = torch.randn(1, 3, 32, 32, generator=generator)
    x = (MEAN + STD * z).clamp(0, 1)
    for step in range(12):
        z = ((x - MEAN) / STD).requires_grad_()
        shift = torch.randint(-16, 17, (2,), generator=generator).tolist()
        score = NETWORK((MEAN + STD * z).roll(shift, (2, 3)))[0, 2]
        (score - 1e-3 * z.square().sum()).backward()
        z = z.detach() + 5 * z.grad / z.grad.norm()
        x = (MEAN + STD * z).clamp(0, 1)
        if step in (0, 10):
            blurred = gaussian_filter(x.numpy(), (0, 0, 0.5, 0.5), mode="mirror")
            x = torch.from_numpy(blurred)
    drawn = visualize(2, cv.PRACTICAL, 12, seed=7)
    torch.testing.assert_close(drawn, x, atol=1e-4, rtol=0)


def test_without_a_score_the_penalty_draws():
    network = make_network()
    nn.init.zeros_(network[-1].weight)
    bare = cv.PixelAscent(jitter=0, blur_every=0)
    x = visualize([0, 0], bare, 1, network, initial=PICTURES)
    z = (PICTURES - MEAN) / STD
    shorter = z - 5 * z / z.flatten(1).norm(dim=1).view(2, 1, 1, 1)
    torch.testing.assert_close(x, MEAN + STD * shorter)
    calm = visualize(0, cv.MODERN, 12, network, initial=PICTURES)
    for axis in (2, 3):
        assert calm.diff(dim=axis).abs().sum() < PICTURES.diff(dim=axis).abs().sum()


def test_modern_noise_has_natural_scales_and_a_step_the_length_of_adam_s():
    noise = visualize(0, cv.MODERN, 0, size=64)
    before = spectrum(noise)
    assert float(before.std()) == pytest.approx(0.01, rel=0.03)
    high = before[:, :, 16:48]
    assert float(high.std()) == pytest.approx(0.01, rel=0.03)
    moved = spectrum(visualize(0, cv.MODERN, 1, size=64)) - before
    assert float(moved.abs().median()) == pytest.approx(0.02, rel=0.01)


def test_pictures_are_scaled_and_turned_about_their_centre():
    seed = 3
    growth, turn = torch.rand(2, generator=make_generator(seed)).tolist()
    bilinear = InterpolationMode.BILINEAR
    scale = 0.7 + 0.6 * growth
    expected = affine(PICTURES, 15 - 30 * turn, [0, 0], scale, [0.0], bilinear)
    found = cv._scale_and_turn(PICTURES, make_generator(seed))
    middle = (..., slice(10, 22), slice(10, 22))
    torch.testing.assert_close(found[middle], expected[middle], atol=1e-3, rtol=0)


class Brightness(nn.Module):
    """Scores that no precision of matrix products changes."""

    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), -x.square().mean((1, 2, 3))], 1)


@each_recipe
def test_only_the_network_runs_in_the_precision_of_the_caller(recipe):
    network = Brightness().eval()
    plain = visualize([0, 1], recipe, network=network)
    other = visualize(0, recipe)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(visualize([0, 1], recipe, network=network), plain)
        assert not torch.equal(visualize(0, recipe), other)


@pytest.mark.parametrize(
    "options",
    [
        {"targets": [0, 1, 2], "initial": PICTURES},
        {"initial": PICTURES[:, :1]},
        {"network": make_network().train()},
    ],
)
def test_a_wrong_input_gets_one_sentence(options):
    with pytest.raises(ValueError, match=r"^expected "):
        visualize(**{"targets": 0, "recipe": cv.PRACTICAL, **options})
