"""The synthesizer as a citizen of SDV."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.metadata import Metadata
from sdv.sampling import Condition

from sdv_wgangp import sdv_versions
from sdv_wgangp.single_table import WGANGPMFSSynthesizer



@pytest.fixture(scope="module")
def synthesizer():
    return fitted()


def test_samples_look_like_the_table(synthesizer):
    real, sample = people(), rows_of(synthesizer.sample(500))
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


def test_missing_values_are_learned_jointly():
    real = people(1000)
    synthesizer = fitted(real, epochs=40, generator_dim=(64, 64), generator_lr=2e-3)
    sample = rows_of(synthesizer.sample(2000))
    missing = sample["income"].isna().groupby(sample["group"]).mean()
    assert missing["c"] > 0.6  # independent columns: 0.33
    assert missing[["a", "b"]].max() < 0.25


def test_get_parameters_gives_back_every_argument():
    given = {
        "epochs": 7,
        "batch_size": 60,
        "pac": 3,
        "generator_dim": [8, 8],
        "meta_features": ["mean"],
        "random_state": 4,
        "calibrate": False,
    }
    parameters = WGANGPMFSSynthesizer(metadata(), **given).get_parameters()
    assert {name: parameters[name] for name in given} == given
    assert None not in [v for k, v in parameters.items() if k not in ("random_state",)]
    ctgan = {
        *("embedding_dim", "generator_dim", "discriminator_dim", "generator_lr", "epochs", "pac"),
        *("generator_decay", "discriminator_lr", "discriminator_decay", "batch_size", "verbose"),
        *("discriminator_steps", "log_frequency", "enable_gpu", "locales"),
        *("enforce_min_max_values", "enforce_rounding"),
    }
    assert ctgan <= set(parameters)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": -1}, "epochs must be a whole number of at least 0, not -1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"pac": 3}, "batch_size must be a multiple of pac: 100 is none of 3"),
        ({"generator_dim": ()}, "generator_dim must list the widths"),
        ({"discriminator_dim": (0,)}, "discriminator_dim must list the widths"),
        ({"generator_lr": -1.0}, "generator_lr must be a finite number of at least 0"),
        (
            {"gradient_penalty_weight": float("nan")},
            "gradient_penalty_weight must be a finite number",
        ),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\)"),
        ({"meta_features": ["meen"]}, "unknown meta-feature 'meen': choose from mean"),
        ({"random_state": -1}, "random_state must be"),
        ({"generator_dim": 256}, r"generator_dim must list .* like \(256, 256\), not 256"),
        ({"generator_lr": "x"}, "generator_lr must be a finite number"),
        ({"generator_lr": float("inf")}, "generator_lr must be a finite number"),
        ({"meta_features": 5}, "meta_features must be None or a list of names, not 5"),
        ({"calibrate": "no"}, "calibrate must be True or False, not 'no'"),
    ],
)
def test_bad_parameters_are_named_at_once(option, message):
    with pytest.raises(SynthesizerInputError, match=message):
        WGANGPMFSSynthesizer(metadata(), **FAST | option)


def test_numbers_of_numpy_are_numbers():
    WGANGPMFSSynthesizer(metadata(), epochs=np.int64(3), generator_lr=np.float32(1e-3))


def test_integers_beyond_2_53_survive():
    frame = pd.DataFrame({"big": 2**60 + np.repeat(np.arange(60), 10), "kind": ["a", "b"] * 300})
    columns = {"big": {"sdtype": "numerical"}, "kind": {"sdtype": "categorical"}}
    meta = Metadata.load_from_dict({"tables": {TABLE: {"columns": columns}}})
    synthesizer = WGANGPMFSSynthesizer(meta, random_state=0, **FAST)
    synthesizer.fit(sdv_versions.as_fit_input(meta, frame))
    sample = rows_of(synthesizer.sample(500))["big"]
    assert sample.dtype == np.int64
    assert set(sample) <= set(frame["big"])
    assert sample.nunique() > 40


def test_loss_values_and_plot(synthesizer):
    losses = synthesizer.get_loss_values()
    assert list(losses) == ["Epoch", "Generator Loss", "Discriminator Loss"]
    assert losses["Epoch"].tolist() == [0, 1]
    assert np.isfinite(losses.to_numpy(float)).all()
    figure = synthesizer.get_loss_values_plot(title="Losses")
    assert [trace.name for trace in figure.data] == ["Generator Loss", "Discriminator Loss"]
    with pytest.raises(NotFittedError):
        WGANGPMFSSynthesizer(metadata()).get_loss_values()


def test_zero_epochs():
    synthesizer = fitted(epochs=0)
    assert synthesizer.get_loss_values().empty
    assert len(rows_of(synthesizer.sample(10))) == 10


def test_fits_repeat_with_random_state_and_sampling_with_reset():
    one, two = fitted(), fitted()
    first = rows_of(one.sample(100))
    pd.testing.assert_frame_equal(first, rows_of(two.sample(100)))
    assert not rows_of(one.sample(100)).equals(first)
    one.reset_sampling()
    pd.testing.assert_frame_equal(rows_of(one.sample(100)), first)


def test_save_and_load_in_a_new_process(synthesizer, tmp_path):
    synthesizer.save(tmp_path / "model.pkl")
    synthesizer.reset_sampling()
    expected = rows_of(synthesizer.sample(40))
    code = (
        "import sys; from sdv_wgangp import sdv_versions; "
        "loaded = sdv_versions.load(sys.argv[1]); loaded.reset_sampling(); "
        "sdv_versions.as_frame(loaded.sample(40)).to_pickle(sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pkl", tmp_path / "rows.pkl"], check=True
    )
    pd.testing.assert_frame_equal(pd.read_pickle(tmp_path / "rows.pkl"), expected)


def test_refit_and_processed_data():
    again = fitted()
    frame = people().drop(columns="email")
    small = Metadata.load_from_dict(
        {
            "tables": {
                TABLE: {
                    "columns": {
                        k: v
                        for k, v in metadata().to_dict()["tables"][TABLE]["columns"].items()
                        if k not in ("email", "id")
                    }
                }
            }
        }
    )
    again.fit(sdv_versions.as_fit_input(metadata(), people(100)))
    assert len(rows_of(again.sample(5))) == 5
    other = WGANGPMFSSynthesizer(small, **FAST)
    data = sdv_versions.as_fit_input(small, frame.drop(columns="id"))
    other.fit_processed_data(other.preprocess(data))
    assert len(rows_of(other.sample(5))) == 5


def test_conditions(synthesizer):
    sample = rows_of(synthesizer.sample_from_conditions([Condition({"group": "b"}, num_rows=20)]))
    assert sample["group"].eq("b").all()
    assert len(sample) == 20


def test_keys_and_anonymised_columns_only():
    columns = {"id": {"sdtype": "id"}, "email": {"sdtype": "email", "pii": True}}
    keys = Metadata.load_from_dict(
        {"tables": {TABLE: {"primary_key": "id", "columns": columns}}, "relationships": []}
    )
    synthesizer = WGANGPMFSSynthesizer(keys, **FAST)
    synthesizer.fit(sdv_versions.as_fit_input(keys, people()[["id", "email"]]))
    assert len(rows_of(synthesizer.sample(12))) == 12
    assert synthesizer.get_loss_values().empty


def test_verbose_shows_losses_and_rows_per_second(capsys):
    fitted(verbose=True)
    shown = capsys.readouterr().err
    assert "generator" in shown
    assert "discriminator" in shown
    assert "rows/s" in shown
    fitted(verbose=False)
    assert capsys.readouterr().err == ""


def test_a_divergence_keeps_a_synthesizer_that_samples():
    synthesizer = WGANGPMFSSynthesizer(
        metadata(), random_state=0, **FAST | {"epochs": 50, "gradient_penalty_weight": 1e38}
    )
    with pytest.raises(RuntimeError, match="non-finite"):
        synthesizer.fit(sdv_versions.as_fit_input(metadata(), people()))
    assert len(rows_of(synthesizer.sample(10))) == 10
    assert synthesizer.get_info()["is_fit"]
    assert synthesizer.get_info()["last_fit_date"]


def test_constraints_keep_the_transformers():
    """SDV forgets a model's transformers when constraints are added; the columns stay discrete."""
    from sdv.cag import Inequality

    synthesizer = WGANGPMFSSynthesizer(metadata(), random_state=0, **FAST)
    frame = people().assign(income=lambda f: f["age"] + 1.0 + f["id"] % 7)
    synthesizer.add_constraints([Inequality("age", "income")])
    synthesizer.fit(sdv_versions.as_fit_input(metadata(), frame))
    kinds = {c.name: type(c).__name__ for c in synthesizer._model.encoder.columns}
    assert kinds["group"] == "CategoricalColumn"
    sample = rows_of(synthesizer.sample(50))
    assert (sample["income"] >= sample["age"]).all()


def test_learning_rates_beyond_reason_are_refused_before_training():
    synthesizer = WGANGPMFSSynthesizer(metadata(), **FAST | {"discriminator_lr": 1e30})
    with pytest.raises(ValueError, match=r"discriminator_lr must lie in \[0, 1\], got 1e\+30"):
        synthesizer.fit(sdv_versions.as_fit_input(metadata(), people()))
