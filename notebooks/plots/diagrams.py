"""Diagrams of networks: blocks and the arrows between them.

They are code and not SVG files because a figure of the report becomes a PDF for LaTeX
and a PNG for notebooks and pages, and to make these of an SVG file takes another
program, such as rsvg-convert or Inkscape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dlapps.plots import make_figure, styled

GREY = "#444444"
# Of the text below a block, in inches.
TEXT_HEIGHT = 0.3


@dataclass(frozen=True)
class Block:
    """A box of a diagram.

    x, y: its middle, in inches.
    width, height: its size, in inches.
    text: stands in the box.
    below: stands under the box.
    after: the block from which an arrow leads to this one, in the colour `arrow`.
    """

    x: float
    y: float
    width: float
    height: float
    text: str = ""
    below: str = ""
    colour: str = "#F3F6F8"
    after: "Block | None" = None
    arrow: str = GREY

    @property
    def left(self) -> float:
        """The left edge of the box."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The right edge of the box."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """The upper edge of the box."""
        return self.y + self.height / 2

    @property
    def bottom(self) -> float:
        """The lower edge of the box."""
        return self.y - self.height / 2

    @property
    def lowest(self) -> float:
        """The lower end of the text below, or else of the box."""
        return self.bottom - TEXT_HEIGHT if self.below else self.bottom


@styled
def plot_diagram(blocks: Sequence[Block]) -> Figure:
    """Plot blocks, and the arrows that lead to them."""
    top = max(block.top for block in blocks)
    right = max(block.right for block in blocks)
    bottom = min(block.lowest for block in blocks)
    figure, axes = make_figure(top - bottom + 0.1)
    ax = axes[0, 0]
    ax.set_xlim(-0.05, right + 0.05)
    ax.set_ylim(bottom - 0.05, top + 0.05)
    ax.set_aspect("equal")
    ax.set_axis_off()
    for block in blocks:
        _draw_block(ax, block)
        if block.after:
            _draw_arrow(ax, block.after, block)
    return figure


def _draw_block(ax: Axes, block: Block) -> None:
    box = FancyBboxPatch(
        (block.left, block.bottom),
        block.width,
        block.height,
        "round,pad=0,rounding_size=0.03",
        facecolor=block.colour,
        edgecolor=GREY,
        linewidth=0.7,
    )
    ax.add_patch(box)
    ax.text(block.x, block.y, block.text, ha="center", va="center", fontsize=7)
    ax.text(
        block.x,
        block.bottom - 0.04,
        block.below,
        ha="center",
        va="top",
        fontsize=7,
        color=GREY,
    )


def _draw_arrow(ax: Axes, start: Block, end: Block) -> None:
    """Draw an arrow from the right side of one block to the left side of another."""
    style = {
        "arrowstyle": "-|>",
        "color": end.arrow,
        "linewidth": 1.0,
        "shrinkA": 1,
        "shrinkB": 1,
        "mutation_scale": 7,
    }
    ax.annotate("", (end.left, end.y), (start.right, start.y), arrowprops=style)
