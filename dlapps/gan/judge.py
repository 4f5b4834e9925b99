"""A classifier of handwritten digits: the eye with which generated digits are judged.

Images are grey values uint8 (N, 32, 32), as `gan.prepare_images` makes of MNIST and
`gan.to_uint8` of samples; labels int64 (N,). Nothing is downloaded: the weights come
with the code.
"""

import math

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dlapps.core import paths
from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_tensor
from dlapps.core.runtime import channels_last, drawn_from
from dlapps.core.training import accuracy, load_weights, predict
from dlapps.gan.networks import check_sizes
from dlapps.gan.sampling import from_uint8
from dlapps.transfer import finetune

SIZE = 32
BATCH = 500  # images read at a time


class AverageOverPositions(nn.Module):
    """Maps (N, C, H, W) to their means (N, C), float32."""

    def forward(self, maps: Tensor) -> Tensor:
        """Means (N, C) of maps (N, C, H, W)."""
        return maps.float().mean((2, 3))


class DigitClassifier(nn.Module):
    """Images (N, 1, 32, 32) in [-1, 1] to logits (N, 10); features (N, 128) float32
    before the last layer.

    Five convolutions with batch norm and ReLU, the first in strides of 2, two poolings,
    the average over positions; 0.25 M parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        # The names are those of the committed weights.
        self.maps = nn.Sequential(
            *_block(1, 32, kernel=4, stride=2), *_block(32, 48), nn.MaxPool2d(2), *_block(48, 96), *_block(96, 96),
            nn.MaxPool2d(2), *_block(96, 128), AverageOverPositions(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(128, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 32, 32) in [-1, 1]."""
        return self.head(self.maps(images))


def fit_digit_classifier(
    images: ArrayLike,
    labels: ArrayLike,
    num_epochs: int = 6,
    seed: int = 0,
    augmented: bool = True,
) -> DigitClassifier:
    """A classifier trained on images uint8 (N, 32, 32) and labels, in eval mode; the
    same seed gives the same one.

    augmented: `distort` the images.
    """
    images = as_digits(images)
    # Weights are drawn from PyTorch's default generator, as by every nn.Module.
    with drawn_from(seed):
        network = channels_last(DigitClassifier())
    augment = distort if augmented else lambda digits, generator: from_uint8(digits)
    finetune.fit_classifier(
        network, images, labels, num_epochs, {network: 5e-3}, batch_size=128, seed=seed, augment=augment
    )  # fmt: skip
    return network.requires_grad_(False)


def distort(images: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 (N, 32, 32) turned by up to 12 degrees, scaled by up to a tenth, moved by
    up to two pixels, each image on its own; as `from_uint8` gives them.

    Half of them on a grey ground of up to a quarter of white, all with strokes down to
    .7 of it and some noise: a judge that has seen black grounds alone takes digits on a
    faint grey for eights.
    """
    turn, scale, right, down = 2 * torch.rand(4, len(images), generator=generator) - 1
    turn, scale, move = turn * math.radians(12), 1 + scale / 10, 2 * 2 / SIZE
    cosine, sine = turn.cos() * scale, turn.sin() * scale
    rows = cosine, -sine, right * move, sine, cosine, down * move
    matrices = torch.stack(rows, 1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, [len(images), 1, SIZE, SIZE], align_corners=False)
    # What comes in from outside is 0: black has to be 0 as well until then.
    ink = F.grid_sample(images[:, None].float() / 255, grid, align_corners=False)
    ground, top = torch.rand(2, len(images), 1, 1, 1, generator=generator)
    ground, top = (ground - 0.5).clamp_min(0) / 2, 1 - 0.3 * top
    noise = 0.02 * torch.randn(ink.shape, generator=generator)
    return (ground + ink * (top - ground) + noise).clamp(0, 1).mul(2).sub(1)


def extract_features(
    classifier: DigitClassifier, images: ArrayLike
) -> tuple[Tensor, Tensor]:
    """Features (N, 128) and logits (N, 10), float32 on the CPU, of images uint8 (N, 32,
    32).
    """
    features = predict(
        classifier.maps, as_digits(images), batch_size=BATCH, prepare=from_uint8
    )
    return features, predict(
        classifier.head, features, batch_size=BATCH, precision="float32"
    )


def classify(classifier: DigitClassifier, images: ArrayLike) -> Tensor:
    """The digit read in each image: int64 (N,)."""
    return extract_features(classifier, images)[1].argmax(1)


def conditional_accuracy(
    classifier: DigitClassifier, fakes: ArrayLike, labels: ArrayLike
) -> float:
    """Share of fakes read as the digit they were asked for: GAN-test of Shmelkov et al.
    (2018) where the classifier was trained on real images.
    """
    return accuracy(extract_features(classifier, fakes)[1], labels)


def gan_train_accuracy(
    fakes: ArrayLike,
    labels: ArrayLike,
    real: ArrayLike,
    real_labels: ArrayLike,
    seed: int = 0,
) -> float:
    """Accuracy on real images of a classifier that saw only fakes (Shmelkov, Schmid and
    Alahari 2018).

    It falls when fakes are wrong and when they lack diversity. Trained without
    augmentation, which would add the diversity that is asked about.
    """
    classifier = fit_digit_classifier(
        fakes, labels, num_epochs=4, seed=seed, augmented=False
    )
    return conditional_accuracy(classifier, real, real_labels)


def stroke_statistics(images: ArrayLike) -> dict[str, Tensor]:
    """How digits are written, float32 (N,) each, of images uint8 (N, H, W).

    slant: pixels that the ink leans to the right a pixel upwards, from its second
    moments; ink: mean grey in [0, 1].
    """
    weights = as_tensor(images).float() / 255
    mass = weights.sum((1, 2)).clamp(min=1e-6)
    height, width = weights.shape[1:]
    up, right = (
        -torch.arange(height).float()[:, None],
        torch.arange(width).float()[None],
    )
    middle_up, middle_right = (
        (weights * axis).sum((1, 2)) / mass for axis in (up, right)
    )
    up, right = up - middle_up[:, None, None], right - middle_right[:, None, None]
    slant = (weights * up * right).sum((1, 2)) / (weights * up * up).sum((1, 2)).clamp(
        min=1e-6
    )
    return {"slant": slant, "ink": weights.mean((1, 2))}


def load_digit_classifier() -> DigitClassifier:
    """The committed classifier, in eval mode, without gradients; digit-classifier.json
    says how it was made.
    """
    path = paths.require_network("digit-classifier.pt", "the digit classifier")
    return load_weights(channels_last(DigitClassifier()), path).requires_grad_(False)


def as_digits(images: ArrayLike) -> Tensor:
    """uint8 (N, 32, 32) of a list, an array or a tensor; ValueError otherwise."""
    digits = as_uint8(images)
    check_sizes("images uint8", digits, SIZE, SIZE)
    return digits


def _block(
    before: int, after: int, kernel: int = 3, stride: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, stride, 1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]
