"""A classifier of handwritten digits, which judges generated digits, and how close
samples are to real images on its features.

Images are levels uint8 (N, H, H), as `gan.to_uint8` makes them from samples; they are
resized to 32 x 32. Labels are int64 (N,). The weights come with the code, so
nothing is downloaded.
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.checks import check_counts
from dlapps.core.classifier import fit_classifier
from dlapps.core.runtime import channels_last, drawn_from
from dlapps.core.training import Augment, predict
from dlapps.core.weights import load_weights
from dlapps.gan.sampling import from_uint8, prepare_images

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
    augment: Augment | None = None,
) -> DigitClassifier:
    """Train a classifier on images uint8 (N, H, H) and labels (N,).

    The same seed gives the same classifier on one machine.

    augment: a function of a batch of images and a generator, which returns images
        (N, 1, 32, 32) in [-1, 1].

    Returns the classifier in eval mode, without gradients.
    """
    # PyTorch draws weights from its default generator.
    with drawn_from(seed):
        network = channels_last(DigitClassifier())
    fit_classifier(
        network,
        prepare_images(images, SIZE),
        labels,
        num_epochs,
        {network: 5e-3},
        batch_size=128,
        seed=seed,
        augment=augment or _convert,
    )
    return network.requires_grad_(False)


def _convert(images: Tensor, generator: torch.Generator) -> Tensor:
    return from_uint8(images)


def features_and_logits(
    classifier: DigitClassifier, images: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Return features (N, 128) and logits (N, 10) of images uint8 (N, H, H).

    Both are float32 on the CPU.
    """
    digits = prepare_images(images, SIZE)
    features = predict(classifier.maps, digits, batch_size=BATCH, prepare=from_uint8)
    logits = predict(classifier.head, features, batch_size=BATCH)
    return features, logits


def classify(classifier: DigitClassifier, images: ArrayLike) -> Tensor:
    """Return the digit that the classifier reads in each image: int64 (N,)."""
    _, logits = features_and_logits(classifier, images)
    return logits.argmax(1)


def load_digit_classifier() -> DigitClassifier:
    """Load the committed classifier, in eval mode, without gradients."""
    path = paths.require_network("digit-classifier.pt", "the digit classifier")
    network = load_weights(DigitClassifier, path)
    return channels_last(network).requires_grad_(False)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Compute precision and recall of fakes (Kynkäänniemi et al. 2019, eq. 1-2).

    Precision is the share of fakes inside the real manifold, recall the share of reals
    inside the fake one. A manifold is the union of balls around its points, each as
    large as the distance to the k-th nearest other point.

    real, fake: features (N, D) and (M, D) of one network.

    Raises ValueError for features that are not finite.
    """
    check_counts(k=k)
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise ValueError(
            "expected finite features, got NaN or infinity; "
            "check the network and its input."
        )
    real = real.double()
    fake = fake.double()
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, others: Tensor, k: int) -> float:
    distances = torch.cdist(others, others)
    # The nearest of all is the point itself; a point on a ball's surface is inside.
    radii = distances.kthvalue(k + 1).values * (1 + 1e-9)
    return float((torch.cdist(points, others) <= radii).any(1).double().mean())
