"""The pool: fresh generated rows with their density ratios, which the marginals are read off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from sdv_wgangp.calibration.cells import Cells, cells_of
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.raking import LimitOf
from sdv_wgangp.calibration.ratio import RefinedRatio
from sdv_wgangp.calibration.selection import uniform
from sdv_wgangp.calibration.sizes import Sizes
from sdv_wgangp.encoding.table import EncodedTable

Generate = Callable[[int], EncodedTable]


class Pool(NamedTuple):
    """Generated rows.

    Attributes:
        table: The rows.
        weights: Their density ratios, ``[n]``.
        counts: How many generated rows each stands for, ``[n]``.
    """

    table: EncodedTable
    weights: np.ndarray
    counts: np.ndarray


def draw_pool(
    columns: Sequence[Cells],
    ratio: RefinedRatio,
    generate: Generate,
    random: torch.Generator,
    limit_of: LimitOf,
    sizes: Sizes,
    options: CalibrationOptions = DEFAULT,
) -> Pool:
    """Generate rows until enough of them are kept by their weights.

    Fresh rows: on those they have learned from, trees are too sure.

    Args:
        columns: The cells of every column.
        ratio: Their density ratio.
        generate: Makes that many new rows.
        random: Source of the thinning.
        limit_of: The limit for weights and counts ``[n]``.
        sizes: Of the calibration.
        options: Hyper-parameters.
    """
    rows = sizes.pool_first
    parts = [thinned(generate(rows), columns, ratio, random, limit_of, options)]
    _, weights, counts = parts[0]
    limited = np.minimum(weights / limit_of(weights, counts), 1)
    wanted = sizes.pool((counts * limited).sum() / counts.sum())
    while rows < wanted:
        count = min(sizes.at_once, wanted - rows)
        parts.append(thinned(generate(count), columns, ratio, random, limit_of, options))
        rows += count
    return Pool(
        EncodedTable.concatenated([part.table for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


def thinned(
    table: EncodedTable,
    columns: Sequence[Cells],
    ratio: RefinedRatio,
    random: torch.Generator,
    limit_of: LimitOf,
    options: CalibrationOptions = DEFAULT,
) -> Pool:
    """Some rows of a table.

    Where few rows have most of the weight, many are left out of those that have little, in
    proportion to it: that leaves much less to work on.

    Args:
        table: Generated rows.
        columns, ratio, random, limit_of, options: As of `draw_pool`.
    """
    weights = ratio.ratios(cells_of(columns, table))
    chances = weights / (options.thinning * limit_of(weights, np.ones(len(weights))))
    chances = chances.clip(options.min_thinned, 1)
    rows = np.flatnonzero(uniform(len(table), random) < chances)
    return Pool(table.rows(torch.from_numpy(rows)), weights[rows], 1 / chances[rows])
