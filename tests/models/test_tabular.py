"""The tabular model: learning, reproducibility, calibration, errors, pickling."""

from __future__ import annotations

import gc
import io
import itertools
import logging
import pickle
import subprocess
import sys
import warnings
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.models import time_limit
from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.models.tabular import NonFiniteLossError, TabularModel
from sdv_wgangp.models.target import target_of
from sdv_wgangp.models.warn import warn_of_distances
from sdv_wgangp.networks.passes import TrainingPass
from sdv_wgangp.objectives.matching import DISTANCES
from sdv_wgangp.objectives.meta_features import AUTO_META_FEATURES
from sdv_wgangp.training.schedule import Schedule
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.validation import HeldOutScore

FAST = TrainingSettings(epochs=2, batch_size=100, min_steps_per_epoch=20)
LITTLE = CalibrationOptions(max_pool_rows=2**13)


def small(settings=FAST, **options):
    return TabularModel(
        settings,
        **{
            "embedding_dim": 8,
            "generator_dim": (32,),
            "discriminator_dim": (32, 32),
            "calibration_options": LITTLE,
        }
        | options,
    )


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    rows = 1000
    kind = random.choice(["a", "b", "c"], rows, p=[0.7, 0.2, 0.1])
    x = random.normal(size=rows) + 3 * (kind == "b")
    return pd.DataFrame(
        {
            "kind": kind,
            "x": x,
            "amount": np.where(random.random(rows) < 0.4, 0.0, np.exp(x)),
            "known": np.where(kind == "c", np.nan, x),
            "count": random.integers(0, 4, rows),
        }
    )


def test_the_precision_outside_does_not_matter(frame):
    """Batch statistics are taken as training and sampling multiply, not as the caller does."""
    before, found = torch.get_float32_matmul_precision(), []
    try:
        for outside in ("highest", "medium"):
            torch.set_float32_matmul_precision(outside)
            model = small(random_state=3, calibrate=False, generator_dim=(64, 64)).fit(frame)
            found.append(model)
    finally:
        torch.set_float32_matmul_precision(before)
    one, other = (model.generator.state_dict() for model in found)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_same_seed_same_model_same_rows(frame):
    torch.manual_seed(0)
    one = small(random_state=3).fit(frame)
    state = torch.random.get_rng_state()
    torch.manual_seed(99)
    two = small(random_state=3).fit(frame)
    for left, right in zip(
        one.generator.state_dict().values(), two.generator.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right)
    pd.testing.assert_frame_equal(one.sample(200), two.sample(200))
    assert [log.generator_loss for log in one.logs] == [log.generator_loss for log in two.logs]
    torch.manual_seed(0)
    assert torch.equal(state, torch.random.get_rng_state()), "a fit moved the global generator"
    other = small(random_state=4).fit(frame)
    assert not one.sample(200).equals(other.sample(200))


def test_samples_go_on_and_repeat_after_a_seed(frame):
    model = small(random_state=0).fit(frame)
    model.set_random_state(5)
    first, second = model.sample(50), model.sample(50)
    assert not first.equals(second)
    model.set_random_state(5)
    pd.testing.assert_frame_equal(model.sample(50), first)


def test_calibrated_marginals_are_those_of_the_table(frame):
    # After six epochs the marginals are far off; let the weights go as far as they must.
    far = CalibrationOptions(max_factor=50, max_weight=50)
    model = small(replace(FAST, epochs=6), random_state=0, calibration_options=far).fit(frame)
    rows = 40_000
    calibrated = model.sample(rows)
    model.calibrated = False
    raw = model.sample(rows)

    def error(sample):
        shares = sample["kind"].value_counts(normalize=True)
        real = frame["kind"].value_counts(normalize=True)
        missing = sample["known"].isna().mean() - frame["known"].isna().mean()
        zero = (sample["amount"] == 0).mean() - (frame["amount"] == 0).mean()
        grid = frame["x"].quantile(np.linspace(0.05, 0.95, 19))
        ks = max(abs((sample["x"] <= v).mean() - (frame["x"] <= v).mean()) for v in grid)
        return np.array([(shares - real).abs().max(), abs(missing), abs(zero), ks])

    assert (error(calibrated) < 0.035).all()
    assert error(raw).max() > 0.05, "after six epochs there must be something to calibrate"


def test_it_learns_a_dependence(frame):
    settings = TrainingSettings(epochs=20, batch_size=100, generator_lr=2e-3)
    model = small(settings, random_state=0, generator_dim=(64, 64)).fit(frame)
    sample = model.sample(4000)
    means = sample.groupby("kind")["x"].mean()
    assert means["b"] - means["a"] > 2
    # Independent columns would give 0.1 for both.
    assert sample.loc[sample["kind"] == "c", "known"].isna().mean() > 0.5
    assert sample.loc[sample["kind"] != "c", "known"].isna().mean() < 0.08
    both = sample[sample["amount"] > 0]
    assert np.corrcoef(np.log(both["amount"]), both["x"])[0, 1] > 0.6


def test_options_reach_the_encoding_and_the_calibration(frame):
    encoding = EncodingOptions(association_bins_to_rank=2, bins=5)
    calibration = CalibrationOptions(trees=3, depth=2, stages=1, kept_times=1, max_pool_rows=2**14)
    model = small(encoding_options=encoding, calibration_options=calibration).fit(frame)
    assert {column.bins for column in model.encoder.columns[1:4]} == {5}
    stream = io.BytesIO()
    pickle.dump(model, stream)
    again = pickle.loads(stream.getvalue())
    assert (again.encoding_options, again.calibration_options) == (encoding, calibration)
    for each in (model, again):
        each.set_random_state(0)
    pd.testing.assert_frame_equal(model.sample(50), again.sample(50))


@pytest.mark.parametrize("rows", [0, 1, 7, 9000])
def test_any_number_of_rows(frame, rows):
    model = small(random_state=0).fit(frame)
    sample = model.sample(rows)
    assert len(sample) == rows
    assert list(sample) == list(frame)


def test_one_column_one_row_and_constants():
    for table in (
        pd.DataFrame({"only": ["x"]}),
        pd.DataFrame({"n": [1.5]}),
        pd.DataFrame({"c": [1, 1, 1], "d": [None, None, None]}),
        pd.DataFrame({"x": np.random.default_rng(0).normal(size=30)}),
    ):
        model = small(TrainingSettings(epochs=1, batch_size=10), random_state=0).fit(table)
        sample = model.sample(20)
        assert len(sample) == 20
        assert sample.isna().all().equals(table.isna().all())


def test_a_divergence_is_an_error_that_keeps_the_last_good_weights(frame):
    settings = TrainingSettings(epochs=50, batch_size=100, gradient_penalty_weight=1e38)
    model = small(settings, random_state=0)
    with pytest.raises(NonFiniteLossError, match=r"non-finite in epoch .* lower discriminator_lr"):
        model.fit(frame)
    assert all(torch.isfinite(p).all() for p in model.generator.parameters())
    assert len(model.sample(100)) == 100


def test_an_interrupt_keeps_what_was_learned(frame, caplog):
    def stop(log):
        if log.epoch == 2:
            raise KeyboardInterrupt

    model = small(TrainingSettings(epochs=50, batch_size=100), random_state=0)
    with caplog.at_level(logging.WARNING):
        model.fit(frame, callbacks=(stop,))
    assert len(model.logs) == 3
    assert "interrupted after 3 of 50 epochs" in caplog.text
    assert len(model.sample(10)) == 10


def test_a_time_budget_leaves_time_for_what_follows_the_training(frame, monkeypatch):
    given = []

    class OwnClock:
        def on_fit_begin(self, run):
            given.append(run.schedule.state_dict()["seconds"])
            ticks = itertools.count()
            # A few readings in a step.
            run.schedule = Schedule(run.schedule.total, 50.0, lambda: next(ticks))

    monkeypatch.setattr(time_limit, "rehearse", lambda *arguments: 1000.0)
    settings = TrainingSettings(epochs=10**6, batch_size=100, max_seconds=4600)
    model = small(settings, random_state=0).fit(frame, callbacks=[OwnClock()])
    assert 0 < 3600 - given[0] < 600  # encoding; machines can be busy
    assert len(model.logs) == 1
    assert np.isfinite(model.logs[0].generator_loss)
    assert model.logs[0].rows_per_second > 0
    assert len(model.sample(50)) == 50


def test_time_that_suffices_gives_the_same_model(frame):
    plain = small(random_state=0).fit(frame)
    timed = small(replace(FAST, max_seconds=3600), random_state=0).fit(frame)
    pd.testing.assert_frame_equal(plain.sample(50), timed.sample(50))


def test_too_little_time_gives_a_short_training_and_a_warning(frame):
    model = small(replace(FAST, epochs=10**6, max_seconds=1e-3), random_state=0)
    with pytest.warns(UserWarning, match=r"max_seconds \(0.001\) is short: what comes before the "
                      r"training took [\d.]+ s and the calibration takes about"):  # fmt: skip
        model.fit(frame)
    assert len(model.logs) == 1
    assert len(model.sample(10)) == 10


@pytest.mark.parametrize(
    ("fixed", "growing", "limit", "expected", "rehearsals"),
    [
        (1.0, 0.0, 600, 1.5, 2),  # a small table takes as long for a part as for the whole
        (0.0, 8.0, 600, 12.0, 2),
        (1.0, 8.0, 600, 13.5, 2),
        (0.0, 80.0, 100, 120.0, 1),  # a second rehearsal would cost too much
    ],
)
def test_the_time_of_the_calibration_is_estimated(
    monkeypatch, fixed, growing, limit, expected, rehearsals
):
    now, parts = [0.0], []

    def calibrate(table, encoder, generate, random, fraction, options):
        parts.append(fraction)
        now[0] += fixed + growing * fraction

    monkeypatch.setattr(time_limit, "calibrate", calibrate)
    monkeypatch.setattr(time_limit, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    training = SimpleNamespace(preview=lambda: None)
    sampler = SimpleNamespace(device=torch.device("cpu"))
    found = time_limit.rehearse(
        training, None, None, lambda generator: sampler, None, limit, CalibrationOptions()
    )
    assert found == pytest.approx(expected)
    assert len(parts) == rehearsals


@pytest.fixture
def scores(monkeypatch):
    """Scores that the trees give, one after another, and how many rows they were shown."""
    given, shown = [], []

    def score(self, generated):
        shown.append((self.rows, len(generated)))
        return given.pop(0)

    monkeypatch.setattr(HeldOutScore, "__call__", score)
    return given, shown


def test_early_stopping_keeps_the_best_generator(frame, scores):
    given, shown = scores
    given += [0.2, 0.9, 0.3, 0.3, 0.3]
    settings = replace(FAST, epochs=20, early_stopping=True, patience=2)
    snapshots = []
    model = small(settings, random_state=0)
    model.fit(frame, callbacks=(lambda log: snapshots.append(log.validation_score),))
    assert shown[0] == (100, 100)
    # Two checks after the second begin a decay of one epoch, which ends with a check.
    assert snapshots == [0.2, 0.9, 0.3, 0.3, 0.3]
    assert not given
    again = small(replace(settings, patience=20), random_state=0)
    given += [0.2, 0.9, *[0.3] * 18]
    again.fit(frame)
    assert len(again.logs) == 20
    pairs = zip(model.generator.parameters(), again.generator.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs), "both keep the second check's"
    assert len(model.sample(20)) == 20


def test_what_ends_a_fit_leaves_the_best_generator(frame, scores):
    given, _ = scores
    settings = replace(FAST, epochs=20, early_stopping=True, patience=20, min_steps_per_epoch=10)
    generators = []
    for error in (None, KeyboardInterrupt(), RuntimeError("mine")):
        given[:] = [0.2, 0.9, *[0.3] * 18]

        def end(log, error=error):
            if log.epoch == 3 and error is not None:
                raise error

        model = small(settings, random_state=0)
        if isinstance(error, RuntimeError):
            with pytest.raises(RuntimeError, match="mine"):
                model.fit(frame, callbacks=[end])
        else:
            model.fit(frame, callbacks=[end])
        assert len(model.logs) == (20 if error is None else 4)
        assert len(model.sample(20)) == 20
        generators.append(torch.cat([p.flatten() for p in model.generator.parameters()]))
    assert all(torch.equal(generators[0], other) for other in generators[1:])


def test_held_out_rows_are_neither_trained_on_nor_calibrated_to(frame, monkeypatch):
    seen = {}

    class Look:
        def on_fit_begin(self, run):
            seen["trained"] = run.source.table
            run.stopped = True

    original = HeldOutScore.__init__

    def keep(self, held_out, layout, seed):
        seen["held out"] = held_out
        original(self, held_out, layout, seed)

    monkeypatch.setattr(HeldOutScore, "__init__", keep)
    calibrate = TabularModel._calibrate

    def look(self, table, random):
        seen["calibrated to"] = table
        calibrate(self, table, random)

    monkeypatch.setattr(TabularModel, "_calibrate", look)
    model = small(replace(FAST, early_stopping=True, validation_fraction=0.3), random_state=0)
    model.fit(frame, callbacks=[Look()])
    assert not model.logs
    rows = [list(map(tuple, seen[part].positions.tolist())) for part in ("trained", "held out")]
    assert [len(part) for part in rows] == [700, 300]
    assert not set(rows[0]) & set(rows[1])
    assert seen["calibrated to"].positions.tolist() == seen["trained"].positions.tolist()
    assert model.layout.frequencies[:3].mul(len(frame)).sum() == pytest.approx(len(frame))


def test_the_held_out_score_is_part_of_a_fit(frame):
    settings = replace(FAST, epochs=2, early_stopping=True)
    one, two = (small(settings, random_state=0).fit(frame) for _ in range(2))
    scores = [log.validation_score for log in one.logs]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == [log.validation_score for log in two.logs]
    pd.testing.assert_frame_equal(one.sample(20), two.sample(20))


def test_too_few_rows_to_hold_out_are_refused(frame):
    model = small(replace(FAST, early_stopping=True), random_state=0)
    with pytest.raises(ValueError, match=r"at least 50 held-out rows.* 0.1 of 400 rows is 40: "
                       r"raise validation_fraction to 0.13 or switch"):  # fmt: skip
        model.fit(frame[:400])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_seconds": 0.0}, "max_seconds must be None or a finite number above 0, not 0"),
        (
            {"max_seconds": float("nan")},
            "max_seconds must be None or a finite number above 0, not nan",
        ),
        ({"validation_fraction": 0.6}, r"validation_fraction must lie in \(0, 0.5\], not 0.6"),
        ({"patience": 0}, "patience must be a whole number of at least 1, not 0"),
    ],
)
def test_settings_of_the_end_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**options)


def test_callbacks_see_every_epoch(frame):
    seen = []
    small(random_state=0).fit(frame, callbacks=(seen.append,))
    assert [log.epoch for log in seen] == [0, 1]
    assert all(log.rows_per_second > 0 for log in seen)


def test_batch_size_and_pac_are_checked_before_training(frame):
    with pytest.raises(ValueError, match=r"batch_size \(100\) must be a multiple of pac \(3\)"):
        small(pac=3).fit(frame)


def test_pac_and_dropout_as_in_ctgan(frame):
    model = small(random_state=0, pac=10, dropout=0.5).fit(frame)
    assert len(model.sample(10)) == 10


def test_any_critic_module(frame):
    widths = []

    def critic(width):
        widths.append(width)
        return nn.Sequential(nn.Linear(width, 8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0))

    model = small(random_state=0, critic=critic, pac=2).fit(frame)
    assert widths[0] % 2 == 0
    assert len(model.sample(10)) == 10


def test_meta_features_move_the_statistics(frame):
    """With a critic that does not learn, only the matched statistics teach the generator."""

    def gap(**settings):
        settings = TrainingSettings(
            epochs=5, batch_size=200, discriminator_lr=0.0, marginal_control=0.0, **settings
        )
        sample = small(settings, random_state=0, calibrate=False).fit(frame).sample(10_000)
        shares = sample["kind"].value_counts(normalize=True)
        return (shares - frame["kind"].value_counts(normalize=True)).abs().max()

    assert gap(meta_features=("frequency",), meta_feature_weight=20.0) < 0.05
    assert gap() > 0.1


def test_meta_features_bring_their_statistics_closer():
    """With a critic that learns, too: the correlations' error against vanilla training."""
    random = np.random.default_rng(0)
    x = random.normal(size=1000)
    frame = pd.DataFrame({"x": x, "y": x + 0.3 * random.normal(size=1000), "z": -(x**3)})

    def gap(**settings):
        settings = TrainingSettings(epochs=4, batch_size=200, **settings)
        model = small(settings, random_state=0, calibrate=False, generator_dim=(64,)).fit(frame)
        found = model.sample(5000).corr(method="spearman") - frame.corr(method="spearman")
        return found.abs().max(axis=None)

    vanilla = gap()
    for distance in ("tracked", "product", "transport"):
        settings = {"meta_feature_distance": distance, "meta_feature_weight": 0.3}
        assert gap(meta_features=("cor",), **settings) < 0.6 * vanilla, distance


@pytest.mark.parametrize("distance", DISTANCES)
def test_training_with_meta_features_repeats_bit_by_bit(frame, distance):
    names = ("mean", "cor", "median", "sparsity", "gravity", "contingency", "joint_entropy")
    settings = TrainingSettings(
        epochs=1,
        min_steps_per_epoch=20,
        batch_size=100,
        meta_features=names,
        meta_feature_distance=distance,
        meta_feature_schedule="warmup",
        meta_feature_weight={name: 0.1 * place for place, name in enumerate(names)},
    )
    models = [small(settings, random_state=5, target="kind").fit(frame) for _ in range(2)]
    (log,), (again,) = (model.logs for model in models)
    assert log.meta_feature_losses == again.meta_feature_losses
    assert tuple(log.meta_feature_losses) == names
    assert np.isfinite(list(log.meta_feature_losses.values())).all()
    states = [model.generator.state_dict().values() for model in models]
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_vanilla_training_has_no_meta_feature_losses(frame):
    assert [log.meta_feature_losses for log in small(random_state=0).fit(frame).logs] == [{}, {}]


def with_features(*names, **settings):
    return TrainingSettings(epochs=1, batch_size=10, meta_features=names, **settings)


def test_meta_features_that_a_table_cannot_have_are_refused(frame):
    for names, columns, target, message in (
        (["mean"], ["kind"], None, "meta-feature 'mean' needs 1 ordered column.*leave it out"),
        (["mean", "cor"], ["kind", "x"], None, "meta-feature 'cor' needs 2 ordered column"),
        (["contingency"], ["kind"], None, "'contingency' needs 2 column.*has 1"),
        (["gravity"], ["kind", "x"], None, "'gravity' needs the classes of a target column"),
        (["gravity"], ["kind", "x"], "x", "target with classes, and 'x' is continuous"),
        ([], ["kind", "x"], "y", "target 'y' is not a column that is modelled: name one of kind"),
    ):
        with pytest.raises(ValueError, match=message):
            small(with_features(*names), target=target).fit(frame[columns])


def test_auto_matches_what_the_table_has(frame):
    for columns, weight, names in (
        (["kind", "x", "count"], 1.0, AUTO_META_FEATURES),
        (["kind"], 1.0, ("frequency",)),
        (["kind"], dict.fromkeys(AUTO_META_FEATURES, 0.5), ("frequency",)),
    ):
        settings = TrainingSettings(
            epochs=1, batch_size=10, meta_features="auto", meta_feature_weight=weight
        )
        model = small(settings, random_state=0).fit(frame[columns])
        assert tuple(model.logs[0].meta_feature_losses) == names


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_small_batches_leave_two_plain_rows_for_statistics(frame, rows):
    settings = TrainingSettings(epochs=1, batch_size=rows, meta_features="auto")
    model = small(settings, random_state=0).fit(frame[["kind", "x"]])
    assert np.isfinite(list(model.logs[0].meta_feature_losses.values())).all()


def test_missing_is_no_class_of_the_target(frame):
    table = frame.assign(kind=frame["kind"].where(frame.index % 9 > 0))
    model = small(with_features("gravity"), random_state=0, target="kind").fit(table)
    target = target_of(model.encoder, model.target)
    missing = model.encoder.column("kind").missing_code
    assert (target.classes == -1).nonzero().flatten().tolist() == [missing]
    twin = table["kind"].map({"a": "x", "b": "x", "c": None})  # follows from it
    model = small(with_features("gravity"), random_state=0, target="twin")
    with pytest.raises(ValueError, match="'gravity' needs"):  # one class
        model.fit(table.assign(twin=twin))


def test_a_target_that_follows_from_another_column_has_classes(frame):
    table = frame.assign(upper=frame["kind"].replace({"c": "a"}).str.upper())
    model = small(with_features("gravity"), random_state=0, target="upper").fit(table)
    assert [derived.column.name for derived in model.encoder.derived] == ["upper"]
    target = target_of(model.encoder, model.target)
    assert target.categorical
    levels = model.encoder.columns[target.column].levels
    assert target.classes[levels == "a"] == target.classes[levels == "c"]
    assert target.classes[levels == "a"] != target.classes[levels == "b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"meta_feature_distance": "far"},
            "meta_feature_distance must be one of tracked, product",
        ),
        ({"meta_feature_schedule": "late"}, "meta_feature_schedule must be one of constant, warm"),
        (
            {"meta_feature_subsets": 0},
            "meta_feature_subsets must be a whole number of at least 1",
        ),
        ({"meta_feature_fraction": 1.5}, r"meta_feature_fraction must lie in \(0, 1\], not 1.5"),
        ({"meta_feature_weight": {"var": 1.0}}, "names 'var', which is not in meta_features"),
        (
            {"meta_feature_distance": "sliced", "meta_feature_fraction": 0.1},
            "takes statistics of 0 row",
        ),
    ],
)
def test_settings_of_meta_features_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        with_features("mean", **settings)


def test_a_loaded_model_goes_on_where_it_was_saved(frame):
    model = small(random_state=0).fit(frame)
    model.sample(10)
    copies = [pickle.loads(pickle.dumps(model)) for _ in range(2)]
    expected = model.sample(20)
    for copy in copies:
        pd.testing.assert_frame_equal(copy.sample(20), expected)


def test_weights_that_break_in_the_last_step_are_not_kept(frame, monkeypatch):
    """No loss has seen them; what is kept is the average as it was before."""
    settings = TrainingSettings(epochs=2, batch_size=100)
    whole = small(settings, random_state=0).fit(frame)
    calls = []
    original = TrainingPass.backward

    def backward(self, *arguments):
        original(self, *arguments)
        calls.append(1)
        if len(calls) == 2 * settings.min_steps_per_epoch:
            for gradient in self.gradients:
                gradient.fill_(torch.nan)

    monkeypatch.setattr(TrainingPass, "backward", backward)
    model = small(settings, random_state=0)
    with pytest.raises(NonFiniteLossError, match="in epoch 2 of 2"):
        model.fit(frame)
    pairs = zip(model.generator.parameters(), whole.generator.parameters(), strict=True)
    for kept, expected in pairs:
        torch.testing.assert_close(kept, expected, atol=2e-3, rtol=0)
    assert len(model.sample(10)) == 10


def test_learning_rates_beyond_reason_are_refused():
    with pytest.raises(ValueError, match=r"generator_lr must lie in \[0, 1\], not 1e\+19"):
        TrainingSettings(generator_lr=1e19)
    with pytest.raises(ValueError, match=r"discriminator_lr must lie in .* not -1"):
        TrainingSettings(discriminator_lr=-1)


def test_a_critic_that_cannot_learn_is_refused(frame):
    model = TabularModel(FAST, critic=lambda width: nn.Flatten(0))
    with pytest.raises(ValueError, match="critic has no parameter that requires a gradient"):
        model.fit(frame)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_nothing_of_the_training_outlives_it(frame, early_stopping):
    """Neither the rows nor the players wait for the garbage collector."""
    seen = []

    class Remember:
        def on_fit_begin(self, run):
            parts = run, run.source, run.generator, run.critics["critic"].player
            seen.extend(weakref.ref(part) for part in (*parts, *run.optimizers.values()))

    settings = replace(FAST, early_stopping=early_stopping, meta_features=("mean",))
    model = small(settings, random_state=0)
    gc.disable()
    try:
        model.fit(frame, callbacks=[Remember()])
        assert [part() for part in seen] == [None] * 6
    finally:
        gc.enable()


def test_pickles_hold_no_rows_and_load_elsewhere(frame, tmp_path):
    sizes, few = [], CalibrationOptions(trees=5)
    for copies in (2, 15):
        random = np.random.default_rng(copies)
        table = pd.concat([frame] * copies, ignore_index=True)
        table["x"] += random.normal(size=len(table))
        # More rows let more trees be of use.
        settings = replace(FAST, epochs=1)
        model = small(settings, random_state=0, calibration_options=few).fit(table)
        stream = io.BytesIO()
        pickle.dump(model, stream)
        sizes.append(stream.tell())
    # For seven times the rows: knots in the tails.
    assert sizes[1] - sizes[0] < 20_000
    (tmp_path / "model.pkl").write_bytes(stream.getvalue())
    model.set_random_state(1)
    expected = model.sample(30)
    code = (
        "import pickle, sys; model = pickle.load(open(sys.argv[1], 'rb')); "
        "model.set_random_state(1); model.sample(30).to_pickle(sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pkl", tmp_path / "rows.pkl"], check=True
    )
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "rows.pkl"), expected)


def collapsed(generator):
    """Make a generator give the first code of the first column alone, whatever the noise."""
    with torch.no_grad():
        generator.logits.bias[0] += 100
    return generator


@pytest.mark.parametrize("calibrate", [True, False])
def test_a_column_out_of_the_reach_of_calibration_is_warned_of(frame, monkeypatch, calibrate):
    result = TableTraining.result
    monkeypatch.setattr(TableTraining, "result", lambda training: collapsed(result(training)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(random_state=0, calibrate=calibrate).fit(frame, ["kind"])
    about = [each for each in caught if "too seldom" in str(each.message)]
    assert len(about) == calibrate
    if calibrate:
        assert about[0].filename == __file__  # it is about this call
        message = str(about[0].message)
        assert "'kind' (0.3" in message  # the shares of "b" and "c"
        assert "more epochs" in message


def test_of_many_columns_out_of_reach_the_worst_are_named(frame):
    model = small(random_state=0).fit(frame)
    *others, last = [column.name for column in model.encoder.columns]
    distances = [0.05, *np.linspace(0.2, 0.9, len(others))]
    with pytest.warns(UserWarning, match="too seldom") as caught:
        warn_of_distances(model.encoder, distances, named=2)
    (warning,) = caught
    assert f"'{last}' (0.90), '{others[-1]}' (" in str(warning.message)
    assert f", and {len(others) - 2} more (" in str(warning.message)


def test_a_good_fit_does_not_warn(frame):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(TrainingSettings(epochs=6, batch_size=100), random_state=0).fit(frame)
