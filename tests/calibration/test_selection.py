"""Selection by weights: what the limit cuts off, and what rejection sampling keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdv_wgangp.calibration import selection
from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.calibration.selection import accepted


def limit_of(weights, counts=None):
    counts = np.ones(len(weights)) if counts is None else counts
    return selection.weight_limit(weights, counts, DEFAULT.max_weight)


@pytest.mark.parametrize(
    ("shape", "cut_off"),
    [(20.0, DEFAULT.fine_cut_off), (1.0, DEFAULT.max_cut_off)],
)
def test_the_limit_cuts_off_little(shape, cut_off):
    """Next to nothing where that takes few rows."""
    weights = np.random.default_rng(0).gamma(shape, size=10_000)
    cut = np.maximum(weights - limit_of(weights), 0).sum() / weights.sum()
    assert cut == pytest.approx(cut_off, rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "times"),
    [
        (np.random.default_rng(0).pareto(0.3, 10_000), DEFAULT.max_weight),
        (np.repeat([1.0, 1_000.0], [9_900, 100]), DEFAULT.max_weight),
        # .5 % of their sum is beyond three times the mean.
        (np.repeat([1.0, 12.0], [10_000, 6]), DEFAULT.fine_max_weight),
    ],
)
def test_the_limit_is_a_multiple_of_what_it_leaves(weights, times):
    limit = limit_of(weights)
    assert limit == pytest.approx(times * np.minimum(weights, limit).mean(), rel=1e-6)


def test_weights_alike_have_themselves_as_the_limit():
    assert limit_of(np.full(7, 3.0)) == pytest.approx(3, rel=0.002)


def test_a_weight_counts_for_all_rows_that_have_it():
    weights = np.random.default_rng(0).pareto(0.3, 1_000).round(2)
    distinct, counts = np.unique(weights, return_counts=True)
    assert limit_of(distinct, counts) == pytest.approx(limit_of(weights), rel=1e-9)
    # A weight of 0 is one, too.
    assert distinct[0] == 0


def test_rows_are_kept_in_proportion_to_their_weights_up_to_the_limit():
    weights = np.repeat([0.0, 0.5, 1.0, 2.0, 8.0], 10_000)
    kept = accepted(weights, 2.0, torch.Generator().manual_seed(0)).reshape(5, -1).mean(1)
    assert kept == pytest.approx([0, 0.25, 0.5, 1, 1], abs=0.02)
    assert kept[0] == 0
    assert kept[3:].tolist() == [1, 1]
