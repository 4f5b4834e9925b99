"""Diagrams of networks: blocks and the arrows between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dlapps.plots.general import make_figure, styled


@dataclass(frozen=True)
class Block:
    """A box of a diagram: its middle and its size in inches, what stands in it, below
    it, and its colour.
    """

    x: float
    y: float
    width: float
    height: float
    text: str = ""
    below: str = ""
    colour: str = "#F3F6F8"


@styled
def plot_diagram(
    blocks: Mapping[str, Block],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
) -> Figure:
    """Blocks by name, and arrows from one to another: (from, to), or (from, to,
    colour).
    """
    tops = [block.y + block.height / 2 for block in blocks.values()]
    lows = [
        block.y - block.height / 2 - 0.3 * bool(block.below)
        for block in blocks.values()
    ]
    figure, axes = make_figure(max(tops) - min(lows) + 0.1)
    ax = axes[0, 0]
    right = max(block.x + block.width / 2 for block in blocks.values())
    ax.set(
        xlim=(-0.05, right + 0.05),
        ylim=(min(lows) - 0.05, max(tops) + 0.05),
        aspect="equal",
    )
    ax.set_axis_off()
    for block in blocks.values():
        _draw_block(ax, block)
    for start, end, *colour in arrows:
        _draw_arrow(ax, blocks[start], blocks[end], colour[0] if colour else "#444444")
    return figure


def _draw_block(ax: Axes, block: Block) -> None:
    corner = block.x - block.width / 2, block.y - block.height / 2
    style = "round,pad=0,rounding_size=0.03"
    ax.add_patch(
        FancyBboxPatch(
            corner,
            block.width,
            block.height,
            style,
            fc=block.colour,
            ec="#444444",
            lw=0.7,
        )
    )
    ax.text(block.x, block.y, block.text, ha="center", va="center", fontsize=7)
    ax.text(
        block.x,
        corner[1] - 0.04,
        block.below,
        ha="center",
        va="top",
        fontsize=7,
        color="#444444",
    )


def _draw_arrow(ax: Axes, start: Block, end: Block, colour: str) -> None:
    """From the side of one block to that of the other."""
    tail, head = (start.x + start.width / 2, start.y), (end.x - end.width / 2, end.y)
    props = {
        "arrowstyle": "-|>",
        "color": colour,
        "linewidth": 1.0,
        "shrinkA": 1,
        "shrinkB": 1,
        "mutation_scale": 7,
    }
    ax.annotate("", head, tail, arrowprops=props)
