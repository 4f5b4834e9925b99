"""Chapter 3, domain adaptation: the sign of the gradient, whose labels train, and what is compared."""

import torch
from torch import nn

from dlapps import dann
from dlapps.classroom.checks.expect import Variables, expect, expect_same


def baseline(its: Variables) -> None:
    """Let `baseline` be a network of `make_network`, trained by `dann.fit_source_only` on `digits` and `labels` with
    these `settings`, and `before` its accuracy on each of `first_tests`, under the same names."""
    _expect_another(its.make_network(), its.baseline, "a network that was trained")
    for name, test in its.first_tests.items():
        accuracy = dann.accuracy(its.baseline, *test)
        why = "the gap that the chapter closes lies between the test images of two domains"
        expect_same(accuracy, its.before[name], f"as the accuracy on the {name}", why)


def _expect_another(first: nn.Module, second: nn.Module, what: str) -> None:
    """Networks of the same layers with other weights."""
    weights = [[*network.parameters()] for network in (first, second)]
    shapes = [[tuple(weight.shape) for weight in each] for each in weights]
    why = "networks that are compared differ in one thing, their training"
    expect(shapes[0] == shapes[1], f"{what} with the layers of make_network", "other layers", why)
    equal = all(map(torch.equal, *weights))
    expect(not equal, what, "the same weights as before", why)


def reversal(its: Variables) -> None:
    """Write `Reverse`, a `torch.autograd.Function` that gives its features back as they are and multiplies their
    gradient by the negative of `weight`. Let `ones` be three ones that ask for a gradient."""
    is_module = isinstance(its.Reverse, type) and issubclass(its.Reverse, nn.Module)
    why = "later cells call its apply"
    expect(not is_module, "a torch.autograd.Function", "a torch.nn.Module", why)
    ones = torch.ones(3, requires_grad=True)
    total = its.Reverse.apply(ones, 0.5).sum()
    if total.requires_grad:
        total.backward()
    why = "with another sign the features learn to tell the domains apart, and only the target shows it"
    got = [] if ones.grad is None else ones.grad.tolist()
    expect_same([-0.5] * 3, got, "as the gradient of three ones, by a weight of 0.5", why)


def losses(its: Variables) -> None:
    """Let `class_loss` be the cross-entropy of the label predictor on the source's half of `features`, and
    `domain_loss` the binary cross-entropy of the domain classifier on both halves, behind `Reverse` with a weight of
    0.5; the target is 1."""
    source, target = its.halves
    wanted = dann.dann_losses(its.network, source, target, its.labels[: len(source)], 0.5)[:2]
    why = "labels are the source's alone, and the domain loss is the mean over both halves"
    expect_same(wanted, [its.class_loss, its.domain_loss], "as losses of class and domain", why)


def adaptation(its: Variables) -> None:
    """Let `adapted` be another network of `make_network`, and `history` what `dann.fit_dann` returns when it trains it
    on `digits`, their `labels` and the target's `pictures`, with the same `settings`."""
    _expect_another(its.make_network(), its.adapted, "a network that was trained")
    _expect_another(its.baseline, its.adapted, "another network than the baseline")
    why = "an epoch chosen by the target's test images needs the labels that the task does not have"
    expect_same(its.settings.num_epochs, len(its.history["class_loss"]), "epochs", why)


def pseudo_labels(its: Variables) -> None:
    """For each of `limits`, let `kept` have the labels of `dann.pseudo_label`, `share` how many of the images get one,
    and `right` how many of these labels are true; both are shares from 0 to 1, in lists."""
    kept = dann.pseudo_label(its.logits, its.limits[-2])
    number = len(kept.rows)
    right = (its.truth[kept.rows] == kept.labels).sum()
    wanted, got = [number / len(its.truth), right / max(number, 1)], [its.share[-2], its.right[-2]]
    why = "divided by all images the second would fall with the threshold, and a good one look bad"
    expect_same(wanted, got, f"as the shares above {its.limits[-2]}", why)


def pseudo_loss(its: Variables) -> None:
    """Let `confidence` be the highest probability that `adapted` gives to a class, for each image of the target's half,
    `halves[1]`, without a gradient; `trusted` 1 where it is at least .9 and 0 elsewhere; `losses` the cross-entropy of
    each image, moved by `dann.random_affine`, with its predicted class as the label; `pseudo_loss` the mean over the
    batch of the losses that are trusted."""
    trusted = (its.confidence >= 0.9).float()
    why = "only sure images teach, and a teacher that is rarely sure teaches little"
    expect_same(trusted.sum(), its.trusted.sum(), "images that are trusted", why)
    expect_same((trusted * its.losses).mean(), its.pseudo_loss, "as the mean of the batch", why)
