"""Whether a pattern is more than chance: rows of a part that it was not found on decide.

The hypothesis that is rejected is that the first column of a candidate is independent of the
others, with the distribution that it has. How often the pattern would hold then is counted on the
rows that it was found on, after shifting that column against the others; of that count the upper
end of an exact confidence interval is taken (Clopper and Pearson, Biometrika 26, 1934). The rows
set aside are independent of it. A one-sided binomial test of their count is made at the level
divided by the number of candidates that are tested (Bonferroni), half of which goes to either
step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

Check = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray]]


def rate_by_chance(
    check: Check,
    columns: Sequence[np.ndarray],
    level: float,
    shifts: int = 20,
    lift: float = 1.0,
    rng: np.random.Generator | None = None,
) -> float:
    """An upper bound of how often a pattern holds where its first column is independent.

    Args:
        check: Gives for columns the rows that count, and those where the pattern holds.
        columns: Rows in random order, ``[rows]`` each.
        level: Chance that the bound is too low.
        shifts: How often the first column is shifted against the others.
        lift: By which the rate is multiplied: how many times more than chance is asked for.
        rng: Of the shifts.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.integers(0, 10, (2, 5000))
        >>> same = lambda columns: (np.ones(5000, bool), columns[0] == columns[1])
        >>> 0.1 < rate_by_chance(same, [x, y], 1e-4, rng=rng) < 0.11
        True
    """
    rng = np.random.default_rng(0) if rng is None else rng
    rows = len(columns[0])
    trials = hits = 0
    for _ in range(shifts):
        shifted = np.roll(columns[0], rng.integers(1, max(rows, 2)))
        counted, held = check([shifted, *columns[1:]])
        trials += int(np.count_nonzero(counted))
        hits += int(np.count_nonzero(held & counted))
    if hits == trials:
        return 1.0
    return min(1.0, lift * float(stats.beta.ppf(1 - level, hits + 1, trials - hits)))


def is_more_than_chance(hits: int, rows: int, chance: float, level: float) -> bool:
    """Whether so many of the rows would hardly hold at that rate.

    Example:
        >>> is_more_than_chance(20, 20, 0.5, 1e-4), is_more_than_chance(20, 20, 0.9, 1e-4)
        (True, False)
    """
    return bool(rows) and float(stats.binom.sf(hits - 1, rows, chance)) <= level
