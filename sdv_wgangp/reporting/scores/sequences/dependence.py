"""What follows what: autocorrelation, cross-correlation, persistence, transitions, MSAS."""

from __future__ import annotations

import warnings

import numpy as np

from sdv_wgangp.reporting.scores.sequences.marginals import ks, moments, total_variation
from sdv_wgangp.reporting.scores.sequences.panel import Panel, bins_of, few_levels
from sdv_wgangp.statistics.autocorrelation import mean_autocorrelation, standardized

LAGS = 20
# Sequences that a lag needs for its mean: of fewer the mean is their chance.
LEAST = 10
# ``kind -> column -> [lags]``
Curves = dict[str, dict[str, np.ndarray]]
KINDS = ("levels", "changes", "absolute changes")


def lags_of(real: Panel, most: int = LAGS) -> np.ndarray:
    """1 to ``most``, or to half the longest sequence where that is less."""
    return np.arange(1, min(most, int(real.lengths.max()) // 2) + 1)


def changes(panel: Panel, values: np.ndarray) -> np.ndarray:
    """Differences to the row before; NaN in the first row of a sequence."""
    steps = np.full(len(values), np.nan)
    steps[1:] = values[1:] - values[:-1]
    steps[panel.starts[:-1]] = np.nan
    return steps


def autocorrelation(panel: Panel, values: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """`mean_autocorrelation` of a column of a panel."""
    return mean_autocorrelation(values, panel.lengths, lags, LEAST)


def persistence(panel: Panel, codes: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Mean over sequences of how often a row has the category of that ``lag`` rows before."""
    least = min(LEAST, len(panel))
    found = []
    for lag in lags:
        used = panel.lengths >= 2 * lag
        if used.sum() < least:
            found.append(np.nan)
            continue
        rows = panel.before(lag)
        rows = rows[used[panel.owner[rows]]]
        same = codes[rows] == codes[rows + lag]
        of = panel.owner[rows]
        shares = np.bincount(of, same, len(panel))[used] / (panel.lengths[used] - lag)
        found.append(float(shares.mean()))
    return np.array(found)


def curves(panel: Panel, lags: np.ndarray) -> Curves:
    """``kind -> column -> [lags]``: `autocorrelation` of `KINDS`, and `persistence`."""
    found: Curves = {kind: {} for kind in (*KINDS, "categories")}
    for name, values in panel.numbers.items():
        steps = changes(panel, values)
        for kind, series in zip(KINDS, (values, steps, np.abs(steps)), strict=True):
            if name != panel.index or kind != "levels":
                found[kind][name] = autocorrelation(panel, series, lags)
    for name, codes in panel.codes.items():
        found["categories"][name] = persistence(panel, codes, lags)
    return found


def curve_errors(real: Curves, other: Curves) -> dict[str, dict[str, float]]:
    """``kind -> column ->`` mean over lags of the squared difference; of categories absolute.

    Lags without a value on either side do not count.
    """
    found: dict[str, dict[str, float]] = {}
    for kind, columns in real.items():
        found[kind] = {}
        for name, curve in columns.items():
            off = curve - other[kind][name]
            off = off[np.isfinite(off)]
            if len(off):
                squared = kind != "categories"
                found[kind][name] = float(np.mean(off**2 if squared else np.abs(off)))
    return found


def cross_correlation(panel: Panel, lag: int) -> np.ndarray:
    """Mean over sequences of the correlation of column i with j ``lag`` rows later, ``[n, n]``.

    Of the columns of numbers without the index; NaN where one of the two is constant in each.
    """
    names = [name for name in panel.numbers if name != panel.index]
    pairs = [standardized(panel.numbers[name], panel.owner, len(panel)) for name in names]
    units = np.stack([unit for unit, _ in pairs], axis=1)
    known = np.stack([each for _, each in pairs], axis=1).astype(float)
    long = panel.lengths > lag + 1
    known *= long[:, None]
    rows = panel.before(lag)
    rows = rows[long[panel.owner[rows]]]
    with np.errstate(invalid="ignore", divide="ignore"):
        return units[rows].T @ units[rows + lag] / (known.T @ known)


def pooled_correlation(panel: Panel) -> np.ndarray:
    """Correlation of the columns of numbers over all rows, ``[n, n]``."""
    names = [name for name in panel.numbers if name != panel.index]
    values = np.stack([panel.numbers[name] for name in names], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that hold nothing
        values = values - np.nanmean(values, axis=0)
        values = np.nan_to_num(values / np.nanstd(values, axis=0))
    return values.T @ values / len(values)


def matrix_error(real: np.ndarray, other: np.ndarray, lag: int) -> float:
    """Mean absolute difference; at lag 0 of the cells below the diagonal."""
    off = np.abs(real - other)
    if lag == 0:
        off = off[np.tril_indices(len(off), -1)]
    off = off[np.isfinite(off)]
    return float(off.mean()) if len(off) else float("nan")


def transitions(real: Panel, other: Panel, seed: int = 0) -> dict[str, float]:
    """By column, total variation of (bin, next bin), of one pair of rows of each sequence.

    Numbers are cut at the tenths of the real ones, of categories the nine most frequent have a bin
    each; missing is a bin of its own. A sequence counts once, however long it is.

    Args:
        real, other: With the same columns.
        seed: Of the choice of the pairs.
    """
    chosen = []
    for panel in (real, other):
        rng = np.random.default_rng(seed)
        long = np.flatnonzero(panel.lengths > 1)
        chosen.append(panel.starts[long] + rng.integers(0, panel.lengths[long] - 1))
    columns = {name: bins_of(real.numbers[name], other.numbers[name]) for name in real.numbers}
    columns |= {n: [few_levels(p.codes[n]) for p in (real, other)] for n in real.codes}
    return {
        name: total_variation(
            *[cut[rows] * 16 + cut[rows + 1] for cut, rows in zip(binned, chosen, strict=True)]
        )
        for name, binned in columns.items()
    }


def msas(real: Panel, other: Panel) -> dict[str, dict[str, float]]:
    """What SDMetrics' ``InterRowMSAS`` and ``StatisticMSAS`` give for each column of numbers.

    1 minus the Kolmogorov-Smirnov distance of all differences of neighbouring rows
    (``"inter_row"``), and of the sequences' standard deviations (``"statistic_std"``); 1 is ideal.
    """
    found: dict[str, dict[str, float]] = {"inter_row": {}, "statistic_std": {}}

    def alike(kind: str, name: str, series: list[np.ndarray]) -> None:
        present = [values[np.isfinite(values)] for values in series]
        if all(len(values) for values in present):
            found[kind][name] = 1 - ks(*present)

    for name in real.numbers:
        if name == real.index:
            continue
        both = [(panel, panel.numbers[name]) for panel in (real, other)]
        alike("inter_row", name, [changes(*each) for each in both])
        alike("statistic_std", name, [_deviation(*each) for each in both])
    return found


def _deviation(panel: Panel, values: np.ndarray) -> np.ndarray:
    """Standard deviation of each sequence with n - 1 degrees of freedom; NaN of less than two."""
    count = np.bincount(panel.owner, np.isfinite(values), minlength=len(panel))
    correction = np.where(count > 1, count / np.maximum(count - 1, 1), np.nan)
    return moments(panel, values)[1] * np.sqrt(correction)
