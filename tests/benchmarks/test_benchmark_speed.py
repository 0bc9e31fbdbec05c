"""The benchmark of training and sampling: its counts, its processes, its tables."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from typing import ClassVar

import numpy as np
import pytest
import speed
import torch
from speed_cases import levels, products, sampling, step, tables, width
from speed_cases.section import Section, Settings
from speed_cases.workers import Worker, WorkerFailed

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.training.settings import TrainingSettings

SIZES = products.Sizes(
    batch=10, critic_steps=2, pac=1, levels=100, dense=3, positions=2, white=2, noise=4,
    generator=(8, 6), critic=(16, 5),
)  # fmt: skip


# ------------------------------------------------------------------ tables


def test_the_wide_table_is_as_wide_as_asked():
    for wanted in (20, 333):
        dataset = tables.named(f"wide:{wanted}")
        encoder = TableEncoder(list(dataset.columns)).fit(dataset.train)
        assert Layout.of(encoder).levels == wanted


def test_the_stand_in_has_the_columns_of_adult():
    dataset = tables.named("stand-in:400")
    assert len(dataset.train) == 400
    assert dataset.train["native_country"].nunique() == 41
    assert len(dataset.columns) == 15
    assert list(dataset.columns.values()).count("categorical") == 9
    assert dataset.train.notna().all(axis=None)


def test_every_level_of_the_wide_column_appears():
    dataset = tables.named("levels:50:200")
    assert dataset.train["wide"].nunique() == 50
    assert len(dataset.train) == 200
    with pytest.raises(ValueError, match="50 levels need as many rows, got 40"):
        tables.named("levels:50:40")


def test_adult_is_taken_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("SDV_WGANGP_DATASETS", str(tmp_path))
    assert tables.default_name(False) == "stand-in"
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult/adult.csv").touch()
    assert tables.default_name(False) == "adult"
    assert tables.default_name(True) == "stand-in:1000"


# ------------------------------------------------------------------ products


def test_the_products_of_a_step_by_hand():
    found = {product.name: product for product in products.training_step(SIZES)}
    expected = {
        "critic's fakes: block 1": (20, 4, 8, 1),
        "critic's fakes: block 2": (20, 12, 6, 1),
        "critic's fakes: logits": (20, 18, 100, 1),
        "critic's fakes: positions": (20, 18, 4, 1),
        "generator: logits": (10, 18, 100, 1),
        "logits: weight gradient": (100, 10, 18, 1),
        "logits: back": (10, 100, 14, 1),
        "block 2: weight gradient": (6, 10, 12, 1),
        "block 2: back": (10, 6, 8, 1),
        "block 1: weight gradient": (8, 10, 4, 1),
        "critic: dense channels": (20, 3, 16, 2),
        "critic: Gram matrix": (16, 103, 16, 2),
        "critic: penalty's first gradient": (103, 16, 16, 2),
        "critic: layer 2 forward": (30, 16, 5, 2),
        "critic: layer 2 back": (30, 5, 16, 2),
        "critic: layer 2 tangent": (10, 16, 5, 2),
        "critic: layer 3 forward": (30, 5, 1, 2),
        "row gradient: to levels": (10, 16, 100, 1),
        "whitened channels": (60, 2, 2, 1),
    }
    for name, (m, k, n, count) in expected.items():
        product = found[name]
        assert (product.m, product.k, product.n, product.count) == (m, k, n, count), name
        assert product.operations == 2 * m * k * n * count
    # The noise needs no gradient, nor the score a product to come back from.
    assert not {"block 1: back", "critic: layer 3 back"} & set(found)
    packed = products.training_step(products.Sizes(**{**vars(SIZES), "pac": 5}))
    gram = next(product for product in packed if product.name == "critic: Gram matrix")
    assert gram.k == 5 * 103


def test_bare_products_are_products(monkeypatch):
    made = []
    plain = torch.mm

    def noting(left, right, out):
        made.append((tuple(left.shape), tuple(right.shape), left.dtype))
        return plain(left, right, out=out)

    monkeypatch.setattr(torch, "mm", noting)
    bare = products.Bare([products.Product("x", 2, 3, 4, 3)], torch.bfloat16)
    bare()
    assert made == [((2, 3), (3, 4), torch.bfloat16)] * 3
    assert products.peak(torch.float32, size=64, repeats=2) > 0


# ------------------------------------------------------------------ processes


@pytest.mark.parametrize("name", width.WHO)
def test_a_step_is_timed_in_a_process_of_its_own(name):
    found = width.measure(1, 20, width.WHO[name], steps=2, warm=1, memory_gb=12.0)
    assert found["levels"] == 20
    assert found["wall"] > 0
    assert found["cpu"] > 0
    if found["peak_mb"] is not None:
        assert found["peak_mb"] >= found["base_mb"] > 50


def test_a_fit_is_sampled_and_streamed(tmp_path):
    model, output = str(tmp_path / "model.pkl"), tmp_path / "rows.csv"
    spec = {"kind": "fit", "who": "ours", "table": "levels:20:100", "epochs": 1, "save": model}
    with Worker(1, **spec) as worker:
        told = worker.answer()
    assert told["steps"] == TrainingSettings().min_steps_per_epoch
    assert told["step_ms"] > 0
    assert told["wall"] > told["step_ms"] * 20 / 1e3
    with Worker(1, kind="sample", model=model, calibrated=False, rows=30) as worker:
        worker.answer()
        assert all(worker.turn()["wall"] > 0 for _ in range(2))
    with Worker(1, kind="stream", model=model, rows=30, output=str(output)) as worker:
        told = worker.answer()
    assert told["bytes"] == output.stat().st_size
    assert len(output.read_text().splitlines()) == 31


def test_a_failed_process_gives_its_last_line():
    with (
        Worker(1, kind="sample", model="nowhere.pkl", rows=1) as worker,
        pytest.raises(WorkerFailed, match=r"FileNotFoundError.*nowhere\.pkl"),
    ):
        worker.answer()


def test_a_slow_process_is_ended():
    with Worker(1, kind="steps", who="ours", table="wide:20") as worker:
        with pytest.raises(WorkerFailed, match=r"no answer within 0\.01 s"):
            worker.answer(0.01)
        process = worker.pid
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


# ------------------------------------------------------------------ sections


class FakeWorker:
    """Answers at once; the time of a turn depends on who it is."""

    seconds: ClassVar = {"ours": 1.0, "ctgan": 6.0}

    def __init__(self, threads, **spec):
        self.spec = spec

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def answer(self, seconds=None):
        told = {**vars(SIZES), "critic_steps": self.spec.get("critic_steps")}
        if self.spec["kind"] in ("fit", "stream"):
            told |= {"wall": 2.0, "cpu": 1.0, "steps": 40, "step_ms": 7.0, "bytes": 10**6}
        return told | {"peak_mb": 1_500.0, "base_mb": 300.0}

    def turn(self, seconds=None):
        who = self.spec.get("who") or os.path.basename(self.spec["model"]).removesuffix(".pkl")
        taken = self.seconds[who]
        return {"wall": taken, "cpu": taken / 2, "peak_mb": 400.0}


def test_a_step_is_told_by_the_row_against_ctgan_and_its_products():
    section = step.run(Settings(quick=True, rounds=3), FakeWorker, peak_size=64)
    results = section.content["results"]
    # 2 critic steps of 10 rows in a second, against 1 in 6 seconds.
    assert results[step.DEFAULT]["times_faster_than_ctgan"] == pytest.approx([12, 12, 12])
    assert results[step.LIKE_CTGAN]["times_faster_than_ctgan"] == pytest.approx([6, 6, 6])
    assert results[step.CTGAN]["wall_us_a_row"] == pytest.approx([6e5, 6e5, 6e5])
    assert results[step.DEFAULT]["times_its_products"][1] > 1
    assert set(step.BARE.values()) < set(results)
    assert ">= 4 met" in section.text
    assert "<= 2 MISSED" in section.text
    assert "stand-in for Adult" in section.text
    listed = section.content["products"]
    whole = [product.operations for product in products.training_step(SIZES)]
    assert section.content["operations_a_step"] == sum(whole)
    assert all(product["us_each"]["medium"] > 0 for product in listed)
    ElementTree.fromstring(section.svg)


def test_widths_end_where_a_way_fails():
    def measure(threads, levels, who, steps, warm, memory_gb):
        if who["who"] == "ctgan" and levels > 20:
            raise WorkerFailed("no answer within 10 s")
        if who["who"] == "autograd" and levels > 100:
            raise WorkerFailed("RuntimeError: can't allocate memory: you tried")
        factor = {"ours": 1, "autograd": 2, "ctgan": 4}[who["who"]]
        taken = factor * levels / 1e3
        return {"levels": levels, "wall": taken, "cpu": taken, "peak_mb": 9.0, "base_mb": 5.0}

    section = width.run(Settings(quick=True, memory_gb=7, sizes=(20, 100, 200)), measure)
    lines = section.text.splitlines()
    assert "| 20 | 20.0 | 9 (5) | 40.0 | 9 (5) | 2.0 | 80.0 | 9 (5) | 4.0 |" in lines
    assert "| 100 | 100.0 | 9 (5) | 200.0 | 9 (5) | 2.0 | - | - | - |" in lines
    assert "| 200 | 200.0 | 9 (5) | - | - | - | - | - | - |" in lines
    assert "CTGAN not run from 100 levels on: no answer within 10 s" in lines
    assert f"{width.AUTOGRAD} not run from 200 levels on: it needs more than 7 GB" in lines
    assert section.content["results"]["CTGAN"]["20"]["wall"] == pytest.approx(0.08)
    ElementTree.fromstring(section.svg)


def test_sampling_is_told_in_rows_a_second():
    section = sampling.run(Settings(quick=True, rounds=2, rows=600), FakeWorker)
    results = section.content["results"]
    assert results[sampling.PLAIN]["times_faster_than_ctgan"] == pytest.approx([6, 6, 6])
    assert f"| {sampling.CALIBRATED} | 600 |" in section.text
    assert f"| {sampling.CTGAN} | 100 |" in section.text
    assert section.text.count(">= 5 met") == 2
    assert section.text.count("<= 20 MISSED") == 2  # a row takes the made-up worker seconds
    assert results[sampling.CTGAN]["one_row_wall_ms"] == pytest.approx([6000] * 3)
    assert "| csv | 2,000 | 2.0 | 1.0 | 1500 | 1.00 |" in section.text
    ElementTree.fromstring(section.svg)


def test_levels_are_told_in_megabytes():
    section = levels.run(Settings(quick=True, sizes=(20, 50_000)), FakeWorker)
    # 1,500 MiB are 1,573 megabytes.
    assert "| 20 | 7.0 | 2.0 | 40 | 1573 | 315 |  |" in section.text
    assert "| 50,000 | 7.0 | 2.0 | 40 | 1573 | 315 | <= 1500 MISSED |" in section.text
    ElementTree.fromstring(section.svg)


def test_sections_are_printed_and_written(tmp_path, capsys):
    asked = []

    def section(settings):
        asked.append(settings)
        return Section("| a table |", {"results": {"x": np.float64("nan")}}, "<svg/>")

    speed.main(
        ["step", "levels", "--quick", "--table", "stand-in:9", "--output", str(tmp_path / "o")],
        {"step": section, "levels": section},
    )
    assert [settings.table for settings in asked] == ["stand-in:9", None]
    assert asked[0].quick
    written = json.loads((tmp_path / "o/speed_step.json").read_text())
    assert written["results"] == {"x": None}
    assert written["quick"] is True
    assert str(tmp_path) not in json.dumps(written)
    assert (tmp_path / "o/speed_levels.svg").read_text() == "<svg/>"
    assert capsys.readouterr().out.count("| a table |") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["steps"], "no section steps: choose from step, width, sampling, levels"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit):
        speed.parse(arguments)
    assert message in capsys.readouterr().err
