from __future__ import annotations

import json

import datasets
import job
import numpy as np
import pandas as pd
import pytest
import recalibrate

from sdv_wgangp.calibration import selection

LIMITS = ("MAX_WEIGHT", "FINE_MAX_WEIGHT")


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
    ways = ["", ", ".join(f"calibration.selection.{name}=1.1" for name in LIMITS)]
    recalibrate.main(
        ["--datasets", str(path), "--target", "outcome", "--output", str(folder)]
        + ["--synthesizer", "vanilla", "--samples", "2", "--json", str(folder / "found.json")]
        + [part for way in ways for part in ("--set", way)]
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
    # It is as it was, afterwards.
    assert [getattr(selection, name) for name in LIMITS] == [24, 3]


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
    "way",
    [
        "MAX_WEIGHT=3",
        "calibration.selection.NO=3",
        "calibration.selection.MAX_WEIGHT",
        "nowhere.X=1",
    ],
)
def test_a_way_that_is_none_is_named(way):
    with pytest.raises(SystemExit, match="is no MODULE"):
        recalibrate.main(["--datasets", "nowhere", "--set", way])
