"""Chapter 1, transfer learning: the split, the features, and what may be chosen on which pictures."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import clone
from sklearn.svm import LinearSVC
from torch import Tensor

from dlapps.classroom.checks.expect import expect, expect_pixels, same
from dlapps.pretrained import PixelNetwork
from dlapps.transfer.linear import ChosenSVM


def the_whole_split(y_train: np.ndarray, y_test: np.ndarray) -> str | None:
    """15-Scene has 1,500 pictures to learn from and 2,985 to be tested on; batches that were dropped or rows that were
    added move an accuracy by more than most methods do. Check both counts before any accuracy."""
    counts = len(y_train), len(y_test)
    got = " and ".join(f"{count:,}" for count in counts)
    return expect(counts == (1500, 2985), "1,500 and 2,985 pictures", got)


def every_class(y_train: np.ndarray, y_test: np.ndarray) -> str | None:
    """All fifteen classes are there, with 100 training pictures each; a loop that stops after the first few leaves an
    easier task. Fewer classes are told apart more often, which looks like a better method."""
    numbers = np.unique(y_train, return_counts=True)[1]
    found = len(numbers), len(np.unique(y_test)), int(numbers.min()), int(numbers.max())
    got = "{} and {} classes, {} to {} training pictures each".format(*found)
    wanted = "fifteen classes in both parts, 100 training pictures each"
    return expect(found == (15, 15, 100, 100), wanted, got)


def no_empty_rows(X_train: np.ndarray, X_test: np.ndarray) -> str | None:
    """A row of zeros is a picture that was never read: an array made in advance, and a loop that did not fill it. All
    of them get one and the same class, and the accuracy says nothing."""
    empty = [int((~np.asarray(part).any(1)).sum()) for part in (X_train, X_test)]
    return expect(not any(empty), "features in every row", f"{empty[0]} and {empty[1]} rows of zeros")


def rows_of_length_one(X_train: np.ndarray, X_test: np.ndarray) -> str | None:
    """Each row is divided by its L2 norm, so that a bright picture counts as much as a dark one and C = 1 means the
    same for every layer. Columns that are scaled instead, with the test pictures among them, let these take part in
    the training."""
    norms = np.concatenate([np.linalg.norm(part, axis=1) for part in (X_train, X_test)])
    norms = norms[norms > 0]
    got = f"lengths {norms.min():.3g} to {norms.max():.3g}"
    return expect(np.abs(norms - 1).max() < 1e-2, "rows of length 1", got)


def pixels_are_not_normalised(all_pixels: Tensor) -> str | None:
    """Networks here take pixels in [0, 1] and normalise them in their first layer. Normalised before as well, or given
    as 0 to 255, every picture is almost the same to them, and no error is raised."""
    return expect_pixels(all_pixels, "all_pixels")


def right_without_the_normalisation(
    networks: Mapping[str, PixelNetwork],
    pixels: Mapping[str, Tensor],
    truths: Tensor,
    unscaled: Mapping[str, int],
    scaled: Mapping[str, int],
) -> str | None:
    """How many pictures a backbone alone names right, of pixels in [0, 1] and of the same times 255. The network that
    normalises would hide what is asked for: it gets both as if they were the first."""
    for factor, counts in ((1, unscaled), (255, scaled)):
        for name, count in counts.items():
            guesses = networks[name].backbone(factor * pixels[name]).argmax(1)
            if count != (number := int((guesses == truths).sum())):
                return f"expected {number} right by {name} of pixels times {factor}, got {count}"
    return None


def a_picture_alone_or_among_others(moved: Mapping[str, float]) -> str | None:
    """In eval mode a picture's class scores are its own: the same among two and among twenty. In training mode batch
    norm looks at the neighbours, and they move."""
    found = moved["eval"], moved["train"]
    got = "{:.2g} and {:.2g}".format(*found)
    return expect(found[0] < 1e-3 < found[1], "no move in eval mode, and one in training mode", got)


def same_seed_same_classifier(baseline: LinearSVC, X_train: np.ndarray, y_train: np.ndarray) -> str | None:
    """LinearSVC takes its examples in random order; random_state=0 makes it one and the same order. A number that
    changes from run to run cannot be checked, nor compared with one that is a point better."""
    if baseline.random_state is None:
        return "expected a LinearSVC with a random_state, got None"
    again = clone(baseline).fit(X_train, y_train)
    equal = same(baseline.coef_, again.coef_)
    return expect(equal, "the same classifier when it is fitted again", "another one")


def accuracy_on_the_test_pictures(
    baseline: LinearSVC, baseline_accuracy: float, X_test: np.ndarray, y_test: np.ndarray
) -> str | None:
    """The accuracy of a classifier is that on pictures it has not seen, all of them. On its training pictures a linear
    classifier of 512 numbers is nearly always right, whatever the features are worth."""
    score = float(np.mean(baseline.predict(X_test) == y_test))
    return expect(
        abs(score - baseline_accuracy) < 1e-6, f"{score:.4f}, that of all of X_test", f"{baseline_accuracy:.4f}"
    )


def cost_chosen_by_cross_validation(svms: Mapping[str, ChosenSVM]) -> str | None:
    """C is chosen by cross-validation on the training pictures. Chosen on the test pictures, the best of many owes a
    part of its accuracy to luck, and nothing is left to say how large a part."""
    wrong = [name for name, svm in svms.items() if svm.cost != svm.costs[int(np.argmax(svm.cv_accuracies))]]
    return expect(not wrong, "the C that cross-validation prefers", f"another one for {', '.join(wrong)}")
