"""Figures of the page: valid, true to the numbers, whole for any name and any numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import columns, figures, formats, pairs
from sdv_wgangp.reporting.data import Associations, Bars, Distances, Histogram, Losses, Telling

EVIL = '</svg><script>alert("x")</script>&'


def parsed(html: str) -> ElementTree.Element:
    root = ElementTree.fromstring(f"<div>{html.replace('&ndash;', '-')}</div>")
    assert not re.findall(r"\b(nan|inf)\b", re.sub(r">[^<]*<", "><", html))
    return root


def texts(html: str, tag: str) -> list[str]:
    return ["".join(element.itertext()) for element in parsed(html).iter(tag)]


def drawn(real, synthetic, sdtype="numerical"):
    return columns.figure(pd.Series(real, name="x"), pd.Series(synthetic, name="x"), sdtype)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=500),
        np.random.default_rng(0).integers(0, 10_000, 500).astype(float),
        np.exp(np.random.default_rng(0).normal(0, 4, 500)),
        np.append(np.random.default_rng(0).normal(size=500), [1e9, np.nan, np.inf]),
        np.full(30, 7.0),
        np.arange(60) * 1e-12,
        -np.arange(60.0) - 1e15,
    ],
)
def test_any_numbers_can_be_drawn(values):
    figure = drawn(values, values[::2])
    draw = figures.bars if isinstance(figure, Bars) else figures.histogram
    parsed(draw(figure, "x"))
    assert sum(figure.real) == pytest.approx(1)
    assert sum(figure.synthetic) == pytest.approx(1)
    if isinstance(figure, Histogram):
        assert np.all(np.diff(figure.edges) > 0)


def test_too_few_numbers_are_not_drawn():
    assert drawn(np.arange(19.0), np.arange(19.0)) is None
    assert drawn([np.nan] * 50, np.arange(50.0)) is None
    assert drawn(np.arange(100.0), [np.nan] * 50).synthetic[0] == 0


def test_a_few_distinct_values_get_a_bar_each_and_rare_ones_share_one():
    real, synthetic = [0.0] * 60 + [1.0] * 30 + [2.0] * 10, [0.0] * 25 + [1.0] * 75 + [None] * 4
    figure = drawn(real, synthetic)
    assert figure == Bars(("0", "1", "2"), (0.6, 0.3, 0.1), (0.25, 0.75, 0.0), 0)
    figure = drawn([*real, 77.0, 78.0], [*synthetic, 77.0])
    assert figure.labels == ("0", "1", "2", "other")
    assert figure.others == 2
    assert figure.real[-1] == pytest.approx(2 / 102)
    assert "other (2 levels)" in texts(figures.bars(figure, "x"), "th")


def test_axes_say_when_they_are_logarithmic_or_cut():
    rng = np.random.default_rng(0)
    wide = np.exp(rng.normal(0, 3, 1_000))
    figure = drawn(wide, wide)
    assert figure.axis == "log"
    assert "logarithmic axis, tails gathered" in figures.histogram(figure, "x")
    plain = np.repeat(np.linspace(0, 1, 100), 10)
    figure = drawn(plain, plain)
    assert (figure.axis, figure.gathered) == ("linear", False)
    assert "gathered" not in figures.histogram(figure, "x")


def test_edges_are_round_numbers_with_ten_real_rows_beyond():
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(50, 10, 5_000), [123_456.789, -98_765.4321])
    edges = np.array(drawn(values, values).edges)
    assert np.array_equal(edges, np.round(edges))
    assert edges[-1] < 100
    assert edges[0] > 0
    fractions = columns.fractions_of(values, edges)
    assert fractions[0] * len(values) >= 10
    assert fractions[-1] * len(values) >= 10


@pytest.mark.parametrize(
    ("days", "form"), [(3_000, r"\d{4}$"), (400, r"\d{4}-\d\d$"), (20, r"\d\d-\d\d$")]
)
def test_datetimes_are_labelled_as_such(days, form):
    start = pd.Timestamp("2020-01-01")
    values = start + pd.to_timedelta(np.arange(500) / 500 * days, "D")
    figure = drawn(values, values, "datetime")
    assert figure.axis == "datetime"
    labels = texts(figures.histogram(figure, "when"), "text")
    labels = [label for label in labels if "%" not in label]
    assert len(labels) >= 3
    assert all(re.match(form, label) for label in labels)


def test_levels_beyond_the_eleventh_are_added_up():
    real = pd.Series([f"level {k:02d}" for k in range(15) for _ in range(30 - k)])
    figure = columns.figure(real, real, "categorical")
    assert len(figure.labels) == 12
    assert figure.labels[0] == "level 00"
    assert figure.others == 4
    assert sum(figure.real) == pytest.approx(1)


def test_text_stays_inside_the_figure():
    """In a font whose letters are wider than usual, too; names stand in tables and wrap."""
    rng = np.random.default_rng(0)
    values = -np.exp(rng.normal(10, 1, 2_000))
    html = figures.histogram(drawn(values, values), "a name that is rather long for a figure")
    svg = next(parsed(html).iter("svg"))
    width = float(svg.get("viewBox").split()[2])
    for text in svg.iter("text"):
        wide = figures.GLYPH * len(text.text)
        x = float(text.get("x"))
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[text.get("text-anchor")]
        assert left >= -0.1
        assert left + wide <= width + 0.1


def test_names_cannot_break_out_of_a_figure():
    number = pd.Series(np.random.default_rng(0).normal(size=200), name=EVIL)
    level = pd.Series([EVIL, "b"] * 100, name=EVIL + "2")
    table = pd.DataFrame({EVIL: number, EVIL + "2": level, "n": number})
    kinds = {EVIL: "numerical", EVIL + "2": "categorical", "n": "numerical"}
    cells = pairs.figure(
        table.assign(c=level), table.assign(c=level), kinds | {"c": "categorical"}, EVIL + "2", "c"
    )
    for html in (
        figures.histogram(columns.figure(number, number, "numerical"), EVIL),
        figures.bars(columns.figure(level, level, "categorical"), EVIL),
        figures.scatter(pairs.figure(table, table, kinds, EVIL, "n"), EVIL, "n"),
        figures.boxes(pairs.figure(table, table, kinds, EVIL, EVIL + "2"), EVIL),
        figures.cells(cells, EVIL, EVIL),
        figures.associations(
            Associations((EVIL, "b"), ((0, 1), (1, 0)), ((0, 1), (1, 0))), "real"
        ),
        figures.telling([Telling(EVIL, 0.1)]),
        figures.losses(Losses((0.0, 1.0), {EVIL: (1.0, None)})),
    ):
        parsed(html)
        assert "<script" not in html


def test_a_map_tells_its_values_as_cells():
    found = Associations(
        ("a", "b", "c"),
        ((None, 0.5, None), (0.5, None, -0.25), (None, -0.25, None)),
        ((None, 0.75, None), (0.75, None, -0.254), (None, -0.254, None)),
    )
    assert texts(figures.associations(found, "real"), "td")[1:] == [
        *("", ".50", "-"),
        *(".50", "", "-.25"),
        *("-", "-.25", ""),
    ]
    assert ".25" in texts(figures.associations(found, "difference"), "td")
    assert "0" in texts(figures.associations(found, "difference"), "td")


def test_curves_skip_gaps_and_survive_having_none():
    html = figures.losses(Losses((0.0, 1.0, 2.0), {"loss": (1.0, None, 3.0)}))
    (line,) = parsed(html).iter("polyline")
    assert len(line.get("points").split()) == 2
    parsed(figures.losses(Losses((0.0,), {"loss": (None,)})))
    parsed(figures.losses(Losses((0.0,), {"loss": (0.0,)})))
    zeros = (0.0,) * 3
    parsed(figures.distances(Distances((0.1, 0.5, 0.9), zeros, zeros)))


def test_ticks_are_round_and_inside():
    assert figures.ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert figures.ticks(0.13, 0.97, 4) == [0.2, 0.4, 0.6, 0.8]
    assert figures.ticks(3, 3) == [3]
    low, high = -1.7e12, 2.9e12
    assert all(low <= tick <= high for tick in figures.ticks(low, high))


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
    assert formats.number(value) == text


def test_shortening_keeps_both_ends():
    assert shortened("short", 10) == "short"
    result = shortened("a rather long category name 7", 16)
    assert len(result) == 16
    assert result.startswith("a rather")
    assert result.endswith("ame 7")
