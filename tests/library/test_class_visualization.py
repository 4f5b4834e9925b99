"""Class visualisation on tiny networks: the climb, its parts, and what must hold on the
way.
"""

import copy
import math
from dataclasses import replace

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from dlapps import class_visualization as cv
from dlapps import pretrained
from dlapps.class_visualization.ingredients import Pixels
from dlapps.core.class_scores import float32_logits, ranks
from dlapps.core.images import from_pixels
from studies.visualizing_classes import PlainFourier

torch.set_num_threads(1)
WINDOWS = (cv.Crop((0.6, 1.0), 32), cv.Noise(0.02))


SHORT = {
    "practical": replace(cv.PRACTICAL, num_steps=12),
    "modern": replace(cv.MODERN, num_steps=12),
    "robust": replace(cv.ROBUST, num_steps=12, transforms=WINDOWS),
}


each_settings = pytest.mark.parametrize("settings", SHORT.values(), ids=SHORT)


# The other gives a picture a contrast of its own.
keeping = pytest.mark.parametrize(
    "settings", [SHORT["practical"], SHORT["modern"]], ids=["practical", "modern"]
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 5, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    network = nn.Sequential(*layers, nn.Linear(8, 5)).eval()
    # Scores as large as a trained network's, beside which the regularisers were
    # weighed.
    with torch.no_grad():
        network[-1].weight.mul_(1000)
    return network


@pytest.fixture
def pictures():
    return (
        torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 0.9
        + 0.05
    )


class Linear(nn.Module):
    """One score, x . a."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        return (x * self.weights).sum((1, 2, 3))[:, None]


@each_settings
def test_the_score_rises_and_the_picture_stays_valid(settings, network):
    start = cv.visualize(network, [0, 3], replace(settings, num_steps=0), size=32)
    seen = cv.visualize(network, [0, 3], settings, size=32)
    first = float32_logits(network, start.images)[[0, 1], [0, 3]]
    torch.testing.assert_close(start.scores[0], first)
    assert seen.scores.shape == (settings.num_steps + 1, 2)
    assert (seen.scores[-1] > first).all()
    assert seen.images.shape == (2, 3, 32, 32)
    assert seen.images.dtype == torch.float32
    for pictures in (start.images, seen.images):
        assert pictures.min() >= 0
        assert pictures.max() <= 1
    assert not seen.images.requires_grad
    assert all(weight.grad is None for weight in network.parameters())


@each_settings
def test_the_same_seed_gives_the_same_picture_alone_or_in_a_batch(settings, network):
    settings = replace(settings, num_steps=4)
    both = cv.visualize(network, [0, 3], settings, size=32, seed=5)
    again = cv.visualize(network, [0, 3], settings, size=32, seed=5)
    alone = cv.visualize(network, 3, settings, size=32, seed=5)
    other = cv.visualize(network, 3, settings, size=32, seed=6)
    assert torch.equal(both.images, again.images)
    torch.testing.assert_close(both.images[1:], alone.images, atol=1e-4, rtol=0)
    assert (alone.images - other.images).abs().max() > 0.01


@keeping
def test_a_climb_may_start_from_a_picture(settings, network, pictures):
    start = cv.visualize(
        network, [0, 1], replace(settings, num_steps=0), initial=pictures
    )
    torch.testing.assert_close(start.images, pictures, atol=1e-3, rtol=0)
    seen = cv.visualize(network, [0, 1], settings, initial=pictures)
    assert (seen.scores[-1] > start.scores[-1]).all()
    one = cv.visualize(
        network, [0, 1], replace(settings, num_steps=0), initial=pictures[:1]
    )
    torch.testing.assert_close(one.images[1], pictures[0], atol=1e-3, rtol=0)


def test_a_practical_step_by_hand(pictures):
    weights = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(2))
    settings = replace(
        cv.PRACTICAL, num_steps=1, step_size=0.1, transforms=(), blur_every=0
    )
    seen = cv.visualize(Linear(weights).eval(), 0, settings, initial=pictures[:1])
    z = Pixels().encode(pictures[:1])
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    gradient = std * weights - 2 * 1e-3 * z
    expected = Pixels().decode(z + 0.1 * gradient / gradient.norm())
    torch.testing.assert_close(seen.images, expected.clamp(0, 1))
    torch.testing.assert_close(seen.scores[0], (pictures[0] * weights).sum()[None])


@pytest.mark.parametrize("form", [Pixels(), cv.Fourier()], ids=["pixels", "fourier"])
def test_a_normalised_step_has_its_length_whatever_is_moved(form, network, pictures):
    settings = replace(cv.PRACTICAL, parametrisation=form, num_steps=1, step_size=0.02)
    settings = replace(settings, transforms=(), blur_every=0)
    after = cv.visualize(network, 0, settings, initial=pictures[:1]).images
    moved = form.encode(after) - form.encode(pictures[:1])
    torch.testing.assert_close(moved.norm(), torch.tensor(0.02), rtol=0.02, atol=0)


def test_a_warp_keeps_angles_and_lengths_where_pictures_are_not_square():
    picture = torch.zeros(1, 3, 40, 80)
    picture[..., 10:30, 30:50] = 1
    _, second = torch.rand(2, generator=torch.Generator().manual_seed(3)).tolist()
    quarter = cv.Warp(scales=(1, 1), degrees=90 / (2 * second - 1))
    turned = quarter(picture, torch.Generator().manual_seed(3))
    # What was above and below lies beside it now, reflected.
    torch.testing.assert_close(
        turned[..., 20:60], picture[..., 20:60], atol=0.01, rtol=0
    )


def test_the_contrast_is_what_was_asked(network):
    for contrast in (0.5, 1.0):
        form = cv.Fourier(contrast=contrast, standardised=True)
        seen = cv.visualize(
            network, [0, 3], replace(SHORT["robust"], parametrisation=form), size=32
        )
        found = torch.logit(seen.images).std((1, 2, 3))
        torch.testing.assert_close(found, torch.full((2,), contrast), atol=1e-3, rtol=0)


def look_at(network, objective, pictures):
    """The objective of pictures, as the last row of the scores has it."""
    settings = replace(cv.PRACTICAL, num_steps=0, objective=objective)
    return cv.visualize(network, 0, settings, initial=pictures[:1]).scores[-1]


def test_an_objective_is_a_function_of_pictures_and_logits(network, pictures):
    with torch.no_grad():
        logit, other = network(pictures[:1])[0, :2]
    for objective, expected in {
        cv.class_score: logit,
        (lambda seen: seen.logits[:, 1] - 5 * seen.pictures.mean((1, 2, 3))): other
        - 5 * pictures[0].mean(),
    }.items():
        found = look_at(network, objective, pictures)
        torch.testing.assert_close(found, expected[None], atol=1e-4, rtol=1e-4)


def test_an_objective_is_what_rises(network):
    channels = nn.Sequential(network[0], nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    plain = replace(SHORT["practical"], step_size=1.0, regularisers=())
    dark = replace(plain, objective=lambda seen: -1e4 * seen.pictures.mean((1, 2, 3)))
    for climbed, settings in ((network, dark), (channels, plain)):
        seen = cv.visualize(climbed, [0, 2], settings, size=32)
        assert (seen.scores[-1] > seen.scores[0]).all()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            lambda seen: seen.pictures.mean(),
            r"one number .* 1 pictures, got shape \(\)",
        ),
        (lambda seen: seen.logits, r"one number for each of 1 pictures, .* \(1, 5\)"),
    ],
)
def test_what_is_no_objective_gets_one_sentence(network, pictures, objective, message):
    with pytest.raises(ValueError, match=message):
        look_at(network, objective, pictures)


def test_a_class_may_be_named_and_a_picture_an_array(network, pictures):
    letters = named(network, "abcde")
    settings = replace(cv.PRACTICAL, num_steps=1)
    by_name = cv.visualize(letters, ["d", "a"], settings, initial=pictures.numpy())
    by_number = cv.visualize(letters, [3, 0], settings, initial=pictures)
    assert torch.equal(by_name.images, by_number.images)
    assert cv.visualize(letters, "d", settings, size=16).targets.tolist() == [3]
    assert cv.visualize(
        letters, torch.tensor([3, 0]), settings, size=16
    ).targets.tolist() == [3, 0]


def test_regularisers_by_hand():
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(cv.L2(2.0)(grey + std), torch.tensor([2.0 * 48]))
    edge = torch.zeros(1, 3, 4, 4)
    edge[..., 2:] = 0.5
    torch.testing.assert_close(
        cv.TotalVariation(2.0)(edge), torch.tensor([2.0 * 3 * 4 * 0.5])
    )


# Nothing but the step, and what a test adds to it.
PLAIN = replace(SHORT["practical"], regularisers=(), transforms=(), blur_every=0)


def test_a_regulariser_does_what_it_is_for(network):
    variation = cv.TotalVariation(1.0)
    settings = replace(PLAIN, step_size=1.0)
    calming = replace(settings, regularisers=(variation,))
    rough = cv.visualize(network, 0, settings, size=32).images
    calm = cv.visualize(network, 0, calming, size=32).images
    assert variation(calm) < variation(rough)


def test_the_blur_is_a_gaussian_of_half_a_pixel(pictures):
    settings = replace(
        PLAIN, blur_every=cv.PRACTICAL.blur_every, step_size=0.0, num_steps=1
    )
    still = Linear(torch.zeros(3, 16, 16)).eval()
    blurred = cv.visualize(still, [0, 0], settings, initial=pictures).images
    expected = gaussian_filter(
        pictures.double().numpy(), (0, 0, 0.5, 0.5), mode="mirror"
    )
    torch.testing.assert_close(
        blurred.double(), torch.from_numpy(expected), atol=1e-5, rtol=0
    )


MOVES = {
    "jitter": cv.Jitter(3),
    "warp": cv.Warp((0.8, 1.2), 10.0),
    "crop": cv.Crop((0.5, 0.9), 16),
    "noise": cv.Noise(0.1),
}


@pytest.mark.parametrize("transform", MOVES.values(), ids=MOVES)
def test_transforms_move_all_pictures_alike(transform, pictures):
    twice = transform(pictures[:1].repeat(2, 1, 1, 1), torch.Generator().manual_seed(3))
    once = transform(pictures[:1], torch.Generator().manual_seed(3))
    torch.testing.assert_close(twice, once.repeat(2, 1, 1, 1))
    assert once.shape == pictures[:1].shape
    assert not torch.equal(once, pictures[:1])


def test_a_jitter_rolls_and_no_warp_changes_nothing(pictures):
    generator = torch.Generator().manual_seed(3)
    rolled = cv.Jitter(3)(pictures, generator)
    torch.testing.assert_close(
        rolled.flatten(1).sort().values, pictures.flatten(1).sort().values
    )
    torch.testing.assert_close(
        cv.Warp((1.0, 1.0), 0.0)(pictures, generator), pictures, atol=1e-5, rtol=0
    )


def test_a_window_lies_within_the_picture_and_noise_has_its_deviation(pictures):
    generator = torch.Generator().manual_seed(3)
    for size in (8, 16, 24):
        window = cv.Crop((0.25, 0.5), size)(pictures, generator)
        assert window.shape == (2, 3, size, size)
        assert window.min() >= pictures.min()
        assert window.max() <= pictures.max()
    torch.testing.assert_close(cv.Crop((1.0, 1.0), 16)(pictures, generator), pictures)
    noise = cv.Noise(0.3)(torch.zeros(1, 3, 64, 64), generator)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.05)


FORMS = {
    "pixels": Pixels(),
    "fourier": cv.Fourier(),
    "plain": PlainFourier(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_parametrisation_gives_back_the_picture(form, pictures):
    torch.testing.assert_close(
        form.decode(form.encode(pictures)), pictures, atol=1e-4, rtol=0
    )
    noise = form.noise(16, torch.Generator().manual_seed(0))
    assert form.decode(form.constrain(noise)).shape == (1, 3, 16, 16)


def test_only_the_network_runs_in_the_precision_of_the_caller(network):
    settings = replace(SHORT["modern"], num_steps=0)
    with torch.autocast("cpu", torch.bfloat16):
        seen = cv.visualize(network, 0, settings, size=32)
    assert torch.equal(seen.images, cv.visualize(network, 0, settings, size=32).images)
    with torch.autocast("cpu", torch.bfloat16):
        assert (
            cv.visualize(network, 0, SHORT["modern"], size=32).images.dtype
            == torch.float32
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": 5}, "classes from 0 to 4"),
        ({"targets": [True, False]}, "one class, .* of torch.bool"),
        ({"targets": "tabby"}, "got 'tabby', the name of 0"),
        (
            {"initial": torch.zeros(1, 1, 8, 8)},
            r"shape \(N, 3, H, W\), got \(1, 1, 8, 8\)",
        ),
        ({"initial": torch.zeros(2, 3, 8, 8)}, "expected 1 or 1 initial"),
        ({"initial": torch.full((1, 3, 8, 8), math.nan)}, "look for NaN"),
        (
            {"settings": cv.ROBUST, "initial": torch.full((1, 3, 8, 8), 0.3)},
            "of a single grey",
        ),
        ({"settings": cv.MODERN, "size": 33}, "even width"),
        ({"size": 0}, "expected size >= 1, got 0"),
    ],
)
def test_bad_arguments_get_one_sentence(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        cv.visualize(network, **{"targets": 0, "size": 32, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(cv.PRACTICAL, num_steps=-3), "num_steps >= 0, got -3"),
        (lambda: replace(cv.PRACTICAL, blur_every=-1), "blur_every >= 0, got -1"),
        (
            lambda: replace(cv.PRACTICAL, step_size=math.nan),
            "step_size >= 0, finite, a number, got nan",
        ),
        (
            lambda: replace(cv.PRACTICAL, step_size="5"),
            "step_size >= 0, finite, a number, got '5'",
        ),
        # Read at NaN, PyTorch's grid_sample ends the process.
        (lambda: cv.Warp((math.nan, 1.0)), r"scales > 0 .* finite, got \(nan, 1\.0\)"),
        (lambda: cv.Warp((1.0, math.nan)), r"scales > 0 .* finite, got \(1\.0, nan\)"),
        (lambda: cv.Warp((0.0, 1.0)), r"scales > 0 .* finite, got \(0\.0, 1\.0\)"),
        (
            lambda: cv.Warp(degrees=math.inf),
            "scales > 0 and degrees, all finite, got .* and inf",
        ),
        (lambda: cv.Jitter(-1), "reach >= 0, got -1"),
        (lambda: cv.Crop((0.3, 2.0)), "largest from 0 to 1, got 2.0"),
        (lambda: cv.Crop(size=0), "size >= 1, got 0"),
    ],
)
def test_settings_that_cannot_be_climbed_are_refused_where_they_are_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_not_finite_is_refused_whatever_is_raised(network, pictures):
    broken = copy.deepcopy(network)
    torch.nn.init.constant_(next(broken.parameters()), math.nan)
    with pytest.raises(
        ValueError, match="expected finite logits, got NaN for 1 of 1 pictures"
    ):
        look_at(broken, lambda seen: seen.pictures.mean((1, 2, 3)), pictures)
    with pytest.raises(ValueError, match=r"expected a finite objective, got \[-?inf\]"):
        look_at(network, lambda seen: seen.logits[:, 0] * math.inf, pictures)


def named(network, names):
    return pretrained.wrap(
        copy.deepcopy(network), (0.0,) * 3, (1.0,) * 3, class_names=names
    )


def test_a_judge_reads_what_a_file_keeps(network):
    drawn = cv.visualize(named(network, "abcde"), [0, 3], SHORT["practical"], size=32)
    saved = torch.from_numpy(from_pixels(drawn.images)).movedim(-1, 1) / 255
    expected = ranks(float32_logits(network, saved), [0, 3])
    assert torch.equal(cv.judge(named(network, "abcde"), drawn), expected)


def test_a_judge_of_other_classes_gets_one_sentence(network):
    drawn = cv.visualize(named(network, "abcde"), 0, SHORT["practical"], size=32)
    for names in ("abcdf", "edcba"):
        with pytest.raises(
            ValueError, match="of the drawer's 5 classes, got one of 5 whose"
        ):
            cv.judge(named(network, names), drawn)
    with pytest.raises(ValueError, match="in training mode"):
        cv.judge(named(network, "abcde").train(), drawn)


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="in training mode"):
        cv.visualize(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), 0)
