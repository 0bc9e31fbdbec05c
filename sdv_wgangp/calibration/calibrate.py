"""Calibration of a generator to its training table, after the training.

Corrections that are read off generated rows and the training table:

1. *Density ratio*: trees estimate how much likelier a row is in the training table than from the
   generator, in stages (`calibration.ratio`).
2. *Raking* corrects these weights so that the marginals are those of the training table
   (`calibration.raking`), on fresh rows (`calibration.pool`). Generated rows are then kept or
   dropped by their weights (`calibration.selection`). No row is changed, so what holds between the
   columns of a row (a duration of zero where there was no visit) holds afterwards.
3. What is finer than the cells of the weights is corrected in the rows (`calibration.values`).

Of the rows that are left, a few more than were asked for, those are returned that have the
marginals with less noise than independent rows would have (`calibration.balancing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch

from sdv_wgangp.calibration.balancing import balanced, needed
from sdv_wgangp.calibration.cells import Cells, cells_of
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.pool import Generate, draw_pool
from sdv_wgangp.calibration.raking import Raking, fit_raking
from sdv_wgangp.calibration.ratio import RefinedRatio, fit_refined_ratio
from sdv_wgangp.calibration.selection import accepted, uniform, weight_limit
from sdv_wgangp.calibration.sizes import Sizes
from sdv_wgangp.calibration.values import ValueCalibration, fit_values
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.persistence.former_names import FormerNames


@dataclass(eq=False)
class Calibration(FormerNames):
    """What brings the rows of a generator closer to the training table.

    Attributes:
        columns: The cells of every column.
        ratio, raking: What the weight of a row is the product of.
        values: What is corrected in the rows that are kept.
        acceptance: Fraction of the generated rows that is kept.
        distances: Of the marginals it gives to those of the training table, total variation in
            [0, 1], for each column: a generator that hardly makes some values leaves it no rows
            to choose.
        at_once: Rows that are generated at a time.
        options: Hyper-parameters; those of today where an earlier release saved none.
    """

    former_names: ClassVar = {"_ratio": "ratio", "_raking": "raking", "_drawn_rows": "at_once"}

    columns: list[Cells]
    ratio: RefinedRatio
    raking: Raking
    values: ValueCalibration
    acceptance: float
    distances: list[float]
    at_once: int
    options: CalibrationOptions = DEFAULT

    def draw(self, rows: int, generate: Generate, random: torch.Generator) -> EncodedTable:
        """Calibrated rows.

        Args:
            rows: How many.
            generate: Makes that many new rows; as many as it takes are asked for.
            random: Source of the choice among them.

        Raises:
            RuntimeError: It keeps none of very many rows.
        """
        if not rows:
            return generate(0)
        parts, missing, in_vain = [], needed(rows, self.options), 0
        while missing > 0:
            count = min(int(missing / self.acceptance * 1.02) + 16, self.at_once)
            drawn = generate(count)
            cells = cells_of(self.columns, drawn)
            weights = self.ratio.ratios(cells) * self.raking.weights(cells)
            kept = np.flatnonzero(accepted(weights, self.raking.limit, random))
            parts.append(drawn.rows(torch.from_numpy(kept[:missing])))
            missing -= len(parts[-1])
            in_vain = 0 if len(parts[-1]) else in_vain + count
            if in_vain * self.acceptance > 1e4:
                raise RuntimeError(
                    f"calibration kept none of {in_vain} generated rows: the model is damaged; "
                    "fit it again, or sample without calibration"
                )
        table = EncodedTable.concatenated(parts)
        self.values.apply(table, random)
        return balanced(table, self.columns, rows, random, self.options)


def calibrate(
    real: EncodedTable,
    encoder: TableEncoder,
    generate: Generate,
    random: torch.Generator,
    fraction: float = 1.0,
    options: CalibrationOptions = DEFAULT,
) -> Calibration:
    """Calibrate a generator of any kind.

    Args:
        real: The training rows.
        encoder: Their encoder.
        generate: Makes that many new rows, encoded by the same.
        random: Source of the randomness.
        fraction: Of the rows that would be looked at; less than 1 gives a rough calibration
            sooner, in a time that depends little on how good the generator is.
        options: Hyper-parameters.

    Example:
        A generator that makes one "b" in ten rows where the table has one in two:

        >>> import pandas as pd
        >>> frame = pd.DataFrame({"kind": ["a", "b"] * 300})
        >>> encoder = TableEncoder(["kind"]).fit(frame)
        >>> b = encoder.encode(frame).codes.max()
        >>> random = torch.Generator().manual_seed(0)
        >>> def generate(rows):
        ...     is_b = (torch.rand(rows, 1, generator=random) < 0.1) == bool(b)
        ...     return EncodedTable(is_b.to(torch.int16), torch.zeros(rows, 0))
        >>> calibration = calibrate(encoder.encode(frame), encoder, generate, random)
        >>> rows = encoder.decode(calibration.draw(10_000, generate, random))
        >>> bool(abs((rows["kind"] == "b").mean() - 0.5) < 0.01)
        True
    """
    columns = Cells.all_of(encoder, options)
    sizes = Sizes.of(len(real), encoder, fraction, options)
    limit_of = partial(weight_limit, most=sizes.max_weight, options=options)

    ratio = fit_refined_ratio(
        columns,
        cells_of(columns, _some_of(real, sizes.learned, random)),
        lambda rows: cells_of(columns, generate(rows)),
        random,
        limit_of,
        rows=sizes.learned_generated,
        most=sizes.most_generated,
        at_once=sizes.at_once,
        rough=sizes.rough,
        options=options,
    )
    pool = draw_pool(columns, ratio, generate, random, limit_of, sizes, options)
    cells = cells_of(columns, pool.table)
    raking = fit_raking(columns, cells, pool.weights, pool.counts, limit_of, options)

    weights = pool.weights * raking.weights(cells)
    limited = pool.counts * np.minimum(weights, raking.limit)
    chances = limited / raking.limit
    distances = [
        marginal_distance(column, of_column, limited, options.min_distance_rows)
        for column, of_column in zip(columns, cells, strict=True)
    ]
    # A row may stand for several that would be kept.
    copies = np.floor(chances + uniform(len(pool.table), random)).astype(np.int64)
    kept = pool.table.rows(torch.from_numpy(np.repeat(np.arange(len(copies)), copies)))
    return Calibration(
        columns=columns,
        ratio=ratio,
        raking=raking,
        values=fit_values(kept, encoder, options),
        acceptance=min(float(chances.sum() / pool.counts.sum()), 1.0),
        distances=distances,
        at_once=sizes.at_once,
        options=options,
    )


def marginal_distance(
    column: Cells,
    cells: np.ndarray,
    weights: np.ndarray,
    min_rows: int = DEFAULT.min_distance_rows,
) -> float:
    """Total variation between the training marginal of a column and that of weighted rows.

    Args:
        column: The cells of the column.
        cells: Of the rows, ``[n]``.
        weights: Of the rows, ``[n]``.
        min_rows: Cells with fewer expected rows are not told apart.

    Returns:
        In [0, 1].
    """
    groups = column.groups(len(cells), min_rows)
    wanted = np.bincount(groups, column.frequencies)
    have = np.bincount(groups[column.coarse[cells]], weights, len(wanted))
    return float(np.abs(have / have.sum() - wanted).sum() / 2)


def _some_of(table: EncodedTable, rows: int, random: torch.Generator) -> EncodedTable:
    """At most so many rows of a table, at random."""
    if len(table) <= rows:
        return table
    chosen = torch.randperm(len(table), generator=random, device=random.device)
    return table.rows(chosen[:rows].cpu())
