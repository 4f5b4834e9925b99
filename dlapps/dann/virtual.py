"""Virtual adversarial training: predictions that a small step of the pixels does not change, without any label."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def virtual_adversarial_loss(
    network: nn.Module, pixels: Tensor, generator: torch.Generator, radius: float = 1.0, probe: float = 0.1
) -> Tensor:
    """How far predictions move (KL, nats) under the step of L2 length `radius` that moves them most.

    pixels (N, C, H, W) float32; the step's direction is one iteration of the power method from a random one of length
    `probe` (Miyato et al. 2019, eqs. 5 and 12). Computed in float32: bfloat16 does not resolve the probe. Statistics of
    batch norm stay as they are: perturbed pictures are no sample of the domain.
    """

    def log_probabilities(changed: Tensor) -> Tensor:
        copies = {name: buffer.clone() for name, buffer in network.named_buffers()}
        return torch.func.functional_call(network, copies, (changed,)).log_softmax(1)

    def divergence(step: Tensor) -> Tensor:
        return F.kl_div(log_probabilities(pixels + step), before, log_target=True, reduction="batchmean")

    with torch.autocast(pixels.device.type, enabled=False):
        with torch.no_grad():
            before = log_probabilities(pixels)
        direction = _unit(torch.randn(pixels.shape, generator=generator).to(pixels)).mul(probe).requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(direction), direction)
        return divergence(radius * _unit(gradient))


def _unit(directions: Tensor) -> Tensor:
    """Each of length 1 over all its pixels."""
    return F.normalize(directions.flatten(1), dim=1).view_as(directions)
