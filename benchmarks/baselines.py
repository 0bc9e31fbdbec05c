"""Two reference samplers without a network: independent columns and a Chow-Liu tree.

Both bound what a score can mean. Independent columns carry the training marginals and no
dependence at all, so whatever they reach is no evidence of a joint model. The tree carries exact
pairwise tables along the columns' strongest spanning tree, fits in a fraction of a second, and is
hard to beat on marginal and pairwise scores.

Both take a frame and its column types (``{column: sdtype}``), and return frames with the dtypes
of the training frame.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

MAX_BINS = 32
SMOOTHING = 1.0


def _stratified_rows(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """`count` shuffled indices below `size`, each used equally often up to one.

    For ``count == size`` this is a permutation: the marginal is the training marginal exactly.
    """
    whole, rest = divmod(count, size)
    rows = np.concatenate([np.tile(np.arange(size), whole), rng.choice(size, rest, replace=False)])
    return rng.permutation(rows)


class IndependentColumns:
    """Every column drawn from its own training marginal, independently of the others."""

    def fit(self, frame: pd.DataFrame, columns: dict[str, str]) -> IndependentColumns:
        """Keep the training columns named in `columns`; at least one row is needed."""
        if frame.empty:
            raise ValueError("the training frame has no rows")
        self._frame = frame[list(columns)].reset_index(drop=True)
        return self

    def sample(self, count: int, seed: int) -> pd.DataFrame:
        """`count` rows; with as many as in training, each column is a permutation of itself."""
        rng = np.random.default_rng(seed)
        size = len(self._frame)
        return pd.DataFrame(
            {
                name: column.take(_stratified_rows(rng, size, count)).reset_index(drop=True)
                for name, column in self._frame.items()
            }
        )


def quantile_codes(values: pd.Series, max_bins: int = MAX_BINS) -> np.ndarray:
    """Quantile bin numbers of a numeric or datetime column, shape (rows,), at most `max_bins`.

    Repeated quantiles (a value that carries more than one bin's share) collapse into one edge.
    Missing values get the number after the last bin.
    """
    missing = values.isna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(values):
        # Datetimes stay int64: nanoseconds since 1970 exceed what a float64 holds exactly.
        numbers = pd.DatetimeIndex(values).asi8
    else:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.sort(numbers[~missing])
    codes = np.zeros(len(values), dtype=np.int64)
    if len(known):
        cuts = (np.arange(1, max_bins) * len(known)) // max_bins
        edges = np.unique(known[cuts])
        codes = np.searchsorted(edges, numbers, side="right")
        codes[missing] = len(edges) + 1
    # Empty bins (below the first edge when it is the minimum) would be levels without rows.
    return np.unique(codes, return_inverse=True)[1].reshape(-1)


def category_codes(values: pd.Series) -> np.ndarray:
    """Level numbers of a discrete column, shape (rows,); missing is a level of its own."""
    return pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Plug-in mutual information in nats of two code columns: sum p(a,b) log(p(a,b) / p(a) p(b)).

    Only the cells that occur are held, so wide columns need no dense table.
    """
    size = len(first)
    width = int(second.max()) + 1
    cells, counts = np.unique(first * width + second, return_counts=True)
    first_counts, second_counts = np.bincount(first), np.bincount(second)
    expected = first_counts[cells // width] * (second_counts[cells % width] / size)
    return float(np.sum(counts / size * np.log(counts / expected)))


def maximum_spanning_tree(weights: np.ndarray) -> list[tuple[int, int]]:
    """(node, parent) pairs in ancestral order by Prim's algorithm; the root's parent is -1.

    The root is the node with the largest total weight. `weights` is symmetric, (nodes, nodes).
    """
    count = len(weights)
    root = int(np.argmax(weights.sum(axis=1)))
    best, parent = weights[root].astype(np.float64), np.full(count, root)
    outside = np.ones(count, dtype=bool)
    outside[root] = False
    tree = [(root, -1)]
    while outside.any():
        node = int(np.argmax(np.where(outside, best, -np.inf)))
        tree.append((node, int(parent[node])))
        outside[node] = False
        closer = outside & (weights[node] > best)
        best[closer], parent[closer] = weights[node][closer], node
    return tree


class _RowsByCode:
    """The training rows grouped by a code column, for drawing a random row of a given code."""

    def __init__(self, codes: np.ndarray) -> None:
        self._rows = np.argsort(codes, kind="stable")
        self.counts = np.bincount(codes)
        self._starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def draw(self, codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._rows[self._starts[codes] + rng.integers(0, self.counts[codes])]


class ChowLiuTree:
    """Tree-structured categorical model of Chow and Liu (1968) over discretised columns.

    Categories are levels as they are, numeric columns are cut into at most `max_bins` quantile
    bins, a missing value is a level. The tree is the maximum spanning tree on pairwise mutual
    information. Sampling is ancestral with
    ``p(child | parent) = (n(child, parent) + smoothing * p(child)) / (n(parent) + smoothing)``;
    a numeric value is a training value of the same bin, drawn at random.
    """

    def __init__(self, max_bins: int = MAX_BINS, smoothing: float = SMOOTHING) -> None:
        self.max_bins = max_bins
        self.smoothing = smoothing

    def fit(self, frame: pd.DataFrame, columns: dict[str, str]) -> ChowLiuTree:
        """Discretise `frame` and build the tree; needs at least one row."""
        if frame.empty:
            raise ValueError("the training frame has no rows")
        self._frame = frame[list(columns)].reset_index(drop=True)
        self._codes = [
            quantile_codes(self._frame[name], self.max_bins)
            if sdtype in ("numerical", "datetime")
            else category_codes(self._frame[name])
            for name, sdtype in columns.items()
        ]
        count = len(self._codes)
        weights = np.zeros((count, count))
        for a in range(count):
            for b in range(a):
                weights[a, b] = weights[b, a] = mutual_information(self._codes[a], self._codes[b])
        self.tree_ = maximum_spanning_tree(weights)
        return self

    def sample(self, count: int, seed: int) -> pd.DataFrame:
        """`count` rows drawn from the root down."""
        rng = np.random.default_rng(seed)
        size = len(self._frame)
        drawn: dict[int, np.ndarray] = {}
        for node, parent in self.tree_:
            # A uniform training row has this node's code with p(node). A uniform row among those
            # with the parent's code has it with n(node, parent) / n(parent). The smoothed
            # conditional is a mixture of the two, so no table is needed.
            rows = rng.integers(0, size, count)
            if parent >= 0:
                groups = _RowsByCode(self._codes[parent])
                codes = drawn[parent]
                total = groups.counts[codes] + self.smoothing
                linked = rng.random(count) * total < groups.counts[codes]
                rows = np.where(linked, groups.draw(codes, rng), rows)
            drawn[node] = self._codes[node][rows]
        names = list(self._frame.columns)
        values = {}
        for node, _ in self.tree_:
            # Drawn anew within the bin: the linking row's own value would carry dependence finer
            # than the bins, which the tree does not model.
            rows = _RowsByCode(self._codes[node]).draw(drawn[node], rng)
            values[names[node]] = self._frame[names[node]].take(rows).reset_index(drop=True)
        return pd.DataFrame({name: values[name] for name in names})
