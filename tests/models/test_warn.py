"""Warnings before what takes long, and none before what does not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.models.warn import warn_of_cost
from sdv_wgangp.training.settings import TrainingSettings


def warned(
    frame: pd.DataFrame, rows: int | None = None, many_numbers: int = 1_000, **settings
) -> list[str]:
    encoder, rows = TableEncoder().fit(frame), rows or len(frame)
    settings = TrainingSettings(**settings).for_rows(rows)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_cost(encoder, Layout.of(encoder), rows, settings, many_numbers=many_numbers)
    return [str(warning.message) for warning in caught]


def test_a_column_of_a_thousand_levels_is_not_slow():
    frame = pd.DataFrame({"word": np.arange(3000).astype(str), "x": np.arange(3000.0)})
    assert warned(frame) == []


def test_tens_of_thousands_of_levels_are_named():
    frame = pd.DataFrame({"agent": np.arange(21_000).astype(str), "kind": ["a", "b"] * 10_500})
    (message,) = warned(frame)
    assert "21,002 levels to learn, 21,000 of them in column 'agent'" in message
    assert "Declare" in message


def test_thousands_of_numbers():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 4))).rename(columns=str)
    assert warned(frame) == []
    (message,) = warned(frame, many_numbers=3)
    assert "4 columns of numbers or dates" in message


@pytest.mark.parametrize(("rows", "expected"), [(2_500_000, 0), (3_000_000, 1)])
def test_millions_of_steps(rows, expected):
    frame = pd.DataFrame({"x": np.arange(50.0)})
    messages = warned(frame, rows, epochs=200, batch_size=500)
    assert len(messages) == expected
    if messages:
        assert "200 epochs of 3,000,000 rows are 1,200,000 training steps" in messages[0]
        assert "or a larger batch_size" in messages[0]


def test_a_time_limit_answers_for_the_number_of_epochs():
    assert warned(pd.DataFrame({"x": np.arange(50.0)}), epochs=10_000, max_seconds=60) == []


def test_a_small_table_has_its_least_steps_too():
    (message,) = warned(pd.DataFrame({"x": np.arange(50.0)}), epochs=10_000)
    assert "10,000 epochs of 50 rows are 1,200,000 training steps: fewer epochs make" in message
