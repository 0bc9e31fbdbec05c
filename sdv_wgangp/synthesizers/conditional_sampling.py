"""Sampling under conditions: SDV's interface to what the model does without rejecting rows."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from sdv.cag import FixedCombinations
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.sampling import Condition
from sdv.single_table.base import FIXED_RNG_SEED, BaseSingleTableSynthesizer

from sdv_wgangp.encoding.conditions import (
    UNABLE,
    OneOf,
    UnmetConditionError,
    allowed_codes,
    names_of_conditions,
    values_of,
)
from sdv_wgangp.parameters import Number, Whole
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.transformers import TimestampEncoder

# Stands for a missing value among the conditions that `_sample` gets.
MISSING = "\0missing"
# Transformers (or none) that give every value back as it was.
EXACT = (type(None), TimestampEncoder)
# Conditions without a row that a warning lists.
LISTED = 5


def _are(column: pd.Series, value) -> pd.Series:
    return column.isna() if pd.isna(value) else column == value


def _with_missing(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions with None where `MISSING` stands."""
    return {
        name: None if isinstance(value, str) and value == MISSING else value
        for name, value in conditions.items()
    }


def _apportion(rows: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in the proportion of shares that add up to rows (largest remainders)."""
    exact = rows * np.asarray(shares, dtype=float) / np.sum(shares)
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: rows - counts.sum()]] += 1
    return counts.tolist()


class ConditionalSampling:
    """Mixed into a synthesizer whose ``_model`` is a `TabularModel`."""

    # Of a call that samples under conditions: why some had no rows, and `_combinations`.
    _unmet: list[str] | None = None
    _joint: dict[str, pd.DataFrame] | None = None

    @functools.wraps(BaseSingleTableSynthesizer.sample_from_conditions)
    def sample_from_conditions(self, *args, **kwargs):
        with self._telling_unmet():
            return super().sample_from_conditions(*args, **kwargs)

    @functools.wraps(BaseSingleTableSynthesizer.sample_remaining_columns)
    def sample_remaining_columns(self, *args, **kwargs):
        with self._telling_unmet():
            return super().sample_remaining_columns(*args, **kwargs)

    @contextmanager
    def _telling_unmet(self) -> Iterator[None]:
        """Warn of conditions that no row can meet; an error where there was no row at all."""
        self._unmet = []
        try:
            yield
            unmet = self._unmet
        except ValueError as error:
            if self._unmet and UNABLE in str(error):
                raise ValueError(self._unmet[0]) from None
            raise
        finally:
            self.__dict__.pop("_joint", None)
            del self._unmet
        if unmet:
            more = f"; and {len(unmet) - LISTED} more" if len(unmet) > LISTED else ""
            warnings.warn("; ".join(unmet[:LISTED]) + more, stacklevel=4)

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
        # SDV casts the values of each group to the dtypes of all conditions, which a missing date
        # does not survive where the others, or those of the training table, have a time zone.
        conditions = conditions.copy()
        for name, values in conditions.select_dtypes(["datetime", "datetimetz"]).items():
            conditions[name] = values.astype(object).where(values.notna(), None)
        if not (batch_size or output_file_path or keep_extra_columns):
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
        if self._model is None or constrained or self._unmet is None:
            return None
        if conditions.empty or not {*conditions} <= {*names_of_conditions(self._model.encoder)}:
            return None
        transformers = self._data_processor._hyper_transformer.field_transformers
        if not all(isinstance(transformers.get(name), EXACT) for name in conditions):
            return None
        given = self._transform_conditions(conditions)
        wanted, places, unmet = [], [], []
        for values, rows in given.groupby(list(given), sort=False).indices.items():
            values = values if isinstance(values, tuple) else (values,)
            condition = _with_missing(dict(zip(given, values, strict=True)))
            if self._model.native_conditions(condition) != condition:
                return None
            try:
                allowed_codes(self._model.encoder, condition)
            except UnmetConditionError as error:
                unmet.append(str(error))
                continue
            wanted.append((condition, len(rows)))
            places.append(rows)
        self._unmet += unmet
        if not wanted:
            return pd.DataFrame()
        if not self._random_state_set:
            self._set_random_state(FIXED_RNG_SEED)
        sampled = self._data_processor.reverse_transform(self._model.sample_each(wanted))
        places = np.concatenate(places)
        sampled = sampled.iloc[np.argsort(places)].set_axis(conditions.index[np.sort(places)])
        return sampled.sort_index(kind="stable")

    def _combinations(self) -> dict[str, pd.DataFrame]:
        """Columns that stand for combinations of others: these, by value, for each of them."""
        if self._joint is not None:
            return self._joint
        found = {}
        for constraint in getattr(self, "_chained_constraints", ()):
            if isinstance(constraint, FixedCombinations):
                name = constraint._joint_column
                if name in names_of_conditions(self._model.encoder):
                    values = values_of(self._model.encoder, name)
                    parts = constraint.reverse_transform(pd.DataFrame({name: values}))
                    found[name] = parts.set_axis(values)
        if self._unmet is not None:
            self._joint = found
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
            given = [part for part in combinations if part in conditions]
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

    def _conditionally_sample_rows(self, *args, **kwargs) -> pd.DataFrame:
        """None for a group of conditions that cannot be met: the others go on."""
        try:
            return super()._conditionally_sample_rows(*args, **kwargs)
        except UnmetConditionError as error:
            if self._unmet is None:
                raise
            self._unmet.append(str(error))
            return pd.DataFrame()

    def _transform_conditions(self, condition_df: pd.DataFrame) -> pd.DataFrame:
        # SDV groups by the values and would lose the group of a missing one.
        conditions = super()._transform_conditions(condition_df)
        for name in conditions.columns[conditions.isna().any()]:
            present = conditions[name].notna()
            conditions[name] = conditions[name].astype(object).where(present, MISSING)
        return conditions

    def _sample(self, num_rows: int, conditions: dict | None = None) -> pd.DataFrame:
        """Rows in SDV's processed space.

        They meet the conditions on discrete columns; SDV draws more of them until enough meet the
        others, too.
        """
        given = _with_missing(conditions or {})
        native = self._model.native_conditions(given)
        rows = self._model.sample(num_rows, native)
        # SDV overwrites a column that is to be missing instead of asking for rows where it is.
        missing = [name for name, value in given.items() if value is None and name not in native]
        if missing:
            rows = rows[rows[missing].isna().all(axis=1)].reset_index(drop=True)
        return rows

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
        values, shares = self._read_marginal(column, marginal)
        wanted = [
            (value, count)
            for value, count in zip(values, _apportion(num_rows, shares), strict=True)
            if count
        ]
        sampled = self.sample_from_conditions(
            [Condition({column: value}, num_rows=count) for value, count in wanted],
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
        metadata = self.get_metadata()  # as given, where constraints change the columns
        if column not in list(metadata.tables[sdv_versions.table_name(metadata)].columns):
            raise SynthesizerInputError(f"column must be one of the metadata, not {column!r}.")
        if isinstance(marginal, pd.Series):
            if not marginal.index.is_unique:
                double = marginal.index[marginal.index.duplicated()][0]
                raise SynthesizerInputError(f"marginal has more than one share for {double!r}.")
            marginal = marginal.to_dict()
        if isinstance(marginal, Mapping):
            with input_errors():
                for value, share in marginal.items():
                    Number().check(f"marginal of {value!r}", share)
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
