"""The judge of what Chapter 4's generators draw: a classifier of real digits."""

import functools
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import datasets, gan
from dlapps.core.images import warp
from dlapps.core.runtime import make_generator
from dlapps.gan import judge
from studies.weights import save, to_float16

Scores = dict[str, object]
NUM_SAMPLES = 10_000
NUM_EPOCHS = 6  # of a judge
GROUNDS = (0, 3, 6, 12, 18)
# The scores whose differences are given in percentage points.
SHARES = [
    "precision",
    "recall",
    "class_shares",
    "conditional_accuracy",
    "gan_train_accuracy",
]


@functools.cache
def load_images(split: str, size: int = judge.SIZE) -> tuple[Tensor, Tensor]:
    """MNIST as uint8 (N, size, size) and labels int64 (N,)."""
    mnist = datasets.load_mnist(split)
    images = gan.prepare_images(torch.tensor(mnist.images), size)
    return images, torch.tensor(mnist.labels)


def make_digit_classifier() -> Path:
    """Train the classifier that judges samples: about 5 minutes on one core."""
    images, labels = load_images("train")
    classifier = gan.fit_digit_classifier(images, labels, NUM_EPOCHS, augment=distort)
    return save(to_float16(classifier), "digit-classifier.pt")


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale and move images uint8 (N, 32, 32); change their levels and add noise.

    Each image is turned by up to 12 degrees, scaled by up to a tenth and moved by up to
    two pixels. Half of the backgrounds become grey, up to a quarter of white, and the
    strokes darken to between 0.7 and 1 of white: a judge that has seen only black
    backgrounds takes digits on a faint grey for eights.

    Returns images (N, 1, 32, 32) float32 in [-1, 1].
    """
    turn, scale, right, down = 2 * torch.rand(4, len(images), generator=generator) - 1
    turn = turn * math.radians(12)
    scale = 1 + scale / 10
    two_pixels = 2 * 2 / judge.SIZE  # the grid goes from -1 to 1
    cosine = turn.cos() * scale
    sine = turn.sin() * scale
    rows = [cosine, -sine, right * two_pixels, sine, cosine, down * two_pixels]
    matrices = torch.stack(rows, 1).view(-1, 2, 3)
    # What comes in from outside is 0, so black is 0 until the ground is laid.
    ink = warp(images[:, None].float() / 255, matrices)

    ground, top = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    ground = (ground - 0.5).clamp_min(0) / 2
    top = 1 - 0.3 * top
    noise = 0.02 * torch.randn(ink.shape, generator=generator)
    pixels = (ground + ink * (top - ground) + noise).clamp(0, 1)
    return pixels.mul(2).sub(1)


class Judge:
    """A classifier, by default the committed one, with features of the test split."""

    def __init__(self, classifier: judge.DigitClassifier | None = None) -> None:
        self.train = load_images("train")
        self.real = load_images("test")
        self.classifier = classifier or judge.load_digit_classifier()
        images, _ = self.real
        self.features, _ = judge.features_and_logits(self.classifier, images)
        # The train images in random order, so that the first of them stand for all.
        self.rows = torch.randperm(len(self.train[1]), generator=make_generator(0))

    def score(self, images: Tensor) -> Scores:
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones.

        precision, recall: of every second image, since MNIST's second half was written
        by other people than its first. class_shares: how often each digit is read.
        """
        features, logits = judge.features_and_logits(self.classifier, images)
        predictions = logits.argmax(1)
        precision, recall = gan.precision_recall(self.features[::2], features[::2])
        shares = torch.bincount(predictions, minlength=10).double() / len(predictions)
        return {
            "precision": precision,
            "recall": recall,
            "class_shares": shares.tolist(),
        }

    def score_generator(self, generator: Any, seed: int) -> Scores:
        """`score` of a generator's samples; `score_conditional`, if it takes digits."""
        if getattr(generator, "num_classes", 0) == 10:
            return self.score_conditional(partial(draw, generator), seed)
        labels = torch.zeros(NUM_SAMPLES, dtype=torch.int64)
        return self.score(draw(generator, labels, seed))

    def score_conditional(
        self, draw: Callable[[Tensor, int], Tensor], seed: int
    ) -> Scores:
        """`score` of samples with labels, and two scores of how they obey these.

        draw(labels (N,), seed) gives samples uint8 (N, 32, 32). The labels are of the
        train split.
        """
        labels = self.train[1]
        order = torch.randperm(len(labels), generator=make_generator(seed))
        asked = labels[order[:NUM_SAMPLES]]
        samples = draw(asked, seed)
        scores = self.score(samples)
        scores["conditional_accuracy"] = share_read(self.classifier, samples, asked)
        many = torch.arange(2 * NUM_SAMPLES) % 10
        scores["gan_train_accuracy"] = teach(draw(many, seed + 1), many, seed)
        return scores

    def score_real(self) -> Scores:
        """The scores of train images in place of samples."""
        images, labels = self.train
        test_images, test_labels = self.real
        many = self.rows[: 2 * NUM_SAMPLES]
        scores = self.score(images[many[:NUM_SAMPLES]])
        scores["conditional_accuracy"] = share_read(
            self.classifier, test_images, test_labels
        )
        scores["gan_train_accuracy"] = teach(images[many], labels[many], 0)
        return scores

    def score_grey(self) -> dict[str, Any]:
        """Recall and accuracy of train images on grey grounds, GROUNDS of 255 levels.

        By this classifier ("black and grey"), and by one that saw digits on black alone
        ("black alone"): {score: {classifier: a value for each ground}}.
        """
        train_images, train_labels = self.train
        images = train_images[self.rows[:NUM_SAMPLES]]
        labels = train_labels[self.rows[:NUM_SAMPLES]]
        on_black = gan.fit_digit_classifier(train_images, train_labels, NUM_EPOCHS)
        judges = {"black and grey": self, "black alone": Judge(on_black)}
        recalls: dict[str, list[object]] = {name: [] for name in judges}
        accuracies: dict[str, list[float]] = {name: [] for name in judges}
        for level in GROUNDS:
            grey = level + images.float() * ((255 - level) / 255)
            grey = grey.round().byte()
            for name, one in judges.items():
                recalls[name].append(one.score(grey)["recall"])
                accuracies[name].append(share_read(one.classifier, grey, labels))
        return {"ground": list(GROUNDS), "recall": recalls, "accuracy": accuracies}


def share_read(
    classifier: judge.DigitClassifier, images: Tensor, labels: Tensor
) -> float:
    """The share of images in which the classifier reads their label.

    Of fakes and a classifier that learnt from real images this is the GAN-test of
    Shmelkov, Schmid and Alahari (2018).
    """
    return float((gan.classify(classifier, images) == labels).double().mean())


def teach(images: Tensor, labels: Tensor, seed: int) -> float:
    """The GAN-train of these authors: what a classifier reads that learnt from fakes.

    It falls when fakes are wrong and when they lack diversity. The training has no
    augmentation, which would add the diversity that is measured.
    """
    classifier = gan.fit_digit_classifier(images, labels, num_epochs=4, seed=seed)
    return share_read(classifier, *load_images("test"))


def draw(generator: Any, labels: Tensor, seed: int) -> Tensor:
    """Samples uint8 (N, S, S) of a generator for labels (N,), which it may not take."""
    z = gan.draw_latents(len(labels), generator.latent_dim, 10_000 + seed)
    if isinstance(generator, gan.ConditionalGenerator):
        return gan.to_uint8(gan.sample(generator, z, labels))
    return gan.to_uint8(gan.sample(generator, z))
