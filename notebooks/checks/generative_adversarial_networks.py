"""Checks of Chapter 4: signs of losses, neighbours, and the direction of time."""

import torch
import torch.nn.functional as F
from torch import Tensor

from checks.expect import Variables, expect_same
from dlapps import gan


def generator_step(its: Variables) -> None:
    """Let `generator_loss(discriminator, fake)` be the mean of -log D(G(z))."""
    fake = its.points[:16]
    why = "with the sign turned it learns to be found out; log(1 - D(G(z))) saturates"
    wanted = -F.logsigmoid(_sum_up(fake)).mean()
    got = its.generator_loss(_sum_up, fake)
    expect_same(wanted, got, "as the loss of these points", why)


def _sum_up(points: Tensor) -> Tensor:
    """A discriminator that anybody can compute: the logits are the sums."""
    return points.sum(1)


def inside(its: Variables) -> None:
    """Let `inside(points, others, k=3)` be the share of points (N, D) that lie in a
    ball around one of others (M, D); a ball reaches to the k-th nearest of the other
    others.
    """
    # With other points, such as those of seed 0, a ball to the nearest but one may hold
    # as many.
    points, others = torch.randn(2, 64, 2, generator=torch.Generator().manual_seed(1))
    wanted, _ = gan.precision_recall(others, points)
    why = "a point is not its own neighbour"
    expect_same(wanted, its.inside(points, others), "as the share inside", why)


def flow_loss(its: Variables) -> None:
    """Let `flow_loss(velocity, noise, data, times)` be the mean squared error of
    `velocity(x, times)` at the points x between, noise at time 0 and data at time 1.
    """
    generator = torch.Generator().manual_seed(0)
    noise, data = torch.randn(2, 64, 2, generator=generator)
    times = torch.rand(64, 1, generator=generator)

    def velocity(x: Tensor, times: Tensor) -> Tensor:
        return x * (1 + times)

    between = (1 - times) * noise + times * data
    wanted = F.mse_loss(velocity(between, times), data - noise)
    got = its.flow_loss(velocity, noise, data, times)
    why = (
        "noise is at time 0 and data at time 1, "
        "and the mean is over points and coordinates"
    )
    expect_same(wanted, got, "as the loss at these points", why)
