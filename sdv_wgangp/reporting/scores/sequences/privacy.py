"""How close synthetic sequences are to training sequences, beside held-out ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import norm

from sdv_wgangp.reporting.scores.sequences.dependence import changes
from sdv_wgangp.reporting.scores.sequences.panel import Panel, few_levels

MOST_SEQUENCES = 3_000
EXPLAINED = 0.95  # of the variance, by the components that distances are taken over
MOST_COMPONENTS = 50
SIGNIFICANT_DIGITS = 12


@dataclass(frozen=True)
class Nearness:
    """Nearest training sequences, and stretches of rows that stand in the training sequences.

    ``nearest_share``: synthetic sequences nearer to the training sequences than to as many
    held-out ones, .5 where they know no more of one than of the other; ``distance_ratio``: their
    median distance to the nearest training sequence over that of held-out sequences. Both are
    None without held-out sequences. ``copies``: share of the stretches of ``stretch`` rows that
    stand word for word in a training sequence; ``holdout_copies`` the same of held-out ones.
    """

    nearest_share: float | None
    distance_ratio: float | None
    distance: float
    copies: float
    holdout_copies: float | None
    stretch: int


def nearness(
    train: Panel,
    synthetic: Panel,
    holdout: Panel | None = None,
    steps: int = 24,
    stretch: int = 3,
    seed: int = 0,
) -> Nearness:
    """Distances and copies.

    Distances are those of the first ``steps`` rows: normal scores of numbers, of the index those
    of its steps, nine levels of categories and missing or ended as columns of 0 and 1, whitened
    by the principal components that explain 95 % of the training sequences' variance.

    Args:
        train: What the synthesizer was fitted to.
        synthetic: Its sequences.
        holdout: Sequences that it never saw.
        steps: Rows of a sequence that count for distances.
        stretch: Rows that make a copy when all are equal, numbers to 12 digits. The index does
            not count: a copy that is moved in time is one.
        seed: Of the sequences that are compared, at most 3,000 of each.
    """
    rng = np.random.default_rng(seed)
    panels = [train, synthetic] if holdout is None else [train, synthetic, holdout]
    steps = int(min(steps, train.lengths.max()))
    copies = _copies(panels, int(min(stretch, train.lengths.max())))
    chosen = [panel.at_most(MOST_SEQUENCES, rng) for panel in panels]
    points = _whitened([_paths(panel, chosen[0], steps) for panel in chosen])
    nearest = cdist(points[1], points[0])
    distance = float(np.median(nearest.min(1)))
    share = ratio = None
    if holdout is not None:
        size = min(len(points[0]), len(points[2]))
        known, unseen = (rng.permutation(len(points[k]))[:size] for k in (0, 2))
        own = nearest[:, known].min(1)
        its = cdist(points[1], points[2][unseen]).min(1)
        share = float(np.mean(own < its) + np.mean(own == its) / 2)
        reference = float(np.median(cdist(points[2], points[0]).min(1)))
        ratio = distance / reference if reference else None
    return Nearness(share, ratio, distance, copies[0], copies[1] if len(copies) > 1 else None,
                    int(min(stretch, train.lengths.max())))  # fmt: skip


def _paths(panel: Panel, train: Panel, steps: int) -> np.ndarray:
    """The first rows of each sequence side by side, ``[sequences, features]``; 0 after its end."""
    place = panel.starts[:-1, None] + np.arange(steps)
    there = np.arange(steps) < panel.lengths[:, None]
    place = np.where(there, place, 0)
    parts = [there.astype(float)]
    for name in panel.numbers:
        scores = normal_scores(*(_moving(each, name) for each in (train, panel)))[place]
        known = there & np.isfinite(scores)
        parts += [np.where(known, scores, 0.0), (there & ~known).astype(float)]
    for codes in panel.codes.values():
        bins = few_levels(codes)[place]
        parts += [(there & (bins == level)).astype(float) for level in range(11)]
    heads = [normal_scores(train.attribute_numbers[n], v)
             for n, v in panel.attribute_numbers.items()]  # fmt: skip
    for codes in panel.attribute_codes.values():
        heads += [(few_levels(codes) == level).astype(float) for level in range(11)]
    parts += [np.nan_to_num(head)[:, None] for head in heads]
    return np.concatenate(parts, axis=1)


def _moving(panel: Panel, name: str) -> np.ndarray:
    """A column; of the index its steps, so that a copy that is moved in time stays one."""
    values = panel.numbers[name]
    return changes(panel, values) if name == panel.index else values


def normal_scores(real: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Quantiles of the normal distribution at the mid-ranks among real values; NaN stays.

    Example:
        >>> normal_scores(np.array([1.0, 2.0, 3.0]), np.array([2.0, np.nan])).tolist()
        [0.0, nan]
    """
    ordered = np.sort(real[np.isfinite(real)])
    if not len(ordered):
        return np.full(len(values), np.nan)
    low, high = (np.searchsorted(ordered, values, side=s) for s in ("left", "right"))
    rank = np.clip((low + high) / 2, 0.5, len(ordered) - 0.5) / len(ordered)
    return np.where(np.isfinite(values), norm.ppf(rank), np.nan)


def _whitened(paths: list[np.ndarray]) -> list[np.ndarray]:
    mean = paths[0].mean(0)
    variances, vectors = np.linalg.eigh(np.atleast_2d(np.cov(paths[0].T, bias=True)))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    total = np.cumsum(variances) / max(variances.sum(), 1e-300)
    kept = min(int(np.searchsorted(total, EXPLAINED)) + 1, MOST_COMPONENTS)
    kept = max(1, min(kept, int((variances > 1e-12 * max(variances[0], 1e-300)).sum())))
    scale = vectors[:, :kept] / np.sqrt(np.maximum(variances[:kept], 1e-300))
    return [(path - mean) @ scale for path in paths]


def _copies(panels: list[Panel], stretch: int) -> list[float]:
    """Share of the stretches of each panel but the first that stand in the first."""
    tables = []
    for panel in panels:
        columns = [np.nan_to_num(_rounded(v), nan=-1.5e308)
                   for n, v in panel.numbers.items() if n != panel.index]  # fmt: skip
        columns += [codes.astype(float) for codes in panel.codes.values()]
        if not columns:
            return [0.0] * (len(panels) - 1)  # of an index alone nothing can be a copy
        tables.append(np.stack(columns, axis=1))
    stretches = []
    for panel, table in zip(panels, tables, strict=True):
        rows = panel.before(stretch - 1)
        wide = np.concatenate([table[rows + k] for k in range(stretch)], axis=1)
        wide = np.ascontiguousarray(wide + 0.0)  # -0 is 0
        stretches.append(wide.view(np.dtype((np.void, wide.shape[1] * 8))).ravel())
    known = np.unique(stretches[0])
    return [float(np.isin(s, known).mean()) if len(s) else 0.0 for s in stretches[1:]]


def _rounded(values: np.ndarray) -> np.ndarray:
    """To 12 significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** (SIGNIFICANT_DIGITS - 1 - np.where(np.isfinite(power), power, 0.0))
        found = np.round(values * scale) / scale
    return np.where(np.isfinite(found), found, values)
