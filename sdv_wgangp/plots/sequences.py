"""Sequences: examples, memory by lag, lengths, and what follows what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdv_wgangp.plots.style import FAINT, GENERATED, INK, REAL, legend, new_figure, percent, title
from sdv_wgangp.statistics.autocorrelation import mean_autocorrelation

# Darker than in areas: lines are thin.
REAL_LINE = "#6b7a89"


def windows(
    real: Any,
    generated: Any,
    names: Sequence[str] | None = None,
    examples: int = 4,
    most: int = 6,
) -> Any:
    """Some real sequences beside as many generated ones, a row for each feature.

    The faint band is where nine tenths of the real values are at each time.

    Args:
        real, generated: ``[sequences, times, features]`` or ``[sequences, times]``; NaN after the
            end of a shorter one. The first ``examples`` are drawn.
        names: Of the features.
        examples: How many of each.
        most: Features at most.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: The features are not the same.

    Example:
        >>> figure = windows(np.zeros((8, 24, 2)), np.ones((8, 24, 2)))  # doctest: +SKIP
    """
    both, names = _both(real, generated, names)
    features = min(both[0].shape[2], most)
    figure, axes = new_figure(features, 2, 4.4, 1.7, sharex=True, sharey="row")
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(both[0]).any(0, keepdims=True), both[0], 0.0)
        low, high = np.nanquantile(known, [0.05, 0.95], axis=0)
    for feature in range(features):
        for side, (values, base) in enumerate(zip(both, (REAL_LINE, GENERATED), strict=True)):
            cell = axes[feature, side]
            time = np.arange(len(low))
            cell.fill_between(time, low[:, feature], high[:, feature], color=FAINT, linewidth=0)
            for place, sequence in enumerate(values[:examples, :, feature]):
                shade = 1 - 0.6 * place / max(examples - 1, 1)
                cell.plot(sequence, color=base, alpha=shade, linewidth=1.3)
        title(axes[feature, 0], names[feature], "real" if feature == 0 else "")
        title(axes[feature, 1], "", "generated" if feature == 0 else "")
    for cell in axes[-1]:
        cell.set_xlabel("time", fontsize=8.5, color=INK)
    return figure


def autocorrelations(
    real: Any,
    generated: Any,
    names: Sequence[str] | None = None,
    lags: int = 20,
    most: int = 6,
) -> Any:
    """Mean autocorrelation of real and generated sequences by lag, a row for each feature.

    Of levels at the left, of changes to the next time at the right.

    Args:
        real, generated: ``[sequences, times, features]`` or ``[sequences, times]``; NaN after the
            end of a shorter one, or where a value is missing.
        names: Of the features.
        lags: At most, and at most half the times.
        most: Features at most.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: The features are not the same, or there is one time alone.

    Example:
        >>> figure = autocorrelations(np.zeros((8, 24, 2)), np.ones((8, 24, 2)))  # doctest: +SKIP
    """
    both, names = _both(real, generated, names)
    if both[0].shape[1] < 2:
        raise ValueError("sequences of one time have no autocorrelation: give longer ones")
    features = min(both[0].shape[2], most)
    asked = np.arange(1, max(1, min(lags, both[0].shape[1] // 2)) + 1)
    figure, axes = new_figure(features, 2, 3.6, 1.9, sharex=True, sharey="col")
    for feature in range(features):
        for side, series in enumerate((lambda x: x, lambda x: np.diff(x, axis=1))):
            cell = axes[feature, side]
            cell.axhline(0, color=FAINT, linewidth=1)
            for values, base, label in zip(
                both, (REAL_LINE, GENERATED), ("real", "generated"), strict=True
            ):
                known, lengths = _flat(series(values[:, :, feature]))
                curve = mean_autocorrelation(known, lengths, asked)
                cell.plot(asked, curve, color=base, linewidth=1.6, marker=".", label=label)
        title(axes[feature, 0], names[feature], "levels" if feature == 0 else "")
        title(axes[feature, 1], "", "changes" if feature == 0 else "")
    for cell in axes[-1]:
        cell.set_xlabel("lag", fontsize=8.5, color=INK)
    legend(figure, *axes[0, 0].get_legend_handles_labels())
    return figure


def lengths(real: Any, generated: Any, bins: int = 30) -> Any:
    """Shares of real and generated sequences by how long they are.

    Args:
        real, generated: Numbers of rows, ``[sequences]``.
        bins: At most; each length has one of its own where they are fewer.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> figure = lengths([1, 2, 2, 5], [1, 1, 3, 4])  # doctest: +SKIP
    """
    both = [np.asarray(each, np.float64) for each in (real, generated)]
    every = np.concatenate(both)
    low, high = every.min(), every.max()
    step = max(1.0, np.ceil((high - low + 1) / bins))
    edges = np.arange(low, high + step + 1, step) - 0.5
    figure, axes = new_figure(1, 1, 4.4, 2.6)
    cell = axes[0, 0]
    shares = [np.histogram(values, edges)[0] / len(values) for values in both]
    cell.stairs(shares[0], edges, fill=True, color=REAL, label="real")
    cell.stairs(shares[1], edges, color=GENERATED, linewidth=1.6, label="generated")
    percent(cell.yaxis)
    cell.xaxis.get_major_locator().set_params(integer=True)
    title(cell, "lengths")
    cell.set_xlabel("rows of a sequence", fontsize=8.5, color=INK)
    legend(figure, *cell.get_legend_handles_labels())
    return figure


def transitions(
    real: Any,
    generated: Any,
    names: Sequence[str] | None = None,
    bins: int = 10,
    most: int = 6,
) -> Any:
    """Where a value goes next: shares of (bin, next bin), a row of two maps for each feature.

    Bins are the tenths of the real values. Colours of the two are the same.

    Args:
        real, generated: ``[sequences, times, features]`` or ``[sequences, times]``; NaN after the
            end of a shorter one, or where a value is missing.
        names: Of the features.
        bins: Of the real values; as many as differ, where these are fewer.
        most: Features at most.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: The features are not the same, or there is one time alone.

    Example:
        >>> figure = transitions(np.zeros((8, 24, 2)), np.ones((8, 24, 2)))  # doctest: +SKIP
    """
    both, names = _both(real, generated, names)
    if both[0].shape[1] < 2:
        raise ValueError("in sequences of one time nothing follows: give longer ones")
    features = min(both[0].shape[2], most)
    figure, axes = new_figure(features, 2, 2.5, 2.4)
    for feature in range(features):
        values = both[0][:, :, feature]
        known = values[np.isfinite(values)]
        inner = np.quantile(known, np.arange(1, bins) / bins) if len(known) else np.zeros(0)
        edges = np.unique(inner)
        counts = [_counted(each[:, :, feature], edges) for each in both]
        top = max(1e-12, *(each.max() for each in counts))
        for side, shares in enumerate(counts):
            cell = axes[feature, side]
            cell.imshow(shares.T, origin="lower", cmap="GnBu", vmin=0, vmax=top)
            cell.set_xticks([])
            cell.set_yticks([])
        title(axes[feature, 0], names[feature], "real" if feature == 0 else "")
        title(axes[feature, 1], "", "generated" if feature == 0 else "")
        axes[feature, 0].set_ylabel("next", fontsize=8.5, color=INK)
    for cell in axes[-1]:
        cell.set_xlabel("low to high", fontsize=8.5, color=INK)
    return figure


def _counted(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Shares of (bin, next bin) of all pairs that are there, ``[bins, bins]``."""
    before, after = values[:, :-1].ravel(), values[:, 1:].ravel()
    there = np.isfinite(before) & np.isfinite(after)
    size = len(edges) + 1
    first, second = (np.searchsorted(edges, each[there], side="left") for each in (before, after))
    counts = np.bincount(first * size + second, minlength=size * size).reshape(size, size)
    return counts / max(there.sum(), 1)


def _both(
    real: Any, generated: Any, names: Sequence[str] | None
) -> tuple[list[np.ndarray], list[str]]:
    """Both as arrays ``[sequences, times, features]``, and names of the features."""
    both = [_values(each) for each in (real, generated)]
    if both[0].shape[2] != both[1].shape[2]:
        raise ValueError(
            "real and generated must have the same features, got "
            f"{both[0].shape[2]} and {both[1].shape[2]}"
        )
    given = [f"feature {place}" for place in range(both[0].shape[2])]
    return both, given if names is None else list(names)


def _flat(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sequences one behind the other up to the last value of each, and their lengths."""
    there = np.isfinite(values)
    lengths = np.where(there.any(1), values.shape[1] - there[:, ::-1].argmax(1), 0)
    return values[np.arange(values.shape[1]) < lengths[:, None]], lengths


def _values(sequences: Any) -> np.ndarray:
    if hasattr(sequences, "detach"):
        sequences = sequences.detach().float().cpu().numpy()
    values = np.asarray(sequences, np.float64)
    return values[:, :, None] if values.ndim == 2 else values
