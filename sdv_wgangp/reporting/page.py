"""The report as one HTML page: styles and figures inline, no script, nothing from the network."""

from __future__ import annotations

from datetime import date
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import plots, scores

if TYPE_CHECKING:
    from sdv_wgangp.reporting.report import Line, Report

WIDE = 40
LEVELS = 10  # bins of a number where it is paired with a category

STYLE = """
:root { --ink:#26313b; --soft:#5d6b78; --line:#e3e7ea; --accent:#0f6e84; --paper:#fff; }
* { box-sizing:border-box; }
body { margin:0; background:#f7f8f8; color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; }
main { max-width:1180px; margin:0 auto; padding:36px 24px 64px; }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 6px; font-weight:650; letter-spacing:-.01em; }
h2 { font-size:1.25rem; margin:52px 0 6px; font-weight:650; }
h3 { font-size:.95rem; margin:0; font-weight:600; overflow-wrap:anywhere; }
p { margin:6px 0 14px; max-width:88ch; }
.soft { color:var(--soft); } .small { font-size:.86rem; }
.grid { display:grid; gap:16px;
  grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr)); }
.cards { grid-template-columns:repeat(auto-fill,minmax(min(100%,255px),1fr)); margin-top:24px; }
.wide { grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr)); }
.card { background:var(--paper); border:1px solid var(--line); border-radius:10px;
  padding:14px 16px; min-width:0; }
.card svg, .full svg { display:block; width:100%; height:auto; margin-top:8px; }
.card .name { color:var(--soft); font-size:.86rem; }
.card .value { font-size:1.9rem; font-weight:640; line-height:1.25;
  font-variant-numeric:tabular-nums; }
.card .beside { font-size:.84rem; color:var(--soft); }
.gauge { position:relative; height:6px; border-radius:3px; background:#e6e9ec; margin:9px 0 11px; }
.gauge i { display:block; height:6px; border-radius:3px; background:var(--accent); }
.gauge b { position:absolute; top:-4px; width:2px; height:14px; margin-left:-1px;
  background:var(--ink); }
.card p { font-size:.84rem; line-height:1.45; color:var(--soft); margin:8px 0 0; }
.head { display:flex; justify-content:space-between; gap:12px; align-items:baseline; }
.head .score { font-variant-numeric:tabular-nums; font-size:.9rem; color:var(--accent);
  white-space:nowrap; }
.scroll { overflow-x:auto; background:var(--paper); border:1px solid var(--line);
  border-radius:10px; }
table { border-collapse:collapse; width:100%; font-size:.92rem; }
th, td { text-align:left; padding:8px 14px; border-top:1px solid var(--line); vertical-align:top; }
thead th { border-top:0; color:var(--soft); font-weight:500; font-size:.84rem; }
td:first-child { min-width:9.5em; }
td.n, th.n { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; }
tr.group th { background:#f3f5f6; font-weight:600; }
.curve { max-width:820px; }
.key { display:inline-flex; gap:16px; font-size:.86rem; color:var(--soft); margin:0 0 12px; }
.key i { display:inline-block; width:12px; height:12px; border-radius:2px; margin-right:6px;
  vertical-align:-1px; }
.look { background:#fff8ec; border:1px solid #f0dfc0; border-radius:10px; padding:12px 18px;
  margin-top:20px; }
.look ul { margin:4px 0; padding-left:20px; } .look li { margin:4px 0; max-width:90ch; }
details { margin-top:14px; } summary { cursor:pointer; color:var(--accent); }
footer { margin-top:56px; border-top:1px solid var(--line); padding-top:14px; }
@media (max-width:560px) { main { padding:22px 14px 40px; } h1 { font-size:1.5rem; }
  th, td { padding:7px 10px; }
  .scores thead { display:none; } .scores table, .scores tbody { display:block; }
  .scores tr { display:grid; grid-template-columns:1fr auto 5.6em; }
  .scores tr.group { display:block; } .scores tr.group th { display:block; }
  .scores td.why { grid-column:1/-1; border-top:0; padding-top:0; } }
@media print { body { background:#fff; } .card, .scroll { break-inside:avoid; } }
"""


def render(report: Report) -> str:
    """The whole page as text."""
    parts = [
        _header(report),
        _cards(report),
        _findings(report),
        _table(report),
        _shapes(report),
        _pairs(report),
        _detection(report),
        _losses(report),
        _footer(report),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _header(report: Report) -> str:
    return (
        f"<header><h1>{escape(report.title)}</h1>"
        f'<div class="soft">{escape(report.describe())} · {date.today():%d %B %Y}</div></header>'
    )


def _card(name: str, line: Line, text: str, gauge: bool = True) -> str:
    beside = ""
    if line.reference is not None and np.isfinite(line.reference):
        beside = f'<div class="beside">reference {line.shown(line.reference)}</div>'
    bar = _gauge(line.value, line.reference) if gauge else ""
    return (
        f'<div class="card"><div class="name">{escape(name)}</div>'
        f'<div class="value">{line.shown(line.value)}</div>{beside}{bar}<p>{text}</p></div>'
    )


def _gauge(value: float | None, reference: float | None) -> str:
    """A bar from 0 to 1 filled up to ``value``, with a mark where ``reference`` lies."""
    if value is None or not np.isfinite(value):
        return ""
    mark = ""
    if reference is not None and np.isfinite(reference):
        mark = f'<b style="left:{100 * min(max(reference, 0.0), 1.0):.1f}%"></b>'
    filled = 100 * min(max(value, 0.0), 1.0)
    return f'<div class="gauge"><i style="width:{filled:.1f}%"></i>{mark}</div>'


def _cards(report: Report) -> str:
    lines = {
        (section.split(" (")[0], line.name): line
        for section, measures in report.sections()
        for line in measures
    }
    default = report.quality
    cards = [
        _card(
            "Quality, SDMetrics default",
            lines["Quality", "overall, default"],
            f"Shapes, and trends of pairs with |correlation| &gt; "
            f"{default.correlation_threshold:g} or association &gt; "
            f"{default.association_threshold:g}. 1 is best.",
        ),
        _card(
            "Quality, all pairs",
            lines["Quality", "overall, all pairs"],
            "Both thresholds at 0, as in publications. Independent columns often reach .95.",
        ),
        _card(
            "Detection",
            lines["Detection", "against the real rows"],
            "1: boosted trees cannot tell synthetic from real rows. 0: they always can.",
        ),
    ]
    if report.utility is not None:
        name = "AUC" if report.utility.task == "classification" else "R2"
        target = plots.shortened(report.utility.target, 24)
        cards.append(
            _card(
                f"Utility, {name.replace('R2', 'R²')} of {target}",
                lines["Utility", name],
                "A model trained on synthetic rows, tested on real ones. The reference is "
                "trained on real rows.",
            )
        )
    if report.privacy.nearest_record_share is not None:
        cards.append(
            _card(
                "Nearest-record share",
                lines["Privacy", "nearest-record share"],
                "Synthetic rows nearer to training than to held-out rows. .5 is ideal, more "
                "hints at memorising.",
            )
        )
    cards.append(
        _card(
            "Exact copies",
            lines["Privacy", "exact copies"],
            f"Synthetic rows equal to a training row. New rows: "
            f"{plots.percent(report.privacy.new_rows)}.",
            gauge=False,
        )
    )
    cards.append(
        _card(
            "Data validity",
            lines["Diagnostic", "data validity"],
            "Known categories, values in range, unique keys. It should be 1.",
        )
    )
    return f'<section class="grid cards">{"".join(cards)}</section>'


def _findings(report: Report) -> str:
    found = report.findings()
    if not found:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in found)
    return f'<section class="look"><strong>Worth a look</strong><ul>{items}</ul></section>'


def _table(report: Report) -> str:
    rows = ""
    for name, measures in report.sections():
        rows += f'<tr class="group"><th colspan="4">{escape(name)}</th></tr>'
        for line in measures:
            rows += (
                f'<tr><td>{escape(line.name)}</td><td class="n">{line.shown(line.value)}</td>'
                f'<td class="n soft">{line.shown(line.reference)}</td>'
                f'<td class="why soft small">{escape(line.meaning)}</td></tr>'
            )
    if report.holdout is not None:
        about = (
            "The reference column shows what the held-out real rows score in the place of the "
            "synthetic ones. What they lack to 1 is chance, and more of it the fewer they are; a "
            "synthesizer calibrated to the real rows can score higher. (Utility: a model trained "
            "on real rows. Nearest-record share: .5. Distance ratio: 1.)"
        )
    else:
        about = (
            "No held-out rows were given, so there are no reference values beyond utility, and "
            "no nearest-record share."
        )
    return (
        f"<section><h2>Scores and what they mean</h2><p class='soft'>{about}</p>"
        '<div class="scroll scores"><table><thead><tr><th>Measure</th><th class="n">Synthetic</th>'
        '<th class="n">Reference</th><th>Meaning</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


KEY = (
    f'<div class="key"><span><i style="background:{plots.REAL}"></i>real</span>'
    f'<span><i style="background:{plots.SYNTHETIC}"></i>synthetic</span></div>'
)


def _shape_scores(report: Report) -> dict[str, tuple[float, str]]:
    shapes = report.quality.shapes
    return {
        str(row["Column"]): (float(row["Score"]), str(row["Metric"]))
        for _, row in shapes.iterrows()
    }


def shown_columns(report: Report) -> list[str]:
    """All columns of the table, or the 40 with the lowest shape score, lowest first."""
    names = list(report.columns)
    if len(names) <= WIDE:
        return names
    known = _shape_scores(report)

    def score(name):
        value = known.get(name, (np.nan, ""))[0]
        return value if np.isfinite(value) else -1.0

    return sorted(names, key=score)[:WIDE]


def _shapes(report: Report) -> str:
    known = _shape_scores(report)
    shown = shown_columns(report)
    cards = ""
    for name in shown:
        sdtype = report.columns[name]
        real, synthetic = report.real[name], report.synthetic[name]
        if sdtype in scores.NUMBERS:
            numbers = [scores.to_numbers(values, sdtype) for values in (real, synthetic)]
            figure = plots.number_panel(*numbers, name, sdtype == "datetime")
        else:
            figure = plots.category_panel(real, synthetic, name)
        value = known.get(name, (np.nan, ""))[0]
        said = f"{value:.3f}" if np.isfinite(value) else "no score"
        missing = ""
        if real.isna().any() or synthetic.isna().any():
            missing = (
                f'<div class="soft small">missing: real {plots.percent(real.isna().mean())}, '
                f"synthetic {plots.percent(synthetic.isna().mean())}</div>"
            )
        cards += (
            f'<div class="card"><div class="head"><h3>{escape(name)}</h3>'
            f'<span class="score">{said}</span></div>'
            f'<div class="soft small">{sdtype}</div>{missing}{figure}</div>'
        )
    note = ""
    if len(shown) < len(report.columns):
        note = (
            f" The table has {len(report.columns)} columns: shown are the {len(shown)} with the "
            "lowest score, lowest first."
        )
    rest = ""
    if len(shown) < len(report.columns):
        others = sorted((n for n in report.columns if n not in shown), key=lambda n: known[n][0])
        rows = "".join(
            f'<tr><td>{escape(n)}</td><td class="n">{known[n][0]:.3f}</td></tr>' for n in others
        )
        rest = (
            f"<details><summary>Scores of the other {len(others)} columns</summary>"
            f'<div class="scroll"><table>{rows}</table></div></details>'
        )
    return (
        "<section><h2>Column shapes</h2><p class='soft'>Each column by itself. The score is 1 "
        "minus the largest gap between the cumulative curves (numbers, datetimes) or 1 minus the "
        f"total variation distance (categories).{note}</p>{KEY}"
        f'<div class="grid">{cards}</div>{rest}</section>'
    )


def associations(
    table: pd.DataFrame, columns: dict[str, str], edges: dict[str, np.ndarray]
) -> np.ndarray:
    """(columns, columns): Pearson correlation of two numbers, Cramer's V of any other pair.

    Where a number meets a category it is cut at ``edges``; a missing value is a level of its own.
    """
    names = list(columns)
    numbers, codes = {}, {}
    for name, sdtype in columns.items():
        if sdtype in scores.NUMBERS:
            values = scores.to_numbers(table[name], sdtype)
            numbers[name] = values
            codes[name] = np.where(
                np.isnan(values), len(edges[name]) + 1, np.searchsorted(edges[name], values)
            )
        else:
            (code,), _ = scores.to_codes([table[name]])
            codes[name] = code + 1
    result = np.full((len(names), len(names)), np.nan)
    for row, first in enumerate(names):
        for column in range(row):
            second = names[column]
            if first in numbers and second in numbers:
                value = _pearson(numbers[first], numbers[second])
            else:
                value = _cramers_v(codes[first], codes[second])
            result[row, column] = result[column, row] = value
    return result


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return float("nan")
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _cramers_v(x: np.ndarray, y: np.ndarray) -> float:
    """Cramer's V, sqrt(chi2 / n / (min(levels) - 1)); undefined for a constant column."""
    _, x = np.unique(x, return_inverse=True)
    _, y = np.unique(y, return_inverse=True)
    rows, columns = int(x.max()) + 1, int(y.max()) + 1
    if min(rows, columns) < 2:
        return float("nan")
    # Chi-squared over the occupied cells alone: two columns of very many levels stay sparse.
    cells, counts = np.unique(x.astype(np.int64) * columns + y, return_counts=True)
    row_sums, column_sums = np.bincount(x), np.bincount(y)
    expected = row_sums[cells // columns] * (column_sums[cells % columns] / len(x))
    chi2 = float(np.sum(counts**2 / expected)) - len(x)
    return float(np.sqrt(max(chi2, 0.0) / len(x) / (min(rows, columns) - 1)))


def _pairs(report: Report) -> str:
    shown = shown_columns(report)
    if len(shown) < 2:
        return ""
    # In the order of the table again: neighbours belong together.
    columns = {name: sdtype for name, sdtype in report.columns.items() if name in set(shown)}
    edges = {}
    for name, sdtype in columns.items():
        if sdtype in scores.NUMBERS:
            values = scores.to_numbers(report.real[name], sdtype)
            values = values[np.isfinite(values)]
            inner = np.linspace(0, 1, LEVELS + 1)[1:-1]
            edges[name] = np.unique(np.quantile(values, inner)) if len(values) else np.array([])
    real = associations(report.real, columns, edges)
    synthetic = associations(report.synthetic, columns, edges)
    gap = synthetic - real
    largest = float(np.nanmax(np.abs(gap))) if np.isfinite(gap).any() else 0.0
    names = list(columns)
    maps = [
        ("Real", plots.heat_map(real, names, "Real associations", 1.0)),
        ("Synthetic", plots.heat_map(synthetic, names, "Synthetic associations", 1.0)),
        (
            "Synthetic minus real",
            plots.heat_map(gap, names, "Difference", max(0.1, largest), difference=True),
        ),
    ]
    cards = "".join(f'<div class="card"><h3>{title}</h3>{figure}</div>' for title, figure in maps)
    pairs = report.quality_all_pairs.pairs
    pairs = pairs[pairs["Score"].notna()].sort_values("Score").head(10)
    counted = report.quality.pairs.set_index(["Column 1", "Column 2"])["Meets Threshold?"]
    rows = "".join(
        f"<tr><td>{escape(str(a))} &times; {escape(str(b))}</td>"
        f'<td class="n">{score:.3f}</td><td>{_yes(counted.get((a, b)))}</td></tr>'
        for a, b, score in zip(pairs["Column 1"], pairs["Column 2"], pairs["Score"], strict=True)
    )
    wide = " wide" if len(names) > 16 else ""
    note = ""
    if len(shown) < len(report.columns):
        note = f" Shown are the {len(shown)} columns with the lowest shape score."
    return (
        "<section><h2>Pair trends</h2><p class='soft'>How columns go together: Pearson "
        "correlation of two numbers (-1 to 1), Cramér's V of any other pair (0 to 1), numbers "
        f"cut at the deciles of the real rows.{note}</p>"
        f'<div class="grid{wide}">{cards}</div>'
        "<h3 style='margin:22px 0 8px'>The pairs with the lowest SDMetrics score</h3>"
        '<div class="scroll"><table><thead><tr><th>Pair</th><th class="n">Score</th>'
        f"<th>Counts by default</th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _yes(value) -> str:
    return "yes" if value is not None and not pd.isna(value) and bool(value) else "no"


def _detection(report: Report) -> str:
    result = report.detection
    aucs = ", ".join(f"{auc:.3f}" for auc in result.aucs)
    rows = [(name, max(lost, 0.0)) for name, lost in result.telling[:10]]
    return (
        "<section><h2>Detection</h2><p class='soft'>Boosted trees are trained to tell synthetic "
        f"from real rows ({result.rows:,} of each, {len(result.aucs)} folds, AUC {aucs}). The "
        "score is 1 &minus; (2 AUC &minus; 1). The bars show which columns they rely on: the AUC "
        "lost when the values of a column are shuffled.</p>"
        f'<div class="grid"><div class="card">{plots.bars(rows, "AUC lost")}</div></div></section>'
    )


def _losses(report: Report) -> str:
    losses = report.loss_values
    if losses is None or len(losses) == 0:
        return ""
    series = {
        label: losses[name].to_numpy(float)
        for label, name in (
            ("generator loss", "Generator Loss"),
            ("critic loss", "Discriminator Loss"),
        )
        if name in losses
    }
    figure = plots.curves(losses["Epoch"].to_numpy(float), series, "epoch")
    return (
        "<section><h2>Training</h2><p class='soft'>Losses of a Wasserstein GAN do not measure "
        "quality: look for curves that settle, not for low values.</p>"
        f'<div class="card curve">{figure}</div></section>'
    )


def _footer(report: Report) -> str:
    version = report.quality.sdmetrics_version
    left_out = ""
    if report.left_out:
        names = ", ".join(f"{name} ({sdtype})" for name, sdtype in report.left_out.items())
        left_out = f" Not scored: {names}."
    private = report.privacy
    if private.nearest_record_share is None:
        privacy = "No held-out rows: privacy shows copies and new rows only."
    else:
        privacy = (
            f"Privacy: {private.holdout_rows:,} held-out rows; L1 distance over numbers scaled "
            "by the training range, 1 per differing category."
        )
    return (
        f"<footer class='soft small'><p>SDMetrics {version}, thresholds "
        f"{report.quality.correlation_threshold:g} (correlation) and "
        f"{report.quality.association_threshold:g} (association) by default, 0 for all pairs: "
        "scores of other versions or thresholds are not comparable. Detection and utility: "
        f"scikit-learn's histogram gradient boosting with its defaults. {privacy} Distances and "
        "copies can show a leak but not prove that there is none."
        f"{escape(left_out)}</p></footer>"
    )
