"""The search for exact relations between the columns of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.relations import counting
from sdv_wgangp.encoding.relations.candidates import (
    Limits,
    Summary,
    of_differences,
    of_pairs,
    of_triples,
)
from sdv_wgangp.encoding.relations.reduction import without_redundant
from sdv_wgangp.encoding.relations.relation import (
    AT_MOST,
    BELOW,
    DEPENDENCE,
    EQUAL,
    EQUAL_IN_PART,
    KINDS,
    PRODUCT,
    RATIO,
    SUM,
    Relation,
    Relations,
    _follows,
)
from sdv_wgangp.encoding.relations.significance import (
    Check,
    is_more_than_chance,
    rate_by_chance,
)
from sdv_wgangp.encoding.relations.values import NUMBER, Values

IN_A_SHARE = (EQUAL_IN_PART, SUM, PRODUCT, RATIO)
CHANCE_ROWS = 10_000  # of which the rate by chance is counted


def find_relations(
    frame: pd.DataFrame,
    *,
    categories: Collection[str] = (),
    least_fraction: float = 0.005,
    least_triple_fraction: float = 0.5,
    lift: float = 3.0,
    significance: float = 1e-3,
    least_rows: int = 10,
    most_differences: int = 8,
    dependences_of_two: bool = True,
    triples: bool = True,
    most_rows: int = 50_000,
    seed: int = 0,
) -> Relations:
    """Exact relations between columns: what no smooth distribution of the rows would hit.

    Candidates are found on one half of the rows, in random order, and tested on the other half
    (`significance`): that the first column of a relation is independent of the others must be
    rejected, at a level that holds for all candidates together. Functional dependences are those
    of Umesh et al., "Preserving logical and functional dependencies in synthetic tabular data"
    (arXiv 2409.17684, 2024); orders and sums are what Long et al., "Evaluating inter-column
    logical relationships in synthetic tabular data generation" (arXiv 2502.04055, 2025) ask for.

    Args:
        frame: Rows; numbers, dates, truth values and anything that can be hashed.
        categories: Columns of numbers that stand for levels: they equal and determine others,
            but are not added up or ordered.
        least_fraction: Of the rows, in which two columns are equal.
        least_triple_fraction: Of the rows, in which a column is the sum, product or ratio of two.
        lift: How many times more often than by chance, and than any other difference, what holds
            in a share has to hold.
        significance: Chance that anything is told that is no relation.
        least_rows: Of the table, in which a relation has to hold.
        most_differences: Values that two columns may differ by to differ by few.
        dependences_of_two: Whether pairs of columns that determine a third are looked for; its
            time grows with the cube of the columns.
        triples: The same for sums, products and ratios of three columns of numbers.
        most_rows: Of either half, at most.
        seed: Of the halves.

    Returns:
        The relations that do not follow from others.

    Raises:
        ValueError: two columns have the same name, a category is no column, or an argument is
            out of its range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> net, tax = rng.integers(1, 1000, (2, 500))
        >>> paid = np.where(rng.random(500) < 0.3, net, rng.integers(1, 1000, 500))
        >>> table = pd.DataFrame({"net": net, "tax": tax, "total": net + tax, "paid": paid})
        >>> print(*find_relations(table), sep=chr(10))
        total = net + tax in all 500 rows
        paid = net in 29.6 % of 500 rows
        net < total in all 500 rows
        tax < total in all 500 rows
    """
    _check(frame, categories, least_fraction, least_triple_fraction, significance, lift, most_rows)
    limits = Limits(least_fraction, least_triple_fraction, lift, most_differences)
    values = Values.read(frame, categories)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    half = len(frame) // 2
    searched, held_out = order[:half][:most_rows], order[half:][:most_rows]
    found: list[Relation] = []
    tested = 0
    if half and len(values.names):
        trial = _Trial(values, searched, held_out, limits, rng)
        summary = Summary(values, np.ascontiguousarray(trial.rows[0]))
        trial.add(of_pairs(summary, limits))
        trial.add(of_differences(summary, limits))
        if triples:
            trial.add(of_triples(summary, limits))
        trial.add_dependences(summary, dependences_of_two)
        found, tested = trial.run(significance)
    whole = [_counted(relation, values, frame) for relation in found]
    whole = [r for r in whole if r.held >= least_rows and (r.in_all or r.kind in IN_A_SHARE)]
    whole = _without_chains(whole, values, least_fraction)
    numbers = {n: v for n, v, k in zip(values.names, values.numbers, values.kinds, strict=True)
               if k == NUMBER}  # fmt: skip
    used = {name for r in whole for name in r.columns} & numbers.keys()
    lowest = {name: float(np.nanmin(numbers[name])) for name in used}
    kept = [r if r.rows else _counted(r, values, frame) for r in without_redundant(whole, lowest)]
    kept.sort(key=lambda r: (KINDS.index(r.kind), -r.fraction))
    return Relations(tuple(kept), len(frame), tested, significance, tuple(categories), values.unit)


def _check(
    frame, categories, least_fraction, least_triple_fraction, significance, lift, most_rows
):
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise ValueError(f"two columns are called {twice[0]!r}: rename one of them")
    absent = [name for name in categories if name not in frame.columns]
    if absent:
        raise ValueError(f"categories: {absent[0]!r} is no column of the table")
    fractions = {
        "least_fraction": least_fraction,
        "least_triple_fraction": least_triple_fraction,
        "significance": significance,
    }
    for name, fraction in fractions.items():
        if not 0 < fraction <= 1:
            raise ValueError(f"{name}: give a number above 0 and up to 1, not {fraction!r}")
    if lift < 1:
        raise ValueError(f"lift: give a number of at least 1, not {lift!r}")
    if most_rows < 1:
        raise ValueError(f"most_rows: give a number of at least 1, not {most_rows!r}")


class _Trial:
    """Candidates, and their test on the rows set aside."""

    def __init__(
        self,
        values: Values,
        searched: np.ndarray,
        held_out: np.ndarray,
        limits: Limits,
        rng: np.random.Generator,
    ) -> None:
        self.values, self.limits, self.rng = values, limits, rng
        self.searched, self.held_out = searched, held_out
        self.rows = values.numbers[:, searched], values.numbers[:, held_out]
        self.place = {name: index for index, name in enumerate(values.names)}
        self.candidates: list[tuple[Relation, Check, list[np.ndarray], list[np.ndarray]]] = []

    def add(self, relations: Iterable[Relation]) -> None:
        for relation in relations:
            places = [self.place[name] for name in relation.columns]
            searched, held_out = ([part[place] for place in places] for part in self.rows)
            self.candidates.append((relation, relation.check, searched, held_out))

    def add_dependences(self, summary: Summary, of_two: bool) -> None:
        """Columns that others determine in the rows searched."""
        codes = np.empty(
            (len(self.place), len(self.searched) + len(self.held_out)), dtype=np.int32
        )
        both = np.concatenate([self.searched, self.held_out])
        for place, numbers in enumerate(self.values.numbers):
            codes[place] = pd.factorize(numbers[both], use_na_sentinel=True)[0]
        cut = len(self.searched)
        head = np.ascontiguousarray(codes[:, :cut])
        levels = summary.distinct + (summary.known < cut)
        targets = summary.is_first & (levels > 1)
        found = counting.find_dependences(
            head, targets & (2 * levels <= cut), targets, 0.5, of_two,
            counting.threads_available(),
        )  # fmt: skip
        for target, *sources in found:
            sources = [source for source in sources if source >= 0]
            names = tuple(self.values.names[place] for place in (target, *sources))
            expected = _expected(codes[sources], codes[target], cut)
            own = codes[target].astype(float)
            searched, held_out = [own[:cut], expected[:cut]], [own[cut:], expected[cut:]]
            self.candidates.append(
                (Relation(DEPENDENCE, names), _follows_codes, searched, held_out)
            )

    def run(self, significance: float) -> tuple[list[Relation], int]:
        """The candidates that are more than chance, and how many were tested."""
        level = significance / (2 * max(len(self.candidates), 1))
        found = []
        for relation, check, searched, held_out in self.candidates:
            counted, held = check(searched)
            partly = relation.kind in IN_A_SHARE and not held[counted].all()
            lift = self.limits.lift if partly else 1.0
            some = [column[:CHANCE_ROWS] for column in searched]
            chance = rate_by_chance(check, some, level, lift=lift, rng=self.rng)
            if chance >= 1:
                continue
            counted, held = check(held_out)
            rows, hits = int(counted.sum()), int((counted & held).sum())
            if relation.kind in IN_A_SHARE:
                triple = relation.kind != EQUAL_IN_PART
                least = self.limits.least_triple_fraction if triple else self.limits.least_fraction
                holds = hits >= least * rows
            else:
                holds = hits == rows or relation.kind == EQUAL
            if holds and is_more_than_chance(hits, rows, chance, level):
                found.append(relation)
        return found, len(self.candidates)


def _expected(sources: np.ndarray, target: np.ndarray, cut: int) -> np.ndarray:
    """The code of the target that goes with the sources in the first rows; NaN for new ones."""
    _, joint = np.unique(sources, axis=1, return_inverse=True) if len(sources) > 1 else (
        None, np.unique(sources[0], return_inverse=True)[1],
    )  # fmt: skip
    result = np.full(joint.max() + 1, np.nan)
    result[joint[:cut]] = target[:cut]
    return result[joint]


def _follows_codes(columns) -> tuple[np.ndarray, np.ndarray]:
    own, expected = columns
    return ~np.isnan(expected), own == expected


def _counted(relation: Relation, values: Values, frame: pd.DataFrame) -> Relation:
    """The relation with its counts over the whole table, and the kind that these make it."""
    if relation.kind == DEPENDENCE or relation.levels is not None:
        first, *others = relation.columns
        levels = relation.levels
        if levels is None:
            levels = frame[[*others, first]].drop_duplicates(others).reset_index(drop=True)
        relation = replace(relation, levels=levels)
        counted, held = _follows(relation, frame)
    else:
        columns = [values.numbers[values.names.index(name)] for name in relation.columns]
        counted, held = relation.check(columns)
        if relation.kind == AT_MOST and not (columns[0] == columns[1]).any():
            relation = replace(relation, kind=BELOW)
        elif relation.kind == EQUAL and not held[counted].all():
            zeros = bool(((columns[0] == 0) & (columns[1] == 0)).any())
            relation = replace(relation, kind=EQUAL_IN_PART, has_zeros=zeros)
            counted, held = relation.check(columns)
        elif relation.kind == EQUAL_IN_PART:
            zeros = bool(((columns[0] == 0) & (columns[1] == 0)).any())
            relation = replace(relation, has_zeros=zeros)
    return replace(relation, rows=int(counted.sum()), held=int((counted & held).sum()))


def _without_chains(
    relations: Sequence[Relation], values: Values, least_fraction: float
) -> list[Relation]:
    """Without columns that are equal in a share only where both equal a third one.

    Pairs that are equal more often are taken first, so they are what the others follow from.
    """
    part = sorted((r for r in relations if r.kind == EQUAL_IN_PART), key=lambda r: -r.held)
    kept: list[Relation] = []
    same: dict[frozenset[str], np.ndarray] = {}
    for relation in part:
        one, other = relation.columns
        _, held = relation.check([values.numbers[values.names.index(n)] for n in (one, other)])
        rest = held.copy()
        for name in {name for pair in same for name in pair} - {one, other}:
            pairs = frozenset((one, name)), frozenset((name, other))
            if all(pair in same for pair in pairs):
                rest &= ~(same[pairs[0]] & same[pairs[1]])
        if rest.sum() >= max(least_fraction * relation.rows, relation.held / 10):
            kept.append(relation)
            same[frozenset((one, other))] = held
    return [r for r in relations if r.kind != EQUAL_IN_PART or r in kept]
