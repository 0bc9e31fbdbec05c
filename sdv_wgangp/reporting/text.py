"""The report for the terminal: verdicts, scores, findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sdv_wgangp.plots.style import shortened
from sdv_wgangp.reporting import relations, sequence_views
from sdv_wgangp.reporting.data import Content
from sdv_wgangp.reporting.formats import measured, value_of

WIDTH = 80
COLUMN = 11  # of a table of several


def render(content: Content) -> str:
    """The whole report as text, at most 80 characters wide."""
    lines = [*_wrapped(content.title, ""), *_wrapped(content.describe(), ""), ""]
    if content.alarm:
        lines += [*_wrapped(content.alarm, "!!! "), ""]
    for verdict in content.verdicts:
        head = f"{verdict.key + ': ' + verdict.grade:<20}"
        lines += _wrapped(verdict.sentence, head, 20)
        if verdict.remedy:
            lines += _wrapped(verdict.remedy, " " * 18 + "> ", 20)
    unit = "held-out" if "holdout" in content.rows else "reference"
    lines += ["", f"{'':<46}{'synthetic':>11}{unit:>11}"]
    for section in content.sections:
        lines += _wrapped(section.title, "")
        for measure in section.measures:
            value = value_of(measure)
            reference = measured(measure.reference, measure.kind)
            mark = " (!)" if measure.note else ""
            lines.append(f"  {shortened(measure.label, 40) + mark:<44}{value:>11}{reference:>11}")
    if content.findings:
        lines.append("")
        for finding in content.findings:
            lines += _wrapped(finding.sentence, "* ", 2)
    if content.violations:
        lines += ["", f"{'Rows that break a rule':<58}{'synthetic':>11}{'real':>11}"]
        for violation in content.violations:
            what = shortened(f"{violation.column}: {violation.kind}", 54)
            fraction, real = (
                measured(violation.fraction, "share"),
                measured(violation.real, "share"),
            )
            lines.append(f"  {what:<56}{fraction:>11}{real:>11}")
    lines += sequence_views.text(content.sequences)
    lines += relations.text(content.relations, "holdout" in content.rows)
    return "\n".join(lines)


def render_several(title: str, contents: Mapping[str, Content]) -> str:
    """Verdicts and scores of several tables, a column each, at most 80 characters wide for four.

    The last column is what held-out rows get.
    """
    first = next(iter(contents.values()))
    lines = [*_wrapped(title, ""), *_wrapped(first.describe_real(), ""), ""]
    for name, content in contents.items():
        if content.alarm:
            lines += _wrapped(f"{name}: {content.alarm}", "!!! ")
    unit = "held-out" if "holdout" in first.rows else "reference"
    wide = max(24, WIDTH - COLUMN * (len(contents) + 1))

    def line(label: str, cells: Iterable[str], indent: str = "") -> str:
        cut = (shortened(cell, COLUMN - 1) for cell in cells)
        start = indent + shortened(label, wide - 1 - len(indent))
        return f"{start:<{wide}}" + "".join(f"{cell:>{COLUMN}}" for cell in cut)

    lines += ["", line("", [*contents, unit])]
    # Not every table has one on relations: only those that break some.
    for key in dict.fromkeys(v.key for content in contents.values() for v in content.verdicts):
        grades = [
            next((v.grade for v in content.verdicts if v.key == key), "-")
            for content in contents.values()
        ]
        lines.append(line(key, grades))
    for section in first.sections:
        lines += ["", *_wrapped(section.title, "")]
        for measure in section.measures:
            own = [content.measure(measure.key) for content in contents.values()]
            cells = [value_of(m) for m in own]
            cells.append(measured(measure.reference, measure.kind))
            lines.append(line(measure.label, cells, "  "))
    lines.append("")
    for name, content in contents.items():
        for finding in content.findings:
            lines += _wrapped(f"{name}: {finding.sentence}", "* ", 2)
    return "\n".join(lines).rstrip()


def _wrapped(text: str, start: str, indent: int | None = None) -> list[str]:
    """Lines of at most 80 characters; a word that is longer is cut."""
    indent = len(start) if indent is None else indent
    lines, line = [], start
    for word in text.split():
        rest = word
        while rest:
            space = "" if line.strip() == "" or line == start else " "
            if len(line) + len(space) + len(rest) <= WIDTH:
                line += space + rest
                rest = ""
            elif line.strip() and line != start:
                lines.append(line)
                line = " " * indent
            else:
                cut = WIDTH - len(line)
                lines.append(line + rest[:cut])
                line, rest = " " * indent, rest[cut:]
    return [*lines, line.rstrip()]
