"""What Chapter 1 draws: VGG16 as a pipeline, what networks answer to single pictures,
and what each change gains.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from dlapps.plots.diagrams import Block, plot_diagram
from dlapps.plots.general import COLOURS, Estimate, make_figure, show_picture, styled


@styled
def plot_answers(
    pictures: Sequence[np.ndarray], truths: Sequence[str],
    answers: Mapping[str, Sequence[Sequence[tuple[str, float]]]], chosen: Sequence[str],
) -> Figure:  # fmt: skip
    """One row a picture, titled by its true class, and a column a network: its
    likeliest classes, the true one filled.

    pictures: uint8 (H, W, 3) of any size; answers: for each network and picture (class
    name, probability) from high to low, as `PixelNetwork.predict` gives them. chosen:
    the true classes of the pictures to be drawn.
    """
    rows = [truths.index(name) for name in chosen]
    pictures, truths = [pictures[row] for row in rows], chosen
    answers = {name: [ranked[row] for row in rows] for name, ranked in answers.items()}
    grid = {"width_ratios": [1.1] + [2.0] * len(answers)}
    figure, axes = make_figure(
        1.0 * len(pictures), len(pictures), 1 + len(answers), gridspec_kw=grid
    )
    for ax, name in zip(axes[0, 1:], answers, strict=True):
        ax.set_title(name, fontsize=7)
    for row, picture, truth, *by_network in zip(
        axes, pictures, truths, *answers.values(), strict=True
    ):
        show_picture(row[0], picture, truth)
        for ax, ranked in zip(row[1:], by_network, strict=True):
            places = np.arange(len(ranked))[::-1]
            fills = [COLOURS[0] if label == truth else "white" for label, _ in ranked]
            shares = [share for _, share in ranked]
            ax.barh(places, shares, color=fills, edgecolor=COLOURS[0], height=0.35)
            for place, (label, share) in zip(places, ranked, strict=True):
                ax.text(
                    0, place + 0.24, f"{label} {share:.0%}", va="bottom", fontsize=7
                )
            ax.set(xlim=(0, 1), ylim=(-0.4, len(ranked) - 0.1), xticks=(), yticks=())
            ax.grid(visible=False)
            ax.spines[["bottom", "left"]].set_visible(False)
    return figure


def plot_pipeline() -> Figure:
    """VGG16's five blocks of convolutions and two ways on from them: its dense layers,
    or a classifier of scenes.
    """
    names = (
        "2 × conv\n64",
        "2 × conv\n128",
        "3 × conv\n256",
        "3 × conv\n512",
        "3 × conv\n512",
    )
    blocks = {"picture": Block(0.3, 0, 0.45, 1.2, "pixels", "224 × 224")}
    for number, (text, height) in enumerate(
        zip(names, (1.2, 1.05, 0.9, 0.75, 0.6), strict=True), 1
    ):
        below = f"pool{number}\n{224 // 2**number} × {224 // 2**number}"
        blocks[f"block {number}"] = Block(
            0.35 + 0.67 * number, 0, 0.54, height, text, below, "#D6E6F2"
        )
    blocks["dense"] = Block(
        4.62, 0.45, 0.78, 0.36, "fc6, fc7\n(relu7), fc8", "", "#E4E4E4"
    )
    blocks["classes"] = Block(5.5, 0.45, 0.56, 0.36, "1,000\nclasses", "", "#E4E4E4")
    blocks["features"] = Block(
        4.62, -0.45, 0.78, 0.36, "average:\n512 features", "", "#F6D9C6"
    )
    blocks["scenes"] = Block(5.5, -0.45, 0.56, 0.36, "SVM: 15\nscenes", "", "#F6D9C6")
    chain = ["picture", *(f"block {number}" for number in range(1, 6))]
    arrows = [*pairwise(chain), ("block 5", "dense"), ("dense", "classes")]
    return plot_diagram(
        blocks,
        [
            *arrows,
            ("block 5", "features", COLOURS[1]),
            ("features", "scenes", COLOURS[1]),
        ],
    )


@styled
def plot_steps(steps: Mapping[str, tuple[float, float, Estimate]]) -> Figure:
    """One row a change: left the accuracy before (hollow) and after it, right what it
    gains, with its interval.

    steps: for each change the accuracies in per cent before and after, and the gain in
    points; grey where its interval contains 0.
    """
    figure, axes = make_figure(0.6 + 0.21 * len(steps), 1, 2, sharey=True)
    levels, gains = axes[0]
    for place, (before, after, (mean, low, high)) in enumerate(steps.values()):
        colour = COLOURS[0] if low > 0 or high < 0 else "#888888"
        levels.annotate(
            "",
            (after, place),
            (before, place),
            arrowprops={"arrowstyle": "->", "color": colour},
        )
        levels.plot(before, place, "o", markerfacecolor="white", color=colour)
        levels.plot(after, place, "o", color=colour)
        gains.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            fmt="o",
            capsize=2,
            color=colour,
        )
    gains.axvline(0, color=COLOURS[6], linestyle="--", linewidth=0.8)
    levels.set(xlabel="test accuracy (%)", ylim=(len(steps) - 0.5, -0.5))
    levels.set_yticks(range(len(steps)), steps)
    gains.set(xlabel="gain (points)")
    for ax in axes[0]:
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
    return figure
