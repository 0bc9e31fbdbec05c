"""Each column by itself: its summary in both tables, and the figure of its distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import protection
from sdv_wgangp.reporting.data import (
    QUANTILES,
    SMALLEST,
    Bars,
    Column,
    Histogram,
    Rare,
    Summary,
)
from sdv_wgangp.reporting.protection import DAY, Levels
from sdv_wgangp.reporting.scores import CATEGORIES, NUMBERS, to_numbers

BINS = 30
MAX_VALUES = 25  # numbers with so few distinct values get a bar each
MAX_BARS = 12


def describe(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    hidden: Mapping[str, str],
    shapes: pd.DataFrame,
    shapes_holdout: pd.DataFrame | None,
) -> tuple[Column, ...]:
    """The records of all columns.

    Args:
        real, synthetic: The tables.
        columns: ``name -> sdtype``, also of columns that are not scored.
        hidden: ``name -> why its values are not shown``, empty where they are.
        shapes: SDMetrics' scores of the synthetic table, one row per column.
        shapes_holdout: The same of the held-out rows.
    """
    found = shapes.set_index("Column")
    unseen = None if shapes_holdout is None else shapes_holdout.set_index("Column")["Score"]
    records = []
    for name, sdtype in columns.items():
        scored = name in found.index
        records.append(
            Column(
                name=name,
                sdtype=sdtype,
                score=_finite(found["Score"].get(name)),
                reference=None if unseen is None else _finite(unseen.get(name)),
                metric=str(found["Metric"][name]) if scored else "",
                hidden=hidden[name],
                real=summary(real[name], sdtype, not hidden[name]),
                synthetic=summary(synthetic[name], sdtype, not hidden[name]),
                figure=None if hidden[name] else figure(real[name], synthetic[name], sdtype),
            )
        )
    return tuple(records)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def summary(values: pd.Series, sdtype: str, shown: bool = True) -> Summary:
    """Counts and, of numbers and dates that may be shown, moments and quantiles.

    Example:
        >>> found = summary(pd.Series(range(101)), "numerical")
        >>> found.mean, found.quantiles[3], found.quantiles[0]
        (50.0, 50.0, None)
    """
    present = values.dropna()
    counted = Summary(len(values), int(present.nunique()), float(values.isna().mean()))
    if sdtype not in NUMBERS or not shown:
        return counted
    numbers = to_numbers(values, sdtype)
    finite = numbers[np.isfinite(numbers)]
    if len(finite) < 2 * SMALLEST:
        return counted
    if sdtype == "datetime":
        low, high = protection.inner_range(finite)
        spread = high - low
        quantiles = tuple(
            None if value is None else protection.moment(value, spread)
            for value in protection.safe_quantiles(finite, QUANTILES)
        )
        days = protection.significant(float(finite.std()) / DAY)
        moment = protection.moment(float(finite.mean()), spread)
        return replace(counted, mean=moment, sd=f"{days:g} days", quantiles=quantiles)
    sd = float(finite.std())
    mean = float(finite.mean())
    if sd > 0:
        mean = protection.rounded(mean, protection.round_step(sd, 200))
    return replace(
        counted,
        zeros=float(np.mean(numbers == 0)),
        mean=mean,
        sd=protection.significant(sd),
        quantiles=protection.safe_quantiles(finite, QUANTILES),
    )


def figure(real: pd.Series, synthetic: pd.Series, sdtype: str) -> Bars | Histogram | None:
    """What is drawn of a column; None where there is too little."""
    if sdtype not in NUMBERS:
        return _bars(Levels([real, synthetic]))
    numbers, others = (to_numbers(values, sdtype) for values in (real, synthetic))
    numbers, others = numbers[np.isfinite(numbers)], others[np.isfinite(others)]
    if len(numbers) < 2 * SMALLEST:
        return None
    if sdtype == "numerical" and len(np.unique(numbers)) <= MAX_VALUES:
        return _value_bars(numbers, others)
    return histogram(numbers, others, sdtype == "datetime")


def _bars(levels: Levels) -> Bars:
    """The most frequent named levels; the last bar is the rest."""
    shown = len(levels.labels) if len(levels.labels) <= MAX_BARS else MAX_BARS - 1
    fractions = []
    for codes in levels.codes:
        present = codes[codes >= 0]
        counts = np.bincount(np.minimum(present, shown), minlength=shown + 1)
        fractions.append(tuple(float(count) / max(len(present), 1) for count in counts))
    labels = [*levels.labels[:shown], "other"]
    others = levels.others + len(levels.labels) - shown
    if fractions[0][-1] == fractions[1][-1] == 0:
        labels, fractions = labels[:-1], [each[:-1] for each in fractions]
    return Bars(tuple(labels), fractions[0], fractions[1], others)


def _value_bars(real: np.ndarray, synthetic: np.ndarray) -> Bars:
    """A bar for each value of ten real rows, in their order; the last one is all others."""
    values, counts = np.unique(real, return_counts=True)
    named = values[counts >= SMALLEST]
    fractions = []
    for numbers in (real, synthetic):
        own = [float(np.count_nonzero(numbers == value)) / max(len(numbers), 1) for value in named]
        fractions.append((*own, max(0.0, 1 - sum(own))))
    labels = [f"{value:.12g}" for value in named] + ["other"]
    if max(fractions[0][-1], fractions[1][-1]) < 1e-9:
        labels, fractions = labels[:-1], [each[:-1] for each in fractions]
    return Bars(tuple(labels), fractions[0], fractions[1], len(values) - len(named))


def histogram(real: np.ndarray, synthetic: np.ndarray, is_datetime: bool = False) -> Histogram:
    """About thirty bins between round numbers; logarithmic where positive values need it.

    The bins reach to where ten real rows, and .5 % of them, lie beyond; the outer ones hold
    what is outside.

    Args:
        real, synthetic: Finite numbers (nanoseconds since 1970 of datetimes).
        is_datetime: Whether they are that.
    """
    if is_datetime:
        real, synthetic = real / DAY, synthetic / DAY
    edges, axis = bin_edges(real, BINS, is_datetime)
    gathered = bool(min(real.min(), synthetic.min(initial=np.inf)) < edges[0]) or bool(
        max(real.max(), synthetic.max(initial=-np.inf)) > edges[-1]
    )
    return Histogram(
        edges=tuple(edges.tolist()),
        real=fractions_of(real, edges),
        synthetic=fractions_of(synthetic, edges),
        axis=axis,
        gathered=gathered,
    )


def fractions_of(values: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    """Shares of ``values`` in the bins, those beyond in the outer ones."""
    counts = np.bincount(bins_of(values, edges), minlength=len(edges) - 1)
    return tuple(float(count) / max(len(values), 1) for count in counts)


def bins_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of every value, that of the outer ones for what lies beyond."""
    return np.clip(np.searchsorted(edges, values, "right") - 1, 0, len(edges) - 2)


def bin_edges(real: np.ndarray, most: int, is_datetime: bool = False) -> tuple[np.ndarray, str]:
    """Round edges of at most about so many bins over the inner range of real values.

    Returns:
        The edges, and "linear", "log" or "datetime".
    """
    low, high = protection.inner_range(real)
    axis = "datetime" if is_datetime else "linear"
    if not is_datetime and real.min() > 0 and np.quantile(real, 0.99) > 10 * np.median(real):
        axis = "log"
        low, high = math.log10(low), math.log10(high)
    if not high > low:
        step = protection.round_step(abs(low), 10)
        low, high = low - step, high + step
    step = protection.round_step(high - low, most)
    if axis == "linear" and step < 1 and np.array_equal(real, np.round(real)):
        step = 1.0
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    whole = axis == "linear" and np.array_equal(real, np.round(real))
    if whole and last * step <= high + 1e-9:
        last += 1  # bins are open above: the highest whole number gets one
    edges = np.array([protection.rounded(k * step, step) for k in range(first, last + 1)])
    return (_powers(edges), axis) if axis == "log" else (edges, axis)


def _powers(edges: np.ndarray) -> np.ndarray:
    """Ten to the power of ``edges``, to four significant digits."""
    return np.array([protection.significant(10.0**edge, 4) for edge in edges])


def rare_levels(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    holdout: pd.DataFrame | None,
    columns: Mapping[str, str],
) -> tuple[Rare, ...]:
    """How many levels of each category the other tables have, those of few real rows apart."""
    tables = [table for table in (real, synthetic, holdout) if table is not None]
    records = []
    for name, sdtype in columns.items():
        if sdtype not in CATEGORIES:
            continue
        levels = Levels([table[name] for table in tables])
        named = len(levels.labels)
        if named + levels.others == 0:
            continue
        frequent = [int(known[:named].sum()) for known in levels.known[1:]]
        rare = [int(known[named:].sum()) for known in levels.known[1:]]
        rows = [float(np.mean(codes == named)) for codes in levels.codes[:2]]
        records.append(
            Rare(
                column=name,
                frequent=named,
                frequent_synthetic=frequent[0],
                frequent_holdout=frequent[1] if holdout is not None else None,
                rare=levels.others,
                rare_synthetic=rare[0],
                rare_holdout=rare[1] if holdout is not None else None,
                rows=rows[0],
                rows_synthetic=rows[1],
            )
        )
    return tuple(records)
