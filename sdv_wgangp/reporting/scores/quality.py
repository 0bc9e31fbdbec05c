"""SDMetrics' reports of one table; nothing else in the package knows SDMetrics."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.scores.tables import single_table


@dataclass(frozen=True)
class Quality:
    """SDMetrics' QualityReport. Scores are in [0, 1]; NaN where a property has nothing to score.

    ``shapes`` has one row per column, ``pairs`` one per pair of columns.
    """

    overall: float
    column_shapes: float
    pair_trends: float
    shapes: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    correlation_threshold: float
    association_threshold: float
    sdmetrics_version: str


@dataclass(frozen=True)
class Diagnostic:
    """SDMetrics' DiagnosticReport: 1 when every value is valid and the columns are the same."""

    overall: float
    data_validity: float
    data_structure: float
    validity: pd.DataFrame = field(repr=False)
    sdmetrics_version: str


@contextmanager
def _sdmetrics_run(seed: int) -> Iterator[None]:
    """SDMetrics subsamples large tables from numpy's global state: seed it, then put it back."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        with warnings.catch_warnings():
            # Constant columns and columns without a single shared value: their score is NaN in
            # the details, which the reports show; the warnings add nothing.
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)


def _run_report(kind: str, real, synthetic, about: dict, settings: dict, seed: int):
    """Generate SDMetrics' report of that name for one table, in whichever API is installed."""
    from sdmetrics import reports

    if hasattr(reports, kind):
        report = getattr(reports, kind)()
        arguments = (
            {"table": real},
            {"table": synthetic},
            {"tables": {"table": about}, "relationships": []},
        )
    else:  # SDMetrics before the unified reports, which knew no ordinals either
        from sdmetrics.reports import single_table as reports_of_one

        report = getattr(reports_of_one, kind)()
        described = {
            name: {**column, "sdtype": "categorical"} if column["sdtype"] == "ordinal" else column
            for name, column in about["columns"].items()
        }
        arguments = (real, synthetic, {**about, "columns": described})
    for setting, value in settings.items():
        if not hasattr(report, setting):
            raise ImportError(
                f"SDMetrics {version('sdmetrics')} has no {setting!r}: install sdmetrics>=0.28"
            )
        setattr(report, setting, value)
    with _sdmetrics_run(seed):
        report.generate(*arguments, verbose=False)
        scores = report.get_properties().set_index("Property")["Score"].astype(float)
        details = {
            name: _details(report, name)
            for name in scores.index
            if name in ("Column Shapes", "Column Pair Trends", "Data Validity")
        }
    return report, scores, details


def _details(report, name: str) -> pd.DataFrame:
    details = report.get_details(name).reset_index(drop=True)
    return details.drop(columns="Table", errors="ignore")


def quality(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    metadata: Any,
    all_pairs: bool = False,
    seed: int = 0,
) -> Quality:
    """SDMetrics' quality: column shapes, pair trends and their mean.

    SDMetrics counts a pair of columns only where the real pair correlates by more than .5 or is
    associated (Cramer's V) by more than .3. Publications before these thresholds existed
    (SDMetrics < 0.27) counted all pairs; the two are not comparable.

    Args:
        real: Real rows.
        synthetic: Synthetic rows with the same columns.
        metadata: SDV's metadata of the table, or its dictionary.
        all_pairs: Set both thresholds to 0, as in published tables.
        seed: Seeds SDMetrics' subsample of tables with more than 50,000 rows.

    Raises:
        ValueError: a described column is missing from the data.
    """
    about = single_table(metadata)
    names = list(about["columns"])
    for where, table in (("real", real), ("synthetic", synthetic)):
        absent = [name for name in names if name not in table.columns]
        if absent:
            raise ValueError(f"column {absent[0]!r} is missing from the {where} data")
    settings = {}
    if all_pairs:
        settings = {"real_correlation_threshold": 0, "real_association_threshold": 0}
    report, scores, details = _run_report(
        "QualityReport", real[names], synthetic[names], about, settings, seed
    )
    return Quality(
        overall=float(report.get_score()),
        column_shapes=float(scores["Column Shapes"]),
        pair_trends=float(scores["Column Pair Trends"]),
        shapes=details["Column Shapes"],
        pairs=details["Column Pair Trends"],
        correlation_threshold=float(report.real_correlation_threshold),
        association_threshold=float(report.real_association_threshold),
        sdmetrics_version=version("sdmetrics"),
    )


def diagnostic(
    real: pd.DataFrame, synthetic: pd.DataFrame, metadata: Any, seed: int = 0
) -> Diagnostic:
    """SDMetrics' diagnostic: known categories, ranges kept, unique keys, the same columns."""
    report, scores, details = _run_report(
        "DiagnosticReport", real, synthetic, single_table(metadata), {}, seed
    )
    return Diagnostic(
        overall=float(report.get_score()),
        data_validity=float(scores["Data Validity"]),
        data_structure=float(scores["Data Structure"]),
        validity=details["Data Validity"],
        sdmetrics_version=version("sdmetrics"),
    )
