"""The Python in the documents runs, and its assertions hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXECUTABLE = ("derivations.md", "relations.md", "training.md")


@pytest.fixture(autouse=True)
def _as_it_was():
    """A document that fails half way leaves its settings behind."""
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", EXECUTABLE)
def test_blocks_run_in_order(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python") > 0
    namespace: dict[str, object] = {}
    for block in blocks:
        # Lines of a traceback are those of the document.
        before = text[: block.start(1)].count("\n")
        code = compile("\n" * before + block[1], str(DOCS / name), "exec")
        exec(code, namespace)


def test_blocks_compare_what_they_derive():
    text = (DOCS / "derivations.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 7
    for section in sections:
        assert any("assert_close" in block for block in BLOCK.findall(section)), section[:40]


ROOT = DOCS.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *DOCS.glob("api/*.md"), ROOT / "csrc/README.md"]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) < 10_000
