"""The benchmark of conditions: what it measures, on tables where that is known."""

from __future__ import annotations

import json

import conditions
import datasets
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    random = np.random.default_rng(0)
    rows = 4000
    kind = np.where(np.arange(rows) % 140, random.choice(["a", "b"], rows, p=[0.6, 0.4]), "c")
    frame = pd.DataFrame(
        {
            "kind": kind,
            "other": np.where(random.random(rows) < 0.1, None, random.choice(["x", "y"], rows)),
            "third": random.choice(["u", "v"], rows),
            "number": random.normal(size=rows) + (kind == "b"),
        }
    )
    path = tmp_path_factory.mktemp("tables") / "small.csv"
    frame.to_csv(path, index=False)
    return path


def test_rows_that_meet_a_condition(table):
    frame = datasets.load(str(table)).train
    found = conditions.meets(frame, {"kind": "a", "other": None})
    assert found.equals(frame["kind"].eq("a") & frame["other"].isna())


@pytest.mark.parametrize(("size", "rare"), [(1, False), (2, False), (5, False), (1, True)])
def test_conditions_are_those_of_test_rows(table, size, rare):
    dataset = datasets.load(str(table))
    names = conditions.discrete_columns(dataset)
    chosen = conditions.choose(dataset, names, size, rare, np.random.default_rng(0))
    assert len(chosen) == len(set(map(str, chosen))) > 0
    for condition in chosen:
        assert len(condition) == min(size, len(names) - 1)
        share = conditions.meets(dataset.train, condition).mean()
        assert 0 < share < 0.01 if rare else share > 0.01
    if rare:
        assert chosen == [{"kind": "c"}]


def test_distances_of_columns_and_of_pairs():
    columns = {"p": "categorical", "q": "categorical", "n": "numerical", "g": "categorical"}
    one = pd.DataFrame({"p": list("aabb") * 5, "q": list("xyxy") * 5, "n": range(20), "g": "g"})
    distance = conditions.Distance(one, columns)
    assert distance(one, one, {}) == (0, 0)
    other = one.assign(q=one["p"].map({"a": "x", "b": "y"}))
    # The marginals agree; of the pairs of p, q and n, only those with q do not.
    singles, pairs = distance(one, other, {"g": "g"})
    assert singles == 0
    expected = {}
    for names in (["p", "q"], ["p", "n"], ["q", "n"]):
        cut = [one["n"] // 2 if name == "n" else None for name in names]
        shares = [
            pd.crosstab(*[f[name] if c is None else c for name, c in zip(names, cut, strict=True)])
            for f in (one, other)
        ]
        expected[tuple(names)] = shares[0].sub(shares[1]).abs().to_numpy().sum() / 40
    assert pairs == pytest.approx(np.mean(list(expected.values())))
    assert expected["p", "q"] == 0.5
    gone = one.assign(q=None)
    assert distance(one, gone, {"g": "g"})[0] == pytest.approx(1 / 3)


def test_it_runs_and_leaves_its_figures(table, tmp_path, capsys):
    arguments = ["--dataset", str(table), "--epochs", "1", "--pool", "3000"]
    arguments += ["--conditions", "2", "--rounds", "1"]
    saved = tmp_path / "model.safetensors"
    conditions.main([*arguments, "--save", str(saved), "--output", str(tmp_path)])
    content = json.loads((tmp_path / "conditions_small.json").read_text())
    for name in conditions.SETS:
        for entry in content[name]["conditions"]:
            assert entry["satisfied"] == 1
            assert entry["rows"] == conditions.ROWS
    compared = content["1"]["conditions"][0]
    assert compared["compared_rows"] >= conditions.LEAST_ROWS
    assert set(compared["columns"]) == set(conditions.WAYS)
    assert 0 < compared["columns"]["training"] < compared["pairs"]["training"] < 1
    conditions.main([*arguments, "--model", str(saved)])
    assert capsys.readouterr().out.count("100 %") == 2 * len(conditions.SETS)
