"""The classifier two-sample test: areas of the folds, and that each is scored by the others."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from sdv_wgangp.statistics import two_sample
from sdv_wgangp.statistics.two_sample import cross_fitted


def areas(rows, is_real, fit):
    return [fold.area for fold in cross_fitted(rows, is_real, fit, 3, seed=0)]


def nearest(rows, is_real):
    """Whether the nearest of the rows that were learned is real."""

    def probability(others):
        return is_real[np.abs(others - rows.T).argmin(1)].astype(float)

    return probability


def test_rows_that_differ_are_told_and_those_that_do_not_are_guessed():
    random = np.random.default_rng(0)
    is_real = np.arange(2_000) < 1_000
    alike = random.normal(size=(2_000, 1))
    assert np.mean(areas(alike, is_real, nearest)) == pytest.approx(0.5, abs=0.04)
    apart = alike + 10 * is_real[:, None]
    assert areas(apart, is_real, nearest) == [1.0] * 3


def test_every_row_is_scored_once_by_what_has_not_seen_it():
    rows = np.arange(90.0)[:, None]
    is_real, scored = rows[:, 0] % 2 == 0, []

    def fit(learned, flags):
        assert flags.sum() == 30

        def probability(others):
            assert not set(others[:, 0]) & set(learned[:, 0])
            scored.extend(others[:, 0])
            return others[:, 0]

        return probability

    assert len(areas(rows, is_real, fit)) == 3
    assert sorted(scored) == rows[:, 0].tolist()


def test_groups_are_whole_and_folds_have_as_many_of_either_kind():
    groups = np.repeat(np.arange(18), 5)
    rows, is_real, scored = groups[:, None].astype(float), groups < 9, []

    def fit(learned, flags):
        # Six of nine groups of each kind are learned from.
        assert (flags.sum(), (~flags).sum()) == (30, 30)

        def probability(others):
            assert not set(others[:, 0]) & set(learned[:, 0])
            scored.extend(others[:, 0])
            return others[:, 0]

        return probability

    found = list(cross_fitted(rows, is_real, fit, 3, 0, groups))
    assert sorted(scored) == rows[:, 0].tolist()
    assert [fold.area for fold in found] == [0.0] * 3


def test_examples():
    assert doctest.testmod(two_sample) == (0, 3)
