"""Diagrams of networks: blocks and the arrows between them.

They are code and not SVG files because a figure of the report becomes a PDF for LaTeX
and a PNG for notebooks and pages, and to make these of an SVG file takes another
program, such as rsvg-convert or Inkscape.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlapps.plots import WIDTH, styled

GREY = "#444444"


@dataclass(frozen=True)
class Block:
    """A box of a diagram.

    x, y: its middle, in inches, from 0 to 5.8 and from -0.95 to 0.7.
    width, height: its size, in inches.
    text: stands in the box.
    below: stands under the box.
    after: the block from which an arrow leads to this one.
    """

    x: float
    y: float
    width: float
    height: float
    text: str = ""
    below: str = ""
    colour: str = "#F3F6F8"
    after: "Block | None" = None

    @property
    def left(self) -> float:
        """The left edge of the box."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The right edge of the box."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """The lower edge of the box."""
        return self.y - self.height / 2


@styled
def plot_diagram(blocks: Sequence[Block]) -> Figure:
    """Plot blocks, and the arrows that lead to them."""
    figure = Figure(figsize=(WIDTH, 1.65))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(-0.95, 0.7))
    ax.set_axis_off()
    for block in blocks:
        _draw_block(ax, block)
        if block.after:
            _draw_arrow(ax, block.after, block)
    return figure


def _draw_block(ax: Axes, block: Block) -> None:
    corner = (block.left, block.bottom)
    box = Rectangle(corner, block.width, block.height, fc=block.colour, ec=GREY)
    ax.add_patch(box)
    ax.text(block.x, block.y, block.text, ha="center", va="center", size=7)
    below = block.bottom - 0.04
    ax.text(block.x, below, block.below, ha="center", va="top", size=7, color=GREY)


def _draw_arrow(ax: Axes, start: Block, end: Block) -> None:
    """Draw an arrow from the right side of one block to the left side of another."""
    style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 1, "shrinkB": 1}
    ax.annotate("", (end.left, end.y), (start.right, start.y), arrowprops=style)
