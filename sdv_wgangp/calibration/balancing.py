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
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.raking import rake
from sdv_wgangp.calibration.selection import systematic, uniform
from sdv_wgangp.encoding.table import EncodedTable


def needed(rows: int, options: CalibrationOptions = DEFAULT) -> int:
    """How many rows to choose so many from with `balanced`."""
    if rows < 2 * options.min_balanced_rows:
        return rows
    return rows + int(min(options.spare_rows * rows**0.5, options.max_spare_fraction * rows))


def balanced(
    table: EncodedTable,
    columns: Sequence[Cells],
    rows: int,
    random: torch.Generator,
    options: CalibrationOptions = DEFAULT,
) -> EncodedTable:
    """So many rows of a table, in their order, with the marginals of the training table.

    Args:
        table: At least as many rows.
        columns: The cells of every column; the marginals are those of the coarse ones.
        rows: How many.
        random: Source of the choice among them.
        options: Hyper-parameters.
    """
    if len(table) == rows:
        return table
    cells, goals = [], []
    for column in columns:
        groups = column.groups(rows, options.min_balanced_rows)
        of_cell = groups[column.coarse].astype(np.min_scalar_type(groups.max()))
        cells.append(of_cell[column.of(table)])
        goals.append(np.bincount(groups, column.frequencies))
    left = np.arange(len(table))
    while len(left) > rows:
        spare = len(left) - rows
        few = spare <= options.min_spare_fraction * rows
        count = rows if few else rows + int(options.spare_left * spare)
        weights = rake(cells, goals, len(left) / count, options)
        chosen = systematic(weights, count, uniform(1, random)[0])
        left = left[chosen]
        if count > rows:
            cells = [groups[chosen] for groups in cells]
    return table.rows(torch.from_numpy(left))
