"""Columns together: SDMetrics' pair scores, associations, and figures of the worst pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import protection
from sdv_wgangp.reporting.columns import bin_edges, bins_of
from sdv_wgangp.reporting.data import SMALLEST, Associations, Boxes, Cells, Pair, Scatter
from sdv_wgangp.reporting.protection import DAY, Levels
from sdv_wgangp.reporting.scores import NUMBERS, to_codes, to_numbers
from sdv_wgangp.statistics.association import cramers_v, phi_squared

CLASSES = 10  # of a number where it is paired with a category
MAX_LEVELS = 6  # of a category in a figure of a pair
MAX_CELLS = 24  # along each axis
BOX = (0.05, 0.25, 0.5, 0.75, 0.95)
FIGURES = 8  # pairs that are drawn


def describe(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    hidden: Mapping[str, str],
    all_pairs: pd.DataFrame,
    default: pd.DataFrame,
    holdout: pd.DataFrame | None,
) -> tuple[Pair, ...]:
    """All scored pairs, the worst first: figures of the first few whose values may be shown.

    The worst pair is the one whose score is farthest below that of the held-out rows, or below 1
    where there are none.

    Args:
        real, synthetic: The tables.
        columns: ``name -> sdtype`` of the scored columns.
        hidden: ``name -> why its values are not shown``, empty where they are.
        all_pairs, default: SDMetrics' pair scores with thresholds of 0 and with its own.
        holdout: Those of the held-out rows, with thresholds of 0.
    """
    counted = default.set_index(["Column 1", "Column 2"])["Meets Threshold?"].to_dict()
    unseen: dict[tuple[str, str], float] = {}
    if holdout is not None:
        names = zip(holdout["Column 1"], holdout["Column 2"], strict=True)
        unseen = dict(zip(names, holdout["Score"], strict=True))
    scored = []
    for first, second, score in zip(
        all_pairs["Column 1"], all_pairs["Column 2"], all_pairs["Score"], strict=True
    ):
        if not math.isfinite(score):
            continue
        reference = unseen.get((first, second))
        if reference is not None and not math.isfinite(reference):
            reference = None
        meets = counted.get((first, second))
        scored.append((first, second, float(score), reference, meets is not None and meets == 1))
    scored.sort(key=lambda pair: pair[2] - (1 if pair[3] is None else pair[3]))
    records, drawn = [], 0
    for first, second, score, reference, meets in scored:
        shown = drawn < FIGURES and not hidden[first] and not hidden[second]
        drawn += shown
        reference = None if reference is None else float(reference)
        records.append(
            Pair(
                first,
                second,
                score,
                reference,
                bool(meets),
                figure(real, synthetic, columns, first, second) if shown else None,
            )
        )
    return tuple(records)


def figure(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    first: str,
    second: str,
) -> Cells | Boxes | Scatter:
    """A scatter of two numbers, boxes of a number by a category, or a joint table."""
    numeric = [columns[name] in NUMBERS for name in (first, second)]
    tables = real, synthetic
    if all(numeric):
        return _scatter(tables, columns, first, second)
    if not any(numeric):
        return _cells(tables, first, second)
    number, category = (first, second) if numeric[0] else (second, first)
    return _boxes(tables, number, columns[number], category)


def _scatter(tables, columns: Mapping[str, str], first: str, second: str) -> Scatter:
    axes, pairs = [], []
    for name in (first, second):
        is_datetime = columns[name] == "datetime"
        numbers = [
            to_numbers(table[name], columns[name]) / (DAY if is_datetime else 1)
            for table in tables
        ]
        known = numbers[0][np.isfinite(numbers[0])]
        most = int(np.clip(math.sqrt(len(known) / (2 * SMALLEST)), 3, MAX_CELLS))
        axes.append(bin_edges(known, most, is_datetime))
        pairs.append(numbers)
    (x, x_axis), (y, y_axis) = axes
    cells, withheld = [], []
    for across, up in zip(*pairs, strict=True):
        both = np.isfinite(across) & np.isfinite(up)
        place = bins_of(across[both], x) * (len(y) - 1) + bins_of(up[both], y)
        which, counts = np.unique(place, return_counts=True)
        enough = counts >= SMALLEST
        total = max(int(both.sum()), 1)
        cells.append(
            tuple(
                (int(cell // (len(y) - 1)), int(cell % (len(y) - 1)), float(count / total))
                for cell, count in zip(which[enough], counts[enough], strict=True)
            )
        )
        withheld.append(float(counts[~enough].sum() / total))
    return Scatter(
        x=tuple(x.tolist()),
        y=tuple(y.tolist()),
        x_axis=x_axis,
        y_axis=y_axis,
        real=cells[0],
        synthetic=cells[1],
        withheld=(withheld[0], withheld[1]),
    )


def _cells(tables, first: str, second: str) -> Cells:
    by_name = [Levels([table[name] for table in tables]) for name in (first, second)]
    shown = [min(len(levels.labels), MAX_LEVELS) for levels in by_name]
    counts = []
    for one, other in zip(by_name[0].codes, by_name[1].codes, strict=True):
        both = (one >= 0) & (other >= 0)
        table = np.zeros((shown[0] + 1, shown[1] + 1), dtype=np.int64)
        np.add.at(table, (np.minimum(one[both], shown[0]), np.minimum(other[both], shown[1])), 1)
        counts.append(table)
    # Without other levels in either table there is nothing to add up.
    rows, columns = (
        most + any(table.take(most, axis).any() for table in counts)
        for axis, most in enumerate(shown)
    )
    labels = [
        (*levels.labels[:most], "other") for levels, most in zip(by_name, shown, strict=True)
    ]
    fractions = [
        tuple(
            tuple(
                float(count / max(table.sum(), 1)) if count >= SMALLEST or count == 0 else None
                for count in row[:columns]
            )
            for row in table[:rows]
        )
        for table in counts
    ]
    return Cells(labels[0][:rows], labels[1][:columns], fractions[0], fractions[1])


def _boxes(tables, number: str, sdtype: str, category: str) -> Boxes:
    levels = Levels([table[category] for table in tables])
    shown = min(len(levels.labels), MAX_LEVELS)
    boxes = []
    for table, codes in zip(tables, levels.codes, strict=True):
        values = to_numbers(table[number], sdtype)
        if sdtype == "datetime":
            values = values / DAY
        groups = []
        for place in range(shown + 1):
            chosen = np.minimum(codes, shown) == place
            groups.append(protection.safe_quantiles(values[chosen & np.isfinite(values)], BOX))
        boxes.append(tuple(groups))
    names = (*levels.labels[:shown], "other")
    return Boxes(number, names, boxes[0], boxes[1], sdtype == "datetime")


def associations(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: Mapping[str, str]
) -> Associations | None:
    """Pearson correlation of two numbers, Cramer's V of any other pair, of both tables.

    Where a number meets a category it is cut at the tenths of the real rows; a missing value is a
    level of its own. None for fewer than two columns.
    """
    if len(columns) < 2:
        return None
    edges = {}
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            values = to_numbers(real[name], sdtype)
            values = values[np.isfinite(values)]
            inner = np.linspace(0, 1, CLASSES + 1)[1:-1]
            edges[name] = np.unique(np.quantile(values, inner)) if len(values) else np.array([])
    matrices = [_matrix(table, columns, edges) for table in (real, synthetic)]
    plain = [
        tuple(
            tuple(round(float(v), 4) if math.isfinite(v) else None for v in row) for row in matrix
        )
        for matrix in matrices
    ]
    return Associations(tuple(columns), *plain)


def _matrix(
    table: pd.DataFrame, columns: Mapping[str, str], edges: dict[str, np.ndarray]
) -> np.ndarray:
    names = list(columns)
    numbers, codes = {}, {}
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            values = to_numbers(table[name], sdtype)
            numbers[name] = values
            codes[name] = np.where(
                np.isnan(values), len(edges[name]) + 1, np.searchsorted(edges[name], values)
            )
        else:
            (code,), _ = to_codes([table[name]])
            codes[name] = code + 1
    result = np.full((len(names), len(names)), np.nan)
    for row, first in enumerate(names):
        for column in range(row):
            second = names[column]
            if first in numbers and second in numbers:
                value = pearson(numbers[first], numbers[second])
            else:
                value = float(cramers_v(*phi_squared(codes[first], codes[second])))
            result[row, column] = result[column, row] = value
    return result


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation over the rows where both are finite; NaN for a constant.

    Example:
        >>> round(pearson(np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, -1.0])), 6)
        -1.0
    """
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 2:
        return float("nan")
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")
