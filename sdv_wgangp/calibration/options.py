"""Hyper-parameters of the calibration."""

from __future__ import annotations

from dataclasses import dataclass

from sdv_wgangp.options import Options, option


@dataclass(frozen=True)
class CalibrationOptions(Options):
    """How rows are weighted, selected and corrected.

    Attributes:
        stages: Sets of trees of the density ratio; a third one finds nothing more.
        trees: Trees of a stage, at most; 0 leaves them out.
        depth: Of the trees, at most.
        learning_rate: Of the boosting.
        l2_regularization: Of the leaves.
        held_out_fraction: Of both tables, to stop by.
        patience: Trees without an improvement on the held-out rows before there are no more.
        min_tree_rows: Of fewer training rows the held-out ones are too few to say when trees
            begin to learn single rows: there are none then.
        max_tree_rows: Training rows that the trees learn from, at most.
        generated_times: So many times as many generated rows they learn from.
        first_rows: The first generated rows of a later stage or of the pool, which tell the limit
            of the weights and what fraction is kept.
        max_cut_off: The limit of the weights may cut off this fraction of their sum: the
            distribution of the rows that are kept is no further from that of the weights in total
            variation.
        max_weight: But it is at most so many times the mean weight, which is how many rows are
            generated for one that is kept.
        fine_cut_off: Rare values can be all that is cut off. No more than this is ...
        fine_max_weight: ... where that takes a limit of at most so many times the mean weight.
        coarse_cells: A column with positions is raked in at least as many cells, whatever its
            bins.
        rare_frequency: A cell with a smaller fraction of the training rows is rare.
        raking_tolerance: Weights have converged when no step of a round changes one by more than
            this fraction of it.
        raking_smoothing: Rows that the expected ones of a cell in the pool are smoothed by, or a
            rare level would follow the pool's own noise.
        max_factor: No cell makes a row more than so many times as likely.
        min_weight: Least weight of raked rows whose mean is 1: no row is given up.
        kept_times: The pool is as large as it takes to keep so many times the training rows,
            whose own noise limits what marginals can tell.
        max_kept_rows: But no more than so many.
        min_kept_rows: Of the largest pool so many are kept, or values could not be corrected by
            them.
        max_pool_rows: Rows that are generated for the pool or for a later stage, at most.
        thinning: Rows of the pool with less than this fraction of the limit are thinned out ...
        min_thinned: ... to this fraction of them at least.
        min_distance_rows: To see what is out of reach, cells with fewer expected rows of the pool
            are not told apart.
        rank_knots: Knots of a rank map, at most.
        rare_atoms_significance: Rare atoms are mapped where chance alone would set generated rows
            so far apart from the training rows with a lower probability.
        min_balanced_rows: Cells of fewer expected rows are not told apart when rows are balanced:
            a row would be left out for being the only one of its kind.
        spare_rows: Rows to leave out for balance, in square roots of the rows that are wanted:
            noise is as large as those.
        max_spare_fraction: But no more than this fraction of them.
        spare_left: What a stage of balancing leaves of them for the next.
        min_spare_fraction: Of this fraction of the wanted rows it leaves nothing.
        extreme_rows: A value of a sample becomes an extreme if no more training rows lie between
            the two.
        reference_rows: Calibrated rows that tell the marginals under conditions, at most.
        reference_prior: What is known from so many rows of them weighs as much as the generator's
            own frequencies.
        candidates: Rows made under a condition for each that is wanted.
        min_candidates: And at least.

    Example:
        >>> CalibrationOptions.of({"trees": 500, "depth": 4}, "calibration_options").changed()
        {'trees': 500, 'depth': 4}
        >>> CalibrationOptions(depth=9)
        Traceback (most recent call last):
        ...
        ValueError: depth must be a whole number in [1, 8], not 9
    """

    stages: int = option(2, least=1)
    trees: int = option(1500)
    depth: int = option(6, least=1, most=8)
    learning_rate: float = option(0.2, least=1e-4, most=1)
    l2_regularization: float = option(1.0)
    held_out_fraction: float = option(0.15, least=0.01, most=0.5)
    patience: int = option(10, least=1)
    min_tree_rows: int = option(500, least=100)
    max_tree_rows: int = option(2**16, least=1)
    generated_times: int = option(4, least=1)
    first_rows: int = option(2**16, least=2**8)
    max_cut_off: float = option(0.01, most=0.5)
    max_weight: float = option(24.0, least=1)
    fine_cut_off: float = option(0.001, most=0.5)
    fine_max_weight: float = option(3.0, least=1)
    coarse_cells: int = option(20, least=1, most=255)
    rare_frequency: float = option(0.005, most=1)
    raking_tolerance: float = option(1e-3)
    raking_smoothing: float = option(5.0)
    max_factor: float = option(3.0, least=1)
    min_weight: float = option(1e-3, least=1e-9, most=1)
    kept_times: int = option(12, least=1)
    max_kept_rows: int = option(2**18, least=1)
    min_kept_rows: int = option(2**12, least=1)
    max_pool_rows: int = option(2**21, least=2**12)
    thinning: float = option(0.25, least=1e-3, most=1)
    min_thinned: float = option(1 / 64, least=1e-6, most=1)
    min_distance_rows: int = option(50, least=1)
    rank_knots: int = option(512, least=1)
    rare_atoms_significance: float = option(0.01, most=1)
    min_balanced_rows: int = option(50, least=1)
    spare_rows: float = option(10.0)
    max_spare_fraction: float = option(0.5)
    spare_left: float = option(0.25, most=0.9)
    min_spare_fraction: float = option(0.02)
    extreme_rows: int = option(8)
    reference_rows: int = option(2**17, least=1)
    reference_prior: float = option(20.0)
    candidates: int = option(2, least=1)
    min_candidates: int = option(64, least=1)


DEFAULT = CalibrationOptions()
