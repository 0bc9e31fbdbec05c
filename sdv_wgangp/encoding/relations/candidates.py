"""Patterns between columns, found on some rows: what may be a relation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.relations import counting
from sdv_wgangp.encoding.relations.relation import (
    AT_MOST,
    DIFFERENCES,
    EQUAL,
    EQUAL_IN_PART,
    LINEAR,
    MISSING,
    PRODUCT,
    RATIO,
    SUM,
    ZERO,
    Relation,
)
from sdv_wgangp.encoding.relations.values import CATEGORY, DATE, LARGE, NUMBER, Values

HEAD = 256  # rows that differences and lines are first seen on
FEW_ROWS = 20  # with less of them nothing is looked for
NO_TIE = 0.999  # of what rounding allows: a line that ends between two values rounds to either
FEW_LEVELS = 10  # numbers of fewer values are equal, or on a line, by chance


@dataclass(frozen=True)
class Limits:
    """What counts as a candidate: the arguments of `find_relations` of the same names."""

    least_fraction: float
    least_triple_fraction: float
    lift: float
    most_differences: int


class Summary:
    """What the search asks of every column.

    Args:
        values: Of the columns.
        rows: The rows to search, ascending by nothing, float64 ``[columns, rows]``.
    """

    def __init__(self, values: Values, rows: np.ndarray) -> None:
        self.values, self.rows, self.kinds = values, rows, values.kinds
        ordered = np.sort(rows, axis=1)  # missing ones last
        self.present = ~np.isnan(rows)
        self.known = self.present.sum(1)
        steps = (ordered[:, 1:] > ordered[:, :-1]).sum(1)
        self.distinct = np.where(self.known > 0, steps + 1, 0)
        last = np.maximum(self.known - 1, 0)
        self.low, self.high = ordered[:, 0], ordered[np.arange(len(rows)), last]
        self.zero = (rows == 0) & (self.kinds == NUMBER)[:, None]
        there, zero = self.present.astype(np.float32), self.zero.astype(np.float32)
        self.both = (there @ there.T).astype(np.int64)
        self.both_zero = (zero @ zero.T).astype(np.int64)
        self.zero_and_present = (zero @ there.T).astype(np.int64)
        self.both_missing = ((1 - there) @ (1 - there).T).astype(np.int64)
        self.same_kind = self.kinds[:, None] == self.kinds
        threads = counting.threads_available()
        self.equal, self.below = counting.count_pairs(rows, threads)
        always = (self.equal == self.both) & self.same_kind & (self.both >= FEW_ROWS)
        always &= self.distinct > 1
        self.always_equal = always & always.T
        same = self.always_equal & (self.both == self.known[:, None]) & (self.both == self.known)
        # Columns that equal an earlier one take no part in the rest of the search.
        self.is_first = ~np.tril(same, -1).any(1)
        self.varies = self.distinct > 1
        self.is_arithmetic = np.isin(self.kinds, (NUMBER, DATE))


def of_pairs(summary: Summary, limits: Limits) -> Iterator[Relation]:
    """Equality, order, zero and missing together."""
    s, names = summary, summary.values.names
    use = s.is_first & s.varies
    comparable = s.same_kind & (s.both >= FEW_ROWS)
    for later, earlier in np.argwhere(np.tril(s.always_equal, -1)):
        if earlier == np.flatnonzero(s.always_equal[later])[0] or s.is_first[later]:
            yield Relation(EQUAL, (names[later], names[earlier]))
    fraction = (s.equal - s.both_zero) / np.maximum(s.both, 1)
    many = s.distinct >= np.where(s.kinds == CATEGORY, 3, FEW_LEVELS)
    part = comparable & (fraction >= limits.least_fraction) & ~s.always_equal
    part &= np.outer(use & many, use & many)
    frequencies: dict[int, tuple[np.ndarray, np.ndarray]] = {
        int(place): _frequencies(s.rows[place])
        for place in np.flatnonzero(part.any(1) & (s.kinds == CATEGORY))
    }
    for later, earlier in np.argwhere(np.tril(part, -1)):
        candidate = Relation(EQUAL_IN_PART, (names[later], names[earlier]))
        same = s.rows[later][s.rows[later] == s.rows[earlier]]
        if len(np.unique(same[same != 0][:HEAD])) < 3:
            continue  # a level that both have at once, such as a mark of missing values
        if s.kinds[later] == CATEGORY:
            by_chance = _equal_by_chance(frequencies, later, earlier)
            if fraction[later, earlier] >= limits.lift * by_chance:
                yield candidate
        elif _stands_out(s, candidate, limits.lift):
            yield candidate
    ordered = comparable & (s.kinds != CATEGORY) & (s.equal + s.below == s.both)
    ordered &= ~s.always_equal & (s.high[:, None] > s.low) & np.outer(use, use)
    ordered &= np.maximum.outer(s.distinct, s.distinct) > 2
    np.fill_diagonal(ordered, False)
    for low, high in np.argwhere(ordered):
        yield Relation(AT_MOST, (names[low], names[high]))
    zeros = s.zero.sum(1)
    implied = (s.both_zero == s.zero_and_present) & (s.zero_and_present > 0) & np.outer(use, use)
    implied &= zeros < s.known
    missing = len(s.rows[0]) - s.known
    absent = (s.both_missing == missing[:, None]) & (missing > 0)[:, None]
    for kind, found in ((ZERO, implied), (MISSING, absent)):
        np.fill_diagonal(found, False)
        for source, target in np.argwhere(found):
            yield Relation(kind, (names[target], names[source]))


def _frequencies(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels of a category, ascending, and their shares of the rows that have one."""
    levels, counts = np.unique(codes[~np.isnan(codes)], return_counts=True)
    return levels, counts / max(counts.sum(), 1)


def _equal_by_chance(
    frequencies: dict[int, tuple[np.ndarray, np.ndarray]], one: int, other: int
) -> float:
    """In what share of the rows two independent categories are equal."""
    (levels, shares), (own, parts) = frequencies[int(one)], frequencies[int(other)]
    _, first, second = np.intersect1d(levels, own, assume_unique=True, return_indices=True)
    return float(shares[first] @ parts[second])


def of_differences(summary: Summary, limits: Limits) -> Iterator[Relation]:
    """Columns that differ by few values, and those on a line with another one."""
    s, names = summary, summary.values.names
    asked = s.is_first & s.is_arithmetic & (s.distinct >= FEW_LEVELS) & (s.known >= FEW_ROWS)
    use: list[int] = np.flatnonzero(asked).tolist()
    with np.errstate(all="ignore"):
        related = pd.DataFrame(s.rows[use, :HEAD].T).corr(min_periods=FEW_ROWS).abs().to_numpy()
    for place, target in enumerate(use):
        for other, source in enumerate(use[:place]):
            if not s.same_kind[target, source] or s.always_equal[target, source]:
                continue
            if related[place, other] > 0.99:
                both = _line(s, target, source), _line(s, source, target)
                lines = [line for line in both if line is not None]
                if lines:
                    yield min(lines, key=lambda line: len(line.statement))
                    continue
            some = _differences(s, target, source, HEAD)
            few = limits.most_differences
            if len(some) > few or min(s.distinct[[target, source]]) < 4 * len(some):
                continue
            values = _differences(s, target, source)
            if 1 < len(values) <= few and min(s.distinct[[target, source]]) >= 4 * len(values):
                yield Relation(
                    DIFFERENCES, (names[target], names[source]), differences=tuple(values.tolist())
                )


def _digits(summary: Summary, *columns: int) -> int:
    """To which differences are rounded before they are counted."""
    known = [summary.values.decimals[column] for column in columns]
    return max(9 if each is None else each for each in known)


def _differences(
    summary: Summary, target: int, source: int, rows: int | None = None
) -> np.ndarray:
    apart = summary.rows[target, :rows] - summary.rows[source, :rows]
    return np.unique(np.round(apart[~np.isnan(apart)], _digits(summary, target, source)))


def _line(summary: Summary, target: int, source: int) -> Relation | None:
    """The line with the fewest digits that the target lies on, rounded to its decimals."""
    a, b = summary.rows[target], summary.rows[source]
    there = ~np.isnan(a) & ~np.isnan(b)
    a, b = a[there], b[there]
    low, high = np.argmin(b), np.argmax(b)
    if b[low] == b[high]:
        return None
    slope = float((a[high] - a[low]) / (b[high] - b[low]))
    is_date = summary.kinds[target] == DATE
    decimals = None if is_date else summary.values.decimals[target]
    pair = (summary.values.names[target], summary.values.names[source])
    unit = summary.values.unit if is_date else ""
    for digits in range(1, 13):
        factor = float(f"{slope:.{digits - 1}e}")
        rest = a - factor * b
        middle = float(rest.min() + rest.max()) / 2
        for places in range(min(digits, 9) + 1):
            constant = round(middle, places) + 0.0
            if factor == 1 and not constant:
                continue
            line = Relation(
                LINEAR, pair, factor=factor, constant=constant, decimals=decimals, unit=unit
            )
            if (line.residual([a, b]) < NO_TIE).all():
                return line
        if np.ptp(rest) > 1e3 * (1 + abs(middle)) and digits > 6:
            return None
    return None


def of_triples(summary: Summary, limits: Limits) -> Iterator[Relation]:
    """Sums, products and ratios of two columns."""
    s = summary
    use = np.flatnonzero(s.is_first & s.is_arithmetic & (s.distinct > 2) & (s.known >= FEW_ROWS))
    decimals = [s.values.decimals[column] for column in use]
    found = counting.find_triples(
        s.rows[use],
        s.values.reach[use],
        np.array([0.0 if each is None else 0.5 * 10.0**-each for each in decimals]),
        s.kinds[use] == DATE,
        s.distinct[use] >= FEW_LEVELS,
        limits.least_triple_fraction,
        counting.threads_available(),
    )
    for kind, *places, told, held in found:
        columns = tuple(s.values.names[use[place]] for place in places)
        has_date = bool((s.kinds[use[places]] == DATE).any())
        candidate = Relation(
            (SUM, PRODUCT, RATIO)[kind],
            columns,
            decimals=None if kind == 0 else decimals[places[0]],
            unit=s.values.unit if has_date else "",
        )
        if told == held or _stands_out(s, candidate, limits.lift):
            yield candidate


def _stands_out(summary: Summary, candidate: Relation, lift: float) -> bool:
    """Whether no other difference to what a column should be is nearly as frequent as none."""
    place = [summary.values.names.index(name) for name in candidate.columns]
    rows = summary.rows[place]
    rows = rows[:, ~np.isnan(rows).any(0) & (rows != 0).any(0)]
    _, held = candidate.check(rows)
    with np.errstate(all="ignore"):
        result = rows[1]
        if candidate.kind in (SUM, PRODUCT, RATIO):
            result = (np.add, np.multiply, np.divide)[(SUM, PRODUCT, RATIO).index(candidate.kind)](
                rows[1], rows[2]
            )
        apart = np.round(rows[0] - result, _digits(summary, place[0]))
    apart = apart[~held & np.isfinite(apart) & (apart != 0)]
    if not len(apart):
        return True
    if summary.kinds[place[0]] == LARGE:
        return True
    return bool(held.sum() >= lift * np.unique(apart, return_counts=True)[1].max())
