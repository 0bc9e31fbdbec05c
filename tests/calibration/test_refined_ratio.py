"""The second stage of the density ratio sees what the first has kept."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.calibration import ratio
from sdv_wgangp.calibration.cells import Cells, cells_of
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.ratio import RefinedRatio, fit_refined_ratio
from sdv_wgangp.calibration.selection import weight_limit
from sdv_wgangp.encoding.table import TableEncoder

ROWS = 3_000
# Columns of which one row of 24 of the generator is like the table in all.
GATES = 5


def table(rows: int, seed: int, gate: float, correlation: float) -> pd.DataFrame:
    """Columns of which a fraction `gate` is 1, and two that correlate."""
    random = np.random.default_rng(seed)
    x, noise = random.normal(size=(2, rows))
    frame = pd.DataFrame({"x": x, "y": correlation * x + (1 - correlation**2) ** 0.5 * noise})
    for name in range(GATES):
        frame[f"gate {name}"] = (random.random(rows) < gate).astype(float)
    return frame.clip(-3, 3)


class Source:
    """Cells of the table and of a generator that meets all gates seldom."""

    def __init__(self, gate: float = 0.53, correlation: float = 0.0):
        self.real = table(ROWS, 0, 1.0, 0.8)
        self.wrong = partial(table, gate=gate, correlation=correlation)
        self.encoder = TableEncoder().fit(pd.concat([self.real, self.wrong(ROWS, 1)]))
        self.columns = Cells.all_of(self.encoder)
        self.asked: list[int] = []

    def cells(self, frame: pd.DataFrame) -> list[np.ndarray]:
        encoded = self.encoder.encode(frame, np.random.default_rng(0))
        return cells_of(self.columns, encoded)

    def generate(self, rows: int) -> list[np.ndarray]:
        self.asked.append(rows)
        return self.cells(self.wrong(rows, 100 + len(self.asked)))

    def ratio(self, **changed) -> RefinedRatio:
        sizes = {"rows": 4 * ROWS, "most": 2**19, "at_once": 2**17} | changed
        return fit_refined_ratio(
            self.columns,
            self.cells(self.real),
            self.generate,
            torch.Generator().manual_seed(0),
            partial(weight_limit, most=24),
            **sizes,
        )


def test_the_second_stage_knows_more_of_the_rows_that_are_kept():
    source = Source()
    refined = source.ratio()
    first = refined.stages[0]
    assert refined.trees > first.trees > 0
    fresh = table(20_000, 7, 1.0, 0.8)
    truth = (0.8 * fresh["x"] * fresh["y"] - 0.32 * (fresh["x"] ** 2 + fresh["y"] ** 2)) / 0.36
    cells = source.cells(fresh)
    errors = [(np.log(each.ratios(cells)) - truth).std() for each in (first, refined)]
    assert errors[1] < 0.8 * errors[0]


def test_ratios_are_the_product_of_the_stages_up_to_the_limit_between_them():
    source = Source()
    refined = source.ratio()
    first, second = refined.stages
    (between,) = refined.limits
    cells = source.cells(table(5_000, 7, 0.9, 0.8))
    expected = np.minimum(first.ratios(cells), between) * second.ratios(cells)
    assert (first.ratios(cells) > between).any()
    np.testing.assert_array_equal(refined.ratios(cells), expected)


def test_rows_are_made_until_enough_are_kept_and_no_more_than_may_be():
    source = Source()
    source.ratio()
    first, *others = source.asked
    assert (first, others[0]) == (4 * ROWS, DEFAULT.first_rows)
    assert max(others) <= 2**17
    # One of 24 is kept at least, one of (1 / .53)^5 = 23.9 would be like the table.
    assert 12 * 4 * ROWS < sum(others) < 30 * 4 * ROWS
    source.asked.clear()
    source.ratio(most=2**16 + 5_000)
    assert source.asked == [4 * ROWS, 2**16, 5_000]


def test_both_stages_hold_the_same_training_rows_out(monkeypatch):
    """As many as are held out of each; `grow_trees` gets the training rows first."""
    stopped_by = []

    def grow_trees(fitted, held_out, seed, options, grow=ratio.grow_trees):
        rows, labels, _ = held_out
        stopped_by.append(rows[labels == 1])
        return grow(fitted, held_out, seed, options)

    monkeypatch.setattr(ratio, "grow_trees", grow_trees)
    Source().ratio()
    first, second = stopped_by
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("stages", [1, 3])
def test_there_are_as_many_stages_as_the_options_say(stages):
    few = CalibrationOptions(stages=stages, trees=3)
    assert len(Source().ratio(options=few).stages) == stages


def test_a_stage_that_learns_nothing_is_left_out(monkeypatch):
    source = Source()
    grown = []

    def grow_once(fitted, held_out, seed, options, grow=ratio.grow_trees):
        grown.append([] if grown else grow(fitted, held_out, seed, options))
        return grown[-1]

    monkeypatch.setattr(ratio, "grow_trees", grow_once)
    refined = source.ratio()
    assert len(grown) == 2
    assert (len(refined.stages), len(refined.limits)) == (1, 0)
    cells = source.cells(source.real)
    np.testing.assert_array_equal(refined.ratios(cells), refined.stages[0].ratios(cells))


@pytest.mark.parametrize("rows", [1, 400])
def test_few_training_rows_have_no_trees_and_ask_for_no_more(rows):
    source = Source()
    source.real = source.real[:rows]
    refined = source.ratio(rows=4 * rows)
    assert refined.trees == 0
    assert source.asked == [4 * rows]


def test_generators_may_give_fewer_rows_than_asked_for():
    source = Source()
    generate = source.generate
    source.generate = lambda rows: [of_column[:-1] for of_column in generate(rows)]
    assert len(source.ratio().stages) == 2


def test_what_cannot_be_told_apart_has_one_stage():
    source = Source()
    refined = source.ratio(options=CalibrationOptions(trees=0))
    assert source.asked == [4 * ROWS]
    assert (refined.ratios(source.cells(source.real)) == 1).all()
