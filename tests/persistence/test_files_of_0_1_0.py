"""Files that release 0.1.0 wrote (`files_of_0_1_0/make.py`): they load and draw the same rows."""

from __future__ import annotations

import pickle
import sys
import warnings
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sdv.sampling import Condition
from sdv.utils import load_synthesizer

from sdv_wgangp import load_model, moved
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.calibration.values import RareAtoms
from sdv_wgangp.synthesizers import sdv_versions

FILES = Path(__file__).parent / "files_of_0_1_0"
LOADERS = {"pkl": load_synthesizer, "safetensors": load_model}

pytestmark = pytest.mark.skipif(
    not sdv_versions.takes_dictionaries(), reason="files of SDV 2, which 1.38 does not load"
)


def load(name: str):
    """The synthesizer of a file, at the beginning of its random numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDV's, of other versions than those of the file
        synthesizer = LOADERS[name.rpartition(".")[2]](FILES / name)
    synthesizer.reset_sampling()
    return synthesizer


def assert_rows(drawn: dict[str, pd.DataFrame], name: str, tmp_path: Path) -> None:
    """The tables are those that 0.1.0 drew."""
    for table, rows in drawn.items():
        # Through a file as the others.
        rows.to_csv(tmp_path / "rows.csv", index=False)
        expected = pd.read_csv(FILES / f"{name}-{table}.csv")
        assert_frame_equal(pd.read_csv(tmp_path / "rows.csv"), expected, rtol=1e-4)


@pytest.mark.parametrize("suffix", LOADERS)
def test_a_table_draws_the_rows_it_drew(suffix, tmp_path):
    synthesizer = load(f"single.{suffix}")
    assert_rows(synthesizer.sample(40), "single", tmp_path)


@pytest.mark.parametrize("suffix", LOADERS)
def test_several_tables_draw_the_rows_they_drew(suffix, tmp_path):
    synthesizer = load(f"several.{suffix}")
    assert_rows(synthesizer.sample_scale(0.5), "several", tmp_path)


@pytest.mark.parametrize("suffix", LOADERS)
def test_the_files_hold_what_has_moved(suffix):
    """Trees in stages, maps of bins and of rare atoms, logs: or the files would show little."""
    synthesizer = load(f"single.{suffix}")
    calibration = synthesizer.model.calibration
    assert [stage.trees > 0 for stage in calibration.ratio.stages] == [True, True]
    assert any(isinstance(each, RareAtoms) for each in calibration.values.maps)
    parts = [calibration, calibration.ratio, calibration.raking, *calibration.values.maps]
    for part in (*parts, *calibration.ratio.stages):
        names = {field.name for field in fields(part)}
        assert vars(part).keys() == names - {"options"}
    assert calibration.options == CalibrationOptions()  # there were none
    assert len(synthesizer.model.logs) == 1


@pytest.mark.parametrize("suffix", LOADERS)
def test_they_serve_as_those_of_today(suffix, tmp_path):
    """Conditions, and both formats again."""
    synthesizer = load(f"single.{suffix}")
    sample = synthesizer.sample_from_conditions([Condition({"kind": "c"}, num_rows=7)])
    assert sample["visits"]["kind"].tolist() == ["c"] * 7
    synthesizer.save_model(tmp_path / "again.safetensors")
    again = load_model(tmp_path / "again.safetensors")
    assert_rows(again.sample(40), "single", tmp_path)
    pickled = pickle.dumps(synthesizer.model)
    for former in moved.MOVED:
        assert f"sdv_wgangp.{former}\n".encode() not in pickled
        assert f"sdv_wgangp.{former}".encode() + b"\x94" not in pickled


@pytest.mark.parametrize("former", moved.MOVED)
def test_modules_that_moved_are_found_by_their_former_names(former):
    today = import_module(f"sdv_wgangp.{moved.MOVED[former]}")
    assert import_module(f"sdv_wgangp.{former}") is today
    assert today.__spec__.name == today.__name__ == f"sdv_wgangp.{moved.MOVED[former]}"


def test_no_module_stands_where_another_one_was():
    """Or its former name would give that one."""
    package = Path(sys.modules["sdv_wgangp"].__file__).parent
    for former, today in moved.MOVED.items():
        assert not (package / f"{former.replace('.', '/')}.py").exists()
        assert (package / f"{today.replace('.', '/')}.py").exists()


def test_other_names_are_no_modules():
    with pytest.raises(ModuleNotFoundError, match=r"sdv_wgangp\.models\.nothing"):
        import_module("sdv_wgangp.models.nothing")
