"""Sequences of a report, for the terminal and as a section of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import figures
from sdv_wgangp.reporting.data import Sequences
from sdv_wgangp.reporting.formats import measured, percent
from sdv_wgangp.reporting.sequences import NAMES

MOST_RULES = 8  # in the terminal, those that are broken most
# Beside the baselines in the terminal.
IN_TEXT = ("lengths.w1", "marginals.shape", "transitions", "detection.", "order.back")
DRAWN = 8  # columns with curves on the page, those that are farthest off


def text(found: Sequences | None) -> list[str]:
    """Lines for the terminal, at most 80 characters wide: the baselines, and broken rules."""
    if found is None:
        return []
    names = [name for name in NAMES if name in found.lines[0].values]
    lines = []
    if len(names) > 2 or "holdout" not in names:
        heads = {"independent_rows": "indep.", "copula_over_time": "copula"}
        cells = [heads.get(name, NAMES[name]) for name in names]
        width = 80 - 11 * len(cells)
        lines += ["", f"{'Sequences beside baselines':<{width}}"
                  + "".join(f"{cell:>11}" for cell in cells)]  # fmt: skip
        shown = [line for line in found.lines if line.key.startswith(IN_TEXT)]
        for line in shown:
            values = "".join(f"{measured(line.values[name], line.kind):>11}" for name in names)
            lines.append(f"  {shortened(line.label, width - 4):<{width - 2}}{values}")
    broken = [rule for rule in found.rules if rule.synthetic is not None and rule.synthetic < 1]
    if broken:
        lines += ["", f"{'Rules of all real sequences that are broken':<58}{'kept':>11}"
                  f"{'held-out':>11}"]  # fmt: skip
        for rule in sorted(broken, key=lambda each: each.synthetic or 0.0)[:MOST_RULES]:
            kept, held = (measured(value, "share") for value in (rule.synthetic, rule.holdout))
            lines.append(f"  {shortened(rule.statement, 54):<56}{kept:>11}{held:>11}")
    return lines


def page(found: Sequences | None) -> str:
    """The section of the page; empty for a plain table."""
    if found is None:
        return ""
    names = [name for name in NAMES if name in found.lines[0].values]
    rows = [
        [escape(line.label), *(measured(line.values[name], line.kind) for name in names)]
        for line in found.lines
    ]
    rows.insert(0, ["sequences", *(f"{found.counts[name]:,}" for name in names)])
    rows.insert(1, ["rows of one", *(f"{found.mean_lengths[name]:g}" for name in names)])
    about = (
        f"Rows with the same {escape(found.key)} are a sequence: {found.counts['real']:,} real "
        f"ones of {found.mean_lengths['real']:g} rows on average"
        + (f", in the order of {escape(found.index)}" if found.index else "")
        + ". Independent rows are real rows in random order; the copula over time has the real "
        "columns and all correlations over time, and no network. A synthesizer of sequences has "
        f"to beat both. Windows are of {found.window} rows. What each line means stands in the "
        "table of scores."
    )
    drawn = figures.table(
        ["Score", *(NAMES[name] for name in names)], rows, "Sequences beside baselines"
    )
    parts = [f"<p class='soft'>{about}</p>{drawn}"]
    cards = ""
    if found.lengths is not None:
        cards += (
            '<article class="card"><div class="head"><h3>Lengths</h3></div>'
            f'<div class="soft small">rows of a sequence</div>'
            f"{figures.histogram(found.lengths, 'lengths')}</article>"
        )
    shown = [curve for curve in found.curves if _points(curve.real)][:DRAWN]
    for curve in shown:
        what = "persistence" if curve.kind == "categories" else f"autocorrelation of {curve.kind}"
        cards += (
            f'<article class="card"><div class="head"><h3>{escape(curve.column)}</h3></div>'
            f'<div class="soft small">{what}</div>{figures.lag_curves(curve)}</article>'
        )
    if cards:
        more = ""
        if len(shown) < len(found.curves):
            more = f" Shown are the {len(shown)} that are farthest off; the JSON has all."
        parts.append(
            '<h3 style="margin:22px 0 8px">Lengths, and memory by lag</h3>'
            "<p class='soft'>Autocorrelation: how a value goes together with that of so many rows "
            "before, mean over sequences. Persistence: how often a category is the one of so many "
            f"rows before.{more}</p>"
            f'<div class="grid">{cards}</div>'
        )
    errors = _column_rows(found)
    if errors:
        parts.append(
            '<h3 style="margin:22px 0 8px">By column</h3>'
            + figures.table(["Column", *_BY_COLUMN.values()], errors, "Errors by column")
        )
    if found.rules:
        held = "holdout" in names
        rules = [
            [escape(rule.statement), percent(rule.synthetic), *([percent(rule.holdout)] if held
                                                                else [])]
            for rule in sorted(found.rules, key=lambda rule: rule.synthetic or 0.0)
        ]  # fmt: skip
        heads = ["Rule", "Synthetic", *(["Held-out"] if held else [])]
        captions = "What all real sequences keep", "Further rules"
        parts.append(
            '<h3 style="margin:22px 0 8px">What all real sequences keep</h3>'
            + figures.long_table(heads, rules, captions, "rules", 12)
        )
    return "".join(parts)


_BY_COLUMN = {
    "marginals.shape": "KS or TV",
    "transitions.next_row": "Next row, TV",
    "autocorrelation.levels": "Autocorrelation, levels",
    "autocorrelation.changes": "Changes",
    "autocorrelation.categories": "Persistence",
    "msas.inter_row": "InterRowMSAS",
    "msas.statistic_std": "StatisticMSAS, std",
}


def _column_rows(found: Sequences) -> list[list[str]]:
    names = found.columns.get("marginals.shape", {})
    return [
        [
            escape(name),
            *(measured(found.columns.get(key, {}).get(name), "score") for key in _BY_COLUMN),
        ]
        for name in names
    ]


def _points(values: Sequence[float | None]) -> int:
    return sum(value is not None for value in values)
