"""Checks of Chapter 1: the scale of pixels, modes of networks, choices of settings."""

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

from checks.expect import Variables, expect, expect_pixels, expect_same


def raw(its: Variables) -> None:
    """For SqueezeNet and EfficientNet-Lite0, let `from_0_to_1[name]` be how many photos
    the network's backbone, which is all that follows the normalisation, names right
    when it is given the pixels as they are; `from_0_to_255[name]`, when they are times
    255.
    """
    why = "the whole network would normalise, and hide what is asked for"
    for name in ("squeezenet1_1", "efficientnet_lite0"):
        expect_pixels(its.pixels[name], f"pixels[{name!r}]")
        backbone = its.networks[name].backbone
        for factor, counts in ((1, its.from_0_to_1), (255, its.from_0_to_255)):
            guesses = backbone(factor * its.pixels[name]).argmax(1)
            right = (guesses == its.truths).sum()
            what = f"right by {name} of pixels times {factor}"
            expect_same(right, counts[name], what, why)


def eval(its: Variables) -> None:
    """Let `lite0` be a new EfficientNet-Lite0. Let `moved_in_evaluation` and
    `moved_in_training` be by how much a probability of the first photo changes at most,
    in each mode, when it is classified with nineteen others instead of one.
    """
    still = its.moved_in_evaluation
    moved = its.moved_in_training
    wanted = "no change in evaluation mode, and one in training mode"
    why = (
        "in evaluation mode a picture's scores are its own, "
        "in training mode batch norm sees the others"
    )
    expect(still < 1e-3 < moved, wanted, f"{still:.2g} and {moved:.2g}", why)


def baseline(its: Variables) -> None:
    """Let `baseline` be a `LinearSVC` with C = 1 and a `random_state`, fitted to the
    training pictures, `baseline_right` whether it names each test picture right, and
    `baseline_accuracy` its accuracy on these.
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
    """Let `test_recipe(recipe)` fit a linear SVM, with the C of `costs` that is best in
    cross-validation on the training pictures, and return whether each test picture is
    right. Let `pool3`, `pool4` and `pool5` be what it returns for these layers of
    VGG16.
    """
    why = (
        "chosen on the test pictures, the best of many owes a part of its accuracy to "
        "luck"
    )
    for layer, right in (("pool3", its.pool3), ("pool5", its.pool5)):
        split = its.scenes.split(f"vgg16_features {layer} average 224")
        X_train, y_train, X_test, y_test = split
        svm = LinearSVC(random_state=its.seed)
        search = GridSearchCV(svm, {"C": its.costs}, cv=its.folds)
        search.fit(X_train, y_train)
        score = np.mean(search.predict(X_test) == y_test)
        what = f"as the accuracy of {layer} with the C of cross-validation"
        expect_same(score, np.mean(right), what, why)
