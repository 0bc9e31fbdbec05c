"""Scores of boosted trees, against scikit-learn's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import ThreadpoolController

from operator_cases.case import Case, Options, Rival, relative_error
from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

BAR = 5.0


@dataclass(frozen=True)
class Sizes:
    """Rows, columns, trees, depth; and how many rows the trees learn from."""

    ensembles: tuple[tuple[int, int, int, int], ...] = (
        (100_000, 20, 100, 5),
        (100_000, 20, 500, 5),
        (100_000, 50, 100, 6),
    )
    training_rows: int = 3_000


QUICK = Sizes(ensembles=((70, 3, 4, 5),), training_rows=150)


def _bytes(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)


def fitted(rows: int, columns: int, trees: int, depth: int) -> HistGradientBoostingRegressor:
    """Trees that have much to learn: all columns count, and some of their products."""
    cells = _bytes(rows, columns, 1).astype(np.float64)
    random = np.random.default_rng(2)
    target = cells @ random.normal(size=columns) + cells[:, 0] * cells[:, 1] / 50
    model = HistGradientBoostingRegressor(
        max_iter=trees, max_depth=depth, max_leaf_nodes=2**depth, min_samples_leaf=5,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    return model.fit(cells, target + 50 * random.normal(size=rows))


def perfect_trees(
    model: HistGradientBoostingRegressor, depth: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A model's trees as `tree_scores` takes them: features, thresholds and leaves.

    A leaf above the last level is there as a subtree of nodes that send every row to the left.
    """
    ensemble = [tree.nodes for (tree,) in model._predictors]
    inner = 2**depth - 1
    features = np.zeros((len(ensemble), inner), np.int32)
    thresholds = np.full((len(ensemble), inner), 255, np.uint8)
    leaves = np.zeros((len(ensemble), inner + 1), np.float32)

    def place(tree: int, given: int, node: int) -> None:
        known = ensemble[tree][given]
        if node >= inner:
            leaves[tree, node - inner] = known["value"]
        elif known["is_leaf"]:
            place(tree, given, 2 * node + 1)
        else:
            features[tree, node] = known["feature_idx"]
            thresholds[tree, node] = np.floor(known["num_threshold"])
            place(tree, known["left"], 2 * node + 1)
            place(tree, known["right"], 2 * node + 2)

    for tree in range(len(ensemble)):
        place(tree, 0, 0)
    return tuple(torch.from_numpy(part) for part in (features, thresholds, leaves))


def cases(options: Options) -> Iterator[Case]:
    """Of rows of bytes; scikit-learn is given them as the floats that it takes."""
    sizes = QUICK if options.quick else Sizes()
    for rows, columns, count, depth in sizes.ensembles:
        model = fitted(sizes.training_rows, columns, count, depth)
        cells = _bytes(rows, columns, 0)
        numbers = cells.astype(np.float64)
        given = tuple(
            part.to(options.device)
            for part in (torch.from_numpy(cells), *perfect_trees(model, depth))
        )
        pools = ThreadpoolController()

        def predict(model=model, numbers=numbers, pools=pools):
            with pools.limit(limits=torch.get_num_threads(), user_api="openmp"):
                return model.predict(numbers)

        found = ops.tree_scores(*given)
        start = float(model._baseline_prediction.item())
        yield Case(
            "tree_scores",
            f"{rows:,} x {columns}, {count} trees of depth {depth}",
            lambda given=given: ops.tree_scores(*given),
            (
                Rival(
                    "scikit-learn, on the CPU",
                    predict,
                    error=relative_error(found.cpu(), torch.from_numpy(predict() - start)),
                    bar=BAR,
                ),
                Rival(
                    "all rows level by level",
                    lambda given=given: reference("tree_scores")(*given),
                    error=relative_error(found, reference("tree_scores")(*given)),
                ),
            ),
        )


CASES = {"tree_scores": (cases,)}
