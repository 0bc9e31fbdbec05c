"""Detection by other families, the membership attack and coverage, where the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import modes, scores
from sdv_wgangp.reporting.report import build_report
from sdv_wgangp.reporting.scores import classifiers

SUMS = {"a": "numerical", "b": "numerical", "total": "numerical", "kind": "categorical"}


def sums(rows: int, seed: int, error: float = 0.0) -> pd.DataFrame:
    """Two equal numbers (but for an error), a total, and a category with missing values."""
    rng = np.random.default_rng(seed)
    a, rest, noise = rng.normal(size=(3, rows))
    kind = rng.choice(["x", "y", None], rows, p=[0.6, 0.3, 0.1])
    return pd.DataFrame({"a": a, "b": a + error * noise, "total": a + rest, "kind": kind})


# --------------------------------------------------------------------------- detection


def test_only_differences_show_that_two_columns_are_no_longer_equal():
    real, near = sums(500, 0), sums(500, 1, error=0.01)
    score = {
        name: scores.detection(real, near, SUMS, name).score
        for name in ("hist_gradient_boosting", "pair_trees")
    }
    assert score["hist_gradient_boosting"] > 0.6
    assert score["pair_trees"] < 0.01


@pytest.mark.parametrize("name", ["pair_trees", "extra_trees", "network"])
def test_every_family_finds_a_shift_and_nothing_where_there_is_none(name):
    real = sums(500, 0)
    assert scores.detection(real, sums(500, 1), SUMS, name).score > 0.8
    assert scores.detection(real, sums(500, 1).assign(a=lambda t: t.a + 3), SUMS, name).score < 0.1
    # In what is missing alone, too.
    blank = sums(500, 1).assign(kind=None)
    assert scores.detection(real, blank, SUMS, name).score < 0.3
    again = [scores.detection(real, sums(300, 1), SUMS, name, seed=3).aucs for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("name", ["pair_trees", "extra_trees", "network"])
def test_columns_without_a_value_or_of_one_are_no_error(name):
    table = pd.DataFrame({"x": np.arange(60.0), "none": np.nan, "one": "a"})
    columns = {"x": "numerical", "none": "numerical", "one": "categorical"}
    assert 0 <= scores.detection(table, table, columns, name).score <= 1


def test_an_unknown_classifier_is_named_with_the_others():
    with pytest.raises(ValueError, match="'forest': use one of hist_gradient_boosting, pair_tr"):
        scores.detection(sums(9, 0), sums(9, 1), SUMS, "forest")


def test_of_many_pairs_the_strongest_are_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    rows = np.column_stack([x, rng.normal(size=100), x + 0.1 * rng.normal(size=100)])
    assert classifiers._strongest(rows, [(0, 1), (0, 2), (1, 2)], 1) == [(0, 2)]
    assert classifiers._strongest(rows, [(0, 1)], 1) == [(0, 1)]


def test_dates_are_subtracted_from_dates_alone():
    stamps = pd.date_range("2024-01-01", periods=80)
    table = pd.DataFrame({"x": np.arange(80.0), "from": stamps, "to": stamps})
    columns = {"x": "numerical", "from": "datetime", "to": "datetime"}
    later = table.assign(to=stamps + pd.to_timedelta(np.arange(80) % 5 + 1, "h"))
    assert scores.detection(table, later, columns, "pair_trees").score < 0.05


# --------------------------------------------------------------------------- membership


def test_copies_give_members_away_and_new_rows_do_not():
    columns = {"x": "numerical", "y": "numerical"}
    train, unseen, fresh = (
        pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 2)), columns=["x", "y"])
        for seed, rows in ((0, 300), (1, 600), (2, 300))
    )
    copied = scores.membership(train, train, unseen, columns)
    assert copied.auc > 0.7
    assert copied.members == copied.reference == 300
    honest = scores.membership(train, fresh, unseen, columns)
    assert honest.auc == pytest.approx(0.5, abs=0.05)
    assert honest.control == copied.control == pytest.approx(0.5, abs=0.05)


def test_small_tables_are_halved_again_and_few_rows_refused():
    table = sums(400, 0)
    found = scores.membership(table[:50], table[50:100], table[100:200], SUMS, least_rows=300)
    assert (found.members, found.repetitions) == (50, 6)
    with pytest.raises(ValueError, match=r"at least 100 rows.*there are 99: hold more rows out"):
        scores.membership(table, table, table[:99], SUMS)


# --------------------------------------------------------------------------- coverage


def test_levels_and_missing_values_that_come_too_seldom_are_lost():
    columns = {"flag": "categorical", "x": "numerical"}
    flag = ["a"] * 890 + ["b"] * 100 + ["rare"] * 4 + [None] * 6
    real = pd.DataFrame({"flag": flag, "x": [np.nan] * 50 + [1.0] * 950})
    less = pd.DataFrame({"flag": ["a"] * 951 + ["b"] * 49, "x": [1.0] * 1000})
    found = scores.coverage(real, less, columns)
    lost = {(mode.columns[0], mode.values[0]): mode for mode in found.lost("level")}
    # "rare" is less than .5 % of the rows; 49 of 100 are less than half of them, 51 are not.
    assert set(lost) == {("flag", "b"), ("flag", None), ("x", None)}
    assert lost["flag", "b"].synthetic == 0.049
    assert lost["flag", "b"].real == 0.1
    half = less.assign(flag=["a"] * 949 + ["b"] * 51)
    assert ("flag", "b") not in {
        (mode.columns[0], mode.values[0]) for mode in scores.coverage(real, half, columns).lost()
    }
    # None of six rows among a thousand comes by chance in one of 64 cases: 6 of 2,000 drawn.
    assert lost["flag", None].chance == pytest.approx(1 / 64, rel=0.02)
    certain = {(mode.columns[0], mode.values[0]) for mode in found.lost("level", chance=0.001)}
    assert certain == {("flag", "b"), ("x", None)}


def test_a_lost_cluster_is_found_and_described():
    rng = np.random.default_rng(0)
    columns = {"x": "numerical", "y": "numerical", "k": "categorical"}

    def blobs(centres):
        where = np.repeat(centres, 200, axis=0)
        points = where + 0.1 * rng.normal(size=where.shape)
        kinds = np.where(where[:, 0] > 5, "far", "near")
        return pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "k": kinds})

    real = blobs([[0, 0], [1, 3], [9, 9]])
    found = scores.coverage(real, blobs([[0, 0], [1, 3], [1, 3]]), columns, clusters=3)
    (lost,) = found.lost("cluster")
    assert (lost.rows, lost.synthetic) == (200, 0)
    assert dict(zip(lost.columns, lost.values, strict=True))["k"] == "far"
    assert scores.coverage(real, real, columns, clusters=3).lost() == ()


def test_constant_and_repeated_columns_leave_clusters_as_they_are():
    table = pd.DataFrame({"x": np.arange(100.0), "twice": np.arange(100.0), "one": 1.0})
    columns = dict.fromkeys(table, "numerical")
    assert {mode.kind for mode in scores.coverage(table, table, columns).modes} == {"cluster"}
    assert scores.coverage(table[["one"]], table[["one"]], {"one": "numerical"}).modes == ()


# --------------------------------------------------------------------------- the report


METADATA = {"columns": {"x": {"sdtype": "numerical"}, "flag": {"sdtype": "categorical"}}}


def flagged(rows: int, seed: int, share: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    flag = np.where(rng.random(rows) < share, "REJ", "SF")
    return pd.DataFrame({"x": rng.normal(size=rows) + (flag == "REJ"), "flag": flag})


@pytest.fixture(scope="module")
def report():
    return build_report(
        flagged(600, 0, 0.2), flagged(600, 1, 0.02), METADATA, holdout=flagged(300, 2, 0.2)
    )


def test_a_lost_mode_is_a_verdict(report):
    verdict = report.content.verdict("modes")
    assert verdict.grade == "bad"
    assert "flag = REJ (level; " in verdict.sentence
    assert "modes: bad" in report.to_text()
    assert {"level", "cluster"} == {mode.kind for mode in report.content.modes}


def test_measures_stand_beside_those_of_held_out_rows(report):
    found = {measure.key: measure for measure in report.content.measures()}
    for name in ("pair_trees", "extra_trees", "network"):
        measure = found[f"detection.{name}"]
        assert measure.value < measure.reference
    assert found["coverage.levels"].value == 1
    assert found["coverage.levels"].reference == 0
    assert 0.35 < found["privacy.attack"].value < 0.65
    assert 0.35 < found["privacy.attack"].reference < 0.65


def test_page_and_json_name_what_is_lost(report, tmp_path):
    page = report.to_html(tmp_path / "page.html").read_text()
    assert '<section id="modes">' in page
    assert "flag = REJ" in page
    written = json.loads(report.to_json(tmp_path / "report.json").read_text())
    assert {mode["statement"] for mode in written["modes"]} >= {"flag = REJ"}


def test_without_lost_modes_there_is_no_verdict():
    table = flagged(400, 0, 0.2)
    content = build_report(table, flagged(400, 1, 0.2), METADATA).content
    assert content.modes == ()
    with pytest.raises(KeyError, match="no verdict on 'modes'"):
        content.verdict("modes")
    assert "privacy.attack" not in {measure.key for measure in content.measures()}


def test_levels_of_few_rows_are_not_named():
    real = pd.DataFrame({"name": ["Ada"] * 9 + ["x"] * 91})
    found = scores.coverage(real, real[9:], {"name": "categorical"})
    (lost,) = found.lost("level")
    assert lost.rows == 9
    assert modes.describe(found, real, {"name": ""}, chance=1.0) == ()
    many = pd.concat([real, real])
    found = scores.coverage(many, many[many.name == "x"], {"name": "categorical"})
    named = modes.describe(found, many, {"name": ""}, chance=1.0)
    assert named[0].statement == "name = Ada"
    hidden = modes.describe(found, many, {"name": "nearly all values differ"}, chance=1.0)
    assert hidden[0].statement == "name"
