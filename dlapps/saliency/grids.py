"""The grid pointing game: pictures of known classes side by side, so that the pixels of each class are known.

A network that averages over positions gives a grid one score for each class; a map of one of its classes should point
at that class's cell and at no other. A map that knows nothing is right once in side^2 times.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dlapps.core.class_scores import Images
from dlapps.core.images import as_pictures
from dlapps.core.runtime import make_generator


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
