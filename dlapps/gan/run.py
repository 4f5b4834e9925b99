"""The state of a training: networks, optimisers, random numbers, history; all of it can be stored and restored."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlapps.gan.checkpoints import GanError
from dlapps.gan.history import History
from dlapps.gan.presets import Preset, make_networks, sampler_of
from dlapps.gan.sampling import draw_latents, sample, to_uint8
from dlapps.gan.steps import LOSSES, discriminator_step, generate, generator_step
from dlapps.runtime import make_generator
from dlapps.weights import update_average


class Run:
    """Everything that changes in a training, so that all of it can be stored and brought back."""

    def __init__(
        self, preset: Preset, seed: int, device: torch.device | str, precision: str, labels: Tensor | None = None
    ) -> None:
        self.preset, self.device, self.precision, self.batch = preset, torch.device(device), precision, 0
        generator, discriminator = make_networks(preset, seed)
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False) if preset.average else self.generator
        self.sampler = sampler_of(preset, self.average, labels).to(device)
        self.rates = {"generator": preset.generator_rate, "discriminator": preset.discriminator_rate}
        self.optimisers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), rate, preset.betas, foreach=True)
            for name, rate in self.rates.items()
            if name in preset.trained
        }
        self.latents, self.history = make_generator(seed), History()
        self.pictures: dict[int, Tensor] = {}
        self.fixed_labels = torch.arange(preset.num_classes).repeat_interleave(10) if preset.num_classes else None
        self.fixed_z = draw_latents(10 if preset.num_classes else 64, self.sampler.latent_dim, seed)
        if preset.num_classes:
            self.fixed_z = self.fixed_z.repeat(preset.num_classes, 1)

    def step(self, pixels: Tensor, labels: Tensor | None, progress: float) -> None:
        """One batch: D's update, then G's on the same fakes. progress: share of the training that is done."""
        preset, loss = self.preset, LOSSES[self.preset.loss]
        self.generator.train()
        for name, optimiser in self.optimisers.items():
            optimiser.param_groups[0]["lr"] = self.rates[name] * (min(1, 2 - 2 * progress) if preset.anneal else 1)
        real = pixels.to(self.device)[:, None].float().div(127.5).sub(1)
        labels = None if labels is None else labels.to(self.device)
        z = torch.randn(len(real), preset.latent_dim, generator=self.latents).to(self.device)
        fake = generate(self.generator, z, labels, self.precision)
        judged = labels if preset.discriminator_sees_labels else None
        optimiser_d, optimiser_g = (self.optimisers.get(name) for name in ("discriminator", "generator"))
        measured = discriminator_step(self.discriminator, real, fake, optimiser_d, loss, judged, self.precision)
        measured |= generator_step(self.generator, self.discriminator, fake, optimiser_g, loss, judged, self.precision)
        measured["spread"] = spread(fake.detach(), labels) / spread(real, labels).clamp(min=1e-6)
        self.note(measured)
        if preset.average:
            update_average(self.average, self.generator, min(preset.average, self.batch / (self.batch + 10)))

    def note(self, measured: dict[str, Tensor]) -> None:
        """The batch's values to the history, brought to the CPU at once."""
        values = dict(zip(measured, torch.stack([*measured.values()]).tolist(), strict=True))
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise GanError(
                f"expected finite numbers, got {values[broken[0]]} as {broken[0]} in batch {self.batch}; lower the "
                "learning rates (the last checkpoint is as it was)."
            )
        for name, value in values.items():
            getattr(self.history, name).append(value)
        self.batch += 1

    def keep_frame(self) -> None:
        """Keep samples of the fixed latent vectors under the number of batches made."""
        self.pictures[self.batch] = to_uint8(sample(self.sampler, self.fixed_z, self.fixed_labels))

    def frames(self) -> tuple[Tensor, list[int]]:
        """The kept samples, uint8 (F, M, S, S), and the numbers of batches (F of them) that they were taken after."""
        return torch.stack([*self.pictures.values()]), [*self.pictures]

    def state(self) -> dict[str, Any]:
        """All that a checkpoint has to hold: states of networks and optimisers, random numbers, history, frames."""
        parts = {name: getattr(self, name).state_dict() for name in ("generator", "discriminator", "average")}
        optimisers = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        plain = {"batch": self.batch, "history": vars(self.history), "pictures": self.pictures}
        return parts | plain | {"optimisers": optimisers, "latents": self.latents.get_state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name in ("generator", "discriminator", "average"):
            getattr(self, name).load_state_dict(state[name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.latents.set_state(state["latents"])
        self.batch, self.history, self.pictures = state["batch"], History(**state["history"]), state["pictures"]


def spread(images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Standard deviation over the batch, averaged over pixels; with labels, within their classes: a generator that
    draws one and the same image of each class has none."""
    mean = images.mean(0)
    if labels is not None:
        one_hot = F.one_hot(labels).to(images.dtype)
        mean = (one_hot.T @ images.flatten(1) / one_hot.sum(0)[:, None].clamp(min=1))[labels].view_as(images)
    return (images - mean).square().mean(0).sqrt().mean()
