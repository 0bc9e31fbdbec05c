"""Version, import orders, and what works without SDV."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sdv_wgangp

SYNTHESIZER = "WGANGPMFSSynthesizer"
TABLES = "IndependentWGANGPMFSSynthesizer"
SEQUENCES = "DoppelGANgerSynthesizer"

FLOORS = (
    "statistics",
    "persistence",
    "ops",
    "encoding",
    "calibration",
    "networks",
    "objectives",
    "plots",
    "players",
    "training",
    "models",
    "reporting",
)
# Below all of them: what is compiled, and the table of parameters, which waits for nothing.
GROUND = {"_C", "_native", "values", "options", "parameters"}


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


ORDERS = (
    "import sdv",
    "import sdv_wgangp",
    "import sdv_wgangp.single_table",
    "import sdv_wgangp.multi_table",
    "import sdv_wgangp.sequential",
    "import sdv_wgangp.synthesizers.loading",
    "import sdv_wgangp.synthesizers.saving",
    "import sdv_wgangp.synthesizers.sdv_versions",
    "import sdv_wgangp.synthesizers.saved_classes",
    "import sdv_wgangp.synthesizers.conditional_sampling",
    "import sdv_wgangp.synthesizers.transformers",
    # Where they were in 0.1.0.
    "from sdv_wgangp import saving, sdv_versions, transformers, saved_classes",
    "from sdv_wgangp.saving import load_model",
    "import sdv_wgangp.transformers",
    "from sdv_wgangp.single_table import WGANGPMFSSynthesizer",
    "from sdv_wgangp.multi_table import IndependentWGANGPMFSSynthesizer",
    "from sdv_wgangp import load_model",
    # A pickle that names the class as it was first called.
    "__import__('pickle').loads(b'csdv_wgangp.single_table\\nWGANGPMFSSynthesizer\\n.')",
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_add_on_is_found_in_every_import_order():
    """And nothing warns: SDV reports an add-on that it could not load as a UserWarning.

    Each order is that of a process of its own, forked where all is imported that both SDV and the
    package import, and neither of them.
    """
    code = f"""
import importlib, os, sys, traceback, warnings
for name in ("ctgan", "deepecho", "plotly.express", "rdt", "sdmetrics", "sklearn.ensemble"):
    importlib.import_module(name)

def found(first):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        exec(first, {{}})
        from sdv.single_table import {SYNTHESIZER} as from_sdv
        from sdv.multi_table import {TABLES} as tables_from_sdv
        from sdv.sequential import {SEQUENCES} as sequences_from_sdv
    failed = [str(w.message) for w in caught if "Failed to load" in str(w.message)]
    assert not failed, failed
    from sdv_wgangp import {SYNTHESIZER} as from_package
    from sdv_wgangp.single_table import {SYNTHESIZER} as from_module
    assert from_sdv is from_package is from_module
    from sdv_wgangp import {TABLES} as tables_from_package
    from sdv_wgangp.multi_table import {TABLES} as tables_from_module
    assert tables_from_sdv is tables_from_package is tables_from_module
    from sdv_wgangp import {SEQUENCES} as sequences_from_package
    from sdv_wgangp.sequential import {SEQUENCES} as sequences_from_module
    assert sequences_from_sdv is sequences_from_package is sequences_from_module

wrong = []
for first in {ORDERS!r}:
    assert not {{"sdv", "sdv_wgangp"}} & set(sys.modules)
    process = os.fork()
    if process == 0:
        try:
            found(first)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        wrong.append(first)
assert not wrong, wrong
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
    return ours | {name.split(".")[0] for name in names} & {"sdv", "rdt", "copulas", "sdmetrics"}


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_import_only_from_below(floor):
    below = FLOORS[: FLOORS.index(floor) + 1]
    if floor == "reporting":
        below = ("statistics", "persistence", "plots", "encoding", "reporting", "sdmetrics")
    modules = sorted((PACKAGE / floor).rglob("*.py"))
    assert modules
    for source in modules:
        above = imported(source) - {*below, *GROUND}
        assert not above, f"{source.name} imports from {above}"


def test_the_table_of_parameters_waits_for_nothing():
    """So that the help of the command line need not."""
    code = """
import sys
before = set(sys.modules)
import sdv_wgangp.parameters
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
    result = run(code)
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split()) - sys.stdlib_module_names
    assert loaded == {"sdv_wgangp"}


def modules_imported() -> dict[str, set[str]]:
    """Every module of the package, and the others that it imports anywhere in its text.

    The package itself does not count: it gives its names when they are asked for.
    """
    sources = {}
    for source in sorted(PACKAGE.rglob("*.py")):
        parts = source.relative_to(PACKAGE).with_suffix("").parts
        sources[".".join(parts).removesuffix(".__init__")] = source
    assert len(sources) > 60
    graph = {}
    for name, source in sources.items():
        found = set()
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} has a relative import"
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                # Either a module, or a name in one.
                found |= {n if n.removeprefix("sdv_wgangp.") in sources else node.module
                          for n in whole}  # fmt: skip
        ours = {n.removeprefix("sdv_wgangp.") for n in found if n.startswith("sdv_wgangp.")}
        graph[name] = ours & sources.keys() - {name}
    del graph["__init__"]
    return graph


def test_no_two_files_import_each_other():
    graph = modules_imported()
    assert "training.run" in graph["training.loop"]
    assert "ops" in graph["players.mlp_critic"]
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_sdv_is_known_in_one_room():
    for source in PACKAGE.rglob("*.py"):
        if source.relative_to(PACKAGE).parts[0] != "synthesizers":
            known = imported(source) & {"sdv", "rdt", "copulas"}
            assert not known, f"{source} imports {known}: ask sdv_wgangp.synthesizers"


def test_every_file_is_on_a_floor_or_a_face_of_the_package():
    folders = {source.relative_to(PACKAGE).parts[0] for source in PACKAGE.rglob("*/*.py")}
    assert folders == {*FLOORS, "files", "synthesizers", "cli"}
    for source in PACKAGE.rglob("*.py"):
        assert (source.parent / "__init__.py").exists(), f"{source} is in no package"


def test_the_loop_is_short_and_knows_players_alone():
    loop = PACKAGE / "training" / "loop.py"
    assert len(loop.read_text(encoding="utf-8").splitlines()) < 150
    assert imported(loop) == {"players", "training"}
