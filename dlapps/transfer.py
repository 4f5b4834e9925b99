"""Transfer learning: the features that a frozen network's layers make of pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from torch import Tensor, nn
from torch.nn.functional import interpolate

from dlapps import pretrained
from dlapps.core.images import (
    ROUNDING,
    as_pictures,
    as_uint8,
    check_pixels,
    check_several,
    levels_to_pixels,
    stack_pixels,
)
from dlapps.core.runtime import device_of, progress
from dlapps.pretrained import PixelNetwork


@torch.no_grad()
def layer_outputs(
    network: PixelNetwork, pixels: Tensor, layers: Sequence[str]
) -> dict[str, Tensor]:
    """Return what each layer gives in one pass of pixels (N, C, H, W) in [0, 1].

    That is float32 by the layer's name, maps (N, C', H', W') or vectors (N, D), on the
    device of the network and the pixels. A layer that runs several times gives its last
    output. Under `torch.autocast` the network computes in the caller's format.

    layers: names as `PixelNetwork.layer` takes them.

    Raises ValueError for a layer that the network does not have or does not run, and
    PictureError for pixels of another shape or range.
    """
    check_pixels(pixels, network.channels, slack=ROUNDING)
    outputs: dict[nn.Module, Tensor] = {}

    def store(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        # A copy: a later layer may work in place.
        outputs[layer] = output.clone()

    # The hooks are removed even if the network fails.
    with contextlib.ExitStack() as hooks:
        for name in layers:
            hooks.enter_context(network.layer(name).register_forward_hook(store))
        network(pixels)
    by_name = {}
    for name in layers:
        layer = network.layer(name)
        if layer not in outputs:
            raise ValueError(
                f"expected a layer that the network runs, got {name!r}, which it does "
                "not; choose another."
            )
        by_name[name] = outputs[layer].float()
    return by_name


class DeepFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A frozen network as a scikit-learn transformer of pictures to features.

    network: a name that `pretrained.load` knows, or a `PixelNetwork`, which clones of
        the estimator share.
    layer: a name, or several whose features are put side by side.

    Features are averages of a layer's maps over all positions, or its vectors. Nothing
    is learnt, so features that are extracted once serve any number of classifiers and
    folds:

    >>> features = DeepFeatures("vgg16_features", "pool5").transform(pictures)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]})
    >>> search.fit(features, labels)
    """

    def __init__(self, network: PixelNetwork | str, layer: str | Sequence[str]) -> None:
        self.network = network
        self.layer = layer

    def fit(self, X: Any, y: object = None) -> DeepFeatures:
        """Count the features, which have names then; `transform` needs no fit."""
        check_several(X)
        self._n_features_out = self.transform(X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features (N, D) float32 of pictures.

        X: a list of paths, PIL pictures or arrays (see `images.to_picture`); or one
            array or tensor, uint8 (N, H, W) or (N, H, W, 3), or floats (N, 3, H, W)
            in [0, 1].

        Pictures are resized to the network's input_size. Grey is copied to the channels
        of a network of colours, and a grey network sees the mean of the colours.

        Raises ValueError for an unknown network or layer, and PictureError for a single
        picture, for none, and for what is not a picture.
        """
        check_several(X)
        network = self.network
        if isinstance(network, str):
            network = pretrained.load(network)
        if not isinstance(network, PixelNetwork):
            raise ValueError(
                f"expected a PixelNetwork, got {type(network).__name__}; "
                "pretrained.wrap makes one of a module of your own."
            )
        layers = [self.layer] if isinstance(self.layer, str) else self.layer
        device = device_of(network)
        # A CPU is fastest on a few pictures, since its caches hold no more.
        batch_size = 4 if device.type == "cpu" else 64
        # An empty batch has its own error.
        starts = range(0, max(len(X), 1), batch_size)
        features = []
        for start in progress(starts, f"features of {network.name}"):
            pixels = _read_pixels(X[start : start + batch_size], network)
            vectors = []
            for output in layer_outputs(network, pixels.to(device), layers).values():
                if output.ndim == 4:
                    output = output.mean((2, 3))
                if output.ndim != 2:
                    raise ValueError(
                        "expected a layer's maps (N, C, H, W) or vectors (N, D), got "
                        f"{tuple(output.shape)}; choose another layer."
                    )
                vectors.append(output)
            features.append(torch.cat(vectors, dim=1).cpu().numpy())
        return np.concatenate(features)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _read_pixels(batch: Any, network: PixelNetwork) -> Tensor:
    """Return pictures as pixels of the network's size and channels."""
    size = network.input_size
    if getattr(batch, "ndim", 1) == 1:  # a list, an array or a column of paths
        pixels = stack_pixels(batch, size)
    elif batch.dtype in (np.uint8, torch.uint8):
        pixels = levels_to_pixels(as_uint8(batch))
    else:
        pixels = as_pictures(batch)
    if pixels.shape[1] == 1:
        pixels = pixels.expand(-1, network.channels, -1, -1)
    elif network.channels == 1 and pixels.shape[1] == 3:
        pixels = pixels.mean(1, keepdim=True)
    return interpolate(pixels, (size, size), mode="bilinear", antialias=True)
