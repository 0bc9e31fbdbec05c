"""How many rows a calibration generates, looks at and learns from."""

from __future__ import annotations

from dataclasses import dataclass

from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.encoding.table import TableEncoder

# Of the pool, for the memory and the time that it takes.
POOL_PROBABILITIES = 2**30
POOL_CELLS = 2**26
# A rough calibration, which cannot know how good the generator will be, takes it that so large a
# part is kept.
ROUGHLY_KEPT = 0.05
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
        fraction: As given.
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
    fraction: float

    @classmethod
    def of(
        cls,
        rows: int,
        encoder: TableEncoder,
        fraction: float = 1.0,
        options: CalibrationOptions = DEFAULT,
    ) -> Sizes:
        """For a training table.

        Args:
            rows: How many it has.
            encoder: Its encoder.
            fraction: Of the rows that would be looked at; less than 1 for a rough calibration.
            options: Hyper-parameters.
        """
        levels, columns = sum(encoder.widths), len(encoder.columns)
        times, least, first = options.generated_times, options.min_tree_rows, options.first_rows
        affordable = min(POOL_PROBABILITIES // levels, POOL_CELLS // columns)
        most = max(min(options.max_pool_rows, affordable), 2**12)
        # Fewer would leave the trees out.
        learned = min(options.max_tree_rows, max(POOL_CELLS // (columns * times), least))
        learned = min(rows, learned)
        rough = None
        if fraction < 1 and learned >= least:
            rough = int(fraction * min(max(times * learned / ROUGHLY_KEPT, first), most))
        learned = min(learned, max(int(fraction * learned), least))
        return cls(
            learned=learned,
            learned_generated=times * learned,
            most_generated=max(int(fraction * most), least),
            rough=rough,
            pool_first=int(fraction * min(first, most)),
            pool_kept=min(options.kept_times * rows, options.max_kept_rows),
            pool_most=most,
            at_once=min(DRAWN_ROWS, max(POOL_CELLS // columns, 2**12)),
            max_weight=min(options.max_weight, most / options.min_kept_rows),
            fraction=fraction,
        )

    def pool(self, part_kept: float) -> int:
        """Rows of the pool, all in all.

        Args:
            part_kept: Part of them that their weights keep; a rough calibration does not ask.
        """
        part_kept = part_kept if self.fraction == 1 else ROUGHLY_KEPT
        return int(self.fraction * min(self.pool_kept / part_kept, self.pool_most))
