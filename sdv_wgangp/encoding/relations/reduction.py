"""Which relations follow from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sdv_wgangp.encoding.relations.relation import (
    AT_MOST,
    BELOW,
    DEPENDENCE,
    DIFFERENCES,
    EQUAL,
    EQUAL_IN_PART,
    LINEAR,
    MISSING,
    MISSING_TOGETHER,
    ONE_TO_ONE,
    PRODUCT,
    RATIO,
    SUM,
    ZERO,
    ZEROS_TOGETHER,
    Relation,
)


def without_redundant(
    relations: Sequence[Relation], lowest: Mapping[str, float]
) -> list[Relation]:
    """The relations that do not follow from others.

    Args:
        relations: All that were found.
        lowest: The smallest value of every column of numbers.
    """
    linear = _independent([r for r in relations if r.kind in (EQUAL, LINEAR, SUM) and r.in_all])
    exact = linear + _one_of_each([r for r in relations if r.kind in (PRODUCT, RATIO)])
    told = {frozenset(r.columns) for r in exact if r.in_all}
    kept = exact + [
        r
        for r in relations
        if not r.in_all
        and r.kind in (EQUAL_IN_PART, SUM)
        and not any(_makes_equal(other, r) for other in exact)
    ]
    kept += [r for r in relations if r.kind == DIFFERENCES and frozenset(r.columns) not in told]
    order = [
        r
        for r in relations
        if r.kind in (AT_MOST, BELOW)
        and not any(set(o.columns) == set(r.columns) for o in kept if o.in_all)
    ]
    kept += _edges(order)
    for one, together, rest in (
        (ZERO, ZEROS_TOGETHER, [r for r in relations if r.kind == ZERO]),
        (MISSING, MISSING_TOGETHER, [r for r in relations if r.kind == MISSING]),
        (DEPENDENCE, ONE_TO_ONE, [r for r in relations if _of_one(r)]),
    ):
        if one == ZERO:
            rest = [r for r in rest if not _makes_zero([*exact, *order], r, lowest)]
        if one == DEPENDENCE:
            rest = [r for r in rest if not any(set(r.columns) <= pair for pair in told)]
        classes, edges = _classes(rest)
        for members in classes:
            if together != ONE_TO_ONE:
                kept.append(Relation(together, tuple(members)))
            else:
                kept += [
                    Relation(together, (name, members[0]), levels=_levels(rest, name, members[0]))
                    for name in members[1:]
                ]
        kept += _edges(edges)
    of_two = [r for r in relations if r.kind == DEPENDENCE and len(r.columns) == 3]
    of_two = [r for r in of_two if not any(set(r.columns) <= each for each in told)]
    kept += [r for r in of_two if not _is_finer(r, of_two, relations)]
    return kept


def _of_one(relation: Relation) -> bool:
    return relation.kind == DEPENDENCE and len(relation.columns) == 2


def _independent(relations: Sequence[Relation]) -> list[Relation]:
    """Equalities, lines and sums that do not follow from those before, by elimination."""
    names = list(dict.fromkeys(name for r in relations for name in r.columns))
    place = {name: index for index, name in enumerate(names)}
    basis: list[np.ndarray] = []
    kept = []
    for relation in sorted(relations, key=lambda r: (EQUAL, LINEAR, SUM).index(r.kind)):
        row = np.zeros(len(names) + 1)
        row[place[relation.columns[0]]] = -1.0
        row[[place[name] for name in relation.columns[1:]]] = relation.factor
        row[-1] = relation.constant
        for other in basis:
            pivot = np.argmax(np.abs(other[:-1]))
            row = row - row[pivot] / other[pivot] * other
        if np.abs(row[:-1]).max() > 1e-6:
            basis.append(row / np.abs(row[:-1]).max())
            kept.append(relation)
    return kept


def _one_of_each(relations: Sequence[Relation]) -> list[Relation]:
    """Of products and ratios of the same columns the one that says most.

    That is one in all rows, a product, the one that is rounded to the most decimals.
    """
    best: dict[frozenset[str], tuple] = {}
    for r in relations:
        rank = (
            r.in_all,
            r.kind == PRODUCT,
            np.inf if r.decimals is None else r.decimals,
            r.fraction,
        )
        columns = frozenset(r.columns)
        if columns not in best or rank > best[columns][0]:
            best[columns] = rank, r
    return [relation for _, relation in best.values()]


def _makes_equal(exact: Relation, part: Relation) -> bool:
    """Whether a sum (a product), another part of which is 0 (1) at times, makes two equal."""
    if part.kind != EQUAL_IN_PART or exact.kind == LINEAR:
        return False
    first, *others = exact.columns
    if exact.kind == RATIO:
        others = others[:1]
    return set(part.columns) in [{first, other} for other in others]


def _makes_zero(
    others: Sequence[Relation], relation: Relation, lowest: Mapping[str, float]
) -> bool:
    """Whether "zero implies zero" follows from an order, a product, a line or a sum."""
    target, source = relation.columns
    pair = {target, source}
    for other in others:
        first, *rest = other.columns
        if other.kind in (AT_MOST, BELOW):
            follows = other.columns == (target, source) and lowest.get(target, -1.0) >= 0
        elif other.kind == PRODUCT:
            follows = first == target and source in rest
        elif other.kind == RATIO:
            follows = pair == {first, rest[0]}
        elif other.kind == SUM:
            positive = all(lowest.get(name, -1.0) >= 0 for name in rest)
            follows = first == source and target in rest and positive
        else:
            follows = pair == {first, *rest}
        if follows and other.in_all:
            return True
    return False


def _classes(relations: Sequence[Relation]) -> tuple[list[list[str]], list[Relation]]:
    """Columns that imply each other, and the implications between columns of different classes.

    Of a class only its first column is left in these.
    """
    pairs = {r.columns for r in relations}
    names = list(dict.fromkeys(name for r in relations for name in reversed(r.columns)))
    classes: list[list[str]] = []
    for name in names:
        for members in classes:
            if (name, members[0]) in pairs and (members[0], name) in pairs:
                members.append(name)
                break
        else:
            classes.append([name])
    first = {members[0] for members in classes}
    edges = [r for r in relations if set(r.columns) <= first]
    return [members for members in classes if len(members) > 1], edges


def _edges(relations: Sequence[Relation]) -> list[Relation]:
    """Relations of pairs without those that two others make (a transitive reduction)."""
    pairs = {r.columns for r in relations}
    names = {name for pair in pairs for name in pair}
    return [
        r
        for r in relations
        if not any(
            (r.columns[0], name) in pairs and (name, r.columns[1]) in pairs
            for name in names - set(r.columns)
        )
    ]


def _levels(relations: Sequence[Relation], target: str, source: str):
    return next(r.levels for r in relations if r.columns == (target, source))


def _is_finer(relation: Relation, of_two: Sequence[Relation], all_of: Sequence[Relation]) -> bool:
    """Whether coarser columns, which its sources determine, determine the same column."""
    alone = {r.columns for r in all_of if _of_one(r)}
    target, *sources = relation.columns

    def covers(coarse: str, fine: str) -> bool:
        return coarse == fine or ((coarse, fine) in alone and (fine, coarse) not in alone)

    for other in of_two:
        if other is relation or other.columns[0] != target:
            continue
        one, two = other.columns[1:]
        a, b = sources
        if (covers(one, a) and covers(two, b)) or (covers(one, b) and covers(two, a)):
            return True
    return False
