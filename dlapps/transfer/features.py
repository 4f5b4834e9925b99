"""What the layers of a frozen network say of pictures, as features for any classifier."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from dlapps import check_counts, check_name, pretrained
from dlapps.core.images import as_pictures, check_several, scaled_shape, stack_pixels
from dlapps.core.runtime import Bar, autocast, device_of, first_in_float32
from dlapps.pretrained import PixelNetwork

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
    "average+max": lambda maps: torch.cat(
        [maps.mean((2, 3)), maps.amax((2, 3))], dim=1
    ),
    "pyramid": lambda maps: torch.cat(
        [maps.mean((2, 3)), adaptive_avg_pool2d(maps, 2).flatten(1)], dim=1
    ),
    "flatten": lambda maps: maps.flatten(1),
}
# A few pictures at a time are fastest on a CPU, whose caches hold no more.
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 4, 64


def pool(maps: Tensor, pooling: str) -> Tensor:
    """Feature maps (N, C, H, W) to vectors (N, D).

    average or max over all positions; both side by side; the average beside those of
    the four quarters (two levels of the pyramid of Lazebnik et al. 2006); or every
    position for itself (flatten).

    What is a vector already (N, D) passes. Raises ValueError for an unknown pooling,
    and for what is neither.
    """
    check_name("a pooling", pooling, POOLINGS)
    if not isinstance(maps, Tensor) or maps.ndim not in (2, 4):
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            f"expected feature maps (N, C, H, W) or vectors (N, D), got {got}; choose another layer."
        )
    return maps if maps.ndim == 2 else POOLINGS[pooling](maps)


def extract_features(
    network: PixelNetwork,
    pictures: Sequence | Tensor,
    layers: Sequence[str],
    pooling: str = "average",
    size: int | None = None,
    keep_aspect: bool = False,
    precision: str = "fast",
) -> dict[str, np.ndarray]:
    """Features of several layers in one pass: for each layer float32 (N, D).

    pictures: paths, arrays or PIL pictures, or pixels (N, C, H, W) as
    `images.as_pictures` takes them, whose size stays as it is. Pictures are resized to
    size x size (default: the network's), or with keep_aspect so that the short side is
    `size`; for a network of grey pixels their channels are averaged. They are read
    batch by batch: memory holds two batches and the features. precision: see
    `runtime.autocast`; features are float32 always. Raises ValueError for an unknown
    setting or layer, and for no picture or a single one outside a list.
    """
    check_several(pictures)
    check_name("a pooling", pooling, POOLINGS)
    if not layers:
        raise ValueError("expected at least one layer, got none; name some.")
    features: dict[str, np.ndarray] = {}
    with Bar(
        None, f"features of {network.name}", total=len(pictures), unit="picture"
    ) as bar:
        for rows, pixels in _batches(network, pictures, size, keep_aspect):
            for layer, block in _layer_outputs(
                network, pixels, layers, pooling, precision
            ).items():
                features.setdefault(
                    layer, np.empty((len(pictures), block.shape[1]), np.float32)
                )[rows] = block.cpu()
            bar.update(len(rows))
    return features


@torch.inference_mode()
def _layer_outputs(
    network: PixelNetwork,
    pixels: Tensor,
    layers: Iterable[str],
    pooling: str,
    precision: str,
) -> dict[str, Tensor]:
    """Pooled outputs of the layers for one batch; hooks go even when the network fails."""
    outputs: dict[str, Tensor] = {}
    device = device_of(network)
    with (
        contextlib.ExitStack() as hooks,
        first_in_float32(network),
        autocast(device, precision),
    ):
        for layer in layers:

            def store(
                _module: nn.Module, _inputs: tuple, output: Tensor, layer: str = layer
            ) -> None:
                outputs[layer] = pool(
                    output.float() if isinstance(output, Tensor) else output, pooling
                )

            hooks.enter_context(network.layer(layer).register_forward_hook(store))
        network(pixels.to(device, memory_format=torch.channels_last))
    if unused := [layer for layer in layers if layer not in outputs]:
        raise ValueError(
            f"expected layers that the network runs, got {', '.join(unused)}, unused; choose others."
        )
    return {layer: outputs[layer] for layer in layers}


def _batches(
    network: PixelNetwork,
    pictures: Sequence | Tensor,
    size: int | None,
    keep_aspect: bool,
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and their pixels; the next batch is decoded while the caller works on the
    last one.
    """
    check_counts(size=network.input_size if size is None else size)
    batch_size = CPU_BATCH_SIZE if device_of(network).type == "cpu" else GPU_BATCH_SIZE
    if not len(pictures):
        raise ValueError(
            "expected at least one picture, got none; check the selection."
        )
    if isinstance(pictures, Tensor) or (
        isinstance(pictures, np.ndarray)
        and pictures.ndim == 4
        and pictures.shape[3] != 3
    ):
        pixels = as_pictures(pictures, network.channels)
        rows = torch.arange(len(pixels)).split(batch_size)
        yield from ((batch.tolist(), pixels[batch]) for batch in rows)
        return
    pictures, size = list(pictures), size or network.input_size
    shapes: dict[tuple[int, int], list[int]] = {}
    for row, picture in enumerate(pictures):
        shapes.setdefault(
            scaled_shape(picture, size) if keep_aspect else (size, size), []
        ).append(row)
    batches = [
        (shape, rows[start : start + batch_size])
        for shape, rows in shapes.items()
        for start in range(0, len(rows), batch_size)
    ]
    with ThreadPoolExecutor(max_workers=1) as reader:

        def read(shape: tuple[int, int], rows: list[int]) -> Future[Tensor]:
            return reader.submit(stack_pixels, [pictures[row] for row in rows], shape)

        upcoming = [read(*batch) for batch in batches[:1]]
        for index, (_, rows) in enumerate(batches):
            pixels = upcoming.pop().result()
            if network.channels == 1:
                pixels = pixels.mean(1, keepdim=True)
            upcoming += [read(*batch) for batch in batches[index + 1 : index + 2]]
            yield rows, pixels


@functools.lru_cache(maxsize=2)
def _load_once(name: str) -> PixelNetwork:
    return pretrained.load(name)


class DeepFeatures(TransformerMixin, BaseEstimator):
    """A frozen network as a scikit-learn transformer: pictures in, features (N, D)
    float32 out.

    network: a name that `pretrained.load` knows, or a `PixelNetwork`, which the
    estimator's clones share. layer: a name, or several whose features are put side by
    side. The other parameters are those of `extract_features`.

    Nothing is learnt, so features that are extracted once serve any number of
    classifiers and folds:

    >>> features = DeepFeatures("vgg16_features", "pool5").transform(pictures) >>>
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]}).fit(features,
    labels)

    In a pipeline, `make_pipeline(DeepFeatures("vgg16", ...), classifier,
    memory="folder")` keeps the features that it is fitted on, in any process; pictures
    of test folds go through the network again. What it finds again has the same
    parameters, labels and pictures (arrays by their values, files by their paths
    alone), and a network by its name: of a `PixelNetwork` nothing is found again. Where
    files or a library changed, empty the folder.
    """

    def __init__(
        self,
        network: PixelNetwork | str,
        layer: str | Sequence[str],
        pooling: str = "average",
        size: int | None = None,
        keep_aspect: bool = False,
        precision: str = "fast",
    ) -> None:
        self.network, self.layer, self.pooling = network, layer, pooling
        self.size, self.keep_aspect, self.precision = size, keep_aspect, precision

    def fit(self, X: Sequence | Tensor, y: object = None) -> DeepFeatures:
        """Nothing is learnt; `transform` says what is not valid, before the first
        picture is seen.
        """
        return self

    def transform(self, X: Sequence | Tensor) -> np.ndarray:
        """Features (N, D) float32 of pictures, those of several layers side by side."""
        options = self.get_params(deep=False) | {"network": self._loaded()}
        layer = options.pop("layer")
        layers = [layer] if isinstance(layer, str) else list(layer)
        return np.concatenate(
            [*extract_features(pictures=X, layers=layers, **options).values()], axis=1
        )

    def _loaded(self) -> PixelNetwork:
        network = (
            _load_once(self.network) if isinstance(self.network, str) else self.network
        )
        if not isinstance(network, PixelNetwork):
            raise ValueError(
                f"expected a PixelNetwork or the name of one, got {type(network).__name__}; pretrained.wrap makes one "
                "of a module of your own."
            )
        return network

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit, tags.transformer_tags.preserves_dtype = False, ["float32"]
        # Pictures: a list of paths or arrays, or one array of four axes, for which
        # there is no tag.
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True
