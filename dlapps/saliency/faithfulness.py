"""Whether a saliency map tells the truth: deletion and insertion of pixels, and grids
of pictures of known classes.

A map that looks convincing may only show edges. `random_map` and `centre_prior` know
nothing about the network: put their scores beside those of every method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps import check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_input,
    choose_classes,
    float32,
    forward,
    pick,
)
from dlapps.core.images import as_pictures
from dlapps.core.runtime import Bar, make_generator

# What deleted pixels become, and the deviation of the blur that insertion starts from,
# in pixels.
GREY, BLUR = 0.5, 5


@dataclass(frozen=True)
class DeletionInsertion:
    """Probability of the target (N, S + 1) while a share of the pixels (S + 1,) from 0
    to 1 is deleted or inserted.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def gap(self) -> Tensor:
        """Insertion area less deletion area (N,), in [-1, 1]: higher is better.

        It grows with how sure the network is: compare it between maps of the same
        picture only, and put that of `centre_prior` beside it.
        """
        return self.insertion_area - self.deletion_area

    @property
    def deletion_area(self) -> Tensor:
        """Area under each deletion curve (N,), in [0, 1]: lower is better."""
        return torch.trapezoid(self.deletion, self.shares)

    @property
    def insertion_area(self) -> Tensor:
        """Area under each insertion curve (N,), in [0, 1]: higher is better."""
        return torch.trapezoid(self.insertion, self.shares)


def deletion_insertion(
    network: nn.Module,
    images: Images,
    maps: Tensor | np.ndarray,
    targets: Classes | None = None,
    num_steps: int = 28,
) -> DeletionInsertion:
    """Take the pixels away, or put them in, from the highest of a map to the lowest
    (Petsiuk, Das & Saenko 2018).

    images: (N, C, H, W) in [0, 1]. maps: (N, H, W), any range; equal values keep the
    order of the rows. targets: the predicted classes by default. Deleted pixels become
    grey, .5 (the paper's is the mean of ImageNet, .4 to .49); insertion starts from the
    picture blurred by a Gaussian of 5 pixels, cut off at one sigma. Runs in the
    precision that the caller opened. Raises ValueError for bad images, classes, or maps
    of another shape.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    if min(images.shape[2:]) <= BLUR:
        raise ValueError(
            f"expected pictures with sides of more than {BLUR} pixels, the width of the blur, got "
            f"{tuple(images.shape[2:])}; take larger ones."
        )
    ranks = _rank_pixels(images, maps)[:, None]
    classes = choose_classes(network, images, targets)
    with float32(images):
        blurred = gaussian_blur(images, 2 * BLUR + 1, BLUR)
    shares = torch.linspace(0, 1, num_steps + 1, device="cpu")

    def curve(chosen_become: Tensor | float, others_are: Tensor) -> Tensor:
        masks = (
            ranks < round(float(share) * ranks[0].numel())
            for share in Bar(shares, "steps")
        )
        seen = (torch.where(mask, chosen_become, others_are) for mask in masks)
        probabilities = [forward(network, pictures).softmax(1) for pictures in seen]
        return torch.stack([pick(step, classes) for step in probabilities], 1)

    return DeletionInsertion(
        shares.to(images.device), curve(GREY, images), curve(images, blurred)
    )


def _rank_pixels(images: Tensor, maps: Tensor | np.ndarray) -> Tensor:
    """Places (N, H, W) of pixels in the order of a map, 0 for the highest; ValueError
    for other shapes or NaN.
    """
    maps = torch.as_tensor(maps, device=images.device)
    expected = (len(images), *images.shape[2:])
    if maps.shape != expected:
        raise ValueError(
            f"expected maps of shape {expected}, got {tuple(maps.shape)}; pass one map an image."
        )
    if maps.isnan().any():
        raise ValueError(
            "expected maps of numbers, got NaN, which has no rank; look for what made it."
        )
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view(expected)


def random_map(images: Tensor, seed: int = 0) -> Tensor:
    """A map (N, H, W) of uniform noise in [0, 1): what a method must beat to say
    anything.
    """
    generator = make_generator(seed)
    noise = torch.rand(
        len(images), *images.shape[2:], generator=generator, device="cpu"
    )
    return noise.to(images.device)


def centre_prior(images: Tensor) -> Tensor:
    """A Gaussian in the middle, a quarter of the side of the picture wide: where
    photographers put their subject.

    Returns (N, H, W) in (0, 1], the same map for every picture.
    """
    places = (
        torch.linspace(-0.5, 0.5, side, device=images.device)
        for side in images.shape[2:]
    )
    rows, columns = (torch.exp(-place.div(0.25).square() / 2) for place in places)
    return torch.outer(rows, columns).expand(len(images), -1, -1)


def make_grids(
    pictures: Images, labels: Sequence[int] | Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """Grids of 2 x 2 pictures of different classes (Böhle, Fritz & Schiele 2021), and
    the classes.

    A network that averages over positions gives a grid one score for each class: a map
    of one of its classes should point at that class's cell. pictures: N of one size
    (see `images.as_pictures`); the paper takes those classified most surely. labels:
    (N,). Returns pixels (G, C, 2 H, 2 W) and int64 (G, 4), the classes of the cells row
    by row. No picture is taken a second time before too few are left for another grid.
    Raises ValueError for another number of labels, and for fewer than four classes.
    """
    pixels = as_pictures(pictures)
    classes = torch.as_tensor(labels, device=pixels.device)
    if classes.shape != (len(pixels),) or number < 1 or len(classes.unique()) < 4:
        raise ValueError(
            f"expected one label for each of {len(pixels)} pictures, 4 different ones at least, and a number of grids "
            f">= 1, got {tuple(classes.shape)} labels of {len(classes.unique())} classes and {number}; pass more "
            "pictures."
        )
    rows = _deal(classes.tolist(), number).to(pixels.device)
    bands = pixels[rows].unflatten(1, (2, 2)).movedim(3, 1)
    return bands.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3), classes[rows]


def _deal(labels: Sequence[int], number: int) -> Tensor:
    """Rows (number, 4) of pictures of different classes, drawn from a deck that is
    shuffled when it runs out.
    """
    generator = make_generator(0)
    deck: list[int] = []
    hands: list[list[int]] = []
    while len(hands) < number:
        first = {labels[row]: row for row in reversed(deck)}
        hand = [row for row in deck if first[labels[row]] == row][:4]
        if len(hand) < 4:
            deck = torch.randperm(
                len(labels), generator=generator, device="cpu"
            ).tolist()
        else:
            hands.append(hand)
            deck = [row for row in deck if row not in hand]
    return torch.tensor(hands, device="cpu")
