"""Warnings about a fit: that it will be slow or large, and what it did not reach."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.training.settings import TrainingSettings


def warn_of_cost(
    encoder: TableEncoder,
    layout: Layout,
    rows: int,
    settings: TrainingSettings,
    *,
    many_levels: int = 20_000,
    many_numbers: int = 1_000,
    many_steps: int = 1_000_000,
) -> None:
    """A `UserWarning` for whatever makes the training long or large, with the remedy.

    Args:
        encoder, layout: Of the table.
        rows: How many it has.
        settings: Of the training.
        many_levels: One-hot levels from which on there is a warning. A step with 20,000 takes as
            long as twenty of one with a few hundred.
        many_numbers: Columns of numbers. They are whitened together: a product with a square
            matrix of this width for every row.
        many_steps: Steps of the generator.
    """
    if layout.levels > many_levels:
        widest = max(encoder.columns, key=lambda column: column.width)
        warnings.warn(
            f"the table has {layout.levels:,} levels to learn, {widest.width:,} of them in column "
            f"{widest.name!r}: the time of a step grows with them, and so does memory, by some "
            "30 kB a level at the default widths. Declare columns that need not be learned as "
            "'id' or as personal data (pii), or group rare values",
            stacklevel=3,
        )
    if len(layout.ordered) > many_numbers:
        warnings.warn(
            f"the table has {len(layout.ordered):,} columns of numbers or dates: the time of a "
            "step grows with the square of that. Leave out those that follow from others",
            stacklevel=3,
        )
    per_epoch = settings.steps_per_epoch(rows)
    steps = settings.epochs * per_epoch
    if steps > many_steps and settings.max_seconds is None:
        larger = " or a larger batch_size" if rows // settings.batch_size == per_epoch else ""
        warnings.warn(
            f"{settings.epochs:,} epochs of {rows:,} rows are {steps:,} training steps: fewer "
            f"epochs{larger} make that less",
            stacklevel=3,
        )


def warn_of_distances(
    encoder: TableEncoder,
    distances: Sequence[float],
    stacklevel: int = 2,
    *,
    far: float = 0.1,
    named: int = 5,
) -> None:
    """A `UserWarning` that names columns out of the reach of calibration, if there are any.

    Args:
        encoder: The table's encoder.
        distances: Of its columns from their training marginals (`Calibration`).
        stacklevel: As of `warnings.warn`, 2 for whoever calls this.
        far: Distance, a total variation, from which on a column is out of reach.
        named: Columns that are named, at most: the worst.
    """
    worst = sorted((-d, i) for i, d in enumerate(distances) if d > far)
    if not worst:
        return
    listed = [f"{encoder.columns[i].name!r} ({-d:.2f})" for d, i in worst[:named]]
    if len(worst) > named:
        listed.append(f"and {len(worst) - named} more")
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
