"""Fits that are watched, stopped, saved as they go on, resumed, and continued."""

from __future__ import annotations

import pickle
import warnings

import pandas as pd
import pytest
from sdv.errors import NotFittedError, SynthesizerInputError
from shared_tables import PEOPLE, QUICK, as_input, describe, people, quick_fit, rows_of

from sdv_wgangp import load_model
from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.persistence.state import CheckpointMismatchError
from sdv_wgangp.single_table import WGANGPMFSSynthesizer

EPOCHS = 4


def fresh(**options) -> WGANGPMFSSynthesizer:
    return WGANGPMFSSynthesizer(PEOPLE, **QUICK | {"epochs": EPOCHS} | options)


class StopAfter:
    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        return run.step >= self.step


def sampled(synthesizer) -> pd.DataFrame:
    return rows_of(synthesizer.sample(60))


# --------------------------------------------------------------------------- callbacks


def test_a_callable_is_told_of_every_epoch_and_may_end_the_fit():
    synthesizer, seen = fresh(), []

    def watch(log):
        seen.append(log)
        return log.epoch == 1

    synthesizer.set_callbacks([watch])
    synthesizer.fit(as_input(people()))
    assert [log.epoch for log in seen] == [0, 1]
    assert len(synthesizer.get_loss_values()) == 2
    assert len(sampled(synthesizer)) == 60


def test_an_object_is_told_of_stages_and_steps():
    class Diary:
        def __init__(self):
            self.told = []

        def on_stage(self, name):
            self.told.append(name)

        def on_fit_begin(self, run):
            self.told.append("begin")

        def on_step(self, run):
            self.told.append(run.step)

        def on_fit_end(self, run):
            self.told.append("end")

    diary, synthesizer = Diary(), fresh(epochs=1)
    synthesizer.set_callbacks([diary])
    synthesizer.fit(as_input(people()))
    assert diary.told == ["encoding", "training", "begin", 1, 2, 3, 4, 5, "end", "calibration"]


def test_what_a_callback_raises_comes_after_the_fit():
    def fail(log):
        raise LookupError("of the callback")

    synthesizer = fresh()
    synthesizer.set_callbacks([fail])
    with pytest.raises(LookupError, match="of the callback"):
        synthesizer.fit(as_input(people()))
    assert len(synthesizer.get_loss_values()) == 1
    assert len(sampled(synthesizer)) == 60


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([3], "3 is no callback"),
        (print, "must be a list"),
        ([StopAfter], "is a class"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks, message):
    with pytest.raises(SynthesizerInputError, match=message):
        fresh().set_callbacks(callbacks)


def test_neither_callbacks_nor_checkpoints_are_saved(tmp_path):
    synthesizer = fresh(epochs=1)
    synthesizer.set_callbacks([lambda log: None])
    synthesizer.set_checkpoints(tmp_path / "checkpoints")
    synthesizer.fit(as_input(people()))
    synthesizer.save_model(tmp_path / "model.safetensors")
    expected = sampled(synthesizer)
    for loaded in (
        load_model(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(synthesizer)),
    ):
        loaded.reset_sampling()
        pd.testing.assert_frame_equal(sampled(loaded), expected)
        with pytest.raises(SynthesizerInputError, match="call set_checkpoints"):
            loaded.resume(as_input(people()))


# --------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("options", [{}, {"meta_features": ["mean", "cor"]}], ids=str)
def test_a_resumed_fit_is_the_one_that_was_not_stopped(tmp_path, options):
    whole = fresh(**options)
    whole.fit(as_input(people()))
    stopped = fresh(**options)
    stopped.set_checkpoints(tmp_path)
    stopped.set_callbacks([StopAfter(7)])
    stopped.fit(as_input(people()))
    assert len(stopped.get_loss_values()) < EPOCHS
    resumed = fresh(**options)
    resumed.set_checkpoints(tmp_path)
    resumed.resume(as_input(people()))
    assert resumed.get_loss_values().equals(whole.get_loss_values())
    pd.testing.assert_frame_equal(sampled(resumed), sampled(whole))


def test_a_fit_without_a_seed_resumes_with_the_one_it_drew(tmp_path):
    stopped = fresh(random_state=None)
    stopped.set_checkpoints(tmp_path)
    stopped.fit(as_input(people()))
    resumed = fresh(random_state=None)
    resumed.set_checkpoints(tmp_path)
    resumed.resume(as_input(people()))
    assert resumed.get_loss_values().equals(stopped.get_loss_values())


def test_where_there_is_no_checkpoint_the_fit_begins_anew(tmp_path):
    synthesizer = fresh(epochs=1)
    synthesizer.set_checkpoints(tmp_path / "new")
    with pytest.warns(UserWarning, match="begins anew"):
        synthesizer.resume(as_input(people()))
    assert len(synthesizer.get_loss_values()) == 1


def test_resuming_needs_a_folder():
    with pytest.raises(SynthesizerInputError, match="call set_checkpoints"):
        fresh().resume(as_input(people()))


@pytest.mark.parametrize(
    ("options", "frame", "message"),
    [
        ({"generator_lr": 1e-4}, people(), r"generator_lr: checkpoint 0\.0005, now 0\.0001"),
        ({}, people().assign(age=30), "table"),
        ({"generator_dim": (8,)}, people(), "generator_dim"),
    ],
    ids=["another rate", "another table", "another network"],
)
def test_what_is_not_the_same_training_is_refused_by_name(tmp_path, options, frame, message):
    stopped = fresh()
    stopped.set_checkpoints(tmp_path)
    stopped.set_callbacks([StopAfter(3)])
    stopped.fit(as_input(people()))
    other = fresh(**options)
    other.set_checkpoints(tmp_path)
    with pytest.raises(CheckpointMismatchError, match=message):
        other.resume(as_input(frame))


@pytest.mark.parametrize("keep", [0, 1.5, True])
def test_arguments_of_checkpoints_are_checked(tmp_path, keep):
    with pytest.raises(SynthesizerInputError, match="keep must be a whole number"):
        fresh().set_checkpoints(tmp_path, keep=keep)


# --------------------------------------------------------------------------- training on


def test_training_on_adds_epochs_and_takes_newer_rows():
    synthesizer = quick_fit(PEOPLE, people(), epochs=2)
    synthesizer.continue_fit(as_input(people(400)), epochs=3)
    losses = synthesizer.get_loss_values()
    assert losses["Epoch"].tolist() == [0, 1, 2, 3, 4]
    assert losses.notna().all().all()
    sample = sampled(synthesizer)
    assert set(sample["group"]) <= {"a", "b", "c"}


def test_a_loaded_synthesizer_trains_on(tmp_path):
    synthesizer = quick_fit(PEOPLE, people(), epochs=2)
    synthesizer.save_model(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    loaded.continue_fit(as_input(people()), epochs=2)
    assert loaded.get_loss_values()["Epoch"].tolist() == [0, 1, 2, 3]
    assert len(sampled(loaded)) == 60


def test_a_new_category_is_refused_by_name_and_nothing_is_lost():
    synthesizer = quick_fit(PEOPLE, people())
    expected = sampled(synthesizer)
    newer = people()
    newer.loc[3, "group"] = "zebra"
    with pytest.raises(ValueError, match=r"'group' holds 'zebra'"):
        synthesizer.continue_fit(as_input(newer), epochs=1)
    synthesizer.reset_sampling()
    pd.testing.assert_frame_equal(sampled(synthesizer), expected)


def test_numbers_beyond_the_range_are_warned_of():
    synthesizer = quick_fit(PEOPLE, people())
    newer = people()
    newer.loc[newer["income"].idxmax(), "income"] = 1e9
    with pytest.warns(UserWarning, match="'income' has 1 values outside"):
        synthesizer.continue_fit(as_input(newer), epochs=1)


@pytest.mark.parametrize("epochs", [0, 1.5, True])
def test_how_many_epochs_more_is_checked(epochs):
    synthesizer = quick_fit(PEOPLE, people())
    with pytest.raises(SynthesizerInputError, match="epochs must be a whole number"):
        synthesizer.continue_fit(as_input(people()), epochs)


def test_nothing_is_continued_before_a_fit():
    with pytest.raises(NotFittedError, match="before the synthesizer is fitted"):
        fresh().continue_fit(as_input(people()), 1)


@pytest.mark.parametrize(
    "objective", ["wgan-gp", "wgan-lp", "wgan", "gan", "hinge", "relativistic"]
)
def test_every_objective_serves_tables(objective):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        synthesizer = quick_fit(PEOPLE, people(), objective=objective, max_grad_norm=1.0)
    assert synthesizer.get_loss_values().notna().all().all()
    assert len(sampled(synthesizer)) == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "lsgan"}, "objective must be one of gan, wgan, wgan-gp"),
        ({"gradient_penalty": "l2"}, "gradient_penalty must be one of None, wgan-gp"),
        ({"max_grad_norm": 0}, "max_grad_norm must be None or a finite number above 0"),
    ],
)
def test_objectives_are_checked(options, message):
    with pytest.raises(SynthesizerInputError, match=message):
        fresh(**options)


def test_training_on_leaves_ranges_and_decimals_as_they_were():
    """Newer rows that are narrower, or rounded, are no new description of the column."""
    synthesizer = quick_fit(PEOPLE, people(), epochs=2)
    newer = people()
    newer["age"] = newer["age"].clip(40, 45)
    newer["income"] = newer["income"].round(0)
    synthesizer.continue_fit(as_input(newer), epochs=1)
    sample = rows_of(synthesizer.sample(300))
    assert not sample["age"].isin([40, 45]).mean() > 0.9
    assert sample["age"].min() < 40
    assert (sample["income"] % 1 != 0).mean() > 0.5
    assert sample["income"].dropna().equals(sample["income"].dropna().round(2))


@pytest.mark.parametrize("stage", ["encoding", "training", "calibration"])
def test_an_error_at_any_stage_loses_nothing_that_was_learned(stage):
    class Failing:
        def on_stage(self, name):
            if name == stage:
                raise LookupError(name)

    synthesizer = fresh(epochs=1)
    synthesizer.set_callbacks([Failing()])
    with pytest.raises(LookupError, match=stage):
        synthesizer.fit(as_input(people()))
    assert synthesizer.get_info()["is_fit"] == (stage == "calibration")
    if stage == "calibration":
        assert len(sampled(synthesizer)) == 60


def test_what_fails_before_the_first_step_leaves_no_model():
    class Failing:
        def on_fit_begin(self, run):
            raise LookupError("of a tracker")

    synthesizer = fresh(epochs=1)
    synthesizer.set_callbacks([Failing()])
    with pytest.raises(LookupError, match="of a tracker"):
        synthesizer.fit(as_input(people()))
    assert not synthesizer.get_info()["is_fit"]


def test_a_disabled_progress_bar_ends_no_fit(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    quick_fit(PEOPLE, people(), verbose=True)


def test_columns_that_are_no_strings_train_on_and_no_rows_are_refused():
    frame = people()[["group", "age"]].set_axis([0, 1], axis=1)
    metadata = describe({"0": "categorical", "1": "numerical"})
    synthesizer = quick_fit(metadata, frame)
    synthesizer.continue_fit(as_input(frame), epochs=1)
    assert list(sampled(synthesizer).columns) == [0, 1]
    with pytest.raises(SynthesizerInputError, match="no rows"):
        synthesizer.continue_fit(as_input(frame.head(0)), epochs=1)


def test_a_callback_that_saves_the_model_is_told_what_to_do(tmp_path):
    """What is trained has no calibration yet."""
    synthesizer = fresh()
    synthesizer.set_callbacks([lambda log: synthesizer.save_model(tmp_path / "m.safetensors")])
    with pytest.raises(ModelFileError, match=r"not fitted yet: .* `set_checkpoints`"):
        synthesizer.fit(as_input(people()))
    assert not list(tmp_path.iterdir())
    assert len(rows_of(synthesizer.sample(5))) == 5
