"""What Chapter 3 draws: how images are made, DANN's parts, two domains, weights,
accuracies, confusions.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps.plots.diagrams import Block, plot_diagram
from dlapps.plots.general import (
    COLOURS,
    WIDTH,
    line_style,
    make_figure,
    show_picture,
    styled,
)

# The assignment's: feature extractor, label predictor, domain classifier.
GREEN, BLUE, PINK = "#CFE8CF", "#CFE0F5", "#F6D3E4"


@styled
def plot_rows(rows: Mapping[str, Sequence[np.ndarray] | Tensor]) -> Figure:
    """Rows of pictures by name, as many in each: arrays (H, W) or (H, W, 3), or pixels
    (C, H, W) in [0, 1].
    """
    columns = max(map(len, rows.values()))
    figure, axes = make_figure(len(rows) * WIDTH / (columns + 1.2), len(rows), columns)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(row, pictures, strict=True):
            show_picture(ax, picture)
        row[0].text(
            -0.15, 0.5, name, ha="right", va="center", transform=row[0].transAxes
        )
    return figure


def plot_parts() -> Figure:
    """The three parts of a domain-adversarial network, and where the gradient of the
    domain loss is reversed.
    """
    blocks = {
        "pixels": Block(0.3, 0, 0.5, 0.5, "pixels", "source\nand target"),
        "extractor": Block(
            1.5,
            0,
            1.4,
            0.62,
            "feature extractor $G_f$\n2 × (conv 5 × 5, pool,\nReLU)",
            "",
            GREEN,
        ),
        "features": Block(2.75, 0, 0.6, 0.5, "2,352\nfeatures"),
        "labels": Block(
            4.55,
            0.45,
            1.3,
            0.5,
            "label predictor $G_y$\n100–100–10",
            "of the source alone",
            BLUE,
        ),
        "reversal": Block(3.55, -0.45, 0.6, 0.5, "reversal", "gradient × $-\\lambda$"),
        "domains": Block(
            4.55, -0.45, 1.0, 0.5, "domain\nclassifier $G_d$", "100–1", PINK
        ),
        "class": Block(5.55, 0.45, 0.4, 0.4, "$L_y$"),
        "domain": Block(5.55, -0.45, 0.4, 0.4, "$L_d$"),
    }
    chain = [
        ("pixels", "extractor"),
        ("extractor", "features"),
        ("features", "labels"),
        ("features", "reversal"),
    ]
    ends = [("reversal", "domains"), ("labels", "class"), ("domains", "domain")]
    return plot_diagram(blocks, chain + ends)


@styled
def plot_embeddings(
    embeddings: Mapping[str, ArrayLike], labels: ArrayLike, domains: ArrayLike
) -> Figure:
    """Embeddings (N, 2), a column a network: by class above, by domain below.

    labels, domains: int (N,), domain 0 the source.
    """
    figure, axes = make_figure(WIDTH / len(embeddings), 2, len(embeddings))
    for column, (name, points) in enumerate(embeddings.items()):
        _scatter_classes(axes[0, column], points, labels, domains)
        _scatter_domains(axes[1, column], points, domains)
        axes[0, column].set_title(name)
    handles, names = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, markerscale=2)
    return figure


def _scatter_classes(
    ax: Axes, points: ArrayLike, labels: ArrayLike, domains: ArrayLike
) -> None:
    """A colour for each digit, and the digit itself at the median of its points of the
    source.
    """
    points, labels, source = (
        np.asarray(points),
        np.asarray(labels),
        np.asarray(domains) == 0,
    )
    colours = ScalarMappable(cmap="turbo").to_rgba(np.arange(10), norm=True)
    halo = [withStroke(linewidth=1.8, foreground="white")]
    for label in np.unique(labels):
        x, y = points[labels == label].T
        ax.scatter(x, y, s=4, linewidths=0, color=colours[label % 10], rasterized=True)
        if (known := (labels == label) & source).any():
            x, y = np.median(points[known], 0)
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
    ax.set(xticks=(), yticks=())


def _scatter_domains(ax: Axes, points: ArrayLike, domains: ArrayLike) -> None:
    """Circles for the source, triangles for the target."""
    points, domains = np.asarray(points), np.asarray(domains)
    for domain, (name, marker) in enumerate((("source", "o"), ("target", "^"))):
        x, y = points[domains == domain].T
        dots = ax.scatter(
            x, y, s=4, marker=marker, linewidths=0, color=COLOURS[domain], label=name
        )
        dots.set(alpha=0.6, rasterized=True)
    ax.set(xticks=(), yticks=())


@styled
def plot_sweep(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """One panel a measure, one row a setting: every seed a point, their mean a bar; in
    per cent.

    panels: measure -> setting -> one value a seed.
    """
    figure, axes = make_figure(
        0.5 + 0.165 * max(map(len, panels.values())), 1, len(panels), sharey=True
    )
    for index, (ax, (measure, settings)) in enumerate(
        zip(axes[0], panels.items(), strict=True)
    ):
        for place, values in enumerate(settings.values()):
            ax.plot(
                values,
                [place] * len(values),
                linestyle="",
                alpha=0.6,
                **line_style(index),
            )
            ax.vlines(
                np.mean(values),
                place - 0.35,
                place + 0.35,
                color=COLOURS[6],
                linewidth=1.2,
            )
        ax.set_xlabel(f"{measure.replace('_', ' ')} (%)")
        ax.set(yticks=range(len(settings)), yticklabels=list(settings))
    axes[0, 0].invert_yaxis()
    return figure


@styled
def plot_trainings(
    runs: Mapping[str, Mapping[str, Sequence[float]]], zoom: tuple[float, float]
) -> Figure:
    """Accuracies in per cent, a row a run and a colour a network, every training a dot:
    all, and the upper end beside.

    runs: network -> row -> one value a seed. zoom: the ends of the right panel.
    """
    rows = list(dict.fromkeys(row for found in runs.values() for row in found))
    figure, axes = make_figure(0.75 + 0.2 * len(rows), 1, 2, sharey=True)
    for index, (network, found) in enumerate(runs.items()):
        for row, values in found.items():
            place = rows.index(row) + 0.3 * (index - (len(runs) - 1) / 2)
            for ax in axes[0]:
                ax.plot(
                    values,
                    [place] * len(values),
                    linestyle="",
                    alpha=0.7,
                    label=network,
                    **line_style(index),
                )
    for ax in axes[0]:
        ax.set(xlabel="target accuracy (%)", ylim=(len(rows) - 0.5, -0.5))
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(rows)), rows)
    axes[0, 1].set(xlim=zoom)
    handles, names = axes[0, 0].get_legend_handles_labels()
    shown = dict(zip(names, handles, strict=True))
    figure.legend(shown.values(), shown, loc="outside upper center", ncols=len(shown))
    return figure


@styled
def plot_confusions(matrices: Mapping[str, ArrayLike]) -> Figure:
    """Confusion matrices (K, K) side by side: rows are true classes, each divided by
    its number of images.
    """
    figure, axes = make_figure(2.3, 1, len(matrices))
    for ax, (name, matrix) in zip(axes[0], matrices.items(), strict=True):
        counts = np.asarray(matrix, float)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.05:
                colour = "white" if share > 0.6 else "black"
                ax.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=colour,
                )
        ax.set(
            title=name,
            xlabel="predicted",
            ylabel="label",
            xticks=range(len(shares)),
            yticks=range(len(shares)),
        )
        ax.grid(visible=False)
    return figure
