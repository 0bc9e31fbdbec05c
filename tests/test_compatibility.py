"""The compatibility page keeps in step with the installed SDV, under both of its lines."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sdv.single_table import CTGANSynthesizer, GaussianCopulaSynthesizer, TVAESynthesizer

from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

PAGE = (Path(__file__).parents[1] / "docs/compatibility.md").read_text(encoding="utf-8")
CLASSES = {
    "CTGAN": CTGANSynthesizer,
    "TVAE": TVAESynthesizer,
    "GaussianCopula": GaussianCopulaSynthesizer,
    "ours": WGANGPMFSSynthesizer,
}
INSTALLED = "2.0" if sdv_versions.takes_dictionaries() else "1.38"


def written(marker: str) -> dict[str, dict[str, str]]:
    """A table of the page, ``name -> class -> cell``, without rows of the other line of SDV."""
    lines = PAGE.split(f"<!-- {marker} -->\n\n")[1].split("\n\n")[0].splitlines()
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert header[1:] == [*CLASSES, "SDV", "note"]
    found = {}
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        assert cells["SDV"] in ("", "1.38", "2.0")
        if cells["SDV"] in ("", INSTALLED):
            found[row[0].strip("`")] = {name: cells[name] for name in CLASSES}
    assert len(found) > 20
    return found


def test_methods_are_those_of_the_installed_sdv():
    names = {name for each in CLASSES.values() for name in dir(each) if name[0] != "_"}
    actual = {
        name: {label: "✓" if hasattr(each, name) else "-" for label, each in CLASSES.items()}
        for name in names
    }
    assert written("methods") == actual


def test_parameters_and_defaults_are_those_of_the_installed_sdv():
    actual: dict[str, dict[str, str]] = {}
    for label, each in CLASSES.items():
        for name, parameter in [*inspect.signature(each.__init__).parameters.items()][1:]:
            cells = actual.setdefault(name, dict.fromkeys(CLASSES, "-"))
            required = parameter.default is inspect.Parameter.empty
            cells[label] = "✓" if required else str(parameter.default)
    assert written("parameters") == actual


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE))
def test_links_lead_somewhere(link):
    assert (Path(__file__).parents[1] / "docs" / link).exists()


def test_the_recipe_changes_one_line():
    (recipe,) = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
    changed = [line for line in recipe.splitlines() if line[:1] in "+-"]
    assert [line[0] for line in changed if line] == ["-", "+"]
    assert changed[0][1:].replace("CTGANSynthesizer", "WGANGPMFSSynthesizer") == changed[1][1:]
    frame = pd.DataFrame({"x": np.arange(600.0), "kind": ["a", "b", "c"] * 200})
    metadata = sdv_versions.detect_metadata(frame)
    data = sdv_versions.as_fit_input(metadata, frame)
    for sign in "-+":
        lines = [line[1:] for line in recipe.splitlines() if line[:1] in ("", " ", sign)]
        names = {"metadata": metadata, "data": data}
        exec("\n".join(lines).replace("epochs=300", "epochs=1"), names)
        synthetic = sdv_versions.as_frame(names["synthetic"])
        assert synthetic.shape == (1000, 2)
        assert type(names["synthesizer"]).__name__ in changed["-+".index(sign)]
