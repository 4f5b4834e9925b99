"""Features are what the layer gives, however they are batched, stored or copied, and
scikit-learn can use them.
"""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

from dlapps import pretrained, transfer
from dlapps.core import images, runtime
from dlapps.core.images import PictureError
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures, extract_features

SHAPES = [(24, 36, 3), (40, 20, 3), (24, 36, 3), (12, 12, 3)]
LABELS = np.arange(24) % 2
# joblib's remark when a disk is busy.
in_memory = pytest.mark.filterwarnings("ignore:Persisting input arguments")


def make_network(seed=0, stride=1, width=4, rectifier=nn.ReLU):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = nn.Sequential(
            nn.Conv2d(3, width, 3, stride, padding=1),
            nn.BatchNorm2d(width),
            rectifier(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 6, 3, padding=1),
        )
    return PixelNetwork("tiny", backbone, (0.5,) * 3, (0.5,) * 3, input_size=16)


def make_pictures():
    """Bright and dark ones, each different from all others."""
    random = np.random.default_rng(0)
    pictures = []
    for label in LABELS:
        picture = random.random((16, 16, 3)) * 0.3 + 0.6 * label
        pictures.append(picture.astype(np.float32))
    return pictures


def make_features(network=None, **options):
    return DeepFeatures(
        network or make_network(), ["2", "4"], precision="float32", **options
    )


def make_classifier(memory=None, **options):
    return make_pipeline(make_features(**options), LogisticRegression(), memory=memory)


def extract(network, pictures, layer="4", precision="float32", **options):
    """The features of one layer."""
    features = extract_features(
        network, pictures, [layer], precision=precision, **options
    )
    return features[layer]


def assert_alike(features, expected):
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture
def network():
    return make_network()


@pytest.fixture
def pixels():
    return torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_one_pass_gives_each_layer_what_it_gives_alone(network, pixels):
    both = extract_features(network, pixels, ["2", "4"], precision="float32")
    alone = extract_features(network, pixels, "4", precision="float32")
    np.testing.assert_array_equal(alone["4"], both["4"])
    activations = network.normalisation(pixels)
    for index, module in enumerate(network.backbone):
        activations = module(activations)
        if str(index) in both:
            assert_alike(both[str(index)], activations.mean((2, 3)))


@pytest.mark.parametrize(
    ("pooling", "dimensions"),
    [
        ("average", 6),
        ("average+max", 12),
        ("pyramid", 30),
    ],
)
def test_pooling(network, pixels, pooling, dimensions):
    features = extract(network, pixels, pooling=pooling)
    assert features.shape == (10, dimensions)
    assert features.dtype == np.float32


def test_batches_do_not_matter(network, pixels, monkeypatch):
    monkeypatch.setattr(transfer.features, "CPU_BATCH_SIZE", 3)
    parts = extract(network, pixels)
    monkeypatch.setattr(transfer.features, "CPU_BATCH_SIZE", 100)
    assert_alike(extract(network, pixels), parts)


def test_paths_arrays_and_pixels_agree(network, tmp_path):
    arrays = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    by_pixels = extract(network, torch.from_numpy(arrays).permute(0, 3, 1, 2) / 255)
    for others in (sorted(tmp_path.iterdir()), list(arrays)):
        assert_alike(extract(network, others), by_pixels)


def test_grey_networks_take_pictures_as_pixels():
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()
    )
    grey = PixelNetwork("grey", backbone, (0.5,), (0.5,), input_size=16)
    arrays = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    stacked = torch.from_numpy(arrays)[:, None]
    expected = extract(grey, arrays)
    coloured = arrays[..., None].repeat(3, axis=-1)
    for form in (list(arrays), stacked, stacked / 255, stacked.numpy(), coloured):
        assert_alike(extract(grey, form), expected)


def test_rows_of_a_table_of_paths_are_taken_by_place(network):
    pictures = make_pictures()[:4]
    table = dict(zip([3, 2, 1, 0], pictures, strict=True))

    class Column:
        """As a column of a data frame: its index is not the place."""

        __getitem__ = table.__getitem__
        __len__ = table.__len__

        def __iter__(self):
            return iter(table.values())

    features = extract(network, Column())
    np.testing.assert_array_equal(features, extract(network, pictures))


def test_aspect_kept_gives_each_picture_its_own_shape(network):
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, shape, dtype=np.uint8) for shape in SHAPES]
    together = extract(network, pictures, size=12, keep_aspect=True)
    for picture, row in zip(pictures, together, strict=True):
        pixels = images.to_pixels(picture, images.scaled_shape(picture, 12))[None]
        assert min(pixels.shape[2:]) == 12
        assert_alike(extract(network, pixels)[0], row)


@pytest.mark.parametrize("shape", [(5, 20, 24, 3), (5, 20, 24), (5, 3, 20, 24)])
def test_an_array_and_a_tensor_of_the_same_values_agree(network, shape):
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    by_array = extract(network, levels)
    by_tensor = extract(network, torch.from_numpy(levels))
    assert np.array_equal(by_tensor, by_array)
    # Pictures are resized, and pixels are not.
    are_pixels = shape[1] == 3
    smaller = extract(network, levels, size=12)
    assert np.array_equal(smaller, by_array) == are_pixels


def test_the_first_convolutions_of_a_network_with_depthwise_ones_stay_in_float32():
    def layers(groups):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=groups), nn.Conv2d(8, 64, 3)
        )

    def precisions(network):
        dtypes = []
        for part in network:
            part.register_forward_hook(
                lambda module, inputs, output: dtypes.append(output.dtype)
            )
        with runtime.first_in_float32(network), runtime.autocast("cpu", "bfloat16"):
            network(torch.rand(1, 3, 9, 9))
        return dtypes

    depthwise = layers(8)
    plain = layers(1)
    assert precisions(depthwise) == [torch.float32, torch.float32, torch.bfloat16]
    assert precisions(plain) == [torch.bfloat16] * 3
    assert not any("forward" in vars(part) for part in depthwise.modules())


def test_bfloat16_keeps_the_direction(network, pixels):
    exact = extract(network, pixels, precision="float32")
    short = extract(network, pixels, precision="bfloat16")
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(short, axis=1)
    cosine = (exact * short).sum(1) / lengths
    assert cosine.min() > 0.999


def test_no_hook_is_left_after_a_failure(network):
    with pytest.raises(PictureError):
        extract(network, torch.full((1, 3, 16, 16), 255.0))
    with pytest.raises(RuntimeError):
        extract(network, torch.rand(1, 3, 1, 1))
    assert not any(module._forward_hooks for module in network.modules())


class Odd(nn.Module):
    """Layers that give no features: tokens, several tensors, nothing at all."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Flatten(2)
        self.pair = nn.LSTM(16, 2)
        self.unused = nn.ReLU()

    def forward(self, pixels):
        self.pair(self.tokens(pixels)[..., :16])
        return pixels


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("tokens", r"expected feature maps \(N, C, H, W\) .*, got \(4, 3, 256\)"),
        ("pair", r"expected feature maps .*, got tuple; choose another layer"),
        ("unused", r"expected layers that the network runs, got unused, unused"),
    ],
)
def test_layers_without_features_get_one_sentence(pixels, layer, message):
    with pytest.raises(ValueError, match=message):
        extract(pretrained.wrap(Odd(), input_size=16), pixels, layer)


@pytest.fixture
def passed(monkeypatch):
    """How many pictures went through networks, batch by batch."""
    counts = []
    forward = PixelNetwork.forward

    def count(network, pixels):
        counts.append(len(pixels))
        return forward(network, pixels)

    monkeypatch.setattr(PixelNetwork, "forward", count)
    return counts


@in_memory
def test_memory_of_a_pipeline_finds_a_network_by_its_name(
    passed, tmp_path, monkeypatch
):
    monkeypatch.setitem(pretrained.LOADERS, "stored", make_network)
    pictures = make_pictures()
    memory = str(tmp_path)
    first = make_classifier(memory, network="stored").fit(pictures, LABELS)
    again = make_classifier(memory, network="stored").fit(pictures, LABELS)
    clone(first).set_params(logisticregression__C=10).fit(pictures, LABELS)
    assert sum(passed) == 24
    assert np.array_equal(first.predict_proba(pictures), again.predict_proba(pictures))


@in_memory
def test_a_search_runs_pictures_once_before_it_or_test_folds_again(passed, tmp_path):
    pictures = make_pictures() + make_pictures()[:6]
    labels = np.arange(30) % 2
    features = make_features().transform(pictures)
    on_features = GridSearchCV(LogisticRegression(), {"C": [1, 10]}, cv=3)
    on_features.fit(features, labels)
    assert sum(passed) == 30
    passed.clear()
    classifier = make_classifier(memory=str(tmp_path))
    on_pictures = GridSearchCV(classifier, {"logisticregression__C": [1, 10]}, cv=3)
    on_pictures.fit(pictures, labels)
    # 20 for each fold, 10 for each fold and cost, and all for the best one.
    assert sum(passed) == 3 * 20 + 3 * 10 * 2 + 30
    scores = on_pictures.cv_results_["mean_test_score"]
    assert np.array_equal(scores, on_features.cv_results_["mean_test_score"])


@pytest.mark.parametrize(
    "duplicate",
    [lambda features: pickle.loads(pickle.dumps(features)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_a_copy_gives_the_same_features_by_a_network_that_stays_frozen(
    duplicate, monkeypatch
):
    monkeypatch.setitem(pretrained.LOADERS, "tiny", make_network)
    pictures = make_pictures()[:2]
    for network in (make_network(), "tiny"):
        features = make_features(network)
        expected = features.transform(pictures)
        assert_alike(duplicate(features).transform(pictures), expected)
    copied = duplicate(make_features(make_network())).network
    assert not copied.training
    assert not any(weight.requires_grad for weight in copied.parameters())


def test_clones_share_the_network_and_nothing_else():
    features = make_features()
    copied = clone(features).set_params(precision="bfloat16", layer="4")
    assert copied.network is features.network
    assert (features.precision, features.layer) == ("float32", ["2", "4"])


def test_what_is_no_picture_gets_one_sentence():
    with pytest.raises(ValueError, match="expected at least one picture, got none"):
        make_features().transform([])
    with pytest.raises(ValueError, match="expected an array"):
        make_features().transform(np.zeros((4, 5)))
    with pytest.raises(ValueError, match="expected at least one layer, got none"):
        make_features().set_params(layer=[]).transform(make_pictures())
    for one in ("photo.jpg", Path("photo.jpg"), make_pictures()[0]):
        for ask in (make_features().fit_transform, make_features().transform):
            with pytest.raises(ValueError, match="expected several pictures, got"):
                ask(one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"network": nn.Conv2d(3, 4, 3)},
            r"a PixelNetwork or .*, got Conv2d; pretrained\.wr",
        ),
        ({"network": "resnet"}, "a network among"),
        ({"layer": "fc7"}, "a layer among 0, 1, 2, 3, 4, got 'fc7'"),
        ({"precision": "half"}, "precision among fast, float32, bfloat16, got 'half'"),
    ],
)
def test_parameters_are_refused_before_the_first_picture(options, message, passed):
    features = make_features().set_params(**options)
    with pytest.raises(ValueError, match=f"expected {message}"):
        features.transform(make_pictures())
    assert not passed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size >= 1, got 0"),
        ({"size": 2.5}, "size >= 1, got 2.5"),
        ({"pooling": "median"}, "a pooling among average, average\\+max, pyramid, got"),
    ],
)
def test_settings_are_refused_before_the_first_picture(
    network, options, message, passed
):
    with pytest.raises(ValueError, match=f"expected {message}"):
        extract(network, make_pictures(), **options)
    assert not passed


class TableFeatures(DeepFeatures):
    """Rows of numbers as pictures one pixel high, so that scikit-learn's checks, which
    know tables only, can be run.
    """

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
WORDS = "asks for scikit-learn's words on tables, which errors of pictures have not"
NOT_FOR_PICTURES = {
    "check_n_features_in_after_fitting": TABLES,
    "check_n_features_in": TABLES,
    "check_fit2d_predict1d": TABLES,
    "check_fit1d": "fit reads no pictures, transform refuses what is none",
    "check_estimator_sparse_tag": "a sparse picture is unknown",
    "check_estimator_sparse_array": "a sparse picture is unknown",
    "check_estimator_sparse_matrix": "a sparse picture is unknown",
    "check_complex_data": WORDS,
    "check_dtype_object": WORDS,
    "check_estimators_empty_data_messages": WORDS,
    "check_estimators_nan_inf": WORDS,
}


@pytest.mark.skipif(
    not hasattr(sklearn.utils, "Tags"), reason="tags of scikit-learn 1.6"
)
def test_checks_of_scikit_learn(monkeypatch):
    monkeypatch.setitem(pretrained.LOADERS, "checked", make_network)
    features = TableFeatures("checked", "2", precision="float32")
    results = estimator_checks.check_estimator(
        features, expected_failed_checks=NOT_FOR_PICTURES, on_skip=None, on_fail=None
    )
    assert len(results) > 40
    for result in results:
        assert result["status"] != "failed", result["check_name"]
        if result["check_name"] in NOT_FOR_PICTURES:
            assert result["status"] == "xfail"
