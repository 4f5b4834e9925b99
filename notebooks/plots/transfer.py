"""Figures of Chapter 1: VGG16 as a pipeline, predictions of networks, and gains."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlapps.plots import COLOURS, make_figure, show_picture, styled
from plots import Estimate
from plots.diagrams import Block, plot_diagram

GREY = "#E4E4E4"
ORANGE = "#F6D9C6"

Ranking = Sequence[tuple[str, float]]


@styled
def plot_answers(
    pictures: Sequence[np.ndarray],
    truths: Sequence[str],
    answers: Mapping[str, Sequence[Ranking]],
    chosen: Sequence[str],
) -> Figure:
    """Plot the likeliest classes of pictures, the true class filled.

    Each chosen picture has a row, each network a column.

    pictures: uint8 (H, W, 3) of any size.
    truths: their true classes.
    answers: for each network and picture (class name, probability) from high to low, as
    `PixelNetwork.predict` returns them.
    chosen: the true classes of the pictures to draw.
    """
    widths = [1.1] + [2.0] * len(answers)
    figure, axes = make_figure(
        len(chosen), len(chosen), len(widths), width_ratios=widths
    )
    for row, truth in zip(axes, chosen, strict=True):
        picture = truths.index(truth)
        show_picture(row[0], pictures[picture], truth)
        for ax, rankings in zip(row[1:], answers.values(), strict=True):
            _draw_ranking(ax, rankings[picture], truth)
    for ax, name in zip(axes[0, 1:], answers, strict=True):
        ax.set_title(name, fontsize=7)
    return figure


def _draw_ranking(ax: Axes, ranking: Ranking, truth: str) -> None:
    """Draw a bar for each class, the likeliest on top, and its name above the bar."""
    for rank, (label, share) in enumerate(ranking):
        y = len(ranking) - 1 - rank
        colour = COLOURS[0] if label == truth else "white"
        ax.barh(y, share, color=colour, edgecolor=COLOURS[0], height=0.35)
        ax.text(0, y + 0.24, f"{label} {share:.0%}", va="bottom", fontsize=7)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.4, len(ranking) - 0.1)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    ax.spines[["bottom", "left"]].set_visible(False)


def plot_pipeline() -> Figure:
    """Plot VGG16's five blocks of convolutions, and what may follow them.

    These are its dense layers, or a classifier of scenes.
    """
    convolutions = [
        ("2 × conv\n64", 1.2),
        ("2 × conv\n128", 1.05),
        ("3 × conv\n256", 0.9),
        ("3 × conv\n512", 0.75),
        ("3 × conv\n512", 0.6),
    ]
    last = Block(0.3, 0, 0.45, 1.2, "pixels", "224 × 224")
    blocks = [last]
    for number, (text, height) in enumerate(convolutions, 1):
        x = 0.35 + 0.67 * number
        side = 224 // 2**number
        below = f"pool{number}\n{side} × {side}"
        last = Block(x, 0, 0.54, height, text, below, "#D6E6F2", after=last)
        blocks.append(last)

    dense = Block(4.62, 0.45, 0.78, 0.36, "fc6, fc7\n(relu7), fc8", "", GREY, last)
    classes = Block(5.5, 0.45, 0.56, 0.36, "1,000\nclasses", "", GREY, dense)
    features = Block(
        4.62, -0.45, 0.78, 0.36, "average:\n512 features", "", ORANGE, last, COLOURS[1]
    )
    scenes = Block(
        5.5, -0.45, 0.56, 0.36, "SVM: 15\nscenes", "", ORANGE, features, COLOURS[1]
    )
    blocks += [dense, classes, features, scenes]
    return plot_diagram(blocks)


@styled
def plot_steps(steps: Mapping[str, tuple[float, float, Estimate]]) -> Figure:
    """Plot the accuracies before and after each change, and beside them its gain.

    The accuracy before is hollow. A gain is grey if its interval contains 0.

    steps: for each change the accuracies in per cent before and after, and the gain in
    points with its interval.
    """
    figure, axes = make_figure(0.6 + 0.21 * len(steps), 1, 2, sharey=True)
    levels, gains = axes[0]
    for y, (before, after, (mean, low, high)) in enumerate(steps.values()):
        colour = COLOURS[0] if low > 0 or high < 0 else "#888888"
        arrow = {"arrowstyle": "->", "color": colour}
        levels.annotate("", (after, y), (before, y), arrowprops=arrow)
        levels.plot(before, y, "o", markerfacecolor="white", color=colour)
        levels.plot(after, y, "o", color=colour)
        reach = [[mean - low], [high - mean]]
        gains.errorbar(mean, y, xerr=reach, fmt="o", capsize=2, color=colour)
    gains.axvline(0, color="black", linestyle="--", linewidth=0.8)
    levels.set_xlabel("test accuracy (%)")
    gains.set_xlabel("gain (points)")
    levels.set_ylim(len(steps) - 0.5, -0.5)
    levels.set_yticks(range(len(steps)), list(steps))
    for ax in axes[0]:
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    return figure
