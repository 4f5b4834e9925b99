"""Networks trained on ImageNet, ready to use: pixels in [0, 1] in, logits or feature
maps out, frozen, in eval mode.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from dlapps import check_name
from dlapps.core import assets
from dlapps.core.assets import AssetError
from dlapps.core.images import PictureError, check_shape
from dlapps.core.runtime import channels_last

# Mean and standard deviation of the pixels that a network was trained on. Caffe
# networks take BGR in 0-255 less this mean; here as RGB in [0, 1], the order of the
# channels moved into the first convolution and the factor 255 into the standard
# deviation.
CAFFE = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255)
IMAGENET_MEAN, IMAGENET_STD = IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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
    """(x - mean) / std for each channel of pixels (N, C, H, W) in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not min(std) > 0:
            raise ValueError(
                f"expected a mean and a std > 0 for each channel, got {tuple(mean)} and {tuple(std)}; pass both alike."
            )
        self.register_buffer(
            "mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        )
        self.register_buffer(
            "std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels of the shape that came."""
        return (pixels - self.mean) / self.std


class PixelNetwork(nn.Module):
    """A backbone with its normalisation in front, so that no caller can normalise twice
    or not at all.

    Takes pixels (N, C, H, W) in [0, 1], gives logits (N, K) (feature maps where the
    backbone has no classifier). Attributes: `name`, `class_names` (K of them, or an
    empty tuple), `input_size` (the side of the training pictures), `crop` (the share of
    the short side used in its published evaluation, None where pictures are squashed
    instead), `channels` (C), `last_layer` (of the backbone, whose rows are the classes,
    where nothing mixes them afterwards; else None). The backbone itself is frozen and
    put in eval mode, its weights channels_last.
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
        last_layer: str | None = None,
    ) -> None:
        super().__init__()
        self.name, self.last_layer = name, last_layer
        self.class_names, self.input_size, self.crop = (
            tuple(class_names),
            input_size,
            crop,
        )
        self.normalisation, self.channels = Normalisation(mean, std), len(mean)
        # Any: its parts have the names that its library gives them.
        self.backbone: Any = backbone
        for module in backbone.modules():
            # Else a hook would see what the next layer made of a layer's output.
            # torch's types know no such name.
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]
        channels_last(self.requires_grad_(False).eval())

    def forward(self, pixels: Tensor) -> Tensor:
        """The backbone's output on normalised pixels; PictureError for another shape,
        or values far outside [0, 1].
        """
        check_shape(pixels, self.channels)
        # No more than a guard against 0-255: noise may leave [0, 1], as SmoothGrad's
        # does.
        if not pixels.detach().abs().amax() <= 10:
            raise PictureError(
                f"expected pixels in [0, 1], got values up to {float(pixels.amax()):.4g}; divide 0-255 values by 255."
            )
        return self.backbone(self.normalisation(pixels))

    def __repr__(self) -> str:
        # Of torch, hundreds of lines, below each cell that ends with eval(); they are
        # those of `backbone`.
        return f"PixelNetwork({self.name!r})"

    @torch.no_grad()
    def predict(self, pixels: Tensor, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each picture (N, C, H, W) the k most likely classes, (name, probability)
        from high to low.

        All of a network of fewer classes; one without a name is called by its index.
        Raises ValueError for a network that gives no logits (N, K).
        """
        logits = self(pixels)
        if logits.ndim != 2:
            raise ValueError(
                f"expected logits (N, K), got {tuple(logits.shape)}; choose a network with a classifier."
            )
        probabilities, classes = logits.softmax(1).topk(min(k, logits.shape[1]))
        names = [
            *self.class_names,
            *map(str, range(len(self.class_names), logits.shape[1])),
        ]
        rows = zip(classes.tolist(), probabilities.tolist(), strict=True)
        return [
            [(names[index], share) for index, share in zip(*row, strict=True)]
            for row in rows
        ]

    def classify(self, pixels: Tensor) -> list[str]:
        """The name of the most likely class of each picture (N, C, H, W); see
        `predict`.
        """
        return [row[0][0] for row in self.predict(pixels, 1)]

    def __sklearn_clone__(self) -> PixelNetwork:
        # Frozen, it is shared by the clones of an estimator.
        return self

    def layer(self, name: str) -> nn.Module:
        """The module of that name inside the backbone; a ValueError that lists the
        names otherwise.
        """
        return find_layer(self, name)


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """The module of that dotted name inside a network, or inside its `backbone`, where
    it has one.

    Raises a ValueError that lists the outer names otherwise.
    """
    modules = dict(network.named_modules())
    if name and name in modules:
        return modules[name]
    if "backbone" in modules:
        return find_layer(modules["backbone"], name)
    valid = ", ".join(key for key in modules if key and key.count(".") < 2)
    raise ValueError(
        f"expected a layer among {valid}, got {name!r}; choose one of them or of their parts."
    )


def load(name: str) -> PixelNetwork:
    """A network by name, ready to use on pixels.

    name: vgg16, vgg16_features (the 13 convolutions; feature maps (N, 512, H/32, W/32)
    out), squeezenet1_1, efficientnet_lite0, _lite1 or _lite2; `wrap` takes others, as
    those of torchvision and timm are. Raises AssetError where its weights cannot be
    had, ValueError for a name that nobody knows.
    """
    check_name("a network", name, LOADERS)
    return LOADERS[name]()


def wrap(
    module: nn.Module,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    *,
    name: str = "",
    class_names: Sequence[str] = (),
    input_size: int = 224,
) -> PixelNetwork:
    """A network of one's own, ready to use on pixels: its normalisation goes in front
    of it.

    >>> network = wrap(torchvision.models.resnet18(weights="DEFAULT"))  # trained on
    pixels less ImageNet's mean

    module: normalised pictures (N, C, H, W) to logits (N, K); it is not copied but
    itself frozen (no weight requires a gradient any more) and put in eval mode. mean,
    std: of the pixels in [0, 1] that it was trained on, one a channel; (0.0,) and
    (1.0,) for a grey network without a normalisation. name: that of its class by
    default. class_names: K of them, which may then stand for classes. input_size: side
    of the pictures that `transfer.DeepFeatures` makes for it.
    """
    if isinstance(module, PixelNetwork):
        raise ValueError(
            "expected a network of normalised pictures, got a PixelNetwork; use it as it is."
        )
    return PixelNetwork(
        name or type(module).__name__, module, mean, std, class_names, input_size
    )


def vgg16_architecture() -> nn.Sequential:
    """VGG16 [Simonyan and Zisserman 2015] layer by layer on the meta device: names and
    shapes, no weights.
    """
    with torch.device("meta"):
        return _name_vgg_layers(models.vgg16())


def imagenet_class_names() -> tuple[str, ...]:
    """The 1,000 names, in the order of the logits."""
    return tuple(models.VGG16_Weights.IMAGENET1K_V1.meta["categories"])


def _read_state(asset: str) -> dict[str, Tensor]:
    return torch.load(assets.fetch(asset), weights_only=True, map_location="cpu")


def _load_state(network: nn.Module, state: dict[str, Tensor], name: str) -> nn.Module:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise AssetError(
            f"expected the weights of {name}, got other entries; run dlapps data verify ({error})."
        ) from error
    return network


def _load_vgg16() -> PixelNetwork:
    backbone = _name_vgg_layers(
        _load_state(models.vgg16(), _read_state("vgg16"), "vgg16")
    )
    return PixelNetwork("vgg16", backbone, *IMAGENET, imagenet_class_names())


def _name_vgg_layers(network: models.VGG) -> nn.Sequential:
    """torchvision's VGG16 as one sequence whose layers have the paper's names: conv1_1,
    relu1_1, …, pool5, fc6, …
    """
    names: list[str] = []
    for block, convolutions in enumerate(VGG_BLOCKS, start=1):
        places = [f"{block}_{number}" for number in range(1, convolutions + 1)]
        names += [f"{kind}{place}" for place in places for kind in ("conv", "relu")]
        names.append(f"pool{block}")
    modules = (*network.features, network.avgpool, nn.Flatten(), *network.classifier)
    return nn.Sequential(OrderedDict(zip((*names, *VGG_DENSE), modules, strict=True)))


def _load_vgg16_features() -> PixelNetwork:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(assets.fetch("vgg16_features")).graph
    arrays = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
    }
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    backbone = vgg16_architecture()[: -len(VGG_DENSE)]
    targets = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    for target, node in zip(targets, convolutions, strict=True):
        weight, bias = (torch.from_numpy(arrays[key].copy()) for key in node.input[1:])
        target.weight, target.bias = nn.Parameter(weight), nn.Parameter(bias)
    _swap_colours(targets[0])
    return PixelNetwork("vgg16_features", backbone, *CAFFE)


def _load_squeezenet() -> PixelNetwork:
    import h5py

    backbone = models.squeezenet1_1()
    fires = [module for module in backbone.features if hasattr(module, "squeeze")]
    targets = {"conv1": backbone.features[0], "conv10": backbone.classifier[1]}
    for number, fire in enumerate(fires, start=2):
        for part in ("squeeze", "expand1x1", "expand3x3"):
            targets[f"fire{number}/{part}{'1x1' * (part == 'squeeze')}"] = getattr(
                fire, part
            )
    with h5py.File(assets.fetch("squeezenet1_1")) as file:
        for name, target in targets.items():
            kernel, bias = (
                torch.from_numpy(file[f"{name}/{name}_{kind}:0"][()]) for kind in "Wb"
            )
            target.weight.data, target.bias.data = (
                kernel.permute(3, 2, 0, 1).contiguous(),
                bias,
            )
    _swap_colours(backbone.features[0])
    return PixelNetwork(
        "squeezenet1_1",
        backbone,
        *CAFFE,
        imagenet_class_names(),
        last_layer="classifier.1",
    )


def _swap_colours(convolution: nn.Conv2d) -> None:
    """Let a first convolution that was trained on BGR take RGB."""
    convolution.weight.data = convolution.weight.data.flip(1).contiguous()


def _load_efficientnet_lite(name: str) -> PixelNetwork:
    import timm

    saved, backbone = _read_state(name), timm.create_model(f"tf_{name}")
    # Two ports of one network: other names, the same entries in the same order.
    state = dict(zip(backbone.state_dict(), saved.values(), strict=True))
    _load_state(backbone, state, name)
    # timm sets it on each of its networks, which nn.Module does not say.
    config: Any = backbone.pretrained_cfg
    return PixelNetwork(
        name, backbone, config["mean"], config["std"], imagenet_class_names(),
        input_size=config["input_size"][-1], crop=config["crop_pct"],
    )  # fmt: skip


LOADERS: dict[str, Callable[[], PixelNetwork]] = {
    "vgg16": _load_vgg16,
    "vgg16_features": _load_vgg16_features,
    "squeezenet1_1": _load_squeezenet,
    **{
        f"efficientnet_lite{number}": partial(
            _load_efficientnet_lite, f"efficientnet_lite{number}"
        )
        for number in (0, 1, 2)
    },
}
