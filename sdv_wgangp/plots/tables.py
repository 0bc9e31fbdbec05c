"""Real tables against generated ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.plots.style import (
    FAINT,
    GENERATED,
    INK,
    REAL,
    blank,
    grid,
    legend,
    new_figure,
    percent,
    shortened,
    title,
)

BINS, MOST_BARS, MOST_LEVELS = 30, 12, 8


def marginals(
    real: pd.DataFrame,
    generated: pd.DataFrame,
    columns: Sequence[str] | None = None,
    most: int = 12,
) -> Any:
    """The distribution of each column: histograms of numbers and dates, bars of categories.

    Shares of all rows of the respective table, so that missing values show as what is not there;
    their shares stand at the right of the titles where there are any.

    Args:
        real, generated: Tables with the same columns.
        columns: Which to draw; None for the first ``most``.
        most: Columns at most.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> real = pd.DataFrame({"age": [31, 40, 52], "sex": ["f", "m", "f"]})
        >>> figure = marginals(real, real.sample(3, replace=True))  # doctest: +SKIP
    """
    shown = list(real.columns if columns is None else columns)[:most]
    rows, across = grid(len(shown))
    figure, axes = new_figure(rows, across, 2.9, 2.2)
    for name, cell in zip(shown, axes.flat, strict=False):
        pair = real[name], generated[name]
        missing = [100 * column.isna().mean() for column in pair]
        note = f"missing {missing[0]:.1f} / {missing[1]:.1f} %" if max(missing) > 0 else ""
        numbers, others = (_numbers(column) for column in pair)
        if numbers is None or others is None:
            _bars(cell, *pair)
        else:
            _histogram(cell, numbers, others, [len(each) for each in pair], _is_date(pair[0]))
        title(cell, str(name), note)
    blank(axes.flat[len(shown) :])
    _legend(figure, "real", "generated")
    return figure


def pca_scatter(
    real: pd.DataFrame, generated: pd.DataFrame, most_rows: int = 2000, seed: int = 0
) -> Any:
    """Rows of both tables in the plane of the real rows' two main components.

    Numbers and dates count as their ranks among the real values, categories as 0 and 1 for each of
    their most frequent levels; all are centred and scaled by the real rows.

    Args:
        real, generated: Tables with the same columns.
        most_rows: Of each table, drawn at random where there are more.
        seed: Of that.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> real = pd.DataFrame({"age": [31, 40, 52], "sex": ["f", "m", "f"]})
        >>> figure = pca_scatter(real, real)  # doctest: +SKIP
    """
    tables = [
        table.sample(min(most_rows, len(table)), random_state=seed) for table in (real, generated)
    ]
    encoded = [_encoded(tables[0], table) for table in tables]
    centre, scale = encoded[0].mean(0), encoded[0].std(0)
    scale[scale == 0] = 1
    scaled = [(each - centre) / scale for each in encoded]
    _, values, axes_of_rows = np.linalg.svd(scaled[0], full_matrices=False)
    fraction = values**2 / max((values**2).sum(), 1e-12)
    planes = [each @ axes_of_rows[:2].T for each in scaled]
    planes = [np.pad(plane, ((0, 0), (0, 2 - plane.shape[1]))) for plane in planes]

    figure, axes = new_figure(1, 3, 3.3, 3.2, sharex=True, sharey=True)
    low, high = np.quantile(np.concatenate(planes), [0.001, 0.999], axis=0)
    pad = 0.08 * (high - low) + 1e-6
    dots = {"s": 7, "linewidths": 0, "alpha": 0.55}
    panels = (("real", (0,)), ("generated", (1,)), ("both", (0, 1)))
    for cell, (name, which) in zip(axes.flat, panels, strict=True):
        for each in which:
            cell.scatter(*planes[each].T, color=("#6b7a89", GENERATED)[each], **dots)
        title(cell, name, f"{sum(len(planes[each]) for each in which):,} rows")
        cell.set_xlim(low[0] - pad[0], high[0] + pad[0])
        cell.set_ylim(low[1] - pad[1], high[1] + pad[1])
        cell.grid(color=FAINT, linewidth=0.7)
        cell.set_axisbelow(True)
    fractions = [f"{100 * each:.0f} %" for each in np.pad(fraction, (0, 2))[:2]]
    axes[0, 0].set_ylabel(f"second component ({fractions[1]})", fontsize=8.5, color=INK)
    axes[0, 1].set_xlabel(
        f"first component ({fractions[0]} of the variance)", fontsize=8.5, color=INK
    )
    return figure


def _is_date(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column)


def _numbers(column: pd.Series) -> np.ndarray | None:
    """Finite values as floats (dates as days since 1970); None of categories."""
    if _is_date(column):
        moments = pd.to_datetime(column, utc=True).dropna()
        return ((moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy(np.float64)
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return None
    values = column.dropna().to_numpy(np.float64)
    return values[np.isfinite(values)]


def _histogram(
    cell: Any, real: np.ndarray, generated: np.ndarray, rows: Sequence[int], dates: bool
) -> None:
    both = np.concatenate([real, generated])
    if len(both) == 0:
        cell.text(0.5, 0.5, "no values", ha="center", transform=cell.transAxes, color=INK)
        return
    distinct = np.unique(both)
    if len(distinct) <= MOST_BARS and not dates:
        counts = [
            [np.count_nonzero(values == each) / max(count, 1) for each in distinct]
            for values, count in zip((real, generated), rows, strict=True)
        ]
        _pairs(cell, counts, [f"{each:g}" for each in distinct])
        return
    reference = real if len(real) else both
    low, high = np.quantile(reference, [0.005, 0.995])
    if high <= low:
        low, high = both.min(), both.max()
    positive = reference.min() > 0 and np.quantile(reference, 0.99) > 10 * np.median(reference)
    if positive and not dates:
        edges = np.geomspace(max(low, 1e-300), high, BINS + 1)
        cell.set_xscale("log")
    elif np.array_equal(both, np.round(both)) and high - low >= BINS / 2:
        step = max(1, int(np.ceil((high - low + 1) / BINS)))
        edges = np.arange(np.floor(low) - 0.5, high + step, step)
    else:
        edges = np.linspace(low, high, BINS + 1)
    # The outermost values of heavy tails are gathered in the outer bins.
    fractions = [
        np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(count, 1)
        for values, count in zip((real, generated), rows, strict=True)
    ]
    cell.stairs(fractions[0], edges, fill=True, color=REAL)
    cell.stairs(fractions[1], edges, color=GENERATED, linewidth=1.5)
    if dates:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator(minticks=3, maxticks=7)
        cell.xaxis.set_major_locator(locator)
        cell.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif not positive:
        from matplotlib.ticker import EngFormatter, MaxNLocator

        cell.xaxis.set_major_locator(MaxNLocator(4))
        if max(abs(edges[0]), abs(edges[-1])) >= 1e4:
            cell.xaxis.set_major_formatter(EngFormatter(sep=""))
    percent(cell.yaxis)


def _bars(cell: Any, real: pd.Series, generated: pd.Series) -> None:
    counts = [
        column.dropna().astype(str).value_counts() / max(len(column), 1)
        for column in (real, generated)
    ]
    levels = list(counts[0].index) + [each for each in counts[1].index if each not in counts[0]]
    shown = levels if len(levels) <= MOST_LEVELS else levels[: MOST_LEVELS - 1]
    fractions = [[float(count.get(level, 0.0)) for level in shown] for count in counts]
    labels = [shortened(level, 16) for level in shown]
    if len(shown) < len(levels):
        rest = set(levels) - set(shown)
        for count, own in zip(counts, fractions, strict=True):
            own.append(float(count[count.index.isin(rest)].sum()))
        labels.append(f"{len(rest):,} others")
    places = np.arange(len(labels))
    for offset, own, colour in ((-0.2, fractions[0], REAL), (0.2, fractions[1], GENERATED)):
        cell.barh(places + offset, own, 0.38, color=colour)
    cell.set_yticks(places, labels, parse_math=False)
    cell.invert_yaxis()
    cell.spines["left"].set_visible(False)
    cell.tick_params(axis="y", length=0)
    percent(cell.xaxis)


def _pairs(cell: Any, fractions: Sequence[Sequence[float]], labels: Sequence[str]) -> None:
    places = np.arange(len(labels))
    for offset, own, colour in ((-0.2, fractions[0], REAL), (0.2, fractions[1], GENERATED)):
        cell.bar(places + offset, own, 0.38, color=colour)
    crowded = sum(map(len, labels)) > 24
    cell.set_xticks(places, labels, rotation=90 if crowded else 0)
    percent(cell.yaxis)


def _legend(figure: Any, *names: str) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour) for colour in (REAL, GENERATED)]
    legend(figure, handles, names)


def _encoded(real: pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    parts = []
    for name in real.columns:
        reference = _numbers(real[name])
        if reference is None:
            levels = real[name].astype(str).value_counts().index[:20]
            values = table[name].astype(str).to_numpy()
            # Together they weigh as much as one number.
            parts += [(values == level) / np.sqrt(len(levels)) for level in levels]
            continue
        column = table[name]
        known = np.sort(np.asarray(reference, np.float64))
        values = np.full(len(column), np.nan)
        there = column.notna().to_numpy()
        own = np.asarray(_numbers(column[there]), np.float64)
        if len(own) == there.sum() and len(known):
            ranks = np.searchsorted(known, own, "left") + np.searchsorted(known, own, "right")
            values[there] = ranks / (2 * len(known))
        parts.append(np.nan_to_num(values, nan=0.5))
    return np.stack(parts, 1).astype(np.float64)
