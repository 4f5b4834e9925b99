"""The judge of what Chapter 4's generators draw: a classifier of real digits."""

import functools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps import datasets, gan, pretrained
from dlapps.core import metrics
from dlapps.core.images import stack_pixels
from dlapps.core.runtime import make_generator
from dlapps.core.weights import save_weights
from dlapps.gan import judge
from dlapps.gan.networks import Settings
from dlapps.transfer import layer_outputs
from labreport.report import find_report, write_atomically
from labreport.results import Entry
from studies.runs import Place, nest

Scores = dict[str, object]
NUM_SAMPLES = 10_000
# As many samples as there are train images, for a classifier to learn from.
NUM_MANY = 60_000
NUM_EPOCHS = 6  # of a judge
GROUNDS = (0, 3, 6, 12, 18)
# The scores whose differences are given in percentage points.
SHARES = [
    "precision",
    "recall",
    "coverage",
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
    provenance = datasets.load_mnist("train").provenance
    images, labels = load_images("train")
    classifier = judge.fit_digit_classifier(
        images, labels, num_epochs=NUM_EPOCHS, seed=0
    )
    # As it will be loaded: rounded to float16.
    classifier = classifier.half().float()
    test_images, test_labels = load_images("test")
    accuracy = judge.conditional_accuracy(classifier, test_images, test_labels)
    card = {
        "data": provenance.name,
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
        self.photos = see_as_photos(images[::2])
        # The train images in random order, so that the first of them stand for all.
        self.rows = torch.randperm(len(self.train[1]), generator=make_generator(0))

    def distances(self, images: Tensor, features: Tensor) -> np.ndarray:
        """Fréchet distances (2,) of images from the test split.

        The first is between the classifier's features, the second between those of
        every second image by a network that learnt photos.
        """
        photos = see_as_photos(images[::2])
        return np.array(
            [
                metrics.frechet_distance(self.features, features),
                metrics.frechet_distance(self.photos, photos),
            ]
        )

    @functools.cached_property
    def floors(self) -> np.ndarray:
        """The distances of as many train images as there are samples."""
        images = self.train[0][self.rows[:NUM_SAMPLES]]
        features, _ = judge.features_and_logits(self.classifier, images)
        return self.distances(images, features)

    def score(self, images: Tensor) -> Scores:
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones.

        frechet_ratio: the Fréchet distance in units of the floor. imagenet_ratio: the
        same with a network that learnt no digit. balanced_ratio: the same where each
        digit, as the classifier reads it, is drawn as often as it occurs in the train
        split. precision, recall, coverage: of every second image, since MNIST's second
        half was written by other people than its first. background: the images' 25 %
        quantile, a level of 255.
        """
        features, logits = judge.features_and_logits(self.classifier, images)
        predictions = logits.argmax(1)
        frechet_ratio, imagenet_ratio = self.distances(images, features) / self.floors
        balanced = features[self.balance(predictions)]
        distance = metrics.frechet_distance(self.features, balanced)
        real = self.features[::2]
        fake = features[::2]
        precision, recall = metrics.precision_recall(real, fake, k=3)
        shares = torch.bincount(predictions, minlength=10).double() / len(predictions)
        background = images.flatten(1).float().quantile(0.25, 1).mean()
        return {
            "frechet_ratio": round(float(frechet_ratio), 3),
            "imagenet_ratio": round(float(imagenet_ratio), 3),
            "balanced_ratio": round(float(distance / self.floors[0]), 3),
            "precision": round(float(precision), 4),
            "recall": round(float(recall), 4),
            "coverage": round(coverage(real, fake), 4),
            "class_shares": [round(share, 4) for share in shares.tolist()],
            "background": round(float(background), 2),
        }

    def balance(self, predictions: Tensor) -> Tensor:
        """Rows of images, so many of each digit as its share of the train split.

        They are drawn with replacement; predictions (N,) say which digit an image is
        taken for. Digits that no image is taken for are left out.
        """
        labels = self.train[1]
        shares = torch.bincount(labels, minlength=10) / len(labels)
        generator = make_generator(0)
        rows = []
        for digit, share in enumerate(shares.tolist()):
            candidates = (predictions == digit).nonzero()[:, 0]
            if len(candidates) == 0:
                continue
            number = round(share * len(predictions))
            places = torch.randint(len(candidates), (number,), generator=generator)
            rows.append(candidates[places])
        return torch.cat(rows)

    def score_generator(self, generator: Any, settings: Settings, seed: int) -> Scores:
        """`score` of a generator's samples; `score_conditional`, if it takes labels."""
        if settings.num_classes:
            return self.score_conditional(partial(draw_digits, generator), seed)
        return self.score(draw(generator, NUM_SAMPLES, seed))

    def score_conditional(
        self, draw: Callable[[Tensor, int], Tensor], seed: int
    ) -> Scores:
        """`score` of samples with labels, and two scores of how they obey these.

        draw(labels (N,), seed) gives samples uint8 (N, 32, 32).
        """
        asked = self.draw_labels(seed)
        samples = draw(asked, seed)
        scores = self.score(samples)
        scores["conditional_accuracy"] = judge.conditional_accuracy(
            self.classifier, samples, asked
        )
        many = torch.arange(2 * NUM_SAMPLES) % 10
        scores["gan_train_accuracy"] = teach(draw(many, seed + 1), many, seed)
        return scores

    def draw_labels(self, seed: int) -> Tensor:
        """NUM_SAMPLES labels (N,) to ask for.

        They are of the train split: the test split's own counts would flatter the
        Fréchet distance.
        """
        labels = self.train[1]
        order = torch.randperm(len(labels), generator=make_generator(seed))
        return labels[order[:NUM_SAMPLES]]

    def cover(self, samples: Tensor) -> float:
        """The coverage alone, as `score` measures it, of images uint8 (N, 32, 32)."""
        features, _ = judge.features_and_logits(self.classifier, samples)
        return round(coverage(self.features[::2], features[::2]), 4)

    def floor(self) -> float:
        """The Fréchet distance that is divided by, in the classifier's features."""
        return round(float(self.floors[0]), 4)

    def score_real(self) -> Scores:
        """The floor: the scores of train images in place of samples."""
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
        """Scores of train images on grey grounds, GROUNDS of 255 levels.

        By this classifier ("black and grey"), and by one that saw digits on black alone
        ("black alone"): {score: {classifier: a value for each ground}}. As "fault", the
        Fréchet ratio of faults that either should see: {fault: {classifier: ratio}}.
        """
        images = self.train[0][self.rows[:NUM_SAMPLES]]
        labels = self.train[1][self.rows[:NUM_SAMPLES]]
        grounds = []
        for level in GROUNDS:
            grey = level + images.float() * ((255 - level) / 255)
            grounds.append(grey.round().byte())
        blurred = F.avg_pool2d(images[:, None].float(), 3, 1, 1)[:, 0]
        faults = {
            "blurred": blurred.round().byte(),
            "no 1": images[labels != 1],
            "no 8": images[labels != 8],
        }
        train_images, train_labels = self.train
        on_black = judge.fit_digit_classifier(
            train_images, train_labels, num_epochs=NUM_EPOCHS, augmented=False
        )
        entries: dict[Place, Any] = {("ground",): list(GROUNDS)}
        judges = {"black and grey": self, "black alone": Judge(on_black)}
        for name, one in judges.items():
            by_ground = [one.score(grey) for grey in grounds]
            for score in ("frechet_ratio", "recall"):
                entries[score, name] = [values[score] for values in by_ground]
            entries["accuracy", name] = []
            for grey in grounds:
                share = judge.conditional_accuracy(one.classifier, grey, labels)
                entries["accuracy", name].append(round(share, 4))
            for fault, faulty in faults.items():
                entries["fault", fault, name] = one.score(faulty)["frechet_ratio"]
        return nest(entries)


def see_as_photos(images: Tensor) -> Tensor:
    """Features (N, 512) of images uint8 (N, 32, 32) by SqueezeNet.

    It learnt photos of ImageNet and no digit.
    """
    network = pretrained.load("squeezenet1_1")
    layer = "features.12"
    features = []
    for batch in images.split(4):
        pixels = stack_pixels(list(batch.numpy()), 64)
        maps = layer_outputs(network, pixels, [layer])[layer]  # (N, 512, 3, 3)
        features.append(maps.mean((2, 3)))
    return torch.cat(features)


def coverage(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """Share of reals (N, D) with a fake (M, D) as near as the k-th other real.

    So do Naeem et al. (2020), eq. 5. Unlike recall, it builds no balls around fakes,
    whose outliers would blow them up.
    """
    real, fake = metrics.as_features(real, fake)
    radii = metrics.radii_of(real, k)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for part in metrics.distances(fake, real):
        covered |= (part <= radii).any(0)
    return float(covered.double().mean())


def teach(images: Tensor, labels: Tensor, seed: int) -> float:
    """GAN-train: the test accuracy of a classifier that learns from samples."""
    test_images, test_labels = load_images("test")
    return judge.gan_train_accuracy(images, labels, test_images, test_labels, seed=seed)


def teach_many(draw: Callable[[Tensor, int], Tensor], seed: int) -> Entry:
    """The entry of `teach` with NUM_MANY samples, which draw(labels, seed) gives."""
    labels = torch.arange(NUM_MANY) % 10
    accuracy = teach(draw(labels, seed + 2), labels, seed)
    return {"scores": {"gan_train_accuracy": accuracy}}


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
