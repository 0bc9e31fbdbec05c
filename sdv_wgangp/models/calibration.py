"""Calibration of a trained generator to its training table, after the training.

Corrections that are read off generated rows and the training table:

1. *Density ratio*: trees estimate how much likelier a row is in the training table than from the
   generator (`models.density_ratio`), in stages (`models.refined_ratio`).
2. *Raking* corrects these weights so that the marginals are those of the training table
   (`models.raking`). Generated rows are then kept or dropped by their weights (rejection
   sampling). No row is changed, so what holds between the columns of a row (a duration of zero
   where there was no visit) holds afterwards.
3. What is finer than the cells of the weights is corrected in the rows
   (`models.value_calibration`).

Of the rows that are left, a few more than were asked for, those are returned that have the
marginals with less noise than independent rows would have (`models.balancing`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.balancing import balanced, needed, uniform
from sdv_wgangp.models.cells import Cells
from sdv_wgangp.models.density_ratio import GENERATED_TIMES, LEAST_ROWS, TRAINING_ROWS
from sdv_wgangp.models.raking import Raking
from sdv_wgangp.models.refined_ratio import FIRST_ROWS, RefinedRatio
from sdv_wgangp.models.value_calibration import ValueCalibration

# The pool is as large as it takes to keep so many times the training rows, whose own noise limits
# what marginals can tell, within these limits; no larger than these probabilities or cells of the
# table allow.
KEPT_TIMES, MOST_KEPT = 12, 2**18
POOL_ROWS = 2**21
POOL_PROBABILITIES = 2**30
POOL_CELLS = 2**26
# A rough calibration, which cannot know how good the generator will be, takes it that so large a
# part is kept.
ROUGHLY_KEPT = 0.05
# Rows of the pool with less than this part of the limit are thinned out, to this part of them at
# least.
THINNED, LEAST_LEFT = 0.25, 1 / 64
# A column with positions is raked in at least as many cells, whatever its bins.
COARSE_CELLS = 20
# A limit on the weights may cut off such a share of their sum: the distribution of the rows that
# are kept is no further from that of the weights in total variation. But it is at most so many
# times the mean weight, which is how many rows are generated for one that is kept.
CUT_OFF, MAX_WEIGHT = 0.01, 24.0
# Rare values can be all that is cut off. Where it takes few rows, less is.
FINE_CUT_OFF, FINE_MAX_WEIGHT = 0.001, 3.0
# Of the largest pool so many rows are kept, or values could not be corrected by them.
LEAST_KEPT = 2**12
# Rows that are generated at a time for the choice among them.
DRAWN_ROWS = 2**18
# To see what is out of reach, cells with fewer expected rows of the pool are not told apart.
TOLD_ROWS = 50

Generate = Callable[[int], EncodedTable]


class Calibration:
    """What brings the rows of a generator closer to the training table.

    Args:
        real: The training rows.
        encoder: Their encoder.
        generate: Makes that many new rows.
        random: Source of the randomness.
        share: Of the rows that would be looked at; less than 1 gives a rough calibration sooner,
            in a time that depends little on how good the generator is.

    Attributes:
        columns: The cells of every column.
        acceptance: Share of the generated rows that are kept.
        distances: Of the marginals it gives to those of the training table, total variation in
            [0, 1], for each column: a generator that hardly makes some values leaves it no rows
            to choose.
        values: What it corrects in the rows.
    """

    def __init__(
        self,
        real: EncodedTable,
        encoder: TableEncoder,
        generate: Generate,
        random: torch.Generator,
        share: float = 1.0,
    ):
        self.columns = Cells.all_of(encoder, COARSE_CELLS)
        training_rows = len(real)
        levels, columns = sum(encoder.widths), len(encoder.columns)
        most = max(min(POOL_ROWS, POOL_PROBABILITIES // levels, POOL_CELLS // columns), 2**12)
        limit_of = partial(limit, most=min(MAX_WEIGHT, most / LEAST_KEPT))
        self._drawn_rows = min(DRAWN_ROWS, max(POOL_CELLS // columns, 2**12))
        # Fewer would leave the trees out.
        seen = min(TRAINING_ROWS, max(POOL_CELLS // (columns * GENERATED_TIMES), LEAST_ROWS))
        seen = min(len(real), seen)
        rough = None
        if share < 1 and seen >= LEAST_ROWS:
            wanted = max(GENERATED_TIMES * seen / ROUGHLY_KEPT, FIRST_ROWS)
            rough = int(share * min(wanted, most))
        seen = min(seen, max(int(share * seen), LEAST_ROWS))
        if len(real) > seen:
            chosen = torch.randperm(len(real), generator=random, device=random.device)
            real = real.rows(chosen[:seen].cpu())
        self._ratio = RefinedRatio(
            self.columns,
            self._cells(real),
            lambda rows: self._cells(generate(rows)),
            random,
            limit_of,
            rows=GENERATED_TIMES * seen,
            most=max(int(share * most), LEAST_ROWS),
            at_once=self._drawn_rows,
            rough=rough,
        )
        # Fresh rows: on those they have learned from, trees are too sure.
        kept = min(KEPT_TIMES * training_rows, MOST_KEPT)
        pool, weights, counts = self._pool(generate, random, limit_of, share, kept, most)
        cells = self._cells(pool)
        self._raking = Raking(self.columns, cells, weights, counts, limit_of)
        weights *= self._raking.weights(cells)
        limited = counts * np.minimum(weights, self._raking.limit)
        chances = limited / self._raking.limit
        self.acceptance = min(float(chances.sum() / counts.sum()), 1.0)
        self.distances = [
            _distance(column, of_column, limited)
            for column, of_column in zip(self.columns, cells, strict=True)
        ]
        # A row may stand for several that would be kept.
        copies = np.floor(chances + uniform(len(pool), random)).astype(np.int64)
        chosen = torch.from_numpy(np.repeat(np.arange(len(pool)), copies))
        self.values = ValueCalibration(pool.rows(chosen), encoder)

    def draw(self, rows: int, generate: Generate, random: torch.Generator) -> EncodedTable:
        """Calibrated rows.

        Args:
            rows: How many.
            generate: Makes that many new rows; as many as it takes are asked for.
            random: Source of the choice among them.
        """
        if not rows:
            return generate(0)
        parts, missing, in_vain = [], needed(rows), 0
        while missing > 0:
            count = min(int(missing / self.acceptance * 1.02) + 16, self._drawn_rows)
            drawn = generate(count)
            cells = self._cells(drawn)
            weights = self._ratio.ratios(cells) * self._raking.weights(cells)
            parts.append(self._chosen(drawn, weights, random).rows(slice(missing)))
            missing -= len(parts[-1])
            in_vain = 0 if len(parts[-1]) else in_vain + count
            if in_vain * self.acceptance > 1e4:
                raise RuntimeError(
                    f"calibration kept none of {in_vain} generated rows: the model is damaged; "
                    "fit it again, or sample without calibration"
                )
        table = EncodedTable.concatenated(parts)
        self.values.apply(table, random)
        return balanced(table, self.columns, rows, random)

    def _pool(
        self,
        generate: Generate,
        random: torch.Generator,
        limit_of: Callable[..., float],
        share: float,
        kept: int,
        most: int,
    ) -> tuple[EncodedTable, np.ndarray, np.ndarray]:
        """Rows to find the raking's factors on, their weights and how many each stands for.

        Args:
            generate, random, share: As for the calibration.
            limit_of: The limit for weights and counts ``[n]``.
            kept: How many rows of the pool are to be kept by their weights.
            most: How many may be generated.
        """
        rows = int(share * min(FIRST_ROWS, most))
        parts = [self._thinned(generate(rows), random, limit_of)]
        of_one = ROUGHLY_KEPT
        if share == 1:
            _, weights, counts = parts[0]
            limited = np.minimum(weights / limit_of(weights, counts), 1)
            of_one = (counts * limited).sum() / counts.sum()
        wanted = int(share * min(kept / of_one, most))
        while rows < wanted:
            count = min(self._drawn_rows, wanted - rows)
            parts.append(self._thinned(generate(count), random, limit_of))
            rows += count
        tables, weights, counts = zip(*parts, strict=True)
        return EncodedTable.concatenated(tables), np.concatenate(weights), np.concatenate(counts)

    def _thinned(
        self, table: EncodedTable, random: torch.Generator, limit_of: Callable[..., float]
    ) -> tuple[EncodedTable, np.ndarray, np.ndarray]:
        """Some rows of a table, their density ratios and how many rows each stands for.

        Where few rows have most of the weight, many are left out of those that have little, in
        proportion to it: that leaves much less to work on.
        """
        weights = self._ratio.ratios(self._cells(table))
        chances = weights / (THINNED * limit_of(weights, np.ones(len(weights))))
        chances = chances.clip(LEAST_LEFT, 1)
        rows = np.flatnonzero(uniform(len(table), random) < chances)
        return table.rows(torch.from_numpy(rows)), weights[rows], 1 / chances[rows]

    def _chosen(
        self, table: EncodedTable, weights: np.ndarray, random: torch.Generator
    ) -> EncodedTable:
        """The rows of a table that their weights have kept, in their order."""
        rows = np.flatnonzero(uniform(len(table), random) * self._raking.limit < weights)
        return table.rows(torch.from_numpy(rows))

    def _cells(self, table: EncodedTable) -> list[np.ndarray]:
        return [column.of(table) for column in self.columns]


def limit(weights: np.ndarray, counts: np.ndarray, most: float) -> float:
    """What no weight should exceed.

    The least that cuts off no more than `CUT_OFF` of their sum, at most so many times the mean of
    what it leaves of them; or the same of `FINE_CUT_OFF` and `FINE_MAX_WEIGHT`, if that is more.

    Args:
        weights: At least 0, ``[n]``.
        counts: How many rows each is the weight of, ``[n]``.
        most: How many times, usually `MAX_WEIGHT`.
    """
    order = weights.argsort()
    ascending, counts = weights[order], counts[order]
    rows = counts.sum()
    below = np.concatenate([[0.0], np.cumsum(counts * ascending)])
    count = rows - np.concatenate([[0.0], np.cumsum(counts)[:-1]])
    # What each of the weights would leave as the limit. Between two of them it is linear.
    left = below[:-1] + count * ascending

    def cutting_off(share: float) -> float:
        wanted = (1 - share) * below[-1]
        place = np.searchsorted(left, wanted)
        return (wanted - below[place]) / count[place]

    def times_the_mean(times: float) -> float:
        beyond = ascending * rows > times * left
        if not beyond.any():
            return ascending[-1]
        place = beyond.argmax()
        return times * below[place] / (rows - times * count[place])

    return max(
        min(cutting_off(FINE_CUT_OFF), times_the_mean(FINE_MAX_WEIGHT)),
        min(cutting_off(CUT_OFF), times_the_mean(most)),
    )


def _distance(column: Cells, cells: np.ndarray, weights: np.ndarray) -> float:
    """Total variation between the training marginal and that of rows with weights ``[n]``."""
    groups = column.groups(len(cells), TOLD_ROWS)
    wanted = np.bincount(groups, column.shares)
    have = np.bincount(groups[column.coarse[cells]], weights, len(wanted))
    return float(np.abs(have / have.sum() - wanted).sum() / 2)
