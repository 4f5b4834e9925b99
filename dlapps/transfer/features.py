"""Features of pictures from the layers of a frozen network, for any classifier."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeGuard

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from dlapps import pretrained
from dlapps.core.checks import check_counts, check_name
from dlapps.core.images import as_pictures, check_several, scaled_shape, stack_pixels
from dlapps.core.runtime import Bar, autocast, device_of, first_in_float32
from dlapps.pretrained import PixelNetwork

POOLINGS = ("average", "average+max", "pyramid")
# A few pictures at a time are fastest on a CPU, whose caches hold no more.
CPU_BATCH_SIZE = 4
GPU_BATCH_SIZE = 64

# Row numbers of pictures, and their pixels (N, C, H, W).
Batch = tuple[list[int], Tensor]


def pool(maps: Tensor, pooling: str) -> Tensor:
    """Pool feature maps (N, C, H, W) to vectors (N, D); vectors stay as they are.

    pooling: "average" over all positions; "average+max", the average beside the
        maximum; or "pyramid", the average beside the averages of the four quarters (two
        levels of the pyramid of Lazebnik et al. 2006).

    Raises ValueError for another pooling, and for maps of another shape.
    """
    check_name("a pooling", pooling, POOLINGS)
    if not isinstance(maps, Tensor) or maps.ndim not in (2, 4):
        got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        raise ValueError(
            "expected feature maps (N, C, H, W) or vectors (N, D), "
            f"got {got}; choose another layer."
        )
    if maps.ndim == 2:
        return maps
    average = maps.mean((2, 3))
    if pooling == "average+max":
        return torch.cat([average, maps.amax((2, 3))], dim=1)
    if pooling == "pyramid":
        quarters = adaptive_avg_pool2d(maps, 2).flatten(1)
        return torch.cat([average, quarters], dim=1)
    return average


def extract_features(
    network: PixelNetwork,
    pictures: Sequence | Tensor,
    layers: str | Sequence[str],
    pooling: str = "average",
    size: int | None = None,
    keep_aspect: bool = False,
    precision: str = "fast",
) -> dict[str, np.ndarray]:
    """Extract the features of several layers in one pass: float32 (N, D) by layer.

    Pictures are read batch by batch, so that memory holds two batches and the features.
    For a network of grey pixels their channels are averaged.

    pictures: paths, PIL pictures or arrays (H, W) or (H, W, 3), in a list or as one
        array or tensor; or pixels (N, C, H, W) as `images.as_pictures` takes them.
        Pictures are resized, the size of pixels stays as it is.
    layers: a name as `PixelNetwork.layer` takes it, or several.
    pooling: see `pool`.
    size: pictures are resized to size x size, by default the size of the network's
        training pictures.
    keep_aspect: keep the aspect ratio instead, and make `size` the short side.
    precision: see `runtime.autocast`. Features are always float32.

    Raises ValueError for an unknown setting or layer, and for no picture or a single
    one outside a list.
    """
    check_several(pictures)
    check_name("a pooling", pooling, POOLINGS)
    if size is None:
        size = network.input_size
    check_counts(size=size)
    if isinstance(layers, str):
        layers = [layers]
    if not layers:
        raise ValueError("expected at least one layer, got none; name some.")
    if not len(pictures):
        raise ValueError(
            "expected at least one picture, got none; check the selection."
        )
    if _are_pixels(pictures):
        batches = _split_pixels(network, as_pictures(pictures, network.channels))
    else:
        if isinstance(pictures, Tensor):
            pictures = list(pictures.detach().cpu().numpy())
        batches = _read_pictures(network, list(pictures), size, keep_aspect)

    features: dict[str, np.ndarray] = {}
    name = f"features of {network.name}"
    with Bar(None, name, total=len(pictures), unit="picture") as bar:
        for rows, pixels in batches:
            outputs = _run_layers(network, pixels, layers, pooling, precision)
            for layer, vectors in outputs.items():
                if layer not in features:
                    shape = (len(pictures), vectors.shape[1])
                    features[layer] = np.empty(shape, np.float32)
                features[layer][rows] = vectors.cpu()
            bar.update(len(rows))
    return features


@torch.inference_mode()
def _run_layers(
    network: PixelNetwork,
    pixels: Tensor,
    layers: Sequence[str],
    pooling: str,
    precision: str,
) -> dict[str, Tensor]:
    """Run one batch through the network, and return the pooled output of each layer.

    No hook is left, even if the network fails.
    """
    outputs: dict[str, Tensor] = {}

    def store(layer: str, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        if isinstance(output, Tensor):
            output = output.float()
        outputs[layer] = pool(output, pooling)

    device = device_of(network)
    with contextlib.ExitStack() as contexts:
        contexts.enter_context(first_in_float32(network))
        contexts.enter_context(autocast(device, precision))
        for layer in layers:
            hook = functools.partial(store, layer)
            contexts.enter_context(network.layer(layer).register_forward_hook(hook))
        network(pixels.to(device, memory_format=torch.channels_last))
    unused = [layer for layer in layers if layer not in outputs]
    if unused:
        raise ValueError(
            "expected layers that the network runs, "
            f"got {', '.join(unused)}, unused; choose others."
        )
    return {layer: outputs[layer] for layer in layers}


def _are_pixels(pictures: Sequence | Tensor) -> TypeGuard[Tensor | np.ndarray]:
    """Whether these are pixels (N, C, H, W) already, and not pictures."""
    if not isinstance(pictures, (np.ndarray, Tensor)):
        return False
    return pictures.ndim == 4 and pictures.shape[3] != 3


def _batch_size(network: PixelNetwork) -> int:
    return CPU_BATCH_SIZE if device_of(network).type == "cpu" else GPU_BATCH_SIZE


def _split_pixels(network: PixelNetwork, pixels: Tensor) -> Iterator[Batch]:
    for rows in torch.arange(len(pixels)).split(_batch_size(network)):
        yield rows.tolist(), pixels[rows]


def _read_pictures(
    network: PixelNetwork, pictures: Sequence, size: int, keep_aspect: bool
) -> Iterator[Batch]:
    """Read pictures in batches of one shape each.

    The next batch is read while the caller works on the last one.
    """
    rows_by_shape: dict[tuple[int, int], list[int]] = {}
    for row, picture in enumerate(pictures):
        shape = scaled_shape(picture, size) if keep_aspect else (size, size)
        rows_by_shape.setdefault(shape, []).append(row)
    batches = []
    for shape, rows in rows_by_shape.items():
        for start in range(0, len(rows), _batch_size(network)):
            batches.append((shape, rows[start : start + _batch_size(network)]))

    def read(shape: tuple[int, int], rows: list[int]) -> Batch:
        pixels = stack_pixels([pictures[row] for row in rows], shape)
        if network.channels == 1:
            pixels = pixels.mean(1, keepdim=True)
        return rows, pixels

    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = reader.submit(read, *batches[0])
        for shape, rows in batches[1:]:
            batch = upcoming.result()
            upcoming = reader.submit(read, shape, rows)
            yield batch
        yield upcoming.result()


@functools.lru_cache(maxsize=2)
def _load_once(name: str) -> PixelNetwork:
    return pretrained.load(name)


class DeepFeatures(TransformerMixin, BaseEstimator):
    """A frozen network as a scikit-learn transformer of pictures to features.

    network: a name that `pretrained.load` knows, or a `PixelNetwork`, which clones of
        the estimator share.
    layer: a name, or several whose features are put side by side.
    precision: see `runtime.autocast`.

    Features are float32 (N, D), averages over all positions of pictures in the size of
    the network's training pictures; `extract_features` has other ways. Nothing is
    learnt, so features that are extracted once serve any number of classifiers and
    folds:

    >>> features = DeepFeatures("vgg16_features", "pool5").transform(pictures)
    >>> search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1, 10]})
    >>> search.fit(features, labels)

    In a pipeline, `make_pipeline(DeepFeatures("vgg16", ...), classifier,
    memory="folder")` stores the features that it is fitted on, for any later process;
    pictures of test folds go through the network again. Features are found again for
    the same parameters, labels and pictures (arrays by their values, files by their
    paths alone), if the network is given by its name: for a `PixelNetwork` they are
    computed again. Empty the folder if files or a library have changed.
    """

    def __init__(
        self,
        network: PixelNetwork | str,
        layer: str | Sequence[str],
        precision: str = "fast",
    ) -> None:
        self.network = network
        self.layer = layer
        self.precision = precision

    def fit(self, X: Sequence | Tensor, y: object = None) -> DeepFeatures:
        """Learn nothing; `transform` checks the parameters and the pictures."""
        return self

    def transform(self, X: Sequence | Tensor) -> np.ndarray:
        """Return features (N, D) float32, those of several layers side by side."""
        network = self.network
        if isinstance(network, str):
            network = _load_once(network)
        if not isinstance(network, PixelNetwork):
            raise ValueError(
                "expected a PixelNetwork or the name of one, "
                f"got {type(network).__name__}; "
                "pretrained.wrap makes one of a module of your own."
            )
        features = extract_features(
            network,
            X,
            self.layer,
            precision=self.precision,
        )
        return np.concatenate(list(features.values()), axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        # Pictures are a list of paths or arrays, or one array of four axes, for which
        # there is no tag.
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True
