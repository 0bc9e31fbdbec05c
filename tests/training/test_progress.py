"""The progress bar: what it says, what it costs, and that it never ends a training."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from sdv_wgangp.players.protocols import Losses
from sdv_wgangp.training.callbacks.progress import ProgressBar
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.schedule import Schedule


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fake_run(steps: int = 100, **options) -> SimpleNamespace:
    """What the bar looks at of a run of two epochs."""
    names = ("critic/loss", "critic/penalty", "generator/adversarial", "meta_features/mean")
    return SimpleNamespace(
        schedule=Schedule(steps, **options),
        source=SimpleNamespace(steps_per_epoch=steps // 2, rows_per_step=10),
        epochs=2,
        step=0,
        logs=[],
        losses=Losses(names, torch.tensor([1.0, 0.25, -2.0, 0.5])),
    )


def make_steps(run: SimpleNamespace, bar: ProgressBar, steps: int) -> None:
    for _ in range(steps):
        run.schedule.advance()
        run.step += 1
        bar.on_step(run)


class Written:
    """All that was written to the standard error."""

    def __init__(self, captured):
        self._captured, self._text = captured, ""

    def getvalue(self) -> str:
        self._text += self._captured.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    return Written(capsys)


def last_line(stream: Written) -> str:
    return stream.getvalue().replace("\n", "\r").rstrip("\r ").split("\r")[-1]


def test_it_says_all(stderr):
    run = fake_run()
    with ProgressBar(min_interval=0) as bar:
        bar.on_stage("encoding")
        assert "Encoding" in last_line(stderr)
        bar.on_stage("training")
        bar.on_fit_begin(run)
        make_steps(run, bar, 50)
        log = EpochLog(0, 2, -2.0, 1.25, 0.25, 1_234.0, validation_score=0.8125, step=50)
        run.logs.append(log)
        bar.on_epoch(run)
        make_steps(run, bar, 1)
        line = last_line(stderr)
        assert "51/100" in line
        assert "critic +1.250, generator -2.000, meta-features 0.5" in line
        assert "held-out score 0.812" in line
        assert "rows/s" in line
        bar.on_stage("validation")
        assert last_line(stderr).startswith("Validating")
        bar.on_stage("training")
        make_steps(run, bar, 49)
        bar.on_fit_end(run)
        assert "100/100" in last_line(stderr)
        bar.on_stage("calibration")
        assert last_line(stderr).startswith("Calibrating")


def test_its_length_is_what_the_time_allows(stderr):
    clock = Clock()
    run = fake_run(1_000, seconds=10, clock=clock)
    bar = ProgressBar(min_interval=0)
    bar.on_fit_begin(run)
    for _ in range(10):
        clock.now += 0.1
        make_steps(run, bar, 1)
    assert "10/100 " in last_line(stderr)
    run.schedule.hasten()
    make_steps(run, bar, 1)
    done, total = re.search(r" (\d+)/(\d+) ", last_line(stderr)).groups()
    assert int(done) == 11
    assert int(total) < 20


def test_it_continues_where_the_training_is(stderr):
    run = fake_run()
    run.step, run.schedule.steps = 60, 60
    bar = ProgressBar()
    bar.on_fit_begin(run)
    assert "60/100" in last_line(stderr)
    make_steps(run, bar, 40)
    bar.on_fit_end(run)
    before = stderr.getvalue()
    assert "100/100" in last_line(stderr)
    bar.on_step(run)
    assert stderr.getvalue() == before


def test_a_step_costs_next_to_nothing(stderr):
    run, bar = fake_run(1_000_000), ProgressBar(min_interval=60)
    bar.on_fit_begin(run)
    run.step = 1
    begin = time.perf_counter()
    for _ in range(10_000):
        bar.on_step(run)
    assert (time.perf_counter() - begin) / 10_000 < 50e-6


class Broken(io.StringIO):
    """Fails from a write on, as a pipe does."""

    def __init__(self, good: int, error: Exception):
        super().__init__()
        self.good, self.error, self.tried = good, error, 0

    def write(self, text: str) -> int:
        if self.good == 0:
            self.tried += 1
            raise self.error
        self.good -= 1
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("closed"), OSError(5, "gone")])
@pytest.mark.parametrize("good", [0, 1, 5])
def test_it_never_ends_a_training(monkeypatch, good, error):
    stream = Broken(good, error)
    monkeypatch.setattr(sys, "stderr", stream)
    run = fake_run()
    with ProgressBar(min_interval=0) as bar:
        bar.on_stage("encoding")
        bar.on_fit_begin(run)
        make_steps(run, bar, 100)
        bar.on_fit_end(run)
        assert stream.tried == 1  # nothing is written to it any more
        bar.on_stage("calibration")
    assert stream.tried == 1


def test_without_a_stream(monkeypatch):
    for stream in (None, os.fdopen(os.dup(1), "w")):
        if stream is not None:
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        run = fake_run()
        with ProgressBar() as bar:
            bar.on_fit_begin(run)
            make_steps(run, bar, 100)
            bar.on_fit_end(run)


def test_disabled_it_draws_nothing(stderr):
    run = fake_run()
    with ProgressBar(disable=True) as bar:
        bar.on_stage("encoding")
        bar.on_fit_begin(run)
        make_steps(run, bar, 100)
        bar.on_fit_end(run)
    assert stderr.getvalue() == ""


def test_expected_steps():
    clock = Clock()
    schedule = Schedule(100, seconds=10, clock=clock)
    assert schedule.expected_steps == 100
    for _ in range(10):
        schedule.advance()
    assert schedule.expected_steps == 100
    clock.now = 5.0
    assert schedule.expected_steps == 20
    clock.now = 11.0
    assert schedule.expected_steps == 10
