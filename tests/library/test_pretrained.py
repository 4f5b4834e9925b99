"""Networks take pixels; the conversions give the networks that were published."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from dlapps import datasets, pretrained
from dlapps.core import assets, images
from dlapps.core.assets import AssetError
from dlapps.pretrained import PixelNetwork, find_layer
from studies.pictures import load_imagenet_samples

MEAN = (0.5, 0.4, 0.3)
STD = (0.2, 0.3, 0.4)


def tiny_network():
    layers = (
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return PixelNetwork("tiny", nn.Sequential(*layers, nn.Dropout()), MEAN, STD)


def load_or_skip(name):
    if not assets.is_present(name):
        pytest.skip(f"{name} is not fetched: dlapps data fetch {name}")
    return pretrained.load(name)


def test_normalisation_happens_once_and_inside():
    network = tiny_network()
    pixels = torch.rand(2, 3, 8, 8)
    mean = torch.tensor(MEAN).view(3, 1, 1)
    std = torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(network(pixels), network.backbone((pixels - mean) / std))


def test_pixels_may_be_noisy_but_not_levels_up_to_255():
    network = tiny_network()
    pixels = torch.rand(2, 3, 8, 8)
    assert network(pixels + 0.2 * torch.randn(2, 3, 8, 8)).isfinite().all()
    with pytest.raises(ValueError, match="leave the normalisation to the network"):
        network(network.normalisation(pixels.round()))
    levels = torch.full((2, 3, 8, 8), 255.0)
    for wrong in (levels, levels.byte()):
        with pytest.raises(images.PictureError):
            network(wrong)


def test_a_network_at_the_end_of_a_cell_is_one_line():
    assert repr(tiny_network().eval()) == "PixelNetwork('tiny')"


def test_hook_sees_what_the_layer_gave():
    network = tiny_network()
    outputs = []
    network.layer("0").register_forward_hook(
        lambda module, inputs, output: outputs.append(output)
    )
    network(torch.rand(1, 3, 8, 8))
    assert outputs[0].min() < 0


def test_a_layer_has_one_name_with_and_without_the_backbone():
    network = tiny_network()
    layer = network.backbone[0]
    assert network.layer("0") is layer
    assert network.layer("backbone.0") is layer
    assert find_layer(network, "0") is layer
    inner = OrderedDict(backbone=nn.Sequential(nn.Conv2d(3, 4, 3)))
    nested = PixelNetwork("", nn.Sequential(inner), MEAN, STD)
    assert (
        nested.layer("backbone.backbone.0")
        is nested.layer("0")
        is nested.backbone[0][0]
    )


def test_a_network_of_ones_own_is_wrapped_in_one_line():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3)
    )
    network = pretrained.wrap(module, (0.1,), (0.3,), class_names="abc", input_size=8)
    assert (network.name, network.class_names) == ("Sequential", ("a", "b", "c"))
    assert network.input_size == 8
    # The module itself may still be trained.
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    pixels = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(network(pixels), module.eval()((pixels - 0.1) / 0.3))
    colours = pretrained.wrap(nn.Sequential(nn.Conv2d(3, 2, 3)))
    assert colours.normalisation.mean.flatten().tolist() == pytest.approx(
        pretrained.IMAGENET_MEAN
    )


def test_likeliest_classes_come_with_their_probabilities():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False))
    nn.init.zeros_(module[1].weight)
    module[1].weight.data[2] = 1
    network = pretrained.wrap(
        module, (0.0,), (1.0,), class_names=("cat", "dog", "bird")
    )
    pixels = torch.tensor([0.25, 0.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    likeliest, _ = network.predict(pixels, k=2)[0]
    assert likeliest == ("bird", pytest.approx(np.e / (np.e + 2)))
    assert len(network.predict(pixels)[0]) == 3
    assert network.classify(pixels) == ["bird", "cat"]
    with pytest.raises(images.PictureError, match="leave the normalisation to"):
        network.predict(pixels * 5)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5,), pretrained.IMAGENET_STD),
        ((0.5,), (0.0,)),
        ((124, 117, 104), (0.2, 0.2, 0.2)),
        ((0.5,), (58,)),
        ((float("nan"),), (1,)),
    ],
)
def test_statistics_that_no_pixels_in_0_to_1_have_are_refused(mean, std):
    with pytest.raises(ValueError, match="expected a mean and a std > 0 for each"):
        pretrained.wrap(nn.Flatten(), mean, std)


@pytest.mark.parametrize("kind", [tuple, list, np.array, torch.tensor])
def test_statistics_are_sequences_arrays_or_tensors(kind):
    network = pretrained.wrap(nn.Flatten(), kind(MEAN), kind(STD))
    assert network.normalisation.mean.flatten().tolist() == pytest.approx(MEAN)
    assert network.normalisation.std.dtype == torch.float32
    assert network.channels == 3


def test_vgg16_has_the_papers_layers():
    architecture = pretrained.vgg16_architecture()
    assert (
        sum(parameter.numel() for parameter in architecture.parameters()) == 138_357_544
    )
    assert architecture(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
    assert architecture.pool5 is architecture[30]
    assert architecture.fc8.out_features == 1000


@pytest.mark.network
def test_vgg16_features_are_oxfords():
    network = load_or_skip("vgg16_features")
    bias = network.layer("conv5_3").bias
    assert bias.mean().item() == pytest.approx(0.14986371, abs=1e-7)
    assert bias.min().item() == pytest.approx(-0.50036746, abs=1e-7)
    assert bias.max().item() == pytest.approx(9.4315529, abs=1e-6)
    assert sum(parameter.numel() for parameter in network.parameters()) == 14_714_688
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 512, 2, 2)


# Weights, and the share of 500 pictures that is named right at least.
CLASSIFIERS = {
    "squeezenet1_1": (1_235_496, 0.58),
    "efficientnet_lite0": (4_652_008, 0.85),
    "efficientnet_lite2": (6_092_072, 0.88),
}


@pytest.mark.network
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_read_photos(name):
    network = load_or_skip(name)
    assert (
        sum(parameter.numel() for parameter in network.parameters())
        == CLASSIFIERS[name][0]
    )
    photos = datasets.load_photos()
    chosen = {"cat": "cat", "coffee": "espresso"}
    pictures = [photos.images[photos.names.index(photo)] for photo in chosen]
    pixels = images.stack_pixels(pictures, crop=network.crop)
    for logits, word in zip(network(pixels), chosen.values(), strict=True):
        likeliest = [network.class_names[index] for index in logits.topk(3).indices]
        assert word in " ".join(likeliest)


@pytest.mark.mirror
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_top_1_on_imagenet_pictures(name):
    network = load_or_skip(name)
    try:
        samples = load_imagenet_samples()
    except AssetError as error:
        pytest.skip(str(error))
    predicted = []
    for start in range(0, len(samples), 50):
        batch = samples.images[start : start + 50]
        pixels = images.stack_pixels(batch, network.input_size, crop=network.crop)
        with torch.inference_mode():
            predicted += network(pixels).argmax(1).tolist()
    assert np.mean(np.array(predicted) == samples.labels) >= CLASSIFIERS[name][1]
