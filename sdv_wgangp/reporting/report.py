"""One report of everything that says how good a synthetic table is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import (
    columns,
    json,
    page,
    pairs,
    protection,
    provenance,
    rows,
    scores,
    text,
    verdicts,
)
from sdv_wgangp.reporting.data import (
    Content,
    Detection,
    Distances,
    Losses,
    Measure,
    Section,
    Telling,
    Violation,
)
from sdv_wgangp.reporting.scores.privacy import CURVE

MODEL_ROWS = 50_000  # the trees of detection and utility see at most so many rows of a table
CURVE_POINTS = 500
EMPTY = "empty in both tables"


@dataclass(frozen=True)
class Report:
    """A report, made by `build_report`, and its renderings.

    ``content`` holds everything that they say (`data.Content`), and no row of the tables.
    """

    content: Content

    def to_text(self) -> str:
        """Verdicts and scores for the terminal, at most 80 characters wide."""
        return text.render(self.content)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that needs no other file and no network, and return its path."""
        return _write(path, page.render(self.content))

    def to_json(self, path: str | Path) -> Path:
        """Write everything as JSON for other programs, and return the path."""
        return _write(path, json.render(self.content))


def _write(path: str | Path, content: str) -> Path:
    path = Path(path)
    path.write_text(content, encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Scores:
    """All scores of the tables; those named ``..._holdout`` are of the held-out rows."""

    quality: scores.Quality
    quality_all: scores.Quality
    quality_holdout: scores.Quality | None
    quality_all_holdout: scores.Quality | None
    diagnostic: scores.Diagnostic
    diagnostic_holdout: scores.Diagnostic | None
    detection: scores.Detection
    detection_unseen: scores.Detection | None
    detection_holdout: scores.Detection | None
    utility: scores.Utility | None
    utility_real: scores.Utility | None
    privacy: scores.Privacy


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
    about = scores.single_table(metadata)
    tables = {"real": real, "synthetic": synthetic, "held-out": holdout}
    tables = {name: table for name, table in tables.items() if table is not None}
    for where, table in tables.items():
        if len(table) == 0:
            raise ValueError(f"the {where} data has no rows")
        absent = [name for name in about["columns"] if name not in table.columns]
        if absent:
            raise ValueError(
                f"column {absent[0]!r} of the metadata is missing from the {where} data"
            )
    described = scores.columns_of(about)
    empty = {
        name: EMPTY
        for name in described
        if real[name].isna().all() and synthetic[name].isna().all()
    }
    known = scores.NUMBERS + scores.CATEGORIES
    scored = {n: sdtype for n, sdtype in described.items() if sdtype in known and n not in empty}
    if not scored:
        raise ValueError(
            "no column can be compared: "
            + "; ".join(
                f"{name!r} is {empty.get(name, sdtype)}" for name, sdtype in described.items()
            )
        )
    if target is not None and target not in scored:
        raise ValueError(
            f"target {target!r} is not a column that can be predicted: choose one of "
            + ", ".join(scored)
        )
    raw = [table[list(scored)] for table in tables.values()]
    prepared = prepare(list(tables.values()), about)
    real, synthetic = prepared[:2]
    holdout = prepared[2] if holdout is not None else None
    trimmed = _without(about, [name for name in described if name not in scored])
    found = _score(real, synthetic, holdout, raw, trimmed, scored, target, seed)

    hidden = {
        name: EMPTY if name in empty else protection.why_hidden(real[name], sdtype)
        for name, sdtype in described.items()
    }
    violations = tuple(
        Violation(**vars(violation))
        for violation in scores.violations(real, synthetic, about, holdout)
    )
    column_records = columns.describe(
        real,
        synthetic,
        described,
        hidden,
        found.quality.shapes,
        None if found.quality_holdout is None else found.quality_holdout.shapes,
    )
    pair_records = pairs.describe(
        real,
        synthetic,
        scored,
        hidden,
        found.quality_all.pairs,
        found.quality.pairs,
        None if found.quality_all_holdout is None else found.quality_all_holdout.pairs,
    )
    alarm = verdicts.alarm(found.privacy)
    return Report(
        Content(
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
                    found.quality_all_holdout,
                    found.detection_unseen,
                    found.detection_holdout,
                    bool(alarm),
                    pair_records,
                ),
                verdicts.utility(
                    found.utility, found.utility_real, holdout is not None, bool(alarm)
                ),
                verdicts.privacy(found.privacy, bool(alarm)),
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
            sections=_sections(found),
            columns=column_records,
            left_out={
                n: empty.get(n, sdtype) for n, sdtype in described.items() if n not in scored
            },
            pairs=pair_records,
            associations=pairs.associations(real, synthetic, scored),
            plane=rows.plane(real, synthetic, scored, seed),
            missing=rows.missing_patterns(real, synthetic, holdout),
            rare=columns.rare_levels(real, synthetic, holdout, scored),
            distances=_distances(found.privacy),
            violations=violations,
            detection=Detection(
                found.detection.rows,
                found.detection.aucs,
                tuple(Telling(name, lost) for name, lost in found.detection.telling),
            ),
            losses=_losses(loss_values),
            protection=protection.STATEMENT,
            provenance=provenance.describe(
                seed,
                files,
                model,
                epochs=None if loss_values is None else len(loss_values),
                seconds=fit_seconds,
            ),
        )
    )


def _without(about: Mapping, names: list[str]) -> dict:
    """The metadata without some columns, and without a key that is one of them."""
    kept = {name: column for name, column in about["columns"].items() if name not in names}
    rest = {key: value for key, value in about.items() if key not in ("columns", "primary_key")}
    if about.get("primary_key") in kept:
        rest["primary_key"] = about["primary_key"]
    return rest | {"columns": kept}


def _score(real, synthetic, holdout, raw, about, scored, target, seed) -> _Scores:
    """Every score, of samples of large tables where trees are trained."""
    rng = np.random.default_rng(seed)

    def few(table):
        if len(table) <= MODEL_ROWS:
            return table
        return table.iloc[np.sort(rng.choice(len(table), MODEL_ROWS, replace=False))]

    some_real, some_synthetic = few(real), few(synthetic)
    utility = utility_real = None
    if target is not None:
        if holdout is None:
            order = rng.permutation(len(real))
            cut = len(real) - len(real) // 3
            known_rows, test = real.iloc[order[:cut]], real.iloc[order[cut:]]
        else:
            known_rows, test = real, holdout
        regression = scores.is_regression(real[target], scored[target])
        arguments = (few(test), target, scored, regression, seed)
        utility = scores.tstr(some_synthetic, *arguments)
        utility_real = scores.tstr(few(known_rows), *arguments)
    unseen: dict[str, Any] = dict.fromkeys(
        (
            "quality_holdout",
            "quality_all_holdout",
            "diagnostic_holdout",
            "detection_unseen",
            "detection_holdout",
        )
    )
    if holdout is not None:
        some_holdout = few(holdout)
        unseen = {
            "quality_holdout": scores.quality(real, holdout, about, seed=seed),
            "quality_all_holdout": scores.quality(real, holdout, about, True, seed),
            "diagnostic_holdout": scores.diagnostic(raw[0], raw[2], about, seed=seed),
            "detection_unseen": scores.detection(some_holdout, some_synthetic, scored, seed=seed),
            "detection_holdout": scores.detection(some_real, some_holdout, scored, seed=seed),
        }
    return _Scores(
        quality=scores.quality(real, synthetic, about, seed=seed),
        quality_all=scores.quality(real, synthetic, about, all_pairs=True, seed=seed),
        diagnostic=scores.diagnostic(raw[0], raw[1], about, seed=seed),
        detection=scores.detection(some_real, some_synthetic, scored, seed=seed, explain=True),
        utility=utility,
        utility_real=utility_real,
        privacy=scores.privacy(real, synthetic, scored, holdout, seed=seed),
        **unseen,
    )


def _named_classes(real: pd.DataFrame, utility: scores.Utility | None) -> list[str]:
    """Of the classes that no synthetic row has, those that may be named."""
    if utility is None:
        return []
    named = protection.Levels([real[utility.target]]).labels
    return [n for n in map(protection.label, utility.missing_classes) if n in named]


def _distances(found: scores.Privacy) -> Distances:
    curves = (
        None if values is None else tuple(protection.significant(value, 4) for value in values)
        for values in (found.distances, found.holdout_distances)
    )
    return Distances(CURVE, *curves)


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


def _sections(found: _Scores) -> tuple[Section, ...]:
    """The measures, in the order in which text and page show them."""

    def of(result, name):
        return None if result is None else _finite(getattr(result, name))

    def auc(result):
        return None if result is None else float(np.mean(result.aucs))

    def quality(key, label, name, all_pairs, meaning):
        own = found.quality_all if all_pairs else found.quality
        unseen = found.quality_all_holdout if all_pairs else found.quality_holdout
        return Measure(f"quality.{key}", label, of(own, name), of(unseen, name), "score", meaning)

    default = found.quality
    sections = [
        Section(
            "quality",
            f"Quality (SDMetrics {default.sdmetrics_version})",
            (
                quality(
                    "overall",
                    "overall, default",
                    "overall",
                    False,
                    "mean of column shapes and of the pair trends that SDMetrics counts: "
                    f"|correlation| > {default.correlation_threshold:g} or association > "
                    f"{default.association_threshold:g} in the real rows",
                ),
                quality(
                    "overall_all_pairs",
                    "overall, all pairs",
                    "overall",
                    True,
                    "the same with both thresholds at 0, as in published tables; columns drawn "
                    "independently already reach about .95 on many tables",
                ),
                quality(
                    "shapes",
                    "column shapes",
                    "column_shapes",
                    False,
                    "1 - Kolmogorov-Smirnov distance (numbers) or 1 - total variation "
                    "(categories), mean over columns",
                ),
                quality(
                    "trends",
                    "pair trends, default",
                    "pair_trends",
                    False,
                    "similarity of correlations and contingency tables, related pairs only",
                ),
                quality(
                    "trends_all_pairs",
                    "pair trends, all pairs",
                    "pair_trends",
                    True,
                    "the same over every pair of columns",
                ),
            ),
        )
    ]
    below = verdicts.is_below_chance(found.detection)
    detection = [
        Measure(
            "detection.score",
            "against the real rows",
            found.detection.score,
            of(found.detection_holdout, "score"),
            "score",
            "1 = cannot be told apart from real rows, 0 = always; the strictest test here, "
            "because trees see any dependence",
            "AUC below one half" if below else "",
        ),
        Measure(
            "detection.auc",
            "AUC against the real rows",
            auc(found.detection),
            auc(found.detection_holdout),
            "score",
            "what the score above is made of: .5 is a coin, 1 always right; the score does not "
            "fall below .5",
            verdicts.below_chance(found.detection) if below else "",
        ),
    ]
    if found.detection_unseen is not None:
        detection.append(
            Measure(
                "detection.unseen",
                "against the held-out rows",
                found.detection_unseen.score,
                of(found.detection_holdout, "score"),
                "score",
                "the same against real rows that the synthesizer never saw: a lower value than "
                "above shows what was fitted to the training rows alone",
            )
        )
    sections.append(Section("detection", "Detection (boosted trees)", tuple(detection)))
    if found.utility is not None:
        sections.append(_utility_section(found, of))
    sections.append(_privacy_section(found.privacy))
    sections.append(
        Section(
            "validity",
            "Validity (SDMetrics' diagnostic)",
            (
                Measure(
                    "validity.data",
                    "data validity",
                    of(found.diagnostic, "data_validity"),
                    of(found.diagnostic_holdout, "data_validity"),
                    "score",
                    "known categories, values inside the real range, unique keys",
                ),
                Measure(
                    "validity.structure",
                    "data structure",
                    of(found.diagnostic, "data_structure"),
                    of(found.diagnostic_holdout, "data_structure"),
                    "score",
                    "the same columns with the same types",
                ),
            ),
        )
    )
    return tuple(sections)


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _short(value: float | None) -> float | None:
    """Four digits: in an error or a distance a single extreme value could be read from more."""
    return None if _finite(value) is None else protection.significant(float(value), 4)


def _utility_section(found: _Scores, of) -> Section:
    own, real = found.utility, found.utility_real
    tested = "held-out" if found.quality_holdout is not None else "real"
    about = (
        f"boosted trees predict {own.target!r} in {tested} rows, trained on synthetic rows "
        "(reference: on real rows)"
    )

    def measure(name, label, kind, meaning):
        values = (_short(of(result, name)) for result in (own, real))
        return Measure(f"utility.{name}", label, *values, kind, meaning)

    if own.task == "classification":
        measures = [measure("auc", "AUC", "score", about)]
    else:
        measures = [
            measure("r2", "R2", "score", about),
            measure("rmse", "RMSE", "number", "root mean squared error in the unit of the target"),
        ]
        if own.log_rmse is not None:
            measures.append(
                measure(
                    "log_rmse",
                    "RMSE of the logarithm",
                    "number",
                    "of log(clip(target, 1, 20000)), as published for heavy tails",
                )
            )
    title = f"Utility (train on synthetic, target {own.target!r})"
    return Section("utility", title, tuple(measures))


def _privacy_section(found: scores.Privacy) -> Section:
    measures = []
    if found.nearest_record_share is not None:
        measures = [
            Measure(
                "privacy.nearest",
                "nearest-record share",
                found.nearest_record_share,
                0.5,
                "score",
                "synthetic rows nearer to the training rows than to as many held-out rows; "
                "clearly above .5 means training rows were memorised",
            ),
            Measure(
                "privacy.ratio",
                "distance ratio",
                _short(found.distance_ratio),
                1.0,
                "number",
                "median distance to the closest training row, over the same of held-out rows",
            ),
        ]
    measures += [
        Measure(
            "privacy.copies",
            "exact copies",
            found.exact_copies,
            found.holdout_exact_copies,
            "share",
            "synthetic rows equal to a training row in every column",
        ),
        Measure(
            "privacy.new",
            "new rows",
            found.new_rows,
            found.holdout_new_rows,
            "share",
            "synthetic rows that match no training row in all categories and, within 1 %, in all "
            "numbers",
        ),
    ]
    return Section("privacy", "Privacy", tuple(measures))


def prepare(tables: list[pd.DataFrame], about: Mapping) -> list[pd.DataFrame]:
    """The described columns of every table, in types that can be compared with each other.

    Datetimes are parsed (by ``datetime_format`` where the metadata gives one). A categorical
    column that is text in one table and numbers in another, as two CSV files may be read, becomes
    text in both.

    Raises:
        ValueError: a datetime or a number cannot be read as such; the message names the column.
    """
    described = about["columns"]
    tables = [table[list(described)].reset_index(drop=True) for table in tables]
    for name, column in described.items():
        values = [table[name] for table in tables]
        sdtype = column["sdtype"]
        if sdtype == "datetime":
            ready = [_datetimes(v, column.get("datetime_format")) for v in values]
        elif sdtype == "numerical":
            ready = []
            for v in values:
                scores.to_numbers(v, sdtype)
                ready.append(pd.to_numeric(v))
        elif sdtype in scores.CATEGORIES:
            plain = [pd.api.types.is_numeric_dtype(v) for v in values]
            ready = [
                _as_text(v) if is_number and not all(plain) else v
                for v, is_number in zip(values, plain, strict=True)
            ]
        else:
            continue
        for table, v in zip(tables, ready, strict=True):
            table[name] = v
    return tables


def _datetimes(values: pd.Series, form: str | None) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values):
        return values
    try:
        return pd.to_datetime(values, format=form)
    except (TypeError, ValueError) as error:
        expected = f" of the format {form!r}" if form else ""
        raise ValueError(
            f"column {values.name!r} is described as datetime but holds a value that is no "
            f"datetime{expected}: {str(error).splitlines()[0]}"
        ) from error


def _as_text(values: pd.Series) -> pd.Series:
    def text(value):
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value)

    return values.map(text, na_action="ignore").astype(object)
