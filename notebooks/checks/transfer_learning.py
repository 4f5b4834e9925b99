"""Checks of Chapter 1: the scale of pixels, modes of networks, choices of settings."""

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import LinearSVC

from checks.expect import Variables, expect, expect_same
from dlapps import images, pretrained


def mistakes(its: Variables) -> None:
    """Let `rows` be a list of dictionaries, one for SqueezeNet and one for
    EfficientNet-Lite0. "as trained", "pixels 0 to 1", "pixels 0 to 255" and "training
    mode" say how many of the twenty photos are named correctly, one at a time: by the
    network, by its backbone without the normalisation, for pixels and for pixels times
    255, and by the network in training mode.
    """
    names = ("squeezenet1_1", "efficientnet_lite0")
    for name, row in zip(names, its.rows, strict=True):
        network = pretrained.load(name)
        pixels = images.stack_pixels(
            its.photos.images, network.input_size, network.crop
        )
        for column, factor in (("pixels 0 to 1", 1), ("pixels 0 to 255", 255)):
            answers = network.backbone(factor * pixels).argmax(1)
            correct = int((answers == its.truths).sum())
            why = "the whole network would normalise, and hide what is asked for"
            expect_same(correct, row[column], f"correct by {name}, {column}", why)
    correct = its.rows[1]["training mode"]
    why = "in training mode batch norm takes the mean of the one photo at hand"
    expect(correct < 4, "nearly all wrong in training mode", f"{correct} correct", why)


def layers(its: Variables) -> None:
    """Let `test_recipe(recipe)` fit a linear SVM, with the C of 1, 3, 10 and 30 that is
    best in five-fold cross-validation on the training images, and return whether each
    test image is right. Let `pool3`, `pool4` and `pool5` be what it returns for these
    layers of VGG16.
    """
    why = (
        "chosen on the test pictures, the best of many owes a part of its accuracy to "
        "luck"
    )
    for layer, right in (("pool3", its.pool3), ("pool5", its.pool5)):
        X_train, y_train, X_test, y_test = its.scenes.split(layer)
        svm = LinearSVC(random_state=its.seed)
        search = GridSearchCV(svm, {"C": [1, 3, 10, 30]}, cv=5)
        search.fit(X_train, y_train)
        score = search.score(X_test, y_test)
        what = f"as the accuracy of {layer} with the C of cross-validation"
        expect_same(score, np.mean(right), what, why)
