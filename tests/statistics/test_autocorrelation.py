"""Autocorrelation: values worked by hand, and means over sequences."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from sdv_wgangp.statistics import autocorrelation
from sdv_wgangp.statistics.autocorrelation import mean_autocorrelation, standardized


def test_examples():
    assert doctest.testmod(autocorrelation) == (0, 1)


def test_an_alternating_sequence():
    x = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    # Deviations are 1/2 of alternating sign: 6 - l of 6 products.
    found = mean_autocorrelation(x, np.array([6]), [1, 2, 3, 4])
    assert found[:3] == pytest.approx([-5 / 6, 4 / 6, -3 / 6])
    assert np.isnan(found[3])


def test_a_mean_is_over_sequences_and_not_over_rows():
    short, long = np.tile([1.0, -1.0], 2), np.repeat([1.0, -1.0], 500)
    values = np.concatenate([*[short] * 20, long])
    (found,) = mean_autocorrelation(values, np.array([4] * 20 + [1_000]), [1])
    # Of the long one 998 of 999 products are 1 / 1,000, and one is -1 / 1,000.
    assert found == pytest.approx((20 * -0.75 + 0.997) / 21)


def test_constants_and_missing_values_add_nothing():
    values = np.array([3.0, 3.0, 3.0, np.nan, 1.0, -1.0, np.nan, 1.0])
    unit, known = standardized(values, np.array([0] * 4 + [1] * 4), 2)
    assert known.tolist() == [False, True]
    assert unit[:4].tolist() == [0.0] * 4
    # The mean is 1/3, squares sum to 8/3; of three products one is of values that are both there.
    assert unit[6] == 0.0
    (found,) = mean_autocorrelation(values, np.array([4, 4]), [1], least=1)
    assert found == pytest.approx((2 / 3) * (-4 / 3) / (8 / 3))


def test_a_mean_of_few_sequences_is_none():
    values = np.tile([1.0, -1.0, 1.0, -1.0], 12)
    lengths = np.array([4] * 12)
    assert mean_autocorrelation(values, lengths, [1], least=13) == pytest.approx([-0.75])
    lengths = np.array([4] * 9 + [2] * 6)
    found = mean_autocorrelation(values, lengths, [1, 2])
    assert np.isfinite(found[0])
    assert np.isnan(found[1])
