"""Chapter 3, domain adaptation: the recipe of the target, the sign of the gradient, and what target labels may do."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dlapps import dann, datasets
from dlapps.classroom.checks.expect import expect, same
from dlapps.datasets.dataset import Dataset


def the_gradient_is_reversed(Reverse: type[torch.autograd.Function]) -> str | None:
    """Backward, the layer multiplies by -lambda: from ones and a weight of .5 comes a gradient of -.5. With the wrong
    sign the features learn to tell the domains apart, the loss falls all the faster, and only the target shows it."""
    if isinstance(Reverse, type) and issubclass(Reverse, nn.Module):
        return "expected a torch.autograd.Function, which later cells apply, got a torch.nn.Module"
    ones = torch.ones(3, requires_grad=True)
    total = Reverse.apply(ones, 0.5).sum()
    if total.requires_grad:
        total.backward()
    got = None if ones.grad is None else ones.grad.flatten()[0].item()
    return expect(got is not None and same(ones.grad, -0.5 * torch.ones_like(ones)), "a gradient of -0.5", got)


def losses_of_a_batch(
    network: dann.DomainAdversarialNetwork,
    halves: Sequence[Tensor],
    labels: Tensor,
    class_loss: Tensor,
    domain_loss: Tensor,
) -> str | None:
    """The class loss is of the source's half alone, whose labels are known; the domain loss is the mean over both, the
    source being 0. With the labels of the other half a target label would train the network."""
    with torch.no_grad():
        source, target = halves
        wanted = dann.dann_losses(network, source, target, labels[: len(source)], 0.5)[:2]
    got = class_loss.item(), domain_loss.item()
    told = [" and ".join(f"{float(loss):.4f}" for loss in losses) for losses in (wanted, got)]
    return expect(same(wanted, got), f"losses of {told[0]}", told[1])


def share_of_labels_that_are_right(
    logits: Tensor, truth: Tensor, limits: Sequence[float], share: Sequence[float], right: Sequence[float]
) -> str | None:
    """Of the images above a threshold, how many labels are right; the share of images that get one is of all images.
    Divided by all images, the first would fall with the threshold, and a good one would look bad."""
    kept = dann.pseudo_label(logits, limits[-2])
    wanted = len(kept.rows) / len(truth), (truth[kept.rows] == kept.labels).sum().item() / max(len(kept.rows), 1)
    told = [f"{pair[0]:.3f} with a label, {pair[1]:.3f} of them right" for pair in (wanted, (share[-2], right[-2]))]
    return expect(same(wanted, (share[-2], right[-2])), told[0], told[1])


def only_sure_images_teach(confidence: Tensor, trusted: Tensor, losses: Tensor, pseudo_loss: Tensor) -> str | None:
    """An image teaches where the teacher's probability reaches .9, and the mean is over the whole batch, so that a
    teacher that is rarely sure teaches little. All images alike would pass on the teacher's guesses."""
    wanted = ((confidence >= 0.9).float() * losses).mean()
    holds = same(trusted, (confidence >= 0.9).float()) and same(pseudo_loss, wanted)
    return expect(holds, f"a loss of {wanted.item():.4f}", f"{float(pseudo_loss):.4f}")


def shapes_of_the_domains(source: Dataset, target: Dataset) -> str | None:
    """Digits are uint8 (N, 28, 28), their pictures on photographs uint8 (N, 28, 28, 3), one for each digit. Floats, or
    colours in the second place, would be scaled or read wrongly without an error."""
    wanted = (len(source.images), 28, 28), (len(source.images), 28, 28, 3)
    got = source.images.shape, target.images.shape
    kinds = source.images.dtype, target.images.dtype
    holds = (got, kinds) == (wanted, (np.uint8, np.uint8))
    return expect(holds, f"uint8 {wanted}", f"{kinds[0]}, {kinds[1]} {got}")


def strokes_are_negatives(source: Dataset, target: Dataset, patches: np.ndarray) -> str | None:
    """MNIST-M is |patch - digit|, the digit being 0 or 255: on a stroke the negative of the patch, elsewhere the patch.
    A digit that is pasted in white, or grey at its border, makes another and easier task."""
    strokes = (source.images > 0)[..., None]
    wrong = int((target.images != np.where(strokes, 255 - patches, patches)).any((1, 2, 3)).sum())
    return expect(not wrong, "pictures made by the recipe", f"{wrong:,} others")


def same_seed_same_patches(source: Dataset, photos: Sequence[np.ndarray], patches: np.ndarray, seed: int) -> str | None:
    """Which photograph a digit lies on, and where, is drawn from a generator with a seed. Drawn without one, the target
    is another data set in each run, and two methods are compared on two tasks."""
    again = datasets.make_mnist_m(np.zeros_like(source.images), photos, seed)
    equal = np.array_equal(again, patches)
    return expect(equal, f"the same patches when drawn again with seed {seed}", "others")


def photographs_of_the_test_are_unseen(photos: Sequence[np.ndarray]) -> str | None:
    """Test pictures are made of photographs that training never saw. A network that has seen the grounds has an easier
    test than the one that the chapter is about."""
    held_out = datasets.split_photos(datasets.load_backgrounds(), "test").images
    shared = sum(any(np.array_equal(photo, other) for other in held_out) for photo in photos)
    return expect(not shared, "photos of the training split alone", f"{shared} that serve the test")


def domains_are_drawn_apart(In: Sequence[str]) -> str | None:
    """Source and target batches are drawn independently. In one and the same order, each batch holds the same digits in
    both domains: a label of the target in disguise, which nobody has outside of this data set."""
    found = re.search(r"paired\s*=\s*True", "\n".join(In))
    return expect(not found, "batches drawn independently", "paired=True")


def the_last_epoch(history: dann.History, settings: dann.Settings) -> str | None:
    """A training ends when its settings say, and not when the accuracy on the target's test pictures is highest. That
    accuracy needs labels which the task does not have, and the best of many noisy epochs is better than the network."""
    trained = len(history["class_loss"])
    return expect(trained == settings.num_epochs, f"{settings.num_epochs} epochs", f"{trained}")


def same_seed_same_network(
    baseline: nn.Module, digits: np.ndarray, labels: Tensor, settings: dann.Settings, tests: Mapping[str, Dataset]
) -> str | None:
    """The same seed gives the same weights, the same batches and so the same network. In this task two seeds of one
    method can differ by more than two methods, so that a number without its seed says little."""
    again = dann.DomainAdversarialNetwork(seed=0, normalisation=nn.InstanceNorm2d(3))
    dann.fit_source_only(again, digits, labels, settings)
    pictures = tests["source"].images[:100]
    equal = same(dann.predict(again, pictures), dann.predict(baseline, pictures))
    return expect(equal, "the same source-only network when it is trained again with seed 0", "another one")


def adaptation_begins_like_the_baseline(baseline: nn.Module, adapted: nn.Module) -> str | None:
    """What is compared differs in one thing: here the training, and not the network. With other layers or sizes a gain
    may come from those."""
    states = (network.state_dict().values() for network in (baseline, adapted))
    shapes = [[tuple(weight.shape) for weight in state] for state in states]
    return expect(shapes[0] == shapes[1], "two networks of the same layers", "different ones")
