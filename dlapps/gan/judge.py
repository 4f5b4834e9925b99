"""A classifier of handwritten digits, which judges generated digits.

Images are levels uint8 (N, 32, 32): `gan.prepare_images` makes them from MNIST,
`gan.to_uint8` from samples. Labels are int64 (N,). The weights come with the code, so
nothing is downloaded.
"""

import math

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.arrays import check_sizes
from dlapps.core.classifier import fit_classifier
from dlapps.core.images import as_uint8, warp
from dlapps.core.runtime import channels_last, drawn_from
from dlapps.core.training import accuracy, predict
from dlapps.core.weights import load_weights
from dlapps.gan.sampling import from_uint8

SIZE = 32
BATCH = 500  # images classified at a time


class AverageOverPositions(nn.Module):
    """Average maps (N, C, H, W) over positions, in float32."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the means (N, C) float32 of maps (N, C, H, W)."""
        return maps.float().mean((2, 3))


class DigitClassifier(nn.Module):
    """Images (N, 1, 32, 32) in [-1, 1] to logits (N, 10), with 0.25 M parameters.

    The features are the values (N, 128) before the last layer. The numbers in a
    convolution are its channels in and out, kernel, stride and padding.
    """

    def __init__(self) -> None:
        super().__init__()
        # The names of the two parts are those in the committed file.
        self.maps = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1, bias=False),      # (N, 32, 16, 16)
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 48, 3, 1, 1, bias=False),     # (N, 48, 16, 16)
            nn.BatchNorm2d(48),
            nn.ReLU(),
            nn.MaxPool2d(2),                            # (N, 48, 8, 8)
            nn.Conv2d(48, 96, 3, 1, 1, bias=False),     # (N, 96, 8, 8)
            nn.BatchNorm2d(96),
            nn.ReLU(),
            nn.Conv2d(96, 96, 3, 1, 1, bias=False),     # (N, 96, 8, 8)
            nn.BatchNorm2d(96),
            nn.ReLU(),
            nn.MaxPool2d(2),                            # (N, 96, 4, 4)
            nn.Conv2d(96, 128, 3, 1, 1, bias=False),    # (N, 128, 4, 4)
            nn.BatchNorm2d(128),
            nn.ReLU(),
            AverageOverPositions(),                     # (N, 128)
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(128, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 32, 32) in [-1, 1]."""
        return self.head(self.maps(images))


def fit_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    num_epochs: int = 6,
    seed: int = 0,
    augmented: bool = True,
) -> DigitClassifier:
    """Train a classifier on images uint8 (N, 32, 32) and labels (N,).

    The same seed gives the same classifier on one machine.

    augmented: whether `distort` changes each batch.

    Returns the classifier in eval mode, without gradients.
    """
    images = as_digits(images)
    # PyTorch draws weights from its default generator.
    with drawn_from(seed):
        network = channels_last(DigitClassifier())
    fit_classifier(
        network,
        images,
        labels,
        num_epochs,
        {network: 5e-3},
        batch_size=128,
        seed=seed,
        augment=distort if augmented else _leave,
    )
    return network.requires_grad_(False)


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
    two_pixels = 2 * 2 / SIZE  # the grid goes from -1 to 1
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


def _leave(images: Tensor, generator: torch.Generator) -> Tensor:
    """Convert images as `distort` does, but leave them unchanged."""
    return from_uint8(images)


def features_and_logits(
    classifier: DigitClassifier, images: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Return features (N, 128) and logits (N, 10) of images uint8 (N, 32, 32).

    Both are float32 on the CPU.
    """
    digits = as_digits(images)
    features = predict(classifier.maps, digits, batch_size=BATCH, prepare=from_uint8)
    logits = predict(classifier.head, features, batch_size=BATCH)
    return features, logits


def classify(classifier: DigitClassifier, images: ArrayLike) -> Tensor:
    """Return the digit that the classifier reads in each image: int64 (N,)."""
    _, logits = features_and_logits(classifier, images)
    return logits.argmax(1)


def conditional_accuracy(
    classifier: DigitClassifier, fakes: ArrayLike, labels: ArrayLike
) -> float:
    """Return the share of fakes whose label is the digit that the classifier reads.

    With a classifier trained on real images this is the GAN-test of Shmelkov, Schmid
    and Alahari (2018).
    """
    _, logits = features_and_logits(classifier, fakes)
    return accuracy(logits, labels)


def gan_train_accuracy(
    fakes: ArrayLike,
    labels: ArrayLike,
    real: ArrayLike,
    real_labels: ArrayLike,
    seed: int = 0,
) -> float:
    """Return the accuracy on real images of a classifier trained on fakes alone.

    This is the GAN-train of Shmelkov, Schmid and Alahari (2018). It falls when fakes
    are wrong and when they lack diversity. The training has no augmentation, which
    would add the diversity that is measured.
    """
    classifier = fit_digit_classifier(
        fakes, labels, num_epochs=4, seed=seed, augmented=False
    )
    return conditional_accuracy(classifier, real, real_labels)


def load_digit_classifier() -> DigitClassifier:
    """Load the committed classifier, in eval mode, without gradients.

    digit-classifier.json says how it was trained.
    """
    path = paths.require_network("digit-classifier.pt", "the digit classifier")
    network = load_weights(channels_last(DigitClassifier()), path)
    return network.requires_grad_(False)


def as_digits(images: ArrayLike) -> Tensor:
    """Return images as uint8 (N, 32, 32); raise ValueError if they are not."""
    digits = as_uint8(images)
    check_sizes("images uint8", digits, SIZE, SIZE)
    return digits
