"""How good a synthetic table is: quality, detection, utility and privacy, without SDV.

Every function is pure: it copies what it changes, and its randomness comes from ``seed`` alone.
Tables are described by ``columns``, a dictionary ``name -> sdtype``. Columns of sdtype
``numerical`` and ``datetime`` are compared as numbers, ``categorical``, ``boolean`` and
``ordinal`` ones by equality; columns of any other sdtype (keys, personal data, text) are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

NUMBERS = ("numerical", "datetime")
CATEGORIES = ("categorical", "boolean", "ordinal")
MAX_LEVELS = 255  # what scikit-learn's histogram trees accept in one categorical column
LOG_CLIP = (1.0, 20_000.0)  # the range published log-RMSE figures clip a heavy-tailed target to
MAX_REFERENCE_ROWS = 40_000
SIGNIFICANT_DIGITS = 12
MATCH_TOLERANCE = 0.01


# --------------------------------------------------------------------------- tables as numbers


def columns_of(metadata: Any) -> dict[str, str]:
    """``name -> sdtype`` of the one table of ``metadata``.

    Args:
        metadata: SDV's ``Metadata`` or its dictionary, with or without the ``tables`` level.

    Raises:
        ValueError: the metadata describes more than one table, or none.
    """
    described = single_table(metadata)["columns"]
    return {str(name): about["sdtype"] for name, about in described.items()}


def single_table(metadata: Any) -> dict:
    """The dictionary of the one table of ``metadata`` (see `columns_of`)."""
    about = metadata if isinstance(metadata, Mapping) else metadata.to_dict()
    if "tables" in about:
        tables = about["tables"]
        if len(tables) != 1:
            raise ValueError(
                f"the metadata describes {len(tables)} tables: give the metadata of one table"
            )
        about = next(iter(tables.values()))
    if "columns" not in about:
        raise ValueError("the metadata has no 'columns': give SDV's metadata of one table")
    return dict(about)


def to_numbers(values: pd.Series, sdtype: str) -> np.ndarray:
    """A ``numerical`` or ``datetime`` column as float64, NaN where a value is missing.

    Datetimes become nanoseconds since 1970.

    Raises:
        ValueError: a value is neither a number nor a datetime; the message names the column.
    """
    try:
        if sdtype == "datetime" and not pd.api.types.is_numeric_dtype(values):
            parsed = values
            if not pd.api.types.is_datetime64_any_dtype(values):
                parsed = pd.to_datetime(values)
            if parsed.dt.tz is not None:
                parsed = parsed.dt.tz_convert("UTC").dt.tz_localize(None)
            stamps = parsed.to_numpy("datetime64[ns]")
            numbers = stamps.astype(np.int64).astype(np.float64)
            numbers[np.isnat(stamps)] = np.nan
            return numbers
        return pd.to_numeric(values).to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"column {values.name!r} is described as {sdtype} but holds other values ({error})"
        ) from error


def to_codes(columns: Sequence[pd.Series]) -> tuple[list[np.ndarray], list]:
    """The same category gets the same code in every one of ``columns``; missing is -1.

    Returns:
        One integer array per column, and the levels that the codes stand for.
    """
    joined = pd.concat([_plain(column) for column in columns], ignore_index=True)
    codes, levels = pd.factorize(joined, use_na_sentinel=True)
    cuts = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(codes, cuts), list(levels)


def _plain(column: pd.Series) -> pd.Series:
    """``column`` as Python objects: as such 1, 1.0 and True are the same category."""
    return column.astype(object).where(column.notna(), None)


def _used(columns: Mapping[str, str], *tables: pd.DataFrame) -> dict[str, str]:
    used = {name: sdtype for name, sdtype in columns.items() if sdtype in NUMBERS + CATEGORIES}
    if not used:
        raise ValueError("no column is numerical, datetime, categorical, boolean or ordinal")
    for table in tables:
        absent = [name for name in used if name not in table.columns]
        if absent:
            raise ValueError(f"column {absent[0]!r} is described but missing from the data")
        if len(table) == 0:
            raise ValueError("the data has no rows")
    return used


def _tree_tables(
    columns: Mapping[str, str], tables: Sequence[pd.DataFrame]
) -> tuple[list[np.ndarray], np.ndarray]:
    """What boosted trees are fed: float64 (rows, columns) per table, and who is categorical.

    A missing value is NaN. Of a column with more than 255 levels the rarest, counted over all
    tables together, share the last code.
    """
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            encoded = [to_numbers(table[name], sdtype) for table in tables]
        else:
            codes, levels = to_codes([table[name] for table in tables])
            everything = np.concatenate(codes)
            counts = np.bincount(everything[everything >= 0], minlength=len(levels))
            rank = np.empty(len(levels), dtype=np.int64)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(levels))
            rank = np.minimum(rank, MAX_LEVELS - 1)
            encoded = [np.where(code < 0, np.nan, np.append(rank, 0)[code]) for code in codes]
        for part, values in zip(parts, encoded, strict=True):
            part.append(values)
    categorical = np.array([sdtype in CATEGORIES for sdtype in columns.values()])
    return [np.column_stack(part) for part in parts], categorical


# --------------------------------------------------------------------------- SDMetrics


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


# --------------------------------------------------------------------------- detection


@dataclass(frozen=True)
class Detection:
    """``score`` 1: real and synthetic rows cannot be told apart; 0: always.

    ``telling`` holds, when asked for, how much AUC the trees lose without a column's information
    (its values shuffled among the scored rows), most telling column first.
    """

    score: float
    aucs: tuple[float, ...]
    classifier: str
    rows: int
    telling: tuple[tuple[str, float], ...] = ()


def detection(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    classifier: str = "hist_gradient_boosting",
    folds: int = 3,
    seed: int = 0,
    explain: bool = False,
) -> Detection:
    """Can boosted trees tell synthetic from real rows? The classifier two-sample test.

    ``score = 1 - mean over folds of (2 max(AUC, 1/2) - 1)`` (the score of SDMetrics' detection
    metrics, with trees in the place of their linear model, which cannot see dependence). The
    larger table is subsampled to the size of the smaller one.

    Args:
        real: Real rows.
        synthetic: Synthetic rows.
        columns: ``name -> sdtype``.
        classifier: ``"hist_gradient_boosting"`` (scikit-learn) or ``"xgboost"`` (needs the
            ``xgboost`` package; the one that publications use).
        folds: Stratified shuffled folds; each is scored by trees fitted to the others.
        seed: Of the subsample, the folds and the trees.
        explain: Also measure, on the last fold, which columns give synthetic rows away.

    Raises:
        ValueError: fewer rows than folds, an unknown classifier or a missing column.
        ImportError: ``"xgboost"`` was asked for and is not installed.
    """
    columns = _used(columns, real, synthetic)
    rng = np.random.default_rng(seed)
    rows = min(len(real), len(synthetic))
    if rows < folds:
        raise ValueError(f"detection with {folds} folds needs {folds} rows, got {rows}")
    real, synthetic = (_subsample(table, rows, rng) for table in (real, synthetic))
    (fake, true), categorical = _tree_tables(columns, [synthetic, real])
    features = np.concatenate([true, fake])
    labels = np.repeat([1, 0], rows)
    make = _classifier(classifier, categorical, seed)
    aucs = []
    for fitted, scored in StratifiedKFold(folds, shuffle=True, random_state=seed).split(
        features, labels
    ):
        probability = make(features[fitted], labels[fitted])
        aucs.append(float(roc_auc_score(labels[scored], probability(features[scored]))))
    telling = ()
    if explain:
        lost = {}
        for place, name in enumerate(columns):
            shuffled = features[scored].copy()
            shuffled[:, place] = rng.permutation(shuffled[:, place])
            lost[name] = aucs[-1] - float(roc_auc_score(labels[scored], probability(shuffled)))
        telling = tuple(sorted(lost.items(), key=lambda item: -item[1]))
    score = 1 - float(np.mean([2 * max(auc, 0.5) - 1 for auc in aucs]))
    return Detection(score, tuple(aucs), classifier, rows, telling)


def _classifier(name: str, categorical: np.ndarray, seed: int):
    """``fit(features, labels) -> (features -> probability of label 1)``."""
    if name == "hist_gradient_boosting":

        def fit(features, labels):
            trees = HistGradientBoostingClassifier(
                categorical_features=categorical, random_state=seed
            ).fit(features, labels)
            return lambda rows: trees.predict_proba(rows)[:, 1]

    elif name == "xgboost":
        try:
            from xgboost import XGBClassifier
        except ImportError as error:
            raise ImportError(
                "detection with classifier='xgboost' needs the xgboost package: "
                "pip install xgboost, or use classifier='hist_gradient_boosting'"
            ) from error

        def table(rows):
            frame = pd.DataFrame(rows)
            for place in np.flatnonzero(categorical):
                codes = np.where(np.isnan(rows[:, place]), -1, rows[:, place]).astype(np.int64)
                frame[place] = pd.Categorical.from_codes(codes, categories=range(MAX_LEVELS))
            return frame

        def fit(features, labels):
            trees = XGBClassifier(enable_categorical=True, random_state=seed)
            trees.fit(table(features), labels)
            return lambda rows: trees.predict_proba(table(rows))[:, 1]

    else:
        raise ValueError(f"unknown classifier {name!r}: use 'hist_gradient_boosting' or 'xgboost'")
    return fit


def _subsample(table: pd.DataFrame, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    if len(table) <= rows:
        return table
    return table.iloc[np.sort(rng.choice(len(table), rows, replace=False))]


# --------------------------------------------------------------------------- utility


@dataclass(frozen=True)
class Utility:
    """Trained on one table, tested on real rows. Fields of the other task are None.

    ``auc`` is in [0, 1]; ``rmse`` has the target's unit (nanoseconds for a datetime);
    ``log_rmse`` is None unless the target is non-negative and heavy-tailed. ``missing_classes``
    occur in the test rows but not in the training rows: their one-versus-rest AUC is .5.
    """

    task: str
    target: str
    train_rows: int
    test_rows: int
    auc: float | None = None
    rmse: float | None = None
    r2: float | None = None
    log_rmse: float | None = None
    missing_classes: tuple = ()


def is_regression(real: pd.Series, sdtype: str) -> bool:
    """Numbers are regressed on, categories classified; so are ordinals of up to 10 levels."""
    if sdtype == "ordinal":
        return pd.api.types.is_numeric_dtype(real) and real.nunique() > 10
    return sdtype in NUMBERS


def tstr(
    synthetic_train: pd.DataFrame,
    real_test: pd.DataFrame,
    target: str,
    columns: Mapping[str, str],
    regression: bool | None = None,
    seed: int = 0,
) -> Utility:
    """Train on synthetic rows, test on real ones (Esteban et al. 2017), with boosted trees.

    Pass real rows as ``synthetic_train`` for the reference value. Classification gives the AUC,
    for more than two classes the mean of the one-versus-rest AUCs weighted by class frequency in
    the test rows. Regression gives RMSE and R2 and, for a non-negative right-skewed target, the
    RMSE of ``log(clip(target, 1, 20000))`` predicted by a model of the same quantity, as in
    published comparisons. Rows whose target is missing are left out.

    Raises:
        ValueError: the target is not a usable column, or no row has one.
    """
    columns = _used(columns, synthetic_train, real_test)
    if target not in columns:
        raise ValueError(f"target {target!r} is not a column that can be predicted")
    if len(columns) < 2:
        raise ValueError(f"there is no column beside the target {target!r} to predict it from")
    train = synthetic_train[synthetic_train[target].notna()]
    test = real_test[real_test[target].notna()]
    if len(train) == 0 or len(test) == 0:
        which = "training" if len(train) == 0 else "test"
        raise ValueError(f"target {target!r} is missing in every {which} row")
    if regression is None:
        regression = is_regression(real_test[target], columns[target])
    inputs = {name: sdtype for name, sdtype in columns.items() if name != target}
    (fitted, scored), categorical = _tree_tables(inputs, [train, test])
    settings = {"categorical_features": categorical, "random_state": seed}
    known = {"target": target, "train_rows": len(train), "test_rows": len(test)}
    if regression:
        sdtype = columns[target] if columns[target] in NUMBERS else "numerical"
        truth_train, truth = (to_numbers(table[target], sdtype) for table in (train, test))

        def predict(values):
            return HistGradientBoostingRegressor(**settings).fit(fitted, values).predict(scored)

        predicted = predict(truth_train)
        log_rmse = None
        if _is_heavy_tailed(truth):
            log_truth_train, log_truth = (
                np.log(np.clip(values, *LOG_CLIP)) for values in (truth_train, truth)
            )
            log_rmse = _rmse(log_truth, predict(log_truth_train))
        return Utility(
            task="regression",
            rmse=_rmse(truth, predicted),
            r2=float(r2_score(truth, predicted)) if len(truth) > 1 else None,
            log_rmse=log_rmse,
            **known,
        )
    (classes_train, classes), levels = to_codes([train[target], test[target]])
    present = np.unique(classes_train)
    probability = np.zeros((len(classes), len(levels)))
    if len(present) == 1:
        probability[:, present[0]] = 1.0
    else:
        trees = HistGradientBoostingClassifier(**settings).fit(fitted, classes_train)
        probability[:, present] = trees.predict_proba(scored)
    tested = np.unique(classes)
    if len(tested) < 2:
        raise ValueError(
            f"target {target!r} has a single class in the test rows: nothing to tell apart"
        )
    aucs = [roc_auc_score(classes == level, probability[:, level]) for level in tested]
    weights = [np.mean(classes == level) for level in tested]
    return Utility(
        task="classification",
        auc=float(np.average(aucs, weights=weights)),
        missing_classes=tuple(levels[level] for level in tested if level not in present),
        **known,
    )


def _rmse(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def _is_heavy_tailed(values: np.ndarray) -> bool:
    """Non-negative, right-skewed (skewness > 1), and mostly inside the range of the logarithm."""
    if values.min() < 0 or np.ptp(values) == 0:
        return False
    centred = (values - values.mean()) / values.std()
    inside = np.mean((values > LOG_CLIP[0]) & (values < LOG_CLIP[1]))
    return bool((centred**3).mean() > 1 and inside > 0.9)


# --------------------------------------------------------------------------- privacy


@dataclass(frozen=True)
class Privacy:
    """How close synthetic rows are to training rows; None where a holdout is needed.

    ``nearest_record_share``: share of synthetic rows nearer to the training rows than to as many
    holdout rows; .5 when the synthetic rows know no more of one than of the other.
    ``distance_to_closest``: median distance to the closest training row, and
    ``distance_ratio`` the same divided by that of holdout rows (1: as far away as new real rows).
    ``exact_copies`` and ``new_rows`` are shares of the synthetic rows, ``holdout_*`` the same
    shares of holdout rows: what chance gives in rows that were never seen.
    """

    exact_copies: float
    new_rows: float
    distance_to_closest: float
    nearest_record_share: float | None
    distance_ratio: float | None
    holdout_exact_copies: float | None
    holdout_new_rows: float | None
    train_rows: int
    synthetic_rows: int
    holdout_rows: int


def privacy(
    train: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Mapping[str, str],
    holdout: pd.DataFrame | None = None,
    max_rows: int = 5_000,
    seed: int = 0,
) -> Privacy:
    """Distances and copies between synthetic and training rows.

    The distance of two rows is the sum over numbers of ``|difference| / training range`` plus 1
    per category that differs; a missing value is a category of its own (distance 0 to another
    missing value, 1 to any value). A row is an *exact copy* when it equals a training row in
    every column, numbers rounded to 12 significant digits. A row is *new* when no training row
    agrees with it in every category and, within 1 % of its value, in every number (SDMetrics'
    NewRowSynthesis; 1 % of the training range for datetimes, whose zero means nothing).

    Small distances show leakage, large ones do not prove its absence: membership inference may
    succeed where these shares look harmless.

    Args:
        train: The rows that the synthesizer was fitted to.
        synthetic: Its rows.
        columns: ``name -> sdtype``.
        holdout: Real rows that it never saw. Shares of nearness need them.
        max_rows: Distances and new rows are measured for at most so many synthetic (and
            holdout) rows, against at most 40,000 training rows. Copies are counted in all.
        seed: Of these subsamples.

    Raises:
        ValueError: a column is missing, or a table is empty.
    """
    tables = [train, synthetic] if holdout is None else [train, synthetic, holdout]
    columns = _used(columns, *tables)
    encoded = _RowCodes(columns, tables)
    rng = np.random.default_rng(seed)

    keys = [_row_keys(numbers, codes) for numbers, codes in encoded.tables]
    copies = [float(np.isin(key, keys[0]).mean()) for key in keys[1:]]

    judged = [_choose(len(table), max_rows, rng) for table in tables[1:]]
    new = [
        1 - float(_matches(encoded, which, rows).mean())
        for which, rows in enumerate(judged, start=1)
    ]

    # The first rows of one permutation are the part that is as large as the holdout, so that
    # one pass over the distances serves the share and the median.
    reference = rng.permutation(len(train))[:MAX_REFERENCE_ROWS]
    points = [encoded.points(which) for which in range(len(tables))]
    known = tuple(values[reference] for values in points[0])
    asked = tuple(values[judged[0]] for values in points[1])
    share = ratio = None
    if holdout is None:
        (closest,) = _nearest(asked, known, [len(reference)])
    else:
        size = min(len(holdout), len(reference))
        unseen_rows = _choose(len(holdout), size, rng)
        unseen = tuple(values[unseen_rows] for values in points[2])
        to_part, closest = _nearest(asked, known, [size, len(reference)])
        (to_unseen,) = _nearest(asked, unseen, [size])
        share = float(np.mean(to_part < to_unseen) + np.mean(to_part == to_unseen) / 2)
        own = tuple(values[judged[1]] for values in points[2])
        (baseline,) = _nearest(own, known, [len(reference)])
        median = float(np.median(baseline))
        ratio = float(np.median(closest)) / median if median > 0 else None
    return Privacy(
        exact_copies=copies[0],
        new_rows=new[0],
        distance_to_closest=float(np.median(closest)),
        nearest_record_share=share,
        distance_ratio=ratio,
        holdout_exact_copies=None if holdout is None else copies[1],
        holdout_new_rows=None if holdout is None else new[1],
        train_rows=len(train),
        synthetic_rows=len(synthetic),
        holdout_rows=0 if holdout is None else len(holdout),
    )


def _choose(size: int, most: int, rng: np.random.Generator) -> np.ndarray:
    if size <= most:
        return np.arange(size)
    return np.sort(rng.choice(size, most, replace=False))


class _RowCodes:
    """The tables as (numbers float64, category codes int64), the training table first."""

    def __init__(self, columns: Mapping[str, str], tables: Sequence[pd.DataFrame]) -> None:
        numbers: list[list[np.ndarray]] = [[] for _ in tables]
        codes: list[list[np.ndarray]] = [[] for _ in tables]
        self.is_datetime = np.array(
            [sdtype == "datetime" for sdtype in columns.values() if sdtype in NUMBERS], dtype=bool
        )
        for name, sdtype in columns.items():
            if sdtype in NUMBERS:
                column = [to_numbers(table[name], sdtype) for table in tables]
                into = numbers
            else:
                column, _ = to_codes([table[name] for table in tables])
                into = codes
            for part, values in zip(into, column, strict=True):
                part.append(values)
        self.tables = [
            (_stack(number, len(table), np.float64), _stack(code, len(table), np.int64))
            for number, code, table in zip(numbers, codes, tables, strict=True)
        ]
        train = self.tables[0][0]
        present = np.where(np.isnan(train), np.inf, train).min(axis=0, initial=np.inf)
        largest = np.where(np.isnan(train), -np.inf, train).max(axis=0, initial=-np.inf)
        known = np.isfinite(present)
        self.low = np.where(known, present, 0.0)
        span = np.where(known, largest, 0.0) - self.low
        self.span = np.where(span > 0, span, 1.0)
        self.has_missing = np.any(
            [np.isnan(numbers).any(axis=0) for numbers, _ in self.tables], axis=0
        )

    def points(self, which: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows, coordinates) for the city-block distance, and (rows, categories) as float64.

        A number x of a column with missing values is the point (x/2, (1-x)/2) and a missing
        value (-1/4, -1/4): two numbers stay |x - y| apart, and a missing value is 1 away from
        every number of the training range.
        """
        numbers, codes = self.tables[which]
        scaled = (numbers - self.low) / self.span
        coordinates = [scaled[:, ~self.has_missing]]
        for place in np.flatnonzero(self.has_missing):
            x = scaled[:, place]
            pair = np.column_stack([x / 2, (1 - x) / 2])
            pair[np.isnan(x)] = -0.25
            coordinates.append(pair)
        return np.hstack(coordinates), codes.astype(np.float64)


def _stack(arrays: list[np.ndarray], rows: int, dtype) -> np.ndarray:
    if not arrays:
        return np.empty((rows, 0), dtype=dtype)
    return np.column_stack(arrays).astype(dtype, copy=False)


def _nearest(
    asked: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    prefixes: Sequence[int],
) -> list[np.ndarray]:
    """For every asked row the distance to the closest of the first n known rows, for every n.

    Chunks of at most 4 million distances: three such arrays are 100 MB.
    """
    rows = len(asked[0])
    closest = [np.empty(rows) for _ in prefixes]
    chunk = max(1, 4_000_000 // len(known[0]))
    for start in range(0, rows, chunk):
        part = slice(start, start + chunk)
        distance = np.zeros((len(asked[0][part]), len(known[0])))
        if asked[0].shape[1]:
            distance += cdist(asked[0][part], known[0], "cityblock")
        categories = asked[1].shape[1]
        if categories:
            # The share of categories that differ, back to their number.
            differing = cdist(asked[1][part], known[1], "hamming")
            differing *= categories
            distance += differing
        for nearest, size in zip(closest, prefixes, strict=True):
            nearest[part] = distance[:, :size].min(axis=1)
    return closest


def _row_keys(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A 64-bit hash per row; numbers count to 12 significant digits."""
    rounded = _significant(numbers)
    missing = np.isnan(rounded)
    rounded[missing] = 0.0
    rows = pd.DataFrame(np.hstack([rounded, missing.astype(np.float64)]))
    rows = pd.concat([rows, pd.DataFrame(codes)], axis=1)
    return pd.util.hash_pandas_object(rows, index=False).to_numpy()


def _significant(numbers: np.ndarray) -> np.ndarray:
    """``numbers`` rounded to 12 significant digits; zero, infinities and NaN stay."""
    result = np.array(numbers, dtype=np.float64)
    plain = np.isfinite(result) & (result != 0)
    values = result[plain]
    places = SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(np.abs(values)))
    # Subnormal numbers would overflow the scale.
    scale = 10.0 ** np.clip(places, -300, 300)
    result[plain] = np.round(values * scale) / scale
    return result + 0.0  # -0.0 becomes 0.0


def _matches(encoded: _RowCodes, which: int, rows: np.ndarray) -> np.ndarray:
    """Which of ``rows`` of a table agree with a training row within the tolerance."""
    train_numbers, train_codes = encoded.tables[0]
    numbers, codes = (values[rows] for values in encoded.tables[which])
    tolerance = np.where(
        encoded.is_datetime, MATCH_TOLERANCE * encoded.span, MATCH_TOLERANCE * np.abs(numbers)
    )
    # Rows can only match inside a group that agrees in all categories and in what is missing.
    train_group, group = (
        _row_keys(np.empty((len(kept), 0)), _with_missing(values, kept))
        for values, kept in ((train_numbers, train_codes), (numbers, codes))
    )
    _, joined = np.unique(np.concatenate([train_group, group]), return_inverse=True)
    train_group, group = joined[: len(train_group)], joined[len(train_group) :]
    if numbers.shape[1] == 0:
        return np.isin(group, train_group)
    train_numbers, numbers = np.nan_to_num(train_numbers), np.nan_to_num(numbers)
    tolerance = np.nan_to_num(tolerance)

    # The candidates of a row are the training rows of its group that agree in the column with
    # the most distinct values: one range of the rows sorted by (group, value).
    sharp = int(np.argmax([len(np.unique(column)) for column in train_numbers.T]))
    values = np.unique(train_numbers[:, sharp])
    key = train_group * (len(values) + 1) + np.searchsorted(values, train_numbers[:, sharp])
    order = np.argsort(key, kind="stable")
    key = key[order]
    base = group * (len(values) + 1)
    low = base + np.searchsorted(values, numbers[:, sharp] - tolerance[:, sharp], "left")
    high = base + np.searchsorted(values, numbers[:, sharp] + tolerance[:, sharp], "right")
    first, last = np.searchsorted(key, low, "left"), np.searchsorted(key, high, "left")
    found = np.zeros(len(rows), dtype=bool)
    for start in _pieces(last - first, 500_000):
        count = (last - first)[start]
        asked = np.repeat(np.arange(len(rows))[start], count)
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        candidate = order[np.repeat(first[start], count) + offset]
        agree = np.ones(len(asked), dtype=bool)
        for place in range(numbers.shape[1]):
            distance = np.abs(train_numbers[candidate, place] - numbers[asked, place])
            agree &= distance <= tolerance[asked, place]
        found[asked[agree]] = True
    return found


def _with_missing(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.hstack([codes, np.isnan(numbers).astype(np.int64)])


def _pieces(counts: np.ndarray, most: int) -> Iterator[slice]:
    """Consecutive rows whose counts add up to about ``most`` (at least one row each)."""
    total = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + most, "right")))
        yield slice(start, stop)
        start = stop
