"""What a report says, as plain records: made by `report`, rendered by `text`, `page` and `json`.

Every record holds numbers, text and other records alone. Values of the tables are in them only as
far as `protection` lets them through, so no rendering can show more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1  # of the layout of these records, for readers of the JSON file
SMALLEST = 10  # real rows that a level, a quantile or a cell must stand for to be shown
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

GOOD, FAIR, BAD, UNKNOWN = "good", "fair", "bad", "unknown"


@dataclass(frozen=True)
class Measure:
    """One score, beside what real rows score in the place of the synthetic ones.

    ``kind`` is "score" (in [0, 1] or an AUC, R2), "share" (of rows) or "number"; ``note`` says
    when the value does not mean what it seems to, and ``instead`` what is shown in its place.
    """

    key: str
    label: str
    value: float | None
    reference: float | None = None
    kind: str = "score"
    meaning: str = ""
    note: str = ""
    instead: str = ""


@dataclass(frozen=True)
class Section:
    """Measures that belong together."""

    key: str
    title: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Verdict:
    """One sentence on fidelity, utility or privacy (``key``) and what to do about it.

    ``grade`` is "good", "fair", "bad" or "unknown"; ``remedy`` is empty where nothing is to be
    done.
    """

    key: str
    grade: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """A sentence about something that deserves a look."""

    key: str
    sentence: str


@dataclass(frozen=True)
class Summary:
    """One column of one table.

    ``missing`` and ``zeros`` are shares of all rows. ``mean``, ``sd`` and ``quantiles`` (at
    `QUANTILES`; None where fewer than `SMALLEST` rows lie beyond) are rounded; those of datetimes
    are text. They are None for categories and for columns whose values are not shown.
    """

    rows: int
    distinct: int
    missing: float
    zeros: float | None = None
    mean: float | str | None = None
    sd: float | str | None = None
    quantiles: tuple[float | str | None, ...] = ()


@dataclass(frozen=True)
class Bars:
    """Shares of the non-missing rows with each level, most frequent real level first.

    ``others`` real levels (and those that no real row has) are counted in the last bar together.
    """

    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    others: int = 0


@dataclass(frozen=True)
class Histogram:
    """Shares of the non-missing rows between ``edges``, which are round numbers.

    ``axis`` is "linear", "log" (the edges are values all the same) or "datetime" (days since
    1970). What lies beyond is gathered in the outer bins where ``gathered``.
    """

    edges: tuple[float, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]
    axis: str = "linear"
    gathered: bool = False


@dataclass(frozen=True)
class Column:
    """One column: its score by SDMetrics, what it looks like, and why values are not shown.

    ``score`` is None where the column is not scored; ``hidden`` is empty where values are shown.
    """

    name: str
    sdtype: str
    score: float | None
    reference: float | None
    metric: str
    hidden: str
    real: Summary
    synthetic: Summary
    figure: Bars | Histogram | None = None


@dataclass(frozen=True)
class Cells:
    """A joint table of two categories: shares of rows, None where too few rows stand behind."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    real: tuple[tuple[float | None, ...], ...]
    synthetic: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Boxes:
    """A number for each level of a category: quantiles .05, .25, .5, .75, .95 or None."""

    number: str
    levels: tuple[str, ...]
    real: tuple[tuple[float | None, ...], ...]
    synthetic: tuple[tuple[float | None, ...], ...]
    is_datetime: bool = False


@dataclass(frozen=True)
class Scatter:
    """Two numbers on a grid: ``(x, y, share of rows)`` of every cell of enough rows.

    ``x`` and ``y`` are the edges of the cells; ``x_axis`` and ``y_axis`` are as in `Histogram`.
    ``withheld`` is the share of the real and the synthetic rows in cells of too few rows.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    x_axis: str
    y_axis: str
    real: tuple[tuple[int, int, float], ...]
    synthetic: tuple[tuple[int, int, float], ...]
    withheld: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two columns: SDMetrics' score of their trend, and whether its default counts them."""

    first: str
    second: str
    score: float
    reference: float | None
    counts_by_default: bool
    figure: Cells | Boxes | Scatter | None = None


@dataclass(frozen=True)
class Associations:
    """Pearson correlation of numbers, Cramer's V of other pairs, ``[columns][columns]``."""

    columns: tuple[str, ...]
    real: tuple[tuple[float | None, ...], ...]
    synthetic: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Rare:
    """How many levels of a category are found again, the rare ones apart.

    ``frequent`` and ``rare`` are numbers of real levels, of at least and of fewer than `SMALLEST`
    rows; ``..._synthetic`` and ``..._holdout`` how many of these the other tables have.
    """

    column: str
    frequent: int
    frequent_synthetic: int
    frequent_holdout: int | None
    rare: int
    rare_synthetic: int
    rare_holdout: int | None
    rows: float
    rows_synthetic: float


@dataclass(frozen=True)
class Distances:
    """Quantiles of the distance to the closest training row."""

    fractions: tuple[float, ...]
    synthetic: tuple[float, ...]
    holdout: tuple[float, ...] | None


@dataclass(frozen=True)
class Violation:
    """Values of a column that break what the metadata or the real rows say.

    ``count`` is of synthetic rows; ``share``, ``real`` and ``holdout`` are shares of the rows.
    """

    column: str
    kind: str
    count: int
    fraction: float
    real: float
    holdout: float | None


@dataclass(frozen=True)
class Relation:
    """A relation between columns that the real rows hold: all of them, or a share (``real``).

    ``rows`` are the real rows that say something about it. ``real``, ``synthetic`` and ``holdout``
    are shares of such rows that keep it, None where there are none; 1.0 is all of them.
    """

    kind: str
    columns: tuple[str, ...]
    statement: str
    rows: int
    real: float
    synthetic: float | None
    holdout: float | None = None


@dataclass(frozen=True)
class Mode:
    """A level or a cluster (``kind``) that came with less than half its share, beyond chance.

    ``real`` and ``synthetic`` are shares of the rows, ``rows`` the real ones that stand for it.
    """

    kind: str
    columns: tuple[str, ...]
    statement: str
    rows: int
    real: float
    synthetic: float


@dataclass(frozen=True)
class Line:
    """One score of sequences, of every table of them by its name: None where unknown."""

    key: str
    label: str
    kind: str
    meaning: str
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class SequenceCurve:
    """A mean over sequences by lag; ``error`` is the mean absolute difference.

    ``kind`` is "levels", "changes" or "absolute changes" (autocorrelation), or "categories"
    (how often one is that of so many rows before).
    """

    column: str
    kind: str
    lags: tuple[int, ...]
    real: tuple[float | None, ...]
    synthetic: tuple[float | None, ...]
    holdout: tuple[float | None, ...] | None
    error: float | None


@dataclass(frozen=True)
class Kept:
    """What all real rows or steps keep, and the shares of the others that do."""

    statement: str
    synthetic: float | None
    holdout: float | None


@dataclass(frozen=True)
class Sequences:
    """Rows as sequences.

    ``counts`` and ``mean_lengths`` are of "real", "synthetic", "holdout" and the baselines;
    ``columns`` is ``key of a line -> column -> value`` of the synthetic sequences; ``lengths``
    None where there are too few.
    """

    key: str
    index: str | None
    context: tuple[str, ...]
    counts: Mapping[str, int]
    mean_lengths: Mapping[str, float]
    window: int
    lines: tuple[Line, ...]
    columns: Mapping[str, Mapping[str, float]]
    curves: tuple[SequenceCurve, ...]
    lengths: Histogram | None
    rules: tuple[Kept, ...]


@dataclass(frozen=True)
class Telling:
    """How much AUC boosted trees lose without a column."""

    column: str
    lost: float


@dataclass(frozen=True)
class Detection:
    """How the detection was measured."""

    rows: int
    aucs: tuple[float, ...]
    telling: tuple[Telling, ...]


@dataclass(frozen=True)
class Losses:
    """Loss curves: values at ``epochs`` of each series."""

    epochs: tuple[float | None, ...]
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class FileStamp:
    """A file that went into the report."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """Where the tables and scores come from, as far as it is known."""

    created: str
    seed: int
    versions: Mapping[str, str]
    files: tuple[FileStamp, ...] = ()
    model: Mapping[str, str] | None = None
    parameters: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Content:
    """Everything that a report says.

    ``alarm`` is empty, or the one sentence that outweighs all others. ``panels`` are the records
    of `panels.PANELS`, by key.
    """

    title: str
    rows: Mapping[str, int]
    scored: int
    target: str | None
    alarm: str
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...]
    columns: tuple[Column, ...]
    left_out: Mapping[str, str]
    pairs: tuple[Pair, ...]
    associations: Associations | None
    rare: tuple[Rare, ...]
    distances: Distances
    violations: tuple[Violation, ...]
    relations: tuple[Relation, ...]
    modes: tuple[Mode, ...]
    sequences: Sequences | None
    detection: Detection
    losses: Losses | None
    panels: Mapping[str, Any]
    protection: str
    provenance: Provenance

    def measures(self) -> Iterator[Measure]:
        """All measures, in the order of the sections."""
        for section in self.sections:
            yield from section.measures

    def measure(self, key: str) -> Measure:
        """The measure of that key, such as ``"quality.overall"``.

        Raises:
            KeyError: this report has none.
        """
        for measure in self.measures():
            if measure.key == key:
                return measure
        raise KeyError(f"the report has no measure {key!r}")

    def verdict(self, key: str) -> Verdict:
        """The verdict on "fidelity", "utility", "privacy", "sequences" or, where some are broken
        or lost, "relations" and "modes".

        Raises:
            KeyError: this report has none.
        """
        for verdict in self.verdicts:
            if verdict.key == key:
                return verdict
        raise KeyError(f"the report has no verdict on {key!r}")

    def describe(self) -> str:
        """Rows and columns in one sentence."""
        held = f", {self.rows['holdout']:,} held-out" if "holdout" in self.rows else ""
        return (
            f"{self.rows['real']:,} real{held} and {self.rows['synthetic']:,} synthetic rows, "
            f"{self.scored} columns scored"
        )

    def describe_real(self) -> str:
        """Rows of real tables, and columns, in one sentence."""
        held = f" and {self.rows['holdout']:,} held-out" if "holdout" in self.rows else ""
        return f"{self.rows['real']:,} real{held} rows, {self.scored} columns scored"
