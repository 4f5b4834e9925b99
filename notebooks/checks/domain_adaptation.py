"""Checks of Chapter 3: the gradient's sign, and whose labels train."""

import torch

from checks.expect import Variables, expect_same
from dlapps import dann


def reversal(its: Variables) -> None:
    """Write `Reverse`, a `torch.autograd.Function` that gives its features back as they
    are and multiplies their gradient by the negative of `weight`. Let `ones` be three
    ones that ask for a gradient.
    """
    ones = torch.ones(3, requires_grad=True)
    its.Reverse.apply(ones, 0.5).sum().backward()
    what = "as the gradient of three ones, by a weight of 0.5"
    why = (
        "with another sign the features learn to tell the domains apart, "
        "and only the target shows it"
    )
    expect_same([-0.5, -0.5, -0.5], ones.grad, what, why)


def losses(its: Variables) -> None:
    """Let `losses(network, here, there, weight)` return, of the source's rows `here`
    and the target's rows `there`, the label predictor's cross-entropy on the source and
    the domain classifier's binary cross-entropy on both, behind `Reverse` with that
    weight; the target is 1.
    """
    network = its.make_network()
    source = dann.batch_to_pixels(its.digits[:8])
    target = dann.batch_to_pixels(its.pictures[:8])
    losses = dann.dann_losses(network, source, target, its.labels[:8], 0.5)
    rows = torch.arange(8)
    got = torch.stack(its.losses(network, rows, rows, 0.5))
    why = (
        "labels are the source's alone, "
        "and the domain loss is the mean over both halves"
    )
    expect_same(torch.stack(losses[:2]), got, "as losses of class and domain", why)
