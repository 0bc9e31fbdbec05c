"""Copied cells as critics see them: with the rank of the value that they copy."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sdv_wgangp.encoding.columns import NumericColumn
from sdv_wgangp.encoding.relations.holding import REBUILT, HeldRelations, ValuesOf
from sdv_wgangp.encoding.relations.relation import LINEAR, PRODUCT, RATIO, SUM
from sdv_wgangp.encoding.table import TableEncoder

# How a value is made of a first and a second one.
LINE, ADDED, MULTIPLIED, DIVIDED = range(4)


class Resolved(NamedTuple):
    """Copied cells, resolved.

    Attributes:
        positions: ``[rows, positions]``: of a copied cell the rank of its value in its column.
        ranks: What that rank would be, were the cell a copy, ``[copies, rows]``.
        copied: Whether it is, bool ``[copies, rows]``.
        slopes: Derivative of the rank along the rank of the only source, ``[copies, rows]``; 0
            where there are two.
    """

    positions: Tensor
    ranks: Tensor
    copied: Tensor
    slopes: Tensor


@dataclass(frozen=True)
class Copies:
    """Where copied cells get their values from; C copies and rebuilt columns, N known columns.

    Attributes:
        levels: Of each copy, counted over all columns, int64 ``[C]``; -1 of a rebuilt column.
        columns, places: Its column and the place of that among the positions, int64 ``[C]``.
        targets: Its column among the known ones, int64 ``[C]``.
        how: `LINE`, `ADDED`, `MULTIPLIED` or `DIVIDED`, int64 ``[C]``.
        sources: Among the known columns, int64 ``[C, 2]``.
        line: Factor and constant of a line, float64 ``[C, 2]``.
        bounds: Smallest and largest value, float64 ``[C, 2]``.
        rounds: Ends of the rounds that are made one after the other, in the order of ``levels``.
        known: The known columns, int64 ``[N]``; -1 for rebuilt ones.
        known_places: Their places among the positions, -1 for none, int64 ``[N]``.
        missing: Level of "missing" of each, -1 for none, int64 ``[N]``.
        values: At even steps of the rank on the axis of each, float64 ``[N, steps + 1]``.
        steepest: Bound of ``Resolved.slopes``.
    """

    levels: Tensor
    columns: Tensor
    places: Tensor
    targets: Tensor
    how: Tensor
    sources: Tensor
    line: Tensor
    bounds: Tensor
    rounds: tuple[int, ...]
    known: Tensor
    known_places: Tensor
    missing: Tensor
    values: Tensor
    steepest: float = 4.0

    @classmethod
    def of(cls, encoder: TableEncoder, offsets: Tensor, steps: int = 1024) -> Copies | None:
        """Those of a fitted encoder; None where nothing is copied.

        Args:
            encoder: Of the table.
            offsets: First level of each column, ``[columns + 1]``.
            steps: Of rank, at which values are known.
        """
        held = encoder.held
        if not held.copied_columns():
            return None
        modelled = {column.name: (column, index, place)
                    for column, index, place in encoder.indexed_columns}  # fmt: skip
        made = _that_are_made(held)
        names = list(dict.fromkeys(n for step in made for n in (*step.relation.columns,)))
        number = {name: index for index, name in enumerate(names)}
        known, places, missing = [], [], []
        values = np.zeros((len(names), steps + 1))
        for name in names:
            column, index, place = modelled.get(name, (None, -1, None))
            known.append(index)
            places.append(-1 if place is None else place)
            level = -1
            if isinstance(column, NumericColumn):
                if column.missing_code is not None:
                    level = int(offsets[index]) + int(column.missing_code)
                values[number[name]] = _values_at_ranks(column, held.values[name], steps)
            missing.append(level)
        depth: dict[str, int] = {}
        rows: list[list[Any]] = []
        for step in made:
            target, *sources = step.relation.columns
            relation, values_of = step.relation, held.values[target]
            round_of = 1 + max(depth.get(source, -1) for source in sources)
            depth[target] = max(depth.get(target, 0), round_of)
            column, index, place = modelled.get(target, (None, -1, -1))
            level = -1
            if isinstance(column, NumericColumn):
                level = int(offsets[index]) + column.first_copy + step.copy
            how = {SUM: ADDED, PRODUCT: MULTIPLIED, RATIO: DIVIDED}.get(relation.kind, LINE)
            line = (relation.factor, relation.constant) if relation.kind == LINEAR else (1.0, 0.0)
            pair = [number[source] for source in sources] * (3 - len(sources))
            rows.append(
                [round_of, level, index, place, number[target], how, pair[:2], line,
                 (values_of.low, values_of.high)]
            )  # fmt: skip
        # All copies of a column are made in its last round.
        for row in rows:
            row[0] = depth[names[row[4]]]
        rows.sort(key=lambda row: (row[0], row[4]))
        ends = [i + 1 for i, row in enumerate(rows)
                if i + 1 == len(rows) or rows[i + 1][0] != row[0]]  # fmt: skip
        parts = list(zip(*rows, strict=True))
        level_of, column_of, place_of, target_of, how_of, sources_of = map(
            torch.tensor, parts[1:7]
        )
        return cls(
            levels=level_of,
            columns=column_of,
            places=place_of,
            targets=target_of,
            how=how_of,
            sources=sources_of,
            line=torch.tensor(parts[7], dtype=torch.float64),
            bounds=torch.tensor(parts[8], dtype=torch.float64),
            rounds=tuple(ends),
            known=torch.tensor(known),
            known_places=torch.tensor(places),
            missing=torch.tensor(missing),
            values=torch.from_numpy(values),
        )

    def to(self, device) -> Copies:
        """The same on a device."""
        moved = {
            field.name: getattr(self, field.name).to(device)
            for field in fields(self)
            if isinstance(getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)

    @property
    def are_copies(self) -> Tensor:
        """Which of the C are copies, bool; the others are rebuilt columns."""
        return self.levels >= 0

    def at(self, index: int) -> tuple[int, int, int]:
        """Level, column and place among the positions of a copy; -1 of a rebuilt column."""
        return self._at[index]

    def source_at(self, index: int) -> tuple[int, int]:
        """Column and place of the modelled column that a copy has for its only source, or -1."""
        return self._source_at[index]

    @cached_property
    def _at(self) -> list[tuple[int, int, int]]:
        whole = (each.tolist() for each in (self.levels, self.columns, self.places))
        return list(zip(*whole, strict=True))

    @cached_property
    def _source_at(self) -> list[tuple[int, int]]:
        is_line = (self.how == LINE).tolist()
        known, places = self.known.tolist(), self.known_places.tolist()
        return [
            (known[first], places[first]) if line else (-1, -1)
            for line, first in zip(is_line, self.sources[:, 0].tolist(), strict=True)
        ]

    def resolve(self, levels: Tensor, positions: Tensor, lookups: Tensor) -> Resolved:
        """The ranks of copied cells.

        A copy whose source is missing, or whose value would be out of its column's range, keeps
        the rank that its position says: as when it is decoded.

        Args:
            levels: Of every cell, counted over all columns, int64 ``[rows, columns]``.
            positions: ``[rows, positions]``.
            lookups: First rank and span of every level, ``[2, levels]``.
        """
        positions = positions.clone()
        values, along = self._known_values(levels, positions, lookups)
        count, rows = len(self.levels), len(levels)
        ranks = positions.new_zeros(count, rows)
        copied = torch.zeros(count, rows, dtype=torch.bool, device=levels.device)
        slopes = positions.new_zeros(count, rows)
        start = 0
        for end in self.rounds:
            own = slice(start, end)
            start = end
            made = self._made(own, values)
            low, high = self.bounds[own].unbind(1)
            possible = (made >= low[:, None]) & (made <= high[:, None])
            is_copy = self.are_copies[own]
            targets = self.targets[own]
            rank, steepness = self._ranks(targets, made)
            place = self.places[own].clamp_min(0)
            standing = positions.T[place]
            rank = torch.where(possible, rank.to(positions.dtype), standing)
            column = self.columns[own].clamp_min(0)
            is_chosen = (levels.T[column] == self.levels[own][:, None]) & is_copy[:, None]
            chosen = is_chosen & possible
            ranks[own], copied[own] = rank, is_chosen
            one = (self.how[own] == LINE)[:, None] & possible
            slope = along[self.sources[own, 0]] * self.line[own, :1] * steepness
            slope = slope.clamp(-self.steepest, self.steepest).to(positions.dtype)
            slopes[own] = torch.where(one, slope, 0)
            # Of the copies of a column at most one is chosen in a row: their sum is that one.
            placed = torch.zeros_like(positions.T).index_add_(
                0, place, torch.where(chosen, rank, 0)
            )
            taken = torch.zeros_like(positions.T).index_add_(0, place, chosen.to(positions.dtype))
            positions = torch.where(taken.T > 0, placed.T, positions)
            known = torch.zeros_like(values).index_add_(
                0, targets, torch.where(chosen | ~is_copy[:, None], made, 0)
            )
            said = torch.zeros_like(values).index_add_(
                0, targets, (chosen | ~is_copy[:, None]).to(values.dtype)
            )
            values = torch.where(said > 0, known, values)
        return Resolved(positions, ranks, copied, slopes)

    def _known_values(
        self, levels: Tensor, positions: Tensor, lookups: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Of the known columns, and their derivative along the rank, float64 ``[N, rows]``."""
        own = levels.T[self.known.clamp_min(0)]
        if positions.shape[1]:
            inside = positions.T[self.known_places.clamp_min(0)]
        else:
            inside = torch.zeros_like(own, dtype=lookups.dtype)
        inside = torch.where((self.known_places >= 0)[:, None], inside, 0)
        ranks = (lookups[0][own] + lookups[1][own] * inside).double().clamp(0, 1)
        steps = self.values.shape[1] - 1
        at = ranks * steps
        begin = at.long().clamp_max(steps - 1)
        low, high = self.values.gather(1, begin), self.values.gather(1, begin + 1)
        values = low + (at - begin) * (high - low)
        is_missing = (own == self.missing[:, None]) | (self.known < 0)[:, None]
        return torch.where(is_missing, torch.nan, values), high - low

    def _made(self, own: slice, values: Tensor) -> Tensor:
        """The values of a round, ``[c, rows]``."""
        first, second = values[self.sources[own, 0]], values[self.sources[own, 1]]
        how, (factor, constant) = self.how[own][:, None], self.line[own].T[:, :, None]
        made = factor * first + constant
        made = torch.where(how == ADDED, first + second, made)
        made = torch.where(how == MULTIPLIED, first * second, made)
        return torch.where(how == DIVIDED, first / second, made)

    def _ranks(self, targets: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Ranks of values in their columns; and steps of rank for one of value, ``[c, rows]``."""
        known = self.values[targets].contiguous()
        steps = known.shape[1] - 1
        asked = torch.nan_to_num(values).contiguous()
        before = torch.searchsorted(known, asked)
        behind = torch.searchsorted(known, asked, right=True)
        begin = (behind - 1).clamp(0, steps - 1)
        low, high = known.gather(1, begin), known.gather(1, begin + 1)
        gap = high - low
        inverse = torch.where(gap > 0, 1 / gap.clamp_min(1e-300), 0)
        between = begin + (asked - low) * inverse
        at = torch.where(behind > before, (before + behind - 1) / 2, between)
        return (at / steps).clamp(0, 1), inverse


def _that_are_made(held: HeldRelations) -> list:
    """Copies, and the rebuilt columns, in their order."""
    return [step for step in held.steps if step.how == REBUILT or step.copy >= 0]


def _values_at_ranks(column: NumericColumn, values: ValuesOf, steps: int) -> np.ndarray:
    """Values of a column at even steps of the rank on its axis, float64 ``[steps + 1]``."""
    codes, positions = column.axis.cells(np.linspace(0, 1, steps + 1))
    found = values.read(column.decode(codes, positions.astype(np.float32)))
    return np.maximum.accumulate(found)
