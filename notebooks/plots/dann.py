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
    """Plot embeddings (N, 2), coloured by class above and by domain below.

    Each network has a column.

    embeddings: by the name of the network.
    labels: int (N,).
    domains: int (N,), 0 for the source.
    """
    labels = np.asarray(labels)
    domains = np.asarray(domains)
    figure, axes = make_figure(WIDTH / len(embeddings), 2, len(embeddings))
    for (above, below), name in zip(axes.T, embeddings, strict=True):
        points = np.asarray(embeddings[name])
        above.set_title(name)
        _scatter_classes(above, points, labels)
        _mark_centres(above, points[domains == 0], labels[domains == 0])
        _scatter_domains(below, points, domains)
    handles, names = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, markerscale=2)
    return figure


def _scatter_classes(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw the points of each of ten classes in a colour of its own."""
    colours = mpl.colormaps["turbo"](np.linspace(0, 1, 10))
    for label in np.unique(labels):
        x, y = points[labels == label].T
        ax.scatter(x, y, s=4, linewidths=0, color=colours[label % 10], rasterized=True)
    ax.set(xticks=[], yticks=[])


def _mark_centres(ax: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Write each label at the median of its points."""
    halo = [withStroke(linewidth=1.8, foreground="white")]
    for label in np.unique(labels):
        x, y = np.median(points[labels == label], axis=0)
        ax.text(
            x,
            y,
            str(label),
            size=9,
            weight="bold",
            ha="center",
            va="center",
            path_effects=halo,
        )


def _scatter_domains(ax: Axes, points: np.ndarray, domains: np.ndarray) -> None:
    """Draw the source as circles, the target as triangles."""
    for domain, (name, marker) in enumerate([("source", "o"), ("target", "^")]):
        x, y = points[domains == domain].T
        ax.scatter(
            x,
            y,
            s=4,
            marker=marker,
            linewidths=0,
            color=COLOURS[domain],
            alpha=0.6,
            rasterized=True,
            label=name,
        )
    ax.set(xticks=[], yticks=[])


@styled
def plot_sweep(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Plot one panel for each measure, with a row for each setting.

    Every seed is a point, their mean a bar.

    panels: {measure: {setting: one value in per cent for each seed}}.
    """
    num_rows = max(map(len, panels.values()))
    figure, axes = make_figure(0.5 + 0.165 * num_rows, 1, len(panels), sharey=True)
    for index, (ax, measure) in enumerate(zip(axes[0], panels, strict=True)):
        settings = panels[measure]
        for row, values in enumerate(settings.values()):
            ax.plot(
                values,
                np.full(len(values), row),
                linestyle="",
                marker=MARKERS[index],
                color=COLOURS[index],
                alpha=0.6,
            )
            mean = np.mean(values)
            ax.vlines(mean, row - 0.35, row + 0.35, color="black", linewidth=1.2)
        ax.set_xlabel(f"{measure.replace('_', ' ')} (%)")
        ax.set_yticks(range(len(settings)), list(settings))
    axes[0, 0].invert_yaxis()
    return figure


@styled
def plot_trainings(
    runs: Mapping[str, Mapping[str, Sequence[float]]], zoom: tuple[float, float]
) -> Figure:
    """Plot accuracies, with a row for each kind of run and a colour for each network.

    Every training is a dot. The right panel enlarges the upper end.

    runs: {network: {kind: one accuracy in per cent for each seed}}.
    zoom: the ends of the right panel.
    """
    kinds = list(dict.fromkeys(kind for trained in runs.values() for kind in trained))
    figure, axes = make_figure(0.75 + 0.2 * len(kinds), 1, 2, sharey=True)
    whole, enlarged = axes[0]
    for index, (network, trained) in enumerate(runs.items()):
        offset = 0.3 * (index - (len(runs) - 1) / 2)
        x: list[float] = []
        y: list[float] = []
        for kind, accuracies in trained.items():
            x += list(accuracies)
            y += [kinds.index(kind) + offset] * len(accuracies)
        for ax in (whole, enlarged):
            ax.plot(
                x,
                y,
                linestyle="",
                marker=MARKERS[index],
                color=COLOURS[index],
                alpha=0.7,
                label=network,
            )
    for ax in (whole, enlarged):
        ax.set_xlabel("target accuracy (%)")
        ax.tick_params(axis="y", length=0)
    whole.set_ylim(len(kinds) - 0.5, -0.5)
    whole.set_yticks(range(len(kinds)), kinds)
    enlarged.set_xlim(zoom)
    handles, names = whole.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
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
