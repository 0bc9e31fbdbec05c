"""Warnings about a fit: that it will be slow or large, and what it did not reach."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.training.settings import TrainingSettings

# A step with so many one-hot levels takes as long as twenty of one with a few hundred.
MANY_LEVELS = 20_000
# Numbers are whitened together: a product with a square matrix of this width for every row.
MANY_NUMBERS = 1_000
MANY_STEPS = 1_000_000
# Total variation from its training marginal above which a calibrated column is warned of, and how
# many such columns are named.
FAR, NAMED = 0.1, 5


def warn_of_cost(
    encoder: TableEncoder, layout: Layout, rows: int, settings: TrainingSettings
) -> None:
    """A `UserWarning` for whatever makes the training long or large, with the remedy."""
    if layout.levels > MANY_LEVELS:
        widest = max(encoder.columns, key=lambda column: column.width)
        warnings.warn(
            f"the table has {layout.levels:,} levels to learn, {widest.width:,} of them in column "
            f"{widest.name!r}: the time of a step grows with them, and so does memory, by some "
            "30 kB a level at the default widths. Declare columns that need not be learned as "
            "'id' or as personal data (pii), or group rare values",
            stacklevel=3,
        )
    if len(layout.ordered) > MANY_NUMBERS:
        warnings.warn(
            f"the table has {len(layout.ordered):,} columns of numbers or dates: the time of a "
            "step grows with the square of that. Leave out those that follow from others",
            stacklevel=3,
        )
    per_epoch = settings.steps_per_epoch(rows)
    steps = settings.epochs * per_epoch
    if steps > MANY_STEPS and settings.max_seconds is None:
        larger = " or a larger batch_size" if rows // settings.batch_size == per_epoch else ""
        warnings.warn(
            f"{settings.epochs:,} epochs of {rows:,} rows are {steps:,} training steps: fewer "
            f"epochs{larger} make that less",
            stacklevel=3,
        )


def warn_of_distances(
    encoder: TableEncoder, distances: Sequence[float], stacklevel: int = 2
) -> None:
    """A `UserWarning` that names columns out of the reach of calibration, if there are any.

    Args:
        encoder: The table's encoder.
        distances: Of its columns from their training marginals (`Calibration`).
        stacklevel: As of `warnings.warn`, 2 for whoever calls this.
    """
    far = sorted((-d, i) for i, d in enumerate(distances) if d > FAR)
    if not far:
        return
    listed = [f"{encoder.columns[i].name!r} ({-d:.2f})" for d, i in far[:NAMED]]
    if len(far) > NAMED:
        listed.append(f"and {len(far) - NAMED} more")
    warnings.warn(
        "the generator makes some values too seldom for calibration to give these columns "
        f"their training distribution: {', '.join(listed)} (total variation, at best 0, "
        "at worst 1). Fit again: with more epochs or seconds if there were few, otherwise "
        "with another random_state or lower learning rates",
        stacklevel=stacklevel,
    )


def warn_of_what_is_not_continued(settings: TrainingSettings) -> None:
    """A `UserWarning` that names settings which a continued fit does not follow, if there are any.

    It is about the call of whoever continues the fit of a model.
    """
    given = [name for name in ("max_seconds", "early_stopping") if getattr(settings, name)]
    if given:
        warnings.warn(
            f"{' and '.join(given)}: not in a continued fit, which makes all epochs it is "
            "asked for",
            stacklevel=4,
        )
