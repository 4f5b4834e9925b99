"""Figures of Chapter 3: domains, the parts of DANN, accuracies and confusions."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.plots import (
    COLOURS,
    MARKERS,
    WIDTH,
    make_figure,
    show_picture,
    styled,
)
from plots.diagrams import Block, plot_diagram

# Of what has no legend: a series that is alone in its panel.
GREY = "#555555"
# The assignment's colours of feature extractor, label predictor, domain classifier.
GREEN = "#CFE8CF"
BLUE = "#CFE0F5"
PINK = "#F6D3E4"


@styled
def plot_rows(rows: Mapping[str, Sequence[np.ndarray] | Tensor]) -> Figure:
    """Plot rows of pictures, each with its name, as many in each row.

    A picture is an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1].
    """
    columns = max(map(len, rows.values()))
    cell = WIDTH / (columns + 1.2)
    figure, axes = make_figure(len(rows) * cell, len(rows), columns)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        first = row[0]
        first.text(-0.15, 0.5, name, ha="right", va="center", transform=first.transAxes)
        for ax, picture in zip(row, pictures, strict=True):
            show_picture(ax, picture)
    return figure


def plot_parts() -> Figure:
    """Plot the three parts of a domain-adversarial network.

    A block stands where the gradient of the domain loss is reversed.
    """
    extractor_text = "feature extractor $G_f$\n2 × (conv 5 × 5, pool,\nReLU)"
    pixels = Block(0.3, 0, 0.5, 0.5, "pixels", "source\nand target")
    extractor = Block(1.5, 0, 1.4, 0.62, extractor_text, "", GREEN, pixels)
    features = Block(2.75, 0, 0.6, 0.5, "2,352\nfeatures", after=extractor)

    predictor_text = "label predictor $G_y$\n100–100–10"
    source_only = "of the source alone"
    labels = Block(4.55, 0.45, 1.3, 0.5, predictor_text, source_only, BLUE, features)
    label_loss = Block(5.55, 0.45, 0.4, 0.4, "$L_y$", after=labels)

    factor = "gradient × $-\\lambda$"
    classifier_text = "domain\nclassifier $G_d$"
    reversal = Block(3.55, -0.45, 0.6, 0.5, "reversal", factor, after=features)
    domains = Block(4.55, -0.45, 1.0, 0.5, classifier_text, "100–1", PINK, reversal)
    domain_loss = Block(5.55, -0.45, 0.4, 0.4, "$L_d$", after=domains)

    trunk = [pixels, extractor, features]
    branches = [labels, label_loss, reversal, domains, domain_loss]
    return plot_diagram(trunk + branches)


@styled
def plot_embeddings(
    embeddings: Mapping[str, ArrayLike], labels: ArrayLike, domains: ArrayLike
) -> Figure:
    """Plot embeddings (N, 2): the source in grey, the target in a colour a class.

    Each network has a panel. A class is named, in its colour, where the source has it.

    embeddings: by the name of the network.
    labels: int (N,).
    domains: int (N,), 0 for the source.
    """
    labels = np.asarray(labels)
    domains = np.asarray(domains)
    figure, axes = make_figure(0.8 * WIDTH / len(embeddings), 1, len(embeddings))
    for ax, (name, embedding) in zip(axes[0], embeddings.items(), strict=True):
        points = np.asarray(embedding)
        is_source = domains == 0
        x, y = points[is_source].T
        ax.scatter(x, y, s=5, linewidths=0, color="#CCCCCC", rasterized=True)
        _scatter_classes(ax, points[~is_source], labels[~is_source])
        _mark_centres(ax, points[is_source], labels[is_source])
        ax.set(title=name, xticks=[], yticks=[])
    return figure


def _scatter_classes(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw the points of each of ten classes in a colour of its own."""
    for label in np.unique(labels):
        x, y = points[labels == label].T
        ax.scatter(x, y, s=5, linewidths=0, color=_class_colour(label), rasterized=True)


def _class_colour(label: int) -> tuple[float, ...]:
    """Return the colour of one of ten classes."""
    return mpl.colormaps["turbo"](label % 10 / 9)


def _mark_centres(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Write each label at the median of its points."""
    halo = [withStroke(linewidth=2.2, foreground="white")]
    for label in np.unique(labels):
        x, y = np.median(points[labels == label], axis=0)
        ax.text(
            x,
            y,
            str(label),
            size=10,
            weight="bold",
            color=_class_colour(label),
            ha="center",
            va="center",
            path_effects=halo,
        )


@styled
def plot_sweep(
    panels: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
) -> Figure:
    """Plot a panel for each measure, with a row for each setting.

    Every seed is a point, the mean of a series a bar. A panel with several series has a
    legend above it; a series that is alone is grey.

    panels: {x label: {series: {setting: one value for each seed}}}.
    """
    first = next(iter(panels.values()))
    settings = list(next(iter(first.values())))
    figure, axes = make_figure(0.8 + 0.19 * len(settings), 1, len(panels), sharey=True)
    for ax, (measure, series) in zip(axes[0], panels.items(), strict=True):
        height = 0.35 / len(series)
        for index, (name, trained) in enumerate(series.items()):
            colour = COLOURS[index] if len(series) > 1 else GREY
            offset = 0.3 * (index - (len(series) - 1) / 2)  # no series hides another
            for place, values in enumerate(trained.values()):
                row = place + offset
                ax.plot(
                    values,
                    np.full(len(values), row),
                    linestyle="",
                    marker=MARKERS[index],
                    color=colour,
                    alpha=0.6,
                    label=name if place == 0 else None,
                )
                mean = np.mean(values)
                ax.vlines(mean, row - height, row + height, color=colour, linewidth=1.2)
        if len(series) > 1:
            ax.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, columnspacing=1
            )
        ax.set_xlabel(measure)
        ax.set_yticks(range(len(settings)), settings)
    axes[0, 0].invert_yaxis()
    return figure


@styled
def plot_confusions(matrices: Mapping[str, ArrayLike]) -> Figure:
    """Plot confusion matrices (K, K) side by side.

    Rows are true classes, each divided by its number of images.
    """
    figure, axes = make_figure(2.3, 1, len(matrices))
    for ax, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        counts = np.asarray(matrix, float)
        totals = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(totals, 1)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        _write_shares(ax, shares)
        ax.set_title(name)
        ax.set_xlabel("predicted")
        ax.set_ylabel("label")
        ax.set_xticks(range(len(shares)))
        ax.set_yticks(range(len(shares)))
        ax.grid(visible=False)
    return figure


def _write_shares(ax: Axes, shares: np.ndarray) -> None:
    """Write the shares from 5 per cent on into their squares."""
    for (row, column), share in np.ndenumerate(shares):
        if share < 0.05:
            continue
        ax.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > 0.6 else "black",
        )
