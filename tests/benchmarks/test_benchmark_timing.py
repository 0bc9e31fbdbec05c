"""How the benchmarks compare times, and their plots."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import timing
from speed_plot import Bar, Curves, log_log_plot, log_ticks, ratio_plot

SPACE = "{http://www.w3.org/2000/svg}"


def test_every_round_calls_everyone_in_an_order_drawn_anew():
    calls = []

    def way(name, seconds):
        def run():
            calls.append(name)
            return seconds, seconds / 2

        return run

    times = timing.alternate(
        {name: way(name, seconds) for name, seconds in (("a", 1.0), ("b", 3.0))},
        rounds=20,
        warm=1,
    )
    assert times["a"].shape == (20, 2)
    assert times["b"][7].tolist() == [3.0, 1.5]
    rounds = [tuple(calls[place : place + 2]) for place in range(2, 42, 2)]
    assert len(calls) == 42
    assert set(rounds) == {("a", "b"), ("b", "a")}
    with pytest.raises(ValueError, match="either seconds or rounds"):
        timing.alternate({}, seconds=1.0, rounds=1)


def test_seconds_give_a_least_number_of_rounds():
    times = timing.alternate({"a": lambda: (1.0, 1.0)}, seconds=0.0)
    assert len(times["a"]) == timing.LEAST_ROUNDS


def test_ratios_are_those_of_the_same_round():
    ours = np.array([[1.0, 1.0], [2.0, 1.0], [10.0, 1.0]])
    theirs = np.array([[2.0, 3.0], [6.0, 3.0], [40.0, 3.0]])
    wall, cpu = timing.ratios(theirs, ours)
    assert wall == (2.5, 3.0, 3.5)
    assert cpu == (3.0, 3.0, 3.0)
    assert timing.spread(wall) == "3.0 (2.5 - 3.5)"


def test_bars_are_met_or_missed():
    assert timing.bar_text(3.1, 3.0) == ">= 3 met"
    assert timing.bar_text(2.9, 3.0) == ">= 3 MISSED"
    assert timing.bar_text(1.9, 2.0, most=True) == "<= 2 met"
    assert timing.bar_text(2.1, 2.0, most=True) == "<= 2 MISSED"
    assert timing.bar_text(1.0, None) == ""


def test_cpu_time_is_measured_beside_the_clock():
    wall, cpu = timing.timed(lambda: sum(range(100_000)))
    assert cpu > 0
    assert wall > 0


def test_a_table_is_markdown():
    assert timing.markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_ticks_are_round_numbers_inside():
    assert log_ticks(0.9, 21) == pytest.approx([1, 2, 5, 10, 20])
    assert log_ticks(9, 60_000) == pytest.approx([10, 100, 1_000, 10_000])


def test_the_ratio_plot_marks_medians_quartiles_and_bars():
    svg = ratio_plot("title", "times", [Bar("x & y", (1.0, 2.0, 4.0), 8.0), Bar("z", (1, 1, 1))])
    root = ElementTree.fromstring(svg)
    texts = {text.text for text in root.iter(f"{SPACE}text")}
    assert {"title", "x & y", "z", "2"} <= texts
    circles = list(root.iter(f"{SPACE}circle"))
    assert len(circles) == 2
    assert float(circles[0].get("cx")) > float(circles[1].get("cx"))
    width = float(root.get("width"))
    for line in root.iter(f"{SPACE}line"):
        assert 0 < float(line.get("x1")) <= float(line.get("x2")) < width


def test_the_log_log_plot_has_straight_lines_for_powers():
    points = {"square": [(n, n**2) for n in (1, 10, 100)], "flat": [(1, 5), (100, 5)]}
    root = ElementTree.fromstring(log_log_plot("t", [Curves("p", "x", "y", points)] * 2))
    lines = list(root.iter(f"{SPACE}polyline"))
    assert len(lines) == 4
    (x0, y0), (x1, y1), (x2, y2) = (
        tuple(map(float, point.split(","))) for point in lines[0].get("points").split()
    )
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert y2 < y0
