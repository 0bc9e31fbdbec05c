"""The report as JSON, for other programs."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from sdv_wgangp.reporting.data import VERSION, Content


def render(content: Content) -> str:
    """All records as one JSON object; ``version`` is that of their layout.

    Names of keys are those of the fields of `data.Content`; what is undefined is null.
    """
    plain = {"version": VERSION} | _plain(dataclasses.asdict(content))
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
