"""Warnings before a training that will be slow or large."""

from __future__ import annotations

import warnings

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.training.settings import TrainingSettings

# A step with so many one-hot levels takes as long as twenty of one with a few hundred.
MANY_LEVELS = 20_000
# Numbers are whitened together: a product with a square matrix of this width for every row.
MANY_NUMBERS = 1_000
MANY_STEPS = 1_000_000


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
