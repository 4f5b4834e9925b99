"""A picture goes through a network once, in this process or another; scikit-learn finds what it expects."""

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

from dlapps import DlappsError, pretrained
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures, extract_features
from dlapps.transfer.kept import fingerprint_network

LABELS = np.arange(24) % 2


def make_network(seed=0, stride=1, width=4, rectifier=nn.ReLU):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Conv2d(3, width, 3, stride, padding=1), nn.BatchNorm2d(width), rectifier(), nn.Conv2d(width, 6, 1)
    return PixelNetwork("tiny", nn.Sequential(*layers), (0.5,) * 3, (0.5,) * 3, input_size=16)


def make_pictures():
    """Bright and dark ones, each different from all others."""
    random = np.random.default_rng(0)
    return [(random.random((16, 16, 3)) * 0.3 + 0.6 * label).astype(np.float32) for label in LABELS]


def make_features(network=None, **options):
    return DeepFeatures(network or make_network(), ["2", "3"], precision="float32", **options)


def make_classifier(**options):
    memory = options.pop("memory", None)
    return make_pipeline(make_features(**options), LogisticRegression(), memory=memory)


@pytest.fixture
def passed(monkeypatch):
    """How many pictures went through networks, batch by batch."""
    counts, forward = [], PixelNetwork.forward

    def count(network, pixels):
        counts.append(len(pixels))
        return forward(network, pixels)

    monkeypatch.setattr(PixelNetwork, "forward", count)
    return counts


def test_hash_is_that_of_the_content():
    network = make_network()
    expected = joblib.hash(make_features(network))
    reloaded = pickle.loads(pickle.dumps(make_features(network)))
    same = [make_features(make_network()), reloaded, clone(reloaded), make_features(network)]
    assert {joblib.hash(features) for features in same} == {expected}
    other = [make_network(seed=1), make_network(stride=2), make_network(rectifier=nn.Tanh)]
    before = fingerprint_network(other[0])
    other[0].backbone[2] = nn.Tanh()
    assert fingerprint_network(other[0]) != before
    network.backbone[1].running_mean[0] += 1e-3
    assert len({expected, *(joblib.hash(make_features(changed)) for changed in [*other, network])}) == 5


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_memory_of_a_pipeline_hits_in_this_process_and_another(passed, tmp_path):
    memory = str(tmp_path / "memory")
    settings = [{"memory": memory}, {"memory": memory, "cache": str(tmp_path / "cache")}]
    # joblib writes a function's source, which another process compares, for the first folder of a process alone.
    joblib.Memory(memory, verbose=0).clear(warn=False)
    pictures = make_pictures()
    for options in settings:
        passed.clear()
        first = make_classifier(**options).fit(pictures, LABELS)
        assert sum(passed) == 24
        again = make_classifier(**options, network=make_network()).fit(pictures, LABELS)
        clone(first).set_params(logisticregression__C=10).fit(pictures, LABELS)
        assert sum(passed) == 24
        assert np.array_equal(first.predict_proba(pictures), again.predict_proba(pictures))
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from {Path(__file__).stem} import *
PixelNetwork.forward = None
for options in {settings}: make_classifier(**options).fit(make_pictures(), LABELS)
print(joblib.hash(make_features()))
"""
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split()[-1] == joblib.hash(make_features())


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_a_kept_network_is_stored_once(tmp_path, monkeypatch):
    network = make_network(width=4000)
    monkeypatch.setitem(pretrained.LOADERS, "wide", lambda: network)
    weight = sum(part.nbytes for part in network.state_dict().values())
    for given, cache, times in ((network, "cache", 1), ("wide", None, 0)):
        folder = tmp_path / str(times)
        features = DeepFeatures(given, "3", cache=cache and folder / cache)
        classifier = make_pipeline(features, LogisticRegression(), memory=str(folder / "memory"))
        for start in range(3):
            classifier.fit(make_pictures()[start:], LABELS[start:])
        # joblib's metadata are the pictures in words.
        files = [file for file in folder.rglob("*") if file.is_file() and file.name != "metadata.json"]
        stored = sum(file.stat().st_size for file in files)
        assert times * weight <= stored < (times + 0.8) * weight


def test_each_picture_goes_through_the_network_once_whatever_the_folds(passed, tmp_path):
    classifier, pictures = make_classifier(cache=tmp_path), make_pictures()
    scores = cross_val_score(classifier, pictures, LABELS, cv=5)
    assert sum(passed) == 24
    search = GridSearchCV(classifier, {"logisticregression__C": [0.1, 1, 10]}, cv=4).fit(pictures, LABELS)
    search.predict(pictures)
    assert sum(passed) == 24
    assert scores.tolist() == cross_val_score(make_classifier(), pictures, LABELS, cv=5).tolist()


def test_kept_features_are_those_of_the_network(passed, tmp_path):
    pictures, network = make_pictures(), make_network()
    extract = partial(extract_features, network, layers=["2", "3"], precision="float32", cache=tmp_path)
    for options in ({}, {"pooling": "max"}, {"flip": True}, {"size": 12}, {"size": 12, "keep_aspect": True}):
        expected = extract(pictures, **options | {"cache": None})
        for rows in (slice(5, 9), slice(0, 24), slice(23, None, -1)):
            found = extract(pictures[rows], **options)
            assert all(np.allclose(found[name], expected[name][rows], rtol=1e-5, atol=1e-6) for name in expected)
    passed.clear()
    extract(pictures, layers=["3"])
    extract([pictures[0]] * 3 + pictures[1:2])
    assert sum(passed) == 0
    network.backbone[3].weight[0] *= 2
    doubled = extract(pictures, layers=["3"])["3"]
    assert sum(passed) == 24
    assert not np.allclose(doubled, extract_features(make_network(), pictures, ["3"])["3"])


def test_one_picture_many_times_goes_through_once(passed, tmp_path):
    extract_features(make_network(), make_pictures()[:1] * 4, ["3"], cache=tmp_path)
    assert sum(passed) == 1


def test_pickled_with_its_network_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.setitem(pretrained.LOADERS, "tiny", make_network)
    pictures = make_pictures()
    expected = make_features().transform(pictures)
    for network, cache in ((make_network(), None), (make_network(), tmp_path), ("tiny", None)):
        content = pickle.dumps(make_features(network, cache=cache))
        copied = pickle.loads(content)
        np.testing.assert_allclose(copied.transform(pictures), expected, rtol=1e-5, atol=1e-6)
        assert not any(weight.requires_grad for weight in copied._loaded().parameters())
        assert not copied._loaded().training
    content = pickle.dumps(make_features(cache=tmp_path))
    next((tmp_path / "networks").iterdir()).unlink()
    with pytest.raises(DlappsError, match=r"expected a network in .*, got no such file; keep the cache"):
        pickle.loads(content)


def test_weights_that_two_layers_share_stay_shared():
    network = make_network()
    network.backbone.append(nn.Conv2d(6, 6, 1)).append(nn.Conv2d(6, 6, 1))
    network.backbone[5].weight = network.backbone[4].weight
    copied = pickle.loads(pickle.dumps(make_features(network)))._loaded()
    assert copied.backbone[5].weight is copied.backbone[4].weight


def test_clones_share_the_network_and_nothing_else():
    features = make_features()
    copied = clone(features).set_params(pooling="max", layer="3")
    assert copied.network is features.network
    assert (features.pooling, features.layer) == ("average", ["2", "3"])


def test_features_have_names():
    features = make_features(pooling="average+max")
    names = features.get_feature_names_out()
    assert [*names[[0, 7, 8, -1]]] == ["2_0", "2_7", "3_0", "3_11"]
    assert len(names) == features.transform(make_pictures()[:1]).shape[1]
    classifier = make_pipeline(features, LogisticRegression()).fit(X=make_pictures(), y=LABELS)
    assert [*classifier[:-1].get_feature_names_out()] == [*names]


def test_features_as_a_table():
    pytest.importorskip("pandas")
    table = make_features().set_output(transform="pandas").fit_transform(make_pictures())
    assert [*table.columns[:2]] == ["2_0", "2_1"]
    assert table.shape == (24, 10)


def test_what_is_no_network_or_no_picture_gets_one_sentence():
    with pytest.raises(ValueError, match=r"expected a PixelNetwork or the name of one, got Conv2d; pretrained\.wrap"):
        DeepFeatures(nn.Conv2d(3, 4, 3), "0").fit(make_pictures())
    with pytest.raises(ValueError, match="expected a network among"):
        DeepFeatures("resnet", "0").fit(make_pictures())
    with pytest.raises(ValueError, match="expected at least one picture, got none"):
        make_features().fit([])
    with pytest.raises(ValueError, match="expected an array"):
        make_features().fit(np.zeros((4, 5)))
    with pytest.raises(ValueError, match="expected at least one layer, got none"):
        DeepFeatures(make_network(), []).transform(make_pictures())


class TableFeatures(DeepFeatures):
    """Rows of numbers as pictures one pixel high, so that scikit-learn's checks, which know tables only, can be run."""

    def fit(self, X, y=None):
        return super().fit(self._to_pictures(X), y)

    def transform(self, X):
        return super().transform(self._to_pictures(X))

    def _to_pictures(self, X):
        return [1 / (1 + np.exp(-row[None])) for row in np.asarray(X)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


TABLES = "checks of a table with columns, which pictures have not"
WORDS = "asks for scikit-learn's words on tables; pictures that are none are refused in others"
NOT_FOR_PICTURES = {
    "check_n_features_in_after_fitting": TABLES,
    "check_n_features_in": TABLES,
    "check_fit2d_predict1d": TABLES,
    "check_estimator_sparse_tag": "a sparse picture is unknown",
    "check_estimator_sparse_array": "a sparse picture is unknown",
    "check_estimator_sparse_matrix": "a sparse picture is unknown",
    "check_complex_data": WORDS,
    "check_dtype_object": WORDS,
    "check_estimators_empty_data_messages": WORDS,
    "check_estimators_nan_inf": WORDS,
}


@pytest.mark.skipif(not hasattr(sklearn.utils, "Tags"), reason="tags of scikit-learn 1.6")
def test_checks_of_scikit_learn(monkeypatch):
    monkeypatch.setitem(pretrained.LOADERS, "checked", make_network)
    features = TableFeatures("checked", "2", precision="float32")
    results = estimator_checks.check_estimator(
        features, expected_failed_checks=NOT_FOR_PICTURES, on_skip=None, on_fail=None
    )
    assert len(results) > 40
    assert {result["check_name"] for result in results if result["status"] == "failed"} == set()
    assert all(result["status"] == "xfail" for result in results if result["check_name"] in NOT_FOR_PICTURES)
