"""One report of everything that says how good a synthetic table is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting import page, scores

MODEL_ROWS = 50_000  # the trees of detection and utility see at most so many rows of a table


@dataclass(frozen=True)
class Line:
    """One measure of the report: its value and what new real rows score in the same place."""

    name: str
    value: float | None
    reference: float | None = None
    meaning: str = ""
    kind: str = "score"  # or "share" (shown in percent) or "number"

    def shown(self, value: float | None) -> str:
        if value is None or not np.isfinite(value):
            return "-"
        if self.kind == "share":
            return f"{100 * value:.2f} %"
        return f"{value:.4g}" if self.kind == "number" else f"{value:.3f}"


@dataclass(frozen=True)
class Report:
    """Scores of a synthetic table; made by `build_report`.

    The fields named ``..._holdout`` hold the scores of the held-out real rows in the place of the
    synthetic ones: what a perfect synthesizer could reach. They are None without a holdout.
    """

    title: str
    real: pd.DataFrame = field(repr=False)
    synthetic: pd.DataFrame = field(repr=False)
    holdout: pd.DataFrame | None = field(repr=False)
    columns: dict[str, str]
    left_out: dict[str, str]
    quality: scores.Quality
    quality_all_pairs: scores.Quality
    quality_holdout: scores.Quality | None
    quality_all_pairs_holdout: scores.Quality | None
    diagnostic: scores.Diagnostic
    detection: scores.Detection
    detection_unseen: scores.Detection | None
    detection_holdout: scores.Detection | None
    utility: scores.Utility | None
    utility_real: scores.Utility | None
    privacy: scores.Privacy
    loss_values: pd.DataFrame | None = field(repr=False, default=None)

    def sections(self) -> list[tuple[str, list[Line]]]:
        """The measures in the order in which the text and the page show them."""
        default, every = self.quality, self.quality_all_pairs
        unseen = self.quality_holdout
        unseen_every = self.quality_all_pairs_holdout

        def of(result, name):
            return None if result is None else getattr(result, name)

        sections = [
            (
                f"Quality (SDMetrics {default.sdmetrics_version})",
                [
                    Line(
                        "overall, default",
                        default.overall,
                        of(unseen, "overall"),
                        "mean of column shapes and of the pair trends that SDMetrics counts: "
                        f"|correlation| > {default.correlation_threshold:g} or association > "
                        f"{default.association_threshold:g} in the real rows",
                    ),
                    Line(
                        "overall, all pairs",
                        every.overall,
                        of(unseen_every, "overall"),
                        "the same with both thresholds at 0, as in published tables; columns "
                        "drawn independently already reach about .95 on many tables",
                    ),
                    Line(
                        "column shapes",
                        default.column_shapes,
                        of(unseen, "column_shapes"),
                        "1 - Kolmogorov-Smirnov distance (numbers) or 1 - total variation "
                        "(categories), mean over columns",
                    ),
                    Line(
                        "pair trends, default",
                        default.pair_trends,
                        of(unseen, "pair_trends"),
                        "similarity of correlations and contingency tables, related pairs only",
                    ),
                    Line(
                        "pair trends, all pairs",
                        every.pair_trends,
                        of(unseen_every, "pair_trends"),
                        "the same over every pair of columns",
                    ),
                ],
            ),
            (
                "Detection (boosted trees)",
                [
                    Line(
                        "against the real rows",
                        self.detection.score,
                        of(self.detection_holdout, "score"),
                        "1 = cannot be told apart from real rows, 0 = always; the strictest "
                        "test here, because trees see any dependence",
                    )
                ],
            ),
        ]
        if self.detection_unseen is not None:
            sections[-1][1].append(
                Line(
                    "against the held-out rows",
                    self.detection_unseen.score,
                    of(self.detection_holdout, "score"),
                    "the same against real rows that the synthesizer never saw: a lower value "
                    "than above shows what was fitted to the training rows alone",
                )
            )
        if self.utility is not None:
            tested = "held-out" if self.holdout is not None else "real"
            about = f"boosted trees predict {self.utility.target!r} in {tested} rows"
            reference = self.utility_real
            if self.utility.task == "classification":
                lines = [
                    Line(
                        "AUC",
                        self.utility.auc,
                        of(reference, "auc"),
                        about + ", trained on synthetic rows (reference: on real rows)",
                    )
                ]
            else:
                lines = [
                    Line(
                        "R2",
                        self.utility.r2,
                        of(reference, "r2"),
                        about + ", trained on synthetic rows (reference: on real rows)",
                    ),
                    Line(
                        "RMSE",
                        self.utility.rmse,
                        of(reference, "rmse"),
                        "root mean squared error in the unit of the target",
                        "number",
                    ),
                ]
                if self.utility.log_rmse is not None:
                    lines.append(
                        Line(
                            "RMSE of the logarithm",
                            self.utility.log_rmse,
                            of(reference, "log_rmse"),
                            "of log(clip(target, 1, 20000)), as published for heavy tails",
                            "number",
                        )
                    )
            sections.append(
                (f"Utility (train on synthetic, target {self.utility.target!r})", lines)
            )
        private = self.privacy
        lines = []
        if private.nearest_record_share is not None:
            lines += [
                Line(
                    "nearest-record share",
                    private.nearest_record_share,
                    0.5,
                    "synthetic rows nearer to the training rows than to as many held-out rows; "
                    "clearly above .5 means training rows were memorised",
                ),
                Line(
                    "distance ratio",
                    private.distance_ratio,
                    1.0,
                    "median distance to the closest training row, over the same of held-out rows",
                    "number",
                ),
            ]
        lines += [
            Line(
                "exact copies",
                private.exact_copies,
                private.holdout_exact_copies,
                "synthetic rows equal to a training row in every column",
                "share",
            ),
            Line(
                "new rows",
                private.new_rows,
                private.holdout_new_rows,
                "synthetic rows that match no training row in all categories and, within 1 %, "
                "in all numbers",
                "share",
            ),
        ]
        sections.append(("Privacy", lines))
        sections.append(
            (
                "Diagnostic (SDMetrics)",
                [
                    Line(
                        "data validity",
                        self.diagnostic.data_validity,
                        None,
                        "known categories, values inside the real range, unique keys",
                    ),
                    Line(
                        "data structure",
                        self.diagnostic.data_structure,
                        None,
                        "the same columns with the same types",
                    ),
                ],
            )
        )
        return sections

    def findings(self) -> list[str]:
        """What deserves a look, in plain sentences; empty when nothing stands out."""
        found = []
        private = self.privacy
        chance = private.holdout_exact_copies or 0.0
        if private.exact_copies > max(2 * chance, 0.001):
            against = (
                f"; {100 * chance:.2f} % of the held-out rows do"
                if private.holdout_exact_copies is not None
                else ""
            )
            found.append(
                f"{100 * private.exact_copies:.2f} % of the synthetic rows equal a training row"
                f"{against}. Few distinct rows explain this, memorising explains it too."
            )
        if private.holdout_exact_copies is not None and private.holdout_exact_copies > 0.5:
            found.append(
                f"{100 * private.holdout_exact_copies:.0f} % of the held-out rows are among the "
                "real rows: give as real rows only those that the synthesizer was fitted to."
            )
        if private.nearest_record_share is not None and private.nearest_record_share > 0.55:
            found.append(
                f"{100 * private.nearest_record_share:.0f} % of the synthetic rows are nearer to "
                "training rows than to held-out rows: training rows may have been memorised."
            )
        if private.nearest_record_share is None:
            found.append(
                "The nearest-record share needs real rows that the synthesizer never saw: hold "
                "some out before fitting and give them to the report. After training on all rows "
                "there is no way to make up for it."
            )
        if self.detection.score < 0.5 and self.detection.telling:
            names = ", ".join(name for name, lost in self.detection.telling[:3] if lost > 0.005)
            if names:
                found.append(f"Boosted trees recognise synthetic rows mostly by: {names}.")
        # One value in a hundred beyond the range of the real rows is what new real rows have too.
        bad = self.diagnostic.validity
        names = list(bad.loc[bad["Score"] < 0.99, "Column"].astype(str).unique())
        if names:
            found.append(f"Invalid values (out of range or unknown) in: {_few(names)}.")
        if self.utility is not None and self.utility.missing_classes:
            names = _few([str(value) for value in self.utility.missing_classes])
            found.append(
                f"Classes of {self.utility.target!r} that no synthetic row has: {names}; "
                "each counts as AUC .5."
            )
        failed = self.quality.shapes
        failed = failed[failed["Score"].isna()]
        if len(failed):
            names = list(failed["Column"].astype(str))
            found.append(f"SDMetrics could not score the shape of: {_few(names)}.")
        if np.isnan(self.quality.pair_trends):
            found.append(
                "No pair of real columns is related enough for SDMetrics' default pair trends: "
                "the default overall score is column shapes alone."
            )
        return found

    def describe(self) -> str:
        """Rows and columns in one sentence."""
        held = "" if self.holdout is None else f", {len(self.holdout):,} held-out"
        return (
            f"{len(self.real):,} real{held} and {len(self.synthetic):,} synthetic rows, "
            f"{len(self.columns)} columns scored"
        )

    def to_text(self) -> str:
        """A table for the terminal, at most 80 characters wide."""
        unit = "held-out" if self.holdout is not None else "reference"
        lines = [self.title, self.describe(), "", f"{'':<46}{'synthetic':>11}{unit:>11}"]
        for name, measures in self.sections():
            lines.append(name)
            for line in measures:
                value, reference = line.shown(line.value), line.shown(line.reference)
                lines.append(f"  {line.name:<44}{value:>11}{reference:>11}")
        found = self.findings()
        if found:
            lines.append("")
            for text in found:
                lines += _wrapped(text)
        return "\n".join(lines)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that needs no other file and no network, and return its path."""
        path = Path(path)
        path.write_text(page.render(self), encoding="utf-8")
        return path


def _few(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _wrapped(text: str, width: int = 78) -> list[str]:
    lines, line = [], "*"
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = " "
        line += " " + word
    return [*lines, line]


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

    Raises:
        ValueError: a described column is missing, holds values of another type, or the target
            cannot be predicted; the message names the column.
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
    known = scores.NUMBERS + scores.CATEGORIES
    columns = {name: sdtype for name, sdtype in described.items() if sdtype in known}
    if target is not None and target not in columns:
        raise ValueError(
            f"target {target!r} is not a column that can be predicted: choose one of "
            + ", ".join(columns)
        )
    raw = real, synthetic
    prepared = prepare(list(tables.values()), about)
    real, synthetic = prepared[:2]
    holdout = prepared[2] if holdout is not None else None

    rng = np.random.default_rng(seed)

    def few(table, rows=MODEL_ROWS):
        if len(table) <= rows:
            return table
        return table.iloc[np.sort(rng.choice(len(table), rows, replace=False))]

    some_real, some_synthetic = few(real), few(synthetic)
    utility = utility_real = None
    if target is not None:
        if holdout is None:
            order = rng.permutation(len(real))
            cut = len(real) - len(real) // 3
            known_rows, test = real.iloc[order[:cut]], real.iloc[order[cut:]]
        else:
            known_rows, test = real, holdout
        regression = scores.is_regression(real[target], columns[target])
        arguments = (few(test), target, columns, regression, seed)
        utility = scores.tstr(some_synthetic, *arguments)
        utility_real = scores.tstr(few(known_rows), *arguments)
    unseen = {}
    if holdout is not None:
        some_holdout = few(holdout)
        unseen = {
            "quality_holdout": scores.quality(real, holdout, about, seed=seed),
            "quality_all_pairs_holdout": scores.quality(real, holdout, about, True, seed),
            "detection_unseen": scores.detection(some_holdout, some_synthetic, columns, seed=seed),
            "detection_holdout": scores.detection(some_real, some_holdout, columns, seed=seed),
        }
    return Report(
        title=title,
        real=real,
        synthetic=synthetic,
        holdout=holdout,
        columns=columns,
        left_out={name: sdtype for name, sdtype in described.items() if sdtype not in known},
        quality=scores.quality(real, synthetic, about, seed=seed),
        quality_all_pairs=scores.quality(real, synthetic, about, all_pairs=True, seed=seed),
        quality_holdout=unseen.get("quality_holdout"),
        quality_all_pairs_holdout=unseen.get("quality_all_pairs_holdout"),
        diagnostic=scores.diagnostic(*raw, about, seed=seed),
        detection=scores.detection(some_real, some_synthetic, columns, seed=seed, explain=True),
        detection_unseen=unseen.get("detection_unseen"),
        detection_holdout=unseen.get("detection_holdout"),
        utility=utility,
        utility_real=utility_real,
        privacy=scores.privacy(real, synthetic, columns, holdout, seed=seed),
        loss_values=loss_values,
    )


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
