"""What real sequences keep without exception: order in time, orders and identities of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdv_wgangp.encoding.relations import find_relations
from sdv_wgangp.reporting.scores.sequences.marginals import ks
from sdv_wgangp.reporting.scores.sequences.panel import Panel

LEAST_STEPS = 50  # that a rule of all real steps must stand for


@dataclass(frozen=True)
class Rule:
    """What all real rows keep, or all steps to the next row (``over_time``).

    ``kept`` is the share of the others' that do.
    """

    statement: str
    kept: float
    over_time: bool = False


def index_steps(real: Panel, other: Panel) -> dict[str, float]:
    """Of the index: shares of steps ``back`` and without change (``repeats``); `ks` of steps.

    Returns:
        Empty without an index, or where no sequence has two rows.
    """
    if real.index is None:
        return {}
    steps = []
    for panel in (real, other):
        rows = panel.before(1)
        values = panel.numbers[real.index]
        steps.append(values[rows + 1] - values[rows])
    if not len(steps[0]) or not len(steps[1]):
        return {}
    return {
        "back": float((steps[1] < 0).mean()),
        "repeats": float((steps[1] == 0).mean()),
        "steps": ks(*steps),
    }


def row_relations(real: Panel, others: Sequence[Panel]) -> list[list[Rule]]:
    """Relations of columns that all real rows keep, and how often the rows of others do.

    Returns:
        For each of the others a rule for each relation: equalities, orders, sums, dependences.
    """
    names = [*real.numbers, *real.codes]
    found = find_relations(real.frame[names], categories=list(real.codes))
    kept = [place for place, relation in enumerate(found) if relation.in_all]
    statements = [relation.statement for relation in found]
    result = []
    for other in others:
        rates = found.rates(other.frame[names])
        result.append([Rule(statements[k], rates[k]) for k in kept if np.isfinite(rates[k])])
    return result


def trends(real: Panel, other: Panel) -> list[Rule]:
    """Columns that never fall or never rise in real sequences, and how often others do as they do.

    Example:
        >>> import pandas as pd
        >>> from sdv_wgangp.reporting.scores.sequences.panel import read_panels
        >>> real = pd.DataFrame({"who": 1, "age": range(60)})
        >>> other = pd.DataFrame({"who": 1, "age": [0, 1, 0, 3, 3]})
        >>> panels = read_panels({"real": real, "other": other}, "who")
        >>> trends(panels["real"], panels["other"])
        [Rule(statement='age rises with every row', kept=0.5, over_time=True)]
    """
    found = []
    tests = (
        ("rises with every row", lambda steps: steps > 0),
        ("never falls", lambda steps: steps >= 0),
        ("falls with every row", lambda steps: steps < 0),
        ("never rises", lambda steps: steps <= 0),
    )
    for name in real.numbers:
        steps = []
        for panel in (real, other):
            rows = panel.before(1)
            moved = panel.numbers[name][rows + 1] - panel.numbers[name][rows]
            steps.append(moved[np.isfinite(moved)])
        # A constant says nothing, whatever rule it keeps.
        if len(steps[0]) < LEAST_STEPS or not len(steps[1]) or not steps[0].any():
            continue
        for text, test in tests:
            if test(steps[0]).all():
                found.append(Rule(f"{name} {text}", float(test(steps[1]).mean()), True))
                break
    return found
