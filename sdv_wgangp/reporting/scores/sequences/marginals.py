"""Values by themselves: columns, lengths, attributes, and attributes with what happens."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import wasserstein_distance

from sdv_wgangp.reporting.scores.sequences.panel import Panel, bins_of, few_levels


def ks(real: np.ndarray, other: np.ndarray) -> float:
    """Largest gap of the cumulative curves, 0 to 1; missing values lie below all others.

    Example:
        >>> ks(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0]))
        0.5
    """
    if not len(real) or not len(other):
        return float("nan")
    first, second = (np.sort(np.where(np.isnan(v), -np.inf, v)) for v in (real, other))
    points = np.concatenate([first, second])
    curves = [np.searchsorted(v, points, side="right") / len(v) for v in (first, second)]
    return float(np.abs(curves[0] - curves[1]).max())


def total_variation(real: np.ndarray, other: np.ndarray) -> float:
    """Half the sum of differences of the shares of each code, 0 to 1; codes from -1 on.

    Example:
        >>> total_variation(np.array([0, 0, 1, -1]), np.array([0, 0, 0, 1]))
        0.25
    """
    if not len(real) or not len(other):
        return float("nan")
    size = 2 + int(max(real.max(), other.max()))
    shares = [np.bincount(codes + 1, minlength=size) / len(codes) for codes in (real, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def jensen_shannon(real: np.ndarray, other: np.ndarray) -> float:
    """Jensen-Shannon divergence of codes from -1 on, in bits: 0 for equal shares, 1 for disjoint.

    Example:
        >>> jensen_shannon(np.array([0, 1]), np.array([2, 2]))
        1.0
    """
    size = 2 + int(max(real.max(), other.max()))
    p, q = (np.bincount(codes + 1, minlength=size) / len(codes) for codes in (real, other))
    middle = (p + q) / 2

    def against(part: np.ndarray) -> float:
        seen = part > 0
        return float((part[seen] * np.log2(part[seen] / middle[seen])).sum())

    return (against(p) + against(q)) / 2


def wasserstein(real: np.ndarray, other: np.ndarray) -> float:
    """1-Wasserstein distance over the real standard deviation, of the values that are there.

    Example:
        >>> wasserstein(np.array([0.0, 2.0]), np.array([1.0, 3.0]))
        1.0
    """
    real, other = real[np.isfinite(real)], other[np.isfinite(other)]
    if not len(real) or not len(other):
        return float("nan")
    spread = float(real.std())
    far = float(wasserstein_distance(real, other))
    return far / spread if spread else (0.0 if far == 0 else float("inf"))


def shapes(real: Panel, other: Panel) -> dict[str, float]:
    """By column over time: `ks` of numbers, `total_variation` of categories."""
    found = {name: ks(real.numbers[name], other.numbers[name]) for name in real.numbers}
    for name in real.codes:
        found[name] = total_variation(real.codes[name], other.codes[name])
    return found


def distances(real: Panel, other: Panel) -> dict[str, float]:
    """`wasserstein` of each column of numbers."""
    return {name: wasserstein(real.numbers[name], other.numbers[name]) for name in real.numbers}


def length_distance(real: Panel, other: Panel) -> float:
    """1-Wasserstein distance of the lengths, in rows."""
    return float(wasserstein_distance(real.lengths, other.lengths))


def attributes(real: Panel, other: Panel) -> dict[str, float]:
    """`jensen_shannon` of each attribute, numbers by the tenth of the real ones."""
    found = {}
    for name, values in real.attribute_numbers.items():
        found[name] = jensen_shannon(*bins_of(values, other.attribute_numbers[name]))
    for name, codes in real.attribute_codes.items():
        found[name] = jensen_shannon(codes, other.attribute_codes[name])
    return found


def attribute_effects(real: Panel, other: Panel) -> dict[str, float]:
    """How each attribute goes together with length, mean and sd of the columns of numbers.

    By attribute, the mean over these features of the total variation of (level, tenth of the
    feature); of more than ten levels the rarest are one.
    """
    cells = []
    for first, second in _features(real, other):
        cells.append(bins_of(first, second))
    found = {}
    levels = [
        (name, *bins_of(values, other.attribute_numbers[name]))
        for name, values in real.attribute_numbers.items()
    ] + [
        (name, few_levels(codes), few_levels(other.attribute_codes[name]))
        for name, codes in real.attribute_codes.items()
    ]
    for name, own, its in levels:
        found[name] = float(
            np.mean([total_variation(own * 16 + a, its * 16 + b) for a, b in cells])
        )
    return found


def _features(real: Panel, other: Panel) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    yield real.lengths.astype(float), other.lengths.astype(float)
    for name in real.numbers:
        if name == real.index:
            continue
        (mean, sd), (its_mean, its_sd) = (moments(p, p.numbers[name]) for p in (real, other))
        yield mean, its_mean
        yield sd, its_sd


def moments(panel: Panel, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each sequence, ``[sequences]``; NaN where all is missing."""
    there = np.isfinite(values)
    count = np.bincount(panel.owner, there, minlength=len(panel))
    filled = np.where(there, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(panel.owner, filled, minlength=len(panel)) / count
        centred = np.where(there, values - mean[panel.owner], 0.0)
        square = np.bincount(panel.owner, centred**2, minlength=len(panel)) / count
    return mean, np.sqrt(square)


def categories_per_sequence(real: Panel, other: Panel) -> dict[str, float]:
    """By column of categories, `ks` of how many different ones a sequence has."""
    return {
        name: ks(*(distinct_levels(panel, panel.codes[name])[0] for panel in (real, other)))
        for name in real.codes
    }


def distinct_levels(panel: Panel, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many levels each sequence has, missing as one, and the most frequent of them.

    Example:
        >>> import pandas as pd
        >>> from sdv_wgangp.reporting.scores.sequences.panel import read_panels
        >>> rows = pd.DataFrame({"who": [1, 1, 1, 2], "kind": ["a", "b", "b", "a"]})
        >>> panel = read_panels({"real": rows}, "who")["real"]
        >>> counts, most = distinct_levels(panel, panel.codes["kind"])
        >>> counts.tolist(), panel.codes["kind"].tolist(), most.tolist()
        ([2.0, 1.0], [0, 1, 1, 0], [1, 0])
    """
    levels = int(codes.max(initial=0)) + 2
    cells, counts = np.unique(panel.owner * levels + codes + 1, return_counts=True)
    owner = cells // levels
    order = np.lexsort((counts, owner))
    ends = np.searchsorted(owner[order], np.arange(len(panel)), side="right") - 1
    return (
        np.bincount(owner, minlength=len(panel)).astype(float),
        (cells[order] % levels)[ends] - 1,
    )
