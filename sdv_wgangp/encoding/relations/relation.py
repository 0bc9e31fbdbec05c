"""A relation between columns: what it says, and in which rows it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.relations.values import REACH, Values

EQUAL, EQUAL_IN_PART = "equal", "equal in part"
LINEAR, DIFFERENCES = "linear", "few differences"
SUM, PRODUCT, RATIO = "sum", "product", "ratio"
AT_MOST, BELOW = "at most", "below"
ZERO, ZEROS_TOGETHER = "zero implies zero", "zero together"
MISSING, MISSING_TOGETHER = "missing implies missing", "missing together"
DEPENDENCE, ONE_TO_ONE = "functional dependence", "one to one"
# In the order in which they are told.
KINDS = (
    EQUAL, LINEAR, SUM, PRODUCT, RATIO, EQUAL_IN_PART, DIFFERENCES, BELOW, AT_MOST, ONE_TO_ONE,
    DEPENDENCE, ZEROS_TOGETHER, ZERO, MISSING_TOGETHER, MISSING,
)  # fmt: skip
OF_SUCH_ROWS = (ZERO, ZEROS_TOGETHER, MISSING, MISSING_TOGETHER)


@dataclass(frozen=True)
class Relation:
    """One relation.

    Attributes:
        kind: One of `KINDS`.
        columns: Names; the first follows from the others (of "zero together" and "missing
            together", which may have more than two, none does).
        rows: Rows that say something about it: those where nothing is missing, of "zero implies
            zero" those where the second column is zero.
        held: Those of them where it holds.
        factor, constant: Of "linear", first = factor * second + constant.
        differences: Of "few differences", the values that first - second has.
        decimals: To which "linear", "product" and "ratio" are rounded; None where they are not.
        unit: Of differences of dates.
        has_zeros: Of "equal in part", whether both columns are zero in some row: that row says
            nothing for it.
        levels: Of dependences, the rows ``[*others, first]`` that the table has.
    """

    kind: str
    columns: tuple[str, ...]
    rows: int = 0
    held: int = 0
    factor: float = 1.0
    constant: float = 0.0
    differences: tuple[float, ...] = ()
    decimals: int | None = None
    unit: str = ""
    has_zeros: bool = False
    levels: pd.DataFrame | None = field(default=None, repr=False, compare=False)

    @property
    def fraction(self) -> float:
        """Of the rows that say something, those where it holds."""
        return self.held / self.rows if self.rows else float("nan")

    @property
    def in_all(self) -> bool:
        """Whether it holds in all of them."""
        return self.held == self.rows

    @property
    def statement(self) -> str:
        """What it says, such as ``"total = net + tax"``."""
        first, *others = self.columns
        if self.kind == LINEAR:
            return f"{first} = {self._line(others[0])}"
        if self.kind == DIFFERENCES:
            return f"{first} - {others[0]} is one of {len(self.differences)} values"
        if self.kind in (ZEROS_TOGETHER, MISSING_TOGETHER):
            what = "0" if self.kind == ZEROS_TOGETHER else "missing"
            return f"{_listed(self.columns)} are {what} together"
        if self.kind == ZERO:
            return f"{first} = 0 where {others[0]} = 0"
        if self.kind == MISSING:
            return f"{first} is missing where {others[0]} is"
        if self.kind == DEPENDENCE:
            return f"{first} follows from {_listed(others)}"
        if self.kind == ONE_TO_ONE:
            return f"{first} and {others[0]} follow from each other"
        if self.kind == EQUAL_IN_PART:
            return f"{first} = {others[0]}" + (" (not 0)" if self.has_zeros else "")
        sign = {EQUAL: "", SUM: " + ", PRODUCT: " * ", RATIO: " / ", AT_MOST: "", BELOW: ""}
        compared = {AT_MOST: "<=", BELOW: "<"}.get(self.kind, "=")
        unit = f" in {self.unit}" if self.unit and self.kind == SUM else ""
        return f"{first} {compared} {sign[self.kind].join(map(str, others))}{unit}"

    def _line(self, other: str) -> str:
        text = str(other) if self.factor == 1 else f"{self.factor:.12g} * {other}"
        if self.constant:
            text += f" {'-' if self.constant < 0 else '+'} {abs(self.constant):.12g}"
        return text + (f" {self.unit}" if self.unit else "")

    def __str__(self) -> str:
        """The statement and how often it holds.

        Example:
            >>> str(Relation(SUM, ("total", "net", "tax"), rows=2000, held=2000))
            'total = net + tax in all 2,000 rows'
            >>> str(Relation(EQUAL_IN_PART, ("paid", "due"), rows=2000, held=300))
            'paid = due in 15.0 % of 2,000 rows'
        """
        rows = f"{self.rows:,}{' such' if self.kind in OF_SUCH_ROWS else ''} rows"
        if self.in_all:
            return f"{self.statement} in all {rows}"
        percent = min(100 * self.fraction, 99.9)
        return f"{self.statement} in {percent:.1f} % of {rows}"

    def check(self, columns: Sequence[np.ndarray] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows that say something, and those where it holds; not of dependences.

        Args:
            columns: Its columns as `Values` has them, float64 ``[rows]`` each.

        Returns:
            Two bool ``[rows]``.
        """
        numbers = np.asarray(columns)
        if self.kind in (MISSING, MISSING_TOGETHER):
            absent: np.ndarray = np.isnan(numbers)
            if self.kind == MISSING:
                return absent[1], absent[0] & absent[1]
            return np.any(absent, axis=0), np.all(absent, axis=0)
        there: np.ndarray = ~np.isnan(numbers).any(0)
        if self.kind in (ZERO, ZEROS_TOGETHER):
            zero: np.ndarray = (numbers == 0) & there
            if self.kind == ZERO:
                return zero[1], zero[0] & zero[1]
            return np.any(zero, axis=0), np.all(zero, axis=0)
        a, b = numbers[0], numbers[1]
        if self.kind == EQUAL:
            held = a == b
        elif self.kind == EQUAL_IN_PART:
            held = (a == b) & (a != 0)
        elif self.kind == AT_MOST:
            held = a <= b
        elif self.kind == BELOW:
            held = a < b
        else:
            held = self.residual(numbers) <= 1
        return there, held

    def result(self, sources: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """What the other columns ``[rows]`` make of the first one, before it is rounded.

        Of an equality, a line, a sum, product or ratio.
        """
        one = sources[0]
        if self.kind == LINEAR:
            return self.factor * one + self.constant
        if self.kind == SUM:
            return one + sources[1]
        if self.kind == PRODUCT:
            return one * sources[1]
        return one / sources[1] if self.kind == RATIO else one

    def residual(self, numbers: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """How far the first column is from what it should be, per what roundings allow."""
        a, b = numbers[0], numbers[1]
        reach = REACH
        half = 0.0 if self.decimals is None else 0.5 * 10.0**-self.decimals
        with np.errstate(all="ignore"):
            if self.kind == DIFFERENCES:
                apart = np.min([np.abs(a - b - each) for each in self.differences], axis=0)
                return apart / (reach * (np.abs(a) + np.abs(b)) + np.finfo(float).tiny)
            result = self.result(numbers[1:])
            if self.kind == SUM:
                size, half = np.abs(b) + np.abs(numbers[2]), 0.0
            elif self.kind == LINEAR:
                size = np.abs(self.factor * b) + abs(self.constant)
            else:
                size = np.abs(result)
            most = half + reach * (np.abs(a) + size)
            apart = np.abs(a - result)
            # Nothing divided by nothing says nothing against it.
            apart = np.where(np.isnan(result) & (a == 0), 0.0, apart)
            return np.where(apart == 0, 0.0, apart / most)


def _listed(names: Sequence[str]) -> str:
    if len(names) > 5:
        return f"{', '.join(map(str, names[:4]))} and {len(names) - 4} more"
    *most, last = map(str, names)
    return f"{', '.join(most)} and {last}" if most else last


@dataclass(frozen=True)
class Relations:
    """The relations of a table, by kind and share; iterable.

    Attributes:
        relations: In the order of `KINDS`, those that hold most often first.
        rows: Of the table.
        tested: Candidates that were tested on rows set aside.
        significance: The chance that any of them is told though it is none.
        categories: Columns of numbers that stand for levels.
        unit: In which dates are measured.
    """

    relations: tuple[Relation, ...]
    rows: int
    tested: int
    significance: float
    categories: tuple[str, ...] = ()
    unit: str = "days"

    def __iter__(self) -> Iterator[Relation]:
        return iter(self.relations)

    def __len__(self) -> int:
        return len(self.relations)

    def of_kind(self, *kinds: str) -> tuple[Relation, ...]:
        """Those of some kinds."""
        return tuple(relation for relation in self.relations if relation.kind in kinds)

    def counts(self, frame: pd.DataFrame) -> list[tuple[int, int]]:
        """For each relation, the rows of another table that say something, and where it holds.

        Of dependences, these are rows whose sources the first table has; what follows from them
        there has to follow here.

        Raises:
            ValueError: a column of a relation is missing from the table; the message names it.
        """
        needed = {name: None for relation in self.relations for name in relation.columns}
        absent = [name for name in needed if name not in frame.columns]
        if absent:
            raise ValueError(
                f"column {absent[0]!r} of a relation is missing from the table: give it"
            )
        values = Values.read(frame[list(needed)], self.categories, self.unit)
        place = {name: index for index, name in enumerate(values.names)}
        found = []
        for relation in self.relations:
            if relation.levels is not None:
                counted, held = _follows(relation, frame)
            else:
                counted, held = relation.check(
                    [values.numbers[place[name]] for name in relation.columns]
                )
            found.append((int(counted.sum()), int((counted & held).sum())))
        return found

    def rates(self, frame: pd.DataFrame) -> list[float]:
        """Shares of `counts`; NaN where no row says anything."""
        return [held / rows if rows else float("nan") for rows, held in self.counts(frame)]


def _follows(relation: Relation, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose sources are known, and those whose value is the one that follows."""
    assert relation.levels is not None
    first, *others = relation.columns
    directions = [(first, others)]
    if relation.kind == ONE_TO_ONE:
        directions.append((others[0], [first]))
    counted = np.zeros(len(frame), dtype=bool)
    held = np.ones(len(frame), dtype=bool)
    for target, sources in directions:
        known = relation.levels.astype(object).drop_duplicates(sources)
        asked = frame[sources].astype(object).reset_index(drop=True)
        result = asked.merge(known, on=sources, how="left", indicator="_merge_of_levels")
        seen = (result["_merge_of_levels"] == "both").to_numpy()
        own = frame[target].astype(object).reset_index(drop=True)
        same = (result[target] == own) | (result[target].isna() & own.isna())
        counted |= seen
        held &= ~seen | same.to_numpy(dtype=bool, na_value=False)
    return counted, held
