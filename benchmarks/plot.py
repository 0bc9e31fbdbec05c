"""The benchmark's plot, drawn as SVG by hand: it needs no plotting library and diffs as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

NAME_WIDTH, PANEL_WIDTH, VALUE_WIDTH, GAP = 160, 170, 50, 22
ROW_HEIGHT, TITLE_HEIGHT, AXIS_HEIGHT, LEGEND_HEIGHT = 20, 44, 26, 58
OURS, OTHER, REAL, FAINT, INK = "#c8401f", "#3b6ea5", "#222222", "#dddddd", "#333333"


@dataclass(frozen=True)
class Panel:
    """One score: its filled marks, and where there is a second figure, hollow ones.

    `low` and `high` are the least range of the axis, which grows to what is drawn; `digits` are
    those of the printed means, ``None`` where the size of the values is not known beforehand.
    """

    title: str
    key: str
    second: str | None = None
    low: float | None = 0.0
    high: float | None = None
    better: str = "lower"
    digits: int | None = 2


ERRORS = (
    Panel("shape error, %", "shape_error"),
    Panel("trend error, %", "trend_error"),
)
DETECTION = Panel(
    "detection score", "detection_train", "detection_test", high=1.0, better="higher", digits=3
)
TSTR = {
    "tstr_auc": Panel("TSTR, AUC", "tstr", low=None, better="higher", digits=3),
    "tstr_log_rmse": Panel("TSTR, log-RMSE", "tstr", low=None, digits=3),
    "tstr_rmse": Panel("TSTR, RMSE", "tstr", low=None, digits=None),
}


def _axis(panel: Panel, rows: Mapping[str, Mapping]) -> tuple[float, float]:
    values = [
        row[key]["mean"] + sign * (row[key]["spread"] or 0)
        for row in rows.values()
        for key in (panel.key, panel.second)
        if key in row
        for sign in (-1, 1)
    ]
    low = min([*values, *([] if panel.low is None else [panel.low])])
    high = max([*values, *([] if panel.high is None else [panel.high])])
    if high == low:
        return low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _text(x: float, y: float, text: str, **style: str) -> str:
    attributes = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'


def _value(value: float, digits: int | None) -> str:
    if digits is None:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:.{digits}f}"


def _mark(x: float, y: float, colour: str, hollow: bool) -> str:
    fill = "white" if hollow else colour
    radius = 4 if hollow else 4.5
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}" '
        f'stroke="{colour}" stroke-width="1.5"/>'
    )


def _colour(synthesizer: str) -> str:
    if synthesizer == "real":
        return REAL
    return OURS if synthesizer.startswith("wgangp") else OTHER


def _draw_panel(panel: Panel, rows: Mapping[str, Mapping], left: float, top: float) -> list[str]:
    low, high = _axis(panel, rows)
    bottom = top + ROW_HEIGHT * len(rows)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * PANEL_WIDTH

    parts = [_text(left, top - 8, panel.title, font_weight="bold")]
    parts.append(
        _text(
            left + PANEL_WIDTH + VALUE_WIDTH,
            top - 8,
            f"{panel.better} is better",
            fill="#777777",
            font_size="10",
            text_anchor="end",
        )
    )
    for tick in _ticks(low, high):
        x = place(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{FAINT}"/>'
        )
        label = f"{tick:.6g}" if abs(tick) < 10_000 else f"{tick / 1000:.6g}k"
        parts.append(_text(x, bottom + 13, label, text_anchor="middle", font_size="10", fill=INK))
    if panel.key in rows.get("real", {}):
        x = place(rows["real"][panel.key]["mean"])
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{REAL}" '
            'stroke-dasharray="3 3"/>'
        )
    for place_, (synthesizer, row) in enumerate(rows.items()):
        y = top + ROW_HEIGHT * (place_ + 0.5)
        colour = _colour(synthesizer)
        drawn = [(panel.second, True), (panel.key, False)]
        for key, hollow in drawn:
            if key not in row:
                continue
            mean, spread = row[key]["mean"], row[key]["spread"]
            if spread:
                parts.append(
                    f'<line x1="{place(mean - spread):.1f}" x2="{place(mean + spread):.1f}" '
                    f'y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
                )
            parts.append(_mark(place(mean), y, colour, hollow))
        if panel.key in row:
            mean = row[panel.key]["mean"]
            parts.append(
                _text(
                    left + PANEL_WIDTH + VALUE_WIDTH,
                    y + 4,
                    _value(mean, panel.digits),
                    text_anchor="end",
                    fill=colour,
                )
            )
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """At most six round numbers inside the axis."""
    step = 10 ** floor(log10((high - low) / 3))
    for factor in (1, 2, 5, 10):
        first, last = ceil(low / (step * factor)), floor(high / (step * factor))
        if last - first + 1 <= 6:
            return [number * step * factor for number in range(first, last + 1)]
    return []


def quality_plot(summary: Mapping[str, Mapping], tstr: Mapping[str, str | None]) -> str:
    """An SVG with a row of panels per table and a line per synthesizer.

    Args:
        summary: {table: {synthesizer: {metric: {mean, spread, count}}}}.
        tstr: {table: which TSTR figure was taken, or ``None``}.
    """
    width = NAME_WIDTH + 4 * (PANEL_WIDTH + VALUE_WIDTH + GAP)
    parts: list[str] = []
    y = 12.0
    for table, rows in summary.items():
        if not rows:
            continue
        top = y + TITLE_HEIGHT
        parts.append(_text(12, y + 16, table, font_size="15", font_weight="bold"))
        for place, synthesizer in enumerate(rows):
            parts.append(
                _text(
                    NAME_WIDTH - 12,
                    top + ROW_HEIGHT * (place + 0.5) + 4,
                    synthesizer,
                    text_anchor="end",
                    fill=_colour(synthesizer),
                )
            )
        panels = [*ERRORS, DETECTION]
        if tstr.get(table):
            panels.append(TSTR[tstr[table]])
        for place, panel in enumerate(panels):
            left = NAME_WIDTH + place * (PANEL_WIDTH + VALUE_WIDTH + GAP)
            parts += _draw_panel(panel, rows, left, top)
        y = top + ROW_HEIGHT * len(rows) + AXIS_HEIGHT
    legend = y + 14
    parts.append(_mark(22, legend, OTHER, False))
    parts.append(_text(32, legend + 4, "mean over seeds (detection: against training rows)"))
    parts.append(_mark(370, legend, OTHER, True))
    parts.append(_text(380, legend + 4, "detection against held-out test rows"))
    parts.append(
        f'<line x1="630" x2="630" y1="{legend - 8}" y2="{legend + 8}" stroke="{REAL}" '
        'stroke-dasharray="3 3"/>'
    )
    parts.append(
        _text(640, legend + 4, "real: held-out rows as the sample; bars: standard deviation")
    )
    height = legend + LEGEND_HEIGHT - 34
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" font-family="Helvetica, Arial, DejaVu Sans, '
        f'sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
