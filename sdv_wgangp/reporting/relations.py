"""Exact relations between columns of the real table, and how often other rows keep them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.relations import find_relations
from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import figures
from sdv_wgangp.reporting.data import BAD, FAIR, SMALLEST, Measure, Relation, Section, Verdict
from sdv_wgangp.reporting.formats import few, measured, percent
from sdv_wgangp.reporting.protection import significant
from sdv_wgangp.reporting.scores import CATEGORIES

IN_TEXT = 12  # relations in the terminal, those that are kept worst
ON_PAGE = 40  # in the table that is not folded
NAMED = 3  # in the verdict
NOISE = 0.01  # by which held-out rows may keep more, where they do not keep all themselves


def describe(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None,
    columns: Mapping[str, str],
) -> tuple[Relation, ...]:
    """The relations of the real rows, and the shares of all rows that keep them.

    Args:
        real, synthetic, holdout: The tables; values of a relation's columns are of the same type.
        columns: ``name -> sdtype`` of the columns that are compared.
    """
    names = list(columns)
    categories = [name for name, sdtype in columns.items() if sdtype in CATEGORIES]
    found = find_relations(real[names], categories=categories, least_rows=SMALLEST)
    rates = [found.rates(table) for table in (synthetic, holdout) if table is not None]
    return tuple(
        Relation(
            relation.kind,
            relation.columns,
            relation.statement,
            relation.rows,
            1.0 if relation.in_all else significant(min(relation.fraction, 0.9999), 4),
            *[_rate(rate) for rate in others],
        )
        for relation, *others in zip(found, *rates, strict=True)
    )


def _rate(rate: float) -> float | None:
    if math.isnan(rate):
        return None
    return rate if rate == 1 else significant(min(rate, 0.9999), 4)


def broken(relations: Sequence[Relation]) -> list[Relation]:
    """Those of all real rows that synthetic rows break, and new real rows do not; worst first."""
    found = []
    for relation in relations:
        if relation.real < 1 or relation.synthetic is None:
            continue
        reference = 1.0 if relation.holdout is None else relation.holdout
        if relation.synthetic < (1.0 if reference == 1 else reference - NOISE):
            found.append(relation)
    return sorted(found, key=lambda relation: relation.synthetic or 0.0)


def verdicts(relations: Sequence[Relation]) -> tuple[Verdict, ...]:
    """A verdict where relations that hold in all real rows are broken; else none."""
    worst = broken(relations)
    if not worst:
        return ()
    total = sum(relation.real == 1 for relation in relations)
    named = [f"{each.statement} (in {percent(each.synthetic)})" for each in worst]
    kept = "relation that holds" if total == 1 else "relations that hold"
    return (
        Verdict(
            "relations",
            BAD if (worst[0].synthetic or 0.0) < 0.99 else FAIR,
            f"{len(worst)} of {total} {kept} in all real rows do not in all synthetic ones: "
            f"{few(named, NAMED)}.",
            "Fit with relations='auto', which keeps them; or give SDV's constraints for these "
            "columns.",
        ),
    )


def sections(relations: Sequence[Relation]) -> tuple[Section, ...]:
    """How many are kept, and how far the shares of the others are off; nothing without any."""
    measures = []
    exact = [each for each in relations if each.real == 1]
    if exact:
        measures.append(
            Measure(
                "relations.kept",
                "relations kept in all rows",
                float(np.mean([each.synthetic in (1, None) for each in exact])),
                _mean([each.holdout == 1 for each in exact if each.holdout is not None]),
                "share",
                "of those that hold in all real rows, such as sums, orders and dependences, those "
                "that hold in all synthetic rows",
            )
        )
    part = [each for each in relations if each.real < 1]
    if part:
        measures.append(
            Measure(
                "relations.share_error",
                "error of relations in a share",
                _mean(
                    [_error(each, each.synthetic) for each in part if each.synthetic is not None]
                ),
                _mean([_error(each, each.holdout) for each in part if each.holdout is not None]),
                "share",
                "mean difference to the share of the real rows in which a relation holds, per "
                "that share; 0 is ideal",
            )
        )
    return (Section("relations", "Relations", tuple(measures)),) if measures else ()


def _error(relation: Relation, rate: float) -> float:
    return abs(rate - relation.real) / relation.real


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def text(relations: Sequence[Relation], held: bool) -> list[str]:
    """Lines for the terminal, at most 80 characters wide: those that are kept worst."""
    if not relations:
        return []
    heads = ["real", "synthetic", *(["held-out"] if held else [])]
    width = 80 - 11 * len(heads)
    shown = sorted(relations, key=lambda each: _kept(each))[:IN_TEXT]
    title = "Relations between columns"
    if len(shown) < len(relations):
        title = f"{len(shown)} of {len(relations)} relations"
    lines = ["", f"{title:<{width}}" + "".join(f"{head:>11}" for head in heads)]
    for each in shown:
        rates = [each.real, each.synthetic, *([each.holdout] if held else [])]
        said = shortened(each.statement, width - 4)
        lines.append(
            f"  {said:<{width - 2}}" + "".join(f"{measured(rate, 'share'):>11}" for rate in rates)
        )
    return lines


def _kept(relation: Relation) -> float:
    """How much of the share in real rows the synthetic ones keep, at most 1."""
    if relation.synthetic is None:
        return 1.0
    return min(relation.synthetic / relation.real, 1.0)


def page(relations: Sequence[Relation], held: bool) -> str:
    """The section of the page; empty without any."""
    if not relations:
        return ""
    heads = ["Relation", "Rows", "Real", "Synthetic", *(["Held-out"] if held else [])]
    rows = []
    for each in relations:
        row = [escape(each.statement), f"{each.rows:,}", percent(each.real)]
        row.append(percent(each.synthetic))
        rows.append([*row, *([percent(each.holdout)] if held else [])])
    captions = "Relations between columns", "Further relations"
    return (
        "<p class='soft'>Exact relations between columns that the real rows hold, found on one "
        "half of them and tested on the other, and the shares of rows that keep them. What "
        "follows from others is left out. (Rows: those that say something, without missing "
        "values; of “= 0 where” and “missing where” those where it is so.)</p>"
        + figures.long_table(heads, rows, captions, "relations", ON_PAGE)
    )
