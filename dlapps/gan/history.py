"""What a training measured, batch by batch, and what this says in words."""

from __future__ import annotations

import numpy as np

from dlapps.training import History


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

    def health(self, last: int = 200) -> str:
        """balanced, the discriminator wins, the generator wins or collapsed: one sentence on the last batches."""
        if not self.get("spread"):
            return "not trained yet"
        real, fake, spread = (
            float(np.mean(values[-last:])) for values in (self.real_probability, self.fake_probability, self.spread)
        )
        numbers = f"D(x) = {real:.2f}, D(G(z)) = {fake:.2f}, fakes vary {spread:.0%} as much as real images"
        if spread < 0.5:
            return f"collapsed: {numbers}; take another seed, or a lower learning rate for the generator"
        if real - fake > 0.8:
            return f"the discriminator wins: {numbers}; lower its learning rate, or its number of channels"
        if real - fake < 0.05:
            return f"the generator wins: {numbers}; raise the discriminator's learning rate, or its number of channels"
        return f"balanced: {numbers}"
