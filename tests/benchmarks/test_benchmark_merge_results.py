from __future__ import annotations

import json

import job
import merge_results
import pytest
import quality

TABLE = {"train_rows": 90, "test_rows": 10, "columns": 2, "target": "y", "tstr": "tstr_auc"}

SCORES = {"trend_error": 2.0, "detection_train": 0.5, "detection_test": 0.6, "tstr_auc": 0.9}


def entry(synthesizer: str, seed: int, shape_error: float, cpu: str, **parameters) -> dict:
    """One as `quality.collect` gives it."""
    environment = {"host": {"cpu": cpu}, "versions": {"torch": "2"}}
    fit = {"fit_seconds": 1.0, "threads": 1, "source": cpu, "parameters": parameters}
    return {
        **{"dataset": "small", "synthesizer": synthesizer, "seed": seed, "fit": fit | environment},
        **{"scores": SCORES | {"shape_error": shape_error}, **environment},
        **{"protocol": job.PROTOCOL, "thresholds": [0, 0]},
    }


def write(path, entries: list[dict], jobs: int, of_table: dict = TABLE):
    summary = quality.summarise(entries)
    quality.write_results(path, {"jobs": jobs}, {"small": of_table}, summary, entries)
    return path


def merge(path, *files) -> dict:
    merge_results.main([*map(str, files), "--json", str(path)])
    return json.loads(path.read_text())


def test_what_is_compacted_expands_again():
    entries = [
        entry("wgangp", 0, 1.0, "old", epochs=1),
        entry("wgangp", 1, 2.0, "new", epochs=2),
        {"dataset": "small", "synthesizer": "tvae", "seed": 0, "error": "fit: killed"},
    ]
    content = json.loads(
        json.dumps(quality.compact(entries) | {"protocol": job.PROTOCOL, "thresholds": [0, 0]})
    )
    for expanded, known in zip(quality.expand(content), entries, strict=True):
        known_fit = known.pop("fit", {})
        fit = expanded.pop("fit", {})
        assert expanded == known
        assert {key: fit[key] for key in known_fit} == known_fit


def test_the_last_file_counts(tmp_path):
    old = write(
        tmp_path / "old.json",
        [
            entry("ctgan", 0, 9.0, "old"),
            entry("wgangp", 0, 5.0, "old", epochs=1),
            entry("wgangp", 1, 6.0, "old", epochs=1),
        ],
        jobs=2,
    )
    failed = {"dataset": "small", "synthesizer": "ctgan", "seed": 0, "error": "fit: killed"}
    worse = write(tmp_path / "worse.json", [failed], 1, TABLE | {"tstr": None})
    new = write(tmp_path / "new.json", [entry("wgangp", 0, 1.0, "new", epochs=3), failed], jobs=1)
    content = merge(tmp_path / "all.json", old, new, worse)
    assert content["datasets"] == {"small": TABLE}
    found = [
        (result["synthesizer"], result["seed"], result["fit"]["source"])
        for result in content["results"]
    ]
    assert found == [("wgangp", 0, "new"), ("wgangp", 1, "old"), ("ctgan", 0, "old")]
    assert content["summary"]["small"]["wgangp"]["shape_error"] == {
        "mean": 3.5,
        "spread": pytest.approx(12.5**0.5),
        "count": 2,
    }
    by_seed = {entry_["seed"]: entry_ for entry_ in quality.expand(content)[:2]}
    assert [by_seed[seed]["fit"]["host"]["cpu"] for seed in (0, 1)] == ["new", "old"]
    assert [by_seed[seed]["fit"]["parameters"] for seed in (0, 1)] == [
        {"epochs": 3},
        {"epochs": 1},
    ]
    assert content["settings"] == [{"jobs": 2}, {"jobs": 1}]
    assert (tmp_path / "all.svg").read_text().startswith("<svg")
    # Merging what is merged changes nothing.
    again = merge(tmp_path / "again.json", tmp_path / "all.json")
    assert {**again, "created": None} == {**content, "created": None}


def test_synthesizers_of_older_results_are_kept(tmp_path):
    entries = [entry("gone", 0, 3.0, "old"), entry("wgangp", 0, 1.0, "old")]
    path = write(tmp_path / "old.json", entries, jobs=1)
    found = [result["synthesizer"] for result in merge(tmp_path / "all.json", path)["results"]]
    assert found == ["wgangp", "gone"]


def test_files_that_cannot_be_compared_are_refused(tmp_path):
    one = write(tmp_path / "one.json", [entry("wgangp", 0, 1.0, "a")], jobs=1)
    other = write(
        tmp_path / "other.json", [entry("wgangp", 1, 1.0, "a")], 1, TABLE | {"test_rows": 11}
    )
    with pytest.raises(SystemExit, match=r"small is .* in one file and .* in another"):
        merge(tmp_path / "all.json", one, other)
    stricter = [entry("wgangp", 1, 1.0, "a") | {"thresholds": [0.5, 0.3]}]
    stricter = write(tmp_path / "stricter.json", stricter, jobs=1)
    with pytest.raises(SystemExit, match=r"cannot be merged: .* thresholds: use --rescore"):
        merge(tmp_path / "all.json", one, stricter)
    with pytest.raises(SystemExit, match=r"nowhere\.json is missing"):
        merge(tmp_path / "all.json", one, tmp_path / "nowhere.json")
    content = json.loads(one.read_text())
    one.write_text(json.dumps(content | {"protocol": 1}))
    with pytest.raises(SystemExit, match="protocol 1, today's is 2: score its samples again"):
        merge(tmp_path / "all.json", one)
