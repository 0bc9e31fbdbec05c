"""Options are checked by name and range, and read from a command line."""

from __future__ import annotations

import copy
import doctest
import inspect
import pickle
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sdv.errors import SynthesizerInputError
from sdv.metadata import Metadata

from sdv_wgangp import options
from sdv_wgangp.calibration import options as of_calibration
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding import options as of_encoding
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.parameters import PARAMETERS
from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

BOTH = pytest.mark.parametrize("cls", [EncodingOptions, CalibrationOptions])


@BOTH
def test_every_option_is_documented(cls):
    text = inspect.cleandoc(cls.__doc__).split("Attributes:\n")[1].split("\n\n")[0]
    documented = re.findall(r"^    (\w+): ", text, re.MULTILINE)
    assert documented == [field.name for field in fields(cls)]


@BOTH
def test_every_option_is_used(cls):
    floor = Path(inspect.getfile(cls)).parent
    sources = [*floor.glob("*.py"), *(floor.parent / "models").glob("*.py")]
    text = "".join(path.read_text() for path in sources)
    for field in fields(cls):
        assert re.search(rf"options\.{field.name}\b", text), field.name


@BOTH
def test_defaults_are_in_range_and_ranges_are_kept(cls):
    assert cls() == cls.of(None, "options") == cls.of({}, "options")
    for field in fields(cls):
        assert cls(**{field.name: field.default}).changed() == {}
        kind = field.metadata["kind"]
        for wrong in (kind.least - 1, kind.most + 1, True, "3", None):
            with pytest.raises(ValueError, match=f"^options: {field.name} must (be a|lie in) "):
                cls.of({field.name: wrong}, "options")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tree": 5}, "calibration_options has no option 'tree': did you mean 'trees'[?]"),
        ({"zzz": 5}, "calibration_options has no option 'zzz': choose from stages, trees, "),
        ({"depth": 9}, r"calibration_options: depth must be a whole number in \[1, 8\], not 9"),
        ({"trees": 1.5}, "trees must be a whole number of at least 0, not 1.5"),
        (
            {"max_factor": float("nan")},
            "max_factor must be a finite number of at least 1, not nan",
        ),
        (["trees"], "calibration_options must be None or a dictionary from options to numbers"),
    ],
)
def test_a_synthesizer_refuses_what_is_no_option(given, message):
    metadata = Metadata.load_from_dict(
        {"tables": {"t": {"columns": {"x": {"sdtype": "numerical"}}}}, "relationships": []}
    )
    with pytest.raises(SynthesizerInputError, match=message):
        WGANGPMFSSynthesizer(metadata, calibration_options=given)


def test_a_command_line_says_them():
    parameter = PARAMETERS["calibration_options"]
    assert parameter.option == "--calibration-options"
    found = parameter.from_text("trees=500, max_factor=2,min_tree_rows=1e9")
    assert found == {"trees": 500, "max_factor": 2.0, "min_tree_rows": 10**9}
    assert isinstance(found["min_tree_rows"], int)
    assert parameter.from_text("") == {}
    for text, message in [
        ("trees", "'trees' is not like NAME=NUMBER"),
        ("trees=x", "'trees=x' is not like NAME=NUMBER"),
        ("trees=1,trees=2", "trees has two values: leave one out"),
        ("tree=1", "did you mean 'trees'"),
        ("trees=1.5", "trees must be a whole number"),
    ]:
        with pytest.raises(ValueError, match=message):
            parameter.from_text(text)


@pytest.mark.parametrize("module", [options, of_encoding, of_calibration])
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def fitted(**parameters):
    metadata = Metadata.load_from_dict(
        {
            "tables": {
                "t": {"columns": {"x": {"sdtype": "numerical"}, "kind": {"sdtype": "categorical"}}}
            },
            "relationships": [],
        }
    )
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=600), "kind": random.choice(["a", "b"], 600)})
    small = {"epochs": 1, "min_steps_per_epoch": 4, "generator_dim": (16,), "batch_size": 50}
    synthesizer = WGANGPMFSSynthesizer(metadata, **small, random_state=0, **parameters)
    synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
    return synthesizer


@pytest.fixture(scope="module")
def changed():
    return fitted(
        encoding_options={"bins": 3},
        calibration_options={"trees": 2, "depth": 2, "max_pool_rows": 2**14},
    )


def test_a_fit_follows_them_and_both_kinds_of_file_hold_them(changed, tmp_path):
    model = changed.model
    assert model.encoder.column("x").bins == 3
    assert all(stage.leaves.shape[1] == 4 for stage in model.calibration.ratio.stages)
    changed.save_model(tmp_path / "model.safetensors")
    changed.reset_sampling()
    expected = sdv_versions.as_frame(changed.sample(30))
    for loaded in (
        pickle.loads(pickle.dumps(changed)),
        WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors"),
    ):
        assert loaded.get_parameters()["calibration_options"] == changed.calibration_options
        assert loaded.model.calibration.options == model.calibration.options
        assert loaded.model.encoding_options == EncodingOptions(bins=3)
        loaded.reset_sampling()
        pd.testing.assert_frame_equal(sdv_versions.as_frame(loaded.sample(30)), expected)


def test_a_file_with_options_out_of_range_is_refused(changed, tmp_path):
    tampered = copy.deepcopy(changed)
    object.__setattr__(tampered.model.calibration.options, "spare_rows", -1.0)
    tampered.save_model(tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="spare_rows must be a finite number of at least 0"):
        WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors")
