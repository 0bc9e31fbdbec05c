from __future__ import annotations

import json

import datasets
import job
import numpy as np
import pandas as pd
import pytest
import repeated


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    size = rng.gamma(2.0, size=240).round(3)
    path = tmp_path / "small.csv"
    pd.DataFrame({"size": size, "outcome": size + rng.normal(size=240)}).to_csv(path, index=False)
    return path


def test_samples_of_a_fit_differ_and_come_again(table, tmp_path, capsys):
    job.fit_job(datasets.load(str(table), "outcome"), "wgangp", 0, 1, 1, tmp_path / "small")
    arguments = ["--datasets", str(table), "--target", "outcome", "--output", str(tmp_path)]
    arguments += ["--samples", "2", "--json", str(tmp_path / "repeated.json")]
    repeated.main(arguments)
    printed = capsys.readouterr().out
    assert "small, 2 samples" in printed
    found = json.loads((tmp_path / "repeated.json").read_text())["results"]
    assert [(entry["seed"], entry["sample"]) for entry in found] == [(0, 0), (0, 1)]
    first, second = (entry["scores"] for entry in found)
    assert first["tstr_rmse"] != second["tstr_rmse"]
    mean = (first["tstr_rmse"] + second["tstr_rmse"]) / 2
    error = abs(first["tstr_rmse"] - second["tstr_rmse"]) / 2
    assert f"| tstr_rmse | {mean:.5g} | {error:.2g} |" in printed
    repeated.main(arguments)
    assert capsys.readouterr().out == printed


def test_a_fit_that_is_not_there_is_named(table, tmp_path):
    arguments = ["--datasets", str(table), "--target", "outcome", "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"model\.pkl is missing: fit it with quality\.py first"):
        repeated.main(arguments)
