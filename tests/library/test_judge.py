"""The digit classifier, trained on ten patterns that differ much; the committed one, on
digits.
"""

from functools import partial

import pytest
import torch

from dlapps import DlappsError, datasets, gan
from dlapps.core import paths
from dlapps.core.runtime import make_generator
from dlapps.core.weights import save_weights
from dlapps.gan import judge
from dlapps.gan.sampling import from_uint8

torch.set_num_threads(1)


def make_patterns(number, seed=0):
    """Horizontal or vertical stripes of five widths in noise, uint8 (number, 32, 32),
    and their labels.
    """
    labels = torch.arange(number) % 10
    images = torch.randint(40, (number, 32, 32), generator=make_generator(seed))
    for image, label in zip(images, labels.tolist(), strict=True):
        stripes = (torch.arange(32) // (1 + label % 5) % 2) * 200
        image += stripes[:, None] if label < 5 else stripes
    return images.byte(), labels


@pytest.fixture(scope="module")
def classifier():
    return judge.fit_digit_classifier(
        *make_patterns(400), num_epochs=5, augmented=False
    )


def test_patterns_are_learnt(classifier):
    images, labels = make_patterns(100, seed=1)
    assert judge.conditional_accuracy(classifier, images, labels) > 0.95
    assert judge.conditional_accuracy(classifier, images, (labels + 1) % 10) < 0.05
    assert not classifier.training


def test_a_classifier_depends_on_its_seed_and_draws_nothing_from_the_default_one():
    before = torch.random.get_rng_state()
    images, labels = make_patterns(60)
    fit = partial(judge.fit_digit_classifier, images, labels, num_epochs=1)
    first = fit(seed=5)
    second = fit(seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_features_are_one_row_an_image_whatever_the_batch(classifier, monkeypatch):
    images, _ = make_patterns(7)
    features, logits = judge.features_and_logits(classifier, images)
    assert features.shape == (7, 128)
    assert features.dtype == torch.float32
    assert logits.shape == (7, 10)
    torch.testing.assert_close(classifier.head(features), logits)
    at_once = classifier(from_uint8(images))
    torch.testing.assert_close(at_once, logits, atol=2e-2, rtol=2e-2)
    monkeypatch.setattr(judge, "BATCH", 3)
    again, _ = judge.features_and_logits(classifier, images)
    torch.testing.assert_close(again, features, atol=2e-2, rtol=2e-2)


def test_distortion_moves_each_image_and_puts_half_on_grey():
    white = torch.zeros(400, 32, 32, dtype=torch.uint8)
    white[:, 12:20, 12:20] = 255
    moved = judge.distort(white, make_generator(0))
    assert moved.shape == (400, 1, 32, 32)
    assert -1 <= moved.min() < moved.max() <= 1
    levels = moved.flatten(1).add(1).div(2)
    grounds = levels.quantile(0.5, 1)
    tops = levels.quantile(0.97, 1)
    assert (grounds < 0.01).float().mean() == pytest.approx(0.5, abs=0.1)
    assert 0.2 < grounds.max() < 0.27
    assert 0.65 < tops.min() < 0.75
    rows = torch.arange(32.0)[:, None]
    ink = (moved[:, 0] > 0.2).float()
    middles = (ink * rows).sum((1, 2)) / ink.sum((1, 2)) - 15.5
    assert 1 < middles.abs().max() < 3


def test_gan_train_falls_when_fakes_lack_classes():
    fakes, labels = make_patterns(400)
    real, real_labels = make_patterns(100, seed=1)
    assert judge.gan_train_accuracy(fakes, labels, real, real_labels) > 0.95
    fakes = fakes[labels < 5]
    labels = labels[labels < 5]
    half = judge.gan_train_accuracy(fakes, labels, real, real_labels)
    assert 0.4 < half <= 0.5


def test_stored_weights_are_half_as_large_and_read_the_same(
    classifier, tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "networks", lambda: tmp_path)
    with pytest.raises(
        DlappsError,
        match=r"expected the digit classifier in .*, got no such file; restore it",
    ):
        judge.load_digit_classifier()
    path = save_weights(classifier, tmp_path / "digit-classifier.pt")
    assert path.stat().st_size < 1e6
    images, _ = make_patterns(50, seed=2)
    loaded = judge.load_digit_classifier()
    expected = judge.classify(classifier, images)
    assert torch.equal(judge.classify(loaded, images), expected)


def test_the_committed_judge_takes_digits_on_grey_for_what_they_are():
    """A judge that had seen black grounds alone read half of these right."""
    digits = datasets.load_mnist("test")
    classifier = gan.load_digit_classifier()
    images = gan.prepare_images(digits.images[:2000], 32)
    labels = digits.labels[:2000]
    grey = (18 + images.float() * (237 / 255)).round().byte()
    on_black = gan.conditional_accuracy(classifier, images, labels)
    on_grey = gan.conditional_accuracy(classifier, grey, labels)
    assert on_grey > on_black - 0.01


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 32, 32), torch.zeros(2, 28, 28, dtype=torch.uint8)]
)
def test_other_images_get_one_sentence(classifier, images):
    with pytest.raises(ValueError, match=r"expected images uint8 \(N, (32, 32|H, W)\)"):
        judge.classify(classifier, images)
