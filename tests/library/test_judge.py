"""The digit classifier, trained on ten patterns that differ much; the committed one, on
digits.
"""

import pytest
import torch

from dlapps import datasets, gan
from dlapps.core.runtime import make_generator
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
    return gan.fit_digit_classifier(*make_patterns(400), num_epochs=5)


def share_read(classifier, images, labels):
    read = gan.classify(classifier, images)
    return float((read == torch.as_tensor(labels)).double().mean())


def test_patterns_are_learnt(classifier):
    assert share_read(classifier, *make_patterns(100, seed=1)) > 0.95
    assert not classifier.training


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


def test_the_committed_judge_takes_digits_on_grey_for_what_they_are():
    """A judge that had seen black grounds alone read half of these right."""
    digits = datasets.load_mnist("test")
    classifier = gan.load_digit_classifier()
    images = gan.prepare_images(digits.images[:2000], 32)
    labels = digits.labels[:2000]
    grey = (18 + images.float() * (237 / 255)).round().byte()
    on_black = share_read(classifier, images, labels)
    on_grey = share_read(classifier, grey, labels)
    assert on_grey > on_black - 0.01
