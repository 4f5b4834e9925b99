"""The judge of what Chapter 4's generators draw: a classifier of real digits."""

import functools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import datasets, gan
from dlapps.core import metrics
from dlapps.core.runtime import make_generator
from dlapps.core.weights import save_weights
from dlapps.gan import judge
from dlapps.gan.networks import Settings
from labreport.report import find_report, write_atomically

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
    origin = datasets.load_mnist("train").origin
    images, labels = load_images("train")
    classifier = judge.fit_digit_classifier(
        images, labels, num_epochs=NUM_EPOCHS, seed=0
    )
    # As it will be loaded: rounded to float16.
    classifier = classifier.half().float()
    test_images, test_labels = load_images("test")
    accuracy = judge.conditional_accuracy(classifier, test_images, test_labels)
    card = {
        "data": origin,
        "train": len(labels),
        "test": len(test_labels),
        "num_epochs": NUM_EPOCHS,
        "seed": 0,
        "test_accuracy": round(accuracy, 4),
    }
    path = save_weights(classifier, find_report().networks / "digit-classifier.pt")
    content = json.dumps(card, indent=1) + "\n"
    write_atomically(path.with_suffix(".json"), content.encode())
    return path


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
        precision, recall = metrics.precision_recall(self.features[::2], features[::2])
        shares = torch.bincount(predictions, minlength=10).double() / len(predictions)
        return {
            "precision": round(precision, 4),
            "recall": round(recall, 4),
            "class_shares": [round(share, 4) for share in shares.tolist()],
        }

    def score_generator(self, generator: Any, settings: Settings, seed: int) -> Scores:
        """`score` of a generator's samples; `score_conditional`, if it takes digits."""
        if settings.num_classes == 10:
            return self.score_conditional(partial(draw_digits, generator), seed)
        labels = torch.zeros(NUM_SAMPLES, dtype=torch.int64)
        told_nothing = settings.num_classes == 1
        return self.score(
            draw(generator, NUM_SAMPLES, seed, labels if told_nothing else None)
        )

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
        scores["conditional_accuracy"] = judge.conditional_accuracy(
            self.classifier, samples, asked
        )
        many = torch.arange(2 * NUM_SAMPLES) % 10
        scores["gan_train_accuracy"] = teach(draw(many, seed + 1), many, seed)
        return scores

    def score_real(self) -> Scores:
        """The scores of train images in place of samples."""
        images, labels = self.train
        test_images, test_labels = self.real
        many = self.rows[: 2 * NUM_SAMPLES]
        scores = self.score(images[many[:NUM_SAMPLES]])
        scores["conditional_accuracy"] = judge.conditional_accuracy(
            self.classifier, test_images, test_labels
        )
        scores["gan_train_accuracy"] = teach(images[many], labels[many], 0)
        return scores

    def score_grey(self) -> dict[str, Any]:
        """Recall and accuracy of train images on grey grounds, GROUNDS of 255 levels.

        By this classifier ("black and grey"), and by one that saw digits on black alone
        ("black alone"): {score: {classifier: a value for each ground}}.
        """
        images = self.train[0][self.rows[:NUM_SAMPLES]]
        labels = self.train[1][self.rows[:NUM_SAMPLES]]
        train_images, train_labels = self.train
        on_black = judge.fit_digit_classifier(
            train_images, train_labels, num_epochs=NUM_EPOCHS, augmented=False
        )
        recalls: dict[str, list[object]] = {}
        accuracies: dict[str, list[float]] = {}
        judges = {"black and grey": self, "black alone": Judge(on_black)}
        for name, one in judges.items():
            recalls[name] = []
            accuracies[name] = []
            for level in GROUNDS:
                grey = level + images.float() * ((255 - level) / 255)
                grey = grey.round().byte()
                share = judge.conditional_accuracy(one.classifier, grey, labels)
                recalls[name].append(one.score(grey)["recall"])
                accuracies[name].append(round(share, 4))
        grounds = list(GROUNDS)
        return {"ground": grounds, "recall": recalls, "accuracy": accuracies}


def teach(images: Tensor, labels: Tensor, seed: int) -> float:
    """GAN-train: the test accuracy of a classifier that learns from samples."""
    test_images, test_labels = load_images("test")
    return judge.gan_train_accuracy(images, labels, test_images, test_labels, seed=seed)


def draw_digits(generator: Any, labels: Tensor, seed: int) -> Tensor:
    """Samples uint8 (N, 32, 32) of a generator for labels (N,)."""
    return draw(generator, len(labels), seed, labels)


def draw(
    generator: Any, number: int, seed: int, labels: Tensor | None = None
) -> Tensor:
    """Samples uint8 (number, 32, 32) of a generator; other sizes are resized."""
    z = gan.draw_latents(number, generator.latent_dim, 10_000 + seed)
    samples = gan.to_uint8(gan.sample(generator, z, labels))
    return gan.prepare_images(samples, judge.SIZE)
