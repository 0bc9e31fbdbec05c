"""The plots of the speed benchmarks, in the style of plot.py: SVG by hand, logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from plot import FAINT, INK, OTHER, OURS, REAL, _mark, _text

LABEL_WIDTH, CHART_WIDTH, FIGURE_WIDTH, ROW = 430, 330, 90, 20
PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 380, 300, 70
COLOURS = (OURS, OTHER, "#4b8b3b", "#8a6bb1", "#b8860b", "#777777")


@dataclass(frozen=True)
class Bar:
    """A line of `ratio_plot`: quartiles, and the value to reach."""

    label: str
    values: tuple[float, float, float]
    bar: float | None = None


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, DejaVu Sans, '
        f'sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, **style: str) -> str:
    attributes = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in style.items())
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}"{attributes}/>'
    )


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 of every decade, or the decades alone over more than two of them."""
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    factors = (1, 2, 5) if high / low <= 100 else (1,)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def ratio_plot(title: str, axis: str, bars: Sequence[Bar]) -> str:
    """Medians as dots with their quartiles on a logarithmic axis, and a tick at each bar.

    Args:
        title, axis: Words for the whole and for the axis.
        bars: From top to bottom, all values positive.
    """
    values = [value for bar in bars for value in (*bar.values, bar.bar or bar.values[1], 1.0)]
    low, high = min(values) / 1.15, max(values) * 1.15
    top, left = 56.0, float(LABEL_WIDTH)
    bottom = top + ROW * len(bars)

    def place(value: float) -> float:
        return left + log10(value / low) / log10(high / low) * CHART_WIDTH

    parts = [_text(12, 22, title, font_size="15", font_weight="bold")]
    parts.append(_text(left, 42, axis, fill="#777777", font_size="11"))
    for tick in log_ticks(low, high):
        parts.append(_line(place(tick), top, place(tick), bottom, FAINT))
        parts.append(
            _text(place(tick), bottom + 14, f"{tick:g}", text_anchor="middle", font_size="10")
        )
    parts.append(_line(place(1), top, place(1), bottom, REAL, stroke_dasharray="3 3"))
    for number, bar in enumerate(bars):
        y = top + ROW * (number + 0.5)
        first, middle, third = bar.values
        parts.append(_text(left - 10, y + 4, bar.label, text_anchor="end", fill=INK))
        parts.append(_line(place(first), y, place(third), y, OURS, stroke_width="2"))
        parts.append(_mark(place(middle), y, OURS, False))
        if bar.bar is not None:
            x = place(bar.bar)
            parts.append(_line(x, y - 7, x, y + 7, REAL, stroke_width="2"))
        parts.append(_text(left + CHART_WIDTH + 12, y + 4, f"{middle:.3g}", fill=OURS))
    parts.append(
        _text(
            12, bottom + 34, "dot: median, line: quartiles, upright tick: the bar", fill="#777777"
        )
    )
    return _svg(LABEL_WIDTH + CHART_WIDTH + FIGURE_WIDTH, bottom + 48, parts)


@dataclass(frozen=True)
class Curves:
    """A panel of `log_log_plot`: for each name its points (x, y), all positive."""

    title: str
    across: str
    up: str
    points: Mapping[str, Sequence[tuple[float, float]]]


def log_log_plot(title: str, panels: Sequence[Curves]) -> str:
    """Panels side by side, both axes logarithmic, one legend."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.points))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    parts = [_text(12, 22, title, font_size="15", font_weight="bold")]
    top = 66.0
    bottom = top + PANEL_HEIGHT
    for number, panel in enumerate(panels):
        left = MARGIN + number * (PANEL_WIDTH + MARGIN)
        points = [point for line in panel.points.values() for point in line]
        if not points:
            continue
        parts.append(_text(left, top - 12, panel.title, font_weight="bold"))
        ranges = []
        for values in zip(*points, strict=True):
            low, high = min(values), max(values)
            ranges.append((low / 1.2, high * 1.2))
        (x_low, x_high), (y_low, y_high) = ranges

        def across(value: float, left=left, low=x_low, high=x_high) -> float:
            return left + log10(value / low) / log10(high / low) * PANEL_WIDTH

        def up(value: float, low=y_low, high=y_high) -> float:
            return bottom - log10(value / low) / log10(high / low) * PANEL_HEIGHT

        for tick in log_ticks(x_low, x_high):
            x = across(tick)
            parts.append(_line(x, top, x, bottom, FAINT))
            parts.append(
                _text(x, bottom + 14, f"{tick:,.6g}", text_anchor="middle", font_size="10")
            )
        for tick in log_ticks(y_low, y_high):
            y = up(tick)
            parts.append(_line(left, y, left + PANEL_WIDTH, y, FAINT))
            parts.append(_text(left - 6, y + 4, f"{tick:,.6g}", text_anchor="end", font_size="10"))
        parts.append(_text(left, bottom + 30, panel.across, fill="#777777", font_size="11"))
        parts.append(_text(left - 50, top - 28, panel.up, fill="#777777", font_size="11"))
        for name, line in panel.points.items():
            placed = [(across(x), up(y)) for x, y in sorted(line)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour[name]}" '
                'stroke-width="1.5"/>'
            )
            parts += [_mark(x, y, colour[name], False) for x, y in placed]
    for number, name in enumerate(names):
        x, y = MARGIN + number % 3 * 270, bottom + 54 + number // 3 * 18
        parts.append(_mark(x, y - 4, colour[name], False))
        parts.append(_text(x + 10, y, name, fill=INK))
    height = bottom + 60 + 18 * ceil(len(names) / 3)
    return _svg(max(len(panels), 2) * (PANEL_WIDTH + MARGIN) + MARGIN, height, parts)
