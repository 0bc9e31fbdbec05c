"""Scores against tables whose true answer is known."""

from __future__ import annotations

import builtins
import doctest
import importlib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sdmetrics.single_table import NewRowSynthesis

from sdv_wgangp.reporting import scores
from sdv_wgangp.reporting.scores import tables

COLUMNS = {"key": "id", "x": "numerical", "when": "datetime", "kind": "categorical"}


def make_table(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows) + shift
    kind = np.where(x + 0.3 * rng.normal(size=rows) > 0, "up", "down")
    return pd.DataFrame(
        {
            "key": np.arange(rows),
            "x": x,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D"),
            "kind": kind,
        }
    )


def metadata_of(columns: dict[str, str]) -> dict:
    described = {name: {"sdtype": sdtype} for name, sdtype in columns.items()}
    return {"tables": {"t": {"columns": described}}, "relationships": []}


# --------------------------------------------------------------------------- encoding


def test_the_same_category_gets_the_same_code_in_every_table():
    left = pd.Series(["b", None, "a"])
    right = pd.Series(["a", "c", np.nan], dtype="category")
    (codes_left, codes_right), levels = scores.to_codes([left, right])
    assert [levels[code] for code in codes_left[[0, 2]]] == ["b", "a"]
    assert [levels[code] for code in codes_right[:2]] == ["a", "c"]
    assert codes_left[1] == codes_right[2] == -1


def test_integers_and_floats_are_the_same_category():
    (left, right), levels = scores.to_codes([pd.Series([1, 2]), pd.Series([2.0, np.nan])])
    assert left[1] == right[0]
    assert len(levels) == 2


def test_datetimes_become_nanoseconds_whatever_their_type():
    stamps = pd.to_datetime(pd.Series(["1970-01-01", None, "1970-01-02"], name="when"))
    expected = np.array([0.0, np.nan, 86_400e9])
    for form in (
        stamps,
        stamps.astype("datetime64[s]"),
        stamps.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        stamps.dt.strftime("%Y-%m-%d"),
    ):
        np.testing.assert_array_equal(scores.to_numbers(form, "datetime"), expected)


@pytest.mark.parametrize("sdtype", ["numerical", "datetime"])
def test_a_value_that_is_no_number_names_its_column(sdtype):
    with pytest.raises(ValueError, match="column 'x' is described as " + sdtype):
        scores.to_numbers(pd.Series(["2024-01-01", "two"], name="x"), sdtype)


def test_the_rarest_levels_over_both_tables_share_the_last_code():
    common = [f"c{i}" for i in range(254)]
    left = pd.DataFrame({"kind": common * 2 + ["rare1", "rare2"]})
    right = pd.DataFrame({"kind": [*common, "rare3", None]})
    (first, second), categorical = tables.tree_tables({"kind": "categorical"}, [left, right])
    assert categorical.tolist() == [True]
    assert np.unique(first[:508]).tolist() == list(range(254))
    assert first[508, 0] == first[509, 0] == second[254, 0] == 254
    assert np.isnan(second[255, 0])


def test_one_table_of_metadata_is_read_in_every_form():
    inner = metadata_of(COLUMNS)["tables"]["t"]

    class Metadata:
        def to_dict(self):
            return metadata_of(COLUMNS)

    for form in (inner, metadata_of(COLUMNS), Metadata()):
        assert scores.columns_of(form) == COLUMNS
    with pytest.raises(ValueError, match="describes 2 tables"):
        scores.columns_of({"tables": {"a": inner, "b": inner}})
    with pytest.raises(ValueError, match="no 'columns'"):
        scores.columns_of({"relationships": []})


# --------------------------------------------------------------------------- SDMetrics


def test_quality_of_a_table_against_itself_is_one():
    table = make_table(400, 0)
    result = scores.quality(table, table, metadata_of(COLUMNS), all_pairs=True)
    assert result.overall == pytest.approx(1.0)
    assert (result.correlation_threshold, result.association_threshold) == (0, 0)
    assert set(result.shapes["Column"]) == {"x", "when", "kind"}
    assert len(result.pairs) == 3


def test_column_shapes_are_one_minus_kolmogorov_smirnov_and_total_variation():
    real = pd.DataFrame({"x": np.arange(100.0), "kind": ["a"] * 60 + ["b"] * 40})
    synthetic = pd.DataFrame({"x": np.arange(100.0) + 25, "kind": ["a"] * 30 + ["b"] * 70})
    metadata = metadata_of({"x": "numerical", "kind": "categorical"})
    result = scores.quality(real, synthetic, metadata)
    shape = result.shapes.set_index("Column")["Score"]
    assert shape["x"] == pytest.approx(0.75)
    assert shape["kind"] == pytest.approx(0.70)
    assert result.column_shapes == pytest.approx(0.725)


def test_default_quality_counts_only_pairs_that_are_related():
    rng = np.random.default_rng(0)
    x = rng.normal(size=2_000)
    real = pd.DataFrame({"x": x, "twin": x + 0.01 * rng.normal(size=2_000)})
    real["noise"] = rng.normal(size=2_000)
    synthetic = real.apply(lambda column: rng.permutation(column))  # independent, same marginals
    metadata = metadata_of(dict.fromkeys(real.columns, "numerical"))
    default = scores.quality(real, synthetic, metadata)
    all_pairs = scores.quality(real, synthetic, metadata, all_pairs=True)
    assert default.correlation_threshold == 0.5
    assert default.pair_trends == pytest.approx(0.5, abs=0.03)  # 1 - |1 - 0| / 2
    assert all_pairs.pair_trends == pytest.approx((0.5 + 1 + 1) / 3, abs=0.03)


def test_quality_takes_ordinals_and_leaves_global_randomness_alone():
    table = make_table(300, 0).assign(grade=np.arange(300) % 4)
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    result = scores.quality(table, table, metadata_of({**COLUMNS, "grade": "ordinal"}))
    assert np.random.random() == expected
    assert "grade" in set(result.shapes["Column"])


def test_quality_names_a_missing_column():
    table = make_table(50, 0)
    with pytest.raises(ValueError, match="column 'x' is missing from the synthetic data"):
        scores.quality(table, table.drop(columns="x"), metadata_of(COLUMNS))


def test_quality_prints_no_warnings_for_a_constant_column():
    table = make_table(60, 0).assign(x=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores.quality(table, table, metadata_of(COLUMNS), all_pairs=True)


def test_diagnostic_sees_values_out_of_range_and_unknown_categories():
    real = make_table(400, 0)
    good = scores.diagnostic(real, real, metadata_of(COLUMNS))
    assert (good.overall, good.data_validity, good.data_structure) == (1, 1, 1)
    broken = real.assign(kind="sideways", x=real["x"] + 1_000)
    bad = scores.diagnostic(real, broken, metadata_of(COLUMNS))
    validity = bad.validity.set_index("Column")["Score"]
    assert validity["kind"] == validity["x"] == 0
    assert validity["when"] == 1


# --------------------------------------------------------------------------- detection


@pytest.mark.parametrize("classifier", ["hist_gradient_boosting", "xgboost"])
def test_new_draws_cannot_be_told_apart_and_shifted_ones_can(classifier):
    if classifier == "xgboost":
        pytest.importorskip("xgboost")
    real = make_table(1_500, 0)
    same = scores.detection(real, make_table(1_500, 1), COLUMNS, classifier)
    shifted = scores.detection(real, make_table(1_500, 2, shift=8.0), COLUMNS, classifier)
    assert same.score > 0.85
    assert shifted.score < 0.01
    assert len(same.aucs) == 3
    assert same.rows == 1_500


def test_detection_score_is_one_minus_twice_the_floored_auc_minus_one():
    result = scores.detection(make_table(300, 0), make_table(300, 1, shift=0.7), COLUMNS, folds=4)
    folds = [2 * max(auc, 0.5) - 1 for auc in result.aucs]
    assert result.score == pytest.approx(1 - np.mean(folds))


def test_detection_sees_dependence_that_every_marginal_hides():
    rng = np.random.default_rng(0)
    x = rng.normal(size=3_000)
    real = pd.DataFrame({"x": x, "y": np.abs(x)})
    synthetic = real.apply(lambda column: rng.permutation(column))
    columns = {"x": "numerical", "y": "numerical"}
    assert scores.detection(real, synthetic, columns).score < 0.1


def test_detection_weighs_both_tables_equally_and_repeats():
    real = make_table(2_000, 0)
    few = make_table(200, 1)
    first = scores.detection(real, few, COLUMNS, seed=3)
    assert first.rows == 200
    assert first == scores.detection(real, few, COLUMNS, seed=3)


def test_detection_names_the_column_that_gives_the_rows_away():
    synthetic = make_table(1_000, 1)
    synthetic["when"] += pd.Timedelta(400, "D")
    result = scores.detection(make_table(1_000, 0), synthetic, COLUMNS, explain=True)
    names = [name for name, _ in result.telling]
    assert names[0] == "when"
    assert sorted(names) == ["kind", "when", "x"]
    assert result.telling[0][1] > 0.1


def test_detection_uses_missing_values_as_information():
    real = make_table(1_000, 0)
    synthetic = make_table(1_000, 1)
    for name in ("x", "when", "kind"):
        holes = synthetic.copy()
        holes.loc[::2, name] = None
        assert scores.detection(real, holes, COLUMNS).score < 0.75


@pytest.mark.parametrize("classifier", ["hist_gradient_boosting", "xgboost"])
def test_detection_takes_columns_of_very_many_levels(classifier):
    if classifier == "xgboost":
        pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": rng.integers(0, 5_000, 2_000).astype(str)})
    other = pd.DataFrame({"kind": rng.integers(0, 5_000, 2_000).astype(str)})
    assert scores.detection(table, other, {"kind": "categorical"}, classifier).score > 0.7


def test_detection_errors():
    table = make_table(10, 0)
    with pytest.raises(ValueError, match="needs 3 rows, got 2"):
        scores.detection(table[:2], table, COLUMNS)
    with pytest.raises(ValueError, match="unknown classifier 'svm'"):
        scores.detection(table, table, COLUMNS, classifier="svm")
    with pytest.raises(ValueError, match="no column is numerical"):
        scores.detection(table, table, {"key": "id"})
    with pytest.raises(ValueError, match="column 'x' is described but missing"):
        scores.detection(table.drop(columns="x"), table, COLUMNS)
    with pytest.raises(ValueError, match="no rows"):
        scores.detection(table[:0], table, COLUMNS)


def test_absent_xgboost_is_named_with_its_remedy(monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "xgboost":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    table = make_table(30, 0)
    with pytest.raises(ImportError, match="pip install xgboost"):
        scores.detection(table, table, COLUMNS, classifier="xgboost")


# --------------------------------------------------------------------------- utility


def test_classification_on_a_learnable_and_on_a_destroyed_target():
    real_train, real_test = make_table(2_000, 0), make_table(2_000, 1)
    good = scores.tstr(real_train, real_test, "kind", COLUMNS)
    rng = np.random.default_rng(2)
    shuffled = real_train.assign(kind=rng.permutation(real_train["kind"]))
    useless = scores.tstr(shuffled, real_test, "kind", COLUMNS)
    assert good.task == "classification"
    assert good.auc > 0.95
    assert useless.auc == pytest.approx(0.5, abs=0.1)
    assert good.rmse is None


def test_multiclass_auc_is_the_frequency_weighted_mean_and_a_missing_class_counts_half():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 3, 3_000)
    table = pd.DataFrame({"x": x, "kind": np.array(["a", "b", "c"])[x.astype(int)]})
    columns = {"x": "numerical", "kind": "categorical"}
    perfect = scores.tstr(table[:2_000], table[2_000:], "kind", columns)
    assert perfect.auc > 0.99
    assert perfect.missing_classes == ()
    without = table[:2_000].query("kind != 'c'")
    result = scores.tstr(without, table[2_000:], "kind", columns)
    weight = (table["kind"][2_000:] == "c").mean()
    assert result.missing_classes == ("c",)
    # "a" stays perfect; "b" against a model that takes every "c" for a "b" orders 1/2 of those.
    b = (table["kind"][2_000:] == "b").mean()
    a = 1 - b - weight
    b_auc = (a + weight / 2) / (a + weight)
    assert result.auc == pytest.approx(a + b * b_auc + weight / 2, abs=0.02)


def test_a_single_class_in_the_training_rows_gives_one_half():
    train = make_table(100, 0).assign(kind="up")
    result = scores.tstr(train, make_table(100, 1), "kind", COLUMNS)
    assert result.auc == 0.5
    assert result.missing_classes == ("down",)


def test_regression_recovers_a_function_and_reports_its_noise():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 6_000)
    table = pd.DataFrame({"x": x, "y": 10 * x + rng.normal(size=6_000)})
    columns = {"x": "numerical", "y": "numerical"}
    result = scores.tstr(table[:3_000], table[3_000:], "y", columns)
    assert result.task == "regression"
    assert result.rmse == pytest.approx(1.0, abs=0.15)  # the standard deviation of the noise
    assert result.r2 == pytest.approx(1 - 1 / (100 / 3 + 1), abs=0.02)
    assert result.log_rmse is None
    assert result.auc is None


def test_log_rmse_of_a_heavy_tailed_target_is_the_noise_of_its_logarithm():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 6_000)
    table = pd.DataFrame({"x": x, "y": np.exp(2 + 4 * x + 0.3 * rng.normal(size=6_000))})
    columns = {"x": "numerical", "y": "numerical"}
    result = scores.tstr(table[:3_000], table[3_000:], "y", columns)
    assert result.log_rmse == pytest.approx(0.3, abs=0.05)


def test_the_task_follows_the_type_of_the_target():
    few, many = pd.Series([1, 2, 3]), pd.Series(range(30))
    assert scores.is_regression(few, "numerical")
    assert scores.is_regression(many, "ordinal")
    assert not scores.is_regression(few, "ordinal")
    assert not scores.is_regression(many, "categorical")
    table = make_table(200, 0).assign(grade=lambda t: (t["x"] > 0).astype(int))
    columns = {**COLUMNS, "grade": "numerical"}
    assert scores.tstr(table, table, "grade", columns, regression=False).auc > 0.95


def test_tstr_ignores_rows_without_a_target_and_levels_never_trained_on():
    train, test = make_table(300, 0), make_table(300, 1)
    train.loc[:9, "kind"] = None
    train["place"], test["place"] = "here", "there"
    result = scores.tstr(train, test, "kind", {**COLUMNS, "place": "categorical"})
    assert (result.train_rows, result.test_rows) == (290, 300)
    assert result.auc > 0.9


def test_tstr_errors():
    table = make_table(50, 0)
    with pytest.raises(ValueError, match="target 'key' is not a column that can be predicted"):
        scores.tstr(table, table, "key", COLUMNS)
    with pytest.raises(ValueError, match="no column beside the target 'x'"):
        scores.tstr(table, table, "x", {"x": "numerical"})
    with pytest.raises(ValueError, match="missing in every training row"):
        scores.tstr(table.assign(kind=None), table, "kind", COLUMNS)
    with pytest.raises(ValueError, match="single class in the test rows"):
        scores.tstr(table, table.assign(kind="up"), "kind", COLUMNS)


# --------------------------------------------------------------------------- privacy


def test_copies_of_the_training_rows_are_all_found():
    train, holdout = make_table(800, 0), make_table(800, 1)
    copied = train.sample(500, replace=True, random_state=0).assign(key=7)
    result = scores.privacy(train, copied, COLUMNS, holdout)
    assert result.exact_copies == 1
    assert result.new_rows == 0
    assert result.distance_to_closest == 0
    assert result.nearest_record_share == 1
    assert result.distance_ratio == 0
    assert result.holdout_exact_copies == 0


def test_fresh_rows_are_as_near_to_the_training_rows_as_to_the_holdout():
    train, holdout = make_table(4_000, 0), make_table(2_000, 1)
    result = scores.privacy(train, make_table(4_000, 2), COLUMNS, holdout)
    assert result.exact_copies == 0
    assert result.nearest_record_share == pytest.approx(0.5, abs=0.03)
    assert result.distance_ratio == pytest.approx(1.0, abs=0.1)
    assert result.new_rows == pytest.approx(result.holdout_new_rows, abs=0.03)


def test_ties_count_half():
    train = pd.DataFrame({"kind": ["a", "b"]})
    holdout = pd.DataFrame({"kind": ["b", "c"]})
    synthetic = pd.DataFrame({"kind": ["a", "b", "c", "d"]})  # nearer, tied, farther, tied
    result = scores.privacy(train, synthetic, {"kind": "categorical"}, holdout)
    assert result.nearest_record_share == pytest.approx((1 + 0.5 + 0 + 0.5) / 4)


def test_distance_is_scaled_differences_plus_one_per_mismatch_and_missing_is_a_value():
    train = pd.DataFrame({"x": [0.0, 10.0, np.nan], "kind": ["a", "b", None]})
    columns = {"x": "numerical", "kind": "categorical"}

    def closest(x, kind):
        row = pd.DataFrame({"x": [x], "kind": [kind]})
        return scores.privacy(train, row, columns).distance_to_closest

    assert closest(4.0, "a") == pytest.approx(0.4)
    assert closest(4.0, "c") == pytest.approx(1.4)
    assert closest(np.nan, None) == pytest.approx(0.0)
    assert closest(np.nan, "c") == pytest.approx(1.0)
    assert closest(np.nan, "a") == pytest.approx(1.0)
    assert closest(2.0, None) == pytest.approx(1.0)


def test_distances_equal_a_plain_loop():
    rng = np.random.default_rng(0)
    columns = {"x": "numerical", "y": "numerical", "kind": "categorical"}

    def draw(rows):
        table = pd.DataFrame({"x": rng.normal(size=rows), "y": rng.gamma(1, size=rows)}).assign(
            kind=rng.choice(["a", "b", "c"], rows)
        )
        table.loc[rng.random(rows) < 0.2, "y"] = np.nan
        table.loc[rng.random(rows) < 0.2, "kind"] = None
        return table

    train, synthetic = draw(60), draw(40)
    # Keep to the training range: outside it a missing value is farther than 1.
    for name in ("x", "y"):
        synthetic[name] = synthetic[name].clip(train[name].min(), train[name].max())

    def distance(one, other):
        total = 0.0
        for name in ("x", "y"):
            if pd.isna(one[name]) or pd.isna(other[name]):
                total += float(pd.isna(one[name]) != pd.isna(other[name]))
            else:
                total += abs(one[name] - other[name]) / np.ptp(train[name].dropna())
        same_missing = pd.isna(one["kind"]) and pd.isna(other["kind"])
        return total + (not same_missing and one["kind"] != other["kind"])

    expected = np.median(
        [min(distance(s, t) for _, t in train.iterrows()) for _, s in synthetic.iterrows()]
    )
    result = scores.privacy(train, synthetic, columns)
    assert result.distance_to_closest == pytest.approx(expected)


def test_copies_are_equal_to_twelve_digits_and_include_missing_values():
    train = pd.DataFrame({"x": [1 / 3, np.nan, 0.0], "kind": ["a", "b", None]})
    synthetic = pd.DataFrame(
        {
            "x": [1 / 3 * (1 + 1e-14), 1 / 3 * (1 + 1e-9), np.nan, -0.0, 1.0, np.nan],
            "kind": ["a", "a", "b", None, "b", None],
        }
    )
    columns = {"x": "numerical", "kind": "categorical"}
    assert scores.privacy(train, synthetic, columns).exact_copies == pytest.approx(3 / 6)


def test_new_rows_agree_with_sdmetrics():
    rng = np.random.default_rng(0)
    train, synthetic = (
        pd.DataFrame(
            {
                "x": rng.integers(-20, 20, 400).astype(float),
                "y": rng.normal(100, 1, 400),
                "kind": rng.choice(["a", "b"], 400),
            }
        )
        for _ in range(2)
    )
    for table in (train, synthetic):
        table.loc[::7, "x"] = np.nan
    columns = {"x": "numerical", "y": "numerical", "kind": "categorical"}
    described = {"columns": {name: {"sdtype": sdtype} for name, sdtype in columns.items()}}
    expected = NewRowSynthesis.compute(train.copy(), synthetic.copy(), described)
    result = scores.privacy(train, synthetic, columns)
    assert 0.1 < expected < 0.9
    assert result.new_rows == pytest.approx(expected)


def test_new_rows_of_categories_alone():
    train = pd.DataFrame({"a": ["x", "y"], "b": [True, False]})
    synthetic = pd.DataFrame({"a": ["x", "x", "y", "z"], "b": [True, False, False, True]})
    result = scores.privacy(train, synthetic, {"a": "categorical", "b": "boolean"})
    assert result.new_rows == 0.5
    assert result.exact_copies == 0.5


def test_privacy_without_a_holdout_says_so_and_repeats():
    train, synthetic = make_table(500, 0), make_table(900, 1)
    result = scores.privacy(train, synthetic, COLUMNS, max_rows=200, seed=4)
    assert result.nearest_record_share is None
    assert result.holdout_new_rows is None
    assert result.holdout_rows == 0
    assert result == scores.privacy(train, synthetic, COLUMNS, max_rows=200, seed=4)


def test_privacy_of_a_constant_and_of_an_empty_column():
    train = pd.DataFrame({"x": [1.0, 1.0], "y": [np.nan, np.nan]})
    synthetic = pd.DataFrame({"x": [1.0, 2.0], "y": [np.nan, 5.0]})
    result = scores.privacy(train, synthetic, {"x": "numerical", "y": "numerical"})
    assert result.exact_copies == 0.5
    assert np.isfinite(result.distance_to_closest)


def test_twins_and_curves_of_distances():
    train = pd.DataFrame({"x": [0.0, 0.0, 5.0, 10.0]})
    result = scores.privacy(train, train[:2], {"x": "numerical"}, train[2:])
    assert result.train_twins == 0.5
    assert set(result.distances) == set(result.holdout_distances) == {0.0}
    far = scores.privacy(train, train + 2.5, {"x": "numerical"})
    assert far.holdout_distances is None
    assert far.distances[0] == far.distances[-1] == pytest.approx(0.25)


# --------------------------------------------------------------------------- validity


def broken(real, synthetic, columns, holdout=None, **about):
    about = {"columns": columns, **about}
    return {
        (found.column, found.kind): found
        for found in scores.violations(real, synthetic, about, holdout)
    }


def test_values_that_break_a_rule_are_counted_by_column():
    real = pd.DataFrame(
        {
            "key": ["A-1", "A-2", "A-3", "A-4"],
            "size": [1.0, 2.0, 3.0, 4.0],
            "day": pd.to_datetime(["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"]),
            "kind": ["a", "b", "b", None],
        }
    )
    synthetic = pd.DataFrame(
        {
            "key": ["A-1", "A-1", "B", None],
            "size": [0.5, 4.5, 9.0, 2.0],
            "day": pd.to_datetime(["2019-01-01", "2020-02-01", "2020-03-01", "2020-04-01"]),
            "kind": ["c", None, "b", "a"],
        }
    )
    columns = {
        "key": {"sdtype": "id", "regex_format": r"A-\d"},
        "size": {"sdtype": "numerical"},
        "day": {"sdtype": "datetime"},
        "kind": {"sdtype": "categorical"},
    }
    found = broken(real, synthetic, columns, real, primary_key="key")
    assert {name: violation.count for name, violation in found.items()} == {
        ("key", "does not match its regex_format"): 1,
        ("key", "missing, which no real row is"): 1,
        ("key", "key that occurs twice"): 2,
        ("size", "below the real range"): 1,
        ("size", "above the real range"): 2,
        ("day", "below the real range"): 1,
        ("kind", "level that no real row has"): 1,
    }
    above = found["size", "above the real range"]
    assert (above.fraction, above.real, above.holdout) == (0.5, 0.0, 0.0)
    assert broken(real, real, columns, primary_key="key") == {}


def test_rules_that_the_real_rows_break_say_so_and_numbers_match_as_text():
    real = pd.DataFrame({"code": [12.0, 345.0, np.nan]})
    found = broken(real, real, {"code": {"sdtype": "id", "regex_format": "[0-9]{2}"}})
    (violation,) = found.values()
    assert violation.count == 1
    assert violation.real == pytest.approx(1 / 3)
    assert violation.holdout is None


def test_a_pattern_that_is_none_names_its_column():
    table = pd.DataFrame({"code": ["a"]})
    with pytest.raises(ValueError, match="column 'code': its regex_format '\\(' is no regular"):
        broken(table, table, {"code": {"sdtype": "id", "regex_format": "("}})


# --------------------------------------------------------------------------- the package


def test_sdmetrics_is_known_in_one_file():
    package = Path(scores.__file__).parents[1]
    knowing = [
        source.name
        for source in package.rglob("*.py")
        if "import sdmetrics" in (text := source.read_text()) or "from sdmetrics" in text
    ]
    assert knowing == ["quality.py"]


@pytest.mark.parametrize(
    "name",
    ["columns", "figures", "formats", "pairs", "protection", "report", "scores.validity"],
)
def test_examples_run(name):
    module = importlib.import_module(f"sdv_wgangp.reporting.{name}")
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted


@pytest.mark.parametrize("values", [0, 1], ids=["no value", "one value"])
def test_trees_take_columns_of_hardly_any_value(values):
    """Where all are missing, or all but one, some fold has none to learn from."""
    real, other = make_table(60, 0), make_table(60, 1)
    for table in (real, other):
        table["gap"], table["rare"] = np.nan, None
        table.loc[: values - 1, ["gap", "rare"]] = [1.0, "a"]
    columns = COLUMNS | {"gap": "numerical", "rare": "categorical"}
    with_gaps = scores.detection(real, other, columns)
    assert with_gaps.aucs == pytest.approx(scores.detection(real, other, COLUMNS).aucs, abs=0.1)
    assert scores.tstr(real, other, "kind", columns).auc > 0.7
