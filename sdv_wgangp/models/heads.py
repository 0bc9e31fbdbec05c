"""The heads of sequences: context, lengths, starts and levels, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.columns import CategoricalColumn
from sdv_wgangp.encoding.conditions import UnmetConditionError, code_of
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints


class HeadModel:
    """A `TabularModel` of heads, which also fills in what is not given of them.

    Columns that are the same in all rows are not learned; a table of nothing else has no model.

    Args:
        model: Not fitted yet.
    """

    def __init__(self, model: TabularModel):
        self.model: TabularModel | None = model

    def fit(
        self,
        head: pd.DataFrame,
        discrete_columns: Sequence[str] = (),
        ordinal_columns: Sequence[str] = (),
        checkpoints: Checkpoints | None = None,
        resume: bool = False,
    ) -> HeadModel:
        """Learn from heads, a row for each sequence. Arguments as of `TabularModel.fit`."""
        self.names, self._examples = list(head.columns), head.iloc[:1].reset_index(drop=True)
        varies = [name for name in head if head[name].nunique(dropna=False) > 1]
        if not varies:
            self.model = None
            return self
        assert self.model is not None
        self.model.fit(
            head[varies],
            [name for name in discrete_columns if name in varies],
            [name for name in ordinal_columns if name in varies],
            checkpoints=checkpoints,
            resume=resume,
        )
        return self

    def set_random_state(self, seed: int | None) -> None:
        """Start the random numbers of `sample` anew."""
        if self.model is not None:
            self.model.set_random_state(seed)

    def sample(self, rows: int, given: pd.DataFrame | None = None) -> pd.DataFrame:
        """Heads, columns in the order of the training heads.

        Args:
            rows: How many.
            given: Values of some columns, a row for each head; they come back as they are.

        Raises:
            ValueError: A value of a category was not in its training column; names both.
        """
        if given is not None and len(given) != rows:
            raise ValueError(f"given must have {rows} rows, one for each sequence: {len(given)}")
        drawn = pd.DataFrame(index=range(rows))
        if self.model is not None:
            known = [] if given is None else [
                name for name in given if name in self.model.encoder.names
            ]  # fmt: skip
            drawn = self._filled(given[known]) if given is not None and known else (
                self.model.sample(rows)
            )  # fmt: skip
            drawn = drawn.reset_index(drop=True)
        for name in self.names:
            if name not in drawn:
                drawn[name] = self._examples[name].iloc[np.zeros(rows, int)].reset_index(drop=True)
            if given is not None and name in given:
                drawn[name] = given[name].reset_index(drop=True)
        return drawn[self.names]

    def _filled(self, given: pd.DataFrame, candidates: int = 32, least: int = 256) -> pd.DataFrame:
        """Heads that meet what is given: categories are conditions of the model; of rows with
        these, those with the nearest numbers are taken."""
        model = self.model
        assert model is not None
        self._check(given)
        given = given.reset_index(drop=True)
        parts, places = [], []
        for conditions, rows in self._groups(given):
            rest = given.drop(columns=list(conditions)).iloc[rows]
            if not rest.shape[1]:
                parts.append(model.sample(len(rows), conditions))
            else:
                count = max(candidates * len(rows), least)
                pool = model.sample(count, conditions or None)
                parts.append(pool.iloc[self._nearest(pool, rest)])
            places.append(rows)
        order = np.argsort(np.concatenate(places), kind="stable")
        return pd.concat(parts, ignore_index=True).iloc[order].reset_index(drop=True)

    def _check(self, given: pd.DataFrame) -> None:
        assert self.model is not None
        for name in given:
            column = self.model.encoder.column(name)
            if isinstance(column, CategoricalColumn):
                for value in given[name].drop_duplicates():
                    code_of(column, value)

    def _groups(self, given: pd.DataFrame) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Conditions that the model takes, and the rows of each."""
        assert self.model is not None
        rows: dict[tuple, tuple[dict[str, Any], list[int]]] = {}
        for place, row in enumerate(given.to_dict("records")):
            native = self.model.native_conditions({str(n): v for n, v in row.items()})
            native = {n: None if pd.isna(v) else v for n, v in native.items()}
            rows.setdefault(tuple(native.items()), (native, []))[1].append(place)
        return [(conditions, np.array(places)) for conditions, places in rows.values()]

    def _nearest(self, pool: pd.DataFrame, wanted: pd.DataFrame) -> np.ndarray:
        """For each wanted row the row of the pool that is nearest in ranks."""
        assert self.model is not None
        distances = np.zeros((len(wanted), len(pool)))
        for name in wanted:
            column = self.model.encoder.column(name)
            both = [
                np.nan_to_num(_numbers(each[name]), nan=-np.inf) for each in (wanted, pool)
            ] if not isinstance(column, CategoricalColumn) else [
                column.encode(each[name])[0].astype(np.float64) for each in (wanted, pool)
            ]  # fmt: skip
            if isinstance(column, CategoricalColumn):
                distances += both[0][:, None] != both[1][None]
            else:
                ordered = np.sort(both[1])
                ranks = [np.searchsorted(ordered, each) / len(ordered) for each in both]
                distances += np.abs(ranks[0][:, None] - ranks[1][None])
        return distances.argmin(1)


def _numbers(column: pd.Series) -> np.ndarray:
    """Numbers or times as float64, NaN where they are missing."""
    if column.dtype.kind in "mM" or isinstance(column.dtype, pd.DatetimeTZDtype):
        missing = column.isna().to_numpy()
        numbers = column.astype("int64", copy=True).to_numpy().astype(np.float64)
        numbers[missing] = np.nan
        return numbers
    return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)


__all__ = ["HeadModel", "UnmetConditionError"]
