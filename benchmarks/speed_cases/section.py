"""What a section of speed.py is asked for and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What all sections obey.

    Attributes:
        threads: Of every process.
        rounds: Of the comparison, or None for the section's own number.
        table: Of `speed_cases.tables.named`; None: Adult where it is, else its stand-in.
        quick: Small sizes, to see that everything runs; the figures mean nothing.
        rows: `sampling`: how many rows to sample, `levels`: of the table; None for the section's
            own number.
        sizes: One-hot widths of `width`, numbers of levels of `levels`; None for the section's
            own.
        memory_gb: `width`: what a process may take before it is cut off.
    """

    threads: int = 1
    rounds: int | None = None
    table: str | None = None
    quick: bool = False
    rows: int | None = None
    memory_gb: float = 12.0
    sizes: Sequence[int] | None = None


@dataclass(frozen=True)
class Section:
    """A section's results: Markdown to print, what goes into the JSON, and the plot."""

    text: str
    content: dict
    svg: str
