"""The report for the terminal: verdicts, scores, findings."""

from __future__ import annotations

from sdv_wgangp.reporting import relations
from sdv_wgangp.reporting.data import Content
from sdv_wgangp.reporting.formats import measured, shortened

WIDTH = 80


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
            value = measured(measure.value, measure.kind)
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
            share, real = measured(violation.share, "share"), measured(violation.real, "share")
            lines.append(f"  {what:<56}{share:>11}{real:>11}")
    lines += relations.text(content.relations, "holdout" in content.rows)
    return "\n".join(lines)


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
