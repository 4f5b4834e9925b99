"""What a training measured, batch by batch, and what this says in words."""

import numpy as np
from numpy.typing import ArrayLike

from dlapps.core.images import as_uint8
from dlapps.core.metrics import as_tensor, precision_recall
from dlapps.core.training import History


class GanHistory(History):
    """One value a batch; measures: what `measure` gave, with the number of batches it was taken after.

    discriminator_loss, generator_loss; real_probability, fake_probability, fooling_probability: means over the batch of
    D(x), of D(G(z)) before and (fooling) after D's update; discriminator_gradient, generator_gradient: L2 norms over
    all weights. spread: standard deviation of a pixel over the batch, with labels within each class, averaged over
    pixels, of fake images in units of the real ones'; near 0 when all, or all of a class, are alike.
    """

    def thin(self, every: int) -> dict[str, list[float]]:
        """Means over `every` batches, rounded, by name: what a plot needs of a long training."""
        return {
            name: [float(f"{np.mean(values[edge : edge + every]):.4g}") for edge in range(0, len(values), every)]
            for name, values in self.items()
            if name != "measures"
        }

    def health(self, real: ArrayLike | None = None, fake: ArrayLike | None = None, last: int = 200) -> str:
        """balanced, poor, collapsed, the discriminator wins or the generator wins: a sentence on the last batches.

        real, fake: images uint8, (N, S, S) or (N, S, S, 3), of `prepare_images` and `to_uint8`, or better features
        (N, D) of both from a network that knows such images (`extract_features` for digits); 500 of each say enough.
        Precision and recall (`metrics.precision_recall`) are held against those of one half of the real ones beside
        the other, and below half of that, fakes are poor. Without them only the losses' probabilities and the spread
        within a batch are judged, which may be balanced while every image is bad.
        """
        if not self.get("spread"):
            return "not trained yet"
        real_probability, fake_probability, spread = (
            float(np.mean(values[-last:])) for values in (self.real_probability, self.fake_probability, self.spread)
        )
        gap = real_probability - fake_probability
        numbers = (
            f"D(x) = {real_probability:.2f}, D(G(z)) = {fake_probability:.2f}, fakes vary {spread:.0%} as much as real "
            "images"
        )
        poor, seen = False, "judged by losses and spread alone: pass real and fake images"
        if real is not None and fake is not None:
            poor, seen = _judge(real, fake)
        if spread < 0.5:
            state, remedy = "collapsed", "take another seed, or a lower learning rate for the generator"
        elif poor:
            state, remedy = "poor", "train longer, or change the networks"
        elif gap > 0.8:
            state, remedy = "the discriminator wins", "lower its learning rate, or its number of channels"
        elif gap < 0.05:
            state, remedy = (
                "the generator wins", "raise the discriminator's learning rate, or its number of channels"
            )  # fmt: skip
        else:
            state, remedy = "balanced", ""
        return "; ".join(filter(None, (f"{state}: {numbers}", seen, remedy)))


def _judge(real: ArrayLike, fake: ArrayLike) -> tuple[bool, str]:
    """Whether precision or recall of fakes is below half of what real images have, and both in words."""
    rows = [as_tensor(part if np.ndim(part) == 2 else as_uint8(part)).flatten(1) for part in (real, fake)]
    half = len(rows[0]) // 2
    first, second = rows[0][:half], rows[0][half:]
    reached = precision_recall(first, rows[1][: len(second)])
    possible = precision_recall(first, second)
    words = [
        f"{name} {share:.2f} (real images: {limit:.2f})"
        for name, share, limit in zip(("precision", "recall"), reached, possible, strict=True)
    ]
    poor = any(share < limit / 2 for share, limit in zip(reached, possible, strict=True))
    return poor, ", ".join(words)
