"""The held-out score, and what early stopping makes of scores."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.training.log import EpochLog
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.validation import (
    EarlyStopping,
    HeldOutScore,
    held_out_rows,
)


def table_of(rows, seed, **changes):
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    y = x + 0.3 * random.normal(size=rows)
    columns = {
        "kind": random.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
        "name": random.integers(0, 400, rows).astype(str),  # more levels than trees take
        "x": x,
        "y": y,
        "half": np.where(random.random(rows) < 0.5, np.nan, random.integers(-9, 9, rows)),
        "count": random.integers(0, 5, rows),
    }
    return pd.DataFrame(columns | {key: change(columns) for key, change in changes.items()})


@pytest.fixture(scope="module")
def encoded():
    """A function from frames to codes, and the layout."""
    encoder = TableEncoder().fit(
        pd.concat([table_of(4000, seed) for seed in range(2)], ignore_index=True)
    )

    def encode(frame):
        return encoder.encode(frame, np.random.default_rng(len(frame)))

    return encode, Layout.of(encoder)


@pytest.fixture(scope="module")
def score(encoded):
    encode, layout = encoded
    return HeldOutScore(encode(table_of(1200, 10)), layout, seed=3)


def test_rows_of_the_same_distribution_score_one(encoded, score):
    encode, _ = encoded
    found = score(encode(table_of(1200, 11)))
    assert found > 1 - 3 * score.noise
    assert score.rows == 1200
    assert 0.023 < score.noise < 0.024


def test_the_score_repeats(encoded, score):
    encode, layout = encoded
    generated = encode(table_of(1200, 11))
    again = HeldOutScore(encode(table_of(1200, 10)), layout, seed=3)
    assert score(generated) == score(generated) == again(generated)


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"x": lambda c: np.full(len(c["x"]), 3.0)}, 0.02),
        ({"kind": lambda c: np.full(len(c["kind"]), "c")}, 0.15),
        ({"half": lambda c: np.nan_to_num(c["half"])}, 0.6),  # no missing values
        ({"y": lambda c: c["y"][::-1]}, 0.4),  # the marginals alone are right
        ({"name": lambda c: ["1"] * len(c["x"])}, 0.1),
    ],
    ids=["shift", "category", "missing", "dependence", "many levels"],
)
def test_rows_of_another_distribution_score_less(encoded, score, changes, most):
    encode, _ = encoded
    assert score(encode(table_of(1200, 11, **changes))) < most


def test_the_features_are_the_values(encoded):
    """A rank for each ordered column, in the order of the values; then the codes."""
    encode, layout = encoded
    frame = table_of(500, 12)
    table = encode(frame)
    features = HeldOutScore(table, layout, 0).features(table)
    assert features.shape == (500, len(layout.ordered) + layout.columns)
    ordered = [list(frame)[index] for index in layout.ordered]
    assert ordered == ["x", "y", "half", "count"]
    for place, name in enumerate(ordered):
        both = pd.DataFrame({"rank": features[:, place], "value": frame[name]}).dropna()
        assert both["rank"].corr(both["value"], method="spearman") > 0.999
    np.testing.assert_array_equal(features[:, len(ordered) :], table.codes)


def test_how_many_rows_are_held_out():
    assert held_out_rows(1000, 0.1) == 100
    assert held_out_rows(10**6, 0.1) == 10_000
    with pytest.raises(ValueError, match=r"at least 50 .* 0.1 of 300 rows is 30: raise "
                       r"validation_fraction to 0.17 or switch early_stopping off"):  # fmt: skip
        held_out_rows(300, 0.1)
    assert held_out_rows(300, 0.17) == 51
    with pytest.raises(ValueError, match="of 90 rows is 45: switch early_stopping off"):
        held_out_rows(90, 0.5)
    with pytest.raises(ValueError, match="of 0 rows is 0: switch early_stopping off"):
        held_out_rows(0, 0.5)


class Run:
    """Early stopping fed with scores, one training step of 100, an epoch, after another."""

    def __init__(self, scores, noise=0.0, patience=3, seconds=None, check_seconds=0.0):
        self.now, scores = 0.0, iter(scores)

        def score(generator):
            self.now += check_seconds
            return next(scores)

        generator = nn.Linear(1, 1, bias=False)
        stopping = EarlyStopping(score, lambda: generator, noise, patience)
        self.schedule = Schedule(100, seconds, lambda: self.now)
        self.logs, self.checks = [], []
        while not self.schedule.done:
            self.schedule.advance()
            self.now += 1.0
            generator.weight.data.fill_(self.schedule.steps)
            self.logs.append(EpochLog.of(len(self.logs), 100, {}))
            stopping.on_epoch(self)
            if self.logs[-1].validation_score is not None:
                self.checks.append(self.schedule.steps)
        self.best = int(stopping.best.weight.item())


def test_rising_scores_are_checked_every_twentieth_part_to_the_end():
    run = Run(np.arange(20) / 20)
    assert run.checks == list(range(5, 101, 5))
    assert run.best == 100


def test_a_plateau_at_constant_rates_ends_after_a_short_decay():
    run = Run([0.1, 0.6, 0.5, 0.6, 0.5, 0.7, 0.65])
    # The fifth check is the third without a new highest score.
    assert run.checks == [5, 10, 15, 20, 25, 30, 32]
    assert run.schedule.steps == 32  # 25 and a quarter of it
    assert run.best == 30


def test_a_plateau_while_the_rates_fall_makes_them_fall_faster():
    rising = list(np.arange(11) / 20)
    run = Run([*rising, *[0.1] * 6])
    # After 70 steps the rates are at .6: that takes .6 of a quarter of 70.
    assert run.checks == [*range(5, 81, 5), 81]
    assert run.schedule.steps == 81
    assert run.best == 55


def test_of_scores_that_differ_by_chance_the_latest_is_best():
    scores = [0.1, 0.8, 0.75, 0.9, 0.86, 0.87, 0.5, 0.5, 0.5]
    assert Run(scores, noise=0.05).best == 30
    assert Run(scores, noise=0.0).best == 20


def test_checks_leave_most_of_a_short_time_to_training():
    run = Run(np.arange(20) / 20, seconds=50.0, check_seconds=3.0)
    checks = len(run.checks)
    assert checks <= 4
    # The last one comes when the time is up (it has been kept free).
    assert run.now <= 50 + 3 + 1
    assert run.schedule.steps + 3 * checks == run.now


def test_scores_are_in_the_logs_of_their_epochs():
    scores = list(np.arange(20) / 20)
    found = [log.validation_score for log in Run(scores).logs]
    assert found == [score for own in scores for score in (*[None] * 4, own)]


@pytest.mark.parametrize("moment", [3, 5, 17, 28])
def test_a_state_continues_where_it_was(moment):
    """Before the first check, after it, and while the rates fall."""
    scores = dict(zip([5, 10, 15, 20, 25, 30, 32], [0.1, 0.6, 0.5, 0.6, 0.5, 0.7, 0.65],
                      strict=True))  # fmt: skip
    generator, schedule = nn.Linear(1, 1, bias=False), Schedule(100)
    parts = lambda generator: scores[schedule.steps], lambda: generator, 0.0, 3
    stopping, checks = EarlyStopping(*parts), []
    while not schedule.done:
        schedule.advance()
        generator.weight.data.fill_(schedule.steps)
        if stopping.due(schedule):
            checks.append(schedule.steps)
            stopping.check(generator, schedule)
        if schedule.steps == moment:
            state = copy.deepcopy(stopping.state_dict())
            stopping = EarlyStopping(*parts)
            stopping.load_state_dict(state)
    assert checks == list(scores)
    assert stopping.best.weight.item() == 30


def test_the_best_is_a_copy():
    generator = nn.Linear(1, 1)
    stopping = EarlyStopping(lambda generator: 1.0, lambda: generator, 0.0, 3)
    stopping.check(generator, Schedule(10))
    kept = stopping.best.weight.clone()
    generator.weight.data.add_(1)
    assert torch.equal(stopping.best.weight, kept)
