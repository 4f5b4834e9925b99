"""Checks of Chapter 4: steps, losses and measures by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor

from checks.expect import Variables, expect, expect_same, same
from dlapps import gan


def discriminator_step(its: Variables) -> None:
    """Let `discriminator_loss(discriminator, real, fake)` be the sum of the two means
    of the discriminator's loss, through which no gradient shall reach the fake points.
    """
    real = its.points[:16]
    fake = its.points[16:32].clone().requires_grad_()
    loss = its.discriminator_loss(_sum_up, real, fake)
    wanted = -F.logsigmoid(_sum_up(real)).mean()
    wanted = wanted - F.logsigmoid(-_sum_up(fake)).mean()
    why = "one of the two alone is no task"
    expect_same(wanted, loss, "as the loss of these points", why)
    # autograd fails if the loss does not depend on the fakes at all.
    (gradient,) = torch.autograd.grad(loss + 0 * wanted, fake)
    why = "they have a loss of their own"
    expect(not gradient.any(), "no gradient in the fakes", "one", why)


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


def descend(its: Variables) -> None:
    """Let `descend(loss, optimiser)` be one step down a loss, whatever gradients lie in
    its weights.
    """
    weight = torch.ones(1, requires_grad=True)
    weight.grad = torch.full((1,), 5.0)
    its.descend((3 * weight).sum(), torch.optim.SGD([weight], lr=0.1))
    why = "gradients add up in a weight until they are wiped out"
    expect_same(0.7, weight, "a step of 0.1 down a slope of 3", why)


def loop(its: Variables) -> None:
    """Let `play(generator_rate, discriminator_rate, num_rounds=1000)` play so many
    rounds of `discriminator_loss` and `generator_loss`, and return {round: (points
    (500, 2), D (60, 60))} of the rounds in `MOMENTS`: the points that the generator
    makes of the fixed `z`, and D on the `plane`.
    """
    still = its.play(generator_rate=0, discriminator_rate=0)
    shapes = []
    for cloud, landscape in still.values():
        shapes.append((tuple(cloud.shape), tuple(landscape.shape)))
    wanted = [((500, 2), (60, 60))] * len(its.MOMENTS)
    expect(shapes == wanted, "500 points and D (60, 60) a moment", shapes, "so it asks")
    first_cloud, first_landscape = next(iter(still.values()))
    last_cloud, last_landscape = list(still.values())[-1]
    unmoved = same(first_cloud, last_cloud) and same(first_landscape, last_landscape)
    why = "a rate of 0 holds a network, and `z` is the same at each moment"
    expect(unmoved, "no change with rates of 0", "one", why)
    low = float(first_landscape.min())
    high = float(first_landscape.max())
    why = "D is the sigmoid of the logit"
    expect(low >= 0 and high <= 1, "D in [0, 1]", f"{low:.3g} to {high:.3g}", why)


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


def measures(its: Variables) -> None:
    """Let `precision` be the share of `sample_features` that lie in a ball of
    `real_features`, and `recall` that of `real_features` in a ball of
    `sample_features`.
    """
    real, fake = its.real_features, its.sample_features
    wanted = gan.precision_recall(real, fake, k=3)
    why = "turned round, a generator of one good digit would have the best recall"
    expect_same(wanted, [its.precision, its.recall], "as precision and recall", why)


def flow_loss(its: Variables) -> None:
    """Let `flow_loss(velocity, noise, data, times)` be the mean squared error of
    `velocity(x, times)` at the points x between, noise at time 0 and data at time 1.
    """
    generator = torch.Generator().manual_seed(0)
    noise, data = torch.randn(2, 64, 2, generator=generator)
    times = torch.rand(64, 1, generator=generator)

    def velocity(x: Tensor, times: Tensor) -> Tensor:
        return x * (1 + times)

    got = its.flow_loss(velocity, noise, data, times)
    why = "it is the mean over points and coordinates, of velocities data - noise"
    turned = (1 - times) * data + times * noise
    for target in (data - noise, noise - data):
        if same(F.mse_loss(velocity(turned, times), target), got):
            why = "with time turned round the network sees points that it never meets"
    between = (1 - times) * noise + times * data
    wanted = F.mse_loss(velocity(between, times), data - noise)
    expect_same(wanted, got, "as the loss at these points", why)
