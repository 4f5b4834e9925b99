"""What Chapter 4 draws: mosaics, how a training went, how samples compare with real images."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dlapps.gan.toy import CENTRES
from dlapps.plots.general import COLOURS, WIDTH, make_figure, styled


@styled
def plot_mosaic(
    images: ArrayLike, row_titles: Sequence[str] = (), column_titles: Sequence[str] = (), share: float = 1.0
) -> Figure:
    """Images edge to edge, a hair apart, with titles beside rows and above columns where given.

    images: (R, C, S, S), or (R, C, S, S, 3) in colour, uint8 or in [0, 1]. share: how much of the text's width the
    mosaic takes. Raises ValueError for another shape.
    """
    levels = np.asarray(images)
    if levels.shape[4:] not in ((), (3,)) or levels.ndim < 4:
        raise ValueError(
            f"expected images (R, C, S, S) or (R, C, S, S, 3), got {levels.shape}; gan.to_uint8 makes them of samples."
        )
    rows, columns, height, width = levels.shape[:4]
    white = np.iinfo(np.uint8).max if levels.dtype == np.uint8 else 1
    border = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)][: levels.ndim]
    padded = np.pad(levels, border, constant_values=white)
    height, width = height + 2, width + 2
    mosaic = padded.swapaxes(1, 2).reshape(rows * height, columns * width, *levels.shape[4:])
    mosaic_height = share * WIDTH * mosaic.shape[0] / mosaic.shape[1]
    figure, axes = make_figure(mosaic_height + 0.2 * bool(column_titles))
    ax = axes[0, 0]
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.set_xticks((np.arange(len(column_titles)) + 0.5) * width - 0.5, column_titles)
    ax.set_yticks((np.arange(len(row_titles)) + 0.5) * height - 0.5, row_titles)
    return figure


@styled
def plot_points(clouds: Mapping[str, ArrayLike]) -> Figure:
    """Panels side by side of generated points (N, 2) around the centres of the eight Gaussians, titled by name."""
    figure, axes = make_figure(1.2, 1, len(clouds))
    for ax, (name, points) in zip(axes[0], clouds.items(), strict=True):
        ax.scatter(*CENTRES.T, s=60, color="0.85")
        ax.scatter(*np.asarray(points, float).T, s=0.5, color=COLOURS[0])
        ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal", xticks=[], yticks=[])
        ax.set_title(name.replace(", ", ",\n"))
    return figure


@styled
def plot_training(batches: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Panels side by side over the same batches, {y label: {name: series}}."""
    figure, axes = make_figure(2.1, 1, len(panels))
    for ax, (ylabel, series) in zip(axes[0], panels.items(), strict=True):
        for index, (name, values) in enumerate(series.items()):
            colour, style = COLOURS[index], ("-", "--", ":")[index]
            ax.plot(batches, values, label=name, color=colour, linestyle=style, linewidth=1)
        ax.set(xlabel="batches", ylabel=ylabel)
        ax.legend()
    return figure
