"""Sampling under conditions: SDV's interface to what the model does without rejecting rows."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sdv.cag import FixedCombinations
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.sampling import Condition
from sdv.single_table.base import COND_IDX, FIXED_RNG_SEED, BaseSingleTableSynthesizer

from sdv_wgangp.encoding.columns import CategoricalColumn, NumericColumn
from sdv_wgangp.encoding.conditions import (
    UNABLE,
    OneOf,
    UnmetConditionError,
    allowed_codes,
    names_of_conditions,
    values_of,
)
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.mixins import Mixed
from sdv_wgangp.synthesizers.seeding import one_at_a_time
from sdv_wgangp.synthesizers.transformers import (
    NumberFormatter,
    TimestampEncoder,
    readable,
)
from sdv_wgangp.values import Number, Whole, is_number

# Pandas takes it, and its types do not.
NONE: Any = None
# Stands for a missing value among the conditions that `_sample` gets.
MISSING = "\0missing"
# Transformers (or none) that give every value back as it was.
EXACT = (type(None), TimestampEncoder)
# What constraints of SDV note where none of their columns is missing.
NOTHING_MISSING = "None"
# Relative distance at which SDV takes a float for the one that was asked for.
TOLERANCE = 0.01
# Conditions without a row that a warning lists.
LISTED = 5


# Rows that are drawn at most in search of missing values, beside those asked for: for a condition,
# and for all of a call; and at least at a time.
SEARCHED_ROWS, SEARCHED_IN_A_CALL = 2**16, 2**19
SEARCHED_AT_LEAST = 2**5


@dataclass
class Call:
    """One call that samples under conditions; of the thread that makes it.

    Attributes:
        known: Whether its conditions are rows of known columns.
        unmet: Why some conditions have no rows, and their places among the conditions.
        notes: What was done to meet others.
        searched: Rows that were drawn in search of missing values.
        joint, described: `ConditionalSampling._combinations` and `_described`, once they were
            asked for.
    """

    known: bool = False
    unmet: dict[str, list] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    searched: int = 0
    joint: dict[str, pd.DataFrame] | None = None
    described: dict[str, dict[str, Any]] | None = None

    def cannot(self, reason: str, places: Iterable) -> None:
        """Note that there are no rows for conditions."""
        self.unmet.setdefault(reason, []).extend(places)

    def reasons(self) -> list[str]:
        """Why there are none; for known columns with their rows."""
        if not self.known:
            return list(self.unmet)
        return [
            f"{reason} (row{'s' * (len(at) > 1)} {first_of(at)} of known_columns)"
            for reason, at in self.unmet.items()
        ]


def first_of(values: Sequence) -> str:
    """The first few of them.

    Example:
        >>> first_of(["a", 3]), first_of(range(8))
        ("'a', 3", '0, 1, 2, 3, 4 and 3 more')
    """
    listed = ", ".join(map(repr, values[:LISTED]))
    return listed + (f" and {len(values) - LISTED} more" if len(values) > LISTED else "")


_call: ContextVar[Call | None] = ContextVar("call", default=None)


def _are(column: pd.Series, value: Any) -> pd.Series:
    if pd.isna(value):
        return column.isna()
    return (column == value).astype("boolean").fillna(False).astype(bool)


def _is_missing(value: Any) -> bool:
    return pd.api.types.is_scalar(value) and bool(pd.isna(value))


def _with_missing(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions with None where `MISSING` stands."""
    return {
        name: None if isinstance(value, str) and value == MISSING else value
        for name, value in conditions.items()
    }


def _apportion(rows: int, proportions: Sequence[float]) -> list[int]:
    """Whole numbers in proportions that add up to rows (largest remainders)."""
    exact = rows * np.asarray(proportions, dtype=float) / np.sum(proportions)
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: rows - counts.sum()]] += 1
    return counts.tolist()


def _values(encoder: TableEncoder, name: str) -> list:
    return values_of(encoder, name) if name in names_of_conditions(encoder) else []


def _missing_fraction(column: CategoricalColumn | NumericColumn) -> float:
    """Of the training rows those in which a column was missing, which it was in some."""
    return float(column.counts[column.missing_code] / column.counts.sum())


def _shown(value: Any, dated: bool) -> str:
    if dated and np.isfinite(value):
        return str(pd.Timestamp(int(value)))
    return repr(value.item() if isinstance(value, np.generic) else value)


@contextmanager
def _telling_unmet(call: Call) -> Iterator[None]:
    """Warn of conditions that no row can meet; an error where there was no row at all."""
    token = _call.set(call)
    try:
        yield
    except ValueError as error:
        if call.unmet and UNABLE in str(error):
            raise ValueError(call.reasons()[0]) from None
        raise
    finally:
        _call.reset(token)
    if call.unmet:
        reasons = call.reasons()
        more = f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
        warnings.warn("; ".join(reasons[:LISTED]) + more, stacklevel=4)
    if call.notes:
        warnings.warn("; ".join(call.notes), stacklevel=4)


class ConditionalSampling(Mixed):
    """Mixed into a synthesizer whose ``_model`` is a `TabularModel`."""

    _model: Any
    _data_processor: Any
    metadata: Any

    @functools.wraps(BaseSingleTableSynthesizer.sample_from_conditions)
    def sample_from_conditions(self, *args, **kwargs):
        with _telling_unmet(Call()):
            return super().sample_from_conditions(*args, **kwargs)

    @functools.wraps(BaseSingleTableSynthesizer.sample_remaining_columns)
    def sample_remaining_columns(self, *args, **kwargs):
        with _telling_unmet(Call(known=True)):
            return super().sample_remaining_columns(*args, **kwargs)

    def _sample_with_conditions(
        self,
        conditions: pd.DataFrame,
        max_tries_per_batch,
        batch_size=None,
        progress_bar=None,
        output_file_path=None,
        keep_extra_columns=False,
    ):
        """Rows under all conditions in one go, or where SDV has work of its own, by its loop."""
        conditions = readable(conditions, self._described())
        # SDV casts the values of each group to the dtypes of all conditions, which a missing date
        # does not survive where the others, or those of the training table, have a time zone.
        for name, values in conditions.select_dtypes(["datetime", "datetimetz"]).items():
            conditions[name] = values.astype(object).where(values.notna(), NONE)
        with self._announcing(progress_bar):
            if not (batch_size or output_file_path or keep_extra_columns):
                with one_at_a_time():
                    sampled = self._sample_natively(conditions)
                if sampled is not None:
                    if progress_bar is not None:
                        progress_bar.update(len(sampled))
                    return sampled
            return super()._sample_with_conditions(
                conditions,
                max_tries_per_batch,
                batch_size,
                progress_bar,
                output_file_path,
                keep_extra_columns,
            )

    @contextmanager
    def _announcing(self, progress_bar: Any) -> Iterator[None]:
        """Say what the first call of a process takes its time for."""
        if progress_bar is None or self._model is None or self._model.knows_conditions:
            yield
            return
        description = progress_bar.desc
        progress_bar.set_description("Preparing for conditions, once")
        try:
            yield
        finally:
            progress_bar.set_description(description.removesuffix(": "))

    def _described(self) -> dict[str, dict[str, Any]]:
        """What the metadata that was given says of the columns, by name."""
        call = _call.get()
        if call is not None and call.described is not None:
            return call.described
        described = sdv_versions.columns_of(self.get_metadata())
        if call is not None:
            call.described = described
        return described

    def _sample_natively(self, conditions: pd.DataFrame) -> pd.DataFrame | None:
        """A row for each condition that can be met, or None where SDV is needed.

        SDV asks for the rows of every distinct condition apart, at a price of its own for each. It
        is needed for constraints and for what rows have to be filtered for: numbers, and values
        that a transformer may map to others.
        """
        constrained = any(
            getattr(self, name, None)
            for name in ("_chained_constraints", "_reject_sampling_constraints")
        )
        call = _call.get()
        if self._model is None or constrained or call is None or conditions.empty:
            return None
        encoder = self._model.encoder
        if not {*conditions} <= {*encoder.names}:
            return None
        free = [name for name in conditions if name not in names_of_conditions(encoder)]
        if conditions[free].notna().any(axis=None):
            return None
        transformers = self._data_processor._hyper_transformer.field_transformers
        if not all(isinstance(transformers.get(name), EXACT) for name in conditions):
            return None
        self._seed_after_fork()
        given = self._transform_conditions(conditions)
        wanted, searched, groups, unmet = [], [], [], []
        emptied: dict[str, list[np.ndarray]] = {}
        grouped: dict[Any, Any] = given.groupby(list(given), sort=False).indices
        for values, rows in grouped.items():
            values = values if isinstance(values, tuple) else (values,)
            condition = _with_missing(dict(zip(given.columns, values, strict=True)))
            try:
                asked, missing, never = self._split(condition)
                near = any(isinstance(value, OneOf) for value in asked.values())
                if near or self._model.native_conditions(asked) != asked:
                    return None
                allowed_codes(encoder, asked)
            except UnmetConditionError as error:
                unmet.append((str(error), conditions.index[rows].tolist()))
                continue
            for name in never:
                emptied.setdefault(name, []).append(rows)
            if missing or not asked:
                searched.append((asked, missing, rows))
            else:
                wanted.append((asked, len(rows)))
                groups.append(rows)
        for reason, at in unmet:
            call.cannot(reason, at)
        if not wanted and not searched:
            return pd.DataFrame()
        if not self._random_state_set:
            self._set_random_state(FIXED_RNG_SEED)
        parts = [self._model.sample_each(wanted)] if wanted else []
        for asked, missing, rows in searched:
            parts.append(self._rows_with_missing(len(rows), asked, missing))
            groups.append(rows)
        drawn = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
        sampled = self._data_processor.reverse_transform(drawn)
        places = np.concatenate(groups)
        for name, cells in emptied.items():
            sampled[name] = sampled[name].mask(np.isin(places, np.concatenate(cells)))
        sampled = sampled.iloc[np.argsort(places)].set_axis(conditions.index[np.sort(places)])
        return sampled.sort_index(kind="stable")

    def _split(self, conditions: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
        """Conditions that the model can meet, and columns whose values are to be missing.

        Returns:
            Values by column; columns in which rows with missing values have to be searched for;
            and those that had none in the training table, whose cells are emptied.

        Raises:
            UnmetConditionError: A value is none of a column of numbers; names both.
        """
        encoder, given = self._model.encoder, self._described()
        native = names_of_conditions(encoder)
        asked: dict[str, Any] = {}
        searched, never = [], []
        for name, value in conditions.items():
            if name not in encoder.names or isinstance(value, OneOf):
                asked[name] = value
                continue
            column, own = encoder.column(name), name in given
            if _is_missing(value):
                if column.missing_code is None:
                    never.append(name)
                elif name not in native or not self._model.generator.conditional:
                    searched.append(name)
                else:
                    asked[name] = None
            elif not own:  # of a constraint's own column: SDV compares the given columns
                asked |= self._model.native_conditions({name: value})
            elif isinstance(column, NumericColumn):
                asked[name] = self._near(column, value)
            else:
                asked[name] = value
        if never and (call := _call.get()) is not None:
            for name in never:
                call.notes[
                    f"column {name!r} had no missing values when it was fitted: its cells are "
                    "emptied, and the others know nothing of it"
                ] = None
        return asked, searched, never

    def _near(self, column: NumericColumn, value: Any) -> Any:
        """A number of a column, or `OneOf` those that SDV takes for it.

        Raises:
            UnmetConditionError: There is none.
        """
        transformer = self._data_processor._hyper_transformer.field_transformers.get(column.name)
        if not isinstance(transformer, EXACT):
            return value
        if not is_number(value):
            raise UnmetConditionError(
                f"{UNABLE}: column {column.name!r} is numeric, not {value!r}"
            )
        dated = isinstance(transformer, TimestampEncoder)
        exact = dated or np.asarray(column.atoms).dtype.kind != "f"
        width = 0.0 if exact else abs(value) * TOLERANCE
        if not column.has_positions:
            values = column.atoms.tolist()
            found = [each for each in values if abs(each - value) <= width]
            if found:
                return value if value in found else OneOf(found)
            fault = f"had no value {_shown(value, dated)} when it was fitted: use one of "
            fault += first_of(values) if not dated else f"{_shown(values[0], True)} and others"
        else:
            least, most = self._span_of(column.name)
            if least - width <= value <= most + width:
                return value
            fault = (
                f"lay between {_shown(least, dated)} and {_shown(most, dated)} when it was "
                f"fitted, which {_shown(value, dated)} does not"
            )
        raise UnmetConditionError(f"{UNABLE}: column {column.name!r} {fault}")

    def _span_of(self, name: Any) -> tuple[float, float]:
        """Least and most value of a column of numbers, as the model reads it."""
        transformers = self._data_processor._hyper_transformer.field_transformers
        known = self._data_processor.formatters.get(name), transformers.get(name)
        spans = [
            each.span for each in known if isinstance(each, NumberFormatter | TimestampEncoder)
        ]
        return next((span for span in spans if span is not None), (-np.inf, np.inf))

    def _rows_with_missing(
        self, count: int, asked: Mapping[str, Any], missing: Sequence[str]
    ) -> pd.DataFrame:
        """Rows of the model, under conditions, in which columns are missing.

        They are searched for among others; where they are too rare for that, cells are emptied.
        """
        rows = self._model.sample(count, asked)
        if not missing:
            return rows
        call = _call.get() or Call()
        rate = min(_missing_fraction(self._model.encoder.column(name)) for name in missing)
        parts, found, drawn = [], 0, count
        while True:
            rows = rows[rows[missing].isna().all(axis=1)].head(count - found)
            parts.append(rows)
            found += len(rows)
            spent = drawn >= count + SEARCHED_ROWS or call.searched >= SEARCHED_IN_A_CALL
            if found == count or spent:
                break
            rate = found / drawn if found else rate
            more = min(max(int(1.5 * (count - found) / rate), SEARCHED_AT_LEAST), 2**14)
            rows = self._model.sample(more, asked)
            drawn += more
            call.searched += more
        if found < count:
            rows = self._model.sample(count - found, asked)
            for name in missing:
                rows[name] = rows[name].mask(rows[name].notna())
            parts.append(rows)
            names = " and ".join(map(repr, missing))
            call.notes[
                f"too few rows have no value in {names}: of some others these cells are emptied"
            ] = None
        return pd.concat(parts, ignore_index=True)

    def _combinations(self) -> dict[str, pd.DataFrame]:
        """Columns that stand for combinations of others: these, by value, for each of them."""
        call = _call.get()
        if call is not None and call.joint is not None:
            return call.joint
        found = {}
        for constraint in getattr(self, "_chained_constraints", ()):
            if isinstance(constraint, FixedCombinations):
                name = constraint._joint_column
                if name in names_of_conditions(self._model.encoder):
                    values = values_of(self._model.encoder, name)
                    parts = constraint.reverse_transform(pd.DataFrame({name: values}))
                    found[name] = parts.set_axis(values)
        if call is not None:
            call.joint = found
        return found

    def _sample_rows(
        self, num_rows, conditions=None, transformed_conditions=None, *args, **kwargs
    ):
        if conditions and self._model is not None:
            joint = self._joint_conditions(conditions)
            transformed_conditions = {**(transformed_conditions or {}), **joint} or None
        return super()._sample_rows(num_rows, conditions, transformed_conditions, *args, **kwargs)

    def _joint_conditions(self, conditions: Mapping[str, Any]) -> dict[str, OneOf]:
        """Conditions on columns of fixed combinations, as those on the combinations."""
        found = {}
        for name, combinations in self._combinations().items():
            given = [str(part) for part in combinations if part in conditions]
            if given:
                meet = np.logical_and.reduce(
                    [_are(combinations[part], conditions[part]) for part in given]
                )
                if not meet.any():
                    listed = ", ".join(f"{part!r} = {conditions[part]!r}" for part in given)
                    raise UnmetConditionError(
                        f"{UNABLE}: no training row has {listed}; use values seen there"
                    )
                found[name] = OneOf(combinations.index[meet])
        return found

    def _conditionally_sample_rows(self, dataframe: pd.DataFrame, *args, **kwargs) -> pd.DataFrame:
        """None for a group of conditions that cannot be met: the others go on."""
        try:
            return super()._conditionally_sample_rows(dataframe, *args, **kwargs)
        except UnmetConditionError as error:
            call = _call.get()
            if call is None:
                raise
            call.cannot(str(error), dataframe[COND_IDX].tolist())
            return pd.DataFrame()

    def _filter_conditions(
        self, sampled: pd.DataFrame, conditions: Mapping[str, Any], float_rtol: float
    ) -> pd.DataFrame:
        for name in self._never_missing(conditions):
            # Not all dtypes that SDV has given it back in take a missing value.
            sampled[name] = sampled[name].mask(sampled[name].notna())
        return super()._filter_conditions(sampled, conditions, float_rtol)

    def _never_missing(self, conditions: Mapping[str, Any]) -> list[str]:
        """Columns that are to be missing, and were not when they were fitted."""
        encoder = self._model.encoder
        return [
            name
            for name, value in conditions.items()
            if name in encoder.names
            and _is_missing(value)
            and encoder.column(name).missing_code is None
        ]

    def _transform_conditions(self, condition_df: pd.DataFrame) -> pd.DataFrame:
        # SDV groups by the values and would lose the group of a missing one.
        conditions = super()._transform_conditions(condition_df)
        given = self._described()
        encoder = None if self._model is None else self._model.encoder
        for name in conditions.columns[conditions.isna().any()]:
            missing = MISSING
            own = encoder is not None and name in encoder.names and name not in given
            if own and self._never_missing({name: None}):
                # Of a constraint's own column; and where the given ones say nothing of it, none.
                if NOTHING_MISSING not in _values(self._model.encoder, name):
                    del conditions[name]
                    continue
                missing = NOTHING_MISSING
            present = conditions[name].notna()
            conditions[name] = conditions[name].astype(object).where(present, missing)
        return conditions

    def _sample(self, num_rows: int, conditions: dict | None = None) -> pd.DataFrame:
        """Rows in SDV's processed space.

        They meet the conditions on discrete columns and those on missing values; SDV draws more of
        them until enough meet the others, too.
        """
        asked, missing, _ = self._split(_with_missing(conditions or {}))
        return self._rows_with_missing(num_rows, self._model.native_conditions(asked), missing)

    def sample_marginal(
        self,
        num_rows: int,
        column: str,
        marginal: Mapping[Any, float] | pd.Series | str = "balanced",
        max_tries_per_batch: int = 100,
    ):
        """Sample rows in which one column has a marginal of your choice.

        The other columns follow their distribution given its values, so this is the table
        reweighted to that marginal: for rebalancing classes, or for "what if" tables.

        Args:
            num_rows: How many rows.
            column: The name of a column of categories or few values.
            marginal: The share of each value, a dictionary or series by value (scaled to add up to
                1; None is a missing value); or "balanced", the same for all values of the training
                table that are not missing.
            max_tries_per_batch: As for `sample_from_conditions`.

        Returns:
            What `sample` returns; the rows in random order. The shares are met to the row.

        Raises:
            NotFittedError: Before `fit`.
            SynthesizerInputError: An argument is out of range; names it.
            ValueError: A value was not in the training table, or is too rare to be drawn.
        """
        if not self._fitted or self._model is None:
            raise NotFittedError("Fit the synthesizer to a table with columns to model first.")
        with input_errors():
            Whole(least=1).check("num_rows", num_rows)
        values, proportions = self._read_marginal(column, marginal)
        wanted = [
            (value, count)
            for value, count in zip(values, _apportion(num_rows, proportions), strict=True)
            if count
        ]
        drawn = sum(c for value, c in wanted if not self._never_missing({column: value}))
        if drawn < num_rows:  # a condition would empty cells, a marginal has to be met
            raise ValueError(
                f"only {drawn} of {num_rows} rows could be drawn: none with {column!r} = None; "
                "leave it out of marginal"
            )
        sampled = self.sample_from_conditions(
            [Condition({column: value}, num_rows=count) for value, count in wanted],  # type: ignore[arg-type]
            max_tries_per_batch=max_tries_per_batch,
        )
        frame = sdv_versions.as_frame(sampled)
        if len(frame) < num_rows:
            missed = [repr(value) for value, _ in wanted if not _are(frame[column], value).any()]
            raise ValueError(
                f"only {len(frame)} of {num_rows} rows could be drawn: "
                + (
                    f"none with {column!r} = {' or '.join(missed)}; leave it out of marginal"
                    if missed
                    else "raise max_tries_per_batch"
                )
            )
        frame = frame.iloc[self._model.permutation(len(frame))].reset_index(drop=True)
        return sdv_versions.as_fit_input(self.metadata, frame)

    def _read_marginal(
        self, column: str, marginal: Mapping[Any, float] | pd.Series | str
    ) -> tuple[list, list[float]]:
        """Values and shares of `sample_marginal`."""
        if column not in list(self._described()):
            raise SynthesizerInputError(f"column must be one of the metadata, not {column!r}.")
        if isinstance(marginal, pd.Series):
            if not marginal.index.is_unique:
                double = marginal.index[marginal.index.duplicated()][0]
                raise SynthesizerInputError(f"marginal has more than one share for {double!r}.")
            marginal = marginal.to_dict()
        if isinstance(marginal, Mapping):
            with input_errors():
                for value, proportion in marginal.items():
                    Number().check(f"marginal of {value!r}", proportion)
            if not sum(marginal.values()) > 0:
                raise SynthesizerInputError("marginal must give a share above 0 to some value.")
            return list(marginal), list(marginal.values())
        if not isinstance(marginal, str) or marginal != "balanced":
            raise SynthesizerInputError(
                f"marginal must be 'balanced' or a dictionary of shares, not {marginal!r}."
            )
        transformer = self._data_processor._hyper_transformer.field_transformers.get(column)
        joint = [parts[column] for parts in self._combinations().values() if column in parts]
        if joint:
            values = joint[0].dropna().unique().tolist()
            return values, [1.0] * len(values)
        if column not in self._model.encoder.names:
            if transformer is not None:
                raise SynthesizerInputError(
                    f"column {column!r} is a key or anonymised: its values are made anew and have "
                    "no marginal to choose."
                )
            raise SynthesizerInputError(
                f"marginal of {column!r}, which a constraint transforms, must be a dictionary of "
                "shares."
            )
        if transformer is not None:
            raise SynthesizerInputError(
                f"marginal of {column!r}, which goes through a {type(transformer).__name__}, must "
                "be a dictionary of shares."
            )
        with input_errors():
            values = values_of(self._model.encoder, column)
        return values, [1.0] * len(values)
