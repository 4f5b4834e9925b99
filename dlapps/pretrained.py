"""Networks trained on ImageNet, ready to use: frozen and in eval mode.

They take pixels in [0, 1], and give logits or feature maps.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from dlapps.core import assets
from dlapps.core.checks import check_counts, check_name
from dlapps.core.class_scores import read_logits
from dlapps.core.images import ROUNDING, check_pixels
from dlapps.core.runtime import channels_last

# Mean and standard deviation of the pixels that a network was trained on.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Caffe networks take BGR in 0-255 less this mean; here as RGB in [0, 1], the order of
# the channels moved into the first convolution and the factor 255 into the standard
# deviation.
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)
VGG_BLOCKS = (2, 2, 3, 3, 3)
VGG_DENSE = (
    "avgpool",
    "flatten",
    "fc6",
    "relu6",
    "drop6",
    "fc7",
    "relu7",
    "drop7",
    "fc8",
)


class Normalisation(nn.Module):
    """(x - mean) / std for each channel of pixels (N, C, H, W) in [0, 1].

    Raises ValueError for a mean and a std of two lengths, or of levels from 0 to 255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        means = torch.as_tensor(mean).float().view(1, -1, 1, 1)
        stds = torch.as_tensor(std).float().view(1, -1, 1, 1)
        are_of_pixels = 0 <= means.min() <= means.max() <= 1 and stds.min() > 0
        if means.shape != stds.shape or not are_of_pixels or stds.max() > 1:
            raise ValueError(
                "expected a mean and a std > 0 for each channel of pixels in [0, 1], "
                f"got {mean} and {std}; divide those of 0 to 255 by 255."
            )
        self.register_buffer("mean", means)
        self.register_buffer("std", stds)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise pixels; their shape stays."""
        return (pixels - self.mean) / self.std


class PixelNetwork(nn.Module):
    """A backbone with its normalisation in front, which callers leave to it.

    It takes pixels (N, C, H, W) in [0, 1] and gives logits (N, K), or feature maps if
    the backbone has no classifier.
    The backbone itself is frozen and put in eval mode, its weights channels_last.

    name: of the network.
    class_names: at most K, of the first logits.
    input_size: the side of the training pictures.
    crop: the share of the short side that its published evaluation used; None if
        pictures are squashed instead.
    channels: C.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        class_names: Sequence[str] = (),
        input_size: int = 224,
        crop: float | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.class_names = tuple(class_names)
        self.input_size = input_size
        self.crop = crop
        self.normalisation = Normalisation(mean, std)
        self.channels = self.normalisation.mean.shape[1]
        # Any: its parts have the names that its library gives them.
        self.backbone: Any = backbone
        for module in backbone.modules():
            # Otherwise a hook would see what the next layer made of the output.
            # nn.Module's type does not declare inplace.
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]
        channels_last(self.requires_grad_(False).eval())

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the backbone's output on normalised pixels.

        Raises PictureError for another shape, or values far outside [0, 1].
        """
        # SmoothGrad's noise leaves [0, 1], pixels that are normalised go further.
        check_pixels(pixels, self.channels, slack=1.5)
        return self.backbone(self.normalisation(pixels))

    def __repr__(self) -> str:
        # PyTorch's own has hundreds of lines, which a cell that ends with eval() shows.
        return f"PixelNetwork({self.name!r})"

    @torch.no_grad()
    def predict(self, pixels: Tensor, k: int = 5) -> list[list[tuple[str, float]]]:
        """Return the k most likely classes of each picture (N, C, H, W).

        Each class is (name, probability), from high to low. A network of fewer classes
        gives them all; a class without a name is called by its index. Raises ValueError
        for a network that gives no logits (N, K), a k below 1, or pixels that are
        normalised already.
        """
        check_counts(k=k)
        check_pixels(pixels, self.channels, slack=ROUNDING)
        logits = read_logits(self, pixels)
        if len(self.class_names) > logits.shape[1]:
            raise ValueError(
                f"expected at most {logits.shape[1]} class_names, one a logit, got "
                f"{len(self.class_names)}; give wrap one name for each, in their order."
            )
        probabilities, classes = logits.softmax(1).topk(min(k, logits.shape[1]))
        names = list(self.class_names)
        names.extend(map(str, range(len(names), logits.shape[1])))
        predictions = []
        for row, indices in zip(probabilities.tolist(), classes.tolist(), strict=True):
            likely = [names[index] for index in indices]
            predictions.append(list(zip(likely, row, strict=True)))
        return predictions

    def classify(self, pixels: Tensor) -> list[str]:
        """Return the name of the most likely class of each picture (N, C, H, W)."""
        return [classes[0][0] for classes in self.predict(pixels, 1)]

    def __sklearn_clone__(self) -> PixelNetwork:
        # It is frozen, so the clones of an estimator can share it.
        return self

    def layer(self, name: str) -> nn.Module:
        """Return the module of that name inside the backbone; see `find_layer`."""
        return find_layer(self, name)


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return the module of a dotted name in a network or, if it has one, its backbone.

    Raises ValueError, which lists the outer names, for another name.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    if "backbone" in modules:
        return find_layer(modules["backbone"], name)
    valid = ", ".join(key for key in modules if key and key.count(".") < 2)
    raise ValueError(
        f"expected a layer among {valid}, got {name!r}; "
        "choose one of them or of their parts."
    )


def load(name: str) -> PixelNetwork:
    """Load a network by name, ready to use on pixels.

    Its weights are downloaded at first use. `wrap` takes other networks, such as those
    of torchvision and timm.

    name: vgg16_features (VGG16's 13 convolutions, which give feature maps
        (N, 512, H / 32, W / 32)), squeezenet1_1, efficientnet_lite0 or
        efficientnet_lite2.

    Raises AssetError if its weights cannot be fetched, ValueError for another name.
    """
    check_name("a network", name, LOADERS)
    return LOADERS[name]()


def wrap(
    module: nn.Module,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    class_names: Sequence[str] = (),
    input_size: int = 224,
) -> PixelNetwork:
    """Make a network of your own ready to use on pixels.

    >>> network = wrap(torchvision.models.resnet18(weights="DEFAULT"))

    Its normalisation goes in front of a copy of it, which is frozen and in eval mode.

    module: a network that takes normalised pictures (N, C, H, W) to logits (N, K).
    mean, std: of the pixels in [0, 1] that it was trained on, a number for each
        channel, by default ImageNet's; (0.0,) and (1.0,) for a grey network without a
        normalisation.
    class_names: at most K names, of the first logits.
    input_size: the side of the pictures that `transfer.DeepFeatures` makes for it.

    Raises ValueError for a `PixelNetwork` or a name, and for statistics of levels from
    0 to 255.
    """
    if isinstance(module, PixelNetwork) or not isinstance(module, nn.Module):
        raise ValueError(
            f"expected an nn.Module that takes normalised pictures, got {module!r}; "
            "use a PixelNetwork as it is, and pretrained.load for a name."
        )
    copied = copy.deepcopy(module)
    name = type(module).__name__
    return PixelNetwork(name, copied, mean, std, class_names, input_size)


def vgg16_architecture() -> nn.Sequential:
    """Make VGG16 [Simonyan and Zisserman 2015] on the meta device.

    It has the names and shapes of the layers, but no weights.
    """
    with torch.device("meta"):
        return _name_vgg_layers(models.vgg16())


def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1,000 names of ImageNet's classes, in the order of the logits."""
    return tuple(models.VGG16_Weights.IMAGENET1K_V1.meta["categories"])


def _read_state(asset: str) -> dict[str, Tensor]:
    return torch.load(assets.fetch(asset), weights_only=True, map_location="cpu")


def _name_vgg_layers(network: models.VGG) -> nn.Sequential:
    """Return torchvision's VGG16 as one sequence of layers named as in the paper.

    The names are conv1_1, relu1_1, …, pool5, fc6, …
    """
    names = []
    for block, num_convolutions in enumerate(VGG_BLOCKS, start=1):
        for number in range(1, num_convolutions + 1):
            names.append(f"conv{block}_{number}")
            names.append(f"relu{block}_{number}")
        names.append(f"pool{block}")
    names.extend(VGG_DENSE)
    modules = list(network.features)
    modules += [network.avgpool, nn.Flatten()]
    modules += list(network.classifier)
    return nn.Sequential(OrderedDict(zip(names, modules, strict=True)))


def _load_vgg16_features() -> PixelNetwork:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(assets.fetch("vgg16_features")).graph
    arrays = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    backbone = vgg16_architecture()[: -len(VGG_DENSE)]
    layers = [layer for layer in backbone.children() if isinstance(layer, nn.Conv2d)]
    for layer, node in zip(layers, nodes, strict=True):
        _, weight, bias = node.input
        layer.weight = nn.Parameter(torch.tensor(arrays[weight]))
        layer.bias = nn.Parameter(torch.tensor(arrays[bias]))
    _swap_colours(layers[0])
    return PixelNetwork("vgg16_features", backbone, CAFFE_MEAN, CAFFE_STD)


def _load_squeezenet() -> PixelNetwork:
    import h5py

    backbone = models.squeezenet1_1()
    # The layers by their names in the authors' network.
    layers = {"conv1": backbone.features[0], "conv10": backbone.classifier[1]}
    fires = [module for module in backbone.features if hasattr(module, "squeeze")]
    for number, fire in enumerate(fires, start=2):
        layers[f"fire{number}/squeeze1x1"] = fire.squeeze
        layers[f"fire{number}/expand1x1"] = fire.expand1x1
        layers[f"fire{number}/expand3x3"] = fire.expand3x3
    with h5py.File(assets.fetch("squeezenet1_1")) as file:
        for name, layer in layers.items():
            kernel = torch.from_numpy(file[f"{name}/{name}_W:0"][()])
            bias = torch.from_numpy(file[f"{name}/{name}_b:0"][()])
            layer.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
            layer.bias.data = bias
    _swap_colours(backbone.features[0])
    return PixelNetwork(
        "squeezenet1_1",
        backbone,
        CAFFE_MEAN,
        CAFFE_STD,
        imagenet_class_names(),
    )


def _swap_colours(convolution: nn.Conv2d) -> None:
    """Let a first convolution that was trained on BGR take RGB."""
    convolution.weight.data = convolution.weight.data.flip(1).contiguous()


def _load_efficientnet_lite(name: str) -> PixelNetwork:
    import timm

    backbone = timm.create_model(f"tf_{name}")
    # Two ports of one network: their entries have other names, but the same order.
    weights = _read_state(name).values()
    state = dict(zip(backbone.state_dict(), weights, strict=True))
    backbone.load_state_dict(state)
    # timm sets it on each of its networks, but nn.Module does not declare it.
    config: Any = backbone.pretrained_cfg
    return PixelNetwork(
        name,
        backbone,
        config["mean"],
        config["std"],
        imagenet_class_names(),
        input_size=config["input_size"][-1],
        crop=config["crop_pct"],
    )


LOADERS: dict[str, Callable[[], PixelNetwork]] = {
    "vgg16_features": _load_vgg16_features,
    "squeezenet1_1": _load_squeezenet,
    "efficientnet_lite0": partial(_load_efficientnet_lite, "efficientnet_lite0"),
    "efficientnet_lite2": partial(_load_efficientnet_lite, "efficientnet_lite2"),
}
