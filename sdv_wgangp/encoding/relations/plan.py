"""Which of the relations of a table its encoding holds, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.relations.holding import (
    ALWAYS_COPIED,
    COPIED,
    FOLLOWS,
    MENDED,
    REBUILT,
    Held,
    HeldRelations,
    ValuesOf,
    combination,
    without_levels,
)
from sdv_wgangp.encoding.relations.relation import (
    AT_MOST,
    BELOW,
    DIFFERENCES,
    EQUAL,
    EQUAL_IN_PART,
    LINEAR,
    MISSING,
    MISSING_TOGETHER,
    PRODUCT,
    RATIO,
    SUM,
    ZERO,
    ZEROS_TOGETHER,
    Relation,
    Relations,
)
from sdv_wgangp.encoding.relations.values import DATE, NUMBER, Values, with_dates

MAKES = (EQUAL, LINEAR, SUM, PRODUCT, RATIO)
TOGETHER = (ZEROS_TOGETHER, MISSING_TOGETHER)
WATCHED = (*MAKES, BELOW, AT_MOST, ZERO, ZEROS_TOGETHER, DIFFERENCES)
OF_MISSING = (MISSING, MISSING_TOGETHER)

Column = CategoricalColumn | NumericColumn


def plan(
    relations: Relations,
    frame: pd.DataFrame,
    columns: Mapping[Any, Column],
    *,
    derived: Mapping[Any, Any],
    fixed: Collection[str] = (),
    levels: Collection[str] = (),
    dates: Collection[str] = (),
    copies_of_a_column: int = 8,
    quantiles: int = 1024,
) -> HeldRelations:
    """Choose how each relation is held.

    Every column follows from others in an order without circles; a relation that would close one
    is not held, unless another of its columns can follow. Rows keep it then as far as the
    generator learns it.

    Args:
        relations: Of the table.
        frame: The table.
        columns: Its columns, fitted, by name.
        derived: Columns that follow from the codes of another one, and from which.
        fixed: Columns that nothing may change.
        levels: Columns of numbers with a fixed set of values: these can be mended, not made.
        dates: Columns of nanoseconds since 1970, which the relations take for dates.
        copies_of_a_column: Copies that a column has at most, the most frequent ones.
        quantiles: Steps of rank at which values of a column are known.
    """
    return _Plan(
        relations, frame, columns, derived, fixed, levels, dates, copies_of_a_column, quantiles
    ).result()


class _Plan:
    def __init__(
        self,
        relations: Relations,
        frame: pd.DataFrame,
        columns: Mapping[Any, Column],
        derived: Mapping[Any, Any],
        fixed: Collection[str],
        levels: Collection[str],
        dates: Collection[str],
        copies_of_a_column: int,
        quantiles: int,
    ):
        self.relations, self.frame, self.columns = relations, frame, columns
        self.fixed = set(fixed) | set(derived)
        self.levels, self.dates = set(levels), set(dates)
        self.most_copies, self.steps_of_rank = copies_of_a_column, quantiles
        self.parents: dict[str, set[str]] = {name: {source} for name, source in derived.items()}
        self.steps: list[Held] = []
        self.made: dict[str, Relation] = {}  # columns that a relation makes whole
        named = {name: None for relation in relations for name in relation.columns}
        read = with_dates(frame[list(named)], [name for name in named if name in self.dates])
        self.read = Values.read(read, relations.categories, relations.unit)
        self.place = {name: index for index, name in enumerate(self.read.names)}
        self.values: dict[str, ValuesOf] = {}

    def result(self) -> HeldRelations:
        exact = [relation for relation in self.relations.of_kind(*MAKES) if relation.in_all]
        for how in (REBUILT, ALWAYS_COPIED):
            for relation in exact:
                self._make(relation, how)
        for relation in sorted(
            self.relations.of_kind(EQUAL_IN_PART, SUM, PRODUCT, RATIO),
            key=lambda each: -each.fraction,
        ):
            if not relation.in_all or relation.kind == EQUAL_IN_PART:
                self._copy(relation)
        for kinds in (OF_MISSING, (ZERO, ZEROS_TOGETHER), (DIFFERENCES,), (BELOW, AT_MOST)):
            for relation in self.relations.of_kind(*kinds):
                for one in _in_pairs(relation):
                    self._mend(one)
        for relation in self.relations.of_kind(*FOLLOWS):
            self._follow(relation)
        depth = {name: self._depth(name) for name in self.parents}
        steps = sorted(self.steps, key=lambda step: depth[step.target])  # stable
        watched = tuple(
            one
            for relation in self.relations.of_kind(*WATCHED)
            if relation.in_all and (relation in self.made.values() or relation.kind not in MAKES)
            for one in _in_pairs(relation)
            if all(map(self._has_values, one.columns))
        )
        used = {n for step in steps for n in step.relation.columns}
        used |= {n for relation in watched for n in relation.columns}
        return HeldRelations(
            tuple(steps), {n: own for n, own in self.values.items() if n in used}, watched
        )

    # --- the columns

    def _numbers(self, names: Iterable[str]) -> list[np.ndarray]:
        return [self.read.numbers[self.place[name]] for name in names]

    def _has_values(self, name: str) -> bool:
        """Whether it is a column of numbers or dates whose values can be made."""
        column = self.columns[name]
        if self.read.kinds[self.place[name]] not in (NUMBER, DATE):
            return False
        if name not in self.values:
            self.values[name] = self._values_of(name, column)
        return True

    def _has_levels(self, name: str) -> bool:
        """Whether a column has its own values alone."""
        return name in self.levels or not isinstance(self.columns[name], NumericColumn)

    def _values_of(self, name: str, column: Column) -> ValuesOf:
        place = self.place[name]
        known = self.read.numbers[place]
        known = known[~np.isnan(known)]
        at = np.linspace(0, 1, self.steps_of_rank + 1)
        quantiles = np.quantile(known, at, method="nearest") if len(known) else known
        low, high = (quantiles[0], quantiles[-1]) if len(known) else (np.inf, -np.inf)
        return ValuesOf(
            name, column.dtype, self.read.decimals[place], float(low), float(high), quantiles,
            self.relations.unit, name in self.dates,
        )  # fmt: skip

    # --- the order

    def _depends(self, name: str, on: str) -> bool:
        return name == on or any(self._depends(each, on) for each in self.parents.get(name, ()))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(each) for each in self.parents.get(name, ())), default=-1)

    def _can_follow(self, target: str, sources: Sequence[str]) -> bool:
        if target in self.fixed or target in self.made:
            return False
        return not any(self._depends(source, target) for source in sources)

    def _add(self, step: Held) -> None:
        self.steps.append(step)
        self.parents.setdefault(step.target, set()).update(step.sources)

    # --- the kinds

    def _make(self, relation: Relation, how: str) -> None:
        """Rebuild a column, or, where it is missing by itself, model it and make what is there."""
        target, *sources = relation.columns
        if not all(map(self._has_values, relation.columns)):
            return
        if self._has_levels(target) or not self._can_follow(target, sources):
            return
        own, *others = self._numbers(relation.columns)
        absent = np.isnan(others).any(0)
        if (how == REBUILT) == np.array_equal(np.isnan(own), absent):
            self._add(Held(relation, how, target))
            self.made[target] = relation

    def _copy(self, relation: Relation) -> None:
        if not all(map(self._has_values, relation.columns)):
            return
        names = relation.columns
        turned = [names, names[::-1]] if relation.kind == EQUAL_IN_PART else [names]
        for target, *sources in turned:
            copies = [step for step in self.steps if step.target == target and step.copy >= 0]
            full = len(copies) >= self.most_copies
            if full or self._has_levels(target) or not self.columns[target].has_positions:
                continue
            if self._can_follow(target, sources):
                own = replace(relation, columns=(target, *sources))
                self._add(Held(own, COPIED, target, copy=len(copies)))
                return

    def _mend(self, relation: Relation) -> None:
        first, second = relation.columns
        if relation.kind in OF_MISSING:
            if self._can_follow(first, [second]):
                self._add(Held(relation, MENDED, first))
            return
        if not (self._has_values(first) and self._has_values(second)):
            return
        turned = [(first, second)]
        if relation.kind not in (ZERO, ZEROS_TOGETHER):
            turned.append((second, first))
        for target, source in turned:
            if relation.kind == DIFFERENCES and self._has_levels(target):
                continue
            if self._can_follow(target, [source]):
                self._add(Held(relation, MENDED, target))
                return

    def _follow(self, relation: Relation) -> None:
        target, *sources = relation.columns
        taking_part = [self.columns[name] for name in relation.columns]
        if any(column.has_positions for column in taking_part):
            return
        if np.prod([float(column.width) for column in taking_part]) >= 2.0**62:
            return
        if not self._can_follow(target, sources) or self._is_changed(target):
            return
        combined = combination(
            [self.columns[name] for name in sources], [self.frame[name] for name in sources]
        )
        known, rows = np.unique(combined, return_index=True)
        codes = self.columns[target].encode(self.frame[target])[0]
        if not np.array_equal(codes[rows][np.searchsorted(known, combined)], codes):
            return  # as codes, which do not tell apart what values do, they do not follow
        self._add(Held(without_levels(relation), MENDED, target, -1, known, codes[rows]))

    def _is_changed(self, name: str) -> bool:
        """Whether something else is mended in a column already."""
        return any(step.target == name for step in self.steps)


def _in_pairs(relation: Relation) -> list[Relation]:
    """Columns that are zero or missing together, each with the first of them."""
    if relation.kind not in TOGETHER:
        return [relation]
    first, *others = relation.columns
    return [replace(relation, columns=(each, first)) for each in others]
