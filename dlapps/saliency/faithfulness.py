"""Tests of a saliency map: deletion and insertion of pixels, and grids of pictures.

A map that looks convincing may only show edges. `random_map` and `centre_prior` know
nothing about the network: put their scores beside those of every method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps.core.checks import check_counts
from dlapps.core.class_scores import (
    Classes,
    Images,
    check_classes,
    check_input,
    choose_classes,
    float32,
    forward,
    pick,
)
from dlapps.core.images import as_pictures
from dlapps.core.runtime import Bar, make_generator

# What deleted pixels become.
GREY = 0.5
# Standard deviation in pixels of the blur that insertion starts from.
BLUR = 5


@dataclass(frozen=True)
class DeletionInsertion:
    """The probability of the target while pixels are deleted, or inserted.

    deletion, insertion: (N, S + 1), at shares (S + 1,) of the pixels from 0 to 1.
    """

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def gap(self) -> Tensor:
        """Insertion area less deletion area (N,), in [-1, 1]: higher is better.

        It also grows with the confidence of the network. Compare it only between maps
        of the same picture, and put the gap of `centre_prior` beside it.
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
    """Delete or insert the pixels, from the highest of a map to the lowest.

    The measures are those of Petsiuk, Das & Saenko 2018. Deleted pixels become grey, .5
    (in the paper ImageNet's mean, .4 to .49). Insertion starts from the picture blurred
    by a Gaussian of 5 pixels, cut off at one sigma. The network runs in the precision
    that the caller opened.

    images: (N, C, H, W) in [0, 1].
    maps: (N, H, W) of any range; equal values keep the order of the rows.
    targets: the predicted classes by default.
    num_steps: how often the pixels change until all have changed.

    Raises ValueError for bad images or classes, and for maps of another shape.
    """
    check_counts(num_steps=num_steps)
    images = check_input(network, images)
    if min(images.shape[2:]) <= BLUR:
        raise ValueError(
            f"expected pictures with sides of more than {BLUR} pixels, the width of "
            f"the blur, got {tuple(images.shape[2:])}; take larger ones."
        )
    places = _rank_pixels(images, maps)
    classes = choose_classes(network, images, targets)
    if targets is not None:
        check_classes(network, images, classes)
    with float32(images):
        blurred = gaussian_blur(images, 2 * BLUR + 1, BLUR)
    grey = torch.full_like(images, GREY)
    shares = torch.linspace(0, 1, num_steps + 1, device="cpu")
    return DeletionInsertion(
        shares.to(images.device),
        deletion=_curve(network, classes, places, shares, grey, images),
        insertion=_curve(network, classes, places, shares, images, blurred),
    )


def _curve(
    network: nn.Module,
    classes: Tensor,
    places: Tensor,
    shares: Tensor,
    after: Tensor,
    before: Tensor,
) -> Tensor:
    """Return the probabilities (N, S + 1) of the classes while pixels change.

    Shares (S + 1,) of the pixels change from `before` to `after`, in the order of their
    places.
    """
    num_pixels = places[0].numel()
    curve = []
    for share in Bar(shares, "steps"):
        changed = places < round(float(share) * num_pixels)
        pictures = torch.where(changed[:, None], after, before)
        probabilities = forward(network, pictures).softmax(1)
        curve.append(pick(probabilities, classes))
    return torch.stack(curve, 1)


def _rank_pixels(images: Tensor, maps: Tensor | np.ndarray) -> Tensor:
    """Return the place (N, H, W) of each pixel in its map, 0 for the highest.

    Raises ValueError for maps of another shape, or with NaN.
    """
    maps = torch.as_tensor(maps, device=images.device)
    expected = (len(images), *images.shape[2:])
    if maps.shape != expected:
        raise ValueError(
            f"expected maps of shape {expected}, got {tuple(maps.shape)}; "
            "pass one map an image."
        )
    if maps.isnan().any():
        raise ValueError(
            "expected maps of numbers, got NaN, which has no rank; "
            "look for what made it."
        )
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view(expected)


def random_map(images: Images, seed: int = 0) -> Tensor:
    """Draw a map (N, H, W) of uniform noise in [0, 1), which a method has to beat."""
    images = as_pictures(images)
    shape = (len(images), *images.shape[2:])
    noise = torch.rand(shape, generator=make_generator(seed), device="cpu")
    return noise.to(images.device)


def centre_prior(images: Images) -> Tensor:
    """Return a Gaussian in the middle, where photographers put their subject.

    It is the same map (N, H, W) in (0, 1] for every picture. Its standard deviation is
    a quarter of the side.
    """
    images = as_pictures(images)
    height, width = images.shape[2:]
    rows = _bell(height, images.device)
    columns = _bell(width, images.device)
    return torch.outer(rows, columns).expand(len(images), -1, -1)


def _bell(side: int, device: torch.device) -> Tensor:
    places = torch.linspace(-0.5, 0.5, side, device=device)
    return torch.exp(-(places / 0.25).square() / 2)


def make_grids(
    pictures: Images, labels: Sequence[int] | Tensor, number: int
) -> tuple[Tensor, Tensor]:
    """Make grids of 2 x 2 pictures of different classes (Böhle, Fritz & Schiele 2021).

    A network that averages over positions gives a grid one score for each class: a map
    of one of its classes should point at that class's cell. No picture is taken a
    second time before too few are left for another grid.

    pictures: N of one size (see `images.as_pictures`). The paper takes those that the
        network is surest of.
    labels: (N,).
    number: of grids, G.

    Returns pixels (G, C, 2 H, 2 W) and int64 (G, 4), the classes of the cells row by
    row. Raises ValueError for another number of labels, or fewer than four classes.
    """
    check_counts(number=number)
    pixels = as_pictures(pictures)
    classes = torch.as_tensor(labels, device=pixels.device)
    num_classes = len(classes.unique())
    if classes.shape != (len(pixels),) or num_classes < 4:
        raise ValueError(
            f"expected one label for each of {len(pixels)} pictures, 4 different ones "
            f"at least, got {tuple(classes.shape)} labels of {num_classes} classes; "
            "pass more pictures."
        )
    rows = _deal(classes.tolist(), number).to(pixels.device)
    cells = pixels[rows]  # (G, 4, C, H, W)
    top = torch.cat([cells[:, 0], cells[:, 1]], dim=3)  # (G, C, H, 2 W)
    bottom = torch.cat([cells[:, 2], cells[:, 3]], dim=3)
    return torch.cat([top, bottom], dim=2), classes[rows]


def _deal(labels: Sequence[int], number: int) -> Tensor:
    """Deal rows (number, 4) of pictures of different classes from a deck.

    The deck is shuffled anew when fewer than four classes are left in it.
    """
    generator = make_generator(0)
    deck: list[int] = []
    hands: list[list[int]] = []
    while len(hands) < number:
        hand = _first_of_each_class(deck, labels)[:4]
        if len(hand) == 4:
            hands.append(hand)
            deck = [row for row in deck if row not in hand]
        else:
            shuffled = torch.randperm(len(labels), generator=generator, device="cpu")
            deck = shuffled.tolist()
    return torch.tensor(hands, device="cpu")


def _first_of_each_class(rows: Sequence[int], labels: Sequence[int]) -> list[int]:
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(labels[row], row)
    return list(first.values())
