"""Figures of the page as HTML and inline SVG: legible from a phone to a wide screen.

What has names is an HTML table, whose text wraps and is never cut; only curves are SVG. Colours
are variables of the page's style, so they follow its light or dark theme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html import escape

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting.data import (
    Associations,
    Bars,
    Boxes,
    Cells,
    Distances,
    Histogram,
    Losses,
    Scatter,
    SequenceCurve,
    Telling,
)
from sdv_wgangp.reporting.formats import counted, number, percent

WIDTH = 320
GLYPH = 7.2  # width of a character of 11 px in the widest usual font
LABEL = 60  # characters of a level; the page wraps them


def svg(body: str, width: float, height: float, label: str) -> str:
    """One figure that is as wide as its container."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        f'font-size="11">{body}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str, width: float) -> str:
    """Text that is moved where it would leave the figure."""
    wide = GLYPH * len(text)
    left = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
    left = max(0.0, min(left, width - wide))
    at = {"start": left, "middle": left + wide / 2, "end": left + wide}[anchor]
    return f'<text x="{at:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "faint") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values inside [low, high], about ``most`` of them.

    Example:
        >>> ticks(0, 10)
        [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
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


def axis_label(value: float, axis: str, spread: float) -> str:
    """A number, or of days since 1970 a date."""
    if axis != "datetime":
        return number(value)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(days=value)
    form = (
        "%Y" if spread > 1500 else "%Y-%m" if spread > 60 else "%m-%d" if spread > 2 else "%d.%Hh"
    )
    return moment.strftime(form)


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, kind: str = ""
) -> str:
    """A table in a frame that scrolls; the first cell of a row is its heading.

    Args:
        heads: Of the columns, plain text; those after the first are numbers.
        rows: Cells, HTML.
        caption: For screen readers, plain text.
        kind: Further CSS classes.
    """
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return scrolling(
        f'<table class="{kind}"><caption class="unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        caption,
    )


def scrolling(inner: str, label: str) -> str:
    """A frame that scrolls sideways, by keyboard as well."""
    attributes = f'role="region" tabindex="0" aria-label="{escape(label)}"'
    return f'<div class="scroll" {attributes}>{inner}</div>'


def values_of(summary: str, inner: str) -> str:
    """Something to unfold."""
    return f"<details><summary>{escape(summary)}</summary>{inner}</details>"


def long_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    captions: tuple[str, str],
    what: str,
    most: int,
    most_folded: int | None = None,
) -> str:
    """The first ``most`` rows as a `table`, and those behind them, to ``most_folded``, to unfold.

    Args:
        heads, rows: As of `table`.
        captions: Of the two tables.
        what: The rows are, in the plural.
        most, most_folded: Rows; None for all.
    """
    first = table(heads, rows[:most], captions[0])
    if len(rows) <= most:
        return first
    rest = rows[most:most_folded]
    return first + values_of(
        f"The next {len(rest)} of {len(rows)} {what}", table(heads, rest, captions[1])
    )


# --------------------------------------------------------------------------- one column


def bars(figure: Bars, name: str) -> str:
    """A table of levels with a pair of bars each."""
    tallest = max([*figure.real, *figure.synthetic, 1e-12])
    rows = ""
    for place, (real, synthetic) in enumerate(zip(figure.real, figure.synthetic, strict=True)):
        drawn = "".join(
            f'<i class="{kind}" style="width:{100 * fraction / tallest:.1f}%"></i>'
            for kind, fraction in (("real", real), ("synthetic", synthetic))
        )
        rows += (
            f'<tr><th scope="row">{escape(_level(figure, place))}</th>'
            f'<td class="pair" aria-hidden="true">{drawn}</td>'
            f"<td>{100 * real:.1f}</td><td>{100 * synthetic:.1f}</td></tr>"
        )
    return (
        f'<table class="bars"><caption class="unseen">Shares of the levels of {escape(name)}'
        '</caption><thead><tr><th scope="col">% of rows</th><td></td>'
        '<th scope="col">real</th><th scope="col">synth.</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def bars_of_several(found: Mapping[str, Bars], name: str) -> str:
    """A table of levels with a bar of the real rows and one of each synthetic table.

    Args:
        found: ``table -> figure`` of the same real column.
        name: Of the column.
    """
    fullest = max(found.values(), key=lambda figure: len(figure.labels))
    # Where nothing is beyond the named levels there is no bar of the others.
    series = [fullest.real] + [
        figure.synthetic + (0.0,) * (len(fullest.labels) - len(figure.labels))
        for figure in found.values()
    ]
    tallest = max([fraction for fractions in series for fraction in fractions] + [1e-12])
    labels = [_level(fullest, place) for place in range(len(fullest.labels))]
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td class="pair" aria-hidden="true">'
        + "".join(
            f'<i class="{kind}" style="width:{100 * fractions[place] / tallest:.1f}%"></i>'
            for kind, fractions in zip(_kinds(found), series, strict=True)
        )
        + "</td></tr>"
        for place, label in enumerate(labels)
    )
    rows = [
        [escape(label), *(percent(fractions[place]) for fractions in series)]
        for place, label in enumerate(labels)
    ]
    return (
        f'<table class="bars several"><caption class="unseen">Levels of {escape(name)}; the '
        'shares are in the table below</caption><thead><tr><th scope="col">level</th><td></td>'
        f"</tr></thead><tbody>{body}</tbody></table>"
        + values_of("Values", table(["level", "real", *found], rows, f"Shares of {name}"))
    )


def _kinds(found: Mapping[str, object]) -> list[str]:
    """CSS classes of the real rows and of each synthetic table."""
    return ["real", *(f"t{place}" for place in range(len(found)))]


def _level(figure: Bars, place: int) -> str:
    """What a bar stands for."""
    label = figure.labels[place]
    if place == len(figure.labels) - 1 and label == "other" and figure.others:
        label = f"other ({counted(figure.others, 'level')})"
    return shortened(label, LABEL)


def histogram(figure: Histogram, name: str) -> str:
    """Real shares as filled steps, synthetic ones as an outline, and their table to unfold."""
    series = [("real", "real", figure.real), ("synthetic", "synthetic", figure.synthetic)]
    return _histogram(figure, series, name)


def histogram_of_several(found: Mapping[str, Histogram], name: str) -> str:
    """`histogram` with an outline for each synthetic table.

    Args:
        found: ``table -> figure`` of the same real column, which gives all the same edges.
        name: Of the column.
    """
    figures = list(found.values())
    series = [("real", "real", figures[0].real)] + [
        (each, kind, figure.synthetic)
        for (each, figure), kind in zip(found.items(), _kinds(found)[1:], strict=True)
    ]
    gathered = any(figure.gathered for figure in figures)
    return _histogram(replace(figures[0], gathered=gathered), series, name)


def _histogram(
    figure: Histogram, series: Sequence[tuple[str, str, Sequence[float]]], name: str
) -> str:
    """The first series filled, the others as outlines: name, CSS class, shares of each."""
    count = len(figure.real)
    left, right, top, bottom = 44.0, WIDTH - 6.0, 10.0, 132.0
    tallest = max([fraction for _, _, fractions in series for fraction in fractions] + [1e-12])
    log = figure.axis == "log"
    edges = [math.log10(edge) for edge in figure.edges] if log else list(figure.edges)
    span = edges[-1] - edges[0]

    def x(value: float) -> float:
        return left + (value - edges[0]) / span * (right - left)

    def y(fraction: float) -> float:
        return bottom - fraction / tallest * (bottom - top)

    body = ""
    for fraction in ticks(0, tallest, 3):
        body += _line(left, y(fraction), right, y(fraction))
        body += _text(left - 5, y(fraction) + 4, f"{100 * fraction:.3g}%", "end", WIDTH)
    for place, (_, kind, fractions) in enumerate(series):
        steps = "".join(
            f"V{y(fraction):.1f}H{x(stop):.1f}"
            for fraction, stop in zip(fractions, edges[1:], strict=True)
        )
        outline = f"M{left:.1f},{bottom:.1f}{steps}V{bottom:.1f}"
        shape = "outline " if place else ""
        body += f'<path d="{outline}" class="{shape}{kind}"/>'
    body += _line(left, bottom, right, bottom, "ink")
    for value, label in _marks(figure.edges, figure.axis):
        at = x(math.log10(value) if log else value)
        body += _line(at, bottom, at, bottom + 4, "ink") + _text(
            at, bottom + 17, label, "middle", WIDTH
        )
    notes = ["logarithmic axis"] if log else []
    if figure.gathered:
        notes.append("tails gathered in the outer bins")
    note = f'<div class="soft small">{", ".join(notes)}</div>' if notes else ""
    drawn = svg(
        body,
        WIDTH,
        bottom + 22,
        f"Distribution of {name} in {count} bins; the values are in the table below",
    )
    spread = figure.edges[-1] - figure.edges[0]
    labels = [axis_label(edge, figure.axis, spread) for edge in figure.edges]
    rows = [
        [
            escape(f"{labels[k]} to {labels[k + 1]}"),
            *(percent(fractions[k]) for _, _, fractions in series),
        ]
        for k in range(count)
    ]
    heads = ["bin", *(each for each, _, _ in series)]
    return drawn + note + values_of("Values", table(heads, rows, f"Bins of {name}"))


def _marks(edges: Sequence[float], axis: str) -> list[tuple[float, str]]:
    """Values to label along an axis, few enough not to touch."""
    spread = edges[-1] - edges[0]
    if axis == "linear":
        values = ticks(edges[0], edges[-1], 4)
    elif axis == "log":
        first, last = (math.floor(math.log10(edge)) for edge in (edges[0], edges[-1]))
        factors = (1,) if last - first > 2 else (1, 3) if last > first else (1, 2, 3, 5, 7)
        values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        values = [value for value in values if edges[0] <= value <= edges[-1]]
        values = values[:: max(1, math.ceil(len(values) / 5))]
    else:
        values = list(edges)[:: max(1, math.ceil((len(edges) - 1) / 4))]
    return [(value, axis_label(value, axis, spread)) for value in values]


# --------------------------------------------------------------------------- pairs


def cells(figure: Cells, first: str, second: str) -> str:
    """The joint table, its cells coloured by the difference."""
    both = [
        abs(a - b)
        for one, other in zip(figure.real, figure.synthetic, strict=True)
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]
    most = max([*both, 0.01])
    head = "".join(
        f'<th scope="col">{escape(shortened(each, LABEL))}</th>' for each in figure.columns
    )
    body = ""
    for label, one, other in zip(figure.rows, figure.real, figure.synthetic, strict=True):
        body += f'<tr><th scope="row">{escape(shortened(label, LABEL))}</th>'
        for real, synthetic in zip(one, other, strict=True):
            shown = " / ".join("·" if v is None else f"{100 * v:.1f}" for v in (real, synthetic))
            shade = ""
            if real is not None and synthetic is not None:
                shade = shaded((synthetic - real) / most, "more", "less")
            body += f"<td{shade}>{shown}</td>"
        body += "</tr>"
    caption = f"{first} by {second}: real / synthetic, % of rows"
    return (
        scrolling(
            f'<table class="joint"><caption>real / synthetic, % of rows</caption>'
            f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>",
            caption,
        )
        + '<p class="soft small">·: fewer than ten rows. Colour: the difference.</p>'
    )


def shaded(fraction: float, above: str, below: str) -> str:
    """A style that tints a cell; ``share`` in [-1, 1]."""
    name = above if fraction > 0 else below
    return f' class="{name}" style="--v:{min(abs(fraction), 1):.2f}"'


def boxes(figure: Boxes, category: str) -> str:
    """A row for each level: the two boxes and their medians."""
    axis = "datetime" if figure.is_datetime else "linear"
    known = [
        v
        for groups in (figure.real, figure.synthetic)
        for group in groups
        for v in group
        if v is not None
    ]
    if not known:
        return '<p class="soft small">Too few rows to draw.</p>'
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    spread = high - low
    width, tall = 220.0, 34.0

    def x(value: float) -> float:
        return 4 + (value - low) / span * (width - 8)

    rows = ""
    for level, real, synthetic in zip(figure.levels, figure.real, figure.synthetic, strict=True):
        if real[2] is None and synthetic[2] is None:
            continue
        body = ""
        for kind, top, group in (("real", 3.0, real), ("synthetic", 19.0, synthetic)):
            lowest, lower, _, upper, highest = group
            if lowest is not None and highest is not None:
                body += _line(x(lowest), top + 6, x(highest), top + 6, "ink")
            if lower is not None and upper is not None:
                body += (
                    f'<rect x="{x(lower):.1f}" y="{top:.1f}" height="12" class="{kind}" '
                    f'width="{max(x(upper) - x(lower), 1):.1f}"/>'
                )
            if group[2] is not None:
                body += _line(x(group[2]), top, x(group[2]), top + 12, "median")
        said = [
            ["·" if v is None else axis_label(v, axis, spread) for v in group]
            for group in (real, synthetic)
        ]
        label = f"{level}, quantiles: real {', '.join(said[0])}; synthetic {', '.join(said[1])}"
        rows += (
            f'<tr><th scope="row">{escape(shortened(level, LABEL))}</th>'
            f'<td class="box">{svg(body, width, tall, label)}</td>'
            f"<td>{said[0][2]}</td><td>{said[1][2]}</td></tr>"
        )
    scale = f"{axis_label(low, axis, spread)} to {axis_label(high, axis, spread)}"
    name = shortened(category, 24)
    return (
        f'<table class="bars"><caption class="unseen">{escape(figure.number)} by '
        f"{escape(category)}</caption><thead><tr>"
        f'<th scope="col">{escape(name)}</th><th scope="col">{escape(scale)}</th>'
        '<th scope="col">real</th><th scope="col">synth.</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        '<p class="soft small">Numbers are medians. Boxes from the 25 % to the 75 % quantile, '
        "lines from 5 to 95 %; of few rows the median alone.</p>"
    )


def scatter(figure: Scatter, first: str, second: str) -> str:
    """Two panels of dots whose areas are shares of rows."""
    across, up = len(figure.x) - 1, len(figure.y) - 1
    largest = max([fraction for _, _, fraction in (*figure.real, *figure.synthetic)] or [1.0])
    panels = ""
    left, side = 56.0, 150.0
    spreads = figure.x[-1] - figure.x[0], figure.y[-1] - figure.y[0]
    for kind, dots in (("real", figure.real), ("synthetic", figure.synthetic)):
        body = f'<rect x="{left}" y="6" width="{side}" height="{side}" class="panel"/>'
        for column, row, fraction in dots:
            radius = math.sqrt(fraction / largest) * side / max(across, up) * 0.62
            body += (
                f'<circle cx="{left + (column + 0.5) / across * side:.1f}" '
                f'cy="{6 + side - (row + 0.5) / up * side:.1f}" r="{max(radius, 0.8):.1f}" '
                f'class="{kind}"/>'
            )
        for edge, at, anchor in ((figure.x[0], left, "start"), (figure.x[-1], left + side, "end")):
            body += _text(at, side + 21, axis_label(edge, figure.x_axis, spreads[0]), anchor, 214)
        for edge, at in ((figure.y[0], side + 6), (figure.y[-1], 15)):
            body += _text(left - 4, at, axis_label(edge, figure.y_axis, spreads[1]), "end", 214)
        label = f"{second} against {first}, {kind} rows"
        drawn = svg(body, left + side + 8, side + 26, label)
        panels += f"<figure>{drawn}<figcaption>{kind}</figcaption></figure>"
    held = max(figure.withheld)
    logs = [
        f"{name}: logarithmic"
        for name, axis in ((first, figure.x_axis), (second, figure.y_axis))
        if axis == "log"
    ]
    note = f"Across {first}, up {second}. Area: share of rows; tails at the edge."
    if logs:
        note += f" Axis of {'; '.join(logs)}."
    if held:
        note += f" Not drawn: cells of fewer than ten rows, {percent(held)} of the rows."
    return f'<div class="panels">{panels}</div><p class="soft small">{escape(note)}</p>'


def associations(figure: Associations, kind: str, most: int = 24) -> str:
    """A map whose cells are numbers: "real", "synthetic" or their "difference".

    Args:
        figure: The matrices.
        kind: Which.
        most: Columns that are shown, the first ones.
    """
    names = figure.columns[:most]
    head = "".join(
        f'<th scope="col"><span>{escape(shortened(name, 22))}</span></th>' for name in names
    )
    body = ""
    for row, name in enumerate(names):
        body += f'<tr><th scope="row">{escape(shortened(name, 22))}</th>'
        for column in range(len(names)):
            real, synthetic = figure.real[row][column], figure.synthetic[row][column]
            value = {"real": real, "synthetic": synthetic}.get(kind)
            if kind == "difference" and real is not None and synthetic is not None:
                value = synthetic - real
            if row == column or value is None:
                body += "<td>&ndash;</td>" if row != column else '<td class="self"></td>'
                continue
            strength = value * (3 if kind == "difference" else 1)
            body += f"<td{shaded(strength, 'more', 'less')}>{_short(value)}</td>"
        body += "</tr>"
    caption = {
        "real": "Real associations",
        "synthetic": "Synthetic associations",
        "difference": "Synthetic minus real",
    }[kind]
    return scrolling(
        f'<table class="heat"><caption>{caption}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>",
        caption,
    )


def _short(value: float) -> str:
    text = f"{value:.2f}".replace("0.", ".", 1)
    return "0" if text in (".00", "-.00") else text


# --------------------------------------------------------------------------- rows and curves


def curves(
    lines: Sequence[tuple[str, str, Sequence[float], Sequence[float]]],
    label: str,
    x_label: Callable[[float], str] = number,
    y_label: Callable[[float], str] = number,
    x_name: str = "",
    y_name: str = "",
) -> str:
    """Lines with their names above.

    Args:
        lines: Name, CSS class, places across and places up of each.
        label: Of the figure, for screen readers.
        x_label, y_label: Numbers of the axes as text.
        x_name, y_name: What the axes are.
    """
    points = [(a, b) for _, _, xs, ys in lines for a, b in zip(xs, ys, strict=True)]
    width, height = 340.0, 190.0
    if not points:
        return '<p class="soft small">Nothing finite to draw.</p>'
    low, high = min(b for _, b in points), max(b for _, b in points)
    pad = 0.04 * (high - low) or 1.0
    low, high = low - (pad if low < 0 else 0), high + pad
    first, last = min(a for a, _ in points), max(a for a, _ in points)
    span = (last - first) or 1.0
    left, right, top, bottom = 48.0, width - 10, 10.0, height - 26

    def x(value: float) -> float:
        return left + (value - first) / span * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    body = ""
    for value in ticks(low, high, 5):
        body += _line(left, y(value), right, y(value))
        body += _text(left - 6, y(value) + 4, y_label(value), "end", width)
    for value in ticks(first, last, 5):
        body += _text(x(value), bottom + 17, x_label(value), "middle", width)
    key = ""
    for name, kind, xs, ys in lines:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        body += f'<polyline points="{path}" class="line {kind}"/>'
        key += f'<span><i class="{kind}"></i>{escape(name)}</span>'
    axes = ""
    if x_name or y_name:
        axes = f'<p class="soft small">Across: {escape(x_name)}. Up: {escape(y_name)}.</p>'
    return f'<div class="key">{key}</div>{svg(body, width, height, label)}{axes}'


def distances(figure: Distances) -> str:
    """Shares of rows that have a training row within a distance, and their table to unfold."""
    return _distances({"synthetic": figure}, ["synthetic"])


def distances_of_several(found: Mapping[str, Distances]) -> str:
    """`distances` with a curve for each synthetic table (``table -> figure``)."""
    return _distances(found, _kinds(found)[1:])


def _distances(found: Mapping[str, Distances], kinds: Sequence[str]) -> str:
    first = next(iter(found.values()))
    lines = [
        (name, kind, figure.synthetic, figure.fractions)
        for (name, figure), kind in zip(found.items(), kinds, strict=True)
    ]
    if first.holdout is not None:
        lines.insert(0, ("held-out", "real", first.holdout, first.fractions))
    heads = ["share of rows", *(name for name, *_ in lines)]
    rows = [
        [f"{100 * fraction:g} %", *(f"{values[place]:.4g}" for _, _, values, _ in lines)]
        for place, fraction in enumerate(first.fractions)
    ]
    drawn = curves(
        lines,
        "Distance to the closest training row",
        y_label=lambda fraction: f"{100 * fraction:.3g}%",
        x_name="distance to the closest training row",
        y_name="share of rows within it",
    )
    return drawn + values_of("Values", table(heads, rows, "Distances to the closest training row"))


def lag_curves(figure: SequenceCurve) -> str:
    """What is left of a value after so many rows, real, synthetic and held-out, and its table."""
    given = [("real", "real", figure.real), ("synthetic", "synthetic", figure.synthetic)]
    if figure.holdout is not None:
        given.append(("held-out", "critic", figure.holdout))
    lines = []
    for name, kind, values in given:
        points = zip(figure.lags, values, strict=True)
        known = [(float(lag), value) for lag, value in points if value is not None]
        lines.append((name, kind, [lag for lag, _ in known], [value for _, value in known]))
    rows = [
        [
            f"{lag}",
            *("&ndash;" if each[place] is None else f"{each[place]:.3f}" for *_, each in given),
        ]
        for place, lag in enumerate(figure.lags)
    ]
    heads = ["lag", *(name for name, *_ in given)]
    what = "Persistence" if figure.kind == "categories" else f"Autocorrelation of {figure.kind}"
    label = f"{what} of {figure.column} by lag; the values are in the table below"
    return curves(lines, label, x_name="rows between", y_name="mean over sequences") + values_of(
        "Values", table(heads, rows, f"{what} of {figure.column}")
    )


def losses(figure: Losses) -> str:
    """Loss curves."""
    lines = []
    for (name, values), kind in zip(figure.series.items(), ("synthetic", "critic"), strict=False):
        points = zip(figure.epochs, values, strict=True)
        known = [(e, v) for e, v in points if e is not None and v is not None]
        lines.append((name, kind, [e for e, _ in known], [v for _, v in known]))
    return curves(lines, "Losses over training", x_name="epoch", y_name="loss")


def telling(found: Sequence[Telling]) -> str:
    """Bars of the AUC that is lost without a column."""
    largest = max([each.lost for each in found] or [0.0])
    if largest <= 0:
        return '<p class="soft small">No column tells the rows apart.</p>'
    rows = "".join(
        f'<tr><th scope="row">{escape(shortened(each.column, LABEL))}</th>'
        f'<td class="pair" aria-hidden="true"><i class="synthetic" '
        f'style="width:{100 * max(each.lost, 0) / largest:.1f}%"></i></td>'
        f"<td>{max(each.lost, 0):.3f}</td></tr>"
        for each in found
    )
    return (
        '<table class="bars"><caption class="unseen">AUC lost without a column</caption><thead>'
        '<tr><th scope="col">column</th><td></td><th scope="col">AUC lost</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
