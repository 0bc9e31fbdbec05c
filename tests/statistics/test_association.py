"""Cramer's V against SciPy's, and its bias correction."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest
from scipy.stats.contingency import association as scipy_association

from sdv_wgangp.statistics import association
from sdv_wgangp.statistics.association import bias_corrected_v, cramers_v, phi_squared


@pytest.mark.parametrize("levels", [(2, 2), (3, 7), (5, 4)])
def test_it_is_that_of_scipy(levels):
    random = np.random.default_rng(0)
    x = random.integers(0, levels[0], 500)
    y = (x + random.integers(0, 3, 500)) % levels[1]
    expected = scipy_association(pd.crosstab(x, y).to_numpy(), method="cramer")
    assert cramers_v(*phi_squared(10 * x - 4, y)) == pytest.approx(expected)


def test_cramers_v_of_a_known_table():
    # [[30, 10], [10, 50]]: chi2 / n = (30*50 - 10*10)^2 / (40 * 60 * 40 * 60)
    x = np.repeat([0, 0, 1, 1], [30, 10, 10, 50])
    y = np.repeat([0, 1, 0, 1], [30, 10, 10, 50])
    assert cramers_v(*phi_squared(x, y)) == pytest.approx(1_400 / 2_400)


def test_a_constant_has_none():
    x, y = np.arange(4), np.zeros(4)
    assert np.isnan(cramers_v(*phi_squared(x, y)))
    assert bias_corrected_v(np.array([0.0]), 4, 1, 4).tolist() == [0.0]


def test_of_independent_columns_the_corrected_one_is_smaller():
    random = np.random.default_rng(1)
    found = [phi_squared(*random.integers(0, 10, (2, 300))) for _ in range(50)]
    phi2, rows, columns = (np.array(part) for part in zip(*found, strict=True))
    assert cramers_v(phi2, rows, columns).mean() > 0.15
    assert bias_corrected_v(phi2, rows, columns, 300).mean() < 0.05


def test_examples():
    found = doctest.testmod(association)
    assert found.attempted
    assert not found.failed
