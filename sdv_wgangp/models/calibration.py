"""Calibration of a trained generator to the marginals of its training table.

Two corrections, both read off the generator alone and the training marginals:

1. every logit is shifted until the mean probability of its level is the level's frequency, by the
   fixed point ``shift += log(frequency / mean probability)``, which is iterative proportional
   fitting of the columns one by one;
2. positions inside a level are mapped by rank: their empirical distribution function, taken from
   a pool of generated rows, makes them uniform, as the training positions are by construction.
"""

from __future__ import annotations

import numpy as np
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.ops import column_softmax

# Pools as large as these many probabilities or rows allow.
POOL_PROBABILITIES = 2**24
POOL_ROWS = 2**15
POSITION_ROWS = 2**17
POSITION_PROBABILITIES = 2**30
ITERATIONS = 25
TOLERANCE = 1e-5
# Expected rows of a level in the pool are smoothed by this, or a rare level would swing.
SMOOTHING = 0.5
# A level that the generator misses would take any shift to appear, in rows that have nothing to
# do with it: its marginal is not worth the dependences of the column.
MAX_SHIFT = 0.5
POSITION_KNOTS = 64
SMOOTH_KNOTS = 512


@torch.no_grad()
def calibrate_logits(features: torch.Tensor, head: torch.nn.Linear, layout: Layout) -> None:
    """Shift the bias of ``head`` until the levels' mean probabilities are their frequencies.

    No logit is shifted by more than `MAX_SHIFT`.

    Args:
        features: Input of the head for a pool of generated rows, shape ``[rows, width]``.
        head: The generator's logits; its bias is changed in place.
        layout: Gives the columns and the target frequencies.
    """
    offsets = layout.offsets.to(features.device)
    target = layout.frequencies.to(features.device).double()
    rows = len(features)
    chunk = max(1, min(rows, POOL_PROBABILITIES // layout.levels // 4))
    trained, shift = head.bias.clone(), torch.zeros_like(target)
    for _ in range(ITERATIONS):
        total = torch.zeros_like(target)
        for part in features.split(chunk):
            logits = head(part)
            soft, _ = column_softmax(logits, torch.zeros_like(logits), offsets, 1.0)
            total += soft.sum(0, dtype=torch.float64)
        if (total / rows - target).abs().max() < TOLERANCE:
            break
        shift += ((rows * target + SMOOTHING) / (total + SMOOTHING)).log()
        head.bias.copy_(trained + shift.clamp_(-MAX_SHIFT, MAX_SHIFT))


def pool_rows(layout: Layout) -> int:
    """Rows of the pool that `calibrate_logits` should see."""
    return int(np.clip(POOL_PROBABILITIES // layout.levels, 512, POOL_ROWS))


def position_rows(layout: Layout) -> int:
    """Rows of the pool that a `PositionMap` should see."""
    if not len(layout.positioned):
        return 0
    return int(np.clip(POSITION_PROBABILITIES // layout.levels, 2**12, POSITION_ROWS))


class PositionMap:
    """Maps generated positions to uniform ones, column by column and level by level.

    Args:
        pool: Generated rows, not mapped.
        layout: The table's layout.
    """

    def __init__(self, pool: EncodedTable, layout: Layout):
        self.tables: list[tuple[np.ndarray, np.ndarray]] = []
        self.columns = layout.positioned.tolist()
        offsets = layout.offsets.tolist()
        for place, column in enumerate(self.columns):
            codes = pool.codes[:, column].numpy()
            positions = pool.positions[:, place].numpy()
            width = offsets[column + 1] - offsets[column]
            knots = SMOOTH_KNOTS if width <= 2 else POSITION_KNOTS
            inside = layout.has_position[offsets[column] : offsets[column + 1]].numpy()
            found, wanted = [], []
            for code in np.flatnonzero(inside):
                ranks, quantiles = _quantile_table(positions[codes == code], knots)
                found.append(code + quantiles)
                wanted.append(code + ranks)
            self.tables.append(
                (np.concatenate(found), np.concatenate(wanted)) if found else (None, None)
            )

    def apply(self, table: EncodedTable) -> None:
        """Map the positions of a table in place."""
        for place, column in enumerate(self.columns):
            found, wanted = self.tables[place]
            codes = table.codes[:, column].numpy().astype(np.float64)
            positions = table.positions[:, place].numpy()
            # Levels lie one apart, so one interpolation serves all of them.
            mapped = np.interp(codes + positions, found, wanted) - codes
            positions[:] = np.clip(mapped, 0, 1)


def _quantile_table(positions: np.ndarray, knots: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks, and the positions at them; from (0, 0) to (1, 1), dense towards both ends."""
    rows = len(positions)
    if rows < 2:
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    grid = (1 - np.cos(np.linspace(0, np.pi, min(knots, rows) + 1))) / 2
    grid = grid[(grid > 0.5 / rows) & (grid < 1 - 0.5 / rows)]
    quantiles = np.quantile(positions.astype(np.float64), grid)
    return np.concatenate([[0.0], grid, [1.0]]), np.concatenate([[0.0], quantiles, [1.0]])
