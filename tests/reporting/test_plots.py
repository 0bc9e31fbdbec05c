"""Figures: valid SVG, true to the numbers, safe for any name."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import plots


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    numbers = re.findall(r"nan|inf", re.sub(r">[^<]*<", "><", svg))
    assert not numbers
    return root


def titles(svg: str) -> list[str]:
    return [element.text for element in parsed(svg).iter("title")]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=500),
        np.random.default_rng(0).integers(0, 10_000, 500).astype(float),
        np.exp(np.random.default_rng(0).normal(0, 4, 500)),
        np.append(np.random.default_rng(0).normal(size=500), [1e9, np.nan]),
        np.full(30, 7.0),
        np.arange(26) * 1e-12,
        np.full(5, np.nan),
        np.array([]),
    ],
)
def test_any_numbers_can_be_drawn(values):
    parsed(plots.number_panel(values, values[::2], "x"))


def test_a_few_distinct_values_get_a_bar_each_with_their_share():
    real, synthetic = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0, 1.0, np.nan])
    assert titles(plots.number_panel(real, synthetic, "x")) == [
        "0: 50.0 % of real rows",
        "0: 25.0 % of synthetic rows",
        "1: 25.0 % of real rows",
        "1: 75.0 % of synthetic rows",
        "2: 25.0 % of real rows",
        "2: 0.0 % of synthetic rows",
    ]


def test_axes_say_when_they_are_logarithmic_or_cut():
    rng = np.random.default_rng(0)
    wide = np.exp(rng.normal(0, 3, 1_000))
    assert "logarithmic axis" in plots.number_panel(wide, wide, "x")
    outlier = np.append(rng.normal(size=1_000), -500.0)
    assert "tails gathered" in plots.number_panel(outlier, outlier, "x")
    plain = rng.uniform(size=1_000)
    figure = plots.number_panel(plain, plain, "x")
    assert "logarithmic" not in figure
    assert "tails" not in figure


@pytest.mark.parametrize(
    ("days", "form"), [(3_000, r"\d{4}"), (400, r"\w{3} \d{4}"), (20, r"\d\d")]
)
def test_datetimes_are_labelled_as_such(days, form):
    start = pd.Timestamp("2020-01-01").value
    values = start + np.arange(50) / 50 * days * 86_400e9
    figure = plots.number_panel(values, values, "when", is_datetime=True)
    labels = [
        text.text for text in parsed(figure).iter("text") if text.get("text-anchor") == "middle"
    ]
    assert len(labels) == 4
    assert all(re.match(form, label) for label in labels)


def test_levels_beyond_the_eighth_are_added_up():
    real = pd.Series([f"level {k}" for k in range(12) for _ in range(12 - k)])
    found = titles(plots.category_panel(real, real, "kind"))
    assert "level 0: 15.4 % of real rows" in found  # 12 of 78
    others = 100 * sum(range(1, 6)) / 78
    assert f"5 others: {others:.1f} % of synthetic rows" in found


def test_levels_that_only_the_synthetic_rows_have_are_shown():
    found = titles(plots.category_panel(pd.Series(["a"]), pd.Series(["b", None]), "kind"))
    assert "b: 0.0 % of real rows" in found
    assert "b: 100.0 % of synthetic rows" in found


def test_names_cannot_break_out_of_the_figure():
    evil = '</svg><script>alert("x")</script>&'
    for figure in (
        plots.number_panel(np.arange(3.0), np.arange(3.0), evil),
        plots.category_panel(pd.Series([evil]), pd.Series([evil]), evil),
        plots.heat_map(np.zeros((2, 2)), [evil, "b"], evil, 1.0),
        plots.bars([(evil, 0.1)], evil),
        plots.curves(np.arange(3.0), {evil: np.arange(3.0)}, evil),
    ):
        parsed(figure)
        assert "<script" not in figure


def test_heat_map_tells_its_values_and_undefined_ones():
    values = np.array([[1.0, 0.5, np.nan], [0.5, 1.0, -0.25], [np.nan, -0.25, 1.0]])
    found = titles(plots.heat_map(values, ["a", "b", "c"], "pairs", 1.0))
    assert len(found) == 6
    assert "a, b: +0.500" in found
    assert "c, b: -0.250" in found
    assert "a, c: undefined" in found


def test_colours_are_white_at_zero_and_saturated_at_the_end():
    assert plots.diverging(0.0, 1.0) == plots.diverging(-0.0, 1.0) == "#fcfcfb"
    assert plots.diverging(2.0, 1.0) == plots.diverging(1.0, 1.0)
    assert plots.diverging(1.0, 1.0) != plots.diverging(-1.0, 1.0)


def test_long_curves_are_averaged_and_survive_gaps():
    steps = np.arange(20_000.0)
    losses = np.where(steps % 1_000 < 40, np.nan, steps)
    figure = parsed(plots.curves(steps, {"loss": losses}, "epoch"))
    (line,) = figure.iter("polyline")
    assert 0 < len(line.get("points").split()) <= 500
    parsed(plots.curves(np.arange(2.0), {"loss": np.full(2, np.nan)}, "epoch"))
    parsed(plots.curves(np.arange(1.0), {"loss": np.zeros(1)}, "epoch"))


def test_ticks_are_round_and_inside():
    assert plots.ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert plots.ticks(0.13, 0.97, 4) == [0.2, 0.4, 0.6, 0.8]
    assert plots.ticks(3, 3) == [3]
    low, high = -1.7e12, 2.9e12
    assert all(low <= tick <= high for tick in plots.ticks(low, high))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1952, "1952"),
        (12_345, "12.3k"),
        (3.4e6, "3.4M"),
        (-2e9, "-2B"),
        (1e-5, "1.0e-05"),
    ],
)
def test_numbers_are_short(value, text):
    assert plots.number(value) == text


def test_shortening_keeps_both_ends():
    assert plots.shortened("short", 10) == "short"
    result = plots.shortened("a rather long category name 7", 16)
    assert len(result) == 16
    assert result.startswith("a rather")
    assert result.endswith("ame 7")
