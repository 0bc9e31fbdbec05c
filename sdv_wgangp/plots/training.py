"""What a training is doing: losses, gradients by layer, meta-features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdv_wgangp.plots.style import (
    CRITIC,
    CYCLE,
    FAINT,
    GENERATED,
    INK,
    REAL,
    blank,
    grid,
    logarithmic,
    lowest,
    new_figure,
    shortened,
    title,
)


def losses(logs: Sequence[Any]) -> Any:
    """The losses over the steps, a panel for each player, and the score of held-out rows.

    Args:
        logs: Of the epochs (`sdv_wgangp.training.log.EpochLog`).

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> from sdv_wgangp.training.log import EpochLog
        >>> logs = [EpochLog.of(0, 1, {"critic/loss": -1.0, "generator/adversarial": 0.5})]
        >>> figure = losses(logs)  # doctest: +SKIP
    """
    parts: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for log in logs:
        for name, value in log.losses.items():
            part, _, what = name.partition("/")
            part = "meta-features" if part == "meta_features" else part
            parts.setdefault(part, {}).setdefault(what, []).append((log.step, value))
        if log.validation_score is not None:
            own = parts.setdefault("held-out rows", {}).setdefault("score", [])
            own.append((log.step, log.validation_score))
    rows, across = grid(len(parts), 2)
    figure, axes = new_figure(rows, across, 4.4, 2.5)
    for (part, series), cell in zip(parts.items(), axes.flat, strict=False):
        for place, (what, points) in enumerate(series.items()):
            steps, values = np.array(points, np.float64).T
            dots = {"marker": "o", "markersize": 3} if len(steps) < 30 else {}
            colour = CYCLE[place % len(CYCLE)]
            label = shortened(what.replace("_", " "), 24)
            cell.plot(steps, values, color=colour, linewidth=1.3, label=label, **dots)
        title(cell, part)
        cell.grid(axis="y", color=FAINT, linewidth=0.7)
        cell.set_axisbelow(True)
        if part == "meta-features" and all(v > 0 for own in series.values() for _, v in own):
            logarithmic(cell, "y")
        if len(series) > 1:
            cell.legend(frameon=False, fontsize=7.5, ncols=2 if len(series) > 3 else 1)
    blank(axes.flat[len(parts) :])
    for cell in lowest(axes, len(parts)):
        cell.set_xlabel("step", fontsize=8.5, color=INK)
    return figure


def gradient_flow(norms: Mapping[str, Mapping[str, Any]]) -> Any:
    """The norms of the gradients of each player, layer by layer, on a logarithmic axis.

    The dot is the median over steps, the line spans nine tenths of them. What falls by orders of
    magnitude towards the first layers does not learn there.

    Args:
        norms: By player and by layer, each a number or several (``[steps]``); NaN where there was
            none. `GradientNorms.by_layer` gives those of one player.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> figure = gradient_flow({"critic": {"0.weight": 0.1}})  # doctest: +SKIP
    """
    most = max((len(layers) for layers in norms.values()), default=1)
    figure, axes = new_figure(1, max(len(norms), 1), 4.6, 0.7 + 0.2 * min(most, 60))
    for (player, layers), cell in zip(norms.items(), axes.flat, strict=False):
        colour = GENERATED if player == "generator" else CRITIC
        labels = [shortened(name, 26) for name in layers]
        for place, values in enumerate(layers.values()):
            own = np.atleast_1d(np.asarray(values, np.float64))
            own = own[np.isfinite(own) & (own > 0)]
            if len(own) == 0:
                continue
            low, middle, high = np.quantile(own, [0.05, 0.5, 0.95])
            cell.plot([low, high], [place, place], color=colour, alpha=0.35, linewidth=4)
            cell.plot(middle, place, "o", color=colour, markersize=4.5)
        logarithmic(cell, "x")
        cell.set_yticks(range(len(labels)), labels, parse_math=False)
        cell.set_ylim(len(labels) - 0.4, -0.6)
        cell.grid(axis="x", color=FAINT, linewidth=0.7)
        cell.set_axisbelow(True)
        cell.tick_params(axis="y", length=0)
        title(cell, player)
        cell.set_xlabel("norm of the gradient", fontsize=8.5, color=INK)
    if not norms:
        blank(axes)
    return figure


def quantiles(pairs: Mapping[str, tuple[Any, Any]], most: int = 12, points: int = 100) -> Any:
    """Quantiles of real against generated values, a panel for each meta-feature.

    Each value is the meta-feature of one subset of rows. Where both are distributed alike the dots
    lie on the line.

    Args:
        pairs: Real and generated values by name, of any two lengths.
        most: Panels at most.
        points: Quantiles in each.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.

    Example:
        >>> figure = quantiles({"mean": ([0.1, 0.2], [0.1, 0.3])})  # doctest: +SKIP
    """
    shown = dict(list(pairs.items())[:most])
    rows, across = grid(len(shown))
    figure, axes = new_figure(rows, across, 2.5, 2.5)
    for (name, pair), cell in zip(shown.items(), axes.flat, strict=False):
        real, generated = (_finite(values) for values in pair)
        title(cell, name)
        if len(real) == 0 or len(generated) == 0:
            cell.text(0.5, 0.5, "no values", ha="center", transform=cell.transAxes, color=INK)
            continue
        at = np.linspace(0, 1, min(points, max(len(real), len(generated))))
        own = np.quantile(real, at), np.quantile(generated, at)
        low, high = min(each[0] for each in own), max(each[-1] for each in own)
        pad = 0.06 * (high - low) or 0.5
        ends = [low - pad, high + pad]
        cell.plot(ends, ends, color=REAL, linewidth=1.2, zorder=0)
        cell.plot(*own, "o", color=GENERATED, markersize=2.6, alpha=0.8)
        cell.set_xlim(*ends)
        cell.set_ylim(*ends)
        cell.locator_params(nbins=4)
        cell.set_aspect("equal")
    for cell in lowest(axes, len(shown)):
        cell.set_xlabel("real", fontsize=8.5, color=INK)
    for cell in axes[:, 0]:
        cell.set_ylabel("generated", fontsize=8.5, color=INK)
    blank(axes.flat[len(shown) :])
    return figure


def _finite(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    flat = np.ravel(np.asarray(values, np.float64))
    return flat[np.isfinite(flat)]
