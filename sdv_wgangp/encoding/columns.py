"""Columns as integer codes plus one position inside the code's interval.

Every column becomes *codes* (levels of a category, atoms and bins of a number, one code for
missing values) and, where a code stands for an interval of values, a *position* in [0, 1] inside
it. Both directions are vectorised: one sort or one hash per column.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.axis import RankAxis
from sdv_wgangp.encoding.grid import DateGrid, Grid, decimals_of, duration_grid, nanoseconds
from sdv_wgangp.encoding.options import DEFAULT, EncodingOptions
from sdv_wgangp.encoding.quantiles import QuantileMap


class CategoricalColumn:
    """Levels of a discrete column, most frequent first; the last code is "missing" if seen.

    Args:
        series: The training column. Levels keep their type; booleans and strings alike.
    """

    has_positions = False

    def __init__(self, series: pd.Series):
        self.name = series.name
        self.dtype: Any = series.dtype
        codes, levels = pd.factorize(series)
        counts = np.bincount(codes[codes >= 0], minlength=len(levels))
        order = np.argsort(-counts, kind="stable")
        self.levels: Any = levels[order]
        missing = int((codes < 0).sum())
        self.counts = np.append(counts[order], missing) if missing else counts[order]
        self.missing_code = len(order) if missing else None
        self.missing = series[codes < 0].iloc[0] if missing else None

    @property
    def width(self) -> int:
        return len(self.counts)

    @property
    def ranks(self) -> None:
        """A category has no order."""
        return None

    def encode(
        self, series: pd.Series, random: np.random.Generator | None = None
    ) -> tuple[np.ndarray, None]:
        """Codes, int64 ``[n]``, and no positions.

        Raises:
            ValueError: A level, or a missing value, was not in the training column.
        """
        codes = pd.Index(self.levels).get_indexer(pd.Index(series)).astype(np.int64)
        missing = series.isna().to_numpy()
        if missing.any():
            if self.missing_code is None:
                raise ValueError(
                    f"column {self.name!r} has missing values, but had none when it was fitted: "
                    "drop those rows or fit on data that has them"
                )
            codes[missing] = self.missing_code
        unseen = codes < 0
        if unseen.any():
            level = series.to_numpy(dtype=object)[unseen.argmax()]
            raise ValueError(
                f"column {self.name!r} holds {level!r}, which was not in the data it was fitted "
                "on: use one of the levels seen there or fit again"
            )
        return codes, None

    def decode(self, codes: np.ndarray, positions: np.ndarray | None = None) -> pd.Series:
        """Levels of the codes, as a series of the training column's dtype."""
        if self.missing_code is None:
            known = pd.array(self.levels, dtype=self.dtype)
            return pd.Series(known.take(codes), dtype=self.dtype, name=self.name)
        if self.dtype == object:  # keep None as None
            known = np.append(np.asarray(self.levels, dtype=object), [self.missing])
            return pd.Series(known[codes], dtype=object, name=self.name)
        known = pd.Series(self.levels, dtype=self.dtype).array
        indexer = np.where(codes == self.missing_code, -1, codes)
        return pd.Series(known.take(indexer, allow_fill=True), dtype=self.dtype, name=self.name)


class NumericColumn:
    """Atoms, then quantile bins of the other values, then "missing" if seen.

    *Atoms* are values that carry many rows and have a code of their own; all values are, where
    they are few. The rest of the column is one `QuantileMap`, cut into bins of equal probability;
    the position inside a bin is the rank inside it. A *continuous* column has a single bin, whose
    position is the rank itself, and no atoms but spikes that carry a large part of the rows; all
    other values that repeat are plateaus of the quantile map.

    Round trips are exact at atoms, at plateaus and at knots of the quantile map; other values
    come back on the straight line between two knots (a fraction of a percent of the rows apart),
    with ``rounded`` to as many decimals as the training column has, and to its steps (`Grid`).
    Dates and lengths of time keep to their steps in any case.

    Args:
        series: The training column: numbers, datetimes (UTC nanoseconds inside) or booleans.
        atoms_only: Make every value an atom, so that no other value is ever decoded.
        continuous: Use one rank instead of bins and lighter atoms.
        rounded: Whether decoded numbers have no more decimals than those of the training column,
            and keep to its steps.
        options: Hyper-parameters.
        marks: Which copy of another column a row is, or -1, ``[n]``: copies are codes behind all
            others, and the rest of the column is as if these rows were not there.
        copies: How many copies there are.

    Raises:
        ValueError: The column holds infinite values or is not numeric.
    """

    # Of columns that were fitted before there were steps, or copies.
    grid: Grid | DateGrid | None = None
    copies: int = 0

    def __init__(
        self,
        series: pd.Series,
        atoms_only: bool = False,
        continuous: bool = False,
        rounded: bool = True,
        options: EncodingOptions = DEFAULT,
        marks: np.ndarray | None = None,
        copies: int = 0,
    ):
        self.name = series.name
        self.dtype = series.dtype
        copied = np.zeros(0, dtype=np.int64)
        if marks is not None:
            copied = np.bincount(marks[marks >= 0], minlength=copies)
            series = series[marks < 0]
        self.copies = len(copied)
        numbers, missing = _numbers(series)
        values, counts = np.unique(numbers, return_counts=True)
        atoms = _atoms(counts, len(numbers), continuous, options) | atoms_only
        self.atoms = values[atoms]
        rest = ~atoms
        self.rest_rows = int(counts[rest].sum())
        self.quantiles: QuantileMap | None = None
        if self.rest_rows:
            self.quantiles = QuantileMap(values[rest], counts[rest], options)
        most = 1 if continuous else options.bins
        self.bins = int(np.clip(self.rest_rows // options.min_rows_per_bin, 1, most))
        if not self.rest_rows:
            self.bins = 0
        self.decimals = decimals_of(values, precision_of(self.dtype)) if rounded else None
        self.grid = _grid(values[rest], self.dtype, rounded)
        absent = int(missing.sum())
        self.missing_code = len(self.atoms) + self.bins if absent else None
        in_bins = np.diff(np.linspace(0, self.rest_rows, self.bins + 1))
        self.counts: np.ndarray = np.concatenate(
            [counts[atoms], in_bins, [absent] if absent else [], copied]
        )
        places = self.quantile_map.ranks(self.atoms) if self.bins else np.zeros(len(self.atoms))
        self.axis = RankAxis(counts[atoms], places, self.bins, self.rest_rows)
        self.ranks = self._ranks()

    @property
    def width(self) -> int:
        return len(self.counts)

    @property
    def has_positions(self) -> bool:
        return self.bins > 0

    @property
    def first_copy(self) -> int:
        """The first code that says "as another column"; ``width`` where there are none."""
        return self.width - self.copies

    @property
    def quantile_map(self) -> QuantileMap:
        """That of a column with positions; others have none."""
        assert self.quantiles is not None
        return self.quantiles

    def _ranks(self) -> np.ndarray:
        """Rank of each code's first value and the ranks it spans, ``[width, 2]``, in [0, 1]."""
        ranks = np.full((self.width, 2), (0.5, 0.0))  # of "missing"
        # A copy may have any rank: its position says which (`networks.copies`).
        ranks[self.first_copy :] = 0.0, 1.0
        ranks[: self.axis.width] = self.axis.spans()
        atoms = ranks[: len(self.atoms)]  # in the middle of the rows that have their value
        atoms[:, 0] += atoms[:, 1] / 2
        atoms[:, 1] = 0.0
        return ranks

    def encode(
        self,
        series: pd.Series,
        random: np.random.Generator | None = None,
        marks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Codes, int64 ``[n]``, and positions, float32 ``[n]`` (None without bins).

        Positions of rows on an atom or missing are uniform draws (1/2 without ``random``).

        Args:
            series: Values.
            random: Source of what values leave open.
            marks: Which copy a row is, or -1, ``[n]``; its position is the rank of its value.

        Raises:
            ValueError: A value has no code: missing where none was, or not one of the atoms of a
                column that has nothing else.
        """
        numbers, missing = _numbers(series)
        if missing.any() and self.missing_code is None:
            raise ValueError(
                f"column {self.name!r} has missing values, but had none when it was fitted: drop "
                "those rows or fit on data that has them"
            )
        numbers = self._as_fitted(numbers)
        found = np.zeros(len(numbers), dtype=np.int64)
        on_atom = np.zeros(len(numbers), dtype=bool)
        if len(self.atoms):
            found = np.searchsorted(self.atoms, numbers).clip(0, len(self.atoms) - 1)
            on_atom = self.atoms[found] == numbers
        codes = np.full(len(series), -1 if self.missing_code is None else self.missing_code)
        present = ~missing
        if not self.bins:
            if not on_atom.all():
                raise self._unseen(numbers[~on_atom][0])
            codes[present] = found
            return codes.astype(np.int64), None
        free = 0.5 if random is None else random.random(len(series), dtype=np.float32)
        positions = np.full(len(series), 0.5, dtype=np.float32)
        positions[:] = free
        ranks = self.quantile_map.ranks(numbers, random) * self.bins
        bins = np.minimum(ranks.astype(np.int64), self.bins - 1)
        codes[present] = np.where(on_atom, found, len(self.atoms) + bins)
        inside = np.flatnonzero(present)[~on_atom]
        positions[inside] = (ranks - bins)[~on_atom]
        codes = codes.astype(np.int64)
        if marks is not None and (copied := marks >= 0).any():
            positions[copied] = self.axis.ranks(codes[copied], positions[copied])
            codes[copied] = self.first_copy + marks[copied]
        return codes, positions

    def _as_fitted(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers in the dtype of the fitted ones, so that equal values compare as equal."""
        dtype = self.atoms.dtype
        if numbers.dtype == dtype:
            return numbers
        cast = numbers.astype(dtype)
        changed = cast != numbers
        if changed.any():
            raise self._unseen(numbers[changed][0])
        return cast

    def outside(self, series: pd.Series) -> tuple[int, Any, Any]:
        """How many values lie outside the range of a column with positions, and that range."""
        numbers, _ = _numbers(series)
        known = np.concatenate([self.atoms, self.quantile_map.values])
        ends = np.array([known.min(), known.max()])
        least, most = restore(ends, np.zeros(2, dtype=bool), self.dtype, self.name)
        return int(((numbers < ends[0]) | (numbers > ends[1])).sum()), least, most

    def _unseen(self, value) -> ValueError:
        return ValueError(
            f"column {self.name!r} holds {value!r}, which was not in the data it was fitted on: "
            "use one of the values seen there or fit again"
        )

    def decode(self, codes: np.ndarray, positions: np.ndarray | None = None) -> pd.Series:
        """Values of the codes and positions, as a series of the training column's dtype.

        A copy is decoded as the value at the rank that is its position: what it is a copy of,
        other columns tell (`encoding.relations.holding`).
        """
        if self.copies and (copied := codes >= self.first_copy).any():
            assert positions is not None
            codes, positions = codes.copy(), positions.copy()
            codes[copied], positions[copied] = self.axis.cells(positions[copied])
        dtype = self.quantile_map.values.dtype if self.bins else self.atoms.dtype
        numbers = np.zeros(len(codes), dtype=dtype)
        atom = codes < len(self.atoms)
        numbers[atom] = self.atoms[codes[atom]]
        missing = codes == self.missing_code
        if self.bins:
            inside = ~atom & ~missing
            bins = codes[inside] - len(self.atoms)
            ranks = (bins + np.asarray(positions, dtype=np.float64)[inside]) / self.bins
            numbers[inside] = self._on_grid(self.quantile_map.quantiles(ranks))
        if self.decimals is not None and dtype.kind == "f":
            numbers = np.round(numbers, self.decimals)
        return restore(numbers, missing, self.dtype, self.name)

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        if self.grid is None:
            return values
        known = self.quantile_map.values
        return np.clip(self.grid.snap(values), known[0], known[-1])


def ranks_in_bins(
    codes: np.ndarray, positions: np.ndarray, first: int, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that lie in bins, and their ranks in [0, 1] there.

    Args:
        codes, positions: Of a column, ``[n]``.
        first, bins: Its first code that is a bin, and how many are.
    """
    place = codes.astype(np.int64) - first
    rows = np.flatnonzero((place >= 0) & (place < bins))
    return rows, (place[rows] + positions[rows].astype(np.float64)) / bins


def _numbers(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The present values, float64, int64 or uint64 ``[m]``, and the missing mask ``[n]``."""
    missing = series.isna().to_numpy()
    present = series[~missing] if missing.any() else series
    if isinstance(present.dtype, pd.DatetimeTZDtype) or present.dtype.kind == "M":
        return nanoseconds(pd.DatetimeIndex(present)), missing
    if present.dtype.kind == "m":
        return nanoseconds(pd.TimedeltaIndex(present)), missing
    try:
        values = present.to_numpy()
        if values.dtype.kind not in "biuf":
            values = pd.to_numeric(present).to_numpy()
    except (ValueError, TypeError):
        values = None
    if values is None or values.dtype.kind not in "biuf":
        raise ValueError(
            f"column {series.name!r} is not numeric: declare it categorical or convert it"
        )
    if values.dtype.kind == "f":
        values = values.astype(np.float64, copy=False)
        if np.isinf(values).any():
            raise ValueError(
                f"column {series.name!r} holds infinite values: replace them by missing values or "
                "by the largest finite number that makes sense"
            )
    elif values.dtype != np.uint64:
        values = values.astype(np.int64, copy=False)
    return values, missing


def precision_of(dtype) -> np.dtype:
    """The dtype of floats that a column keeps its numbers in; float64 where these are none.

    Example:
        >>> str(precision_of(pd.Float32Dtype())), str(precision_of(np.dtype("int8")))
        ('float32', 'float64')
    """
    own = getattr(dtype, "numpy_dtype", dtype)
    is_float = isinstance(own, np.dtype) and own.kind == "f"
    return own if is_float else np.dtype(np.float64)


def _grid(values: np.ndarray, dtype, rounded: bool) -> Grid | DateGrid | None:
    """The steps of distinct values that a column of that dtype holds."""
    if not len(values):
        return None
    if isinstance(dtype, pd.DatetimeTZDtype):
        return DateGrid.of(values, dtype)
    if dtype.kind == "M":
        return DateGrid.of(values)
    if dtype.kind == "m":
        return duration_grid(values)
    return Grid.of(values, precision_of(dtype)) if rounded else None


def restore(numbers: np.ndarray, missing: np.ndarray, dtype, name) -> pd.Series:
    """Numbers as a series of ``dtype``, missing where the mask says."""
    series: pd.Series
    if isinstance(dtype, pd.DatetimeTZDtype):
        series = pd.Series(pd.DatetimeIndex(numbers.astype("datetime64[ns]"), tz="UTC"))
        series = series.dt.tz_convert(dtype.tz).astype(dtype)
    elif dtype.kind in "mM":
        series = pd.Series(numbers.astype(f"{dtype.kind}8[ns]")).astype(dtype)
    elif missing.any() and isinstance(dtype, np.dtype) and dtype.kind in "biu":
        series = pd.Series(numbers.astype(np.float64))
    else:
        series = pd.Series(numbers).astype(dtype)
    series = series.mask(missing) if missing.any() else series
    return series.rename(name)


def _atoms(
    counts: np.ndarray, rows: int, continuous: bool, options: EncodingOptions
) -> np.ndarray:
    """Mask of the distinct values that become atoms, shape ``[m]``."""
    distinct, least = len(counts), options.min_rows_per_atom
    if continuous and distinct > 1:
        return counts >= max(options.min_spike_frequency * rows, least)
    if distinct <= 1 or (distinct <= options.max_atoms and rows >= least * distinct):
        return np.ones(distinct, dtype=bool)
    heavy = counts >= max(options.min_atom_frequency * rows, least)
    # On a grid (pressures, years, counts) every value is heavy and none is special: an atom must
    # also stand out of the values beside it.
    window = np.arange(distinct)
    last = np.minimum(window + options.atom_neighbours + 1, distinct)
    first = np.maximum(window - options.atom_neighbours, 0)
    total = np.concatenate([[0], np.cumsum(counts)])
    around = (total[last] - total[first] - counts) / (last - first - 1)
    heavy &= counts >= options.atom_prominence * around
    enough = counts[heavy].sum() >= options.min_atom_mass * rows
    return heavy if enough else np.zeros(distinct, bool)
