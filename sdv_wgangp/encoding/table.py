"""Tables as tensors of codes and positions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.encoding.association import strongest_associations
from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.derived import split_derived
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions
from sdv_wgangp.encoding.relations import Relations, find_relations
from sdv_wgangp.encoding.relations.holding import HeldRelations
from sdv_wgangp.encoding.relations.plan import plan
from sdv_wgangp.encoding.relations.values import with_dates

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedTable:
    """A table as integers and positions, at most 8 bytes per cell.

    Attributes:
        codes: Shape ``[rows, columns]``, int16, or int32 where a column has over 32,767 codes.
        positions: Shape ``[rows, positioned columns]``, float32 in [0, 1].
    """

    codes: torch.Tensor
    positions: torch.Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def rows(self, index: torch.Tensor | slice) -> EncodedTable:
        """Some of the rows."""
        return EncodedTable(self.codes[index], self.positions[index])

    @staticmethod
    def concatenated(parts: Sequence[EncodedTable]) -> EncodedTable:
        """The rows of all parts, at least one."""
        return EncodedTable(
            torch.cat([part.codes for part in parts]),
            torch.cat([part.positions for part in parts]),
        )

    def to(self, device) -> EncodedTable:
        return EncodedTable(self.codes.to(device), self.positions.to(device))


class TableEncoder:
    """Turns the columns of a frame into codes and positions, and back.

    Columns that another one determines are not encoded but rebuilt (`encoding.derived`).

    Args:
        discrete_columns: Columns to treat as categories whatever their dtype; booleans, strings
            and pandas categories always are.
        ordinal_columns: Columns with a fixed set of values. Where these are numbers, their order
            is used; otherwise the column is discrete.
        rounded: Whether decoded numbers have no more decimals than those of their column.
        options: Hyper-parameters.
        relations: Exact relations between columns that decoded rows keep: "auto" for those that
            are found, "off", or statements of some of them (`encoding.relations`).
        fixed_columns: Columns that are modelled in any case, and whose values no relation changes.
        date_columns: Columns of nanoseconds since 1970: relations take them for dates.
    """

    # Of encoders that were fitted before there were others.
    options: EncodingOptions = DEFAULT
    relations: str | tuple[str, ...] = "off"
    held = HeldRelations()
    rebuilt: Sequence[CategoricalColumn | NumericColumn] = ()

    def __init__(
        self,
        discrete_columns: Iterable[str] = (),
        ordinal_columns: Iterable[str] = (),
        rounded: bool = True,
        options: EncodingOptions = DEFAULT,
        relations: str | Sequence[str] = "off",
        fixed_columns: Iterable[str] = (),
        date_columns: Iterable[str] = (),
    ):
        self.discrete_columns = tuple(discrete_columns)
        self.ordinal_columns = tuple(ordinal_columns)
        self.rounded = rounded
        self.options = options
        self.relations = relations if isinstance(relations, str) else tuple(relations)
        self.fixed_columns = tuple(fixed_columns)
        self.date_columns = tuple(date_columns)

    def fit(self, frame: pd.DataFrame) -> TableEncoder:
        """Learn levels, atoms, bins and quantiles, one column at a time.

        Raises:
            ValueError: The frame is empty, a column cannot be encoded, or a relation was named
                that the table does not have; names it.
        """
        if not len(frame) or not frame.shape[1]:
            raise ValueError("the table has no rows or no columns to learn from: give it data")
        unknown = {*self.discrete_columns, *self.ordinal_columns} - set(frame.columns)
        if unknown:
            raise ValueError(
                f"column {min(unknown, key=str)!r} was named as discrete or ordinal and is not in "
                "the table: correct the name or leave it out"
            )
        if not frame.columns.is_unique:
            double = frame.columns[frame.columns.duplicated()][0]
            raise ValueError(f"column {double!r} is there more than once: rename one of them")
        columns = [self._fit_column(frame[name]) for name in frame.columns]
        self.names = list(frame.columns)
        self.columns, self.derived = split_derived(frame, columns, self.options.min_rows_per_level)
        self._hold_relations(frame)
        self._make_continuous(frame)
        return self

    def _hold_relations(self, frame: pd.DataFrame) -> None:
        """Leave out what is rebuilt, and give what is copied in a share of the rows its codes."""
        found = self._wanted_relations(frame)
        sources = [self.columns[derived.source].name for derived in self.derived]
        follows = {
            derived.column.name: source
            for derived, source in zip(self.derived, sources, strict=True)
        }
        self.held = plan(
            found,
            frame,
            {column.name: column for column in self._all_columns()},
            derived=follows,
            fixed=self.fixed_columns,
            levels=self.ordinal_columns,
            dates=self.date_columns,
        )
        rebuilt = set(self.held.rebuilt)
        self.rebuilt = [column for column in self.columns if column.name in rebuilt]
        self.columns = [column for column in self.columns if column.name not in rebuilt]
        place = {column.name: index for index, column in enumerate(self.columns)}
        self.derived = [
            replace(derived, source=place[source])
            for derived, source in zip(self.derived, sources, strict=True)
        ]
        for name in self.held.copied_columns():
            column = self._numeric(frame, name)
            if column.has_positions:
                self.columns[place[name]] = column
            else:  # what is no copy has few values: copies have no rank among them
                self.held = self.held.without_copies(name)

    def _wanted_relations(self, frame: pd.DataFrame) -> Relations:
        if self.relations == "off":
            return Relations((), len(frame), 0, 0.0)
        discrete: list[Any] = [
            name for name in frame if not self._may_be_ordered(self.column(name))
        ]
        columns, options = len(frame.columns), self.options
        if columns > options.relation_columns:
            logger.info(
                "No relations are looked for: %d columns are more than relation_columns (%d)",
                *(columns, options.relation_columns),
            )
            return Relations((), len(frame), 0, 0.0)
        found = find_relations(
            with_dates(frame, self.date_columns),
            categories=discrete,
            triples=columns - len(discrete) <= options.triple_columns,
            dependences_of_two=columns <= options.dependence_columns,
        )
        if self.relations == "auto":
            return found
        said = {relation.statement: relation for relation in found}
        for statement in self.relations:
            if statement not in said:
                there = "; ".join(said) if said else "none"
                raise ValueError(
                    f"relations: {statement!r} is none that the table has: correct it, leave it "
                    f"out, or choose from those that were found ({there})"
                )
        return replace(found, relations=tuple(said[each] for each in self.relations))

    def _may_be_ordered(self, column: CategoricalColumn | NumericColumn) -> bool:
        """Whether relations take the values for numbers: as categories, few numbers often are
        counts (SDV's detection declares up to ten distinct ones a category)."""
        if isinstance(column, NumericColumn):
            return True
        return (
            pd.api.types.is_numeric_dtype(column.dtype)
            and not pd.api.types.is_bool_dtype(column.dtype)
            and column.width <= self.options.counted_levels
        )

    def _numeric(self, frame: pd.DataFrame, name: Any, continuous: bool = False) -> NumericColumn:
        """A column of numbers, fitted to what is no copy in it."""
        copies = len(self.held.copies(name))
        return NumericColumn(
            frame[name],
            continuous=continuous,
            rounded=self.rounded,
            options=self.options,
            marks=self.held.marks(frame, name) if copies else None,
            copies=copies,
        )

    def _all_columns(self) -> list[CategoricalColumn | NumericColumn]:
        """Those that have codes: modelled ones, then derived ones."""
        return [*self.columns, *(derived.column for derived in self.derived)]

    def _fit_column(self, series: pd.Series) -> CategoricalColumn | NumericColumn:
        discrete = series.name in self.discrete_columns or _is_discrete(series)
        try:
            if discrete:
                return CategoricalColumn(series)
            return NumericColumn(
                series,
                atoms_only=series.name in self.ordinal_columns,
                rounded=self.rounded,
                options=self.options,
            )
        except (
            TypeError,
            NotImplementedError,  # Arrow's, of lists
            OverflowError,
            pd.errors.OutOfBoundsDatetime,
        ) as error:
            remedy = (
                "turn its values into strings or numbers"
                if discrete
                else "use dates from 1678 to 2261, or numbers"
            )
            raise ValueError(
                f"column {series.name!r} cannot be encoded ({error}): {remedy}"
            ) from error

    def _make_continuous(self, frame: pd.DataFrame) -> None:
        """Turn ordered columns that depend strongly on another one into continuous ranks.

        One rank shows the critic the fine scale of such a dependence. Without one, atoms and bins
        are better: they are drawn independently of each other as codes are, where a rank would
        have to be kept independent of all other columns by the generator.
        """
        # The codes of a source say what the columns derived from it are.
        sources = {self.columns[derived.source].name for derived in self.derived}
        fixed = sources | set(self.ordinal_columns)
        options = self.options
        ordered = [column for column in self.columns if isinstance(column, NumericColumn)]
        strongest = strongest_associations(frame, ordered, options)
        place = {column.name: index for index, column in enumerate(self.columns)}
        for column, association in zip(ordered, strongest, strict=True):
            if column.has_positions:
                becomes_rank = association >= options.association_bins_to_rank
            else:
                many = column.width > options.max_atoms_unranked and column.name not in fixed
                becomes_rank = many and association >= options.association_atoms_to_rank
            if becomes_rank:
                ranked = self._numeric(frame, column.name, continuous=True)
                if ranked.has_positions or not ranked.copies:
                    self.columns[place[column.name]] = ranked

    def column(self, name) -> CategoricalColumn | NumericColumn:
        """The column of that name: modelled, derived, or rebuilt from others.

        Raises:
            KeyError: There is none.
        """
        return {column.name: column for column in [*self._all_columns(), *self.rebuilt]}[name]

    @property
    def widths(self) -> list[int]:
        """Number of codes of each modelled column."""
        return [column.width for column in self.columns]

    @property
    def indexed_columns(self) -> list[tuple[CategoricalColumn | NumericColumn, int, int | None]]:
        """Each modelled column, its index among the codes, and among the positions or None."""
        after = accumulate(column.has_positions for column in self.columns)
        return [
            (column, index, count - 1 if column.has_positions else None)
            for index, (column, count) in enumerate(zip(self.columns, after, strict=True))
        ]

    def encode(
        self, frame: pd.DataFrame, random: np.random.Generator | None = None
    ) -> EncodedTable:
        """Codes and positions of a frame with the fitted columns.

        Works column by column into the result, without a second copy of the frame.

        Raises:
            ValueError: A column is absent or holds a value without a code; names the column.
                Derived columns only have to be there: their values follow from the others.
        """
        for name in self.names:
            if name not in frame.columns:
                raise ValueError(f"column {name!r} is not in the table: add it")
        widest = max(self.widths)
        codes = np.empty((len(frame), len(self.columns)), np.int16 if widest < 2**15 else np.int32)
        positions = np.empty((len(frame), sum(c.has_positions for c in self.columns)), np.float32)
        copied = set(self.held.copied_columns())
        for column, index, place in self.indexed_columns:
            own = frame[column.name]
            if isinstance(column, NumericColumn) and column.name in copied:
                marks = self.held.marks(frame, column.name)
                codes[:, index], inside = column.encode(own, random, marks)
            else:
                codes[:, index], inside = column.encode(own, random)
            if place is not None:
                positions[:, place] = inside
        return EncodedTable(torch.from_numpy(codes), torch.from_numpy(positions))

    def check_same_kind(self, frame: pd.DataFrame) -> None:
        """Refuse a frame whose derived columns do not follow as they did; warn of new ranges.

        Raises:
            ValueError: A column is absent, has an unknown level, or no longer follows from the
                column that determined it; names it.
        """
        self.encode(frame)
        for derived in self.derived:
            source, column = self.columns[derived.source], derived.column
            codes, _ = column.encode(frame[column.name])
            expected = derived.codes[source.encode(frame[source.name])[0]]
            if (wrong := codes != expected).any():
                row = int(wrong.argmax())
                raise ValueError(
                    f"column {column.name!r} followed from {source.name!r} in the data it was "
                    f"fitted on, and does not in row {row} ({source.name!r} = "
                    f"{frame[source.name].iloc[row]!r}, {column.name!r} = "
                    f"{frame[column.name].iloc[row]!r}): correct that row, or fit anew"
                )
        if broken := self.held.broken(frame):
            step, row = broken
            name = step.target
            raise ValueError(
                f"column {name!r} was rebuilt by {step.relation.statement!r} in the data it was "
                f"fitted on, and does not keep that in row {row} ({name!r} = "
                f"{frame[name].iloc[row]!r}): correct that row, or fit anew"
            )
        for column in self.columns:
            if not isinstance(column, NumericColumn) or not column.has_positions:
                continue
            outside, least, most = column.outside(frame[column.name])
            if outside:
                warnings.warn(
                    f"column {column.name!r} has {outside} values outside {least} to {most}, the "
                    "range it was fitted on: they count as its ends; fit anew to learn them",
                    stacklevel=4,
                )

    def decode(self, table: EncodedTable) -> pd.DataFrame:
        """The frame behind codes and positions, columns in the fitted order and dtypes."""
        codes, positions = table.codes.numpy(), table.positions.numpy()
        decoded = {}
        for column, index, place in self.indexed_columns:
            inside = None if place is None else positions[:, place]
            decoded[column.name] = column.decode(codes[:, index].astype(np.int64), inside)
        for derived in self.derived:
            column = derived.column
            decoded[column.name] = column.decode(derived.codes[codes[:, derived.source]])
        if self.held.steps:
            self._keep_relations(decoded, codes)
        return pd.DataFrame({name: decoded[name] for name in self.names})

    def _keep_relations(self, decoded: dict[Any, pd.Series], codes: np.ndarray) -> None:
        marks = {
            column.name: codes[:, index].astype(np.int64) - column.first_copy
            for column, index, _ in self.indexed_columns
            if isinstance(column, NumericColumn) and column.copies
        }
        self.held.keep(
            decoded,
            marks,
            {column.name: column for column in self._all_columns()},
            # The same rows are always mended in the same way.
            np.random.default_rng(int(codes.sum(dtype=np.int64)) % 2**32),
            [(self.columns[derived.source].name, derived) for derived in self.derived],
        )


def _is_discrete(series: pd.Series) -> bool:
    return (
        pd.api.types.is_bool_dtype(series)
        or isinstance(series.dtype, pd.CategoricalDtype)
        or not (
            pd.api.types.is_numeric_dtype(series)
            or pd.api.types.is_datetime64_any_dtype(series)
            or pd.api.types.is_timedelta64_dtype(series)
        )
    )
