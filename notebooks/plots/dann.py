"""Figures of Chapter 3: domains, the parts of DANN, accuracies, witnesses."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from dlapps import dann, runtime
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


def draw_rows_of_grounds(digits: Tensor) -> dict[str, Tensor]:
    """Lay digits (N, 3, 28, 28) on the grounds of the ladder, by their names."""
    generator = runtime.make_generator(6)
    # Four times as many grounds as digits, so that strokes show others.
    total = 4 * len(digits)
    moved = dann.random_affine(digits[:, :1], generator, padding="zeros")
    strokes = dann.random_strokes(moved, generator)
    grey = 0.15 + 0.7 * torch.rand(total, 1, 1, 1, generator=generator)
    tint = 0.4 * torch.rand(total, 3, 1, 1, generator=generator) - 0.2
    colours = (grey + tint).expand(-1, -1, 28, 28)
    noise = torch.randn(colours.shape, generator=generator)
    contrast = 0.12 + 0.2 * torch.rand(total, 1, 1, 1, generator=generator)
    speckle = contrast * (0.9 * noise[:, :1].roll(1, 0) + 0.4 * noise)
    kinds = {"flat colours": colours, "white noise": colours + speckle}
    kinds["textures"] = dann.random_textures(total, (28, 28), generator)
    laid = {}
    for name, kind in kinds.items():
        grounds = kind.clamp(0, 1)
        below = grounds[2 * len(digits) : 3 * len(digits)]
        laid[name] = below.lerp(grounds[: len(digits)], strokes)
    return laid


@styled
def plot_ladder(
    rows: Mapping[str, tuple[Tensor, Sequence[float]]],
    references: Mapping[str, float],
    label: str,
) -> Figure:
    """Plot pictures, and beside each row what was measured with them.

    rows: {name: (pixels (N, C, H, W), one value for each seed)}.
    references: values that a line marks, by name.
    """
    columns = 5
    cell = 0.52
    gap = 0.05
    height = len(rows) * (cell + gap)
    total = height + 0.68
    figure = Figure(figsize=(WIDTH, total))
    left = 0.92
    bottom = 0.42
    width = WIDTH - left - columns * (cell + gap) - 0.25
    values_ax = figure.add_axes(
        (1 - width / WIDTH - 0.02, bottom / total, width / WIDTH, height / total)
    )
    for row, (name, (pictures, values)) in enumerate(rows.items()):
        low = bottom + height - (row + 1) * (cell + gap) + gap / 2
        middle = (low + cell / 2) / total
        figure.text((left - 0.08) / WIDTH, middle, name, ha="right", va="center")
        for column in range(columns):
            place = (left + column * (cell + gap)) / WIDTH
            ax = figure.add_axes((place, low / total, cell / WIDTH, cell / total))
            show_picture(ax, pictures[column])
        mean = float(np.mean(values))
        values_ax.plot(
            values,
            np.full(len(values), row),
            linestyle="",
            marker="o",
            color=COLOURS[0],
            alpha=0.55,
        )
        values_ax.text(
            min(values) - 2.5,
            row,
            f"{mean:.0f}",
            ha="right",
            va="center",
            size=11,
            weight="bold",
            color=COLOURS[0],
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    sides = ("right", "left")
    for index, (name, value) in enumerate(references.items()):
        values_ax.axvline(value, color=COLOURS[1], linewidth=1, linestyle="--")
        values_ax.text(
            value + 2.5 * index - 1,
            -0.6,
            name,
            ha=sides[index % 2],
            va="bottom",
            size=7.5,
            color=COLOURS[1],
        )
    values_ax.set(xlim=(36, 100), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    values_ax.set_xlabel(label)
    return figure


@styled
def plot_against(
    groups: Mapping[str, tuple[ArrayLike, ArrayLike]],
    names: Mapping[str, tuple[float, float, str]],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Plot groups of points, with a legend, and names at places.

    groups: {name: (x, y)}.
    names: {text: (x, y, horizontal alignment)}.
    """
    figure, axes = make_figure(2.9)
    ax = axes[0, 0]
    for index, (name, (x, y)) in enumerate(groups.items()):
        ax.plot(
            x,
            y,
            linestyle="",
            marker=MARKERS[index],
            markersize=4.5,
            alpha=0.65,
            color=COLOURS[index],
            label=name,
        )
    for text, (x, y, side) in names.items():
        ax.text(x, y, text, ha=side, va="center", size=7.5)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="lower left")
    return figure


@styled
def plot_sweep(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Plot a panel for each measure, with a row for each setting.

    Every seed is a point, their mean a bar.

    panels: {x label: {setting: one value for each seed}}.
    """
    settings = list(next(iter(panels.values())))
    figure, axes = make_figure(0.8 + 0.19 * len(settings), 1, len(panels), sharey=True)
    for ax, (measure, trained) in zip(axes[0], panels.items(), strict=True):
        for row, values in enumerate(trained.values()):
            rows = np.full(len(values), row)
            ax.plot(values, rows, linestyle="", marker="o", color=GREY, alpha=0.6)
            mean = np.mean(values)
            ax.vlines(mean, row - 0.35, row + 0.35, color=GREY, linewidth=1.2)
        ax.set_xlabel(measure)
        ax.set_yticks(range(len(settings)), settings)
    axes[0, 0].invert_yaxis()
    return figure


@styled
def plot_stages(
    stages: Sequence[str],
    told: Mapping[str, Sequence[float]],
    projected: Mapping[str, float],
    own: tuple[str, float],
) -> Figure:
    """Plot what a new classifier tells at each stage of networks, in per cent.

    told: {network: a share for each stage}.
    projected: {network: the share by random projections}, beside the last stage.
    own: the name and the value of a mark at the second stage.
    """
    figure, axes = make_figure(2.8)
    ax = axes[0, 0]
    places = np.arange(len(stages))
    last = places[-1]
    for index, (name, shares) in enumerate(told.items()):
        percent = 100 * np.asarray(shares)
        colour = COLOURS[index]
        ax.plot(
            places,
            percent,
            marker=MARKERS[index],
            markersize=5,
            color=colour,
            label=name,
        )
        value = 100 * projected[name]
        ax.plot(
            last + 0.5,
            value,
            linestyle="",
            marker=MARKERS[index],
            markersize=6,
            markerfacecolor="white",
            color=colour,
        )
    name, value = own
    ax.plot(1, 100 * value, marker="*", markersize=11, color="black", linestyle="")
    ax.text(0.92, 100 * value, name, va="center", ha="right")
    ax.axhline(50, color="#888888", linewidth=0.8, linestyle=":")
    ax.text(-0.1, 51, "a guess", color="#666666", size=7.5)
    ax.axvline(last + 0.25, color="#CCCCCC", linewidth=0.8)
    ax.set_xticks([*places, last + 0.5], [*stages, "ten random\nprojections"])
    ax.set_xlim(-0.15, last + 0.75)
    ax.set_ylim(46, 103)
    ax.set_ylabel("domains told (%)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 0.1))
    return figure
