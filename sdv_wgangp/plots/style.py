"""How figures look, and the way from a figure to a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

REAL, GENERATED = "#a9b4c0", "#0f6e84"
CRITIC, PENALTY = "#c2703d", "#8a6fae"
INK, FAINT = "#3b4650", "#e6e9ec"
# For more lines than those have names.
CYCLE = (GENERATED, CRITIC, PENALTY, "#5b8c5a", "#b5485d", "#7d8a97", "#c9a227", "#3f5fa8")
DOTS = 110  # an inch


def new_figure(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Any, np.ndarray]:
    """A figure with a grid of axes.

    Args:
        rows, columns: Of the grid.
        width, height: Of one of its cells, in inches.
        options: Of `matplotlib.figure.Figure.subplots`.

    Returns:
        The `matplotlib.figure.Figure`, and its axes ``[rows, columns]``.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((columns * width, rows * height), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for each in axes.flat:
        each.tick_params(which="both", labelsize=8, colors=INK)
        each.tick_params(length=3)
        each.spines[["top", "right"]].set_visible(False)
        each.spines[["left", "bottom"]].set_color(INK)
    return figure, axes


def title(axes: Any, text: str, note: str = "") -> None:
    """A title at the left, with a faint note at the right."""
    # A name is no formula, whatever dollars are in it.
    axes.set_title(shortened(text, 34), loc="left", fontsize=9.5, color=INK, parse_math=False)
    if note:
        axes.set_title(note, loc="right", fontsize=7.5, color="#7d8a97")


def legend(figure: Any, handles: Any, labels: Any, columns: int = 4) -> None:
    """One legend, over all axes of a figure."""
    figure.legend(
        handles, labels, loc="outside upper right", ncols=columns, frameon=False, fontsize=9
    )


def blank(axes: Any) -> None:
    """Leave a cell of a grid empty."""
    for each in np.ravel(axes):
        each.set_axis_off()


def lowest(axes: np.ndarray, count: int) -> list[Any]:
    """Of the first ``count`` cells of a grid, those with none below them."""
    return [cell for place, cell in enumerate(axes.flat[:count]) if place + axes.shape[1] >= count]


def logarithmic(cell: Any, which: str) -> None:
    """Make the axis "x" or "y" logarithmic, with plain numbers where it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(cell, f"set_{which}scale")("log")
    axis = getattr(cell, f"{which}axis")
    low, high = axis.get_view_interval()
    axis.set_minor_formatter(NullFormatter())
    if high < 30 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def percent(axis: Any) -> None:
    """Ticks of a share, as percentages."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda fraction, _: f"{100 * fraction:g}%"))


def grid(count: int, most: int = 4) -> tuple[int, int]:
    """Rows and columns for so many cells."""
    columns = min(max(count, 1), most)
    return -(-max(count, 1) // columns), columns


def shortened(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, without its middle if it is longer.

    Example:
        >>> shortened("a rather long name", 11)
        'a rathe…ame'
    """
    text = " ".join(str(text).split())
    if len(text) <= most:
        return text
    return text[: most - most // 3 - 1] + "…" + text[-(most // 3) :]


def png(figure: Any) -> bytes:
    """A figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def save_png(figure: Any, path: Path) -> None:
    """Write a figure, so that a reader finds the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(png(figure))
    unfinished.replace(path)
