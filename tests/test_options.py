"""Options are checked by name and range, and read from a command line."""

from __future__ import annotations

import doctest
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest
from sdv.errors import SynthesizerInputError
from sdv.metadata import Metadata

from sdv_wgangp import options
from sdv_wgangp.calibration import options as of_calibration
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding import options as of_encoding
from sdv_wgangp.encoding.options import EncodingOptions
from sdv_wgangp.parameters import PARAMETERS
from sdv_wgangp.single_table import WGANGPMFSSynthesizer

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
        for wrong in (field.metadata["least"] - 1, field.metadata["most"] + 1, True, "3", None):
            with pytest.raises(ValueError, match=f"^options: {field.name} must be a .*number "):
                cls.of({field.name: wrong}, "options")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tree": 5}, "calibration_options has no option 'tree': did you mean 'trees'[?]"),
        ({"zzz": 5}, "calibration_options has no option 'zzz': choose from stages, trees, "),
        ({"depth": 9}, r"calibration_options: depth must be a whole number in \[1, 8\], not 9"),
        ({"trees": 1.5}, "trees must be a whole number of at least 0, not 1.5"),
        ({"max_factor": float("nan")}, "max_factor must be a number of at least 1, not nan"),
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
