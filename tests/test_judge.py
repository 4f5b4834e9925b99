"""The digit classifier, on ten patterns that are easily told apart."""

import pytest
import torch

from dlapps import DlappsError, gan
from dlapps.core import paths
from dlapps.core.training import save_weights
from dlapps.gan import judge

torch.set_num_threads(1)


def make_patterns(number, seed=0, noise=40):
    """Stripes of five widths, lying or standing, in noise: uint8 (number, 32, 32), and which of the ten."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 10
    images = torch.randint(noise, (number, 32, 32), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        stripes = (torch.arange(32) // (1 + label % 5) % 2) * 200
        image += stripes[:, None] if label < 5 else stripes
    return images.byte(), labels


@pytest.fixture(scope="module")
def classifier():
    return judge.fit_digit_classifier(*make_patterns(400), num_epochs=5, augmented=False)


def test_patterns_are_learnt(classifier):
    images, labels = make_patterns(100, seed=1)
    assert judge.conditional_accuracy(classifier, images, labels) > 0.95
    assert judge.conditional_accuracy(classifier, images, (labels + 1) % 10) < 0.05
    assert not classifier.training


def test_the_same_seed_gives_the_same_classifier_and_leaves_the_default_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (judge.fit_digit_classifier(*make_patterns(60), num_epochs=1, seed=5) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_features_are_one_row_an_image_whatever_the_batch(classifier, monkeypatch):
    images, _ = make_patterns(7)
    features, logits = judge.extract_features(classifier, images)
    assert features.shape == (7, 128)
    assert logits.shape == (7, 10)
    assert features.dtype == torch.float32
    torch.testing.assert_close(classifier.head(features), logits)
    monkeypatch.setattr(judge, "BATCH", 3)
    torch.testing.assert_close(judge.extract_features(classifier, images)[0], features, atol=2e-2, rtol=2e-2)


def test_samples_of_a_generator_are_what_it_reads(classifier):
    samples = judge.to_network(make_patterns(5)[0])
    assert samples.shape == (5, 1, 32, 32)
    assert samples.min() >= -1
    assert samples.max() <= 1
    assert torch.equal(gan.to_uint8(samples), make_patterns(5)[0])


def test_distortion_moves_each_image_a_little(monkeypatch):
    images, _ = make_patterns(6, noise=1)
    moved = judge.distort(images, torch.Generator().manual_seed(0))
    assert moved.shape == (6, 1, 32, 32)
    assert moved.min() >= -1
    assert moved.max() <= 1
    assert (moved - judge.to_network(images)).abs().amax((1, 2, 3)).min() > 0
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, 0.5))
    torch.testing.assert_close(judge.distort(images, None), judge.to_network(images), atol=1e-5, rtol=0)


def test_gan_train_falls_when_fakes_lack_classes():
    fakes, labels = make_patterns(400)
    real, real_labels = make_patterns(100, seed=1)
    assert judge.gan_train_accuracy(fakes, labels, real, real_labels) > 0.95
    few = labels < 5
    assert 0.4 < judge.gan_train_accuracy(fakes[few], labels[few], real, real_labels) <= 0.5


def test_stored_weights_are_half_as_large_and_read_the_same(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    monkeypatch.setattr(paths, "find_results", lambda: {path.name: path for path in tmp_path.iterdir()})
    with pytest.raises(DlappsError, match="run dlapps data make digit-classifier"):
        judge.load_digit_classifier()
    assert save_weights(classifier, tmp_path / "digit-classifier.pt").stat().st_size < 1e6
    images, _ = make_patterns(50, seed=2)
    loaded = judge.load_digit_classifier()
    assert torch.equal(judge.classify(loaded, images), judge.classify(classifier, images))


def test_slant_and_ink_of_a_stroke_that_leans_one_pixel_in_two():
    images = torch.zeros(3, 32, 32, dtype=torch.uint8)
    for row in range(8, 24):
        images[0, row, 16] = 255
        images[1, row, 24 - row // 2] = 255
    statistics = judge.stroke_statistics(images)
    assert statistics["slant"][0] == 0
    assert 0.48 < statistics["slant"][1] < 0.52
    assert statistics["ink"][:2].tolist() == pytest.approx([16 / 1024] * 2)
    # A black image has no slant, and is no error.
    assert statistics["slant"][2] == statistics["ink"][2] == 0


@pytest.mark.parametrize("images", [torch.zeros(2, 32, 32), torch.zeros(2, 28, 28, dtype=torch.uint8)])
def test_other_images_get_one_sentence(classifier, images):
    with pytest.raises(ValueError, match=r"expected images uint8 \(N, (32, 32|H, W)\)"):
        judge.classify(classifier, images)
