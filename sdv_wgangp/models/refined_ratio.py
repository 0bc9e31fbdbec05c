"""The density ratio in stages: the second learns from rows that the first has kept.

Where a generator is far from the table most of its rows are of no use, and trees that tell
training rows from generated ones learn mostly how to reject those. Of the rows that are like
training rows they have seen few. A second set of trees sees as many of these alone, and finds what
still tells them from training rows. The ratio of the table to the generator is the product of the
ratios of neighbours in the chain generator, kept rows, table (Rhodes, Xu and Gutmann 2020,
"Telescoping density-ratio estimation", equation 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from sdv_wgangp.models.balancing import uniform
from sdv_wgangp.models.cells import Cells
from sdv_wgangp.models.density_ratio import DensityRatio

# A third finds nothing more.
STAGES = 2
# The first rows, which tell the limit and what part is kept.
FIRST_ROWS = 2**16

Rows = Sequence[np.ndarray]
Generate = Callable[[int], Rows]
LimitOf = Callable[[np.ndarray, np.ndarray], float]


class RefinedRatio:
    """Estimates the density ratio of training rows to generated rows.

    Args:
        columns: The cells of every column.
        real: Cells of the training rows, ``[n]`` for each column.
        generate: Makes the cells of that many new rows.
        random: Source of the randomness.
        limit_of: What no weight should exceed, of weights and counts ``[n]``.
        rows: How many generated rows each stage learns from.
        most: How many may be generated for that.
        at_once: How many of them at a time.
        rough: For a time that does not depend on how good the generator is: how many rows are
            generated for a later stage, which then learns from any of them.
    """

    def __init__(
        self,
        columns: Sequence[Cells],
        real: Rows,
        generate: Generate,
        random: torch.Generator,
        limit_of: LimitOf,
        *,
        rows: int,
        most: int,
        at_once: int,
        rough: int | None = None,
    ):
        # One seed, so that all stages hold the same training rows out: the kept rows are too much
        # like those that the first has learned from.
        seed = int(torch.randint(2**31, (), generator=random, device=random.device))
        self._ratios = [DensityRatio(columns, real, generate(min(rows, most)), seed)]
        self._limits: list[float] = []  # of the ratios before each later stage
        for _ in range(1, int(STAGES)):
            if rough is not None:
                made = generate(rough)
                weights = self.ratios(made)
                between = limit_of(weights, np.ones(len(weights)))
                kept: Rows = [of_column[:rows] for of_column in made]
            elif self._ratios[-1].trees:
                kept, between = self._kept(generate, random, limit_of, rows, most, at_once)
            else:
                return  # what cannot be told apart is kept as it is
            ratio = DensityRatio(columns, real, kept, seed)
            if not ratio.trees:
                return
            self._ratios.append(ratio)
            self._limits.append(between)

    @property
    def trees(self) -> int:
        """Number of trees of all stages."""
        return sum(ratio.trees for ratio in self._ratios)

    def ratios(self, cells: Rows) -> np.ndarray:
        """``p_train / p_generated`` of every row, up to a common factor; float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        first, *others = self._ratios
        found = first.ratios(cells)
        for limit, ratio in zip(self._limits, others, strict=True):
            found = np.minimum(found, limit) * ratio.ratios(cells)
        return found

    def _kept(
        self,
        generate: Generate,
        random: torch.Generator,
        limit_of: LimitOf,
        rows: int,
        most: int,
        at_once: int,
    ) -> tuple[Rows, float]:
        """Cells of generated rows that the stages so far keep, and the limit of their weights."""
        parts, missing, left, part_kept, between = [], rows, most, 1.0, 1.0
        count = min(FIRST_ROWS, most)
        while missing > 0 and count:
            made = generate(count)
            weights = self.ratios(made)
            if not parts:
                between = limit_of(weights, np.ones(len(weights)))
                part_kept = np.minimum(weights / between, 1).mean()
            chosen = uniform(len(weights), random) * between < weights
            parts.append([of_column[chosen] for of_column in made])
            missing -= int(chosen.sum())
            left -= count
            count = min(int(missing / part_kept * 1.02) + 16, at_once, left)
        kept = [np.concatenate(of_column)[:rows] for of_column in zip(*parts, strict=True)]
        return kept, between
