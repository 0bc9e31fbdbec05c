"""The density ratio: what the trees learn, and that theirs are scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from sdv_wgangp.calibration.cells import MOST, Cells
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.ratio import fit_density_ratio, perfect_tree, tree_numbers
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.ops import tree_scores

ROWS = 6_000


def pair(x, y):
    return pd.DataFrame({"x": x, "y": y})


def normal(rows, seed, correlation=0.0, shift=0.0):
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    y = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=rows)
    return pair(x + shift, y).clip(-3, 3)


class Fitted:
    """A density ratio with its encoder: log ratios of frames."""

    def __init__(self, real, generated, seed=0, **options):
        self.encoder = TableEncoder().fit(pd.concat([real, generated]))
        self.columns = Cells.all_of(self.encoder)
        self.ratio = fit_density_ratio(
            self.columns,
            self.cells(real),
            self.cells(generated),
            int(torch.randint(2**31, (), generator=torch.Generator().manual_seed(seed))),
            CalibrationOptions(**options),
        )

    def cells(self, frame):
        table = self.encoder.encode(frame, np.random.default_rng(0))
        return [column.of(table) for column in self.columns]

    def log_ratios(self, frame):
        logs = np.log(self.ratio.ratios(self.cells(frame)))
        return logs - logs.mean()


def test_it_finds_the_ratio_of_two_normal_distributions():
    model = Fitted(normal(ROWS, 0), normal(4 * ROWS, 1, shift=0.5))
    fresh = normal(2_000, 2)
    truth = -0.5 * fresh["x"]
    found = model.log_ratios(fresh)
    assert np.corrcoef(found, truth)[0, 1] > 0.9
    assert np.polyfit(truth, found, 1)[0] == pytest.approx(1, abs=0.2)


def test_it_sees_dependence_where_the_marginals_agree():
    model = Fitted(normal(ROWS, 0, correlation=0.8), normal(4 * ROWS, 1))
    fresh = normal(2_000, 2)
    found = model.log_ratios(fresh)
    truth = (0.8 * fresh["x"] * fresh["y"] - 0.32 * (fresh["x"] ** 2 + fresh["y"] ** 2)) / 0.36
    assert np.corrcoef(found, truth)[0, 1] > 0.85


def test_no_difference_no_ratio():
    model = Fitted(normal(ROWS, 0), normal(4 * ROWS, 1))
    assert np.std(model.log_ratios(normal(2_000, 2))) < 0.15


def test_many_levels_do_not_look_like_a_difference():
    """The order of the levels is not learned from the rows that say when to stop."""
    random = np.random.default_rng(0)
    frames = [
        normal(rows, seed).assign(level=random.integers(0, 3_000, rows).astype(str))
        for seed, rows in enumerate((ROWS, 4 * ROWS))
    ]
    model = Fitted(*frames)
    assert model.ratio.trees == 0


def test_too_few_rows_say_nothing():
    model = Fitted(normal(DEFAULT.min_tree_rows - 1, 0), normal(ROWS, 1, shift=2))
    assert model.ratio.trees == 0
    assert (model.ratio.ratios(model.cells(normal(10, 2))) == 1).all()


@pytest.mark.parametrize("depth", [1, 3])
def test_trees_are_as_many_and_as_deep_as_the_options_say(depth):
    real, generated = normal(ROWS, 0), normal(4 * ROWS, 1, shift=1)
    few = Fitted(real, generated, trees=4, depth=depth).ratio
    assert few.trees == 4
    assert few.leaves.shape == (4, 2**depth)
    assert Fitted(real, generated, trees=0).ratio.trees == 0
    assert Fitted(real, generated, min_tree_rows=ROWS + 1).ratio.trees == 0


def test_it_repeats():
    ratios = []
    for _ in range(2):
        model = Fitted(normal(ROWS, 0), normal(2 * ROWS, 1, shift=0.3), seed=5)
        ratios.append(model.log_ratios(normal(500, 2)))
    assert np.array_equal(*ratios)


def test_the_trees_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    cells = random.integers(0, MOST, (3_000, 4)).astype(np.uint8)
    labels = (cells[:, 0] > 100) ^ (cells[:, 2] > 30) ^ (random.random(3_000) < 0.1)
    trees = HistGradientBoostingClassifier(max_depth=DEFAULT.depth, max_iter=30)
    trees.fit(cells, labels)
    perfect = [perfect_tree(stage[0].nodes, DEFAULT.depth) for stage in trees._predictors]
    features, thresholds, leaves = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*perfect, strict=True)
    )
    ours = tree_scores(torch.from_numpy(cells), features, thresholds, leaves).numpy()
    theirs = trees.decision_function(cells)
    offset = theirs - ours
    assert np.ptp(offset) < 1e-4
    assert np.std(ours) > 0.5


def test_levels_are_sorted_by_their_ratio():
    frame = pd.DataFrame({"kind": np.repeat(list("abcd"), 250)})
    encoder = TableEncoder(["kind"]).fit(frame)
    (column,) = Cells.all_of(encoder)
    # Among the generated rows "a" is missing and "d" too frequent.
    generated = pd.DataFrame({"kind": np.repeat(["b", "c", "d", "d"], 250)})
    real, made = (column.of(encoder.encode(rows)) for rows in (frame, generated))
    places = dict(zip(frame["kind"], tree_numbers(column, real, made)[real], strict=True))
    assert places["d"] < places["b"] < places["a"]


def test_many_levels_have_numbers_in_common():
    frame = pd.DataFrame({"wide": [f"v{number % 500}" for number in range(1_000)]})
    encoder = TableEncoder(["wide"]).fit(frame)
    (column,) = Cells.all_of(encoder)
    cells = column.of(encoder.encode(frame))
    places = tree_numbers(column, cells, cells)
    assert len(set(cells)) == 500
    assert len(set(places)) == MOST
    assert np.bincount(places).max() == 2
