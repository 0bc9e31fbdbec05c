"""The site of the documents: ``sphinx-build -W -b html docs build/site`` (``nox -s site``).

The pages are read here and in the repository alike, so they link to files beside them by their
places there. What they link to outside ``docs`` is copied to ``repository/``; a Markdown file
becomes a page. A link to what is not there ends the build.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path

import sdv_wgangp

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
COPIES = DOCS / "repository"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# In the table of contents, whoever links to them.
PAGES = ["CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "csrc/README.md"]

project = "sdv_wgangp"
author = copyright = "the authors of sdv_wgangp"
version = release = sdv_wgangp.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_parser"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
default_role = "code"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"sdv_wgangp {version}"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
autodoc_mock_imports = ["tensorboard", "aim"]
# Attributes of several classes have the same name, and what is meant is beside it.
suppress_warnings = ["ref.python"]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def _page(path: Path) -> str:
    """A page's place in the repository: that of a copy is where it was copied from."""
    inside = path.relative_to(DOCS).as_posix()
    copied = inside.removeprefix("repository/")
    return copied if copied != inside else f"docs/{inside}"


def _place(target: str) -> str:
    """Where a file of the repository lies below ``docs``."""
    return target.removeprefix("docs/") if target.startswith("docs/") else f"repository/{target}"


def _copy_linked() -> None:
    """Bring every file outside ``docs`` that a page links to, and what those link to in turn."""
    shutil.rmtree(COPIES, ignore_errors=True)
    waiting = [path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md"))]
    seen = {*waiting, *PAGES}
    for page in PAGES:
        _copy(page)
    waiting += PAGES
    for page in waiting:
        if not page.endswith(".md"):
            continue
        for link in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
            if not (ROOT / target).is_file():
                raise FileNotFoundError(f"{page} links to {link}, which is no file that is there")
            if target in seen:
                continue
            seen.add(target)
            waiting.append(target)
            if not target.startswith("docs/") and (ROOT / target).is_file():
                _copy(target)


def _copy(target: str) -> None:
    copy = COPIES / target
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / target, copy)


def _move_links(app, docname: str, source: list[str]) -> None:
    """Turn places in the repository into places on the site."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".md":
        return
    page = _page(path)

    def moved(found: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1]))
        own = path.relative_to(DOCS).as_posix()
        return "](" + posixpath.relpath(_place(target), posixpath.dirname(own) or ".")

    source[0] = LINK.sub(moved, source[0])


def setup(app) -> None:
    """Called by Sphinx."""
    _copy_linked()
    app.connect("source-read", _move_links)
