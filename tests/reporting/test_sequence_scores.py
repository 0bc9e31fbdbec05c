"""Scores of sequences: values worked by hand, and generators whose fault is known."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil

import numpy as np
import pandas as pd
import pytest
from sdmetrics.column_pairs import InterRowMSAS, StatisticMSAS

from sdv_wgangp.reporting.scores import sequences
from sdv_wgangp.reporting.scores.sequences import (
    copula_over_time,
    dependence,
    detection,
    independent_rows,
    marginals,
    order,
    privacy,
    read_panels,
    score_sequences,
    utility,
)

MODULES = [
    importlib.import_module(f"{sequences.__name__}.{module.name}")
    for module in pkgutil.iter_modules(sequences.__path__)
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


def visits(count: int, seed: int, memory: float = 0.9, lengths: int = 12) -> pd.DataFrame:
    """Patients of 1 to ``lengths`` visits; their pressure remembers, their ward mostly stays."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, lengths + 1, count)
    owner = np.repeat(np.arange(count), length)
    first = np.concatenate([[True], owner[1:] != owner[:-1]])
    noise, pressure, ward = rng.normal(size=len(owner)), np.zeros(len(owner)), []
    sex = rng.choice(["f", "m"], count)
    for row, new in enumerate(first):
        if new:
            pressure[row] = noise[row]
            ward.append(rng.choice(["a", "b", "c"]))
        else:
            pressure[row] = memory * pressure[row - 1] + np.sqrt(1 - memory**2) * noise[row]
            ward.append(ward[-1] if rng.random() < memory else rng.choice(["a", "b", "c"]))
    high = 120 + 15 * pressure + 8 * (sex[owner] == "m")
    day = rng.integers(1, 40, len(owner))
    return pd.DataFrame(
        {
            "patient": [f"p{seed}-{k}" for k in owner],
            "day": pd.Timestamp("2020-01-01")
            + pd.to_timedelta(pd.Series(day).groupby(owner).cumsum(), "D"),
            "sex": sex[owner],
            "high": high,
            "low": high - 40,
            "ward": ward,
        }
    )


KEYS = {"sequence_key": "patient", "sequence_index": "day", "context_columns": ["sex"]}


def panels(**tables: pd.DataFrame):
    return read_panels(tables, "patient", "day", ["sex"])


def one(values, **others) -> pd.DataFrame:
    """One sequence of these values."""
    return pd.DataFrame({"who": 1, "x": values, **others})


def series(values) -> tuple:
    panel = read_panels({"real": one(values)}, "who")["real"]
    return panel, panel.numbers["x"]


# ------------------------------------------------------------------ the arrays


def test_rows_keep_their_order_and_sequences_the_order_they_appear_in():
    rows = pd.DataFrame({"who": ["b", "a", "b", "a"], "x": [1.0, 2.0, 3.0, 4.0]})
    panel = read_panels({"real": rows}, "who")["real"]
    assert panel.numbers["x"].tolist() == [1.0, 3.0, 2.0, 4.0]
    assert panel.starts.tolist() == [0, 2, 4]
    assert panel.position.tolist() == [0, 1, 0, 1]
    assert panel.before(1).tolist() == [0, 2]
    taken = panel.take(np.array([1, 1]))
    assert taken.numbers["x"].tolist() == [2.0, 4.0, 2.0, 4.0]
    assert taken.frame["x"].tolist() == [2.0, 4.0, 2.0, 4.0]


def test_all_tables_are_sorted_where_the_real_rows_are_in_no_order():
    real = pd.DataFrame({"who": 1, "day": [3, 1, 2], "x": [30, 10, 20]})
    other = pd.DataFrame({"who": 1, "day": [5, 4], "x": [50, 40]})
    found = read_panels({"real": real, "other": other}, "who", "day")
    assert found["real"].numbers["x"].tolist() == [10, 20, 30]
    assert found["other"].numbers["x"].tolist() == [40, 50]
    ordered = read_panels({"real": real.sort_values("day"), "other": other}, "who", "day")
    assert ordered["other"].numbers["x"].tolist() == [50, 40]


def test_codes_agree_between_tables_and_missing_values_are_minus_one():
    real = pd.DataFrame({"who": 1, "kind": ["b", "b", "a", None]})
    other = pd.DataFrame({"who": 1, "kind": ["c", "a"]})
    found = read_panels({"real": real, "other": other}, "who")
    assert found["real"].codes["kind"].tolist() == [0, 0, 1, -1]
    assert found["other"].codes["kind"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(patient=[None, *t["patient"][1:]]), {}, "'patient' is missing"),
        (lambda t: t, {"sequence_key": "nobody"}, "has no column 'nobody'"),
        (lambda t: t, {"context_columns": ["ward"]}, "'ward' is not constant"),
        (lambda t: t, {"context_columns": ["patient"]}, "'patient' is the index or a context"),
        (lambda t: t, {"context_columns": ["day"]}, "'day' cannot be a context column"),
        (lambda t: t, {"sequence_index": "ward"}, "'ward' is described as datetime but holds"),
        (lambda t: t.head(0), {}, "real data has no rows"),
        (lambda t: t, {"baselines": ["par"]}, "unknown baseline 'par'"),
        (lambda t: t, {"detections": ["cells"]}, "unknown kind of detection 'cells'"),
    ],
)
def test_what_cannot_be_scored_is_named(change, options, message):
    rows = visits(30, 0)
    with pytest.raises(ValueError, match=message):
        score_sequences(change(rows), rows, **(KEYS | options))


# ------------------------------------------------------------------ values by hand


def test_marginals_by_hand():
    missing = np.array([np.nan, np.nan, 1.0, 2.0])
    assert marginals.ks(np.array([1.0, 2.0]), missing) == 0.5
    assert marginals.total_variation(np.array([0, 0, 1, 1]), np.array([0, 2])) == 0.5
    assert marginals.jensen_shannon(np.array([0, 1]), np.array([0, 1])) == 0
    # Shares (1, 0) and (1/2, 1/2): log2(4/3) / 2 + (log2(2/3) / 2 + 1 / 2) / 2.
    by_hand = np.log2(4 / 3) / 2 + (np.log2(2 / 3) / 2 + 0.5) / 2
    got = marginals.jensen_shannon(np.array([0, 0]), np.array([0, 1]))
    assert got == pytest.approx(by_hand)
    assert marginals.wasserstein(np.array([3.0, 3.0]), np.array([3.0])) == 0


def test_autocorrelation_and_changes_by_hand():
    panel, x = series([0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    # Deviations are 1/2 of alternating sign: (6 - l) of 6 products.
    found = dependence.autocorrelation(panel, x, np.array([1, 2, 3]))
    assert found == pytest.approx([-5 / 6, 4 / 6, -3 / 6])
    assert dependence.changes(panel, x)[1:].tolist() == [1.0, -1.0, 1.0, -1.0, 1.0]
    assert np.isnan(dependence.changes(panel, x)[0])
    constant, ones = series([1.0, 1.0, 1.0, 1.0])
    assert np.isnan(dependence.autocorrelation(constant, ones, np.array([1]))).all()
    assert np.isnan(dependence.autocorrelation(panel, x, np.array([4]))).all()


def test_persistence_by_hand():
    rows = pd.DataFrame({"who": 1, "kind": ["a", "a", "b", "b"]})
    panel = read_panels({"real": rows}, "who")["real"]
    found = dependence.persistence(panel, panel.codes["kind"], np.array([1, 2]))
    assert found == pytest.approx([2 / 3, 0])


def test_cross_correlation_by_hand():
    x = np.array([1.0, -1.0, 1.0, -1.0])
    panel = read_panels({"real": one(x, y=-3 * x + 7)}, "who")["real"]
    assert dependence.cross_correlation(panel, 0) == pytest.approx(np.array([[1, -1], [-1, 1]]))
    assert dependence.cross_correlation(panel, 1)[0] == pytest.approx([-0.75, 0.75])
    real, other = np.array([[1, 0.5], [0.5, 1]]), np.array([[1, 0.1], [0.1, 1]])
    assert dependence.matrix_error(real, other, 0) == pytest.approx(0.4)
    assert dependence.matrix_error(real, other, 1) == pytest.approx(0.2)


def test_transitions_see_the_order_of_rows_and_count_each_sequence_once():
    rise = pd.DataFrame({"who": np.repeat(np.arange(50), 2), "x": [0.0, 1.0] * 50})
    fall = rise.assign(x=[1.0, 0.0] * 50)
    found = read_panels({"rise": rise, "fall": fall}, "who")
    assert dependence.transitions(found["rise"], found["fall"]) == {"x": 1.0}
    assert dependence.transitions(found["rise"], found["rise"]) == {"x": 0.0}
    # One long sequence more is one pair more.
    long = pd.concat([rise, pd.DataFrame({"who": 99, "x": np.linspace(1, 0, 500).round()})])
    found = read_panels({"rise": rise, "long": long}, "who")
    assert dependence.transitions(found["rise"], found["long"])["x"] == pytest.approx(1 / 51)


def test_msas_is_what_sdmetrics_gives():
    real, other = visits(60, 0), visits(50, 1, memory=0.5)
    real.loc[::7, "high"] = np.nan
    found = panels(real=real, other=other)
    ours = dependence.msas(found["real"], found["other"])
    # SDMetrics takes rows of a sequence as they stand, so they have to stand together.
    pairs = (real["patient"], real["high"]), (other["patient"], other["high"])
    assert ours["inter_row"]["high"] == pytest.approx(InterRowMSAS.compute(*pairs))
    theirs = StatisticMSAS.compute(*pairs, statistic="std")
    assert ours["statistic_std"]["high"] == pytest.approx(theirs)


def test_order_by_hand():
    real = pd.DataFrame({"who": 1, "day": np.arange(60.0)})
    other = pd.DataFrame({"who": 1, "day": [0.0, 2.0, 1.0, 1.0, 3.0]})
    found = read_panels({"real": real, "other": other}, "who", "day")
    assert order.index_steps(found["real"], found["other"]) == {
        "back": 0.25, "repeats": 0.25, "steps": 0.5,
    }  # fmt: skip
    (rule,) = order.trends(found["real"], found["other"])
    assert (rule.statement, rule.kept) == ("day rises with every row", 0.5)


def test_relations_of_rows_are_found_and_their_keepers_counted():
    real, other = visits(80, 0), visits(80, 1)
    real["copy"], other["copy"] = real["high"], other["high"]
    other.loc[other.index[: len(other) // 4], "copy"] += 1
    found = panels(real=real, other=other)
    (rules,) = order.row_relations(found["real"], [found["other"]])
    assert any(
        {"copy", "high"} <= set(rule.statement.replace(",", " ").split())
        and rule.kept == pytest.approx(0.75, abs=0.01)
        for rule in rules
    )


def test_lengths_attributes_and_effects():
    real = visits(300, 0)
    found = score_sequences(real, visits(300, 1), **KEYS, baselines=(), detections=())
    assert found["lengths.ks"] < 0.12
    assert found["attributes.jsd"] < 0.01
    women = real[real["sex"] == "f"]
    none = {"baselines": (), "detections": ()}
    longer = score_sequences(women, visits(300, 1, lengths=24), **KEYS, **none)
    assert longer["lengths.w1"] == pytest.approx(6, abs=1.5)
    # Men are half of them: (1, 0) against (1/2, 1/2).
    assert longer["attributes.jsd"] == pytest.approx(0.311, abs=0.03)
    swapped = visits(300, 1).assign(sex=lambda t: t["sex"].map({"f": "m", "m": "f"}))
    effect = score_sequences(real, swapped, **KEYS, **none)
    effect = effect["attributes.effects"]
    assert effect > found["attributes.effects"] + 0.02


def test_context_that_varies_in_synthetic_sequences_is_a_score_not_an_error():
    real, other = visits(60, 0), visits(60, 1)
    several = other.groupby("patient")["day"].transform("size") > 1
    first = other.groupby("patient").cumcount() == 0
    other.loc[several & first, "sex"] = "other"
    found = score_sequences(real, other, **KEYS, baselines=(), detections=())
    patients = other.groupby("patient")["day"].size()
    assert found["attributes.varying"] == pytest.approx((patients > 1).mean())


# ------------------------------------------------------------------ trees, utility, privacy


@pytest.fixture(scope="module")
def scored():
    return score_sequences(
        visits(250, 0), visits(250, 1, memory=0.0), **KEYS, holdout=visits(250, 2)
    )


def test_held_out_sequences_pass_and_those_without_memory_do_not(scored):
    forgetful, held = (scored.subjects[name].values for name in ("synthetic", "holdout"))
    assert held["detection.pairs"] > 0.8
    assert held["detection.sequences"] > 0.8
    assert forgetful["detection.rows"] > 0.8
    assert forgetful["detection.pairs"] < 0.7
    assert forgetful["detection.sequences"] < 0.5
    assert forgetful["transitions.next_row"] > 1.5 * held["transitions.next_row"]
    assert forgetful["autocorrelation.levels"] > 5 * held["autocorrelation.levels"]
    assert forgetful["utility.next_row"] < held["utility.next_row"] - 0.1
    assert scored["detection.pairs"] == forgetful["detection.pairs"]


def test_baselines_are_what_they_say(scored):
    rows, copula = (
        scored.subjects[name].values for name in ("independent_rows", "copula_over_time")
    )
    assert rows["marginals.shape"] < 0.05
    assert rows["detection.rows"] > 0.6
    assert rows["detection.pairs"] < 0.7
    # Pressures are Gaussian: a copula has their memory, and all else is categories and gaps.
    assert copula["marginals.shape"] < 0.06
    assert copula["autocorrelation.levels"] < rows["autocorrelation.levels"] / 3
    assert copula["lengths.w1"] < 0.6


def test_the_same_seed_gives_the_same_scores():
    tables = visits(50, 0), visits(50, 1)
    few = {"baselines": ["copula_over_time"], "detections": ["sequences"]}
    first, again, other = (
        score_sequences(*tables, **KEYS, **few, seed=seed) for seed in (3, 3, 4)
    )
    assert first.to_dict() == again.to_dict()
    assert first.to_dict()["subjects"] != other.to_dict()["subjects"]
    json.dumps(first.to_dict(), allow_nan=False)


def test_scores_of_others_are_taken_from_a_report_before():
    real, holdout = visits(60, 0), visits(60, 2)
    common = {**KEYS, "holdout": holdout, "detections": ()}
    first = score_sequences(real, visits(60, 1), **common)
    third = score_sequences(real, visits(60, 3), **common, known=first)
    whole = score_sequences(real, visits(60, 3), **common, baselines=())
    assert third.subjects["holdout"] is first.subjects["holdout"]
    assert third.subjects["copula_over_time"] is first.subjects["copula_over_time"]
    assert third.subjects["synthetic"].values == pytest.approx(whole.subjects["synthetic"].values)


def test_sequences_are_whole_in_a_fold():
    """Rows that all know their sequence would be recognised by it, however alike they are."""
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=(100, 1)), 10, axis=0)
    owner = np.repeat(np.arange(100), 10)
    kinds = [
        detection.Features(values[part], np.array([False]), owner[part], ("x",))
        for part in (owner < 50, owner >= 50)
    ]
    assert detection.told_apart(*kinds).score > 0.6
    assert detection.told_apart(kinds[0], kinds[1]._replace(owner=np.arange(500))).score < 0.6


def test_one_of_each_sequence_is_one_of_each():
    found = panels(real=visits(40, 0))["real"]
    features = detection.one_of_each(detection.pair_features(found))
    assert len(features.owner) == np.count_nonzero(found.lengths > 1)
    assert not [name for name in features.names if name.startswith("change")]
    assert features.values.shape[1] == len(features.names) == len(features.categorical)


def test_features_of_sequences_by_hand():
    rows = one([1.0, 1.0, 4.0], kind=["a", "b", "b"])
    features = detection.sequence_features(read_panels({"real": rows}, "who")["real"])
    found = dict(zip(features.names, features.values[0], strict=True))
    assert (found["length"], found["mean of x"], found["sd of x"]) == (3, 2, np.sqrt(2))
    assert (found["least x"], found["greatest x"], found["first x"], found["last x"]) == (
        1,
        4,
        1,
        4,
    )
    assert found["mean change of x"] == found["mean size of changes of x"] == 1.5
    assert found["share of x that stays"] == found["share of kind that stays"] == 0.5
    assert (found["different kind"], found["most frequent kind"]) == (2, 0)


def test_too_few_sequences_have_no_detection():
    found = score_sequences(visits(10, 0), visits(10, 1), **KEYS, baselines=())
    assert found["detection.rows"] is None
    assert found["lengths.ks"] is not None


def test_copies_of_training_sequences_show():
    real, held = visits(200, 0), visits(200, 2)
    moved = real.assign(day=real["day"] + pd.Timedelta("400D"))
    found = panels(real=real, copy=moved, new=visits(200, 1), held=held)
    copied = privacy.nearness(found["real"], found["copy"], found["held"])
    new = privacy.nearness(found["real"], found["new"], found["held"])
    assert (copied.copies, new.copies, new.holdout_copies) == (1, 0, 0)
    assert copied.nearest_share > 0.8
    assert new.nearest_share == pytest.approx(0.5, abs=0.1)
    assert copied.distance_ratio < 0.8 < new.distance_ratio < 1.25


def test_utility_of_real_sequences_is_above_chance():
    found = panels(real=visits(300, 0), held=visits(300, 1))
    scores = utility.next_row(found["real"], found["held"])
    assert scores["ward"] > 0.9
    assert utility.attribute_of_sequence(found["real"], found["held"])["sex"] > 0.55


# ------------------------------------------------------------------ baselines as tables


@pytest.mark.parametrize("make", [independent_rows, copula_over_time])
def test_baselines_have_the_columns_types_and_order_of_the_real_table(make):
    real = visits(120, 0)
    real["count"] = np.arange(len(real)) % 4
    real.loc[::9, "ward"] = None
    drawn = make(panels(real=real)["real"], "patient", sequences=50, seed=1)
    assert set(drawn) == set(real)
    assert drawn["patient"].nunique() == 50
    assert drawn["day"].dtype.kind == "M"
    assert drawn["count"].dtype == real["count"].dtype
    assert set(drawn["ward"].dropna()) == {"a", "b", "c"}
    assert drawn["ward"].isna().any()
    assert drawn.groupby("patient")["sex"].nunique().max() == 1
    steps = drawn.groupby("patient")["day"].diff().dropna()
    assert (steps > pd.Timedelta(0)).all()
    again = make(panels(real=real)["real"], "patient", sequences=50, seed=1)
    pd.testing.assert_frame_equal(drawn, again)


def test_the_copula_keeps_marginals_and_covariance_over_time():
    rng = np.random.default_rng(0)
    paths = np.exp(rng.normal(size=(3_000, 6)).cumsum(1))
    frame = pd.DataFrame({"who": np.repeat(np.arange(3_000), 6), "x": paths.ravel()})
    drawn = copula_over_time(read_panels({"real": frame}, "who")["real"], "who", seed=1)
    other = drawn["x"].to_numpy().reshape(3_000, 6)
    for step in range(6):
        assert marginals.ks(paths[:, step], other[:, step]) < 0.05
    correlations = [np.corrcoef(np.log(values).T) for values in (paths, other)]
    assert np.abs(correlations[0] - correlations[1]).max() < 0.06


def test_the_copula_continues_what_is_longer_than_its_covariance():
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(200, 40))
    for t in range(1, 40):
        steps[:, t] = 0.9 * steps[:, t - 1] + np.sqrt(0.19) * steps[:, t]
    frame = pd.DataFrame({"who": np.repeat(np.arange(200), 40), "x": steps.ravel()})
    panel = read_panels({"real": frame}, "who")["real"]
    drawn = copula_over_time(panel, "who", seed=1, most_steps=8)
    assert drawn.groupby("who").size().eq(40).all()
    late = drawn["x"].to_numpy().reshape(200, 40)[:, 20:]
    assert np.corrcoef(late[:, :-1].ravel(), late[:, 1:].ravel())[0, 1] == pytest.approx(
        0.9, abs=0.05
    )


def test_sequences_of_one_row_and_one_sequence_work():
    single = pd.DataFrame({"who": np.arange(60), "x": np.arange(60.0)})
    found = score_sequences(single, single, sequence_key="who", detections=())
    assert found["lengths.ks"] == 0
    assert found["transitions.next_row"] is None
    alone = one(np.sin(np.arange(80.0)))
    found = score_sequences(alone, alone, sequence_key="who")
    assert found["autocorrelation.levels"] == 0
    assert found["detection.rows"] is None


# ------------------------------------------------------------------ recurrent judges


def test_judges_tell_noise_from_waves_and_not_halves():
    from sdv_wgangp.reporting.scores.sequences.judges import context_fid, recurrent_judge

    def waves(seed: int, noise: float) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        time = np.arange(12) + rng.uniform(0, 6, size=(300, 1))
        values = np.sin(time) + noise * rng.normal(size=time.shape)
        return pd.DataFrame({"who": np.repeat(np.arange(300), 12), "x": values.ravel()})

    found = read_panels({"a": waves(0, 0), "b": waves(1, 0), "c": waves(2, 0.7)}, "who")
    options = {"hidden": 8, "steps": 200, "rate": 1e-2}
    assert recurrent_judge(found["a"], found["c"], **options) > 0.4
    assert recurrent_judge(found["a"], found["b"], **options) < 0.15
    near, far = (context_fid(found["a"], found[name], steps=100) for name in "bc")
    assert near < far / 5


def awkward(seed: int) -> pd.DataFrame:
    """Sequences of one row, equal times, constants, nulls, and columns of every type."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(40), rng.integers(1, 5, 40))
    rows = len(owner)
    dates = pd.to_datetime(rng.choice(["2020-01-01", "2021-05-05"], rows))
    return pd.DataFrame(
        {
            "who": owner,
            "day": np.sort(rng.integers(0, 3, rows)),
            "null": np.nan,
            "none": pd.Series([None] * rows, dtype=object),
            "constant": 1.0,
            "flag": rng.random(rows) < 0.5,
            "nullable": pd.array(np.where(rng.random(rows) < 0.3, None, 7), dtype="Int64"),
            "many": rng.integers(0, 1_000, rows).astype(str),
            "category": pd.Categorical(rng.choice(["a", "b"], rows)),
            "when": pd.Series(dates).where(rng.random(rows) < 0.7),
            "zone": dates.tz_localize("UTC"),
            "gaps": np.where(rng.random(rows) < 0.4, np.nan, rng.normal(size=rows)),
        }
    )


@pytest.mark.filterwarnings("error")
def test_columns_of_every_type_are_scored():
    found = score_sequences(
        awkward(0), awkward(1), sequence_key="who", sequence_index="day", holdout=awkward(2),
        detections=["pairs", "windows"],
    )  # fmt: skip
    columns = found.subjects["synthetic"].columns["marginals.shape"]
    assert columns.keys() == set(awkward(0)) - {"who"}
    assert [columns[name] for name in ("null", "none", "constant")] == [0, 0, 0]
    assert found["order.repeats"] > 0.8
    copula = found.subjects["copula_over_time"]
    assert copula.columns["marginals.shape"]["constant"] == 0
    assert copula.values["order.back"] == 0
