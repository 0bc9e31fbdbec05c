"""Small inline SVG figures: no script, no network, legible from a phone to a wide screen.

Every function returns one ``<svg>`` element whose size follows its container.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

REAL = "#a9b4c0"
SYNTHETIC = "#0f6e84"
INK = "#3b4650"
FAINT = "#e6e9ec"
CRITIC = "#c2703d"
WIDTH = 360
MAX_BARS = 25  # numbers with so few distinct values are drawn one bar per value
MAX_LEVELS = 8
BINS = 30


# --------------------------------------------------------------------------- pieces


def _svg(body: str, height: float, label: str, width: float = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'font-size="10.5" fill="{INK}">{body}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str, title: str = "") -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
        f'height="{max(height, 0):.1f}" fill="{fill}">{inside}</rect>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = FAINT) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'


def shortened(text: str, most: int) -> str:
    """``text`` in at most ``most`` characters, without its middle if it is longer."""
    text = " ".join(str(text).split())
    if len(text) <= most:
        return text
    return text[: most - most // 3 - 1] + "…" + text[-(most // 3) :]


def number(value: float) -> str:
    """A few significant digits, with k, M, B and T for thousands and more."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{value:.1e}"
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= scale:
            return f"{value / (1e3 if letter == 'k' else scale):.3g}{letter}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with two or three digits."""
    if share != 0 and abs(share) < 0.001:
        return f"{100 * share:.2f} %"
    return f"{100 * share:.1f} %"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values inside [low, high], about ``most`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.8)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [
        round(k * step, 12) if abs(k * step) < 1e9 else k * step for k in range(first, last + 1)
    ]


def _moment(nanoseconds: float, span: float) -> str:
    stamp = pd.Timestamp(int(nanoseconds))
    days = span / 86_400e9
    if days > 1_500:
        return stamp.strftime("%Y")
    if days > 90:
        return stamp.strftime("%b %Y")
    if days > 2:
        return stamp.strftime("%d %b")
    return stamp.strftime("%d %H:%M")


# --------------------------------------------------------------------------- one column


def number_panel(
    real: np.ndarray, synthetic: np.ndarray, name: str, is_datetime: bool = False
) -> str:
    """Real and synthetic distribution of one numeric column over shared bins.

    A few distinct values get a pair of bars each. Otherwise 30 bins: equal on a logarithmic axis
    for positive values whose top percentile is ten medians away; else equal, with the outermost
    .5 % gathered in the outer bins where they would squeeze the rest.

    Args:
        real: Values, NaN where missing.
        synthetic: The same of the synthetic table.
        name: Of the column, for the description.
        is_datetime: The values are nanoseconds since 1970.
    """
    real, synthetic = (values[np.isfinite(values)] for values in (real, synthetic))
    both = np.concatenate([real, synthetic])
    if len(both) == 0:
        return _svg(_text(WIDTH / 2, 60, "no values", "middle"), 120, name)
    distinct = np.unique(both)
    if len(distinct) <= MAX_BARS and not is_datetime:
        return _value_bars(real, synthetic, distinct, name)

    log = not is_datetime and _wants_log(both)
    if log:
        real, synthetic, both = np.log10(real), np.log10(synthetic), np.log10(both)
    low, high = float(both.min()), float(both.max())
    inner_low, inner_high = (float(q) for q in np.quantile(both, [0.005, 0.995]))
    clipped = not log and 0 < inner_high - inner_low < 0.6 * (high - low)
    if clipped:
        low, high = inner_low, inner_high
    if not log and not is_datetime and np.array_equal(both, np.round(both)) and high - low > BINS:
        step = math.ceil((high - low + 1) / BINS)
        edges = np.arange(math.floor(low) - 0.5, math.ceil(high) + step, step)
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    heights = [
        np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
        for values in (real, synthetic)
    ]
    left, right, top, bottom = 34, WIDTH - 8, 14, 150
    tallest = max(float(h.max()) for h in heights) or 1.0

    def x(value):
        return left + (value - edges[0]) / (edges[-1] - edges[0]) * (right - left)

    def y(share):
        return bottom - share / tallest * (bottom - top)

    body = _share_axis(tallest, left, right, y)
    outlines = []
    for shares in heights:
        path = [f"M{left:.1f},{bottom:.1f}"]
        path += [f"V{y(h):.1f}H{x(stop):.1f}" for h, stop in zip(shares, edges[1:], strict=True)]
        outlines.append("".join(path) + f"V{bottom:.1f}")
    body += f'<path d="{outlines[0]}Z" fill="{REAL}"/>'
    body += (
        f'<path d="{outlines[1]}" fill="none" stroke="{SYNTHETIC}" '
        'stroke-width="1.8" stroke-linejoin="round"/>'
    )
    body += _line(left, bottom, right, bottom, INK)
    if is_datetime:
        span = edges[-1] - edges[0]
        marks = [
            (v, _moment(v, span)) for v in np.linspace(edges[0], edges[-1], 5)[:-1] + span / 8
        ]
    elif log:
        powers = range(math.ceil(edges[0]), math.floor(edges[-1]) + 1)
        marks = [(p, number(10.0**p)) for p in list(powers)[:: max(1, len(powers) // 5)]]
        if len(marks) < 2:
            marks = [(v, number(10.0**v)) for v in np.linspace(edges[0], edges[-1], 5)[1:-1]]
    else:
        marks = [(v, number(v)) for v in ticks(edges[0], edges[-1])]
    for value, label in marks:
        body += _line(x(value), bottom, x(value), bottom + 4, INK)
        body += _text(min(max(x(value), left + 6), right - 10), bottom + 16, label, "middle")
    note = "logarithmic axis" if log else "tails gathered in the outer bins" if clipped else ""
    if note:
        body += _text(right, bottom + 30, note, "end", 'opacity=".6"')
    return _svg(body, bottom + (36 if note else 22), f"Distribution of {name}")


def _wants_log(values: np.ndarray) -> bool:
    middle, top = np.quantile(values, [0.5, 0.99])
    return bool(values.min() > 0 and top > 10 * middle)


def _share_axis(tallest: float, left: float, right: float, y) -> str:
    body = ""
    for share in ticks(0, tallest, 3):
        body += _line(left, y(share), right, y(share))
        body += _text(left - 4, y(share) + 3.5, f"{100 * share:.3g}%", "end", 'opacity=".75"')
    return body


def _value_bars(real: np.ndarray, synthetic: np.ndarray, distinct: np.ndarray, name: str) -> str:
    heights = [
        np.array([np.count_nonzero(values == value) for value in distinct]) / max(len(values), 1)
        for values in (real, synthetic)
    ]
    left, right, top, bottom = 34, WIDTH - 8, 14, 150
    tallest = max(float(h.max()) for h in heights) or 1.0
    slot = (right - left) / len(distinct)
    bar = min(slot * 0.4, 26)

    def y(share):
        return bottom - share / tallest * (bottom - top)

    body = _share_axis(tallest, left, right, y)
    every = max(1, math.ceil(len(distinct) * 34 / (right - left)))
    for place, value in enumerate(distinct):
        centre = left + (place + 0.5) * slot
        for share, start, fill, who in (
            (heights[0][place], centre - bar, REAL, "real"),
            (heights[1][place], centre, SYNTHETIC, "synthetic"),
        ):
            title = f"{value:g}: {percent(share)} of {who} rows"
            body += _rect(start, y(share), bar, bottom - y(share), fill, title)
        if place % every == 0:
            body += _text(centre, bottom + 14, number(value), "middle")
    body += _line(left, bottom, right, bottom, INK)
    return _svg(body, bottom + 22, f"Distribution of {name}")


def category_panel(real: pd.Series, synthetic: pd.Series, name: str) -> str:
    """Real and synthetic shares of the most frequent levels of one column, as paired bars.

    Levels beyond the eight most frequent real ones are added up; missing values are left to the
    caption of the figure.
    """
    counts = [
        column.dropna().astype(object).value_counts(normalize=True) for column in (real, synthetic)
    ]
    levels = list(counts[0].index) + [v for v in counts[1].index if v not in counts[0].index]
    if not levels:
        return _svg(_text(WIDTH / 2, 60, "no values", "middle"), 120, name)
    shown = levels if len(levels) <= MAX_LEVELS else levels[: MAX_LEVELS - 1]
    rows = [(str(level), [float(count.get(level, 0.0)) for count in counts]) for level in shown]
    if len(shown) < len(levels):
        rest = [max(0.0, 1 - sum(row[1][k] for row in rows)) for k in (0, 1)]
        rows.append((f"{len(levels) - len(shown):,} others", rest))
    tallest = max(max(shares) for _, shares in rows) or 1.0
    thick = 7.4 if len(rows) > 4 else 10.4
    left, right, step = 112, WIDTH - 76, 2 * thick + 6.4
    body, y = "", 8.0
    for label, shares in rows:
        body += f"<g><title>{escape(label)}</title>"
        middle = y + thick + 3.8
        body += _text(left - 6, middle, shortened(label, 18), "end") + "</g>"
        for offset, share, fill, who in (
            (0, shares[0], REAL, "real"),
            (thick + 0.6, shares[1], SYNTHETIC, "synthetic"),
        ):
            width = share / tallest * (right - left)
            title = f"{label}: {percent(share)} of {who} rows"
            body += _rect(left, y + offset, max(width, 0.6), thick, fill, title)
        longest = max(shares) / tallest * (right - left)
        said = f"{100 * shares[0]:.1f} / {100 * shares[1]:.1f} %"
        body += _text(left + longest + 5, middle, said, more='opacity=".75"')
        y += step
    body += _line(left, 4, left, y, INK)
    return _svg(body, y + 8, f"Shares of the levels of {name}")


# --------------------------------------------------------------------------- pairs


def _mix(low: tuple, high: tuple, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high, strict=True)
    )


def diverging(value: float, most: float, difference: bool = False) -> str:
    """A colour: white at 0, saturated at ``-most`` and ``most``; grey where undefined."""
    if not np.isfinite(value):
        return "#f0f1f2"
    share = min(abs(value) / most, 1.0) if most > 0 else 0.0
    if difference:
        end = (176, 78, 28) if value > 0 else (98, 72, 150)
    else:
        end = (20, 96, 130) if value > 0 else (172, 62, 68)
    return _mix((252, 252, 251), end, share)


def heat_map(
    values: np.ndarray, names: Sequence[str], title: str, most: float, difference: bool = False
) -> str:
    """A square matrix in colours from ``-most`` to ``most``; the diagonal is left blank."""
    count = len(names)
    size = 360 if count <= 16 else 620
    font = max(5.5, min(10.5, 0.8 * (size - 90) / count))
    longest = max((len(shortened(n, 16)) for n in names), default=1)
    margin = 8 + longest * font * 0.56
    cell = (size - margin - 4) / count
    body = ""
    for row in range(count):
        centre = 4 + (row + 0.5) * cell
        more = f'font-size="{font:.1f}"'
        body += _text(margin - 5, centre + font * 0.35, shortened(names[row], 16), "end", more)
        for column in range(count):
            if row == column:
                continue
            value = values[row, column]
            said = f"{value:+.3f}" if np.isfinite(value) else "undefined"
            body += _rect(
                margin + column * cell + 0.5,
                4 + row * cell + 0.5,
                cell - 1,
                cell - 1,
                diverging(value, most, difference),
                f"{names[row]}, {names[column]}: {said}",
            )
    below = 4 + count * cell
    for column in range(count):
        x = margin + (column + 0.5) * cell + font * 0.3
        body += (
            f'<text transform="translate({x:.1f},{below + 6:.1f}) rotate(-60)" text-anchor="end" '
            f'dy="{font * 0.3:.1f}" font-size="{font:.1f}">'
            f"{escape(shortened(names[column], 16))}</text>"
        )
    bar = below + 16 + longest * font * 0.5
    steps, wide = 24, (size - margin - 4) / 24
    for step in range(steps):
        value = (2 * (step + 0.5) / steps - 1) * most
        body += _rect(margin + step * wide, bar, wide + 0.4, 7, diverging(value, most, difference))
    for x, label, anchor in (
        (margin, f"{-most:.2g}", "start"),
        (margin + (size - margin - 4) / 2, "0", "middle"),
        (size - 4, f"+{most:.2g}", "end"),
    ):
        body += _text(x, bar + 19, label, anchor)
    return _svg(body, bar + 24, title, size)


# --------------------------------------------------------------------------- curves and bars


def curves(steps: np.ndarray, series: Mapping[str, np.ndarray], axis: str) -> str:
    """Lines over ``steps``, each at most 500 points (means of equal pieces), with their names."""
    width, height = 760, 260
    left, right, top, bottom = 52, width - 10, 28, height - 34
    pieces = np.array_split(np.arange(len(steps)), min(len(steps), 500))
    at = np.array([steps[piece].mean() for piece in pieces])
    drawn = {
        name: np.array([np.mean(values[piece]) for piece in pieces])
        for name, values in series.items()
    }
    finite = np.concatenate([values[np.isfinite(values)] for values in drawn.values()])
    if len(finite) == 0:
        return _svg(_text(width / 2, 60, "no finite losses", "middle"), 120, "Losses", width)
    low, high = float(finite.min()), float(finite.max())
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    first, last = float(at[0]), float(at[-1])
    span = last - first or 1.0

    def x(value):
        return left + (value - first) / span * (right - left)

    def y(value):
        return bottom - (value - low) / (high - low) * (bottom - top)

    body = ""
    for value in ticks(low, high, 5):
        body += _line(left, y(value), right, y(value))
        body += _text(left - 6, y(value) + 3.5, number(value), "end", 'opacity=".75"')
    for value in ticks(first, last, 8):
        body += _text(x(value), bottom + 16, number(value), "middle", 'opacity=".75"')
    body += _text(right, bottom + 31, axis, "end", 'opacity=".75"')
    start = left
    for (name, values), colour in zip(drawn.items(), (SYNTHETIC, CRITIC, INK), strict=False):
        known = np.isfinite(values)
        points = " ".join(
            f"{x(a):.1f},{y(b):.1f}" for a, b in zip(at[known], values[known], strict=True)
        )
        body += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        body += _rect(start, 9, 14, 3.5, colour) + _text(start + 19, 14, name)
        start += 44 + 6 * len(name)
    return _svg(body, height, "Losses over training", width)


def bars(rows: Sequence[tuple[str, float]], unit: str) -> str:
    """Horizontal bars of small non-negative values, with their numbers."""
    largest = max((value for _, value in rows), default=0.0) or 1.0
    left, right, y = 130, WIDTH - 50, 6.0
    body = ""
    for name, value in rows:
        width = max(value, 0.0) / largest * (right - left)
        body += _text(left - 6, y + 10, shortened(name, 21), "end")
        body += _rect(left, y + 1, max(width, 0.6), 11, SYNTHETIC, f"{name}: {value:.3f} {unit}")
        body += _text(left + width + 5, y + 10, f"{value:.3f}", more='opacity=".75"')
        y += 18
    return _svg(body, y + 4, f"{unit} per column")
