"""Constants of the package with other values, for what a benchmark compares."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

PACKAGE = "sdv_wgangp"


def parse(text: str) -> dict[str, float]:
    """``MODULE.CONSTANT=NUMBER`` of the package, with commas between, as {place: value}.

    Raises:
        SystemExit: A part is malformed, there is no such constant, or it is no number, or a whole
            one.
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, _, value = part.partition("=")
        try:
            module, name = _module(place)
            found[place] = _number(value, getattr(module, name))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise SystemExit(
                f"{part!r} is no MODULE.CONSTANT=NUMBER of {PACKAGE} ({error})"
            ) from error
    return found


@contextmanager
def changed(constants: Mapping[str, float]) -> Iterator[None]:
    """Constants have these values inside, by their places in the package.

    So they have in modules that have imported them by name.
    """
    before = []
    try:
        for place, value in constants.items():
            module, name = _module(place)
            for holder in (module, *_importers(module, name)):
                before.append((holder, name, getattr(holder, name)))
                setattr(holder, name, value)
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)


def _module(place: str) -> tuple[ModuleType, str]:
    """The module of a constant, and its name there."""
    module, _, name = place.rpartition(".")
    return importlib.import_module(f"{PACKAGE}.{module}"), name


def _number(text: str, old: object) -> float:
    if type(old) not in (int, float):
        raise TypeError(f"it is {old!r}")
    value = float(text)
    if isinstance(old, float):
        return value
    if not value.is_integer():
        raise ValueError("it takes whole numbers")
    return int(value)


def _importers(module: ModuleType, name: str) -> list[ModuleType]:
    """Modules of the package that have imported a name from another one."""
    found = []
    for path, each in list(sys.modules.items()):
        source = getattr(each, "__file__", None) or ""
        if not (path.startswith(f"{PACKAGE}.") and source.endswith(".py")):
            continue
        for node in ast.walk(ast.parse(Path(source).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == module.__name__:
                found += [each for alias in node.names if (alias.asname or alias.name) == name]
    return found
