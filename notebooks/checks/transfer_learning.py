"""Checks of Chapter 1: the scale of pixels, modes of networks, choices of settings."""

import numpy as np

from checks.expect import Variables, expect, expect_pixels, expect_same


def raw(its: Variables) -> None:
    """Let `all_pixels` be the pixels for SqueezeNet, and `truths` a tensor of the
    photos' labels. For each of the first two of `NAMES`, let `unscaled[name]` be how
    many photos the network's backbone, which is all that follows the normalisation,
    names right when it is given the pixels as they are; `scaled[name]`, when they are
    times 255.
    """
    expect_pixels(its.all_pixels, "all_pixels")
    why = "the whole network would normalise, and hide what is asked for"
    for name in its.NAMES[:2]:
        backbone = its.networks[name].backbone
        for factor, counts in ((1, its.unscaled), (255, its.scaled)):
            guesses = backbone(factor * its.pixels[name]).argmax(1)
            right = (guesses == its.truths).sum()
            what = f"right by {name} of pixels times {factor}"
            expect_same(right, counts[name], what, why)


def eval(its: Variables) -> None:
    """Let `lite0` be a new EfficientNet-Lite0. For each of the modes `"eval"` and
    `"train"`, let `moved[mode]` be by how much a probability of the first photo moves
    at most, when it is classified with nineteen others instead of one.
    """
    still = its.moved["eval"]
    moved = its.moved["train"]
    wanted = "no move in eval mode, and one in training mode"
    why = (
        "in eval mode a picture's scores are its own, "
        "in training mode batch norm sees the others"
    )
    expect(still < 1e-3 < moved, wanted, f"{still:.2g} and {moved:.2g}", why)


def baseline(its: Variables) -> None:
    """Let `baseline` be a `LinearSVC` with C = 1 and a `random_state`, fitted to the
    training pictures, `baseline_accuracy` its accuracy on the test pictures, and
    `num_test` the number of these.
    """
    why = (
        "pictures that were dropped or added move an accuracy by more than most "
        "methods do"
    )
    expect_same([1500, 2985], [len(its.y_train), len(its.y_test)], "pictures", why)
    norms = np.linalg.norm(np.concatenate([its.X_train, its.X_test]), axis=1)
    why = (
        "C = 1 means something else for other rows, and an empty one is a picture "
        "that was never read"
    )
    got = f"{norms.min():.3g} to {norms.max():.3g}"
    expect(np.abs(norms - 1).max() < 1e-2, "rows of length 1", got, why)
    why = (
        "LinearSVC draws examples in random order, and a number that moves cannot be "
        "checked"
    )
    seeded = its.baseline.random_state is not None
    expect(seeded, "a LinearSVC with a random_state", "None", why)
    score = np.mean(its.baseline.predict(its.X_test) == its.y_test)
    why = (
        "on its training pictures a classifier is nearly always right, whatever it is "
        "worth"
    )
    expect_same(score, its.baseline_accuracy, "as the accuracy on all of X_test", why)


def layers(its: Variables) -> None:
    """Let `svms[name]` be the classifier that `linear.choose_svm` fits to
    `splits[name]`, with these `costs` and folds, for each name in `splits`.
    """
    why = (
        "chosen on the test pictures, the best of many owes a part of its accuracy to "
        "luck"
    )
    for name in its.splits:
        svm = its.svms[name]
        preferred = svm.costs[int(np.argmax(svm.cv_accuracies))]
        what = f"as the C of {name}, by cross-validation"
        expect_same(preferred, svm.cost, what, why)
