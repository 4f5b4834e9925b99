"""Features are what the layer gives, however they are batched; a classifier learns, and repeats itself."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn.functional import normalize

from dlapps import pretrained, transfer
from dlapps.core import images, runtime
from dlapps.core.images import PictureError
from dlapps.pretrained import PixelNetwork
from dlapps.transfer import DeepFeatures, extract_features
from studies import transfer_training

SHAPES = [(0, (24, 36, 3)), (1, (40, 20, 3)), (2, (24, 36, 3)), (3, (12, 12, 3))]


@pytest.fixture
def network():
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU()
    )
    return PixelNetwork("tiny", backbone, (0.5,) * 3, (0.5,) * 3, input_size=16)


@pytest.fixture
def pixels():
    return torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def labelled(count=24):
    """Bright and dark pictures: arrays and labels."""
    random, labels = np.random.default_rng(0), np.arange(count) % 2
    pictures = [(random.random((16, 16, 3)) * 0.3 + 0.6 * label).astype(np.float32) for label in labels]
    return pictures, labels


def test_one_pass_gives_each_layer_what_it_gives_alone(network, pixels):
    both = extract_features(network, pixels, ["1", "4"], precision="float32")
    activations = network.normalisation(pixels)
    for index, module in enumerate(network.backbone):
        activations = module(activations)
        if str(index) in both:
            np.testing.assert_allclose(both[str(index)], activations.mean((2, 3)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("pooling", "dimensions"), [("average", 6), ("max", 6), ("average+max", 12), ("pyramid", 30), ("flatten", 384)]
)
def test_pooling(network, pixels, pooling, dimensions):
    features = extract_features(network, pixels, ["4"], pooling)["4"]
    assert features.shape == (10, dimensions)
    assert features.dtype == np.float32


def test_batches_do_not_matter(network, pixels, monkeypatch):
    monkeypatch.setattr(transfer.features, "CPU_BATCH_SIZE", 3)
    parts = extract_features(network, pixels, ["4"], precision="float32")["4"]
    monkeypatch.setattr(transfer.features, "CPU_BATCH_SIZE", 100)
    whole = extract_features(network, pixels, ["4"], precision="float32")["4"]
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_flip_makes_features_symmetric(network, pixels):
    straight = extract_features(network, pixels, ["4"], flip=True, precision="float32")["4"]
    mirrored = extract_features(network, pixels.flip(3), ["4"], flip=True, precision="float32")["4"]
    np.testing.assert_allclose(straight, mirrored, rtol=1e-5, atol=1e-6)


def test_paths_arrays_and_pixels_agree(network, tmp_path):
    arrays = [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in range(5)]
    for index, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    pixels = torch.stack([torch.from_numpy(array).permute(2, 0, 1) / 255 for array in arrays])
    by_path = extract_features(network, sorted(tmp_path.iterdir()), ["4"], precision="float32")["4"]
    by_pixels = extract_features(network, pixels, ["4"], precision="float32")["4"]
    np.testing.assert_allclose(by_path, by_pixels, rtol=1e-5, atol=1e-6)


def test_grey_networks_take_pictures_as_pixels():
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU())
    grey = PixelNetwork("grey", backbone, (0.5,), (0.5,), input_size=16)
    arrays = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    stacked = torch.from_numpy(arrays)[:, None]
    forms = [arrays, [*arrays], stacked, stacked / 255, stacked.numpy(), arrays[..., None].repeat(3, axis=-1)]
    expected, *others = (extract_features(grey, form, ["4"], precision="float32")["4"] for form in forms)
    for found in others:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rows_of_a_table_of_paths_are_taken_by_place(network):
    pictures, _ = labelled(4)
    table = {3: pictures[0], 2: pictures[1], 1: pictures[2], 0: pictures[3]}

    class Column:
        """As a column of a data frame: its index is not the place."""

        __getitem__, __len__ = table.__getitem__, table.__len__

        def __iter__(self):
            return iter(table.values())

    found = extract_features(network, Column(), ["4"])["4"]
    np.testing.assert_array_equal(found, extract_features(network, pictures, ["4"])["4"])


def test_aspect_kept_gives_each_picture_its_own_shape(network):
    pictures = [np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8) for seed, shape in SHAPES]
    together = extract_features(network, pictures, ["4"], size=12, keep_aspect=True, precision="float32")["4"]
    for picture, row in zip(pictures, together, strict=True):
        pixels = images.to_pixels(picture, images.scaled_shape(picture, 12))[None]
        assert min(pixels.shape[2:]) == 12
        np.testing.assert_allclose(
            extract_features(network, pixels, ["4"], precision="float32")["4"][0], row, 1e-5, 1e-6
        )


def test_the_first_convolutions_of_a_network_with_depthwise_ones_stay_in_float32():
    def layers(groups):
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=groups), nn.Conv2d(8, 64, 3))

    def precisions(network):
        seen = []
        for part in network:
            part.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        with runtime.first_in_float32(network), runtime.autocast("cpu", "bfloat16"):
            network(torch.rand(1, 3, 9, 9))
        return seen

    depthwise, plain = layers(8), layers(1)
    assert precisions(depthwise) == [torch.float32, torch.float32, torch.bfloat16]
    assert precisions(plain) == [torch.bfloat16] * 3
    assert not any("forward" in vars(part) for part in depthwise.modules())


def test_bfloat16_keeps_the_direction(network, pixels):
    exact = extract_features(network, pixels, ["4"], precision="float32")["4"]
    short = extract_features(network, pixels, ["4"], precision="bfloat16")["4"]
    cosine = (exact * short).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(short, axis=1)
    assert cosine.min() > 0.999


def test_no_hook_is_left_after_a_failure(network):
    with pytest.raises(PictureError):
        extract_features(network, torch.full((1, 3, 16, 16), 255.0), ["1"])
    with pytest.raises(RuntimeError):
        extract_features(network, torch.rand(1, 3, 1, 1), ["1"])
    assert not any(module._forward_hooks for module in network.modules())


class Odd(nn.Module):
    """Layers that give no features: tokens, several tensors, nothing at all."""

    def __init__(self):
        super().__init__()
        self.tokens, self.pair, self.unused = nn.Flatten(2), nn.LSTM(16, 2), nn.ReLU()

    def forward(self, pixels):
        self.pair(self.tokens(pixels)[..., :16])
        return pixels


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("tokens", r"expected feature maps \(N, C, H, W\) or vectors \(N, D\), got \(4, 3, 256\)"),
        ("pair", r"expected feature maps .*, got tuple; choose another layer"),
        ("unused", r"expected layers that the network runs, got unused, unused"),
    ],
)
def test_layers_without_features_get_one_sentence(pixels, layer, message):
    with pytest.raises(ValueError, match=message):
        extract_features(pretrained.wrap(Odd(), input_size=16), pixels, [layer])


def test_unknown_layer_pooling_and_nothing_at_all(network, pixels):
    with pytest.raises(ValueError, match="expected a layer among 0, 1, 2, 3, 4, got 'fc7'"):
        DeepFeatures(network, "fc7").fit(pixels)
    with pytest.raises(ValueError, match="expected a pooling among average, max"):
        DeepFeatures(network, "4", "median").fit(pixels)
    with pytest.raises(ValueError, match="expected at least one picture"):
        extract_features(network, [], ["4"])


# joblib's remark when a disk is busy.
@pytest.mark.filterwarnings("ignore:Persisting input arguments")
def test_transformer_lives_in_scikit_learn(network, tmp_path):
    pictures, labels = labelled()
    pipeline = make_pipeline(DeepFeatures(network, ["1", "4"]), LogisticRegression(), memory=str(tmp_path))
    assert cross_val_score(pipeline, pictures, labels, cv=3).min() == 1
    search = GridSearchCV(
        pipeline, {"deepfeatures__pooling": ["average", "max"], "logisticregression__C": [1, 10]}, cv=2
    )
    assert search.fit(pictures, labels).best_score_ == 1
    assert clone(pipeline[0]).transform(pictures[:2]).shape == (2, 10)


def test_grey_by_sum_equals_the_copied_channels_inside_the_border():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    network = PixelNetwork("tiny", backbone, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    grey = torch.rand(3, 1, 16, 16)
    copied = network(grey.expand(-1, 3, -1, -1))[..., 1:-1, 1:-1]
    torch.testing.assert_close(transfer_training.to_grey(network, "sum")(grey)[..., 1:-1, 1:-1], copied)
    assert not torch.allclose(transfer_training.to_grey(network, "mean")(grey)[..., 1:-1, 1:-1], copied)
    padded = timm.layers.create_conv2d(3, 4, 3, stride=2, padding="same", bias=True)
    padded = PixelNetwork("padded", nn.Sequential(padded), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    copied = padded(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(transfer_training.to_grey(padded)(grey)[..., :-1, :-1], copied[..., :-1, :-1])


def test_layers_are_described():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    convolution, flat, dense = transfer.describe_layers(network, (3, 8, 8))
    assert convolution.output_shape == (4, 6, 6)
    assert convolution.num_parameters == 3 * 4 * 9 + 4
    assert convolution.num_multiplications == 3 * 4 * 9 * 36
    assert flat.num_parameters == flat.num_multiplications == 0
    assert dense.num_multiplications == 144 * 2
    (block,) = transfer.describe_layers(nn.Sequential(network), (3, 8, 8))
    assert block.num_multiplications == convolution.num_multiplications + dense.num_multiplications


def test_attached_classifier_scores_as_the_svm_does_on_features():
    names, generator = ("a", "b", "c"), torch.Generator().manual_seed(0)
    pictures = torch.rand(12, 3, 32, 32, generator=generator)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    network = PixelNetwork("tiny", backbone, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    features = normalize(network(pictures).mean((2, 3))).numpy()
    svm = LinearSVC().fit(features, [0, 1, 2] * 4)
    whole = transfer.attach_classifier(network, svm, names)
    assert whole.class_names == names
    expected = torch.from_numpy(svm.decision_function(features)).float()
    torch.testing.assert_close(whole(pictures), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="expected a name for each of 3 classes, got 2"):
        transfer.attach_classifier(network, svm, names[:2])
    two = LinearSVC().fit(features, [0, 1] * 6)
    logits = transfer.attach_classifier(network, two, names[:2])(pictures)
    torch.testing.assert_close(logits[:, 1].numpy(), two.decision_function(features).astype("f"), rtol=1e-4, atol=1e-5)
    assert np.array_equal(logits.argmax(1).numpy(), two.predict(features))
