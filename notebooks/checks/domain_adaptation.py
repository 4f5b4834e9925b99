"""Checks of Chapter 3: the gradient's sign, whose labels train, what is compared."""

import torch
from torch import nn

from checks.expect import Variables, expect, expect_same, same
from dlapps import dann


def baseline(its: Variables) -> None:
    """Let `baseline` be a network of `make_network`, trained by `dann.fit_source_only`
    on `digits` and `labels` with these `settings`, and `before` its accuracy on the
    target's `test_images` with their `test_labels`.
    """
    _expect_another(its.make_network(), its.baseline, "a network that was trained")
    accuracy = dann.accuracy(its.baseline, its.test_images, its.test_labels)
    why = "the gap that the chapter closes is that of the target's test images"
    expect_same(accuracy, its.before, "as the accuracy on the target", why)


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
    """Let `confidence` be the highest probability in each row of `logits`, and
    `pseudo_labels` its class. For each of `thresholds` let `kept` have the share of
    labels with at least this confidence, and `correct` how many of these are `right`
    (of none: 0).
    """
    probabilities = its.logits.softmax(1).amax(1)
    why = "a threshold is one of a probability, which the softmax gives"
    highest = same(probabilities, its.confidence)
    expect(highest, "the highest probability of each row", "other numbers", why)
    why = "a teacher labels an image with the class that it finds most probable"
    most_probable = same(its.logits.argmax(1), its.pseudo_labels)
    expect(most_probable, "the most probable classes", "other labels", why)
    kept = []
    correct = []
    for threshold in its.thresholds:
        sure = probabilities >= threshold
        kept.append(float(sure.float().mean()))
        correct.append(float(its.right[sure].float().mean().nan_to_num()))
    expect_same(kept, list(its.kept), "as shares that are kept", "all labels count")
    why = "divided by all labels it would fall with the threshold"
    expect_same(correct, list(its.correct), "as shares that are right", why)
