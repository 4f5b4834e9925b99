"""Figures of Chapter 3: domains, the parts of DANN, accuracies."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dlapps import dann, runtime
from dlapps.plots import COLOURS, WIDTH, make_figure, styled
from plots.diagrams import Block, plot_diagram
from plots.pictures import draw_row
from plots.points import GREY, draw_points, name_rows

# The assignment's colours of feature extractor, label predictor, domain classifier.
GREEN = "#CFE8CF"
BLUE = "#CFE0F5"
PINK = "#F6D3E4"
# What a colour means in all figures of the chapter, and in those of `plot_curves` by
# the order of its curves; anything else is grey.
HUES = {"DANN": COLOURS[0], "plain": COLOURS[1], "the target's labels": COLOURS[3]}
GROUNDS = ("flat colours", "white noise", "textures")
HUES |= dict.fromkeys(GROUNDS, COLOURS[2])


@styled
def plot_rows(rows: Mapping[str, Sequence[np.ndarray] | Tensor]) -> Figure:
    """Plot rows of pictures, each with its name, as many in each row.

    A picture is an array (H, W) or (H, W, 3), or pixels (C, H, W) in [0, 1].
    """
    columns = max(map(len, rows.values()))
    cell = WIDTH / (columns + 1.2)
    figure, axes = make_figure(len(rows) * cell, len(rows), columns)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        draw_row(row, name, pictures)
    return figure


def plot_parts() -> Figure:
    """Plot the three parts of a domain-adversarial network.

    A block stands where the gradient of the domain loss is reversed.
    """
    extractor_text = "feature extractor $G_f$\n2 × (conv 5 × 5, pool,\nReLU)"
    pixels = Block(0.4, 0, 0.5, 0.5, "pixels", "source\nand target")
    extractor = Block(1.55, 0, 1.4, 0.62, extractor_text, "", GREEN, pixels)
    features = Block(2.8, 0, 0.6, 0.5, "2,352\nfeatures", after=extractor)

    predictor_text = "label predictor $G_y$\n100–100–10"
    source_only = "of the source alone"
    labels = Block(4.55, 0.4, 1.3, 0.5, predictor_text, source_only, BLUE, features)
    label_loss = Block(5.55, 0.4, 0.4, 0.4, "$L_y$", after=labels)

    factor = "gradient × $-\\lambda$"
    classifier_text = "domain\nclassifier $G_d$"
    reversal = Block(3.55, -0.4, 0.6, 0.5, "reversal", factor, after=features)
    domains = Block(4.55, -0.4, 1.0, 0.5, classifier_text, "100–1", PINK, reversal)
    domain_loss = Block(5.55, -0.4, 0.4, 0.4, "$L_d$", after=domains)

    trunk = [pixels, extractor, features]
    branches = [labels, label_loss, reversal, domains, domain_loss]
    return plot_diagram(trunk + branches)


def draw_rows_of_grounds(digits: Tensor) -> dict[str, Tensor]:
    """Lay digits (N, 3, 28, 28) on the grounds of the ladder and on black, by names."""
    number = len(digits)
    one_each = (number, 1, 1, 1)
    generator = runtime.make_generator(11)
    moved = dann.random_affine(digits[:, :1], generator, padding="zeros")
    strokes = dann.random_strokes(moved, generator)
    grey = 0.15 + 0.7 * torch.rand(one_each, generator=generator)
    tint = 0.4 * torch.rand(number, 3, 1, 1, generator=generator) - 0.2
    contrast = 0.12 + 0.2 * torch.rand(one_each, generator=generator)
    noise = torch.randn(number, 4, 28, 28, generator=generator)
    speckle = contrast * (0.9 * noise[:, 3:] + 0.4 * noise[:, :3])
    colours = (grey + tint).expand_as(speckle)
    kinds = {
        "flat colours": colours,
        "white noise": colours + speckle,
        "textures": dann.random_textures(number, (28, 28), generator),
    }
    laid = {}
    for name, kind in kinds.items():
        grounds = kind.clamp(0, 1)
        # A texture may itself end at the one before it.
        laid[name] = grounds.lerp(grounds.roll(2, 0), strokes)
    laid["black"] = strokes.expand_as(laid["textures"])
    return laid


@styled
def plot_ladder(
    rows: Mapping[str, tuple[Tensor, Sequence[float]]],
    of_dann: float,
    label: str,
) -> Figure:
    """Plot pictures, and beside each row what was measured with them, and its mean.

    rows: {name: (pixels (5, C, H, W), one value for each seed)}.
    of_dann: DANN's value, a line.
    """
    height = 0.3 + 0.6 * len(rows)
    widths = [1, 1, 1, 1, 1, 4]
    figure, axes = make_figure(height, len(rows), 6, sharex="col", width_ratios=widths)
    for row, (name, (pictures, values)) in zip(axes, rows.items(), strict=True):
        draw_row(row[:5], name, pictures)
        ax = row[5]
        draw_points(ax, 0, values, HUES.get(name, GREY))
        ax.set_yticks([0], [f"{np.mean(values):.0f}"])
        ax.set_ylim(-0.7, 0.7)
        ax.axvline(of_dann, label="DANN", color=HUES["DANN"], linewidth=0.8)
    axes[0, 5].legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    axes[-1, 5].set_xlabel(label)
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
            draw_points(ax, row, values)
        ax.set_xlabel(measure)
        name_rows(ax, settings)
    return figure
