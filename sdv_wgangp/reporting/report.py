"""One report of everything that says how good a synthetic table is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.persistence.durable import write_durably
from sdv_wgangp.reporting import (
    columns,
    comparison,
    json,
    measures,
    modes,
    page,
    pairs,
    protection,
    provenance,
    relations,
    scores,
    sequences,
    text,
    verdicts,
)
from sdv_wgangp.reporting.data import Content, Detection, Distances, Losses, Telling, Violation
from sdv_wgangp.reporting.panels import PANELS
from sdv_wgangp.reporting.preparation import EMPTY, Tables, read_tables
from sdv_wgangp.reporting.scores.privacy import CURVE
from sdv_wgangp.reporting.scores.sequences import SequenceScores
from sdv_wgangp.reporting.scoring import Scores, score
from sdv_wgangp.reporting.style import TABLES

CURVE_POINTS = 500
# Of one report, for the next one beside the same real rows.
Known = tuple[Content, Scores, SequenceScores | None]


@dataclass(frozen=True)
class Report:
    """A report, made by `build_report`, and its renderings.

    ``content`` holds everything that they say (`data.Content`), and no row of the tables.
    """

    content: Content

    def to_text(self) -> str:
        """Verdicts and scores for the terminal, at most 80 characters wide."""
        return text.render(self.content)

    def to_html(self, path: str | Path, **limits: int) -> Path:
        """Write one page that needs no other file and no network, and return its path.

        Args:
            path: Of the page.
            limits: How much of a wide table it shows (`page.render`), such as ``most_drawn=40``.
        """
        return _write(path, page.render(self.content, **limits))

    def to_json(self, path: str | Path) -> Path:
        """Write everything as JSON for other programs, and return the path."""
        return _write(path, json.render(self.content))


@dataclass(frozen=True)
class Comparison:
    """Reports of several synthetic tables beside one real table, and their renderings.

    Attributes:
        title: Shown at the top.
        contents: ``name -> content`` of the report of each table.
    """

    title: str
    contents: Mapping[str, Content]

    def to_text(self) -> str:
        """Verdicts and scores for the terminal, a column for each table."""
        return text.render_several(self.title, self.contents)

    def to_html(self, path: str | Path, **limits: int) -> Path:
        """Write one page of all tables, and return its path.

        Args:
            path: Of the page.
            limits: How much of a wide table it shows (`comparison.render`).
        """
        return _write(path, comparison.render(self.title, self.contents, **limits))

    def to_json(self, path: str | Path) -> Path:
        """Write everything of each report as JSON, by the names of the tables."""
        return _write(path, json.render_several(self.title, self.contents))


def _write(path: str | Path, content: str) -> Path:
    path = Path(path)
    write_durably(path, content.encode())
    return path


def build_report(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    metadata: Any,
    *,
    target: str | None = None,
    holdout: pd.DataFrame | None = None,
    loss_values: pd.DataFrame | None = None,
    title: str = "Synthetic data report",
    seed: int = 0,
    model: Any | None = None,
    files: Mapping[str, str | Path] | None = None,
    fit_seconds: float | None = None,
    sequence_key: str | None = None,
    sequence_index: str | None = None,
    context_columns: Sequence[str] = (),
) -> Report:
    """Score a synthetic table against the real rows it was made from.

    Args:
        real: The rows that the synthesizer was fitted to.
        synthetic: Its rows, with the same columns.
        metadata: SDV's metadata of the table, or its dictionary.
        target: A column to predict: adds utility (train on synthetic, test on real). It is
            tested on the holdout; without one on a third of ``real`` that the reference model
            does not see (the synthesizer did).
        holdout: Real rows that the synthesizer never saw. They add the nearest-record share,
            detection against unseen rows, and the reference value of every other score.
        loss_values: Columns ``Epoch``, ``Generator Loss``, ``Discriminator Loss``.
        title: Shown at the top.
        seed: Of all subsamples and models.
        model: The synthesizer, for its parameters and versions.
        files: ``role -> path`` of the files that the tables are from, for their SHA-256.
        fit_seconds: That the fit took.
        sequence_key: The column that says which rows are one sequence; by default the metadata's.
        sequence_index: The column that orders them; by default the metadata's.
        context_columns: What is constant in a sequence.

    Returns:
        The report: `Report.to_text`, `Report.to_html`, `Report.to_json`, and the records that
        these render. They hold no value that fewer than ten real rows stand for.

    Raises:
        ValueError: a described column is missing, holds values of another type, or the target
            cannot be predicted; the message names the column.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, synthetic = (pd.DataFrame({"x": rng.normal(size=90)}) for _ in range(2))
        >>> report = build_report(real, synthetic, {"columns": {"x": {"sdtype": "numerical"}}})
        >>> report.content.measure("privacy.copies").value
        0.0
    """
    content, *_ = _content(
        real, synthetic, metadata, target, holdout, loss_values, title, seed, model, files,
        fit_seconds, sequence_key=sequence_key, sequence_index=sequence_index,
        context_columns=context_columns,
    )  # fmt: skip
    return Report(content)


def build_comparison(
    real: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    metadata: Any,
    *,
    target: str | None = None,
    holdout: pd.DataFrame | None = None,
    title: str = "Synthetic tables side by side",
    seed: int = 0,
    files: Mapping[str, str | Path] | None = None,
    sequence_key: str | None = None,
    sequence_index: str | None = None,
    context_columns: Sequence[str] = (),
) -> Comparison:
    """Score several synthetic tables of one real table, with the same rows, seed and models.

    Args:
        real: The rows that all synthesizers were fitted to.
        tables: ``name -> synthetic rows`` of two to six tables with the columns of ``real``.
        metadata, target, holdout, title, seed: As of `build_report`.
        sequence_key, sequence_index, context_columns: As of `build_report`.
        files: ``role -> path`` of the files that the tables are from; the role of a synthetic
            table is its name.

    Returns:
        The comparison: `Comparison.to_text`, `Comparison.to_html`, `Comparison.to_json`, and
        each table's records.

    Raises:
        ValueError: there is one table, or more than six, or one of them cannot be compared
            (`build_report`); the message names it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, good = (pd.DataFrame({"x": rng.normal(size=90)}) for _ in range(2))
        >>> about = {"columns": {"x": {"sdtype": "numerical"}}}
        >>> found = build_comparison(real, {"good": good, "far": good + 9}, about)
        >>> [each.measure("detection.score").value > 0.5 for each in found.contents.values()]
        [True, False]
    """
    if not 2 <= len(tables) <= TABLES:
        raise ValueError(f"two to {TABLES} tables can be compared, not {len(tables)}")
    shared = {role: path for role, path in (files or {}).items() if role not in tables}
    contents: dict[str, Content] = {}
    known = None
    for name, synthetic in tables.items():
        own = {"synthetic": files[name]} if files and name in files else {}
        try:
            known = _content(
                real, synthetic, metadata, target, holdout, title=name, seed=seed,
                files=shared | own, known=known, sequence_key=sequence_key,
                sequence_index=sequence_index, context_columns=context_columns,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        contents[name] = known[0]
    return Comparison(title, contents)


def _content(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    metadata: Any,
    target: str | None = None,
    holdout: pd.DataFrame | None = None,
    loss_values: pd.DataFrame | None = None,
    title: str = "",
    seed: int = 0,
    model: Any | None = None,
    files: Mapping[str, str | Path] | None = None,
    fit_seconds: float | None = None,
    known: Known | None = None,
    sequence_key: str | None = None,
    sequence_index: str | None = None,
    context_columns: Sequence[str] = (),
) -> Known:
    """What a report says, and the scores that it says it from.

    ``known`` is that of another synthetic table beside the same real and held-out rows.
    """
    about = scores.single_table(metadata)
    keys = sequences.keys_of(about, sequence_key, sequence_index, context_columns)
    if keys is not None and keys.key in about["columns"]:
        # A key says which rows belong together; its values are not compared.
        about["columns"] = {**about["columns"], keys.key: {"sdtype": "id"}}
    tables = read_tables(real, synthetic, holdout, about, target)
    real, synthetic, holdout = tables.real, tables.synthetic, tables.holdout
    described, scored, empty = tables.described, tables.scored, tables.empty
    # Where another synthetic table left other columns empty, held-out rows score otherwise.
    alike = known is not None and known[0].left_out == _left_out(tables)
    found = score(tables, target, seed, known[1] if known and alike else None)
    unseen = found.unseen

    hidden = {
        name: EMPTY if name in empty else protection.why_hidden(real[name], sdtype)
        for name, sdtype in described.items()
    }
    violations = tuple(
        Violation(**vars(violation))
        for violation in scores.violations(real, synthetic, tables.about, holdout)
    )
    column_records = columns.describe(
        real,
        synthetic,
        described,
        hidden,
        found.quality.shapes,
        None if unseen is None else unseen.quality.shapes,
    )
    pair_records = pairs.describe(
        real,
        synthetic,
        scored,
        hidden,
        found.quality_all.pairs,
        found.quality.pairs,
        None if unseen is None else unseen.quality_all.pairs,
    )
    related = relations.describe(real, synthetic, holdout, scored)
    followed = paths = None
    if keys is not None:
        followed = sequences.score(
            real, synthetic, holdout, scored, keys, seed, known[2] if known and alike else None
        )
        paths = sequences.describe(followed, real, synthetic, keys)
    alarm = verdicts.alarm(found.privacy)
    lost = modes.describe(found.coverage, real, hidden)
    content = Content(
        title=title,
        rows={"real": len(real), "synthetic": len(synthetic)}
        | ({} if holdout is None else {"holdout": len(holdout)}),
        scored=len(scored),
        target=target,
        alarm=alarm,
        verdicts=(
            verdicts.fidelity(
                found.quality_all,
                found.detection,
                None if unseen is None else unseen.quality_all,
                found.detection_unseen,
                None if unseen is None else unseen.detection,
                bool(alarm),
                pair_records,
            ),
            verdicts.utility(found.utility, found.utility_real, holdout is not None, bool(alarm)),
            verdicts.privacy(found.privacy, bool(alarm)),
            *relations.verdicts(related),
            *modes.verdicts(lost),
            *sequences.verdicts(paths, bool(alarm)),
        ),
        findings=verdicts.findings(
            quality=found.quality,
            detection=found.detection,
            utility_found=found.utility,
            privacy_found=found.privacy,
            violations=violations,
            columns=column_records,
            named_classes=_named_classes(real, found.utility),
            alarmed=bool(alarm),
            empty=empty,
        ),
        sections=(
            *measures.sections(found),
            *relations.sections(related),
            *sequences.sections(paths),
        ),
        columns=column_records,
        left_out=_left_out(tables),
        pairs=pair_records,
        associations=pairs.associations(real, synthetic, scored),
        rare=columns.rare_levels(real, synthetic, holdout, scored),
        distances=_distances(found.privacy),
        violations=violations,
        relations=related,
        modes=lost,
        sequences=paths,
        detection=Detection(
            found.detection.rows,
            found.detection.aucs,
            tuple(Telling(name, lost) for name, lost in found.detection.telling),
        ),
        losses=_losses(loss_values),
        panels={panel.key: panel.measure(tables, seed) for panel in PANELS},
        protection=protection.STATEMENT,
        provenance=provenance.describe(
            seed,
            files,
            model,
            epochs=None if loss_values is None else len(loss_values),
            seconds=fit_seconds,
        ),
    )
    return content, found, followed


def _left_out(tables: Tables) -> dict[str, str]:
    """``name -> why`` of the columns that are not compared."""
    return {
        name: tables.empty.get(name, sdtype)
        for name, sdtype in tables.described.items()
        if name not in tables.scored
    }


def _named_classes(real: pd.DataFrame, utility: scores.Utility | None) -> list[str]:
    """Of the classes that no synthetic row has, those that may be named."""
    if utility is None:
        return []
    named = protection.Levels([real[utility.target]]).labels
    return [n for n in map(protection.label, utility.missing_classes) if n in named]


def _distances(found: scores.Privacy) -> Distances:
    def short(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(protection.significant(value, 4) for value in values)

    holdout = found.holdout_distances
    return Distances(CURVE, short(found.distances), None if holdout is None else short(holdout))


def _losses(values: pd.DataFrame | None) -> Losses | None:
    """Loss curves as means over at most five hundred equal pieces; NaN becomes None."""
    if values is None or len(values) == 0:
        return None
    pieces = np.array_split(np.arange(len(values)), min(len(values), CURVE_POINTS))

    def means(name: str) -> tuple[float | None, ...]:
        series = values[name].to_numpy(float)
        each = [float(series[piece].mean()) for piece in pieces]
        return tuple(value if np.isfinite(value) else None for value in each)

    labels = {"generator loss": "Generator Loss", "critic loss": "Discriminator Loss"}
    return Losses(
        epochs=means("Epoch"),
        series={label: means(name) for label, name in labels.items() if name in values},
    )
