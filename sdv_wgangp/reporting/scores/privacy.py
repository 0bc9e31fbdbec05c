"""How close synthetic rows are to training rows: distances, copies, new rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from sdv_wgangp.reporting.scores.tables import NUMBERS, to_codes, to_numbers, used

MAX_REFERENCE_ROWS = 40_000
SIGNIFICANT_DIGITS = 12
MATCH_TOLERANCE = 0.01
CURVE = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Privacy:
    """How close synthetic rows are to training rows; None where a holdout is needed.

    ``nearest_record_share``: share of synthetic rows nearer to the training rows than to as many
    holdout rows; .5 when the synthetic rows know no more of one than of the other.
    ``distance_to_closest``: median distance to the closest training row, and
    ``distance_ratio`` the same divided by that of holdout rows (1: as far away as new real rows).
    ``exact_copies`` and ``new_rows`` are shares of the synthetic rows, ``holdout_*`` the same
    shares of holdout rows: what chance gives in rows that were never seen. ``train_twins`` is the
    share of training rows with an equal among the training rows. ``distances`` and
    ``holdout_distances`` are the quantiles at `CURVE` of the distance to the closest training row.
    """

    exact_copies: float
    new_rows: float
    distance_to_closest: float
    nearest_record_share: float | None
    distance_ratio: float | None
    holdout_exact_copies: float | None
    holdout_new_rows: float | None
    train_rows: int
    synthetic_rows: int
    holdout_rows: int
    train_twins: float
    distances: tuple[float, ...]
    holdout_distances: tuple[float, ...] | None


def privacy(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    holdout: pd.DataFrame | None = None,
    max_rows: int = 5_000,
    seed: int = 0,
) -> Privacy:
    """Distances and copies between synthetic and training rows.

    The distance of two rows is the sum over numbers of ``|difference| / training range`` plus 1
    per category that differs; a missing value is a category of its own (distance 0 to another
    missing value, 1 to any value). A row is an *exact copy* when it equals a training row in
    every column, numbers rounded to 12 significant digits. A row is *new* when no training row
    agrees with it in every category and, within 1 % of its value, in every number (SDMetrics'
    NewRowSynthesis; 1 % of the training range for datetimes, whose zero means nothing).

    Small distances show leakage, large ones do not prove its absence: membership inference may
    succeed where these shares look harmless.

    Args:
        train: The rows that the synthesizer was fitted to.
        synthetic: Its rows.
        columns: ``name -> sdtype``.
        holdout: Real rows that it never saw. Shares of nearness need them.
        max_rows: Distances and new rows are measured for at most so many synthetic (and
            holdout) rows, against at most 40,000 training rows. Copies are counted in all.
        seed: Of these subsamples.

    Raises:
        ValueError: a column is missing, or a table is empty.
    """
    tables = [train, synthetic] if holdout is None else [train, synthetic, holdout]
    columns = used(columns, *tables)
    encoded = _RowCodes(columns, tables)
    rng = np.random.default_rng(seed)

    keys = [_row_keys(numbers, codes) for numbers, codes in encoded.tables]
    copies = [float(np.isin(key, keys[0]).mean()) for key in keys[1:]]

    chosen = [_choose(len(table), max_rows, rng) for table in tables[1:]]
    new = [
        1 - float(_matches(encoded, which, rows).mean())
        for which, rows in enumerate(chosen, start=1)
    ]

    # The first rows of one permutation are the part that is as large as the holdout, so that
    # one pass over the distances serves the share and the median.
    reference = rng.permutation(len(train))[:MAX_REFERENCE_ROWS]
    points = [encoded.points(which) for which in range(len(tables))]
    known = _rows(points[0], reference)
    asked = _rows(points[1], chosen[0])
    fraction = ratio = baseline = None
    if holdout is None:
        (closest,) = _nearest(asked, known, [len(reference)])
    else:
        size = min(len(holdout), len(reference))
        unseen_rows = _choose(len(holdout), size, rng)
        unseen = _rows(points[2], unseen_rows)
        to_part, closest = _nearest(asked, known, [size, len(reference)])
        (to_unseen,) = _nearest(asked, unseen, [size])
        fraction = float(np.mean(to_part < to_unseen) + np.mean(to_part == to_unseen) / 2)
        (baseline,) = _nearest(_rows(points[2], chosen[1]), known, [len(reference)])
        median = float(np.median(baseline))
        ratio = float(np.median(closest)) / median if median > 0 else None
    return Privacy(
        exact_copies=copies[0],
        new_rows=new[0],
        distance_to_closest=float(np.median(closest)),
        nearest_record_share=fraction,
        distance_ratio=ratio,
        holdout_exact_copies=None if holdout is None else copies[1],
        holdout_new_rows=None if holdout is None else new[1],
        train_rows=len(train),
        synthetic_rows=len(synthetic),
        holdout_rows=0 if holdout is None else len(holdout),
        train_twins=float(pd.Series(keys[0]).duplicated(keep=False).mean()),
        distances=_curve(closest),
        holdout_distances=None if baseline is None else _curve(baseline),
    )


def _curve(distances: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(distances, CURVE))


def _choose(size: int, most: int, rng: np.random.Generator) -> np.ndarray:
    if size <= most:
        return np.arange(size)
    return np.sort(rng.choice(size, most, replace=False))


class _RowCodes:
    """The tables as (numbers float64, category codes int64), the training table first."""

    def __init__(self, columns: Mapping[str, str], tables: Sequence[pd.DataFrame]) -> None:
        numbers: list[list[np.ndarray]] = [[] for _ in tables]
        codes: list[list[np.ndarray]] = [[] for _ in tables]
        self.is_datetime = np.array(
            [sdtype == "datetime" for sdtype in columns.values() if sdtype in NUMBERS], dtype=bool
        )
        for name, sdtype in columns.items():
            if sdtype in NUMBERS:
                column = [to_numbers(table[name], sdtype) for table in tables]
                into = numbers
            else:
                column, _ = to_codes([table[name] for table in tables])
                into = codes
            for part, values in zip(into, column, strict=True):
                part.append(values)
        self.tables = [
            (_stack(number, len(table), np.float64), _stack(code, len(table), np.int64))
            for number, code, table in zip(numbers, codes, tables, strict=True)
        ]
        train = self.tables[0][0]
        present = np.where(np.isnan(train), np.inf, train).min(axis=0, initial=np.inf)
        largest = np.where(np.isnan(train), -np.inf, train).max(axis=0, initial=-np.inf)
        known = np.isfinite(present)
        self.low = np.where(known, present, 0.0)
        span = np.where(known, largest, 0.0) - self.low
        self.span = np.where(span > 0, span, 1.0)
        self.has_missing = np.any(
            [np.isnan(numbers).any(axis=0) for numbers, _ in self.tables], axis=0
        )

    def points(self, which: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, coordinates) for the city-block distance, and (rows, categories) as float64.

        A number x of a column with missing values is the point (x/2, (1-x)/2) and a missing
        value (-1/4, -1/4): two numbers stay |x - y| apart, and a missing value is 1 away from
        every number of the training range.
        """
        numbers, codes = self.tables[which]
        scaled = (numbers - self.low) / self.span
        coordinates = [scaled[:, ~self.has_missing]]
        for place in np.flatnonzero(self.has_missing):
            x = scaled[:, place]
            pair = np.column_stack([x / 2, (1 - x) / 2])
            pair[np.isnan(x)] = -0.25
            coordinates.append(pair)
        return np.hstack(coordinates), codes.astype(np.float64)


def _rows(
    points: tuple[np.ndarray, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of a table's coordinates and categories."""
    return points[0][rows], points[1][rows]


def _stack(arrays: list[np.ndarray], rows: int, dtype) -> np.ndarray:
    if not arrays:
        return np.empty((rows, 0), dtype=dtype)
    return np.column_stack(arrays).astype(dtype, copy=False)


def _nearest(
    asked: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    prefixes: Sequence[int],
) -> list[np.ndarray]:
    """For every asked row the distance to the closest of the first n known rows, for every n.

    Chunks of at most 4 million distances: three such arrays are 100 MB.
    """
    rows = len(asked[0])
    closest = [np.empty(rows) for _ in prefixes]
    chunk = max(1, 4_000_000 // len(known[0]))
    for start in range(0, rows, chunk):
        part = slice(start, start + chunk)
        distance = np.zeros((len(asked[0][part]), len(known[0])))
        if asked[0].shape[1]:
            distance += cdist(asked[0][part], known[0], "cityblock")
        categories = asked[1].shape[1]
        if categories:
            # The share of categories that differ, back to their number.
            differing = cdist(asked[1][part], known[1], "hamming")
            differing *= categories
            distance += differing
        for nearest, size in zip(closest, prefixes, strict=True):
            nearest[part] = distance[:, :size].min(axis=1)
    return closest


def _row_keys(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A 64-bit hash per row; numbers count to 12 significant digits."""
    rounded = _significant(numbers)
    missing = np.isnan(rounded)
    rounded[missing] = 0.0
    rows = pd.DataFrame(np.hstack([rounded, missing.astype(np.float64)]))
    rows = pd.concat([rows, pd.DataFrame(codes)], axis=1)
    return pd.util.hash_pandas_object(rows, index=False).to_numpy()


def _significant(numbers: np.ndarray) -> np.ndarray:
    """``numbers`` rounded to 12 significant digits; zero, infinities and NaN stay."""
    result = np.array(numbers, dtype=np.float64)
    plain = np.isfinite(result) & (result != 0)
    values = result[plain]
    places = SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(np.abs(values)))
    # Subnormal numbers would overflow the scale.
    scale = 10.0 ** np.clip(places, -300, 300)
    result[plain] = np.round(values * scale) / scale
    return result + 0.0  # -0.0 becomes 0.0


def _matches(encoded: _RowCodes, which: int, rows: np.ndarray) -> np.ndarray:
    """Which of ``rows`` of a table agree with a training row within the tolerance."""
    train_numbers, train_codes = encoded.tables[0]
    numbers, codes = (values[rows] for values in encoded.tables[which])
    tolerance = np.where(
        encoded.is_datetime, MATCH_TOLERANCE * encoded.span, MATCH_TOLERANCE * np.abs(numbers)
    )
    # Rows can only match inside a group that agrees in all categories and in what is missing.
    train_group, group = (
        _row_keys(np.empty((len(kept), 0)), _with_missing(values, kept))
        for values, kept in ((train_numbers, train_codes), (numbers, codes))
    )
    _, joined = np.unique(np.concatenate([train_group, group]), return_inverse=True)
    train_group, group = joined[: len(train_group)], joined[len(train_group) :]
    if numbers.shape[1] == 0:
        return np.isin(group, train_group)
    train_numbers, numbers = np.nan_to_num(train_numbers), np.nan_to_num(numbers)
    tolerance = np.nan_to_num(tolerance)

    # The candidates of a row are the training rows of its group that agree in the column with
    # the most distinct values: one range of the rows sorted by (group, value).
    sharp = int(np.argmax([len(np.unique(column)) for column in train_numbers.T]))
    values = np.unique(train_numbers[:, sharp])
    key = train_group * (len(values) + 1) + np.searchsorted(values, train_numbers[:, sharp])
    order = np.argsort(key, kind="stable")
    key = key[order]
    base = group * (len(values) + 1)
    low = base + np.searchsorted(values, numbers[:, sharp] - tolerance[:, sharp], "left")
    high = base + np.searchsorted(values, numbers[:, sharp] + tolerance[:, sharp], "right")
    first, last = np.searchsorted(key, low, "left"), np.searchsorted(key, high, "left")
    found = np.zeros(len(rows), dtype=bool)
    for start in _pieces(last - first, 500_000):
        count = (last - first)[start]
        asked = np.repeat(np.arange(len(rows))[start], count)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        candidate = order[np.repeat(first[start], count) + offset]
        agree = np.ones(len(asked), dtype=bool)
        for place in range(numbers.shape[1]):
            distance = np.abs(train_numbers[candidate, place] - numbers[asked, place])
            agree &= distance <= tolerance[asked, place]
        found[asked[agree]] = True
    return found


def _with_missing(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.hstack([codes, np.isnan(numbers).astype(np.int64)])


def _pieces(counts: np.ndarray, most: int) -> Iterator[slice]:
    """Consecutive rows whose counts add up to about ``most`` (at least one row each)."""
    total = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + most, "right")))
        yield slice(start, stop)
        start = stop
