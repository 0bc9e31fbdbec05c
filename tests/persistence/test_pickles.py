"""Pickles of synthesizers: whole or as before, with a checksum, and told from model files."""

from __future__ import annotations

import datetime
import os
import pickle
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sdv.cag
from sdv.metadata import Metadata
from sdv.utils import load_synthesizer

import sdv_wgangp
from sdv_wgangp import WGANGPMFSSynthesizer
from sdv_wgangp.cli.models import check_model_file
from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.persistence.container import ModelFile
from sdv_wgangp.synthesizers.pickles import DamagedPickleError
from sdv_wgangp.synthesizers.sdv_versions import as_fit_input, as_frame
from sdv_wgangp.user_errors import UserError

FAST = {"epochs": 0, "batch_size": 60, "generator_dim": (16,), "discriminator_dim": (16,)}


def described(**columns) -> Metadata:
    sdtypes = {name: {"sdtype": sdtype} for name, sdtype in columns.items()}
    return Metadata.load_from_dict({"tables": {"t": {"columns": sdtypes}}})


FRAME = pd.DataFrame({"number": np.arange(120) % 40 * 1.5, "kind": ["a", "b", "c"] * 40})
METADATA = described(number="numerical", kind="categorical")


@pytest.fixture(scope="module")
def synthesizer():
    made = WGANGPMFSSynthesizer(METADATA, **FAST, random_state=0)
    made.fit(as_fit_input(METADATA, FRAME))
    return made


def rows(synthesizer) -> pd.DataFrame:
    synthesizer.reset_sampling()
    return as_frame(synthesizer.sample(20))


@pytest.mark.parametrize("load", [sdv_wgangp.load, load_synthesizer])
def test_a_pickle_is_read_by_sdv_as_well(synthesizer, tmp_path, load):
    synthesizer.save(tmp_path / "m.pkl")
    pd.testing.assert_frame_equal(rows(load(str(tmp_path / "m.pkl"))), rows(synthesizer))


def test_every_damage_of_a_pickle_is_an_error(synthesizer, tmp_path):
    path = tmp_path / "m.pkl"
    synthesizer.save(path)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for place in random.integers(2, len(content) - 100, 20):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedPickleError, match="was changed after it was saved"):
            sdv_wgangp.load(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        sdv_wgangp.load(path)


def test_what_a_file_is_its_content_tells(synthesizer, tmp_path):
    synthesizer.save_model(tmp_path / "m.safetensors")
    os.rename(tmp_path / "m.safetensors", tmp_path / "renamed.pkl")
    loaded = sdv_wgangp.load(tmp_path / "renamed.pkl")
    pd.testing.assert_frame_equal(rows(loaded), rows(synthesizer))
    synthesizer.save(tmp_path / "m.pkl")
    os.rename(tmp_path / "m.pkl", tmp_path / "renamed.safetensors")
    for load in (sdv_wgangp.load, sdv_wgangp.load_model):
        with pytest.raises(ModelFileError, match=r"but a pickle, .* loading one runs code"):
            load(tmp_path / "renamed.safetensors")


def test_an_endless_number_in_a_header_is_an_error(synthesizer, tmp_path):
    path = tmp_path / "m.safetensors"
    synthesizer.save_model(path)
    content = path.read_bytes()
    text = b'"format_version":"4"'
    for other in (b"Infinity", b"1e999", b'"1e9"'):
        changed = content[8:].replace(text, b'"format_version":' + other)
        length = int.from_bytes(content[:8], "little") + len(changed) - len(content) + 8
        path.write_bytes(length.to_bytes(8, "little") + changed)
        with pytest.raises(ModelFileError, match="is not a model file"):
            ModelFile.read(path)


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("not to be saved")


def test_a_failed_save_leaves_what_was_there(synthesizer, tmp_path):
    path = tmp_path / "m.pkl"
    synthesizer.save(path)
    before = path.read_bytes()
    synthesizer.odd = Unpicklable()
    try:
        with pytest.raises(RuntimeError, match="not to be saved"):
            synthesizer.save(path)
    finally:
        del synthesizer.odd
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.pkl"]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="a device of POSIX")
def test_a_device_stays_one(synthesizer):
    synthesizer.save("/dev/null")
    assert Path("/dev/null").is_char_device()


class Point(tuple):
    """Of the user's own."""

    __slots__ = ()


KINDS = {
    "text": ["x", "y", None],
    "whole": [1, 2, 3],
    "dates": [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), None],
    "decimals": [Decimal("1.5"), Decimal("2.5"), None],
    "identifiers": [uuid.UUID(int=1), uuid.UUID(int=2), None],
    "tuples": [(1, 2), ("a", 3.5), (1, 2)],
    "bytes": [b"x", b"y", b"x"],
    "periods": pd.Series(pd.period_range("2020-01", periods=3, freq="M")),
    "intervals": pd.Series(pd.interval_range(0, 3)),
    "lengths": pd.Series(pd.to_timedelta([1, 2, 3], "D")),
    "complex": [1 + 2j, 2j, 1j],
    "points": [Point((1, 2)), Point((3, 4)), Point((1, 2))],
    "frozen": [frozenset({1}), frozenset({2}), frozenset()],
    "category": pd.Series(["x", "y", "x"], dtype="category"),
    "odd category": pd.Series([Point((1, 2)), "y", "y"], dtype="category"),
    "arrow": pd.Series(["x", "y", None], dtype="string[pyarrow]"),
    "zone": pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01", None], utc=True)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_model_file_cannot_hold_is_known_before_the_fit(kind, tmp_path):
    values = KINDS[kind]
    if isinstance(values, pd.Series):
        column = pd.concat([values] * 20, ignore_index=True).astype(values.dtype)
    else:
        column = pd.Series(values * 20)
    frame = pd.DataFrame({"odd": column, "other": np.arange(60.0)})
    metadata = described(odd="datetime" if kind == "zone" else "categorical", other="numerical")
    synthesizer = WGANGPMFSSynthesizer(metadata, **FAST)
    data = as_fit_input(metadata, frame)
    try:
        synthesizer.check_model_file(data)
        foreseen = None
    except ModelFileError as error:
        foreseen = str(error)
        assert foreseen.startswith("column 'odd' holds values ")
    synthesizer.fit(data)
    try:
        synthesizer.save_model(tmp_path / "m.safetensors")
        assert foreseen is None
    except ModelFileError:
        assert foreseen is not None


class MyConstraint(sdv.cag.Inequality):
    """Of the user's own."""


def test_constraints_of_the_users_are_named_before_the_fit():
    metadata = described(low="numerical", high="numerical")
    synthesizer = WGANGPMFSSynthesizer(metadata, **FAST)
    synthesizer.add_constraints([MyConstraint("low", "high")])
    frame = pd.DataFrame({"low": [1.0, 2.0], "high": [3.0, 4.0]})
    with pytest.raises(ModelFileError, match="MyConstraint"):
        synthesizer.check_model_file(as_fit_input(metadata, frame))


def test_the_command_line_says_before_a_fit_that_only_a_pickle_can_hold_a_model():
    frame = FRAME.assign(kind=[1j, 2j] * 60)
    synthesizer = WGANGPMFSSynthesizer(METADATA, **FAST)
    data = as_fit_input(METADATA, frame)
    with pytest.raises(UserError, match=r"m\.safetensors: column 'kind' holds .* ends with \.pkl"):
        check_model_file(synthesizer, data, Path("m.safetensors"))
    check_model_file(synthesizer, data, Path("m.pkl"))
