"""The contract of SDV's single-table synthesizers, method by method, under both lines of SDV."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from rdt.transformers import FloatFormatter, LabelEncoder, OneHotEncoder
from sdv.cag import Inequality
from sdv.errors import InvalidDataError, NotFittedError, SamplingError, SynthesizerInputError
from sdv.single_table import CTGANSynthesizer
from shared_tables import FAST, PEOPLE, TABLE, as_input, describe, fit, people, rows_of

from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

SDV2 = sdv_versions.takes_dictionaries()


@pytest.fixture(scope="module")
def synthesizer():
    return fit(PEOPLE, people(), epochs=2)


def fresh(**options) -> WGANGPMFSSynthesizer:
    return WGANGPMFSSynthesizer(PEOPLE, **FAST | options)


# --------------------------------------------------------------------------- parameters


def test_the_arguments_of_ctgan_fit_in_their_order():
    """A call of CTGANSynthesizer stays valid, by position too, when the name is replaced."""
    theirs = [*inspect.signature(CTGANSynthesizer.__init__).parameters]
    ours = [*inspect.signature(WGANGPMFSSynthesizer.__init__).parameters]
    theirs = [name for name in theirs if name != "cuda"]  # deprecated in 1.38, gone in 2.0
    assert ours[: len(theirs)] == theirs


def test_get_parameters_gives_back_every_argument():
    given = {
        "epochs": 7,
        "batch_size": 60,
        "pac": 3,
        "generator_dim": [8, 8],
        "meta_features": ["mean"],
        "meta_feature_weight": {"mean": 2.0},
        "meta_feature_distance": "sliced",
        "meta_feature_subsets": 4,
        "meta_feature_fraction": 0.25,
        "meta_feature_schedule": "decay",
        "target": "group",
        "random_state": 4,
        "calibrate": False,
        "conditional_share": 0.4,
        "log_frequency": False,
        "max_seconds": 600,
        "early_stopping": True,
        "validation_fraction": 0.2,
        "patience": 8,
        "objective": "hinge",
        "gradient_penalty": "r1",
        "max_grad_norm": 3.0,
        "gradient_penalty_interval": 4,
        "optimizer": "rmsprop",
        "betas": [0.5, 0.9],
        "discriminator_dropout": 0.2,
        "conditional_weight": 0.5,
        "min_steps_per_epoch": 10,
        "precision": "highest",
        "encoding_options": {"bins": 9},
        "calibration_options": {"trees": 5},
    }
    parameters = WGANGPMFSSynthesizer(PEOPLE, **given).get_parameters()
    assert {name: parameters[name] for name in given} == given
    # Which no penalty goes with.
    assert [name for name, value in parameters.items() if value is None] == ["weight_clip"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": -1}, "epochs must be 'auto' or a whole number of at least 0, not -1"),
        ({"epochs": 1.5}, "epochs must be 'auto' or a whole number"),
        ({"batch_size": 1}, "batch_size must be 'auto' or a whole number of at least 2"),
        ({"pac": 7}, "batch_size must be a multiple of pac: 60 is none of 7"),
        ({"generator_dim": ()}, "generator_dim must list the widths"),
        ({"discriminator_dim": (0,)}, "discriminator_dim must list the widths"),
        ({"generator_lr": -1.0}, r"generator_lr must lie in \[0, 1\]"),
        (
            {"gradient_penalty_weight": float("nan")},
            "gradient_penalty_weight must be a finite number",
        ),
        ({"ema_decay": 1.0}, r"ema_decay must be 'auto' or lie in \[0, 1\)"),
        ({"meta_features": ["meen"]}, "unknown meta-feature 'meen': choose from mean"),
        ({"random_state": -1}, "random_state must be"),
        ({"generator_dim": 256}, r"generator_dim must list .* like \(256, 256\), not 256"),
        ({"generator_lr": "x"}, r"generator_lr must lie in \[0, 1\]"),
        ({"generator_lr": float("inf")}, r"generator_lr must lie in \[0, 1\]"),
        ({"meta_features": 5}, "meta_features must be None, 'auto' or a list of names, not 5"),
        ({"meta_feature_weight": -1}, "meta_feature_weight must be a finite number of at least 0"),
        (
            {"meta_features": ["mean"], "meta_feature_weight": {"mean": "x"}},
            "meta_feature_weight of 'mean' must be a finite number of at least 0, not 'x'",
        ),
        (
            {"meta_features": ["mean"], "meta_feature_weight": {"sd": 1}},
            "meta_feature_weight names 'sd', which is not in meta_features",
        ),
        (
            {"meta_features": ["mean", "sd"], "meta_feature_weight": {"sd": 1}},
            "meta_feature_weight has no weight for 'mean'",
        ),
        (
            {"meta_feature_distance": "far"},
            "meta_feature_distance must be one of tracked, product, transport, sinkhorn, sliced, "
            "wasserstein_1d, not 'far'",
        ),
        (
            {"meta_feature_schedule": ["decay"]},
            "meta_feature_schedule must be one of constant, warmup, decay, not",
        ),
        ({"meta_feature_subsets": 0}, "meta_feature_subsets must be a whole number of at least 1"),
        ({"meta_feature_fraction": 0}, r"meta_feature_fraction must lie in \(0, 1\], not 0"),
        (
            {
                "meta_features": ["sd"],
                "meta_feature_distance": "transport",
                "meta_feature_fraction": 0.02,
            },
            "'transport' takes statistics of 1 row",
        ),
        (  # one of its rows has conditions
            {"meta_features": ["sd"], "meta_feature_distance": "product", "batch_size": 4},
            r"'product' takes statistics of 1 row\(s\) of the 3 without conditions",
        ),
        (
            {
                "meta_features": ["sd"],
                "meta_feature_distance": "sliced",
                "meta_feature_fraction": 0.15,
                "batch_size": 20,
                "pac": 10,
            },
            r"'sliced' takes statistics of 1 row\(s\) of the 10 without conditions",
        ),
        ({"target": "salary"}, "target must be None or a column of the metadata, not 'salary'"),
        ({"target": ["group"]}, "target must be None or a column of the metadata"),
        ({"calibrate": "no"}, "calibrate must be True or False, not 'no'"),
        ({"log_frequency": 1}, "log_frequency must be True or False, not 1"),
        (
            {"conditional_share": 0.6},
            r"conditional_share must lie in \[0, 0.5\], not 0.6; 0 switch",
        ),
        ({"conditional_share": None}, r"conditional_share must lie in \[0, 0.5\], not None"),
        ({"max_seconds": 0}, "max_seconds must be None or a finite number above 0, not 0"),
        ({"max_seconds": float("inf")}, "max_seconds must be None or a finite number above 0"),
        ({"early_stopping": 1}, "early_stopping must be True or False, not 1"),
        ({"validation_fraction": 0}, r"validation_fraction must lie in \(0, 0.5\], not 0"),
        ({"validation_fraction": 0.51}, r"validation_fraction must lie in \(0, 0.5\], not 0.51"),
        ({"patience": 0}, "patience must be a whole number of at least 1, not 0"),
        ({"betas": 0.9}, r"betas must be two numbers in \[0, 1\), not 0.9"),
        (
            {"weight_clip": 0.1},
            "weight_clip and the penalty wgan-gp both bound the critic's slope",
        ),
        (
            {"objective": "gan", "gradient_penalty_interval": 2},
            "gradient_penalty_interval is given, but gan has no penalty: name one with",
        ),
    ],
)
def test_bad_parameters_are_named_at_once(option, message):
    with pytest.raises(SynthesizerInputError, match=message):
        fresh(**option)


def test_parameters_of_the_training_reach_it():
    options = {
        "objective": "wgan",
        "weight_clip": 0.05,
        "optimizer": "rmsprop",
        "betas": [0.0, 0.99],
        "conditional_weight": 0.5,
        "min_steps_per_epoch": 3,
        "precision": "highest",
    }
    others = {"encoding_options": {"bins": 9}, "calibration_options": {"trees": 5}}
    model = fit(PEOPLE, people(), discriminator_dropout=0.2, **options, **others).model
    assert (model.encoding_options.bins, model.calibration_options.trees) == (9, 5)
    settings = vars(model.settings)
    assert {name: settings[name] for name in options} == options | {"betas": (0.0, 0.99)}
    assert model.dropout == 0.2
    assert model.logs[-1].step == len(model.logs) * max(3, len(people()) // FAST["batch_size"])
    interval = fit(PEOPLE, people(), gradient_penalty_interval=3, min_steps_per_epoch=3).model
    assert interval.settings.gradient_penalty_interval == 3


def test_numbers_of_numpy_are_numbers():
    WGANGPMFSSynthesizer(PEOPLE, epochs=np.int64(3), generator_lr=np.float32(1e-3))


@pytest.mark.parametrize("name", ["generator_lr", "discriminator_lr"])
def test_learning_rates_beyond_reason_are_refused(name):
    message = rf"{name} must lie in \[0, 1\], not 1e\+30"
    with pytest.raises(SynthesizerInputError, match=message):
        fresh(**{name: 1e30})


# --------------------------------------------------------------------------- before the fit


def test_validate_accepts_the_table_and_names_what_is_wrong():
    synthesizer = fresh()
    synthesizer.validate(as_input(people()))
    with pytest.raises(InvalidDataError, match="email"):
        synthesizer.validate(as_input(people().drop(columns="email")))
    with pytest.raises(InvalidDataError, match="Invalid values found for numerical column 'age'"):
        synthesizer.validate(as_input(people().assign(age="old")))
    with pytest.raises(InvalidDataError, match="Key column 'id' contains"):
        synthesizer.validate(as_input(people().assign(id=1)))
    with pytest.raises(InvalidDataError, match=r"Column 'age' is numerical .* 'category'"):
        synthesizer.validate(as_input(people().assign(age=people()["age"].astype("category"))))


def test_transformers_are_assigned_and_can_be_replaced():
    synthesizer = fresh()
    with pytest.raises(ValueError, match="auto_assign_transformers"):
        synthesizer.get_transformers()
    synthesizer.auto_assign_transformers(as_input(people()))
    assigned = synthesizer.get_transformers()
    assert list(assigned) == list(people())
    # What the model learns as it is needs none.
    assert {name for name, each in assigned.items() if each is None} == {
        *("group", "income", "age", "member")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SDV: this might impact the quality
        synthesizer.update_transformers({"group": OneHotEncoder(), "age": FloatFormatter()})
    synthesizer.fit(as_input(people()))
    assert type(synthesizer.get_transformers()["group"]) is OneHotEncoder
    sample = rows_of(synthesizer.sample(50))
    assert set(sample["group"]) <= {"a", "b", "c"}
    assert sample["age"].between(18, 79).all()
    assert sample.dtypes.equals(people().dtypes)


def test_transformers_of_keys_and_used_ones_are_refused():
    synthesizer = fresh()
    synthesizer.auto_assign_transformers(as_input(people()))
    with pytest.raises(SynthesizerInputError, match="Column 'id' is a key"):
        synthesizer.update_transformers({"id": FloatFormatter()})
    used = LabelEncoder()
    used.fit(people(), "group")
    with pytest.raises(SynthesizerInputError, match="has already been fit"):
        synthesizer.update_transformers({"group": used})


def test_preprocess_then_fit_is_what_fit_does():
    synthesizer = fresh()
    processed = synthesizer.preprocess(as_input(people()))
    assert isinstance(processed, dict) == SDV2
    frame = rows_of(processed)
    assert sorted(frame) == sorted(["group", "income", "age", "member", "since"])
    assert frame["since"].dtype == np.float64
    assert frame["income"].isna().equals(people()["income"].isna())
    synthesizer.fit_processed_data(processed)
    sample = rows_of(synthesizer.sample(30))
    pd.testing.assert_frame_equal(sample, rows_of(fit(PEOPLE, people()).sample(30)))


def test_fitting_leaves_the_table_of_the_caller_alone():
    frame = people()
    kept = frame.copy(deep=True)
    fit(PEOPLE, frame)
    pd.testing.assert_frame_equal(frame, kept)


def test_metadata_and_info(synthesizer):
    assert synthesizer.get_metadata().to_dict() == PEOPLE.to_dict()
    constrained = fresh()
    constrained.add_constraints([Inequality("age", "income")])
    assert constrained.get_metadata("original").to_dict() == PEOPLE.to_dict()
    assert "age#income" in constrained.get_metadata("modified").tables[TABLE].columns
    info = synthesizer.get_info()
    assert info["class_name"] == "WGANGPMFSSynthesizer"
    assert info["is_fit"]
    assert info["last_fit_date"] >= info["creation_date"]
    assert info["fitted_sdv_version"]
    assert not fresh().get_info()["is_fit"]


def test_constraints_are_listed_and_written(tmp_path):
    synthesizer = fresh()
    synthesizer.add_constraints([Inequality("age", "income")])
    (constraint,) = synthesizer.get_constraints()
    assert type(constraint) is Inequality
    synthesizer.get_constraints(tmp_path / "constraints.json")
    written = json.loads((tmp_path / "constraints.json").read_text())
    assert [each["class_name"] for each in written] == ["Inequality"]


# --------------------------------------------------------------------------- sampling


def test_samples_look_like_the_table(synthesizer):
    real, sample = people(), rows_of(synthesizer.sample(500))
    assert isinstance(synthesizer.sample(1), dict) == SDV2
    assert len(sample) == 500
    assert list(sample) == list(real)
    assert (sample.dtypes == real.dtypes).all()
    assert sample["id"].is_unique
    assert set(sample["group"]) <= {"a", "b", "c"}
    assert sample["income"].min() >= real["income"].min()
    assert sample["income"].max() <= real["income"].max()
    assert sample["income"].dropna().eq(sample["income"].dropna().round(2)).all()
    assert sample["age"].between(18, 79).all()
    assert sample["since"].between(real["since"].min(), real["since"].max()).all()
    assert not set(sample["email"]) & set(real["email"])


def test_sampling_before_the_fit_is_refused():
    with pytest.raises(SamplingError, match="has not been fitted"):
        fresh().sample(3)


def test_batches_continue_the_keys_and_write_the_file(synthesizer, tmp_path):
    where = {"output_folder_path": tmp_path} if SDV2 else {"output_file_path": tmp_path / "t.csv"}
    sample = rows_of(synthesizer.sample(60, batch_size=20, **where))
    assert len(sample) == 60
    assert sample["id"].is_unique
    (written,) = tmp_path.glob("*.csv")
    pd.testing.assert_frame_equal(pd.read_csv(written), sample, check_dtype=False)


@pytest.mark.skipif(not SDV2, reason="names of tables are new in SDV 2.0")
def test_the_table_can_be_named(synthesizer):
    assert list(synthesizer.sample(3, main_table_name=TABLE)) == [TABLE]
    assert list(synthesizer.get_transformers(table_name=TABLE)) == list(people())
    with pytest.raises(ValueError, match="'pets' is not present"):
        synthesizer.sample(3, main_table_name="pets")


def test_sampling_goes_on_and_starts_again_with_reset():
    one, two = fit(PEOPLE, people()), fit(PEOPLE, people())
    first = rows_of(one.sample(100))
    pd.testing.assert_frame_equal(first, rows_of(two.sample(100)))
    second = rows_of(one.sample(100))
    assert not second.equals(first)
    one.reset_sampling()
    pd.testing.assert_frame_equal(rows_of(one.sample(100)), first)
    pd.testing.assert_frame_equal(rows_of(one.sample(100)), second)


def test_rounding_can_be_left_free_and_the_range_is_kept():
    frame = pd.DataFrame({"x": np.linspace(0.5, 99.5, 300).round(1), "y": np.arange(300) % 2})
    metadata = describe({"x": "numerical", "y": "categorical"})
    free = {"enforce_min_max_values": False, "enforce_rounding": False}
    drawn = rows_of(fit(metadata, frame, **free).sample(400))["x"]
    assert drawn.between(0.5, 99.5).all()
    assert drawn.eq(drawn.round(1)).mean() < 0.2
    bound = rows_of(fit(metadata, frame).sample(400))["x"]
    assert bound.between(0.5, 99.5).all()
    assert bound.eq(bound.round(1)).all()


def test_locales_of_personal_data():
    columns = {"name": {"sdtype": "name", "pii": True}, "x": "numerical"}
    frame = pd.DataFrame({"name": ["Ann", "Bob"] * 50, "x": np.arange(100.0)})
    drawn = rows_of(fit(describe(columns), frame, locales=["ja_JP"]).sample(30))["name"]
    assert not drawn.map(str.isascii).any()
    assert rows_of(fit(describe(columns), frame).sample(30))["name"].map(str.isascii).all()


# --------------------------------------------------------------------------- losses


def test_loss_values_and_plot(synthesizer):
    losses = synthesizer.get_loss_values()
    assert list(losses) == ["Epoch", "Generator Loss", "Discriminator Loss"]
    assert losses["Epoch"].tolist() == [0, 1]
    assert np.isfinite(losses.to_numpy(float)).all()
    figure = synthesizer.get_loss_values_plot(title="Losses")
    assert [trace.name for trace in figure.data] == ["Generator Loss", "Discriminator Loss"]
    with pytest.raises(NotFittedError):
        WGANGPMFSSynthesizer(PEOPLE).get_loss_values()


def test_validation_scores(synthesizer, capsys):
    with pytest.raises(NotFittedError):
        WGANGPMFSSynthesizer(PEOPLE).get_validation_scores()
    none = synthesizer.get_validation_scores()
    assert none.empty
    assert list(none) == ["Epoch", "Score"]
    stopped = fit(
        PEOPLE, people(), epochs=2, early_stopping=True, validation_fraction=0.2, verbose=True
    )
    scores = stopped.get_validation_scores()
    assert list(scores) == ["Epoch", "Score"]
    assert scores["Epoch"].tolist() == [0, 1]
    assert scores["Score"].between(0, 1).all()
    assert f"held-out score {scores['Score'].iloc[-1]:.3f}" in capsys.readouterr().err


def test_empty_metadata_wait_for_data_as_those_of_ctgan_do():
    from sdv.metadata import Metadata
    from sdv.metadata.errors import InvalidMetadataError

    synthesizer = WGANGPMFSSynthesizer(Metadata(), epochs=1)
    assert synthesizer.get_parameters()["epochs"] == 1
    errors = []
    for each in (synthesizer, CTGANSynthesizer(Metadata())):
        with pytest.raises(Exception) as raised:  # noqa: PT011  (whatever SDV raises)
            each.fit(as_input(people()))
        errors.append((type(raised.value), str(raised.value)))
    # SDV 1.38 tells those of CTGAN less.
    assert errors[0] == errors[1] or errors[0][0] is InvalidMetadataError


def test_the_deprecated_cuda_is_taken_where_sdv_takes_it():
    if sdv_versions.takes_dictionaries():
        with pytest.raises(TypeError, match="cuda"):
            WGANGPMFSSynthesizer(PEOPLE, cuda=False)
        return
    with pytest.warns(FutureWarning, match="use enable_gpu"):
        synthesizer = WGANGPMFSSynthesizer(PEOPLE, cuda=False)
    assert synthesizer.enable_gpu is False
    assert "cuda" not in synthesizer.get_parameters()


def test_columns_of_one_name_are_refused_by_name():
    frame = people().rename(columns={"income": "age"})
    with pytest.raises(InvalidDataError, match="Column 'age' is there more than once"):
        WGANGPMFSSynthesizer(PEOPLE, **FAST).fit(as_input(frame))


def test_a_time_budget_covers_what_sdv_does_before_the_model(monkeypatch):
    given = []

    class Told:
        def on_fit_begin(self, run):
            given.append(run.schedule.state_dict()["seconds"])

    plain = WGANGPMFSSynthesizer.preprocess

    def slow(self, data):
        time.sleep(2)
        return plain(self, data)

    monkeypatch.setattr(WGANGPMFSSynthesizer, "preprocess", slow)
    for limit in (600, 8):
        synthesizer = WGANGPMFSSynthesizer(PEOPLE, **FAST, max_seconds=limit)
        synthesizer.set_callbacks([Told()])
        synthesizer.fit(as_input(people()))
    assert given[0] < 598
    assert 0.8 <= given[1] < 6


def test_a_time_budget_reaches_the_model():
    with pytest.warns(UserWarning, match=r"max_seconds \(0.001\) is short: what comes before"):
        short = fit(PEOPLE, people(), max_seconds=0.001)
    assert len(rows_of(short.sample(5))) == 5
    assert len(fit(PEOPLE, people(), epochs=2, max_seconds=3600).get_loss_values()) == 2


def test_meta_feature_losses():
    names = ["gravity", "mean", "contingency"]
    synthesizer = fit(
        PEOPLE,
        people(),
        epochs=2,
        meta_features=names,
        target="group",
        meta_feature_weight=dict.fromkeys(names, 0.5),
    )
    losses = synthesizer.get_meta_feature_losses()
    assert list(losses) == ["Epoch", *names]
    assert losses["Epoch"].tolist() == [0, 1]
    assert (losses[names] > 0).all(axis=None)
    whole, terms = synthesizer.get_loss_values(), synthesizer.get_loss_terms()
    assert list(whole) == ["Epoch", "Generator Loss", "Discriminator Loss"]
    assert terms["Epoch"].tolist() == [0, 1]
    assert (terms[["Meta-Features", "Gradient Penalty"]] > 0).all(axis=None)
    generator = terms[["Adversarial", "Meta-Features", "Conditional"]].sum(axis=1)
    np.testing.assert_allclose(generator, whole["Generator Loss"], rtol=1e-5)
    critic = terms[["Wasserstein", "Gradient Penalty"]].sum(axis=1)
    np.testing.assert_allclose(critic, whole["Discriminator Loss"], rtol=1e-5)
    with pytest.raises(NotFittedError):
        WGANGPMFSSynthesizer(PEOPLE, meta_features=names).get_meta_feature_losses()


def test_vanilla_training_has_no_meta_feature_losses(synthesizer):
    losses = synthesizer.get_meta_feature_losses()
    assert list(losses) == ["Epoch"]
    assert losses["Epoch"].tolist() == [0, 1]
    terms = synthesizer.get_loss_terms()
    assert (terms["Meta-Features"] == 0).all()
    assert (terms[["Adversarial", "Conditional"]] != 0).all(axis=None)
    with pytest.raises(NotFittedError):
        WGANGPMFSSynthesizer(PEOPLE).get_loss_terms()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "'gravity' needs the classes of a target column: name one with target="),
        ("income", "'gravity' needs a target with classes, and 'income' is continuous"),
        ("email", "target 'email' is not a column that is modelled"),
    ],
)
def test_targets_that_do_not_fit_are_refused_before_training(target, message):
    with pytest.raises(ValueError, match=message):
        fit(PEOPLE, people(), meta_features=["gravity"], target=target)


def test_zero_epochs():
    synthesizer = fit(PEOPLE, people(), epochs=0)
    assert synthesizer.get_loss_values().empty
    assert len(rows_of(synthesizer.sample(10))) == 10


def test_verbose_shows_losses_and_rows_per_second(capsys):
    fit(PEOPLE, people(), verbose=True)
    shown = capsys.readouterr().err
    assert "generator" in shown
    assert "critic" in shown
    assert "rows/s" in shown
    assert "meta-features" not in shown
    fit(PEOPLE, people(), verbose=True, meta_features=["mean"])
    assert "meta-features" in capsys.readouterr().err
    fit(PEOPLE, people(), verbose=False)
    assert capsys.readouterr().err == ""


def test_a_divergence_keeps_a_synthesizer_that_samples():
    synthesizer = fresh(
        epochs=50, batch_size=100, min_steps_per_epoch=120, gradient_penalty_weight=1e38
    )
    with pytest.raises(RuntimeError, match="non-finite"):
        synthesizer.fit(as_input(people()))
    assert len(rows_of(synthesizer.sample(10))) == 10
    assert synthesizer.get_info()["is_fit"]
    assert synthesizer.get_info()["last_fit_date"]


# --------------------------------------------------------------------------- refits, files


def test_a_refit_forgets_the_first_table():
    synthesizer = fit(PEOPLE, people())
    young = people().assign(age=lambda frame: frame["age"] % 10, group="z")
    synthesizer.fit(as_input(young))
    sample = rows_of(synthesizer.sample(100))
    assert set(sample["group"]) == {"z"}
    assert sample["age"].between(0, 9).all()
    pd.testing.assert_frame_equal(sample, rows_of(fit(PEOPLE, young).sample(100)))


LOADED = """
import sys
import time
from sdv_wgangp.synthesizers import sdv_versions
loaded = sdv_versions.load(sys.argv[1])
loaded.reset_sampling()
sdv_versions.as_frame(loaded.sample(40)).to_pickle(sys.argv[2])
"""


@pytest.mark.parametrize("device", ["the same", "no GPU"])
def test_save_and_load_in_a_new_process(synthesizer, device, tmp_path):
    synthesizer.save(tmp_path / "model.pkl")
    environment = dict(os.environ)
    if device == "no GPU":
        if not torch.cuda.is_available():
            pytest.skip("there is no GPU to go without")
        environment["CUDA_VISIBLE_DEVICES"] = ""
    paths = [tmp_path / "model.pkl", tmp_path / "rows.pkl"]
    subprocess.run([sys.executable, "-c", LOADED, *paths], check=True, env=environment)
    rows = pd.read_pickle(tmp_path / "rows.pkl")
    if device == "the same":
        synthesizer.reset_sampling()
        pd.testing.assert_frame_equal(rows, rows_of(synthesizer.sample(40)))
    assert rows.dtypes.equals(people().dtypes)


def test_an_unfitted_synthesizer_can_be_saved_and_fitted_later(tmp_path):
    with pytest.warns(UserWarning, match="has not yet been fitted"):
        fresh().save(tmp_path / "model.pkl")
    loaded = sdv_versions.load(tmp_path / "model.pkl")
    loaded.fit(as_input(people()))
    assert len(rows_of(loaded.sample(5))) == 5


@pytest.mark.skipif(SDV2, reason="gone in SDV 2.0")
def test_what_only_sdv_1_has(synthesizer, tmp_path):
    from sdv.metadata import SingleTableMetadata

    synthesizer.save(tmp_path / "model.pkl")
    loaded = WGANGPMFSSynthesizer.load(tmp_path / "model.pkl")
    assert len(loaded.sample(5)) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated since 1.17
        old = SingleTableMetadata.load_from_dict(PEOPLE.to_dict()["tables"][TABLE])
        older = WGANGPMFSSynthesizer(old, **FAST)
    older.fit(people())
    assert len(older.sample(5)) == 5


def test_integers_beyond_2_53_survive():
    frame = pd.DataFrame({"big": 2**60 + np.repeat(np.arange(60), 10), "kind": ["a", "b"] * 300})
    synthesizer = fit(describe({"big": "numerical", "kind": "categorical"}), frame)
    sample = rows_of(synthesizer.sample(500))["big"]
    assert sample.dtype == np.int64
    assert set(sample) <= set(frame["big"])
    assert sample.nunique() > 40
