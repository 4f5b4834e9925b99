"""What an attack made, and whether that holds: after saving, after JPEG, for another network."""

from __future__ import annotations

import io
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dlapps.adversarial.goals import Goal
from dlapps.class_scores import Images, check_input, float32_logits
from dlapps.images import from_pixels, stack_pixels


@dataclass(frozen=True)
class AdversarialExamples:
    """What an attack made of the clean images, both (N, C, H, W) in [0, 1].

    The images are floats within epsilon; success (N,) bool and predicted (N,) int64 are read in float32 from their
    8-bit rounding (which moves a pixel by half of 1/255 at most). steps (N,): made before the attack stopped.
    confidences (S + 1, N): probability of the goal's classes at each step, NaN once it stopped; the last is that of the
    rounded images.
    """

    clean: Tensor
    images: Tensor
    goal: Goal
    success: Tensor
    predicted: Tensor
    steps: Tensor
    confidences: Tensor

    @property
    def l2(self) -> Tensor:
        """Length (N,) of the perturbations in pixel units: root of the sum of squares over the whole picture."""
        return (self.images - self.clean).flatten(1).norm(dim=1)

    @property
    def linf(self) -> Tensor:
        """Largest change (N,) of one colour of one pixel, in pixel units."""
        return (self.images - self.clean).flatten(1).abs().amax(1)


def round_to_8_bits(images: Tensor) -> Tensor:
    """Pixels in [0, 1] as a PNG keeps them: multiples of 1 / 255."""
    return (images * 255).round() / 255


def score_examples(
    network: nn.Module,
    clean: Images,
    images: Images,
    goal: Goal,
    steps: Tensor | None = None,
    confidences: Tensor | None = None,
) -> AdversarialExamples:
    """Decide in float32, on images (N, C, H, W) rounded to 8 bits, which of them reach the goal."""
    clean, images = check_input(network, clean), check_input(network, images)
    logits, device = float32_logits(network, round_to_8_bits(images)), images.device
    steps = torch.zeros(len(images), dtype=torch.long, device=device) if steps is None else steps
    if confidences is None:
        confidences = torch.full((int(steps.max()) + 1, len(images)), torch.nan, device=device)
    confidences[steps, torch.arange(len(images), device=device)] = goal.confidence(logits)
    return AdversarialExamples(clean, images, goal, goal.is_reached(logits), logits.argmax(1), steps, confidences)


def survives(
    network: nn.Module, examples: AdversarialExamples, damage: str, quality: int = 90, scale: float = 0.75
) -> Tensor:
    """bool (N,): whether each picture still reaches its goal after some damage, in float32.

    damage: "none" (the floats that the attack made), "8 bits", "jpeg" (at this quality, in memory) or "resize" (to
    `scale` of its side and back, bilinear). JPEG (one channel or three) and resize work on the picture rounded to 8
    bits.
    """
    if damage not in DAMAGES:
        raise ValueError(f"expected damage among {', '.join(DAMAGES)}, got {damage!r}; choose one of them.")
    damaged = DAMAGES[damage](examples.images, quality, scale)
    return examples.goal.is_reached(float32_logits(network, damaged))


def transfer_rate(network: nn.Module, examples: AdversarialExamples) -> float:
    """Share of the successful examples that another network falls for too; NaN where there is none.

    Only pictures count whose clean version does not reach the goal already: for an attack away from the labels, those
    that the other network reads as the labels say.
    """
    counted = examples.success & ~examples.goal.is_reached(float32_logits(network, examples.clean))
    return float(survives(network, examples, "8 bits")[counted].float().mean())


def _jpeg(images: Tensor, quality: int, scale: float) -> Tensor:
    files, (channels, height, width) = [io.BytesIO() for _ in images], images.shape[1:]
    if channels not in (1, 3):
        raise ValueError(f"expected pictures of 1 or 3 channels for jpeg, got {channels}; choose another damage.")
    for picture, file in zip(from_pixels(images), files, strict=True):
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return stack_pixels(map(Image.open, files), size=(height, width))[:, :channels].to(images.device)


def _resize(images: Tensor, quality: int, scale: float) -> Tensor:
    sides = [max(1, round(scale * side)) for side in images.shape[2:]]
    small = F.interpolate(round_to_8_bits(images), sides, mode="bilinear", antialias=True)
    return F.interpolate(small, images.shape[2:], mode="bilinear").clamp(0, 1)


DAMAGES = {
    "none": lambda images, quality, scale: images,
    "8 bits": lambda images, quality, scale: round_to_8_bits(images),
    "jpeg": _jpeg,
    "resize": _resize,
}
