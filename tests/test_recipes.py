"""The recipes of docs/callbacks.md run, in the environment of the trackers."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "callbacks.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TEXT = DOCUMENT.read_text(encoding="utf-8")
SECTIONS = {
    section.split("\n")[0]: section for section in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
}
# What a section imports beside the package's own dependencies.
NEEDS = {
    "Trackers that come with the package": ["aim", "tensorboard", "matplotlib"],
    "Optuna: search, and prune what does not look good": ["optuna"],
    "MLflow": ["mlflow"],
    "Weights & Biases, offline": ["wandb"],
}


@pytest.fixture(scope="module")
def namespace() -> dict[str, object]:
    """What the blocks before have defined; they build on each other."""
    return {}


def run_blocks(text: str, start: int, namespace: dict[str, object]) -> int:
    count = 0
    for block in BLOCK.finditer(text):
        # Lines of a traceback are those of the document.
        before = TEXT[:start].count("\n") + text[: block.start(1)].count("\n")
        exec(compile("\n" * before + block[1], str(DOCUMENT), "exec"), namespace)
        count += 1
    return count


def test_begin(namespace):
    first = TEXT.split("\n## ")[0]
    assert run_blocks(first, 0, namespace) == 1


@pytest.mark.parametrize("name", SECTIONS)
def test_section(name, namespace, monkeypatch):
    if "synthesizer" not in namespace:
        pytest.skip("needs the beginning of the page")
    for package in NEEDS.get(name, []):
        pytest.importorskip(package)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    level = logging.root.level
    section = SECTIONS[name]
    assert run_blocks(section, TEXT.index("## " + section), namespace) >= 1
    logging.root.setLevel(level)


def test_all_names_are_sections():
    assert set(NEEDS) <= set(SECTIONS)
    assert sum(len(BLOCK.findall(s)) for s in SECTIONS.values()) + 1 == TEXT.count("```python")
