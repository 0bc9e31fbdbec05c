"""How many rows a calibration generates, looks at and learns from."""

from __future__ import annotations

from dataclasses import dataclass

from sdv_wgangp.calibration.ratio import FIRST_ROWS, GENERATED_TIMES, LEAST_ROWS, TRAINING_ROWS
from sdv_wgangp.calibration.selection import MAX_WEIGHT
from sdv_wgangp.encoding.table import TableEncoder

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
# Of the largest pool so many rows are kept, or values could not be corrected by them.
LEAST_KEPT = 2**12
# Rows that are generated at a time for the choice among them.
DRAWN_ROWS = 2**18


@dataclass(frozen=True)
class Sizes:
    """Numbers of rows.

    Attributes:
        learned: Training rows that the trees learn from.
        learned_generated: Generated rows that each stage of trees learns from.
        most_generated: Rows that may be generated for one stage.
        rough: Rows that a rough calibration generates for a later stage; None: it is not rough,
            or has no trees.
        pool_first: Rows of the pool that are generated first.
        pool_kept: Rows of the pool that are to be kept by their weights.
        pool_most: Rows that may be generated for the pool.
        at_once: Rows that are generated at a time.
        max_weight: The highest limit on weights, as a multiple of their mean.
        share: As given.
    """

    learned: int
    learned_generated: int
    most_generated: int
    rough: int | None
    pool_first: int
    pool_kept: int
    pool_most: int
    at_once: int
    max_weight: float
    share: float

    @classmethod
    def of(cls, rows: int, encoder: TableEncoder, share: float = 1.0) -> Sizes:
        """For a training table.

        Args:
            rows: How many it has.
            encoder: Its encoder.
            share: Of the rows that would be looked at; less than 1 for a rough calibration.
        """
        levels, columns = sum(encoder.widths), len(encoder.columns)
        most = max(min(POOL_ROWS, POOL_PROBABILITIES // levels, POOL_CELLS // columns), 2**12)
        # Fewer would leave the trees out.
        learned = min(TRAINING_ROWS, max(POOL_CELLS // (columns * GENERATED_TIMES), LEAST_ROWS))
        learned = min(rows, learned)
        rough = None
        if share < 1 and learned >= LEAST_ROWS:
            wanted = max(GENERATED_TIMES * learned / ROUGHLY_KEPT, FIRST_ROWS)
            rough = int(share * min(wanted, most))
        learned = min(learned, max(int(share * learned), LEAST_ROWS))
        return cls(
            learned=learned,
            learned_generated=GENERATED_TIMES * learned,
            most_generated=max(int(share * most), LEAST_ROWS),
            rough=rough,
            pool_first=int(share * min(FIRST_ROWS, most)),
            pool_kept=min(KEPT_TIMES * rows, MOST_KEPT),
            pool_most=most,
            at_once=min(DRAWN_ROWS, max(POOL_CELLS // columns, 2**12)),
            max_weight=min(MAX_WEIGHT, most / LEAST_KEPT),
            share=share,
        )

    def pool(self, part_kept: float) -> int:
        """Rows of the pool, all in all.

        Args:
            part_kept: Part of them that their weights keep; a rough calibration does not ask.
        """
        part_kept = part_kept if self.share == 1 else ROUGHLY_KEPT
        return int(self.share * min(self.pool_kept / part_kept, self.pool_most))
