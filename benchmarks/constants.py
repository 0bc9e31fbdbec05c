"""Constants of the package with other values, for what a benchmark compares."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def parse(text: str) -> dict[str, float]:
    """``MODULE.CONSTANT=NUMBER`` of `sdv_wgangp`, with commas between, as {place: value}.

    Raises:
        SystemExit: A part is malformed, or there is no such constant.
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, _, value = part.partition("=")
        try:
            module, name = _module(place)
            found[place] = type(getattr(module, name))(float(value))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise SystemExit(
                f"{part!r} is no MODULE.CONSTANT=NUMBER of sdv_wgangp ({error})"
            ) from error
    return found


@contextmanager
def changed(constants: Mapping[str, float]) -> Iterator[None]:
    """Constants have these values inside, by their places in `sdv_wgangp`."""
    before = {}
    try:
        for place, value in constants.items():
            module, name = _module(place)
            before[place] = getattr(module, name)
            setattr(module, name, value)
        yield
    finally:
        for place, value in before.items():
            module, name = _module(place)
            setattr(module, name, value)


def _module(place: str) -> tuple:
    """The module of a constant, and its name there."""
    module, _, name = place.rpartition(".")
    return importlib.import_module(f"sdv_wgangp.{module}"), name
