"""Calibration of rows under conditions.

A row that is made for given cells c is to follow the training table's distribution of the other
cells given c. Training rows, each with some cells given, and generated rows with the same given
cells have the same distribution of c and of which cells are given. So what trees estimate of
their densities' ratio (`models.density_ratio`), who know which cells are given, is the ratio of
the conditional distributions,

    p_train(rest | c) / p_generated(rest | c),

and rows are kept or dropped by it, anew until every condition has its row. The marginals of the
training table say nothing about such rows: there is no raking.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.models.calibration import Calibration, limit, uniform
from sdv_wgangp.models.conditions import FREE
from sdv_wgangp.models.density_ratio import GENERATED_TIMES, LEAST_ROWS, DensityRatio
from sdv_wgangp.training.conditions import ConditionSampler

# Training rows the trees learn from, at most.
TRAINING_ROWS = 2**15
# Candidates for a row, at most about.
MOST_CANDIDATES = 8

Complete = Callable[[torch.Tensor], EncodedTable]


class Flag(NamedTuple):
    """The cells of "is given", as `DensityRatio` sees columns."""

    size: int = 2
    order: np.ndarray = np.arange(2)


class ConditionalCalibration:
    """What brings rows under conditions closer to the training table.

    Args:
        real: The training rows.
        layout: Their layout.
        calibration: Of rows without conditions.
        columns: That may be given.
        complete: Makes rows with given codes ``[rows, columns]`` (or `FREE`).
        random: Source of the randomness.
        share: Of the rows that would be looked at; less gives a rough calibration sooner.

    Attributes:
        acceptance: Share of the generated rows that are kept.
    """

    def __init__(
        self,
        real: EncodedTable,
        layout: Layout,
        calibration: Calibration,
        columns: torch.Tensor,
        complete: Complete,
        random: torch.Generator,
        share: float = 1.0,
    ):
        self._columns, self._values = calibration.columns, calibration.values
        self._given = columns.tolist()
        seen = max(int(share * min(len(real), TRAINING_ROWS)), min(len(real), LEAST_ROWS))
        # Every training row once, so that none is on both sides of what the trees hold out.
        chosen = torch.randperm(len(real), generator=random, device=random.device)[:seen]
        real = real.rows(chosen.cpu())
        sampler = ConditionSampler(columns, layout, real.to(random.device), seen, False)
        index = torch.arange(seen, device=random.device)[None]

        def draw_flags() -> torch.Tensor:
            return sampler.draw(index, random)[1].cpu()

        def make() -> list[np.ndarray]:
            fixed = draw_flags()
            return self._cells(complete(torch.where(fixed, real.codes.long(), FREE)), fixed)

        theirs = self._cells(real, draw_flags())
        made = [make() for _ in range(GENERATED_TIMES)]
        kinds = [*self._columns, *(Flag() for _ in self._given)]
        generated = [np.concatenate(of) for of in zip(*made, strict=True)]
        self._ratio = DensityRatio(kinds, theirs, generated, random)
        # Fresh rows: on those they have learned from, trees are too sure.
        weights = self._ratio.ratios(make())
        self._limit = limit(weights)
        self.acceptance = float(np.minimum(weights / self._limit, 1).mean())

    def draw(
        self, given: torch.Tensor, complete: Complete, random: torch.Generator
    ) -> EncodedTable:
        """Calibrated rows.

        Args:
            given: Codes ``[rows, columns]``, or `FREE`.
            complete: Makes rows with such codes.
            random: Source of the choice among them.
        """
        if not len(given):
            return complete(given)
        fixed = given != FREE
        times = min(math.ceil(1 / self.acceptance), MOST_CANDIDATES)
        sums = np.zeros(len(given))
        waiting = np.arange(len(given))
        found = None
        for _ in range(-(-MOST_CANDIDATES // times)):
            rows = torch.from_numpy(waiting).repeat_interleave(times)
            drawn = complete(given[rows])
            weights = self._weights(drawn, fixed[rows]).reshape(-1, times)
            kept = uniform(weights.size, random).reshape(weights.shape) * self._limit < weights
            settled = kept.any(1)
            # Where none is kept, one of the candidates so far stands in, by the weights.
            below = weights.cumsum(1)
            chance, replaced = uniform(2 * len(waiting), random).reshape(2, -1)
            likely = (below <= chance[:, None] * below[:, -1:]).sum(1).clip(max=times - 1)
            place = np.where(settled, kept.argmax(1), likely)
            sums[waiting] += below[:, -1]
            new = np.flatnonzero(settled | (replaced * sums[waiting] < below[:, -1]))
            chosen = drawn.rows(torch.from_numpy(new * times + place[new]))
            if found is None:
                found = chosen
            else:
                found.codes[waiting[new]] = chosen.codes
                found.positions[waiting[new]] = chosen.positions
            waiting = waiting[~settled]
            if not len(waiting):
                break
        self._values.apply_inside_bins(found)
        return found

    def _weights(self, table: EncodedTable, fixed: torch.Tensor) -> np.ndarray:
        return self._ratio.ratios(self._cells(table, fixed))

    def _cells(self, table: EncodedTable, fixed: torch.Tensor) -> list[np.ndarray]:
        flags = fixed[:, self._given].to(torch.int32).T.contiguous().numpy()
        return [*(column.of(table) for column in self._columns), *flags]
