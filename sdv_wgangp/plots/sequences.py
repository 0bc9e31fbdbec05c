"""Examples of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdv_wgangp.plots.style import FAINT, GENERATED, INK, new_figure, title

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
    both = [_values(each) for each in (real, generated)]
    if both[0].shape[2] != both[1].shape[2]:
        raise ValueError(
            "real and generated must have the same features, got "
            f"{both[0].shape[2]} and {both[1].shape[2]}"
        )
    features = min(both[0].shape[2], most)
    names = [f"feature {place}" for place in range(features)] if names is None else list(names)
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


def _values(sequences: Any) -> np.ndarray:
    if hasattr(sequences, "detach"):
        sequences = sequences.detach().float().cpu().numpy()
    values = np.asarray(sequences, np.float64)
    return values[:, :, None] if values.ndim == 2 else values
