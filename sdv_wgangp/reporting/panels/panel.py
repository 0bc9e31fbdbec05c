"""A part of the report's page that has a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdv_wgangp.reporting.preparation import Tables


@dataclass(frozen=True)
class Panel:
    """What a report says in one section of its page, and how it is drawn.

    Attributes:
        key: Of its record in the JSON and in `Content.panels`, and its anchor on the page.
        title: Its heading.
        after: Key of the section of the page that it follows (`page.render`).
        measure: ``(tables, seed) -> record``: a frozen dataclass of numbers and text, or a tuple
            of such; what is false leaves the section out. It may show no value that fewer than
            `data.SMALLEST` real rows stand for (`protection`): reports are handed on.
        draw: ``record -> HTML`` of the section, made with `reporting.figures`. Names of columns
            and levels are text of others: ``html.escape`` them.
    """

    key: str
    title: str
    after: str
    measure: Callable[[Tables, int], Any]
    draw: Callable[[Any], str]
