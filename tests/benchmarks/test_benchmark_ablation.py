"""Differences of paired fits, from a summary made by hand."""

from __future__ import annotations

import json

import ablation
import pytest


def entry(table, name, seed, shape, **tstr):
    scores = {"shape_error": shape, "trend_error": 2.0, "detection_train": 0.5}
    scores |= {"detection_test": 0.25 * shape, "tstr_auc": None, "tstr_rmse": None} | tstr
    return {"dataset": table, "synthesizer": name, "seed": seed, "scores": scores}


@pytest.fixture
def summary():
    results = []
    for table, tstr in (("a@validation", "tstr_auc"), ("b", "tstr_rmse")):
        results.append(entry(table, "real", 0, 0.0, **{tstr: 4.0}))
        for seed in (0, 1):
            results.append(entry(table, "vanilla", seed, 1.0, **{tstr: 5.0}))
            results.append(entry(table, "mfs", seed, 1.0 + seed, **{tstr: 5.0 - seed}))
    results.append(entry("b", "mfs", 2, 1.0, tstr_rmse=1.0))  # without its pair
    return {"results": results}


def test_differences_are_of_pairs(summary):
    found = ablation.differences(summary, "mfs", "")
    assert list(found) == ["a@validation", "b"]
    assert found["b"]["shape error, %"].tolist() == [0, 1]
    assert found["b"]["detection, test"].tolist() == [0, 0.25]
    assert found["b"]["trend error, %"].tolist() == [0, 0]
    assert found["a@validation"]["TSTR"].tolist() == [0, -1]
    assert found["b"]["TSTR"].tolist() == [0, 0.25]  # a smaller error is better
    assert ablation.differences(summary, "mfs", "-uncalibrated") == {}
    assert ablation.differences(summary, "width-512", "") == {}


def test_the_table_has_means_and_their_errors(summary, tmp_path, capsys):
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary))
    ablation.main([str(path)])
    out = capsys.readouterr().out
    assert "| a | +0.500 ± 0.500 | +0.000 ± 0.000 |" in out
    assert out.splitlines()[-1].startswith("| **mean** | +0.500 ± 0.000 |")
    assert out.splitlines()[-1].endswith("| -0.188 ± 0.312 |")
    assert "uncalibrated" not in out


def test_several_changes_have_a_line_each(summary, tmp_path, capsys):
    summary["results"].append(entry("b", "width-512", 1, 3.0, tstr_rmse=1.0))
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(summary))
    ablation.main([str(path)])
    mfs, wide = capsys.readouterr().out.splitlines()[-2:]
    assert mfs.startswith("| mfs | 2 | 4 | +0.500 ± 0.000 |")
    assert wide == "| width-512 | 1 | 1 | +2.000 | +0.000 | +0.000 | +0.500 | +1.000 |"
