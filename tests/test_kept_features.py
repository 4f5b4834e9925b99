"""A pipeline's memory finds features again, in this process or another; scikit-learn finds what it expects."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

from dlapps import pretrained
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures

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


class Times(nn.Module):
    """No weight and no name tell two of these apart, only an attribute."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, maps):
        return maps * self.factor


def test_hash_is_that_of_weights_and_attributes():
    network = make_network()
    expected = joblib.hash(make_features(network))
    reloaded = pickle.loads(pickle.dumps(make_features(network)))
    same = [make_features(make_network()), reloaded, clone(reloaded), make_features(network)]
    assert {joblib.hash(features) for features in same} == {expected}
    other = [make_network(seed=1), make_network(stride=2), make_network(rectifier=nn.Tanh)]
    other += [make_network(rectifier=lambda factor=factor: Times(factor)) for factor in (2, 3)]
    network.backbone[1].running_mean[0] += 1e-3
    hashes = {expected, *(joblib.hash(make_features(changed)) for changed in [*other, network])}
    assert len(hashes) == 7


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_memory_of_a_pipeline_hits_in_this_process_and_another(passed, tmp_path):
    memory = str(tmp_path / "memory")
    # joblib writes a function's source, which another process compares, for the first folder of a process alone.
    joblib.Memory(memory, verbose=0).clear(warn=False)
    pictures = make_pictures()
    first = make_classifier(memory=memory).fit(pictures, LABELS)
    assert sum(passed) == 24
    again = make_classifier(memory=memory, network=make_network()).fit(pictures, LABELS)
    clone(first).set_params(logisticregression__C=10).fit(pictures, LABELS)
    assert sum(passed) == 24
    assert np.array_equal(first.predict_proba(pictures), again.predict_proba(pictures))
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from {Path(__file__).stem} import *
PixelNetwork.forward = None
make_classifier(memory={memory!r}).fit(make_pictures(), LABELS)
print(joblib.hash(make_features()))
"""
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split()[-1] == joblib.hash(make_features())


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_a_network_of_other_attributes_is_not_taken_for_the_one_in_memory(tmp_path):
    pictures, found = make_pictures(), []
    for factor in (1, 2):
        network = make_network(rectifier=lambda factor=factor: Times(factor))
        classifier = make_classifier(memory=str(tmp_path), network=network).fit(pictures, LABELS)
        found.append(classifier[0].transform(pictures))
        fitted = LogisticRegression().fit(found[-1], LABELS)
        np.testing.assert_allclose(classifier[-1].coef_, fitted.coef_, rtol=1e-4, atol=1e-5)
    assert not np.allclose(*found)


@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_a_search_runs_pictures_once_before_it_or_test_folds_again(passed, tmp_path):
    pictures, costs = [*make_pictures(), *make_pictures()[:6]], [1, 10]
    labels = np.arange(30) % 2
    features = make_features().transform(pictures)
    search = GridSearchCV(LogisticRegression(), {"C": costs}, cv=3).fit(features, labels)
    assert sum(passed) == 30
    passed.clear()
    classifier = make_classifier(memory=str(tmp_path))
    whole = GridSearchCV(classifier, {"logisticregression__C": costs}, cv=3).fit(pictures, labels)
    # 20 for each fold, 10 for each fold and cost, and all for the best one.
    assert sum(passed) == 3 * 20 + 3 * 10 * 2 + 30
    assert whole.cv_results_["mean_test_score"].tolist() == search.cv_results_["mean_test_score"].tolist()


def test_pickled_with_its_network_or_its_name(monkeypatch):
    monkeypatch.setitem(pretrained.LOADERS, "tiny", lambda: make_network(width=1000))
    pictures = make_pictures()
    for network in (make_network(width=1000), "tiny"):
        features = DeepFeatures(network, ["2", "3"], precision="float32")
        content = pickle.dumps(features)
        weight = sum(part.nbytes for part in make_network(width=1000).state_dict().values())
        assert len(content) < weight / 10 if network == "tiny" else weight < len(content) < 1.1 * weight
        for copied in (pickle.loads(content), copy.copy(features), copy.deepcopy(features)):
            np.testing.assert_allclose(copied.transform(pictures), features.transform(pictures), rtol=1e-5, atol=1e-6)
            assert not any(weight.requires_grad for weight in copied._loaded().parameters())
            assert not copied._loaded().training


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
    for one in ("photo.jpg", Path("photo.jpg"), make_pictures()[0]):
        for ask in (make_features().fit_transform, make_features().transform):
            with pytest.raises(ValueError, match="expected several pictures, got"):
                ask(one)
    with pytest.raises(ValueError, match="expected at least one layer, got none"):
        DeepFeatures(make_network(), []).transform(make_pictures())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size >= 1, got 0"),
        ({"size": 2.5}, "size >= 1, got 2.5"),
        ({"precision": "half"}, "precision among fast, float32, bfloat16, got 'half'"),
        ({"pooling": "median"}, "a pooling among"),
    ],
)
def test_settings_are_refused_before_the_first_picture(options, message, passed):
    features = make_features().set_params(**options)
    for ask in (features.fit, features.transform):
        with pytest.raises(ValueError, match=f"expected {message}"):
            ask(make_pictures())
    assert not passed


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
