"""Whether a saliency map tells the truth: deletion and insertion of pixels, and grids of pictures of known classes.

A map that looks convincing may only show edges. `random_map` and `centre_prior` know nothing about the network: print
their areas beside those of every method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from dlapps import check_counts
from dlapps.core.class_scores import Classes, Images, check_input, choose_classes, float32, forward, pick
from dlapps.core.images import as_pictures, check_unit
from dlapps.core.runtime import make_generator


@dataclass(frozen=True)
class DeletionInsertion:
    """Probability of the target (N, S + 1) while a share of the pixels (S + 1,) from 0 to 1 is deleted or inserted."""

    shares: Tensor
    deletion: Tensor
    insertion: Tensor

    @property
    def agreement(self) -> Tensor:
        """Insertion less deletion area, divided by the probability of the whole picture (N,): higher is better.

        Without the division it measures how sure a network is. A random map has a score too: subtract it.
        """
        return (self.insertion_area - self.deletion_area) / self.deletion[:, 0]

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
    deleted: float = 0.5,
    blur_sigma: float = 5.0,
) -> DeletionInsertion:
    """Take the pixels away, or put them in, from the highest of a map to the lowest (Petsiuk, Das & Saenko 2018).

    images: (N, C, H, W) in [0, 1]. maps: (N, H, W), any range; equal values keep the order of the rows. targets: the
    predicted classes by default. Deleted pixels become the grey `deleted` (the paper's is the mean of ImageNet, .4 to
    .49); insertion starts from the picture blurred by a Gaussian of blur_sigma pixels, cut off at one sigma. Runs in
    the precision that the caller opened. Raises ValueError for bad images, classes, or maps of another shape.
    """
    check_counts(num_steps=num_steps)
    if np.ndim(deleted):
        raise ValueError(
            f"expected deleted as one grey, got shape {tuple(np.shape(deleted))}; take a number in [0, 1]."
        )
    check_unit(torch.as_tensor(deleted, device="cpu"))
    images = check_input(network, images)
    if not 0 < blur_sigma <= min(images.shape[2:]) - 1:
        raise ValueError(
            f"expected blur_sigma > 0, in pixels, less than the sides {tuple(images.shape[2:])}, got {blur_sigma}; "
            "change it."
        )
    ranks = rank_pixels(images, maps)[:, None]
    classes = choose_classes(network, images, targets)
    with float32(images):
        blurred = gaussian_blur(images, 2 * round(blur_sigma) + 1, blur_sigma)
    shares = torch.linspace(0, 1, num_steps + 1, device="cpu")

    def curve(chosen_become: Tensor | float, others_are: Tensor) -> Tensor:
        masks = (ranks < round(float(share) * ranks[0].numel()) for share in shares)
        seen = (torch.where(mask, chosen_become, others_are) for mask in masks)
        probabilities = [forward(network, pictures).softmax(1) for pictures in seen]
        return torch.stack([pick(step, classes) for step in probabilities], 1)

    return DeletionInsertion(shares.to(images.device), curve(deleted, images), curve(images, blurred))


def rank_pixels(images: Tensor, maps: Tensor | np.ndarray) -> Tensor:
    """Places (N, H, W) of pixels in the order of a map, 0 for the highest; ValueError for other shapes or NaN."""
    maps = torch.as_tensor(maps, device=images.device)
    expected = (len(images), *images.shape[2:])
    if maps.shape != expected:
        raise ValueError(f"expected maps of shape {expected}, got {tuple(maps.shape)}; pass one map an image.")
    if maps.isnan().any():
        raise ValueError("expected maps of numbers, got NaN, which has no rank; look for what made it.")
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1).view(expected)


def random_map(images: Tensor, seed: int = 0) -> Tensor:
    """A map (N, H, W) of uniform noise in [0, 1): what a method must beat to say anything."""
    generator = make_generator(seed)
    noise = torch.rand(len(images), *images.shape[2:], generator=generator, device="cpu")
    return noise.to(images.device)


def centre_prior(images: Tensor, spread: float = 0.25) -> Tensor:
    """A Gaussian in the middle, spread times the side of the picture wide: where photographers put their subject.

    Returns (N, H, W) in (0, 1], the same map for every picture.
    """
    places = (torch.linspace(-0.5, 0.5, side, device=images.device) for side in images.shape[2:])
    rows, columns = (torch.exp(-place.div(spread).square() / 2) for place in places)
    return torch.outer(rows, columns).expand(len(images), -1, -1)


def rank_correlations(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation (N,) in [-1, 1] of each map (N, H, W) with its counterpart; 0 for a constant map."""
    pairs = zip(first.cpu(), second.cpu(), strict=True)
    correlations = [_rank_correlation(*pair) for pair in pairs]
    return torch.tensor(correlations, device=first.device)


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    first, second = first.flatten(), second.flatten()
    if first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(spearmanr(first.numpy(), second.numpy()).statistic)


def make_grids(pictures: Images, labels: Sequence[int] | Tensor, number: int, side: int = 2) -> tuple[Tensor, Tensor]:
    """Grids of side x side pictures of different classes (Böhle, Fritz & Schiele 2021), and the classes.

    pictures: N of one size (see `images.as_pictures`); the paper takes those classified most surely. labels: (N,).
    Returns pixels (G, C, side H, side W) and int64 (G, side^2), the classes of the cells row by row. No picture is
    taken a second time before too few are left for another grid. Raises ValueError for another number of labels, and
    for fewer than side^2 classes.
    """
    pixels, cells = as_pictures(pictures), side**2
    classes = torch.as_tensor(labels, device=pixels.device)
    if classes.shape != (len(pixels),) or number < 1 or len(classes.unique()) < cells:
        raise ValueError(
            f"expected one label for each of {len(pixels)} pictures, {cells} different ones at least, and a number of "
            f"grids >= 1, got {tuple(classes.shape)} labels of {len(classes.unique())} classes and {number}; pass more "
            "pictures."
        )
    rows = _deal(classes.tolist(), number, cells).to(pixels.device)
    bands = pixels[rows].unflatten(1, (side, side)).movedim(3, 1)
    return bands.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3), classes[rows]


def _deal(labels: Sequence[int], number: int, cells: int) -> Tensor:
    """Rows (number, cells) of pictures of different classes, drawn from a deck that is shuffled when it runs out."""
    generator = make_generator(0)
    deck: list[int] = []
    hands: list[list[int]] = []
    while len(hands) < number:
        first = {labels[row]: row for row in reversed(deck)}
        hand = [row for row in deck if first[labels[row]] == row][:cells]
        if len(hand) < cells:
            deck = torch.randperm(len(labels), generator=generator, device="cpu").tolist()
        else:
            hands.append(hand)
            deck = [row for row in deck if row not in hand]
    return torch.tensor(hands, device="cpu")
