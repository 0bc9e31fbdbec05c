"""All scores of synthetic sequences, beside held-out ones and two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.scores.sequences import dependence, marginals, order
from sdv_wgangp.reporting.scores.sequences.baselines import copula_over_time, independent_rows
from sdv_wgangp.reporting.scores.sequences.detection import KINDS, detection, window_length
from sdv_wgangp.reporting.scores.sequences.order import Rule
from sdv_wgangp.reporting.scores.sequences.panel import Panel, read_panels
from sdv_wgangp.reporting.scores.sequences.privacy import Nearness, nearness
from sdv_wgangp.reporting.scores.sequences.utility import attribute_of_sequence, next_row

BASELINES = ("independent_rows", "copula_over_time")


@dataclass(frozen=True)
class Subject:
    """The scores of one table of sequences.

    Attributes:
        sequences, rows: Of it.
        values: By key (`KEYS`); what cannot be measured is not there.
        columns: ``key -> column -> value`` behind the means.
        rules: What all real rows or steps keep, and how often this table does.
        aucs: Of each detection, fold by fold.
        curves: ``kind -> column -> [lags]`` (`dependence.curves`).
    """

    sequences: int
    rows: int
    values: Mapping[str, float]
    columns: Mapping[str, Mapping[str, float]] = field(repr=False)
    rules: tuple[Rule, ...] = field(repr=False)
    aucs: Mapping[str, tuple[float, ...]] = field(repr=False)
    curves: Mapping[str, Mapping[str, tuple[float, ...]]] = field(repr=False)


@dataclass(frozen=True)
class SequenceScores:
    """Scores of synthetic sequences, and of others in their place.

    Attributes:
        subjects: ``"synthetic"``, ``"holdout"`` (where given) and the baselines.
        sequences: Of the real table.
        curves: Of the real sequences, as of a `Subject`.
        lags: Of the curves.
        window: Rows of the windows that trees see.
        seed: Of everything random.
    """

    subjects: Mapping[str, Subject]
    sequences: int
    curves: Mapping[str, Mapping[str, tuple[float, ...]]] = field(repr=False)
    lags: tuple[int, ...]
    window: int
    seed: int

    def __getitem__(self, key: str) -> float | None:
        """The value of the synthetic sequences, or None where it cannot be measured."""
        return self.subjects["synthetic"].values.get(key)

    def to_dict(self) -> dict[str, Any]:
        """Everything as dictionaries and lists, for JSON; what is unknown is None."""
        return _known(asdict(self))


def score_sequences(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    sequence_key: str,
    sequence_index: str | None = None,
    context_columns: Sequence[str] = (),
    holdout: pd.DataFrame | None = None,
    train: pd.DataFrame | None = None,
    columns: Mapping[str, str] | None = None,
    baselines: Sequence[str] = BASELINES,
    detections: Sequence[str] = KINDS,
    window: int = 24,
    most_sequences: int = 10_000,
    seed: int = 0,
    judges: bool = False,
    known: SequenceScores | None = None,
) -> SequenceScores:
    """Score synthetic sequences against real ones.

    Args:
        real: Rows that the synthetic ones are compared with, usually those of the fit.
        synthetic: Rows with the same columns.
        sequence_key: The column that says which rows are one sequence. One long series has none:
            cut it into windows and number them.
        sequence_index: The column of numbers or dates that orders them.
        context_columns: What is constant in a sequence.
        holdout: Real sequences that the synthesizer never saw, by key or, of one long series,
            by time. They are scored in the place of the synthetic ones, and privacy and
            utility need them.
        train: Rows of the fit, for privacy, where ``real`` are others.
        columns: ``name -> sdtype``; without it what the types of ``real`` suggest.
        baselines: Of `BASELINES`, fitted to ``real``.
        detections: Kinds of features that trees are given (`detection.detection`).
        window: Rows of the windows that trees and judges see, at most.
        most_sequences: Of each table; of more a sample is scored.
        seed: Of everything random.
        judges: Also the recurrent judges and Context-FID, which take minutes.
        known: Scores of other synthetic sequences beside the same real and held-out ones, with the
            same arguments: those of held-out sequences and baselines are taken from them.

    Returns:
        `SequenceScores`: a value that is not there could not be measured.

    Raises:
        ValueError: A column is missing, varies where it may not, or holds other values than its
            type says, or a baseline is unknown; the message names it.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def walks(count):
        ...     who = np.repeat(np.arange(count), 8)
        ...     steps = rng.normal(size=(count, 8))
        ...     return pd.DataFrame({"who": who, "x": steps.cumsum(1).ravel()})
        >>> scores = score_sequences(walks(40), walks(40), sequence_key="who", baselines=())
        >>> scores["lengths.ks"], scores["marginals.shape"] < 0.2
        (0.0, True)
    """
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise ValueError(f"unknown baseline {unknown[0]!r}: give some of {', '.join(BASELINES)}")
    tables = {"real": real, "synthetic": synthetic}
    if holdout is not None:
        tables["holdout"] = holdout
    if train is not None:
        tables["train"] = train
    naming = sequence_key, sequence_index, context_columns, columns
    rng = np.random.default_rng(seed)
    if known is None and baselines:
        fitted = read_panels({"real": real}, *naming)["real"].at_most(most_sequences, rng)
        make = {"independent_rows": independent_rows, "copula_over_time": copula_over_time}
        tables |= {name: make[name](fitted, sequence_key, seed=seed) for name in baselines}
    panels = {
        name: panel.at_most(most_sequences, rng)
        for name, panel in read_panels(tables, *naming).items()
    }
    base, test = panels.pop("real"), panels.get("holdout")
    fitted = panels.pop("train", base)
    lags = dependence.lags_of(base)
    curves = dependence.curves(base, lags)
    if known is not None:
        panels = {"synthetic": panels["synthetic"]}
    reference = _Reference(
        curves=curves,
        cross=tuple(dependence.cross_correlation(base, lag) for lag in (0, 1)),
        pooled=dependence.pooled_correlation(base),
    ) if len(_numbers(base)) else _Reference(curves)  # fmt: skip
    kept = order.row_relations(base, list(panels.values()))
    subjects = {}
    for (name, panel), relations in zip(panels.items(), kept, strict=True):
        judged = _measure(base, panel, reference, lags, relations, window, seed, detections)
        if name == "holdout":
            _add_privacy(judged, nearness(fitted, panel, None, window, seed=seed))
        else:
            _add_privacy(judged, nearness(fitted, panel, test, window, seed=seed))
        if test is not None:
            _add_utility(judged, base if name == "holdout" else panel, test, seed)
        if judges:
            _add_judges(judged, base, panel, window, seed)
        subjects[name] = Subject(
            len(panel), panel.rows, judged.values, judged.columns, tuple(judged.rules),
            judged.aucs, _plain(judged.curves),
        )  # fmt: skip
    if known is not None:
        subjects = {**known.subjects, **subjects}
    return SequenceScores(
        subjects,
        len(base),
        _plain(curves),
        tuple(lags.tolist()),
        window_length(base, window),
        seed,
    )


def _plain(curves: dependence.Curves) -> dict[str, dict[str, tuple[float, ...]]]:
    return {
        kind: {name: tuple(values.tolist()) for name, values in columns.items()}
        for kind, columns in curves.items()
    }


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_known(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _numbers(panel: Panel) -> list[str]:
    return [name for name in panel.numbers if name != panel.index]


@dataclass(frozen=True)
class _Reference:
    """What of the real sequences every comparison needs."""

    curves: dependence.Curves
    cross: tuple[np.ndarray, ...] = ()
    pooled: np.ndarray | None = None


@dataclass
class _Found:
    values: dict[str, float] = field(default_factory=dict)
    columns: dict[str, dict[str, float]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    aucs: dict[str, tuple[float, ...]] = field(default_factory=dict)
    curves: dependence.Curves = field(default_factory=dict)

    def add(self, key: str, value: float | None) -> None:
        if value is not None and np.isfinite(value):
            self.values[key] = float(value)

    def mean(self, key: str, columns: Mapping[str, float]) -> None:
        """A mean over columns, and what it is the mean of."""
        known = {name: value for name, value in columns.items() if np.isfinite(value)}
        if known:
            self.columns[key] = known
            self.values[key] = float(np.mean(list(known.values())))


def _measure(
    real: Panel,
    other: Panel,
    reference: _Reference,
    lags: np.ndarray,
    relations: list[Rule],
    window: int,
    seed: int,
    detections: Sequence[str],
) -> _Found:
    found = _Found()
    found.mean("marginals.shape", marginals.shapes(real, other))
    found.mean("marginals.distance", marginals.distances(real, other))
    found.mean("marginals.per_sequence", marginals.categories_per_sequence(real, other))
    found.curves = dependence.curves(other, lags)
    errors = dependence.curve_errors(reference.curves, found.curves)
    for kind, columns in errors.items():
        found.mean(f"autocorrelation.{kind.replace(' ', '_')}", columns)
    for lag, matrix in enumerate(reference.cross):
        off = dependence.matrix_error(matrix, dependence.cross_correlation(other, lag), lag)
        found.add(f"cross_correlation.lag_{lag}", off)
    if reference.pooled is not None:
        off = dependence.matrix_error(reference.pooled, dependence.pooled_correlation(other), 0)
        found.add("cross_correlation.pooled", off)
    found.mean("transitions.next_row", dependence.transitions(real, other, seed))
    for kind, columns in dependence.msas(real, other).items():
        found.mean(f"msas.{kind}", columns)
    found.add("lengths.ks", marginals.ks(real.lengths.astype(float), other.lengths.astype(float)))
    found.add("lengths.w1", marginals.length_distance(real, other))
    found.mean("attributes.jsd", marginals.attributes(real, other))
    found.mean("attributes.effects", marginals.attribute_effects(real, other))
    if real.attribute_numbers or real.attribute_codes:
        found.add("attributes.varying", other.varying)
    for kind, told in detection(real, other, seed, window, detections).items():
        found.add(f"detection.{kind}", told.score)
        found.aucs[kind] = told.aucs
    for kind, value in order.index_steps(real, other).items():
        found.add(f"order.{kind}", value)
    for key, rules in (("trends", order.trends(real, other)), ("relations", relations)):
        if rules:
            found.values[f"order.{key}"] = float(np.mean([rule.kept for rule in rules]))
            found.rules += rules
    return found


def _add_privacy(found: _Found, near: Nearness) -> None:
    found.add("privacy.nearest_share", near.nearest_share)
    found.add("privacy.distance_ratio", near.distance_ratio)
    found.add("privacy.copies", near.copies)


def _add_utility(found: _Found, learned: Panel, test: Panel, seed: int) -> None:
    found.mean("utility.next_row", next_row(learned, test, seed))
    found.mean("utility.attribute", attribute_of_sequence(learned, test, seed))


def _add_judges(found: _Found, real: Panel, other: Panel, window: int, seed: int) -> None:
    # torch is slow to import, and nothing else here needs it.
    from sdv_wgangp.reporting.scores.sequences.judges import context_fid, recurrent_judge

    found.add("judges.gru", recurrent_judge(real, other, window=window, seed=seed))
    found.add("judges.gru_64", recurrent_judge(real, other, 64, window=window, seed=seed))
    found.add("judges.context_fid", context_fid(real, other, window=window, seed=seed))
