"""Balanced selection: rows whose marginals are nearer to given ones than chance would bring them.

Independent draws from a distribution miss its marginals by the noise of so many rows. Of a few
rows more than are wanted, those can be left out that are too many of their kind: raking finds
weights for which every marginal is as it should be (Deville and Särndal 1992, "Calibration
Estimators in Survey Sampling"), and rows are selected with probabilities in proportion to these.
The smaller the part that is left out, the smaller the noise of the selection, so that is done in
stages. (The cube method, Deville and Tillé 2004, has the same aim, at a cost that grows with the
square of the number of cells.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.raking import rake
from sdv_wgangp.calibration.selection import systematic, uniform
from sdv_wgangp.encoding.table import EncodedTable

# Cells in which fewer rows are expected are not told apart: a row would be left out for being the
# only one of its kind, and rare values would come too seldom.
LEAST_ROWS = 50
# Rows to leave out, in square roots of the rows that are wanted: noise is as large as those.
SPARE, MOST_SPARE = 10.0, 0.5
# What a stage leaves of them for the next; of this share of the rows, nothing.
LEFT, FEW = 0.25, 0.02


def needed(rows: int) -> int:
    """How many rows to choose so many from with `balanced`."""
    if rows < 2 * LEAST_ROWS:
        return rows
    return rows + int(min(SPARE * rows**0.5, MOST_SPARE * rows))


def balanced(
    table: EncodedTable, columns: Sequence[Cells], rows: int, random: torch.Generator
) -> EncodedTable:
    """So many rows of a table, in their order, with the marginals of the training table.

    Args:
        table: At least as many rows.
        columns: The cells of every column; the marginals are those of the coarse ones.
        rows: How many.
        random: Source of the choice among them.
    """
    if len(table) == rows:
        return table
    cells, goals = [], []
    for column in columns:
        groups = column.groups(rows, LEAST_ROWS)
        of_cell = groups[column.coarse].astype(np.min_scalar_type(groups.max()))
        cells.append(of_cell[column.of(table)])
        goals.append(np.bincount(groups, column.shares))
    left = np.arange(len(table))
    while len(left) > rows:
        spare = len(left) - rows
        count = rows + (int(LEFT * spare) if spare > FEW * rows else 0)
        chosen = systematic(rake(cells, goals, len(left) / count), count, uniform(1, random)[0])
        left = left[chosen]
        if count > rows:
            cells = [groups[chosen] for groups in cells]
    return table.rows(torch.from_numpy(left))
