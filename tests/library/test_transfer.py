"""Features are what the layers give, however pictures come, and scikit-learn can use
them.
"""

import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from dlapps.core import images
from dlapps.core.images import PictureError
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures, layer_outputs

LAYERS = ["maps", "vectors"]
LABELS = np.arange(10) % 2


class Tiny(nn.Module):
    """It takes pixels of 16 x 16 and no others."""

    def __init__(self, channels):
        super().__init__()
        self.maps = nn.Conv2d(channels, 6, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.vectors = nn.Linear(6 * 7 * 7, 5)
        self.unused = nn.ReLU()

    def forward(self, pixels):
        return self.vectors(self.relu(self.maps(pixels)).flatten(1))


def make_network(channels=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        half = (0.5,) * channels
        return PixelNetwork("tiny", Tiny(channels), half, half, input_size=16)


def make_levels(size=16):
    """Bright and dark noise, uint8 (10, size, size, 3)."""
    noise = np.random.default_rng(0).integers(0, 100, (10, size, size, 3))
    brightness = 100 * LABELS[:, None, None, None]
    return (noise + brightness).astype(np.uint8)


def extract(pictures, channels=3):
    return DeepFeatures(make_network(channels), LAYERS).transform(pictures)


NETWORK = make_network()
GREY = make_network(1)
LEVELS = make_levels()
PIXELS = images.as_pictures(LEVELS)


def test_features_are_what_the_backbone_gives_by_hand():
    tiny = NETWORK.backbone
    maps = tiny.maps(NETWORK.normalisation(PIXELS))
    vectors = tiny.vectors(maps.relu().flatten(1))
    outputs = layer_outputs(NETWORK, PIXELS, LAYERS)
    assert list(outputs) == LAYERS
    torch.testing.assert_close(outputs["maps"], maps)
    torch.testing.assert_close(outputs["vectors"], vectors)
    expected = torch.cat([maps.mean((2, 3)), vectors], 1)
    # Ten pictures are two batches and a half.
    features = DeepFeatures(NETWORK, LAYERS).transform(PIXELS)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    alone = DeepFeatures(NETWORK, "vectors").transform(PIXELS)
    assert np.array_equal(alone, features[:, 6:])


def test_the_caller_s_autocast_is_the_network_s():
    with torch.autocast("cpu", torch.bfloat16):
        maps = layer_outputs(NETWORK, PIXELS, ["maps"])["maps"]
    assert maps.dtype == torch.float32
    assert torch.equal(maps, maps.bfloat16().float())


def test_no_hook_is_left_after_a_failure():
    for pixels, error in (
        (torch.full((1, 3, 16, 16), -2.0), PictureError),
        (torch.rand(1, 3, 9, 9), RuntimeError),
    ):
        with pytest.raises(error):
            layer_outputs(NETWORK, pixels, LAYERS)
    with pytest.raises(ValueError, match="network runs, got 'unused', which it does"):
        layer_outputs(NETWORK, PIXELS, ["maps", "unused"])
    assert not any(module._forward_hooks for module in NETWORK.modules())


def test_the_same_pictures_in_any_form_give_the_same_features(tmp_path):
    paths = []
    for number, picture in enumerate(LEVELS):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(paths[-1])
    expected = extract(list(LEVELS))
    for form in (paths, np.array(paths), LEVELS, torch.from_numpy(LEVELS), PIXELS):
        np.testing.assert_allclose(extract(form), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_in_any_form_give_the_same_features(channels):
    levels = LEVELS[..., 0]
    colours = levels[..., None].repeat(3, axis=3)
    expected = extract(list(levels), channels)
    pixels = torch.from_numpy(levels)[:, None] / 255
    for form in (levels, colours, pixels):
        features = extract(form, channels)
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [12, 40])
def test_arrays_are_resized_as_pillow_resizes_pictures(size):
    levels = make_levels(size)
    np.testing.assert_allclose(extract(levels), extract(list(levels)), atol=0.02)


@pytest.mark.parametrize(
    ("network", "layer", "pictures", "message"),
    [
        (nn.Conv2d(3, 4, 3), "maps", LEVELS, "a PixelNetwork, got Conv2d; pretrained"),
        ("resnet", "maps", LEVELS, "a network among"),
        (GREY, "fc7", LEVELS, "a layer among maps, relu, vectors, unused, got 'fc7'"),
        (GREY, "maps", [], "a picture, got none"),
    ],
)
def test_what_gives_no_features_is_one_sentence(network, layer, pictures, message):
    with pytest.raises(ValueError, match=f"^expected {re.escape(message)}"):
        DeepFeatures(network, layer).transform(pictures)


def test_features_have_names():
    features = DeepFeatures(NETWORK, LAYERS)
    check_is_fitted(features)
    names = list(features.fit(LEVELS).get_feature_names_out())
    assert names == [f"deepfeatures{number}" for number in range(11)]
    pytest.importorskip("pandas")
    table = features.set_output(transform="pandas").fit_transform(LEVELS)
    assert list(table.columns) == names


def test_a_pipeline_is_searched_copied_and_stored():
    pictures = list(LEVELS)
    pipeline = make_pipeline(DeepFeatures(NETWORK, "maps"), LogisticRegression())
    grid = {"deepfeatures__layer": LAYERS, "logisticregression__C": [1, 10]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(pictures, LABELS)
    assert search.best_score_ == 1
    stored = pickle.loads(pickle.dumps(search.best_estimator_))
    assert stored.predict(pictures).tolist() == LABELS.tolist()
    copied = stored[0].network
    assert not copied.training
    assert not any(weight.requires_grad for weight in copied.parameters())
    # Clones share the network, which is frozen.
    assert clone(pipeline)[0].network is NETWORK
