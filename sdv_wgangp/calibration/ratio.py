"""How much likelier a row is in the training table than from the generator, learned by trees.

A classifier that tells training rows from as many generated ones estimates the ratio of the two
densities: its log-odds are ``log p_train(x) - log p_generated(x)`` (Sugiyama et al. 2012, "Density
Ratio Estimation in Machine Learning", section 4.1; used on generated samples as discriminator
rejection sampling, Azadi et al. 2019, and importance weights, Grover et al. 2019). Boosted trees
see the sharp edges and near-copies in tables that a smooth critic misses.

They learn in stages: the second from rows that the first has kept. Where a generator is far from
the table most of its rows are of no use, and trees that tell training rows from generated ones
learn mostly how to reject those. Of the rows that are like training rows they have seen few. A
second set of trees sees as many of these alone, and finds what still tells them from training
rows. The ratio of the table to the generator is the product of the ratios of neighbours in the
chain generator, kept rows, table (Rhodes, Xu and Gutmann 2020, "Telescoping density-ratio
estimation", equation 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from sdv_wgangp.calibration.cells import MOST, Cells
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.raking import LimitOf
from sdv_wgangp.calibration.selection import accepted
from sdv_wgangp.ops import tree_scores
from sdv_wgangp.persistence.former_names import FormerNames

# Cells of rows, ``[n]`` for each column; and what makes those of so many new rows.
Rows = Sequence[np.ndarray]
GenerateCells = Callable[[int], Rows]


@dataclass(eq=False)
class DensityRatio(FormerNames):
    """The density ratio of training rows to generated rows, as one set of trees tells it.

    Attributes:
        places: The number by which the trees know each cell of a column, uint8 ``[size]`` each.
        features: Column at each split, int32 ``[trees, 2**depth - 1]``, breadth first.
        thresholds: Numbers up to this one go left, uint8, of the same shape.
        leaves: Log-odds, float32 ``[trees, 2**depth]``. No tree: the rows showed no difference.
    """

    former_names: ClassVar = {
        "_places": "places",
        "_features": "features",
        "_thresholds": "thresholds",
        "_leaves": "leaves",
    }

    places: list[np.ndarray]
    features: torch.Tensor
    thresholds: torch.Tensor
    leaves: torch.Tensor

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.leaves)

    def ratios(self, cells: Rows) -> np.ndarray:
        """``p_train / p_generated`` of every row, up to a common factor; float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        numbers = torch.from_numpy(_numbers(self.places, cells))
        scores = tree_scores(numbers, self.features, self.thresholds, self.leaves)
        return scores.double().exp().numpy()


@dataclass(eq=False)
class RefinedRatio(FormerNames):
    """The density ratio of training rows to generated rows, as the product of stages.

    Attributes:
        stages: At least one; each but the first of training rows to rows that those before keep.
        limits: Of the product of the ratios before each later stage.
    """

    former_names: ClassVar = {"_ratios": "stages", "_limits": "limits"}

    stages: list[DensityRatio]
    limits: list[float]

    @property
    def trees(self) -> int:
        """Number of trees of all stages."""
        return sum(stage.trees for stage in self.stages)

    def ratios(self, cells: Rows) -> np.ndarray:
        """``p_train / p_generated`` of every row, up to a common factor; float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        first, *others = self.stages
        found = first.ratios(cells)
        for limit, stage in zip(self.limits, others, strict=True):
            found = np.minimum(found, limit) * stage.ratios(cells)
        return found


def fit_density_ratio(
    columns: Sequence[Cells],
    real: Rows,
    generated: Rows,
    seed: int,
    options: CalibrationOptions = DEFAULT,
) -> DensityRatio:
    """Learn a density ratio.

    A fraction of both tables is held out, from the numbering of the levels, too. Trees are added
    until they no longer improve on it, so that they follow what the two distributions differ in
    and not the training rows one by one.

    Args:
        columns: The cells of every column.
        real: Cells of the training rows, ``[n]`` for each column.
        generated: Cells of generated rows, ideally more than training rows.
        seed: Of the held-out rows; the same seed holds the same training rows out.
        options: Hyper-parameters.
    """
    own, own_held_out = _split(real, seed, options.held_out_fraction)
    fake, fake_held_out = _split(generated, seed, options.held_out_fraction)
    places = [tree_numbers(*of) for of in zip(columns, own, fake, strict=True)]
    trees = [_no_trees(options.depth)]
    if options.trees and min(len(real[0]), len(generated[0])) >= options.min_tree_rows:
        fitted = _labelled(_numbers(places, own), _numbers(places, fake))
        held_out = _labelled(_numbers(places, own_held_out), _numbers(places, fake_held_out))
        trees += grow_trees(fitted, held_out, seed, options)
    features, thresholds, leaves = (
        torch.from_numpy(np.concatenate(of)) for of in zip(*trees, strict=True)
    )
    return DensityRatio(places, features, thresholds, leaves)


def fit_refined_ratio(
    columns: Sequence[Cells],
    real: Rows,
    generate: GenerateCells,
    random: torch.Generator,
    limit_of: LimitOf,
    *,
    rows: int,
    most: int,
    at_once: int,
    rough: int | None = None,
    options: CalibrationOptions = DEFAULT,
) -> RefinedRatio:
    """Learn a density ratio in stages.

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
        options: Hyper-parameters.
    """
    # One seed, so that all stages hold the same training rows out: the kept rows are too much
    # like those that the first has learned from.
    seed = int(torch.randint(2**31, (), generator=random, device=random.device))
    first = fit_density_ratio(columns, real, generate(min(rows, most)), seed, options)
    refined = RefinedRatio([first], [])
    for _ in range(1, options.stages):
        if rough is not None:
            generated = generate(rough)
            between = _limit(refined.ratios(generated), limit_of)
            kept: Rows = [of_column[:rows] for of_column in generated]
        elif refined.stages[-1].trees:
            kept, between = _kept(
                refined, generate, random, limit_of, rows, most, at_once, options.first_rows
            )
        else:
            break  # what cannot be told apart is kept as it is
        stage = fit_density_ratio(columns, real, kept, seed, options)
        if not stage.trees:
            break
        refined.stages.append(stage)
        refined.limits.append(between)
    return refined


def _kept(
    refined: RefinedRatio,
    generate: GenerateCells,
    random: torch.Generator,
    limit_of: LimitOf,
    rows: int,
    most: int,
    at_once: int,
    first_rows: int,
) -> tuple[Rows, float]:
    """Cells of generated rows that the stages so far keep, and the limit of their weights."""
    parts: list[Rows] = []
    missing, left, part_kept, between = rows, most, 1.0, 1.0
    count = min(first_rows, most)
    while missing > 0 and count:
        generated = generate(count)
        weights = refined.ratios(generated)
        if not parts:
            between = _limit(weights, limit_of)
            part_kept = np.minimum(weights / between, 1).mean()
        chosen = accepted(weights, between, random)
        parts.append([of_column[chosen] for of_column in generated])
        missing -= int(chosen.sum())
        left -= count
        count = min(int(missing / part_kept * 1.02) + 16, at_once, left)
    return [np.concatenate(of_column)[:rows] for of_column in zip(*parts, strict=True)], between


def _limit(weights: np.ndarray, limit_of: LimitOf) -> float:
    return limit_of(weights, np.ones(len(weights)))


def _split(rows: Rows, seed: int, held_out: float) -> tuple[Rows, Rows]:
    """Rows to learn from, and rows that say when to stop."""
    shuffle = np.random.default_rng(seed).permutation(len(rows[0]))
    cut = int(held_out * len(shuffle))
    return [of[shuffle[cut:]] for of in rows], [of[shuffle[:cut]] for of in rows]


def _numbers(places: Sequence[np.ndarray], cells: Rows) -> np.ndarray:
    """What the trees know of the rows, uint8 ``[n, columns]``."""
    numbers = np.empty((len(cells[0]), len(cells)), np.uint8)
    for place, (of_column, known) in enumerate(zip(cells, places, strict=True)):
        numbers[:, place] = known[of_column]
    return numbers


def tree_numbers(column: Cells, real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The number by which trees know each cell of a column, uint8 ``[size]``.

    Cells with an order are numbered along it. The levels of a category are sorted by how much
    likelier they are among the training rows, in the order that a single split needs (Fisher
    1958). Where there are more cells than numbers, neighbours in the order share one.

    Args:
        column: Its cells.
        real, generated: Cells of training rows and of generated ones, ``[n]``.
    """
    order = column.order
    if order is None:
        counts = [np.bincount(cells, minlength=column.size) for cells in (real, generated)]
        expected = counts[1] * (len(real) / max(len(generated), 1))
        order = ((counts[0] + 0.5) / (expected + 0.5)).argsort(kind="stable")
        order = order.argsort(kind="stable")
    numbers = order.max() + 1
    if numbers > MOST:
        order = order * MOST // numbers
    return order.astype(np.uint8)


# Rows as the trees know them, labels and weights.
_Labelled = tuple[np.ndarray, np.ndarray, np.ndarray]
# Features, thresholds and leaves.
_Trees = tuple[np.ndarray, np.ndarray, np.ndarray]


def _labelled(real: np.ndarray, generated: np.ndarray) -> _Labelled:
    """Rows with label 1 where they are real; both tables weigh the same, whatever their sizes."""
    labels = np.repeat([1, 0], [len(real), len(generated)])
    weights = np.where(labels, len(generated) / len(real), 1.0)
    return np.concatenate([real, generated]), labels, weights


def grow_trees(
    fitted: _Labelled, held_out: _Labelled, seed: int, options: CalibrationOptions = DEFAULT
) -> list[_Trees]:
    """Boosted trees that tell label 1 from label 0, up to the one that is best on held-out rows.

    Args:
        fitted: Rows uint8 ``[n, columns]``, labels and weights ``[n]``, to learn from.
        held_out: The same, to stop by.
        seed: Of the trees.
        options: Hyper-parameters.

    Returns:
        Features, thresholds and leaves of each tree as of a `DensityRatio` of one tree.
    """
    rows, labels, weights = held_out
    trees = HistGradientBoostingClassifier(
        learning_rate=options.learning_rate,
        max_iter=options.trees,
        max_depth=options.depth,
        l2_regularization=options.l2_regularization,
        early_stopping=True,
        n_iter_no_change=options.patience,
        random_state=seed,
    ).fit(*fitted, X_val=rows, y_val=labels, sample_weight_val=weights)
    # The trees past the best one were added to see whether they would improve on it. (Shap and
    # treelite read the trees from the same attribute.)
    best = int(np.argmax(trees.validation_score_))
    depth = options.depth
    return [perfect_tree(trees._predictors[place][0].nodes, depth) for place in range(best)]


def _no_trees(depth: int) -> _Trees:
    splits = 2**depth - 1
    return (
        np.zeros((0, splits), np.int32),
        np.zeros((0, splits), np.uint8),
        np.zeros((0, 2**depth), np.float32),
    )


def perfect_tree(nodes: np.ndarray, depth: int) -> _Trees:
    """A tree of scikit-learn's as a perfect one: features, thresholds, leaves, ``[1, ...]``.

    Where a branch ends early, splits that send every row to the left fill it up.

    Args:
        nodes: Of scikit-learn's tree.
        depth: Of the perfect one; at least that of scikit-learn's.
    """
    features = np.zeros(2**depth - 1, np.int32)
    thresholds = np.full(2**depth - 1, 255, np.uint8)
    row = np.zeros(1, np.int64)
    for level in range(depth):
        node = nodes[row]
        inner = node["is_leaf"] == 0
        here = slice(2**level - 1, 2 ** (level + 1) - 1)
        features[here] = np.where(inner, node["feature_idx"], 0)
        # Cells are whole numbers, thresholds stand between two of them.
        cuts = np.where(inner, np.floor(node["num_threshold"].clip(0, 255)), 255)
        thresholds[here] = cuts.astype(np.uint8)
        children = np.where(inner, node["left"], row), np.where(inner, node["right"], row)
        row = np.stack(children, 1).ravel().astype(np.int64)
    return features[None], thresholds[None], nodes[row]["value"].astype(np.float32)[None]
