"""What the layers of a frozen network say of pictures, as features for any classifier."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from tqdm.auto import tqdm

from dlapps.images import check_pixels, scaled_shape, stack_pixels
from dlapps.pretrained import PixelNetwork
from dlapps.runtime import autocast

POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "average": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
    "average+max": lambda maps: torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1),
    "pyramid": lambda maps: torch.cat([maps.mean((2, 3)), adaptive_avg_pool2d(maps, 2).flatten(1)], dim=1),
    "flatten": lambda maps: maps.flatten(1),
}


def pool(maps: Tensor, pooling: str) -> Tensor:
    """Feature maps (N, C, H, W) to vectors (N, D).

    average or max over all positions; both side by side; the average beside those of the four quarters (two levels of
    the pyramid of Lazebnik et al. 2006); or every position for itself (flatten).

    What is a vector already (N, D) passes. Raises ValueError for an unknown pooling.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"expected a pooling among {', '.join(POOLINGS)}, got {pooling!r}; choose one of them.")
    return maps if maps.ndim == 2 else POOLINGS[pooling](maps)


def extract_features(
    network: PixelNetwork,
    pictures: Sequence | Tensor,
    layers: Sequence[str],
    pooling: str = "average",
    size: int | None = None,
    keep_aspect: bool = False,
    flip: bool = False,
    batch_size: int = 4,
    precision: str = "fast",
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """Features of several layers in one pass: for each layer float32 (N, D).

    pictures: paths, arrays or PIL pictures, or pixels (N, 3, H, W) in [0, 1], which are taken as they are. Pictures are
    resized to size x size (default: the network's), or with keep_aspect so that the short side is `size`. They are read
    batch by batch: memory holds two batches and the features. flip: mean over the picture and its mirror image.
    batch_size: a few pictures are fastest on a CPU, whose caches hold no more; take 64 on a GPU. precision: see
    `runtime.autocast`; features are float32 whatever it is.
    """
    pool(torch.zeros(1, 1, 1, 1), pooling)
    features: dict[str, np.ndarray] = {}
    with tqdm(total=len(pictures), desc=f"features of {network.name}", unit="picture", disable=not progress) as bar:
        for rows, pixels in _batches(pictures, size or network.input_size, keep_aspect, batch_size):
            views = (pixels, pixels.flip(3)) if flip else (pixels,)
            pooled = [_layer_outputs(network, view, layers, pooling, precision) for view in views]
            for layer in layers:
                block = torch.stack([view[layer] for view in pooled]).mean(0).cpu().numpy()
                features.setdefault(layer, np.empty((len(pictures), block.shape[1]), np.float32))[rows] = block
            bar.update(len(rows))
    if not features:
        raise ValueError("expected at least one picture and one layer, got none; check the selection.")
    return features


@torch.inference_mode()
def _layer_outputs(
    network: PixelNetwork, pixels: Tensor, layers: Iterable[str], pooling: str, precision: str
) -> dict[str, Tensor]:
    """Pooled outputs of the layers for one batch; hooks go even when the network fails."""
    outputs: dict[str, Tensor] = {}
    device = next(network.parameters()).device
    with contextlib.ExitStack() as hooks, autocast(device, precision):
        for layer in layers:

            def keep(_module: nn.Module, _inputs: tuple, output: Tensor, layer: str = layer) -> None:
                outputs[layer] = pool(output.float(), pooling)

            hooks.enter_context(network.layer(layer).register_forward_hook(keep))
        network(pixels.to(device, memory_format=torch.channels_last))
    return outputs


def _batches(
    pictures: Sequence | Tensor, size: int, keep_aspect: bool, batch_size: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and their pixels; the next batch is decoded while the caller works on the last one."""
    if isinstance(pictures, Tensor):
        check_pixels(pictures)
        rows = torch.arange(len(pictures)).split(batch_size)
        yield from ((batch.tolist(), pictures[batch]) for batch in rows)
        return
    shapes: dict[tuple[int, int], list[int]] = {}
    for row, picture in enumerate(pictures):
        shapes.setdefault(scaled_shape(picture, size) if keep_aspect else (size, size), []).append(row)
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
            upcoming += [read(*batch) for batch in batches[index + 1 : index + 2]]
            yield rows, pixels


class DeepFeatures(TransformerMixin, BaseEstimator):
    """A frozen network as a scikit-learn transformer: pictures in, features (N, D) float32 out.

    network: a `PixelNetwork`. layer: a name, or several whose features are put side by side. The other parameters are
    those of `extract_features`. To fit many classifiers on the same features, give the pipeline a `memory`.

    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import Normalizer
    >>> from sklearn.svm import LinearSVC
    >>> classifier = make_pipeline(DeepFeatures(load("vgg16_features"), "pool5"), Normalizer(), LinearSVC())
    """

    def __init__(
        self,
        network: PixelNetwork,
        layer: str | Sequence[str],
        pooling: str = "average",
        size: int | None = None,
        keep_aspect: bool = False,
        flip: bool = False,
        batch_size: int = 4,
        precision: str = "fast",
    ) -> None:
        self.network, self.layer, self.pooling = network, layer, pooling
        self.size, self.keep_aspect, self.flip = size, keep_aspect, flip
        self.batch_size, self.precision = batch_size, precision

    def _layers(self) -> list[str]:
        return [self.layer] if isinstance(self.layer, str) else list(self.layer)

    def fit(self, pictures: Sequence | Tensor, labels: object = None) -> DeepFeatures:
        """Nothing is learnt; an unknown layer or pooling is refused now, not after an hour."""
        for layer in self._layers():
            self.network.layer(layer)
        pool(torch.zeros(1, 1, 1, 1), self.pooling)
        return self

    def transform(self, pictures: Sequence | Tensor) -> np.ndarray:
        """Features (N, D) float32 of pictures, those of several layers side by side."""
        options = self.get_params(deep=False)
        del options["layer"]
        features = extract_features(pictures=pictures, layers=self._layers(), **options)
        return np.concatenate([features[layer] for layer in self._layers()], axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True
