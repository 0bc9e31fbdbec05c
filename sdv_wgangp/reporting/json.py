"""The report as JSON, for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from sdv_wgangp.reporting.data import VERSION, Content


def render(content: Content) -> str:
    """All records as one JSON object; ``version`` is that of their layout.

    Names of keys are those of the fields of `data.Content` and those of the panels; what is
    undefined is null.
    """
    return _dumped({"version": VERSION} | _record(content))


def render_several(title: str, contents: Mapping[str, Content]) -> str:
    """The records of several reports, by the names of their tables."""
    tables = {name: _record(content) for name, content in contents.items()}
    return _dumped({"version": VERSION, "title": title, "tables": tables})


def _record(content: Content) -> dict[str, Any]:
    """Panels stand beside the fields: where a record is drawn is no matter of its readers."""
    fields = dataclasses.asdict(content)
    return fields | fields.pop("panels")


def _dumped(value: dict[str, Any]) -> str:
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
