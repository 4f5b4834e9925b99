"""Features of a network of one's own in scikit-learn: cached, in folds, as a table."""

import pickle

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from dlapps import datasets, pretrained
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """In the current folder, `photos` with a folder a class: bright pictures and dark ones."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    for name, brightness in (("day", 120), ("night", 0)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(brightness, brightness + 120, (40, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")


@pytest.fixture
def passed(monkeypatch):
    """How many pictures went through networks, batch by batch."""
    counts, forward = [], PixelNetwork.forward
    monkeypatch.setattr(
        PixelNetwork, "forward", lambda self, pixels: counts.append(len(pixels)) or forward(self, pixels)
    )
    return counts


def test_a_network_of_ones_own_is_asked_once_whatever_the_folds(passed):
    photos = datasets.load_folder("photos")
    network = pretrained.wrap(timm.create_model("resnet10t"), input_size=32)
    features = DeepFeatures(network, "layer3", cache="kept")
    classifier = make_pipeline(features, LogisticRegression())
    scores = cross_val_score(classifier, photos.images, photos.labels, cv=5)
    search = GridSearchCV(classifier, {"logisticregression__C": [0.1, 1, 10]}).fit(photos.images, photos.labels)
    saved = pickle.dumps(search.best_estimator_)

    assert scores.min() == 1
    assert sum(passed) == 20
    assert pickle.loads(saved).predict(photos.images).tolist() == photos.labels.tolist()
    assert sum(passed) == 20
    assert len(saved) < 100_000


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_the_memory_of_a_pipeline_hits(passed):
    photos = datasets.load_folder("photos")
    network = pretrained.wrap(timm.create_model("resnet10t"), input_size=32)
    for cost in (0.1, 1, 10):
        features = DeepFeatures(network, ["layer2", "layer3"])
        classifier = make_pipeline(features, LogisticRegression(C=cost), memory="memory")
        classifier.fit(X=photos.images, y=photos.labels)

    assert sum(passed) == 20
    names = classifier[:-1].get_feature_names_out()
    assert names[0] == "layer2_0"
    assert len(names) == classifier[-1].n_features_in_


def test_a_grey_network_takes_grey_arrays():
    random = np.random.default_rng(0)
    digits, labels = random.integers(0, 100, (20, 28, 28), dtype=np.uint8), [0, 1] * 10
    digits[1::2] += 100

    module = timm.create_model("resnet10t", in_chans=1)
    network = pretrained.wrap(module, mean=(0.13,), std=(0.31,), input_size=28)
    classifier = make_pipeline(DeepFeatures(network, "layer2"), LogisticRegression()).fit(digits, labels)

    assert classifier.score(digits, labels) == 1
    assert classifier.predict(digits[:, None]).tolist() == labels
