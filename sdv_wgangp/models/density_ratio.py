"""How much likelier a row is in the training table than from the generator, learned by trees.

A classifier that tells training rows from as many generated ones estimates the ratio of the two
densities: its log-odds are ``log p_train(x) - log p_generated(x)`` (Sugiyama et al. 2012, "Density
Ratio Estimation in Machine Learning", section 4.1; used on generated samples as discriminator
rejection sampling, Azadi et al. 2019, and importance weights, Grover et al. 2019). Boosted trees
see the sharp edges and near-copies in tables that a smooth critic misses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from sdv_wgangp.models.cells import MOST, Cells
from sdv_wgangp.ops import tree_scores

# Rows the trees learn from: this many training rows at most, and so many times as many generated.
TRAINING_ROWS = 2**16
GENERATED_TIMES = 4
# Below, a held-out share is too small to say when the trees begin to learn single rows.
LEAST_ROWS = 500
DEPTH = 6
TREES = 1500
LEARNING_RATE = 0.2
HELD_OUT = 0.15
PATIENCE = 10


# Cells of training rows and of generated rows, ``[n]`` for each column.
_Pair = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]


class DensityRatio:
    """Estimates the density ratio of training rows to generated rows.

    A share of both tables is held out, from the numbering of the levels, too. Trees are added
    until they no longer improve on it, so that they follow what the two distributions differ in
    and not the training rows one by one.

    Args:
        columns: The cells of every column.
        real: Cells of the training rows, ``[n]`` for each column.
        generated: Cells of generated rows, ideally more than training rows.
        seed: Of the held-out shares; the same seed holds the same training rows out.

    Attributes:
        trees: Number of trees; 0 where the held-out rows show no difference.
    """

    def __init__(
        self,
        columns: Sequence[Cells],
        real: Sequence[np.ndarray],
        generated: Sequence[np.ndarray],
        seed: int,
    ):
        shuffles = [
            np.random.default_rng(seed).permutation(len(of[0])) for of in (real, generated)
        ]
        parts = []
        for rows, shuffle in zip((real, generated), shuffles, strict=True):
            cut = int(HELD_OUT * len(shuffle))
            parts.append([[of[part] for of in rows] for part in (shuffle[cut:], shuffle[:cut])])
        fitted, held_out = zip(*parts, strict=True)
        self._places = [_places(*of) for of in zip(columns, *fitted, strict=True)]
        self._features = torch.zeros(0, 2**DEPTH - 1, dtype=torch.int32)
        self._thresholds = torch.zeros(0, 2**DEPTH - 1, dtype=torch.uint8)
        self._leaves = torch.zeros(0, 2**DEPTH)
        if min(len(real[0]), len(generated[0])) >= LEAST_ROWS:
            self._learn(fitted, held_out, seed)

    @property
    def trees(self) -> int:
        return len(self._leaves)

    def ratios(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        """``p_train / p_generated`` of every row, up to a common factor; float64 ``[n]``.

        Args:
            cells: Of the rows, ``[n]`` for each column.
        """
        numbers = torch.from_numpy(self._numbers(cells))
        scores = tree_scores(numbers, self._features, self._thresholds, self._leaves)
        return scores.double().exp().numpy()

    def _labelled(
        self, real: Sequence[np.ndarray], generated: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, labels and weights; both tables weigh the same, whatever their sizes."""
        rows = np.concatenate([self._numbers(real), self._numbers(generated)])
        labels = np.repeat([1, 0], [len(real[0]), len(generated[0])])
        return rows, labels, np.where(labels, len(generated[0]) / len(real[0]), 1.0)

    def _numbers(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        """What the trees know of the rows, uint8 ``[n, columns]``."""
        numbers = np.empty((len(cells[0]), len(cells)), np.uint8)
        for place, (of_column, known) in enumerate(zip(cells, self._places, strict=True)):
            numbers[:, place] = known[of_column]
        return numbers

    def _learn(self, fitted: _Pair, held_out: _Pair, seed: int) -> None:
        rows, labels, weights = self._labelled(*fitted)
        rows_held_out, labels_held_out, weights_held_out = self._labelled(*held_out)
        trees = HistGradientBoostingClassifier(
            learning_rate=LEARNING_RATE,
            max_iter=TREES,
            max_depth=DEPTH,
            l2_regularization=1.0,
            early_stopping=True,
            n_iter_no_change=PATIENCE,
            random_state=seed,
        ).fit(
            rows,
            labels,
            weights,
            X_val=rows_held_out,
            y_val=labels_held_out,
            sample_weight_val=weights_held_out,
        )
        # The trees past the best one were added to see whether they would improve on it. (Shap and
        # treelite read the trees from the same attribute.)
        best = int(np.argmax(trees.validation_score_))
        perfect = [_perfect(trees._predictors[place][0].nodes) for place in range(best)]
        if perfect:
            features, thresholds, leaves = zip(*perfect, strict=True)
            self._features = torch.from_numpy(np.stack(features))
            self._thresholds = torch.from_numpy(np.stack(thresholds))
            self._leaves = torch.from_numpy(np.stack(leaves))


def _places(column: Cells, real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The number by which trees know each cell of a column, uint8 ``[size]``.

    Cells with an order are numbered along it. The levels of a category are sorted by how much
    likelier they are among the training rows, in the order that a single split needs (Fisher
    1958). Where there are more cells than numbers, neighbours in the order share one.
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


def _perfect(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tree of scikit-learn's as a perfect one: features, thresholds, leaves, breadth first.

    Where a branch ends early, splits that send every row to the left fill it up.
    """
    features = np.zeros(2**DEPTH - 1, np.int32)
    thresholds = np.full(2**DEPTH - 1, 255, np.uint8)
    row = np.zeros(1, np.int64)
    for level in range(DEPTH):
        node = nodes[row]
        inner = node["is_leaf"] == 0
        here = slice(2**level - 1, 2 ** (level + 1) - 1)
        features[here] = np.where(inner, node["feature_idx"], 0)
        # Cells are whole numbers, thresholds stand between two of them.
        cuts = np.where(inner, np.floor(node["num_threshold"].clip(0, 255)), 255)
        thresholds[here] = cuts.astype(np.uint8)
        children = np.where(inner, node["left"], row), np.where(inner, node["right"], row)
        row = np.stack(children, 1).ravel().astype(np.int64)
    return features, thresholds, nodes[row]["value"].astype(np.float32)
