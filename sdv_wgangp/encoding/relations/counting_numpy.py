"""The counts of the search for relations in NumPy: reference and fallback of `_native`.

Every function takes and gives what the compiled one of the same name does (``csrc/native``),
integer for integer; ``threads`` has no effect here.
"""

from __future__ import annotations

import numpy as np

SUM, PRODUCT, RATIO = range(3)
# Triples are given up after so many rows where they hold too seldom.
PROBES = (64, 256, 1024)
ENOUGH = 8  # rows that say something about a triple, before it is given up
FEWEST = 8  # after the last probe
DEPENDENCE_PROBE = 2048
REPEATS = 16  # in that probe, of what may determine a column


def count_pairs(values: np.ndarray, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """In how many rows a column equals, and is below, another one; NaN is neither.

    Args:
        values: float64 ``[columns, rows]``.
        threads: Of the compiled twin.

    Returns:
        Two int64 ``[columns, columns]``.
    """
    columns = len(values)
    equal = np.zeros((columns, columns), dtype=np.int64)
    below = np.zeros((columns, columns), dtype=np.int64)
    for column, own in enumerate(values):
        equal[column] = (own == values).sum(1)
        below[column] = (own < values).sum(1)
    return equal, below


def find_triples(
    values: np.ndarray,
    reach: np.ndarray,
    half: np.ndarray,
    dates: np.ndarray,
    targets: np.ndarray,
    least_fraction: float,
    threads: int = 1,
) -> np.ndarray:
    """Columns that are sums, products, ratios or squares of others in a share of the rows.

    Only rows where all three are there and none is zero are counted. A triple is given up after
    64, 256 or 1,024 rows where it holds in less than half of that share.

    Args:
        values: float64 ``[columns, rows]``, NaN where missing.
        reach: How far apart equal values may lie, per unit of their size, ``[columns]``.
        half: Half of the last digit of a column, to which products are rounded, ``[columns]``.
        dates: Which columns are dates: date = date + number is the only sum with them.
        targets: Which columns may be products or ratios.
        least_fraction: In which a triple has to hold.
        threads: Of the compiled twin.

    Returns:
        int64 ``[found, 6]``: kind (0 for a = b + c, 1 for a = b * c, 2 for a = b / c), a, b, c,
        rows counted, and those of them where it holds.
    """
    columns, rows = values.shape
    values = np.where(values == 0, np.nan, values)
    found = []
    for b in range(columns):
        for c in range(columns):
            for kind in (SUM, PRODUCT, RATIO):
                if (kind != RATIO and b > c) or (kind != PRODUCT and b == c):
                    continue  # of a column with itself, the square alone
                asked = _may_be(kind, b, c, dates, targets)
                asked[[b, c]] = False
                which = np.flatnonzero(asked)
                farthest = np.maximum(reach[which], max(reach[b], reach[c]))
                rounding = np.zeros(len(which)) if kind == SUM else half[which]
                told, held = np.zeros((2, len(which)), dtype=np.int64)
                done = 0
                for stage, end in enumerate((*PROBES, rows)):
                    part = slice(done, min(end, rows))
                    counts = _count(
                        kind, values[which, part], values[b, part], values[c, part],
                        farthest, rounding,
                    )  # fmt: skip
                    told, held, done = told + counts[0], held + counts[1], part.stop
                    if stage < len(PROBES):
                        kept = (told < ENOUGH) | (held >= least_fraction / 2 * told)
                        if stage == len(PROBES) - 1:
                            kept &= told >= FEWEST
                    else:
                        kept = held >= least_fraction * told
                    which, told, held = which[kept], told[kept], held[kept]
                    farthest, rounding = farthest[kept], rounding[kept]
                    if not len(which):
                        break
                found += [(kind, a, b, c, *n) for a, *n in zip(which, told, held, strict=True)]
    return np.array(found, dtype=np.int64).reshape(-1, 6)


def _may_be(kind: int, b: int, c: int, dates: np.ndarray, targets: np.ndarray) -> np.ndarray:
    if kind != SUM:
        return targets & ~dates & ~(dates[b] or dates[c])
    return dates.copy() if dates[b] != dates[c] else ~dates & (not dates[b])


def _count(
    kind: int,
    own: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    reach: np.ndarray,
    half: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows where all are there, and those of them where it holds, for each of some columns."""
    with np.errstate(all="ignore"):
        result = (np.add, np.multiply, np.divide)[kind](one, other)
        size = np.abs(one) + np.abs(other) if kind == SUM else np.abs(result)
        result = np.where(np.isfinite(result), result, np.nan)
        apart = np.abs(own - result)
        most = half[:, None] + reach[:, None] * (np.abs(own) + size)
        return (~np.isnan(apart)).sum(1), (apart <= most).sum(1)


def find_dependences(
    codes: np.ndarray,
    sources: np.ndarray,
    targets: np.ndarray,
    least_repeats: float,
    of_two: bool,
    threads: int = 1,
) -> np.ndarray:
    """Columns that one or two others determine in all rows.

    Two columns determine one only where neither does alone.

    Args:
        codes: int32 ``[columns, rows]``.
        sources, targets: Which columns may determine others, and may be determined.
        least_repeats: The share of rows whose source was seen in an earlier row, at least.
        of_two: Whether pairs of sources are looked at.
        threads: Of the compiled twin.

    Returns:
        int64 ``[found, 3]``: the column, and what determines it (-1 for no second one).
    """
    columns, rows = codes.shape
    alone = np.zeros((columns, columns), dtype=bool)
    for x in np.flatnonzero(sources):
        first = _first_rows(codes[x])
        if _repeats(first) >= least_repeats * rows:
            for y in np.flatnonzero(targets):
                alone[x, y] = x != y and np.array_equal(codes[y][first], codes[y])
    found = [(y, x, -1) for x, y in np.argwhere(alone)]
    head = min(rows, DEPENDENCE_PROBE)
    may_be = np.flatnonzero(sources)[: None if of_two else 0]
    for place, x in enumerate(may_be):
        for z in may_be[place + 1 :]:
            if alone[x, z] or alone[z, x]:
                continue
            first = _first_rows(_joint(codes[x, :head], codes[z, :head]))
            if _repeats(first) < REPEATS:
                continue
            asked = targets & ~alone[x] & ~alone[z]
            asked[[x, z]] = False
            which = np.flatnonzero(asked)
            own = codes[which, :head]
            which = which[(own[:, first] == own).all(1)]
            if not len(which):
                continue
            first = _first_rows(_joint(codes[x], codes[z]))
            if _repeats(first) >= least_repeats * rows:
                found += [(y, x, z) for y in which if np.array_equal(codes[y][first], codes[y])]
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _joint(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one.astype(np.int64) << 32 | other.astype(np.uint32).astype(np.int64)


def _first_rows(codes: np.ndarray) -> np.ndarray:
    """For each row the first one with the same code."""
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    return first[place]


def _repeats(first: np.ndarray) -> int:
    return int(np.count_nonzero(first != np.arange(len(first))))
