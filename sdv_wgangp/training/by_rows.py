"""What of a training follows from the rows of its table, where nobody says otherwise.

Small tables are learned in few steps, and learned by heart in many. The rules are of rows alone:
no clock and no held-out row decides, so a fit is as repeatable as with numbers that were given.
`docs/results.md` has what was measured, and how little that is.
"""

from __future__ import annotations


def steps_for(rows: int, first: int = 1_200, per_row: float = 0.5, most: int = 6_000) -> int:
    """Generator steps of a training.

    Args:
        rows: Of the table.
        first: Steps that the smallest table takes.
        per_row: More steps for each row.
        most: Of the steps.

    Example:
        >>> steps_for(600), steps_for(8_000), steps_for(1_000_000)
        (1500, 5200, 6000)
    """
    return int(min(first + per_row * rows, most))


def batch_size_for(
    rows: int, pac: int = 1, part: float = 0.03, least: int = 250, most: int = 500
) -> int:
    """Rows in a step, a multiple of ``pac``.

    Args:
        rows: Of the table.
        pac: Rows that the critic scores together.
        part: Of the table.
        least, most: Of the batch.

    Example:
        >>> batch_size_for(400), batch_size_for(12_000), batch_size_for(10**6, pac=3)
        (250, 360, 498)
    """
    wanted = min(max(round(part * rows), least), most)
    return max(wanted // pac, 2) * pac


def ema_decay_for(steps: int, part: float = 1 / 24) -> float:
    """Decay of the generator's weight average: it reaches over the same part of every training.

    Args:
        steps: Of the training.
        part: Of them, that ``1 / (1 - decay)`` steps are.

    Example:
        >>> ema_decay_for(24_000), ema_decay_for(1_200)
        (0.999, 0.98)
    """
    return 1 - 1 / max(part * steps, 2.0)
