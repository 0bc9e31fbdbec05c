from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from baselines import (
    ChowLiuTree,
    IndependentColumns,
    category_codes,
    maximum_spanning_tree,
    mutual_information,
    quantile_codes,
)
from scipy.sparse.csgraph import minimum_spanning_tree
from sklearn.metrics import mutual_info_score


@pytest.fixture
def chain() -> tuple[pd.DataFrame, dict[str, str]]:
    """a -> b -> c is a Markov chain, d is independent; a number and a category have gaps."""
    rng = np.random.default_rng(0)
    rows = 4_000
    a = rng.integers(0, 4, rows)
    b = np.where(rng.random(rows) < 0.8, a, rng.integers(0, 4, rows))
    c = b * 10 + rng.normal(size=rows)
    d = pd.Series(rng.integers(0, 2, rows).astype(bool))
    frame = pd.DataFrame({"a": a, "b": pd.Series(list("wxyz")).take(b).to_numpy(), "c": c, "d": d})
    frame.loc[frame["b"] == "z", "c"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "b"] = None
    frame["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(a, unit="D")
    sdtypes = ("categorical", "categorical", "numerical", "boolean", "datetime")
    return frame, dict(zip(frame.columns, sdtypes, strict=True))


def test_independent_columns_are_permutations(chain):
    frame, columns = chain
    sample = IndependentColumns().fit(frame, columns).sample(len(frame), seed=1)
    pd.testing.assert_series_equal(sample.dtypes, frame.dtypes)
    for name in frame:
        expected = frame[name].value_counts(dropna=False)
        pd.testing.assert_series_equal(
            sample[name].value_counts(dropna=False).sort_index(), expected.sort_index()
        )
    assert mutual_information(category_codes(frame["a"]), category_codes(frame["b"])) > 0.5
    assert mutual_information(category_codes(sample["a"]), category_codes(sample["b"])) < 0.01


@pytest.mark.parametrize("count", [1, 7, 23])
def test_independent_columns_use_each_row_equally(count):
    frame = pd.DataFrame({"x": np.arange(10)})
    sample = IndependentColumns().fit(frame, {"x": "numerical"}).sample(count, seed=0)
    used = sample["x"].value_counts().reindex(range(10), fill_value=0)
    assert len(sample) == count
    assert used.max() - used.min() <= 1


@pytest.mark.parametrize("model", [IndependentColumns, ChowLiuTree])
def test_no_rows_is_an_error(model):
    with pytest.raises(ValueError, match="no rows"):
        model().fit(pd.DataFrame({"x": []}), {"x": "numerical"})


@pytest.mark.parametrize("model", [IndependentColumns, ChowLiuTree])
def test_samples_follow_the_seed(model, chain):
    fitted = model().fit(*chain)
    pd.testing.assert_frame_equal(fitted.sample(50, seed=3), fitted.sample(50, seed=3))
    assert not fitted.sample(50, seed=3).equals(fitted.sample(50, seed=4))


def test_quantile_codes_are_ordered_and_even():
    values = pd.Series(np.random.default_rng(0).normal(size=3_200))
    codes = quantile_codes(values, 32)
    assert np.array_equal(np.bincount(codes), np.full(32, 100))
    assert np.all(np.diff(codes[np.argsort(values)]) >= 0)


def test_quantile_codes_keep_a_spike_apart():
    values = pd.Series([0.0] * 90 + list(range(1, 11)))
    codes = quantile_codes(values, 10)
    assert set(codes[:90]) == {0}
    assert 0 not in codes[90:]


def test_quantile_codes_give_missing_values_a_code_of_their_own():
    codes = quantile_codes(pd.Series([1.0, np.nan, 2.0, np.nan, 3.0]), 32)
    assert codes.tolist() == [0, 3, 1, 3, 2]
    assert set(quantile_codes(pd.Series([np.nan, np.nan]), 32)) == {0}


def test_quantile_codes_tell_nanoseconds_apart():
    start = pd.Timestamp("2020-01-01").value
    stamps = pd.Series(pd.to_datetime([start, start + 1, start + 2, None]))
    assert quantile_codes(stamps, 32).tolist() == [0, 1, 2, 3]


def test_mutual_information_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 7, 1_000)
    second = (first + rng.integers(0, 3, 1_000)) % 5
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(first, second))
    assert mutual_information(first, np.zeros(1_000, dtype=int)) == pytest.approx(0)


@pytest.mark.parametrize("nodes", [1, 2, 5, 12])
def test_maximum_spanning_tree_agrees_with_scipy(nodes):
    weights = np.random.default_rng(nodes).random((nodes, nodes))
    weights = weights + weights.T
    tree = maximum_spanning_tree(weights)
    seen = set()
    for node, parent in tree:
        assert parent in seen or parent == -1
        seen.add(node)
    assert seen == set(range(nodes))
    total = sum(weights[node, parent] for node, parent in tree if parent >= 0)
    # scipy minimises and takes a weight of 0 for no edge.
    inverted = 10 - weights
    expected = 10 * (nodes - 1) - minimum_spanning_tree(np.triu(inverted, 1)).sum()
    assert total == pytest.approx(expected)


def test_chow_liu_finds_a_markov_chain():
    rng = np.random.default_rng(0)
    steps = [rng.integers(0, 4, 4_000)]
    for _ in range(3):
        kept = rng.random(4_000) < 0.7
        steps.append(np.where(kept, steps[-1], rng.integers(0, 4, 4_000)))
    order = [2, 0, 3, 1]
    frame = pd.DataFrame({f"step {place}": steps[place] for place in order})
    tree = ChowLiuTree().fit(frame, dict.fromkeys(frame, "categorical")).tree_
    edges = {frozenset((order[node], order[parent])) for node, parent in tree if parent >= 0}
    assert edges == {frozenset((0, 1)), frozenset((1, 2)), frozenset((2, 3))}


def test_chow_liu_keeps_pairwise_tables_along_its_edges(chain):
    frame, columns = chain
    fitted = ChowLiuTree().fit(frame, columns)
    sample = fitted.sample(20_000, seed=0)
    pd.testing.assert_series_equal(sample.dtypes, frame.dtypes)
    assert sample["c"].isna().mean() == pytest.approx(frame["c"].isna().mean(), abs=0.015)
    assert sample["b"].isna().mean() == pytest.approx(frame["b"].isna().mean(), abs=0.015)
    real, drawn = (
        pd.crosstab(table["a"], table["when"], normalize=True) for table in (frame, sample)
    )
    assert np.abs(real - drawn).to_numpy().max() < 0.015
    known = set(frame["c"].dropna())
    assert set(sample["c"].dropna()) <= known


def test_chow_liu_smoothing_reaches_unseen_pairs():
    frame = pd.DataFrame({"x": [0, 1] * 50, "y": [0, 1] * 50})
    columns = dict.fromkeys(frame, "categorical")
    exact = ChowLiuTree(smoothing=0.0).fit(frame, columns).sample(5_000, seed=0)
    smooth = ChowLiuTree(smoothing=50.0).fit(frame, columns).sample(5_000, seed=0)
    assert (exact["x"] == exact["y"]).all()
    # Half of the mass of a parent with 50 rows goes to the marginal, which agrees half the time.
    assert (smooth["x"] == smooth["y"]).mean() == pytest.approx(0.75, abs=0.03)


def test_chow_liu_takes_constant_and_single_columns():
    frame = pd.DataFrame({"x": [1.0] * 5, "y": ["a"] * 5, "z": [None] * 5})
    columns = {"x": "numerical", "y": "categorical", "z": "categorical"}
    sample = ChowLiuTree().fit(frame, columns).sample(3, seed=0)
    assert sample["x"].tolist() == [1.0] * 3
    assert sample["z"].isna().all()
    assert len(ChowLiuTree().fit(frame[["x"]], {"x": "numerical"}).sample(3, seed=0)) == 3
