"""What Chapter 3 draws: how MNIST-M is made, training over epochs, embeddings of two domains, a sweep of weights."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from dlapps.plots.general import COLOURS, WIDTH, draw_frame, line_style, make_figure, styled

# Two names side by side, their markers large enough to tell apart.
DOMAIN_LEGEND = {"ncols": 2, "markerscale": 2, "handletextpad": 0}


@styled
def plot_recipe(digits: np.ndarray, patches: np.ndarray, pictures: np.ndarray) -> Figure:
    """Rows of digits (N, H, W), of patches and of their differences, both (N, H, W, 3): a column is |patch - digit|."""
    cell = WIDTH / (len(digits) + 0.8)
    figure, axes = make_figure(3.1 * cell, 3, len(digits))
    rows = {"digit": digits, "patch": patches, "difference": pictures}
    for row, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(row, images, strict=True):
            ax.imshow(image, cmap="gray")
            ax.set(xticks=(), yticks=())
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name, fontsize=6.5)
    return figure


@styled
def plot_histories(panels: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> Figure:
    """One panel a measure, over epochs; one line a name: the mean over seeds in a band from the least to the most.

    panels: measure -> name -> seeds -> one value an epoch.
    """
    figure, axes = make_figure(2.3, 1, len(panels))
    names = dict.fromkeys(name for lines in panels.values() for name in lines)
    styles = {name: line_style(index) for index, name in enumerate(names)}
    handles: dict[str, Artist] = {}
    for ax, (measure, lines) in zip(axes[0], panels.items(), strict=True):
        for name, seeds in lines.items():
            values = np.array(seeds, float)
            low, high, epochs = values.min(0), values.max(0), np.arange(1, values.shape[1] + 1)
            every, colour = max(1, len(epochs) // 6), styles[name]["color"]
            (handles[name],) = ax.plot(epochs, values.mean(0), markevery=every, **styles[name])
            ax.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.set(xlabel="epoch", ylabel=measure)
    columns = min(len(names), 4)
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=columns)
    return figure


@styled
def plot_embeddings(
    embeddings: Mapping[str, ArrayLike], labels: ArrayLike, domains: ArrayLike, titles: Mapping[str, str]
) -> Figure:
    """One row per network: its embedding (N, 2) coloured by class, and by domain, beside it.

    labels, domains: int (N,), domain 0 the source. titles: what to write above a row, the proxy A-distance, say.
    """
    figure, axes = make_figure(2 * len(embeddings), len(embeddings), 2)
    for row, (name, points) in zip(axes, embeddings.items(), strict=True):
        _scatter_classes(row[0], points, labels, domains)
        _scatter_domains(row[1], points, domains)
        row[0].set_ylabel(name)
        row[0].set_title(titles.get(name, ""), loc="left")
    axes[0, 1].legend(loc="lower right", bbox_to_anchor=(1, 1), **DOMAIN_LEGEND)
    return figure


@styled
def plot_embedding_steps(steps: Mapping[str, ArrayLike], labels: ArrayLike, domains: ArrayLike) -> Figure:
    """Embeddings (N, 2) in one and the same plane, a column a step: by class above, by domain below."""
    height = 2 * WIDTH / len(steps) + 0.2
    figure, axes = make_figure(height, 2, len(steps), sharex=True, sharey=True)
    for column, (name, points) in enumerate(steps.items()):
        _scatter_classes(axes[0, column], points, labels, domains)
        _scatter_domains(axes[1, column], points, domains)
        axes[0, column].set_title(name)
    axes[1, -1].legend(loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1, **DOMAIN_LEGEND)
    return figure


def animate_embeddings(steps: Sequence[ArrayLike], labels: ArrayLike, domains: ArrayLike) -> tuple[np.ndarray, Figure]:
    """Embeddings after each epoch, as `plot_embedding_steps` draws one: frames uint8 (T, H, W, 3), and a still of four.

    The first and the last epoch are in the still.
    """
    named = {f"epoch {epoch}": points for epoch, points in enumerate(steps, 1)}
    draw = partial(plot_embedding_steps, labels=labels, domains=domains)
    frames = [draw_frame(draw({name: points}), (1.45, 2.9)) for name, points in named.items()]
    shown = sorted({round(place) for place in np.linspace(1, len(steps), 4)})
    return np.stack(frames), draw({f"epoch {epoch}": named[f"epoch {epoch}"] for epoch in shown})


def _scatter_classes(ax: Axes, points: ArrayLike, labels: ArrayLike, domains: ArrayLike) -> None:
    """A colour for each digit, and the digit itself at the median of its points of the source."""
    points, labels, source = np.asarray(points), np.asarray(labels), np.asarray(domains) == 0
    colours = ScalarMappable(cmap="turbo").to_rgba(np.arange(10), norm=True)
    halo = [withStroke(linewidth=1.8, foreground="white")]
    for label in np.unique(labels):
        x, y = points[labels == label].T
        ax.scatter(x, y, s=4, linewidths=0, color=colours[label % 10], rasterized=True)
        if (known := (labels == label) & source).any():
            x, y = np.median(points[known], 0)
            ax.text(x, y, str(label), size=9, weight="bold", ha="center", va="center", path_effects=halo)
    ax.set(xticks=(), yticks=())


def _scatter_domains(ax: Axes, points: ArrayLike, domains: ArrayLike) -> None:
    """Circles for the source, triangles for the target."""
    points, domains = np.asarray(points), np.asarray(domains)
    for domain, (name, marker) in enumerate((("source", "o"), ("target", "^"))):
        x, y = points[domains == domain].T
        dots = ax.scatter(x, y, s=4, marker=marker, linewidths=0, color=COLOURS[domain], label=name)
        dots.set(alpha=0.6, rasterized=True)
    ax.set(xticks=(), yticks=())


@styled
def plot_sweep(panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str) -> Figure:
    """One panel a measure over settings that have names: every seed a point, their mean a bar of its own.

    panels: measure -> setting -> one value a seed.
    """
    figure, axes = make_figure(2.2, 1, len(panels))
    for index, (ax, (measure, settings)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        for place, values in enumerate(settings.values()):
            ax.plot([place] * len(values), values, linestyle="", alpha=0.6, **line_style(index))
            ax.hlines(np.mean(values), place - 0.3, place + 0.3, color=COLOURS[6], linewidth=1.2)
        ax.set_xticks(range(len(settings)), list(settings), rotation=45, ha="right", rotation_mode="anchor")
        ax.set(xlabel=xlabel, ylabel=measure)
    return figure
