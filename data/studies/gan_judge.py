"""Who judges what Chapter 4's generators draw, and against which images: a classifier,
and what it sees in them.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps import datasets, gan, pretrained
from dlapps.core import metrics
from dlapps.core.runtime import make_generator
from dlapps.core.training import save_weights
from dlapps.gan import judge
from dlapps.gan.networks import Settings
from dlapps.transfer import extract_features
from labreport import paths
from studies.runs import rounded

Scores = dict[str, object]
NUM_SAMPLES = 10_000
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
]


@functools.cache
def load_images(split: str, size: int = judge.SIZE) -> tuple[Tensor, Tensor]:
    """MNIST as uint8 (N, size, size) and labels int64 (N,)."""
    found = datasets.load_mnist(split)
    return gan.prepare_images(torch.tensor(found.images), size), torch.tensor(
        found.labels
    )


def make_digit_classifier() -> Path:
    """The classifier that judges samples, and its accuracy on the test split; about 5
    minutes on one core.
    """
    provenance = datasets.load_mnist("train").provenance
    images, labels = load_images("train")
    classifier = judge.fit_digit_classifier(
        images, labels, num_epochs=NUM_EPOCHS, seed=0
    )
    # As it will be loaded: rounded to float16.
    classifier = classifier.half().float()
    test = load_images("test")
    accuracy = judge.conditional_accuracy(classifier, *test)
    facts = {"data": provenance.name, "train": len(labels), "test": len(test[1])}
    facts |= {"num_epochs": NUM_EPOCHS, "seed": 0, "test_accuracy": round(accuracy, 4)}
    path = save_weights(classifier, paths.networks() / "digit-classifier.pt")
    paths.write_atomically(
        path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode()
    )
    return path


class Judge:
    """A classifier, the committed one by default, with what it sees in the test split."""

    def __init__(self, classifier: judge.DigitClassifier | None = None) -> None:
        self.train, self.real = load_images("train"), load_images("test")
        self.classifier = classifier or judge.load_digit_classifier()
        self.features = judge.extract_features(self.classifier, self.real[0])[0]
        self.photos = see_as_photos(self.real[0][::2])
        # The train images in random order, so that the first of them stand for all.
        self.rows = torch.randperm(len(self.train[1]), generator=make_generator(0))

    def distances(self, images: Tensor, features: Tensor) -> np.ndarray:
        """Fréchet distances (2,) of images and their features from the test split: by
        the classifier; as photos.
        """
        pairs = (self.features, features), (self.photos, see_as_photos(images[::2]))
        return np.array([metrics.frechet_distance(*pair) for pair in pairs])

    @functools.cached_property
    def floors(self) -> np.ndarray:
        """The distances of as many train images as there are samples."""
        images = self.train[0][self.rows[:NUM_SAMPLES]]
        return self.distances(
            images, judge.extract_features(self.classifier, images)[0]
        )

    def score(self, images: Tensor) -> Scores:
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones, in the
        classifier's features.

        The Fréchet distance is of all, what has neighbours of every second: MNIST's
        second half was written by other people than its first. imagenet_ratio: the
        ratio in features of a network that learnt no digit, of every second image.
        balanced_ratio: where each digit, as it is read, is drawn as often as it occurs
        in the train split.
        background: the images' 25 % quantile, a level of 255.
        """
        features, logits = judge.extract_features(self.classifier, images)
        read = logits.argmax(1)
        ratio, elsewhere = self.distances(images, features) / self.floors
        balanced = (
            metrics.frechet_distance(self.features, features[self.balance(read)])
            / self.floors[0]
        )
        precision, recall = metrics.precision_recall(
            self.features[::2], features[::2], k=3
        )
        covered = coverage(self.features[::2], features[::2])
        shares = torch.bincount(read, minlength=10).double() / len(read)
        return {
            **rounded(
                {
                    "frechet_ratio": ratio,
                    "imagenet_ratio": elsewhere,
                    "balanced_ratio": balanced,
                },
                3,
            ),
            **rounded({"precision": precision, "recall": recall, "coverage": covered}),
            "class_shares": [round(share, 4) for share in shares.tolist()],
            "background": round(
                float(images.flatten(1).float().quantile(0.25, 1).mean()), 2
            ),
        }

    def balance(self, read: Tensor) -> Tensor:
        """Rows, drawn with replacement, of images that are read as (N,), each digit
        with its share of the train split; digits that are not there are left out.
        """
        shares, draws = (
            torch.bincount(self.train[1], minlength=10) / len(self.train[1]),
            make_generator(0),
        )
        rows = []
        for digit, share in enumerate(shares.tolist()):
            if len(found := (read == digit).nonzero()[:, 0]):
                rows.append(
                    found[
                        torch.randint(
                            len(found), (round(share * len(read)),), generator=draws
                        )
                    ]
                )
        return torch.cat(rows)

    def score_generator(self, generator: Any, settings: Settings, seed: int) -> Scores:
        """The same for a generator's samples; with labels, conditional accuracy and
        GAN-train too.
        """
        if not settings.num_classes:
            return self.score(draw(generator, NUM_SAMPLES, seed))
        return self.score_conditional(
            lambda labels, seed: draw(generator, len(labels), seed, labels), seed
        )

    def score_conditional(
        self, draw_digits: Callable[[Tensor, int], Tensor], seed: int
    ) -> Scores:
        """The same for what draw_digits(labels (N,), seed) gives, uint8 (N, 32, 32),
        with the two scores of labels.
        """
        # Drawn from the train split: the test split's own counts would flatter the
        # Fréchet distance.
        labels = self.train[1]
        asked = labels[
            torch.randperm(len(labels), generator=make_generator(seed))[:NUM_SAMPLES]
        ]
        fakes = draw_digits(asked, seed)
        many = torch.arange(2 * NUM_SAMPLES) % 10
        others = draw_digits(many, seed + 1)
        return self.score(fakes) | {
            "conditional_accuracy": judge.conditional_accuracy(
                self.classifier, fakes, asked
            ),
            "gan_train_accuracy": judge.gan_train_accuracy(
                others, many, *self.real, seed=seed
            ),
        }

    def score_real(self) -> Scores:
        """The floor: train images in place of samples, and GAN-train on as many real
        images.
        """
        (images, labels), many = self.train, self.rows[: 2 * NUM_SAMPLES]
        return self.score(images[many[:NUM_SAMPLES]]) | {
            "conditional_accuracy": judge.conditional_accuracy(
                self.classifier, *self.real
            ),
            "gan_train_accuracy": judge.gan_train_accuracy(
                images[many], labels[many], *self.real
            ),
        }

    def score_grey(self) -> dict[str, object]:
        """Train images on a ground of so many of 255 levels, scored as samples are: by
        this classifier, and by one that saw digits as they are alone. {score: {what was
        seen: one value a ground}}; and the ratio of faults that either should see,
        {fault: {what was seen: ratio}}.
        """
        images, labels = (part[self.rows[:NUM_SAMPLES]] for part in self.train)
        grounds = [
            (level + images.float() * ((255 - level) / 255)).round().byte()
            for level in GROUNDS
        ]
        faults = {
            "blurred": F.avg_pool2d(images[:, None].float(), 3, 1, 1)[:, 0]
            .round()
            .byte()
        }
        faults |= {f"no {digit}": images[labels != digit] for digit in (1, 8)}
        other = Judge(
            judge.fit_digit_classifier(
                *self.train, num_epochs=NUM_EPOCHS, augmented=False
            )
        )
        found: dict[str, Any] = {
            "ground": list(GROUNDS),
            "fault": {fault: {} for fault in faults},
        }
        for name, one in (("black and grey", self), ("black alone", other)):
            scores = [one.score(grey) for grey in grounds]
            for score in ("frechet_ratio", "recall"):
                found.setdefault(score, {})[name] = [each[score] for each in scores]
            right = [
                judge.conditional_accuracy(one.classifier, grey, labels)
                for grey in grounds
            ]
            found.setdefault("accuracy", {})[name] = [
                round(share, 4) for share in right
            ]
            for fault, faulty in faults.items():
                found["fault"][fault][name] = one.score(faulty)["frechet_ratio"]
        return found


def see_as_photos(images: Tensor) -> Tensor:
    """What SqueezeNet, which learnt photos of ImageNet and no digit, sees in uint8 (N,
    32, 32): features (N, 512).
    """
    network, last = pretrained.load("squeezenet1_1"), "features.12"
    return torch.from_numpy(
        extract_features(network, [*images.numpy()], [last], size=64)[last]
    )


def coverage(real: Tensor, fake: Tensor, k: int = 5) -> float:
    """Share of reals (N, D) with a fake (M, D) as near as their k-th nearest other real
    (Naeem et al. 2020, eq. 5).

    Unlike recall, it builds no balls around fakes, whose outliers blow them up.
    """
    real, fake = metrics.as_features(real, fake)
    radii, covered = metrics.radii_of(real, k), torch.zeros(len(real), dtype=torch.bool)
    for part in metrics.distances(fake, real):
        covered |= (part <= radii).any(0)
    return float(covered.double().mean())


def draw(
    generator: Any, number: int, seed: int, labels: Tensor | None = None
) -> Tensor:
    """Samples as uint8 (number, 32, 32), those of other sizes resized."""
    z = gan.draw_latents(number, generator.latent_dim, 10_000 + seed)
    return gan.prepare_images(
        gan.to_uint8(gan.sample(generator, z, labels)), judge.SIZE
    )
