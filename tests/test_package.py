"""Version, import orders, and what works without SDV."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest

import sdv_wgangp

SYNTHESIZER = "WGANGPMFSSynthesizer"


def run(code: str, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, check=False
    )


def test_version_is_that_of_the_installed_package():
    assert re.fullmatch(r"\d+\.\d+\.\d+", sdv_wgangp.__version__)
    assert importlib.metadata.version("sdv-wgangp") == sdv_wgangp.__version__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sdv_wgangp.nothing
    assert SYNTHESIZER in dir(sdv_wgangp)


@pytest.mark.parametrize(
    "first", ["import sdv", "import sdv_wgangp", "import sdv_wgangp.single_table"]
)
def test_add_on_is_found_in_every_import_order(first):
    """And nothing warns: SDV reports an add-on that it could not load as a UserWarning."""
    code = f"""
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    {first}
    from sdv.single_table import {SYNTHESIZER} as from_sdv
failed = [str(w.message) for w in caught if "Failed to load" in str(w.message)]
assert not failed, failed
from sdv_wgangp import {SYNTHESIZER} as from_package
from sdv_wgangp.single_table import {SYNTHESIZER} as from_module
assert from_sdv is from_package is from_module
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_everything_below_the_synthesizer_works_without_sdv():
    code = """
import sys
for name in ("sdv", "sdmetrics", "rdt", "ctgan"):
    sys.modules[name] = None
import sdv_wgangp
import sdv_wgangp.ops
import sdv_wgangp.encoding
import sdv_wgangp.networks
import sdv_wgangp.objectives
import sdv_wgangp.training
import sdv_wgangp.models
try:
    sdv_wgangp.WGANGPMFSSynthesizer
except ImportError as error:
    print(error)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    assert "WGANGPMFSSynthesizer needs SDV" in result.stdout
    assert "pip install" in result.stdout
