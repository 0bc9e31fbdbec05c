"""Levels and clusters of the real rows that have got lost, in words that protect single rows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from sdv_wgangp.reporting import figures
from sdv_wgangp.reporting.data import BAD, FAIR, SMALLEST, Measure, Mode, Section, Verdict
from sdv_wgangp.reporting.formats import counted, few, percent
from sdv_wgangp.reporting.protection import label, significant
from sdv_wgangp.reporting.scores import Coverage, to_codes
from sdv_wgangp.reporting.scores import Mode as Found

CHANCE = 0.001  # modes that are as few by chance in more cases are not called lost
NAMED = 3  # in the verdict


def describe(
    found: Coverage, real: pd.DataFrame, hidden: dict[str, str], chance: float = CHANCE
) -> tuple[Mode, ...]:
    """What has got lost beyond chance, the worst first.

    Args:
        found: Of all synthetic rows.
        real: The real rows, to see which levels may be named.
        hidden: Why no value of a column may be shown, by column; empty where they may.
        chance: Largest probability that nothing is lost.
    """
    return tuple(
        Mode(
            mode.kind,
            mode.columns,
            _statement(mode, real, hidden),
            mode.rows,
            significant(mode.real, 4),
            significant(mode.synthetic, 4),
        )
        for mode in found.lost(chance=chance)
        if mode.rows >= SMALLEST
    )


def _statement(mode: Found, real: pd.DataFrame, hidden: dict[str, str]) -> str:
    parts = []
    for name, value in zip(mode.columns, mode.values, strict=True):
        if value is None:
            parts.append(f"{name} missing")
        elif hidden.get(name) or not _named(real[name], value):
            parts.append(name)
        else:
            is_number = mode.kind == "cluster" and value in ("low", "high")
            parts.append(f"{name} {value}" if is_number else f"{name} = {label(value)}")
    return ", ".join(parts)


def _named(values: pd.Series, level: object) -> bool:
    """Whether a level may be named: enough real rows have it, or it is no level."""
    if level == "":
        return False
    if level in ("low", "high") and pd.api.types.is_numeric_dtype(values):
        return True
    (codes, _), levels = to_codes([values, values.iloc[:0]])
    return level in levels and int((codes == levels.index(level)).sum()) >= SMALLEST


def verdicts(modes: Sequence[Mode]) -> tuple[Verdict, ...]:
    """A verdict where modes have got lost; else none."""
    if not modes:
        return ()
    # Levels say what is lost better than clusters, which may be lost because of them.
    worst = sorted(modes, key=lambda each: (each.kind != "level", each.synthetic - each.real))
    named = [
        f"{each.statement} ({each.kind}; {percent(each.real)} of the real rows, "
        f"{percent(each.synthetic)} of the synthetic ones)"
        for each in worst
    ]
    missed = sum(each.real - each.synthetic for each in modes if each.kind == "cluster")
    return (
        Verdict(
            "modes",
            BAD if missed > 0.02 or any(each.synthetic == 0 for each in modes) else FAIR,
            f"{counted(len(modes), 'mode')} of the real rows came with less than half "
            f"{'its' if len(modes) == 1 else 'their'} share: {few(named, NAMED)}.",
            "Match statistics (meta_features='auto'), train longer, or draw these rows under "
            "conditions.",
        ),
    )


def section(own: Coverage, reference: Coverage | None) -> Section:
    """How many levels and clusters come with less than half their share.

    Args:
        own: Of as many synthetic rows as there are held-out ones.
        reference: Of the held-out rows.
    """

    def measure(kind: str, meaning: str) -> Measure:
        other = None if reference is None else float(len(reference.lost(kind)))
        lost = float(len(own.lost(kind)))
        return Measure(f"coverage.{kind}s", f"{kind}s lost", lost, other, "number", meaning)

    return Section(
        "coverage",
        "Coverage of modes",
        (
            measure(
                "level",
                "levels (and missing values) of at least .5 % of the real rows that come with "
                "less than half their share; the reference shows what chance takes from as many "
                "new rows",
            ),
            measure(
                "cluster",
                "the same of clusters of the real rows (k-means, k = 20, of whitened ranks)",
            ),
        ),
    )


def page(modes: Sequence[Mode]) -> str:
    """The section of the page."""
    about = (
        "<p class='soft'>Levels and clusters of at least .5 % of the real rows that came with "
        "less than half their share, and of which so few would hardly come by chance. A cluster "
        "is described by the columns in which it differs most.</p>"
    )
    if not modes:
        return about + "<p>None is lost.</p>"
    rows = [
        [escape(each.statement), each.kind, percent(each.real), percent(each.synthetic)]
        for each in modes
    ]
    heads = ["Mode", "Kind", "Real", "Synthetic"]
    return about + figures.table(heads, rows, "Lost modes")
