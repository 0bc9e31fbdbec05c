from __future__ import annotations

import json

import datasets
import job
import numpy as np
import pandas as pd
import pytest
import recalibrate


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A table that one epoch does not learn, and the folder of its fit."""
    folder = tmp_path_factory.mktemp("recalibrate")
    rng = np.random.default_rng(0)
    size = rng.gamma(2.0, size=900).round(3)
    path = folder / "small.csv"
    pd.DataFrame({"size": size, "outcome": size + rng.normal(size=900)}).to_csv(path, index=False)
    job.fit_job(datasets.load(str(path), "outcome"), "vanilla", 0, 1, 1, folder / "small")
    return path, folder


def test_ways_to_calibrate_are_compared(fitted, capsys):
    path, folder = fitted
    ways = ["", "max_weight=1.1, fine_max_weight=1.1"]
    recalibrate.main(
        [
            *("--datasets", str(path), "--target", "outcome", "--output", str(folder)),
            *("--synthesizer", "vanilla", "--samples", "2", "--json", str(folder / "found.json")),
            *("--calibration-options", *ways),
        ]
    )
    printed = capsys.readouterr().out
    found = json.loads((folder / "found.json").read_text())["results"]
    assert [entry["way"] for entry in found] == ways
    assert [len(entry["scores"]) for entry in found] == [2, 2]
    much, little = (entry["generated_for_one"] for entry in found)
    assert little == pytest.approx(1.1, rel=0.02)
    assert much > 1.2
    assert f"| as it is | {much:.1f} |" in printed
    shapes = [scores["shape_error"] for scores in found[0]["scores"]]
    error = abs(shapes[0] - shapes[1]) / 2
    assert f"| {np.mean(shapes):.4g} ± {error:.1g} |" in printed


def test_calibrations_differ_by_their_random_numbers(fitted, capsys):
    path, folder = fitted
    recalibrate.main(
        [
            *("--datasets", str(path), "--target", "outcome", "--output", str(folder)),
            *("--synthesizer", "vanilla", "--samples", "1", "--calibrations", "2"),
            *("--json", str(folder / "found.json")),
        ]
    )
    one, two = json.loads((folder / "found.json").read_text())["results"]
    assert (one["calibration"], two["calibration"]) == (0, 1)
    assert one["generated_for_one"] != two["generated_for_one"]
    shapes = [entry["scores"][0]["shape_error"] for entry in (one, two)]
    error = abs(shapes[0] - shapes[1]) / 2
    assert f"| {np.mean(shapes):.4g} ± {error:.1g} |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        recalibrate.main(["--datasets", str(path), "--calibrations", "0"])


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("max_weights=3", "no option 'max_weights': did you mean 'max_weight'?"),
        ("max_weight", "'max_weight' is not like NAME=NUMBER"),
        ("max_weight=0", "max_weight must be a finite number of at least 1, not 0.0"),
    ],
)
def test_a_way_that_is_none_is_named(way, message, capsys):
    with pytest.raises(SystemExit):
        recalibrate.main(["--datasets", "nowhere", "--calibration-options", way])
    assert message in capsys.readouterr().err
