"""What Chapter 2 draws: pictures above their saliency maps, attacked pictures, and a
score card.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlapps.plots.general import (
    COLOURS,
    WIDTH,
    Estimate,
    make_figure,
    plot_grid,
    show_picture,
    styled,
)


@styled
def plot_saliency(
    pictures: Sequence[np.ndarray] | Tensor,
    maps: Mapping[str, np.ndarray | Tensor],
    titles: Sequence[str],
) -> Figure:
    """One column a picture, one row a method below it.

    pictures: uint8 (H, W, 3), or (H, W) of grey ones, or pixels (N, C, H, W) in [0, 1];
    maps: (N, H, W) by method, arrays or tensors, or pixels, which are shown as they
    are; titles: one a picture. A map is bright where it is high, up to its 99th
    percentile; one with values below 0 is red where it is positive, blue where it is
    negative and white at 0, up to the 99th percentile of the absolute values.
    """
    columns = len(pictures)
    cell = WIDTH / (max(columns, 6) + 0.12)
    figure, axes = make_figure(cell * (1.02 * len(maps) + 1.22), 1 + len(maps), columns)
    for ax, picture, title in zip(axes[0], pictures, titles, strict=True):
        show_picture(ax, picture)
        ax.set_title(title, fontsize=7)
    for row, (method, values) in zip(axes[1:], maps.items(), strict=True):
        for ax, image in zip(row, map(np.asarray, values), strict=True):
            if image.ndim == 3:
                ax.imshow(image.transpose(1, 2, 0))
            else:
                most, signed = (
                    max(np.percentile(np.abs(image), 99), 1e-12),
                    image.min() < 0,
                )
                colours, least = ("RdBu_r", -most) if signed else ("inferno", 0)
                ax.imshow(image, cmap=colours, vmin=least, vmax=most)
            ax.set(xticks=(), yticks=())
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(method, fontsize=7)
    return figure


@styled
def plot_changes(clean: Tensor, changed: Tensor, titles: Sequence[str]) -> Figure:
    """One row an image: clean, changed, and 40 times the change on grey; both (N, 3, H,
    W) in [0, 1], a title a row.
    """
    tiles = torch.stack(
        [clean, changed, (0.5 + 40 * (changed - clean)).clamp(0, 1)], 1
    ).flatten(0, 1)
    return plot_grid(
        tiles,
        [words for title in titles for words in (title, "changed", "change × 40")],
        columns=3,
    )


@styled
def plot_score_card(
    measures: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    chances: Sequence[float],
) -> Figure:
    """One panel a measure, one row a method, one colour each of two networks at most:
    {measure: {network: {method: a share with the ends of its interval}}}; dashed: what
    a measure has by chance.
    """
    methods = [*next(iter(next(iter(measures.values())).values()))]
    figure, axes = make_figure(0.6 + 0.22 * len(methods), 1, len(measures), sharey=True)
    for ax, (measure, networks), chance in zip(
        axes[0], measures.items(), chances, strict=True
    ):
        for place, (network, shares) in enumerate(networks.items()):
            means, *ends = np.array([shares[method] for method in methods]).T
            reach = np.abs(np.clip(ends, 0, 1) - means)
            rows = np.arange(len(methods))[::-1] + 0.15 - 0.3 * place
            ax.errorbar(
                means,
                rows,
                xerr=reach,
                fmt="os"[place],
                capsize=2,
                color=COLOURS[place],
                label=network,
            )
        ax.axvline(chance, color=COLOURS[6], linestyle="--", linewidth=0.8)
        ax.set(xlabel=measure, ylim=(-0.5, len(methods) - 0.5))
        ax.set_yticks(range(len(methods)), methods[::-1])
        ax.grid(axis="y", visible=False)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2
    )
    return figure
