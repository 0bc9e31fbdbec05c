"""Sequences in a report: what comes after what, beside held-out sequences and two baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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
from sdv_wgangp.reporting.formats import few, percent
from sdv_wgangp.reporting.protection import significant
from sdv_wgangp.reporting.scores.sequences import (
    BASELINES,
    SequenceScores,
    Subject,
    score_sequences,
)

NAMES = {
    "synthetic": "synthetic",
    "holdout": "held-out",
    "independent_rows": "independent rows",
    "copula_over_time": "copula over time",
}
GRADES = (GOOD, FAIR, BAD)
LIKE_REAL = 0.5  # held-out sequences that score less are no reference
_TOLD_APART = {
    GOOD: "Boosted trees can hardly tell the sequences from real ones",
    FAIR: "Boosted trees tell some of the sequences from real ones",
    BAD: "Boosted trees tell the sequences from real ones easily",
}


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
    ("marginals.per_sequence", "categories of one, KS", "score",
     "mean over columns of the largest gap of the cumulative curves of how many different ones a "
     "sequence has"),
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
    if key in ("autocorrelation.categories", "marginals.per_sequence"):
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

    The worst of: trees on pairs of rows and on whole sequences, beside held-out sequences where
    these can hardly be told from the real ones (else by fixed bounds); rules that all real steps
    keep; nearness to training sequences.
    """
    if found is None:
        return ()
    if alarmed:
        sentence = "The scores of sequences mean nothing here: these are the real ones."
        return (Verdict("sequences", UNKNOWN, sentence, "Judge a sample that is not copied."),)
    judged = [each for each in (_by_trees(found), _by_rules(found), _by_nearness(found)) if each]
    if not any(each.key == "detection" for each in judged):
        sentence = "Not judged: there are too few sequences for trees to learn from."
        return (Verdict("sequences", UNKNOWN, sentence, "Give more of them."),)
    grade = max((each.grade for each in judged), key=GRADES.index)
    sentence = " ".join(each.sentence for each in judged)
    remedy = " ".join(each.remedy for each in judged if each.remedy)
    return (Verdict("sequences", grade, sentence, remedy),)


def _by_trees(found: Sequences) -> Verdict | None:
    """How far trees tell the sequences from real ones, and what they are no better than."""
    grades, said, drifts = [], [], False
    for kind, label in (("pairs", "pairs of rows"), ("sequences", "whole sequences")):
        own = _value(found, f"detection.{kind}")
        if own is None:
            continue
        reference = _value(found, f"detection.{kind}", "holdout")
        text = f"{label} {own:.3f}"
        if reference is None or reference < LIKE_REAL:
            drifts |= reference is not None
            grades.append(GOOD if own >= 0.8 else FAIR if own >= 0.4 else BAD)
        else:
            good = own >= reference - 0.15
            grades.append(GOOD if good else FAIR if own >= reference / 2 else BAD)
        said.append(text if reference is None else f"{text} (held-out {reference:.3f})")
    if not grades:
        return None
    grade = max(grades, key=GRADES.index)
    sentence = f"{_TOLD_APART[grade]}: {', '.join(said)}, of 1 each."
    if drifts:
        sentence += " Held-out sequences are told from the real ones, too: they differ by time."
    remedy = ""
    if grade != GOOD:
        below = [NAMES[name] for name in BASELINES if _no_better(found, name)]
        sentence += f" No better than the baseline {few(below)}." if below else ""
        columns = found.columns.get("transitions.next_row", {})
        if columns:
            worst = sorted(columns, key=lambda name: -columns[name])[:3]
            remedy = f"The next row is worst in {few(worst)}: train longer."
    return Verdict("detection", grade, sentence, remedy)


def _no_better(found: Sequences, name: str) -> bool:
    """Whether trees tell the sequences at least as easily as those of a baseline."""
    keys = ("detection.pairs", "detection.sequences")
    return all((_value(found, k) or 0.0) <= (_value(found, k, name) or 0.0) for k in keys)


def _by_rules(found: Sequences) -> Verdict | None:
    """What all real steps keep and some synthetic ones do not."""
    broken = [
        rule
        for rule in found.rules
        if rule.synthetic is not None and rule.synthetic < (rule.holdout or 1.0)
    ]
    if not broken:
        return None
    worst = sorted(broken, key=lambda rule: rule.synthetic or 0.0)
    named = [f"{rule.statement} (at {percent(rule.synthetic)} of the steps)" for rule in worst]
    back = any(rule.statement.startswith(f"{found.index} ") for rule in broken)
    return Verdict(
        "rules",
        BAD if (worst[0].synthetic or 0.0) < 0.99 else FAIR,
        f"In real sequences, not in all synthetic ones: {few(named, 3)}.",
        f"Sort each sequence by {found.index!r}, or spread what repeats." if back else "",
    )


def _by_nearness(found: Sequences) -> Verdict | None:
    """Whether training sequences shine through; None where they do not."""
    share = _value(found, "privacy.nearest_share")
    if share is None:
        return None
    # Two standard errors of a share that as few held-out sequences decide.
    noise = 1 / math.sqrt(max(1, min(found.counts["holdout"], found.counts["synthetic"])))
    if share <= 0.5 + max(0.04, noise):
        return None
    return Verdict(
        "nearness",
        FAIR if share <= 0.5 + max(0.1, 2 * noise) else BAD,
        f"{percent(share)} lie nearer to training than to held-out sequences (50 % is ideal).",
        "Fit fewer epochs, or to more sequences.",
    )
