"""Checks of Chapter 3: the gradient's sign, whose labels train, what is compared."""

import torch
import torch.nn.functional as F
from torch import nn

from checks.expect import Variables, expect, expect_same
from dlapps import dann, runtime


def baseline(its: Variables) -> None:
    """Let `baseline` be a network of `make_network`, trained by `dann.fit_source_only`
    on `digits` and `labels` with these `settings`, and `before` its accuracy on each of
    `first_tests`, under the same names.
    """
    _expect_another(its.make_network(), its.baseline, "a network that was trained")
    why = "the gap that the chapter closes lies between the test images of two domains"
    for name, (images, labels) in its.first_tests.items():
        accuracy = dann.accuracy(its.baseline, images, labels)
        expect_same(accuracy, its.before[name], f"as the accuracy on the {name}", why)


def _expect_another(first: nn.Module, second: nn.Module, what: str) -> None:
    """Raise AssertionError unless networks have the same layers with other weights."""
    why = "networks that are compared differ in one thing, their training"
    weights = list(first.parameters())
    others = list(second.parameters())
    alike = [one.shape for one in weights] == [other.shape for other in others]
    expect(alike, f"{what} with the layers of make_network", "other layers", why)
    equal = all(map(torch.equal, weights, others))
    expect(not equal, what, "the same weights as before", why)


def reversal(its: Variables) -> None:
    """Write `Reverse`, a `torch.autograd.Function` that gives its features back as they
    are and multiplies their gradient by the negative of `weight`. Let `ones` be three
    ones that ask for a gradient.
    """
    is_module = isinstance(its.Reverse, type) and issubclass(its.Reverse, nn.Module)
    why = "later cells call its apply"
    expect(not is_module, "a torch.autograd.Function", "a torch.nn.Module", why)
    ones = torch.ones(3, requires_grad=True)
    total = its.Reverse.apply(ones, 0.5).sum()
    if total.requires_grad:
        total.backward()
    got = [] if ones.grad is None else ones.grad.tolist()
    what = "as the gradient of three ones, by a weight of 0.5"
    why = (
        "with another sign the features learn to tell the domains apart, "
        "and only the target shows it"
    )
    expect_same([-0.5, -0.5, -0.5], got, what, why)


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
    got = its.losses(network, rows, rows, 0.5)
    why = (
        "labels are the source's alone, "
        "and the domain loss is the mean over both halves"
    )
    expect_same(losses[:2], list(got), "as losses of class and domain", why)


def adaptation(its: Variables) -> None:
    """Let `adapted` be another network of `make_network`, trained by these losses on
    `digits`, their `labels` and the target's `pictures`: in steps of gradient descent,
    at the rates and weights of `settings`.
    """
    _expect_another(its.make_network(), its.adapted, "a network that was trained")
    _expect_another(its.baseline, its.adapted, "another network than the baseline")


def pseudo_labels(its: Variables) -> None:
    """Let `confidence` be the highest probability in each row of `logits`,
    `pseudo_labels` its class; `trusted` and `right` say where the confidence is at
    least .9 and where the label is true. Let `shares` be how many labels are right of
    all, how many of those that are trusted (of none: 0), and how many are trusted.
    """
    right = its.logits.argmax(1) == its.truth
    trusted = its.logits.softmax(1).amax(1) >= 0.9
    shares = []
    for rows in (right, right[trusted], trusted):
        shares.append(float(rows.float().mean().nan_to_num()))
    why = (
        "divided by all images the second would fall with the threshold, "
        "and a good one look bad"
    )
    expect_same(shares, list(its.shares), "as these three shares", why)


def pseudo_loss(its: Variables) -> None:
    """Let `pseudo_loss(teacher, student, pixels, generator)` be the mean over a batch
    of the student's cross-entropy on the images, moved by `dann.random_affine` with
    this generator. The label of an image is the class that the teacher gives it
    unmoved; it counts where the teacher's probability is at least .9, else as 0.
    """
    teacher = its.finished["DANN-20"]
    student = its.make_network()
    pixels = dann.batch_to_pixels(its.pictures[:8])
    got = its.pseudo_loss(teacher, student, pixels, runtime.make_generator(0))
    confidence, guesses = teacher(pixels).softmax(1).max(1)
    moved = dann.random_affine(pixels, runtime.make_generator(0))
    each_loss = F.cross_entropy(student(moved), guesses, reduction="none")
    mean = ((confidence >= 0.9) * each_loss).mean()
    why = "only sure images teach, and a teacher that is rarely sure teaches little"
    expect_same(mean, got, "as the mean of the batch", why)
