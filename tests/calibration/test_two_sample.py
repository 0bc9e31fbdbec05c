"""The classifier two-sample test: areas of the folds, and that each is scored by the others."""

from __future__ import annotations

import numpy as np
import pytest

from sdv_wgangp.calibration.two_sample import fold_areas


def nearest(rows, is_real):
    """Whether the nearest of the rows that were learned is real."""

    def probability(others):
        return is_real[np.abs(others - rows.T).argmin(1)].astype(float)

    return probability


def test_rows_that_differ_are_told_and_those_that_do_not_are_guessed():
    random = np.random.default_rng(0)
    is_real = np.arange(2_000) < 1_000
    alike = random.normal(size=(2_000, 1))
    assert np.mean(fold_areas(alike, is_real, nearest, 3, 0)) == pytest.approx(0.5, abs=0.04)
    apart = alike + 10 * is_real[:, None]
    assert fold_areas(apart, is_real, nearest, 3, 0) == [1.0] * 3


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

    assert len(fold_areas(rows, is_real, fit, 3, 0)) == 3
    assert sorted(scored) == rows[:, 0].tolist()
