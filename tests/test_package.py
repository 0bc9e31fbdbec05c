"""Version, import orders, and what works without SDV."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sdv_wgangp

SYNTHESIZER = "WGANGPMFSSynthesizer"
TABLES = "IndependentWGANGPMFSSynthesizer"

FLOORS = (
    "persistence",
    "ops",
    "encoding",
    "networks",
    "objectives",
    "plots",
    "players",
    "training",
    "models",
    "reporting",
)


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
    "first",
    [
        "import sdv",
        "import sdv_wgangp",
        "import sdv_wgangp.single_table",
        "import sdv_wgangp.multi_table",
        "import sdv_wgangp.saving",
    ],
)
def test_add_on_is_found_in_every_import_order(first):
    """And nothing warns: SDV reports an add-on that it could not load as a UserWarning."""
    code = f"""
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", UserWarning)
    {first}
    from sdv.single_table import {SYNTHESIZER} as from_sdv
    from sdv.multi_table import {TABLES} as tables_from_sdv
failed = [str(w.message) for w in caught if "Failed to load" in str(w.message)]
assert not failed, failed
from sdv_wgangp import {SYNTHESIZER} as from_package
from sdv_wgangp.single_table import {SYNTHESIZER} as from_module
assert from_sdv is from_package is from_module
from sdv_wgangp import {TABLES} as tables_from_package
from sdv_wgangp.multi_table import {TABLES} as tables_from_module
assert tables_from_sdv is tables_from_package is tables_from_module
"""
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_everything_below_the_synthesizer_works_without_sdv():
    code = f"""
import sys
for name in ("sdv", "sdmetrics", "rdt", "ctgan"):
    sys.modules[name] = None
import importlib, pkgutil
import sdv_wgangp
for module in pkgutil.walk_packages(sdv_wgangp.__path__, "sdv_wgangp."):
    if module.name.split(".")[1] in {FLOORS[:-1]}:
        importlib.import_module(module.name)
assert "sdv_wgangp.models.tabular" in sys.modules
for name in ("WGANGPMFSSynthesizer", "IndependentWGANGPMFSSynthesizer", "load_model"):
    try:
        getattr(sdv_wgangp, name)
    except ImportError as error:
        print(error)
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    for name in (SYNTHESIZER, TABLES, "load_model"):
        assert f"\n{name} needs SDV" in "\n" + result.stdout
    assert result.stdout.count("pip install") == 3


PACKAGE = Path(sdv_wgangp.__file__).parent


def imported(source: Path) -> set[str]:
    """The floors of the package that a module imports, and SDV's packages."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.split(".")[1] for name in names if name.startswith("sdv_wgangp.")}
    return ours | {name.split(".")[0] for name in names} & {"sdv", "rdt", "sdmetrics"}


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_import_only_from_below(floor):
    below = FLOORS[: FLOORS.index(floor) + 1]
    if floor == "reporting":
        below = ("reporting", "sdmetrics")
    modules = sorted((PACKAGE / floor).rglob("*.py"))
    assert modules
    for source in modules:
        above = imported(source) - {*below, "_C"}
        assert not above, f"{source.name} imports from {above}"


def test_the_loop_is_short_and_knows_players_alone():
    loop = PACKAGE / "training" / "loop.py"
    assert len(loop.read_text(encoding="utf-8").splitlines()) < 150
    assert imported(loop) == {"players", "training"}
