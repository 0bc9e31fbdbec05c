"""The same seed gives the same model and rows, whatever else the process does."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from sdv.metadata import Metadata

from sdv_wgangp import ops
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.settings import TrainingSettings

FAST = {
    "epochs": 1,
    "min_steps_per_epoch": 20,
    "batch_size": 200,
    "generator_dim": (64, 64),
    "discriminator_dim": (64,),
    "calibration_options": {"trees": 50, "max_pool_rows": 2**13},
}


def people(rows=600):
    draw = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "group": draw.choice(["a", "b", None], rows),
            "income": draw.lognormal(10, 1, rows),
            "age": draw.integers(18, 80, rows),
            "since": pd.Timestamp("2015-01-01")
            + pd.to_timedelta(draw.integers(0, 900, rows), "D"),
            "email": [f"user{i}@example.org" for i in range(rows)],
        }
    )


def metadata():
    columns = {
        "id": {"sdtype": "id"},
        "group": {"sdtype": "categorical"},
        "income": {"sdtype": "numerical"},
        "age": {"sdtype": "numerical"},
        "since": {"sdtype": "datetime"},
        "email": {"sdtype": "email", "pii": True},
    }
    table = {"primary_key": "id", "columns": columns}
    return Metadata.load_from_dict({"tables": {"people": table}})


def fitted(seed=0, **options):
    synthesizer = WGANGPMFSSynthesizer(metadata(), random_state=seed, **FAST | options)
    synthesizer.fit(sdv_versions.as_fit_input(metadata(), people()))
    return synthesizer


def rows_of(synthesizer, rows=80):
    return sdv_versions.as_frame(synthesizer.sample(rows))


def assert_same_fit(one, other):
    pd.testing.assert_frame_equal(one.get_loss_values(), other.get_loss_values(), check_exact=True)
    pd.testing.assert_frame_equal(rows_of(one), rows_of(other))


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def untouched():
    """Fails if a global generator was used or reseeded."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    assert random.getstate() == before[0]
    for now, then in zip(np.random.get_state(), before[1], strict=True):
        np.testing.assert_array_equal(now, then)
    assert torch.equal(torch.get_rng_state(), before[2])


@contextmanager
def threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


OPTIONS = {
    "default": {},
    "meta-features": {"meta_features": ["mean", "cor"]},
    "several rows": {"pac": 2, "calibrate": False},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_seed_alone_decides_fit_and_sample(name):
    seed_everything(1)
    one = fitted(**OPTIONS[name])
    seed_everything(2)
    two = fitted(**OPTIONS[name])
    other = fitted(seed=1, **OPTIONS[name])
    assert not one.get_loss_values().equals(other.get_loss_values())
    assert_same_fit(one, two)


def test_without_a_seed_fits_differ_also_under_a_global_one():
    losses = []
    for _ in range(2):
        seed_everything(1)
        losses.append(fitted(seed=None).get_loss_values())
    assert not losses[0].equals(losses[1])


def test_global_generators_are_left_alone(tmp_path):
    seed_everything(3)
    with untouched():
        synthesizer = fitted()
    with untouched():
        rows_of(synthesizer)
        synthesizer.reset_sampling()
        rows_of(synthesizer)
    with untouched():
        synthesizer.save(str(tmp_path / "model.pkl"))
        rows_of(sdv_versions.load(tmp_path / "model.pkl"))
    with untouched():
        synthesizer.save_model(tmp_path / "model.safetensors")
        rows_of(WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("loaded", ["as fitted", "save", "save_model"])
def test_sampling_continues_and_a_reset_repeats(loaded, tmp_path):
    synthesizer = fitted()
    if loaded == "save":
        synthesizer.save(str(tmp_path / "model"))
        synthesizer = sdv_versions.load(tmp_path / "model")
    if loaded == "save_model":
        synthesizer.save_model(tmp_path / "model")
        synthesizer = WGANGPMFSSynthesizer.load_model(tmp_path / "model")
    first, second = rows_of(synthesizer), rows_of(synthesizer)
    assert not first["income"].equals(second["income"])
    assert not set(first["id"]) & set(second["id"])
    seed_everything(4)
    synthesizer.reset_sampling()
    pd.testing.assert_frame_equal(rows_of(synthesizer), first)
    pd.testing.assert_frame_equal(rows_of(synthesizer), second)
    pd.testing.assert_frame_equal(rows_of(fitted()), first)


def test_a_refit_begins_anew():
    synthesizer = fitted()
    rows_of(synthesizer)
    synthesizer.fit(sdv_versions.as_fit_input(metadata(), people()))
    assert_same_fit(synthesizer, fitted())


def multiplies_with_kernels():
    with matmul_precision(TrainingSettings.precision):
        return ops.status().compiled and ops.uses_bfloat16(torch.device("cpu"))


@pytest.mark.skipif(
    not multiplies_with_kernels(),
    reason="PyTorch's own products of float32 depend on the number of threads",
)
@pytest.mark.parametrize("name", OPTIONS)
def test_the_number_of_threads_does_not_matter(name):
    fits, alone = [], []
    for count in (1, 2):
        with threads(count):
            fits.append(fitted(**OPTIONS[name]))
            alone.append(rows_of(fits[0]))
            fits[0].reset_sampling()
    pd.testing.assert_frame_equal(*alone)
    assert_same_fit(*fits)


def test_processes_with_other_hashes_agree(tmp_path):
    """Python's string hashes, and with them the order of sets, differ from process to process."""
    code = (
        "import sys, importlib.util\n"
        "spec = importlib.util.spec_from_file_location('tests_here', sys.argv[1])\n"
        "tests = importlib.util.module_from_spec(spec); spec.loader.exec_module(tests)\n"
        "tests.rows_of(tests.fitted()).to_pickle(sys.argv[2])"
    )
    frames = []
    for seed in ("1", "2"):
        path = str(tmp_path / f"{seed}.pkl")
        subprocess.run(
            [sys.executable, "-c", code, __file__, path],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        frames.append(pd.read_pickle(path))
    pd.testing.assert_frame_equal(*frames)
    pd.testing.assert_frame_equal(rows_of(fitted()), frames[0])
