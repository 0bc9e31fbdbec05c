"""Whole rows in the plane of their main components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sdv_wgangp.reporting.data import SMALLEST
from sdv_wgangp.reporting.figures import svg
from sdv_wgangp.reporting.formats import percent
from sdv_wgangp.reporting.panels.panel import Panel
from sdv_wgangp.reporting.protection import Levels
from sdv_wgangp.reporting.scores import NUMBERS, to_numbers

POINTS = 1_000  # of each table
STEPS = 60  # of the grid that points are rounded to
ONE_HOT_LEVELS = 20


@dataclass(frozen=True)
class Plane:
    """Rows of both tables in the plane of the real rows' two main components.

    Points lie on a grid of 60 steps over [0, 1], the outermost .5 % at its edge; ``explained`` are
    the shares of variance.
    """

    explained: tuple[float, float]
    real: tuple[tuple[float, float], ...]
    synthetic: tuple[tuple[float, float], ...]


def plane(
    real: pd.DataFrame, synthetic: pd.DataFrame, columns: Mapping[str, str], seed: int = 0
) -> Plane | None:
    """Rows of both tables in the plane of the real rows' two main components.

    Numbers and dates count as their ranks among the real values, categories as 0 and 1 for each
    of their most frequent levels, which together weigh as much as one number; all are centred and
    scaled by the real rows.

    Args:
        real, synthetic: The tables; at most a thousand rows of each are drawn.
        columns: ``name -> sdtype``.
        seed: Of that choice.
    """
    if min(len(real), len(synthetic)) < 2 * SMALLEST:
        return None
    tables = [
        table.sample(min(POINTS, len(table)), random_state=seed) for table in (real, synthetic)
    ]
    first, second = _encoded(tables, columns)
    centre, scale = first.mean(0), first.std(0)
    scale[scale == 0] = 1
    first, second = (first - centre) / scale, (second - centre) / scale
    _, values, axes = np.linalg.svd(first, full_matrices=False)
    if len(axes) < 2:
        return None
    fraction = values**2 / max(float((values**2).sum()), 1e-12)
    planes = [each @ axes[:2].T for each in (first, second)]
    low, high = np.quantile(planes[0], [0.005, 0.995], axis=0)
    span = np.where(high > low, high - low, 1.0)
    points = []
    for each in planes:
        inside = np.clip((each - low) / span, 0, 1)
        points.append(
            tuple((float(a), float(b)) for a, b in np.round(np.round(inside * STEPS) / STEPS, 4))
        )
    return Plane((float(fraction[0]), float(fraction[1])), points[0], points[1])


def _encoded(tables: list[pd.DataFrame], columns: Mapping[str, str]) -> list[np.ndarray]:
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    for name, sdtype in columns.items():
        if sdtype in NUMBERS:
            numbers = [to_numbers(table[name], sdtype) for table in tables]
            known = np.sort(numbers[0][np.isfinite(numbers[0])])
            for part, values in zip(parts, numbers, strict=True):
                ranks = np.searchsorted(known, values, "left") + np.searchsorted(
                    known, values, "right"
                )
                middle = np.isnan(values) | (len(known) == 0)
                part.append(np.where(middle, 0.5, ranks / max(2 * len(known), 1)))
            continue
        levels = Levels([table[name] for table in tables])
        count = min(len(levels.labels), ONE_HOT_LEVELS)
        for part, codes in zip(parts, levels.codes, strict=True):
            part += [(codes == level) / np.sqrt(count) for level in range(count)]
    if not parts[0]:
        return [np.zeros((len(table), 1)) for table in tables]
    return [np.column_stack(part).astype(np.float64) for part in parts]


def draw(figure: Plane) -> str:
    """Two clouds of points side by side."""
    first, second = figure.explained
    panels, side = "", 240.0
    for kind, points in (("real", figure.real), ("synthetic", figure.synthetic)):
        body = f'<rect x="1" y="1" width="{side}" height="{side}" class="panel"/>'
        body += "".join(
            f'<circle cx="{6 + x * (side - 10):.1f}" cy="{side - 4 - y * (side - 10):.1f}" '
            f'r="2.2" class="{kind}" opacity=".5"/>'
            for x, y in points
        )
        label = f"Main components of {len(points)} {kind} rows"
        panels += (
            f"<figure>{svg(body, side + 2, side + 2, label)}"
            f"<figcaption>{kind}, {len(points):,} rows</figcaption></figure>"
        )
    return (
        "<p class='soft'>Rows in the plane of the real rows' two main components "
        f"({percent(first)} and {percent(second)} of the variance). Clouds of the same form are "
        "good; what is only in one panel is made up or was not learnt. Points are rounded to a "
        f'grid, the outermost lie at its edge.</p><div class="card plane">'
        f'<div class="panels">{panels}</div></div>'
    )


PANEL = Panel(
    "plane",
    "Whole rows",
    after="associations",
    measure=lambda tables, seed: plane(tables.real, tables.synthetic, tables.scored, seed),
    draw=draw,
)
