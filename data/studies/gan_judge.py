"""Who judges what Chapter 4's generators draw, and against which images: a classifier, and what it sees in them."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps import datasets, gan
from dlapps.core import metrics, paths
from dlapps.core.runtime import channels_last, make_generator
from dlapps.core.training import load_weights, save_weights
from dlapps.gan import judge
from dlapps.gan.networks import AnyGenerator, Preset
from studies.runs import rounded

Scores = dict[str, object]
NUM_SAMPLES = 10_000
# Of precision and recall, as Kynkäänniemi et al. (2019) have it; real images reach .87 and .89 against real ones. With
# 5, real images reach .94 and .95, and all shares rise: recorded beside, so that the choice can be judged. Density and
# coverage are taken with 5, as Naeem et al. (2020) have it.
NEIGHBOURS, MORE_NEIGHBOURS = 3, 5
NUM_HELD_OUT = 10_000
# Of the scores, those whose differences are told in percentage points.
SHARES = ["precision", "recall", "precision_recall_of_5", "black_precision", "black_recall"]
SHARES += ["coverage", "class_shares", "conditional_accuracy", "gan_train_accuracy"]


@functools.cache
def load_images(data: str, split: str, size: int = judge.SIZE) -> tuple[Tensor, Tensor]:
    """MNIST or Fashion-MNIST as uint8 (N, size, size) and labels int64 (N,)."""
    load = {"MNIST": datasets.load_mnist, "Fashion-MNIST": datasets.load_fashion_mnist}[data]
    found = load(split)
    return gan.prepare_images(torch.tensor(found.images), size), torch.tensor(found.labels)


def make_digit_classifier() -> Path:
    """The classifier that judges samples, and its accuracy on the test split; about 10 minutes on one core."""
    provenance = datasets.load_mnist("train").provenance
    images, labels = load_images("MNIST", "train")
    classifier = judge.fit_digit_classifier(images, labels, num_epochs=8, seed=0)
    # As it will be loaded: rounded to float16.
    classifier = classifier.half().float()
    test = load_images("MNIST", "test")
    accuracy = judge.conditional_accuracy(classifier, *test)
    facts = {"data": provenance.name, "train": len(labels), "test": len(test[1])}
    facts |= {"num_epochs": 8, "seed": 0, "test_accuracy": round(accuracy, 4)}
    path = save_weights(classifier, paths.results() / "digit-classifier.pt")
    paths.write_atomically(path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
    return path


def load_classifier(data: str) -> judge.DigitClassifier:
    """The committed classifier of digits, or one of the same layers for other images, trained where it is missing."""
    if data == "MNIST":
        return judge.load_digit_classifier()
    path = paths.cache() / "gan" / f"classifier of {data}.pt"
    if not path.exists():
        save_weights(judge.fit_digit_classifier(*load_images(data, "train")), path)
    return load_weights(channels_last(judge.DigitClassifier()), path)


Split = tuple[Tensor, Tensor]


def load_held_out() -> tuple[Split, Split]:
    """Images and labels of MNIST's train split to train on, and the last 10,000, held out for choices."""
    images, labels = load_images("MNIST", "train")
    first = len(labels) - NUM_HELD_OUT
    return (images[:first], labels[:first]), (images[first:], labels[first:])


class Judge:
    """A classifier with what it sees in the test split, or with held_out in those held out of training."""

    def __init__(self, data: str = "MNIST", held_out: bool = False) -> None:
        if held_out:
            self.train, self.real = load_held_out()
            # It saw the images held out as little as a generator did.
            options: dict[str, Any] = {"checkpoint": paths.cache() / "gan" / "judge of held out.pt"}
            self.classifier = judge.fit_digit_classifier(*self.train, num_epochs=4, seed=1, **options)
        else:
            self.train, self.real = load_images(data, "train"), load_images(data, "test")
            self.classifier = load_classifier(data)
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
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones in features, and to train images in
        pixels."""
        return self.compare_features(images) | self.measure_distances(images)

    def compare_features(self, images: Tensor) -> Scores:
        """How close NUM_SAMPLES images uint8 (N, 32, 32) are to the real ones, in the classifier's features.

        The Fréchet distance is of all, KID and what has neighbours of every second: MNIST's second half was written by
        other people than its first.
        """
        features, logits = judge.extract_features(self.classifier, images)
        distance = metrics.frechet_distance(self.features, features)
        real, fake = self.features[::2], features[::2]
        precision, recall = metrics.precision_recall(real, fake, NEIGHBOURS)
        with_more = metrics.precision_recall(real, fake, MORE_NEIGHBOURS)
        density, coverage = density_coverage(real, fake, MORE_NEIGHBOURS)
        shares = torch.bincount(logits.argmax(1), minlength=10).double() / len(logits)
        return {
            "frechet": round(distance, 4),
            "frechet_ratio": round(distance / self.floor, 3),
            "kernel_distance": round(kernel_distance(real, fake), 5),
            **rounded({"precision": precision, "recall": recall}),
            "precision_recall_of_5": [round(share, 4) for share in with_more],
            **rounded({"density": density, "coverage": coverage}),
            "class_shares": [round(share, 4) for share in shares.tolist()],
            "entropy": round(metrics.entropy(shares), 4),
        }

    def measure_distances(self, images: Tensor) -> dict[str, float]:
        """To the nearest train image in pixels, of every tenth image: the median, and low percentiles, where what is
        copied shows first."""
        distances, _ = metrics.nearest_images(images[::10], self.train[0])
        names = {"distance_to_train": 50, "distance_to_train_5": 5, "distance_to_train_1": 1}
        return rounded({name: np.percentile(distances, share) for name, share in names.items()}, 3)

    def score_generator(self, generator: AnyGenerator, preset: Preset, seed: int) -> Scores:
        """The same for a generator's samples; with labels, conditional accuracy and GAN-train too, without them the
        background's mean level of 255, and what is reached where it is made black: the classifier has seen no other."""
        if not preset.num_classes:
            images = draw(generator, NUM_SAMPLES, seed)
            black, levels = blacken(images)
            found = self.compare_features(black)
            on_black = {f"black_{name}": found[name] for name in ("frechet_ratio", "precision", "recall")}
            return self.score(images) | {"background": round(float(levels.mean()), 2)} | on_black
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

    def measure_often(self, generator: AnyGenerator, preset: Preset) -> dict[str, float]:
        """What can be measured often: on 1,000 samples, conditional accuracy or the entropy of the classes."""
        labels = torch.arange(1000) % 10 if preset.num_classes else None
        read = judge.classify(self.classifier, draw(generator, 1000, 0, labels))
        if labels is not None:
            return {"conditional_accuracy": float((read == labels).double().mean())}
        shares = torch.bincount(read, minlength=10).double() / len(read)
        return {"entropy": round(metrics.entropy(shares), 4)}

    def score_real(self) -> Scores:
        """The floor: train images in place of samples, and GAN-train on as many real images."""
        (images, labels), many = self.train, self.rows[: 2 * NUM_SAMPLES]
        return (
            self.score(images[many[:NUM_SAMPLES]])
            | {
                "conditional_accuracy": judge.conditional_accuracy(self.classifier, *self.real),
                "gan_train_accuracy": judge.gan_train_accuracy(images[many], labels[many], *self.real),
            }
            | self.measure_distances(self.real[0])
        )

    def score_copies(self, number: int = 2_000) -> dict[str, dict[str, dict[str, float]]]:
        """Low percentiles of the distance to the nearest train image in pixels, where copies would show, each with a
        bootstrap interval of 95 %: of every few test images, and of samples of the committed generators, those with
        labels of the same labels."""
        rows = slice(None, None, max(1, len(self.real[1]) // number))
        groups, asked = {"test": self.real[0][rows]}, self.real[1][rows]
        for kind, labels in (("dcgan", None), ("cdcgan", asked)):
            groups[kind] = draw(gan.load_best(kind), len(asked), 0, labels)
        found: dict[str, dict[str, dict[str, float]]] = {}
        for name, images in groups.items():
            distances = metrics.nearest_images(images, self.train[0])[0].numpy()
            drawn = np.random.default_rng(0).choice(distances, (1000, len(distances)))
            found[name] = {}
            for share in (1, 5):
                low, high = np.quantile(np.percentile(drawn, share, axis=1), (0.025, 0.975))
                ends = {"value": np.percentile(distances, share), "low": low, "high": high}
                found[name][f"p{share}"] = rounded(ends, 3)
        return found

    def neighbour_error(self, known: Tensor, answers: Tensor) -> float:
        """Error on the test split of the nearest neighbour in pixels, among known uint8 (N, 32, 32) with labels (N,).

        Radford et al. (2016, table 3) report it for 50,000.
        """
        test, test_labels = self.real
        _, nearest = metrics.nearest_images(test, known)
        return float((answers[nearest] != test_labels).double().mean())

    def score_neighbours(self, number: int = 50_000) -> dict[str, float]:
        """That error among so many real digits, and among as many samples of the best conditional generator."""
        asked = torch.arange(number) % 10
        fakes = draw(gan.load_best("cdcgan"), number, 0, asked)
        images, labels = (part[:number] for part in self.train)
        return {"real": self.neighbour_error(images, labels), "samples": self.neighbour_error(fakes, asked)}


def density_coverage(real: ArrayLike, fake: ArrayLike, k: int = 5) -> tuple[float, float]:
    """How densely fakes lie among reals, and the share of reals with a fake close by (Naeem et al. 2020, eq. 4-5).

    real (N, D), fake (M, D). A real's ball reaches to its k-th nearest other real. Density: how many balls hold a fake,
    in the mean, divided by k: about 1 where fakes are as the reals, more where they crowd. Coverage, in [0, 1]: balls
    with a fake inside. Unlike recall, neither builds balls around fakes, whose outliers blow them up.
    """
    real, fake = metrics.as_features(real, fake)
    metrics.check_neighbours(k, len(real))
    radii, balls, covered = metrics.radii_of(real, k), 0, torch.zeros(len(real), dtype=torch.bool)
    for part in metrics.distances(fake, real):
        inside = part <= radii
        balls += int(inside.sum())
        covered |= inside.any(0)
    return balls / (k * len(fake)), float(covered.double().mean())


def kernel_distance(first: ArrayLike, second: ArrayLike) -> float:
    """KID: squared maximum mean discrepancy with k(x, y) = (x y / D + 1)^3 (Bińkowski et al. 2018).

    Of features (N, D), (M, D). Unbiased: 0 on average for two samples of one distribution, more often below it.
    """
    first, second = metrics.as_features(first, second)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        similar = kernel(a, a)
        return (similar.sum() - similar.trace()) / (len(a) * (len(a) - 1))

    return float(within(first) + within(second) - 2 * kernel(first, second).mean())


def draw(generator: AnyGenerator, number: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Samples as uint8 (number, 32, 32), those of other sizes resized."""
    z = gan.draw_latents(number, generator.latent_dim, 10_000 + seed)
    return gan.prepare_images(gan.to_uint8(gan.sample(generator, z, labels)), judge.SIZE)


def blacken(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, S, S) with a black background, and the level float32 (N,) in [0, 255] that it had.

    The level is the 25 % quantile of an image's pixels. It goes to 0 and 255 to itself, linearly; what is darker is 0.
    """
    pixels = images.flatten(1).float()
    levels = pixels.quantile(0.25, 1)
    white = (255 - levels).clamp_min(1)
    stretched = (pixels - levels[:, None]).clamp_min(0) * (255 / white)[:, None]
    return stretched.round().to(torch.uint8).reshape(images.shape), levels
