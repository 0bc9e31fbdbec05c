"""Choosing among rows made for conditions: against distributions that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.conditional import (
    ConditionalCalibration,
)
from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.calibration.values import ValueCalibration
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder

ROWS = 20_000
# Of `y` for each value of `a`; what the generator of the tests makes is the same for all.
TRUTH = np.array([[0.6, 0.25, 0.15], [0.2, 0.3, 0.5]])
MADE = np.array([0.4, 0.3, 0.3])


@pytest.fixture(scope="module")
def encoder():
    random = np.random.default_rng(2)
    levels = {"a": list("pq"), "y": list("xyz"), "z": list("st")}
    frame = pd.DataFrame({name: random.choice(of, 200) for name, of in levels.items()})
    return TableEncoder().fit(frame)


def codes(random, a: np.ndarray) -> np.ndarray:
    """The truth: `y` given `a`; `z` is `a`."""
    y = (random.random((len(a), 1)) > TRUTH[a].cumsum(1)).sum(1)
    return np.stack([a, y, a], 1)


def table(rows: np.ndarray) -> EncodedTable:
    return EncodedTable(torch.from_numpy(rows.astype(np.int32)), torch.zeros(len(rows), 0))


@pytest.fixture
def calibration(encoder):
    random = np.random.default_rng(0)
    reference = codes(random, (random.random(ROWS) < 0.3).astype(int))

    columns = Cells.all_of(encoder)
    return ConditionalCalibration(columns, ValueCalibration([]), table(reference))


class Made:
    """A generator that knows nothing of what `y` depends on; counts what it makes."""

    def __init__(self, **fixed: int):
        self.fixed, self.random, self.made = fixed, np.random.default_rng(1), 0

    def __call__(self, rows: int) -> EncodedTable:
        self.made += rows
        a = self.random.integers(0, 2, rows)
        a[:] = self.fixed.get("a", a)
        z = np.where(self.random.random(rows) < 0.9, a, 1 - a)
        z[:] = self.fixed.get("z", z)
        return table(np.stack([a, self.random.choice(3, rows, p=MADE), z], 1))


def allowed(**codes) -> dict[int, np.ndarray]:
    return {"ayz".index(name): np.atleast_1d(code) for name, code in codes.items()}


def chosen(calibration, rows, given, generate, random) -> EncodedTable:
    return calibration.choose(generate(calibration.candidates(rows)), rows, given, random)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("a", [0, 1])
def test_marginals_are_those_of_reference_rows_that_meet_the_condition(calibration, a):
    generate = Made(a=a)
    drawn = chosen(calibration, 3000, allowed(a=a), generate, seeded()).codes.numpy()
    assert generate.made == DEFAULT.candidates * 3000
    assert (drawn[:, 0] == a).all()
    # No level can be had more than twice as often as it is made.
    shares = np.bincount(drawn[:, 1], minlength=3) / 3000
    np.testing.assert_allclose(shares, TRUTH[a], atol=0.03)
    assert (drawn[:, 2] == a).mean() > 0.95


def test_a_column_that_may_have_several_codes_is_raked_too(calibration):
    """As where a column that follows from it is given: here 0.3 of the reference has a = 1."""
    drawn = chosen(calibration, 3000, allowed(a=[0, 1]), Made(), seeded()).codes.numpy()
    assert drawn[:, 0].mean() == pytest.approx(0.3, abs=0.02)
    both = chosen(calibration, 3000, allowed(a=[0, 1], y=[2]), Made(), seeded()).codes.numpy()
    share = 0.3 * TRUTH[1, 2] / (0.3 * TRUTH[1, 2] + 0.7 * TRUTH[0, 2])
    assert both[:, 0].mean() == pytest.approx(share, abs=0.03)


def test_a_single_row_is_chosen_among_many(calibration):
    generate, random = Made(a=0), seeded()
    ys = [
        int(chosen(calibration, 1, allowed(a=0), generate, random).codes[0, 1]) for _ in range(600)
    ]
    assert generate.made == 600 * DEFAULT.min_candidates
    np.testing.assert_allclose(np.bincount(ys, minlength=3) / 600, TRUTH[0], atol=0.07)


def test_conditions_that_no_reference_row_meets_leave_rows_as_they_are_made(calibration):
    drawn = chosen(calibration, 5000, allowed(a=0, z=1), Made(a=0, z=1), seeded()).codes.numpy()
    np.testing.assert_allclose(np.bincount(drawn[:, 1]) / 5000, MADE, atol=0.03)


def test_no_rows(calibration):
    assert len(chosen(calibration, 0, allowed(a=0), Made(a=0), seeded())) == 0
