from __future__ import annotations

import json
import os
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import datasets
import job
import numpy as np
import pandas as pd
import pytest
import quality
import synthesizers
from plot import quality_plot

from sdv_wgangp.reporting import scores as reports


@pytest.fixture
def table(tmp_path):
    """A small CSV with a number, a category with gaps, a date and a class to predict."""
    rng = np.random.default_rng(0)
    rows = 300
    size = rng.gamma(2.0, size=rows).round(3)
    frame = pd.DataFrame(
        {
            "size": size,
            "kind": np.where(rng.random(rows) < 0.1, "?", rng.choice(list("abc"), rows)),
            "day": pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 99, rows), "D"),
            "outcome": (size + rng.normal(size=rows) > 2).astype(int),
        }
    )
    path = tmp_path / "small.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def dataset(table):
    return datasets.load(str(table), "outcome")


def arguments_for(table, output, *more):
    return [
        *("--datasets", str(table), "--target", "outcome", "--output", str(output)),
        *("--synthesizers", "independent", "--seeds", "0", "--threads", "1", "--jobs", "2"),
        *more,
    ]


# ------------------------------------------------------------------ tables


def test_a_csv_gets_types_a_target_and_a_split(dataset):
    assert dataset.columns == {
        "size": "numerical",
        "kind": "categorical",
        "day": "datetime",
        "outcome": "categorical",
    }
    assert (len(dataset.train), len(dataset.test)) == (270, 30)
    assert dataset.train["kind"].isna().any()
    assert not dataset.regression
    rows = pd.concat([dataset.train, dataset.test])
    assert len(rows.drop_duplicates()) == len(rows)


def test_a_split_for_choices_has_no_test_rows_in_it(table, dataset):
    part = datasets.load(f"{table}@validation", "outcome")
    assert part.name == "small@validation"
    rows = pd.concat([part.train, part.test])
    keys = [sorted(map(str, of.itertuples(index=False))) for of in (rows, dataset.train)]
    assert keys[0] == keys[1]
    assert len(part.test) == len(dataset.train) - int(0.85 * len(dataset.train))


def test_every_row_is_a_test_row_in_one_fold(table, dataset):
    def keys(*frames):
        return sorted(str(row) for of in frames for row in of.itertuples(index=False))

    parts = [datasets.load(f"{table}@fold{number}", "outcome") for number in range(5)]
    everything = keys(dataset.train, dataset.test)
    assert [part.name for part in parts] == [f"small@fold{number}" for number in range(5)]
    assert all(keys(part.train, part.test) == everything for part in parts)
    assert keys(*(part.test for part in parts)) == everything
    for part in ("@fold5", "@other"):
        with pytest.raises(SystemExit, match=f"unknown part '{part}' of small: give @validation"):
            datasets.load(f"{table}{part}", "outcome")


def test_a_csv_target_of_many_numbers_is_regressed(table):
    dataset = datasets.load(str(table), "size")
    assert dataset.regression
    assert dataset.columns["size"] == "numerical"


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("nowhere", None, "unknown table 'nowhere'"),
        ("nowhere.csv", None, "nowhere.csv is missing: check the path"),
        (None, "price", "small has no column 'price' for the target: its columns are size, kind"),
    ],
)
def test_wrong_tables_are_named(table, name, target, message):
    with pytest.raises(SystemExit, match=message):
        datasets.load(name or str(table), target)


# ------------------------------------------------------------------ jobs


def test_real_rows_are_scored_without_meeting_themselves(dataset):
    content = job.score_sample(dataset, dataset.test, real=True, xgboost=False)
    scores = content["scores"]
    assert content["thresholds"] == {"all_pairs": [0, 0], "default": [0.5, 0.3]}
    assert scores["detection_test"] == scores["detection_train"]
    assert 0.2 < scores["nearest_record_share"] < 0.8
    assert scores["exact_copies"] == 0
    assert scores["detection_train_xgboost"] is None
    trained_on_train = job.score_sample(dataset, dataset.train, real=False, xgboost=False)
    assert scores["tstr_auc"] == trained_on_train["scores"]["tstr_auc"]


@pytest.mark.parametrize(("rows", "subsamples"), [(300, 4), (500, 2), (1_000, 1)])
def test_few_rows_are_compared_in_several_subsamples(rows, subsamples):
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"x": rng.normal(size=rows)})
    fake = pd.DataFrame({"x": rng.normal(0.5, size=2 * rows)})
    columns = {"x": "numerical"}
    each = [reports.detection(real, fake, columns, seed=k).score for k in range(subsamples)]
    assert len(set(each)) == subsamples
    assert job.mean_detection(real, fake, columns) == (pytest.approx(np.mean(each)), rows)


def test_copies_of_the_training_rows_show(dataset):
    scores = job.score_sample(dataset, dataset.train, real=False, xgboost=False)["scores"]
    assert scores["shape_error"] == pytest.approx(0)
    assert scores["trend_error"] == pytest.approx(0)
    assert scores["quality"] == pytest.approx(1)
    assert scores["exact_copies"] == 1
    assert scores["distance_ratio"] == 0


def test_a_sample_without_its_columns_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(
        job.RECIPES,
        "independent",
        synthesizers.Recipe(
            lambda *_: synthesizers.Fitted({"independent": lambda: dataset.train[["size"]]}, {}),
            ("independent",),
        ),
    )
    with pytest.raises(ValueError, match=r"independent returned the columns \['size'\]"):
        job.fit_job(dataset, "independent", 0, None, 1, tmp_path)
    assert not (tmp_path / "independent/0/fit.json").exists()


def test_sdv_synthesizers_fit_and_sample(dataset):
    fitted = synthesizers.RECIPES["gaussian_copula"].fit(dataset, 0, None)
    sample = fitted.samplers["gaussian_copula"]()
    assert list(sample.columns) == list(dataset.train.columns)
    assert len(sample) == len(dataset.train)
    assert fitted.parameters["enforce_min_max_values"] is True


def test_ours_gives_two_samples_of_one_fit(dataset):
    fitted = synthesizers.RECIPES["wgangp"].fit(dataset, 0, 2)
    calibrated, plain = (fitted.samplers[name]() for name in ("wgangp", "wgangp-uncalibrated"))
    assert len(calibrated) == len(plain) == len(dataset.train)
    assert not calibrated.equals(plain)
    pd.testing.assert_frame_equal(calibrated, fitted.samplers["wgangp"]())
    assert fitted.parameters["random_state"] == 0


def test_json_holds_no_numbers_that_are_none():
    content = job.finite({"a": np.float64("nan"), "b": [np.int64(3), float("inf")], 4: True})
    assert content == {"a": None, "b": [3, None], "4": True}


def test_the_data_digest_tells_rows_and_names_apart(dataset):
    digest = job.data_digest(dataset.train)
    assert digest == job.data_digest(dataset.train.copy())
    assert digest != job.data_digest(dataset.train.iloc[::-1])
    assert digest != job.data_digest(dataset.train.rename(columns={"size": "length"}))


# ------------------------------------------------------------------ the runner


def test_a_run_is_stored_reported_and_taken_again(table, tmp_path, capsys, monkeypatch):
    output = tmp_path / "output"
    assert quality.main(arguments_for(table, output)) == 0
    printed = capsys.readouterr().out
    assert "small: 270 training rows, 30 test rows" in printed
    assert "TSTR AUC" in printed

    written = json.loads((output / "quality.json").read_text())
    independent = written["summary"]["small"]["independent"]
    assert independent["shape_error"] == {"mean": pytest.approx(0), "spread": None, "count": 1}
    assert independent["trend_error"]["mean"] > 1
    assert independent["peak_mb"]["mean"] > 50
    assert independent["fit_cpu_seconds"]["mean"] > 0
    assert independent["sample_cpu_seconds"]["mean"] > 0
    assert written["results"][0]["fit"]["fit_cpu_seconds"] > 0
    assert written["thresholds"] == {"all_pairs": [0, 0], "default": [0.5, 0.3]}
    assert written["datasets"]["small"]["tstr"] == "tstr_auc"
    environment = written["environments"][written["results"][0]["fit"]["environment"]]
    assert {"torch", "sdv", "sdmetrics", "python"} <= set(environment["versions"])
    assert str(tmp_path) not in json.dumps(written)
    assert "independent" in (output / "quality.svg").read_text()

    def no_job(*_):
        raise AssertionError("a stored job ran again")

    monkeypatch.setattr(quality.Runner, "run", no_job)
    assert quality.main(arguments_for(table, output)) == 0
    again = json.loads((output / "quality.json").read_text())
    assert again["summary"] == written["summary"]

    with table.open("a") as file:
        file.write("1.5,a,2021-03-01,1\n")
    with pytest.raises(SystemExit, match="stored fit of small real seed 0 has other training"):
        quality.main(arguments_for(table, output))


def test_other_epochs_are_not_taken_for_the_stored_ones(dataset, table, tmp_path):
    where = job.place(tmp_path / "small", "ctgan", 0)
    where.mkdir(parents=True)
    dataset.train.to_parquet(where / job.SAMPLE)
    job.write_json(where / job.FIT, job.fit_identity("ctgan", dataset, 5))
    common = arguments_for(table, tmp_path, "--synthesizers", "ctgan")
    stored = quality.plan(quality.parse([*common, "--epochs", "5"]))
    assert [(task.recipe, task.first) for task in stored] == [("real", "fit"), ("ctgan", None)]
    with pytest.raises(SystemExit, match=r"other --epochs \(5, now None\).*--fresh"):
        quality.plan(quality.parse(common))
    fresh = quality.plan(quality.parse([*common, "--fresh"]))
    assert all(task.first == "fit" for task in fresh)


def test_a_stored_fit_of_ours_is_sampled_again(dataset, table, tmp_path, monkeypatch):
    folder = tmp_path / "small"
    job.fit_job(dataset, "wgangp", 0, 1, 1, folder)
    where = {name: job.place(folder, name, 0) for name in job.RECIPES["wgangp"].outputs}
    before = {name: pd.read_parquet(path / job.SAMPLE) for name, path in where.items()}
    records = {name: job.read_json(path / job.FIT) for name, path in where.items()}
    for path in where.values():
        (path / job.SAMPLE).write_bytes(b"")
    arguments = arguments_for(table, tmp_path, "--synthesizers", "wgangp", "--epochs", "1")
    (task,) = quality.plan(quality.parse([*arguments, "--resample"]))[1:]
    assert task.first == "resample"
    job.resample_job(dataset, "wgangp", 0, folder)
    for name, path in where.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path / job.SAMPLE), before[name])
        record = job.read_json(path / job.FIT)
        assert record["fit_seconds"] == records[name]["fit_seconds"]
        assert record["sample_source"] == record["source"]
    # Calibrated again: as another seed would be, and what is without calibration is the same.
    (task,) = quality.plan(quality.parse([*arguments, "--recalibrate"]))[1:]
    assert task.first == "recalibrate"
    job.resample_job(dataset, "wgangp", 0, folder, recalibrate=True)
    again = {name: pd.read_parquet(path / job.SAMPLE) for name, path in where.items()}
    pd.testing.assert_frame_equal(again["wgangp-uncalibrated"], before["wgangp-uncalibrated"])
    assert not again["wgangp"].equals(before["wgangp"])
    record = job.read_json(where["wgangp"] / job.FIT)
    assert record["calibration_source"] == record["source"]
    assert record["calibration_cpu_seconds"] > 0
    # The stored model is the one that was calibrated again.
    job.resample_job(dataset, "wgangp", 0, folder)
    pd.testing.assert_frame_equal(pd.read_parquet(where["wgangp"] / job.SAMPLE), again["wgangp"])
    # What ends early loses nothing.
    kept = {name: (path / job.FIT).read_text() for name, path in where.items()}

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synthesizers, "sdv_sample", stopped)
        with pytest.raises(KeyboardInterrupt):
            job.resample_job(dataset, "wgangp", 0, folder, recalibrate=True)
    assert {name: (path / job.FIT).read_text() for name, path in where.items()} == kept
    # A pickle that names a class which is no more.
    (where["wgangp"] / job.MODEL).write_bytes(b"csdv_wgangp.models.tabular\nGone\n.")
    with pytest.raises(SystemExit, match=r"model\.pkl is of other code.*--fresh"):
        job.resample_job(dataset, "wgangp", 0, folder)
    (where["wgangp"] / job.MODEL).unlink()
    with pytest.raises(SystemExit, match=r"has no model\.pkl to sample from.*--fresh"):
        quality.plan(quality.parse([*arguments, "--resample"]))
    (task,) = quality.plan(quality.parse(arguments))[1:]
    assert task.first is None
    others = [*arguments, "--synthesizers", "wgangp", "ctgan", "--seeds", "0", "1"]
    (task,) = quality.plan(quality.parse([*others, "--stored"]))
    assert (task.recipe, task.seed, task.first) == ("wgangp", 0, None)


def test_two_samples_share_a_fit_and_fixed_ones_run_once(table, tmp_path):
    names = ["wgangp-uncalibrated", "wgangp", "gaussian_copula", "chow_liu"]
    more = ["--synthesizers", *names, "--seeds", "3", "4"]
    tasks = quality.plan(quality.parse(arguments_for(table, tmp_path, *more)))
    assert [(task.recipe, task.seed, task.outputs) for task in tasks] == [
        ("real", 0, ("real",)),
        ("wgangp", 3, ("wgangp", "wgangp-uncalibrated")),
        ("wgangp", 4, ("wgangp", "wgangp-uncalibrated")),
        ("gaussian_copula", 0, ("gaussian_copula",)),
        ("chow_liu", 3, ("chow_liu",)),
        ("chow_liu", 4, ("chow_liu",)),
    ]


def test_a_failed_job_is_reported_and_the_others_go_on(table, tmp_path, capsys, monkeypatch):
    def run(self, kind, source, name, seed, folder):
        if name == "independent":
            raise quality.JobFailed("fit: killed by SIGKILL (out of memory?)")
        if kind == "fit":
            job.fit_job(datasets.load(source, "outcome"), name, seed, None, 1, folder)
        else:
            job.score_job(datasets.load(source, "outcome"), name, seed, folder)

    monkeypatch.setattr(quality.Runner, "run", run)
    assert quality.main(arguments_for(table, tmp_path, "--jobs", "1")) == 1
    printed = capsys.readouterr().out
    assert "small independent seed 0: fit: killed by SIGKILL (out of memory?)" in printed
    written = json.loads((tmp_path / "quality.json").read_text())
    assert list(written["summary"]["small"]) == ["real"]
    assert [entry.get("error") for entry in written["results"]] == [
        None,
        "fit: killed by SIGKILL (out of memory?)",
    ]


def test_the_error_of_a_job_is_its_last_line(tmp_path):
    runner = quality.Runner(1, None, None)
    with pytest.raises(quality.JobFailed, match=r"fit: .*nowhere\.csv is missing: check the path"):
        runner.run("fit", "nowhere.csv", "independent", 0, tmp_path)
    log = (tmp_path / "independent/0/error.log").read_text()
    assert "nowhere.csv is missing" in log


def test_a_stopped_runner_ends_its_jobs_and_starts_no_more(table, tmp_path):
    runner = quality.Runner(1, "outcome", 100_000)
    raised = []

    def run():
        try:
            runner.run("fit", str(table), "ctgan", 0, tmp_path)
        except quality.Interrupted as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 10
    while not runner.running and time.monotonic() < deadline:
        time.sleep(0.01)
    (process,) = runner.running
    runner.stop()
    thread.join(15)
    assert not thread.is_alive()
    assert len(raised) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    with pytest.raises(quality.Interrupted):
        runner.run("fit", str(table), "independent", 0, tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--seeds", "-1"], "seeds must not be negative"),
        (["--fresh", "--resample"], "--fresh fits again, and samples from that: leave out --res"),
        (["--fresh", "--recalibrate"], "samples from that: leave out --recalibrate"),
        (["--resample", "--recalibrate"], "not allowed with argument"),
        (["--datasets", "adult"], "--target is for a CSV"),
        (["--datasets", "adult", "adult.csv"], "two tables share a name"),
        (["--synthesizers", "gan"], "invalid choice: 'gan'"),
    ],
)
def test_wrong_arguments_are_one_line(table, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit) as exit_:
        quality.parse(arguments_for(table, tmp_path, *more))
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------ summary and plot


def entry(synthesizer, seed, trend, auc):
    return {
        "dataset": "d",
        "synthesizer": synthesizer,
        "seed": seed,
        "fit": {"fit_seconds": 10.0 + seed, "sample_seconds": 1.0, "peak_mb": 100.0},
        "scores": {
            "shape_error": 0.0,
            "trend_error": trend,
            "detection_train": 0.5,
            "detection_test": 0.7,
            "tstr_auc": auc,
        },
    }


def test_summary_is_the_mean_and_its_spread():
    summary = quality.summarise([entry("x", 0, 1.0, 0.8), entry("x", 1, 3.0, None)])
    assert summary["d"]["x"]["trend_error"] == {
        "mean": 2.0,
        "spread": pytest.approx(2**0.5),
        "count": 2,
    }
    assert summary["d"]["x"]["tstr"] == {"mean": 0.8, "spread": None, "count": 1}
    assert summary["d"]["x"]["fit_seconds"]["mean"] == 10.5
    # Fits stored before CPU seconds were measured have none.
    assert "fit_cpu_seconds" not in summary["d"]["x"]
    column = quality.Column("trend %", "trend_error", 2)
    assert quality.format_cell(summary["d"]["x"]["trend_error"], column) == "2.00±1.41"
    assert quality.format_cell({"mean": 4256.073, "spread": 33.3}, column) == "4256±33"
    assert quality.format_cell(None, column) == "-"


def test_the_text_table_is_aligned():
    summary = quality.summarise([entry("x", 0, 1.0, 0.8), entry("a-long-name", 1, 13.0, 0.9)])
    title, *lines = quality.format_table("d", summary["d"], "tstr_auc").splitlines()
    assert title == "d"
    assert len({len(line) for line in lines}) == 1
    assert lines[0].index("trend %") + len("trend %") == lines[2].index("13.00") + len("13.00")


def test_scores_of_other_thresholds_do_not_share_a_table():
    entries = [{"thresholds": {"default": [0.5, 0.3]}}, {"thresholds": {"default": [0.4, 0.3]}}]
    with pytest.raises(RuntimeError, match="--rescore"):
        quality.thresholds(entries)


def test_the_plot_marks_every_figure():
    entries = [
        entry("real", 0, 1.0, 0.9),
        entry("x & y", 0, 2.0, 0.8),
        entry("x & y", 1, 3.0, 0.7),
    ]
    svg = quality_plot(quality.summarise(entries), {"d": "tstr_auc"})
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"d", "real", "x & y", "TSTR, AUC", "2.50", "0.750"} <= set(texts)
    # Two synthesizers with five figures each, and two marks of the legend.
    assert len(list(root.iter(f"{space}circle"))) == 2 * 5 + 2
    width = float(root.get("width"))
    assert all(0 < float(mark.get("cx")) < width for mark in root.iter(f"{space}circle"))


# ------------------------------------------------------------------ other judges


def test_other_judges_stand_beside_real_rows_of_equal_size(dataset):
    real = job.score_sample(dataset, dataset.test, real=True, xgboost=False)["scores"]
    lacking = dataset.train[dataset.train["kind"] != "b"]
    own = job.score_sample(dataset, lacking, real=False, xgboost=False)["scores"]
    for judge in job.JUDGES:
        assert 0 <= own[f"detection_{judge}"] <= 1
        assert real[f"detection_{judge}"] > 0.5
    assert own["lost_levels"] >= 1
    assert own["lost_modes"] >= 1
    assert real["lost_modes"] == 0
    assert real["attack_auc"] is None
    # Thirty test rows are no reference.
    assert own["attack_auc"] is None
    more = replace(dataset, train=dataset.train[:100], test=dataset.train[100:])
    own = job.score_sample(more, more.train, real=False, xgboost=False)["scores"]
    assert own["attack_auc"] > own["attack_control"]


def test_two_thirds_of_the_rows_are_left_for_an_attack(table, dataset):
    part = datasets.load(f"{table}@thirds", "outcome")
    assert (part.name, len(part.train), len(part.test)) == ("small@thirds", 100, 200)
    rows = [pd.concat([of.train, of.test]) for of in (part, dataset)]
    keys = [sorted(map(str, of.itertuples(index=False))) for of in rows]
    assert keys[0] == keys[1]
