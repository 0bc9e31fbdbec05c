"""Sequences in a report: what comes after what, beside held-out sequences and two baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import figures
from sdv_wgangp.reporting.columns import histogram
from sdv_wgangp.reporting.data import (
    BAD,
    FAIR,
    GOOD,
    SMALLEST,
    UNKNOWN,
    Kept,
    Line,
    Measure,
    Section,
    SequenceCurve,
    Sequences,
    Verdict,
)
from sdv_wgangp.reporting.formats import few, measured, percent
from sdv_wgangp.reporting.protection import significant
from sdv_wgangp.reporting.scores.sequences import SequenceScores, Subject, score_sequences

IN_TEXT = 8  # broken rules in the terminal
# Beside the baselines in the terminal.
_IN_TEXT = ("lengths.w1", "marginals.shape", "transitions", "detection.", "order.back")
DRAWN = 8  # columns with curves on the page, those that are farthest off
NAMES = {
    "synthetic": "synthetic",
    "holdout": "held-out",
    "independent_rows": "independent rows",
    "copula_over_time": "copula over time",
}
GRADES = (GOOD, FAIR, BAD)


@dataclass(frozen=True)
class Keys:
    """What makes sequences of rows: the columns of key, order and context."""

    key: str
    index: str | None = None
    context: tuple[str, ...] = ()


# Key, label, kind, meaning; those of a prefix are shown where there is anything to measure.
_LINES = (
    ("lengths.ks", "lengths, KS", "score", "largest gap of the cumulative curves of lengths"),
    ("lengths.w1", "lengths, W1", "number", "mean shift of lengths, in rows (1-Wasserstein)"),
    ("marginals.shape", "columns, KS or TV", "score",
     "mean over columns of the Kolmogorov-Smirnov distance of numbers and the total variation of "
     "categories; 0 is ideal"),
    ("marginals.distance", "numbers, W1", "number",
     "mean over columns of the 1-Wasserstein distance, in real standard deviations"),
    ("transitions.next_row", "next row, TV", "score",
     "mean over columns of the total variation of (value, next value) in ten bins each, one pair "
     "of rows of each sequence; chance alone gives what held-out sequences have"),
    ("autocorrelation.levels", "autocorrelation, levels", "number",
     "mean squared error of the mean autocorrelation of sequences, over lags and columns"),
    ("autocorrelation.changes", "autocorrelation, changes", "number",
     "the same of differences to the row before"),
    ("autocorrelation.absolute_changes", "autocorrelation, |changes|", "number",
     "the same of their sizes: calm and restless times"),
    ("autocorrelation.categories", "persistence of categories", "score",
     "mean absolute error of how often a category is that of so many rows before"),
    ("cross_correlation.lag_0", "cross-correlation, lag 0", "score",
     "mean absolute error of the mean correlation of two columns within a sequence"),
    ("cross_correlation.lag_1", "cross-correlation, lag 1", "score",
     "the same with the other column's next row"),
    ("cross_correlation.pooled", "correlation over all rows", "score",
     "mean absolute error of the correlations of all rows together"),
    ("msas.inter_row", "InterRowMSAS", "score",
     "SDMetrics' score of the differences of neighbouring rows, mean over columns; 1 is ideal"),
    ("msas.statistic_std", "StatisticMSAS, std", "score",
     "SDMetrics' score of the sequences' standard deviations, mean over columns; 1 is ideal"),
    ("attributes.jsd", "context, JSD", "score",
     "mean Jensen-Shannon divergence of the context columns, in bits"),
    ("attributes.effects", "context with sequences, TV", "score",
     "mean total variation of (context, tenth of length, means and deviations of columns)"),
    ("attributes.varying", "context that varies", "share",
     "sequences in which a context column is not constant"),
    ("detection.rows", "trees on rows", "score",
     "1 = cannot be told from real ones, 0 = always; whole sequences to a fold"),
    ("detection.pairs", "trees on pairs of rows", "score",
     "of a row, the next one and their differences"),
    ("detection.sequences", "trees on whole sequences", "score",
     "of length, means, deviations, extremes, changes, first and last values"),
    ("detection.windows", "trees on windows", "score",
     "of levels, changes, sizes of changes and principal components of a window"),
    ("order.back", "index goes back", "share", "steps to the next row at which the index falls"),
    ("order.repeats", "index repeats", "share", "steps at which it stays as it is"),
    ("order.steps", "steps of the index, KS", "score",
     "largest gap of the cumulative curves of the steps of the index"),
    ("order.trends", "rules over time kept", "share",
     "steps that keep what all real steps do, such as an index that rises; mean over rules"),
    ("order.relations", "rules within rows kept", "share",
     "rows that keep what all real rows do, such as equal columns; mean over rules"),
    ("utility.next_row", "next row predicted", "score",
     "R2 of changes and AUC of categories of models that predict the next held-out row, mean over "
     "columns (reference: models of real sequences)"),
    ("utility.attribute", "context predicted", "score",
     "R2 or AUC of models that predict the context of a held-out sequence"),
    ("privacy.nearest_share", "nearest-sequence share", "score",
     "sequences nearer to training than to as many held-out sequences; clearly above .5 means "
     "that training sequences were memorised"),
    ("privacy.distance_ratio", "distance ratio", "number",
     "median distance to the nearest training sequence, over the same of held-out sequences"),
    ("privacy.copies", "copied stretches", "share",
     "stretches of three rows that stand word for word in a training sequence"),
    ("judges.gru", "recurrent judge, as published", "score",
     "|accuracy - .5| of a GRU half as wide as the inputs"),
    ("judges.gru_64", "recurrent judge, 64 wide", "score", "|accuracy - .5| of a GRU 64 wide"),
    ("judges.context_fid", "Context-FID", "number",
     "distance of embedded sequences; comparable within this table only"),
)  # fmt: skip
_FIXED = {"privacy.nearest_share": 0.5, "privacy.distance_ratio": 1.0}


def score(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None,
    columns: Mapping[str, str],
    keys: Keys,
    seed: int,
    known: SequenceScores | None,
) -> SequenceScores:
    """Scores of the sequences of a report's tables.

    Args:
        real, synthetic, holdout: The tables.
        columns: ``name -> sdtype`` of the columns that are compared.
        keys: What makes sequences of them.
        seed: Of everything random.
        known: Those of another synthetic table beside the same real and held-out rows.

    Raises:
        ValueError: A column of ``keys`` is missing or does not suit; the message names it.
    """
    return score_sequences(
        real,
        synthetic,
        sequence_key=keys.key,
        sequence_index=keys.index,
        context_columns=keys.context,
        holdout=holdout,
        columns=columns,
        seed=seed,
        known=known,
    )


def keys_of(about: Mapping[str, Any], key: str | None, index: str | None,
            context: Sequence[str]) -> Keys | None:  # fmt: skip
    """What is asked for, else what SDV's metadata of the table say; None for a plain table.

    Raises:
        ValueError: There is an index or context without a key.

    Example:
        >>> keys_of({"sequence_key": "who", "sequence_index": "day"}, None, None, ())
        Keys(key='who', index='day', context=())
    """
    found = about.get("sequence_key") if key is None else key
    if found is None:
        if index is not None or context:
            raise ValueError("an index or context columns need a sequence key: name it, too")
        return None
    if not isinstance(found, str):
        raise ValueError(f"one column has to be the sequence key, not {found!r}")
    return Keys(found, about.get("sequence_index") if index is None else index, tuple(context))


def describe(
    found: SequenceScores, real: pd.DataFrame, synthetic: pd.DataFrame, keys: Keys
) -> Sequences:
    """The records of a report. No curve and no bin of them stands for a single sequence."""
    subjects = found.subjects
    lines = [
        Line(key, label, kind, meaning,
             {name: _rounded(each.values.get(key)) for name, each in subjects.items()})
        for key, label, kind, meaning in _LINES if _is_asked(key, found, keys)
    ]  # fmt: skip
    own, held = subjects["synthetic"], subjects.get("holdout")
    references = {} if held is None else {rule.statement: rule.kept for rule in held.rules}
    first, second = (
        table.groupby(keys.key, sort=False, observed=True).size().to_numpy(float)
        for table in (real, synthetic)
    )
    return Sequences(
        key=keys.key,
        index=keys.index,
        context=keys.context,
        counts={"real": len(first)} | {n: each.sequences for n, each in subjects.items()},
        mean_lengths={"real": significant(float(first.mean()))}
        | {n: significant(each.rows / each.sequences) for n, each in subjects.items()},
        window=found.window,
        lines=tuple(lines),
        columns={key: dict(values) for key, values in own.columns.items()},
        curves=_curves(found, own, held),
        lengths=histogram(first, second) if len(first) >= 2 * SMALLEST else None,
        # Those within rows are relations between columns, which a report has of every table.
        rules=tuple(
            Kept(rule.statement, _share(rule.kept), _share(references.get(rule.statement)))
            for rule in own.rules
            if rule.over_time
        ),
    )


def _is_asked(key: str, found: SequenceScores, keys: Keys) -> bool:
    """Whether a line belongs to these sequences: the same for all tables beside the real one."""
    if key.startswith("attributes.") or key == "utility.attribute":
        return bool(keys.context)
    if key in ("order.back", "order.repeats", "order.steps"):
        return keys.index is not None
    if key.startswith("judges.") or key in ("order.trends", "order.relations"):
        return any(key in each.values for each in found.subjects.values())
    if key.startswith("utility.") or key in _FIXED:
        return "holdout" in found.subjects
    if key == "autocorrelation.categories":
        return bool(found.curves["categories"])
    if key.startswith(("autocorrelation.", "cross_correlation.", "msas.", "marginals.distance")):
        return bool(found.curves["levels"])
    return True


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else significant(value, 4)


def _share(value: float | None) -> float | None:
    """A share to four digits that is 1 only where it is."""
    if value is None or not math.isfinite(value):
        return None
    return 1.0 if value == 1 else significant(min(value, 0.9999), 4)


def _curves(
    found: SequenceScores, own: Subject, held: Subject | None
) -> tuple[SequenceCurve, ...]:
    """Curves of the columns, those that are farthest off first."""
    records = []
    for kind, of_columns in found.curves.items():
        for name, curve in of_columns.items():
            off = np.abs(np.subtract(curve, own.curves[kind][name]))
            unseen = None if held is None else held.curves[kind][name]
            records.append(
                SequenceCurve(
                    column=name,
                    kind=kind,
                    lags=found.lags,
                    real=tuple(map(_rounded, curve)),
                    synthetic=tuple(map(_rounded, own.curves[kind][name])),
                    holdout=None if unseen is None else tuple(map(_rounded, unseen)),
                    error=_rounded(float(np.nanmean(off))) if np.isfinite(off).any() else None,
                )
            )
    return tuple(sorted(records, key=lambda each: -(each.error or 0.0)))


def sections(found: Sequences | None) -> tuple[Section, ...]:
    """The measures; nothing for a plain table."""
    if found is None:
        return ()
    measures = tuple(
        Measure(
            f"sequences.{line.key}",
            line.label,
            line.values["synthetic"],
            _FIXED.get(line.key, line.values.get("holdout")),
            line.kind,
            line.meaning,
        )
        for line in found.lines
    )
    return (Section("sequences", f"Sequences (by {found.key!r})", measures),)


def _value(found: Sequences, key: str, subject: str = "synthetic") -> float | None:
    return next((line.values.get(subject) for line in found.lines if line.key == key), None)


def verdicts(found: Sequences | None, alarmed: bool) -> tuple[Verdict, ...]:
    """A verdict on sequences, where there are any.

    Graded by trees on pairs of rows and on whole sequences, beside held-out sequences where they
    are known (else by fixed bounds), by the order in time, and by rules that all real rows keep.
    """
    if found is None:
        return ()
    if alarmed:
        sentence = "The scores of sequences mean nothing here: these are the real ones."
        return (Verdict("sequences", UNKNOWN, sentence, "Judge a sample that is not copied."),)
    told = {
        label: (_value(found, f"detection.{kind}"), _value(found, f"detection.{kind}", "holdout"))
        for kind, label in (("pairs", "pairs of rows"), ("sequences", "whole sequences"))
    }
    known = {label: pair for label, pair in told.items() if pair[0] is not None}
    if not known:
        sentence = "Not judged: there are too few sequences for trees to learn from."
        return (Verdict("sequences", UNKNOWN, sentence, "Give more of them."),)
    grades, said = [], []
    for label, (own, reference) in known.items():
        assert own is not None
        if reference is None:
            grades.append(GOOD if own >= 0.8 else FAIR if own >= 0.4 else BAD)
            said.append(f"{label} {own:.3f}")
        else:
            good = own >= reference - 0.15
            grades.append(GOOD if good else FAIR if own >= reference / 2 else BAD)
            said.append(f"{label} {own:.3f} (held-out {reference:.3f})")
    start = {
        GOOD: "Boosted trees can hardly tell the sequences from real ones",
        FAIR: "Boosted trees tell some of the sequences from real ones",
        BAD: "Boosted trees tell the sequences from real ones easily",
    }
    sentence = f"{start[max(grades, key=GRADES.index)]}: {', '.join(said)}, of 1 each."
    remedy = []
    broken = [
        rule
        for rule in found.rules
        if rule.synthetic is not None and rule.synthetic < (rule.holdout or 1.0)
    ]
    if broken:
        worst = sorted(broken, key=lambda rule: rule.synthetic or 0.0)
        grades.append(BAD if (worst[0].synthetic or 0.0) < 0.99 else FAIR)
        named = [f"{rule.statement} (at {percent(rule.synthetic)} of the steps)" for rule in worst]
        sentence += f" In real sequences, not in all synthetic ones: {few(named, 3)}."
        if found.index is not None and any(r.statement.startswith(found.index) for r in broken):
            remedy.append(f"Sort each sequence by {found.index!r}.")
    grade = max(grades, key=GRADES.index)
    if grade != GOOD:
        below = [
            NAMES[name] for name in ("independent_rows", "copula_over_time")
            if all(
                (_value(found, f"detection.{kind}") or 0.0)
                <= (_value(found, f"detection.{kind}", name) or 0.0)
                for kind in ("pairs", "sequences")
            )
        ]  # fmt: skip
        if below:
            sentence += f" No better than the baseline {few(below)}."
        columns = found.columns.get("transitions.next_row", {})
        worst_columns = sorted(columns, key=lambda name: -columns[name])[:3]
        if worst_columns:
            remedy.append(f"The next row is worst in {few(worst_columns)}: train longer.")
    return (Verdict("sequences", grade, sentence, " ".join(remedy)),)


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
        shown = [line for line in found.lines if line.key.startswith(_IN_TEXT)]
        for line in shown:
            values = "".join(f"{measured(line.values[name], line.kind):>11}" for name in names)
            lines.append(f"  {shortened(line.label, width - 4):<{width - 2}}{values}")
    broken = [rule for rule in found.rules if rule.synthetic is not None and rule.synthetic < 1]
    if broken:
        lines += ["", f"{'Rules of all real sequences that are broken':<58}{'kept':>11}"
                  f"{'held-out':>11}"]  # fmt: skip
        for rule in sorted(broken, key=lambda each: each.synthetic or 0.0)[:IN_TEXT]:
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
