"""Who judges what Chapter 4's generators draw, and against which images: a classifier, and what it sees in them."""

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlapps import datasets, gan
from dlapps.core import metrics, paths
from dlapps.core.runtime import make_generator
from dlapps.core.training import save_weights
from dlapps.gan import judge
from dlapps.gan.networks import Preset
from studies.runs import rounded

Scores = dict[str, object]
NUM_SAMPLES = 10_000
# Of precision and recall, as Kynkäänniemi et al. (2019) have it.
NEIGHBOURS = 3
NUM_HELD_OUT = 10_000
NUM_EPOCHS = 6  # of a judge
GROUNDS = (0, 3, 6, 12, 18)
# Of the scores, those whose differences are told in percentage points.
SHARES = [
    "precision",
    "recall",
    "coverage",
    "class_shares",
    "conditional_accuracy",
    "gan_train_accuracy",
    "grey_accuracy",
]


@functools.cache
def load_images(split: str, size: int = judge.SIZE) -> tuple[Tensor, Tensor]:
    """MNIST as uint8 (N, size, size) and labels int64 (N,)."""
    found = datasets.load_mnist(split)
    return gan.prepare_images(torch.tensor(found.images), size), torch.tensor(found.labels)


def make_digit_classifier() -> Path:
    """The classifier that judges samples, and its accuracy on the test split; about 5 minutes on one core."""
    provenance = datasets.load_mnist("train").provenance
    images, labels = load_images("train")
    classifier = judge.fit_digit_classifier(images, labels, num_epochs=NUM_EPOCHS, seed=0)
    # As it will be loaded: rounded to float16.
    classifier = classifier.half().float()
    test = load_images("test")
    accuracy = judge.conditional_accuracy(classifier, *test)
    facts = {"data": provenance.name, "train": len(labels), "test": len(test[1])}
    facts |= {"num_epochs": NUM_EPOCHS, "seed": 0, "test_accuracy": round(accuracy, 4)}
    path = save_weights(classifier, paths.results() / "digit-classifier.pt")
    paths.write_atomically(path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return path


Split = tuple[Tensor, Tensor]


def load_held_out() -> tuple[Split, Split]:
    """Images and labels of MNIST's train split to train on, and the last 10,000, held out for choices."""
    images, labels = load_images("train")
    first = len(labels) - NUM_HELD_OUT
    return (images[:first], labels[:first]), (images[first:], labels[first:])


class Judge:
    """A classifier with what it sees in the test split, or with held_out in those held out of training."""

    def __init__(self, held_out: bool = False) -> None:
        if held_out:
            self.train, self.real = load_held_out()
            # It saw the images held out as little as a generator did.
            options: dict[str, Any] = {"checkpoint": paths.cache() / "gan" / "judge of held out.pt"}
            self.classifier = judge.fit_digit_classifier(*self.train, num_epochs=NUM_EPOCHS, seed=1, **options)
        else:
            self.train, self.real = load_images("train"), load_images("test")
            self.classifier = judge.load_digit_classifier()
        self.labels = self.real[1][:NUM_SAMPLES]
        self.features = judge.extract_features(self.classifier, self.real[0][:NUM_SAMPLES])[0]

    @functools.cached_property
    def rows(self) -> Tensor:
        """Numbers of the train images in random order, so that the first of them stand for all."""
        return torch.randperm(len(self.train[1]), generator=make_generator(0))

    @functools.cached_property
    def floor(self) -> float:
        """The Fréchet distance of as many train images as there are samples."""
        features, _ = judge.extract_features(self.classifier, self.train[0][self.rows[:NUM_SAMPLES]])
        return metrics.frechet_distance(self.features, features)

    def score(self, images: Tensor) -> Scores:
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones, in the classifier's features.

        The Fréchet distance is of all, what has neighbours of every second: MNIST's second half was written by other
        people than its first. balanced_ratio: the ratio where each digit, as it is read, is drawn as often as it occurs
        in the train split. background: the images' 25 % quantile, a level of 255.
        """
        features, logits = judge.extract_features(self.classifier, images)
        distance = metrics.frechet_distance(self.features, features)
        precision, recall = metrics.precision_recall(self.features[::2], features[::2], NEIGHBOURS)
        covered = coverage(self.features[::2], features[::2])
        read = logits.argmax(1)
        shares = torch.bincount(read, minlength=10).double() / len(read)
        balanced = metrics.frechet_distance(self.features, features[self.balance(read)])
        return {
            "frechet": round(distance, 4),
            "frechet_ratio": round(distance / self.floor, 3),
            "balanced_ratio": round(balanced / self.floor, 3),
            **rounded({"precision": precision, "recall": recall, "coverage": covered}),
            "entropy": round(metrics.entropy(shares), 4),
            "class_shares": [round(share, 4) for share in shares.tolist()],
            "background": round(float(images.flatten(1).float().quantile(0.25, 1).mean()), 2),
        }

    def balance(self, read: Tensor) -> Tensor:
        """Rows, drawn with replacement, of images that are read as (N,), each digit with its share of the train split;
        digits that are not there are left out."""
        shares, draws = torch.bincount(self.train[1], minlength=10) / len(self.train[1]), make_generator(0)
        rows = []
        for digit, share in enumerate(shares.tolist()):
            if len(found := (read == digit).nonzero()[:, 0]):
                rows.append(found[torch.randint(len(found), (round(share * len(read)),), generator=draws)])
        return torch.cat(rows)

    def score_generator(self, generator: Any, preset: Preset, seed: int) -> Scores:
        """The same for a generator's samples; with labels, conditional accuracy and GAN-train too."""
        if not preset.num_classes:
            return self.score(draw(generator, NUM_SAMPLES, seed))
        return self.score_conditional(lambda labels, seed: draw(generator, len(labels), seed, labels), seed)

    def score_conditional(self, draw_digits: Callable[[Tensor, int], Tensor], seed: int) -> Scores:
        """The same for what draw_digits(labels (N,), seed) gives, uint8 (N, 32, 32), with the two scores of labels."""
        # Drawn from the train split: the test split's own counts would flatter the Fréchet distance.
        labels = self.train[1]
        asked = labels[torch.randperm(len(labels), generator=make_generator(seed))[:NUM_SAMPLES]]
        fakes = draw_digits(asked, seed)
        many = torch.arange(2 * NUM_SAMPLES) % 10
        others = draw_digits(many, seed + 1)
        return self.score(fakes) | {
            "conditional_accuracy": judge.conditional_accuracy(self.classifier, fakes, asked),
            "gan_train_accuracy": judge.gan_train_accuracy(others, many, *self.real, seed=seed),
        }

    def score_real(self) -> Scores:
        """The floor: train images in place of samples, and GAN-train on as many real images."""
        (images, labels), many = self.train, self.rows[: 2 * NUM_SAMPLES]
        return self.score(images[many[:NUM_SAMPLES]]) | {
            "conditional_accuracy": judge.conditional_accuracy(self.classifier, *self.real),
            "gan_train_accuracy": judge.gan_train_accuracy(images[many], labels[many], *self.real),
        }

    def score_grey(self) -> dict[str, dict[str, Scores]]:
        """Train images on a ground of so many of 255 levels, as samples are scored: by this classifier, and by one that
        saw digits as they are alone; and how often these read them right."""
        images, labels = (part[self.rows[:NUM_SAMPLES]] for part in self.train)
        unused = judge.fit_digit_classifier(*self.train, num_epochs=NUM_EPOCHS, augmented=False)
        found: dict[str, dict[str, Scores]] = {}
        for name, classifier in (("grounds seen", self.classifier), ("black alone", unused)):
            other = copy.copy(self)
            other.__dict__.pop("floor", None)
            other.classifier, (other.features, _) = classifier, judge.extract_features(classifier, self.real[0])
            found[name] = {}
            for level in GROUNDS:
                grey = (level + images.float() * ((255 - level) / 255)).round().byte()
                right = judge.conditional_accuracy(classifier, grey, labels)
                found[name][f"{level}"] = other.score(grey) | {"grey_accuracy": round(right, 4)}
        return found


def coverage(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """Share of reals (N, D) with a fake (M, D) as near as their k-th nearest other real (Naeem et al. 2020, eq. 5).

    Unlike recall, it builds no balls around fakes, whose outliers blow them up.
    """
    real, fake = metrics.as_features(real, fake)
    radii, covered = metrics.radii_of(real, k), torch.zeros(len(real), dtype=torch.bool)
    for part in metrics.distances(fake, real):
        covered |= (part <= radii).any(0)
    return float(covered.double().mean())


def draw(generator: Any, number: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Samples as uint8 (number, 32, 32), those of other sizes resized."""
    z = gan.draw_latents(number, generator.latent_dim, 10_000 + seed)
    return gan.prepare_images(gan.to_uint8(gan.sample(generator, z, labels)), judge.SIZE)
