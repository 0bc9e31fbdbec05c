"""Scores of ensembles of perfect binary decision trees."""

from __future__ import annotations

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_device, check_dtype, check_shape
from sdv_wgangp.ops.registry import operator

__all__ = ["tree_scores"]

_OP = "tree_scores"
DEEPEST = 8
_WIDEST = 2**25  # beyond, the kernel's places in a block of rows would not fit 32 bits
_ROWS = 2**13  # of the reference at a time: what it holds of one tree stays in the cache


def _check_tree_scores(cells: Tensor, features: Tensor, thresholds: Tensor, leaves: Tensor) -> int:
    """Checks everything but values; returns the depth."""
    check(
        cells.dim() == 2,
        f"{_OP}: cells must have two dimensions (rows, columns), got shape {list(cells.shape)}",
    )
    check(cells.shape[1] < _WIDEST, f"{_OP}: cells is too wide, got shape {list(cells.shape)}")
    check_dtype(_OP, "cells", cells, torch.uint8)
    known = leaves.dim() == 2
    depth = next((d for d in range(DEEPEST + 1) if known and leaves.shape[1] == 2**d), None)
    if depth is None:
        raise RuntimeError(
            f"{_OP}: leaves must have shape [trees, 2^depth], depth 0 to {DEEPEST}, "
            f"got {list(leaves.shape)}"
        )
    for name, tensor in (("features", features), ("thresholds", thresholds)):
        check_shape(_OP, name, tensor, [leaves.shape[0], 2**depth - 1])
    check_dtype(_OP, "features", features, torch.int32)
    check_dtype(_OP, "thresholds", thresholds, torch.uint8)
    check_dtype(_OP, "leaves", leaves, torch.float32)
    for name, tensor in (
        ("features", features),
        ("thresholds", thresholds),
        ("leaves", leaves),
    ):
        check_device(_OP, name, tensor, "cells", cells)
    return depth


def tree_scores_reference(
    cells: Tensor, features: Tensor, thresholds: Tensor, leaves: Tensor
) -> Tensor:
    """See :func:`tree_scores`."""
    depth = _check_tree_scores(cells, features, thresholds, leaves)
    rows, columns = cells.shape
    outside = ((features < 0) | (features >= columns)).nonzero()
    if len(outside):
        tree, node = outside[0].tolist()
        raise RuntimeError(
            f"{_OP}: features must lie in [0, {columns}), got {int(features[tree, node])} in "
            f"tree {tree}, node {node}"
        )
    scores = leaves.new_zeros(rows)
    for part, sums in zip(cells.split(_ROWS), scores.split(_ROWS), strict=True):
        by_column = part.T.contiguous()
        for feature, threshold, value in zip(features, thresholds, leaves, strict=True):
            right = by_column.index_select(0, feature.long()) > threshold.unsqueeze(1)
            # Of every node of a level, the leaf that a row reaches, counted from the first below.
            leaf = part.new_zeros(2**depth, len(part))
            for level in reversed(range(depth)):
                own = right[2**level - 1 : 2 ** (level + 1) - 1]
                # A choice, modulo 256; torch.where is ten times slower on bytes.
                across = leaf[1::2] + 2 ** (depth - 1 - level) - leaf[::2]
                leaf = leaf[::2] + across * own
            sums += value.index_select(0, leaf[0].int())
    return scores


def _tree_scores_fake(cells, features, thresholds, leaves) -> Tensor:
    _check_tree_scores(cells, features, thresholds, leaves)
    return leaves.new_empty(cells.shape[0])


_tree_scores = operator(
    "tree_scores(Tensor cells, Tensor features, Tensor thresholds, Tensor leaves) -> Tensor",
    tree_scores_reference,
    _tree_scores_fake,
)


def tree_scores(cells: Tensor, features: Tensor, thresholds: Tensor, leaves: Tensor) -> Tensor:
    r"""Sums over an ensemble of perfect binary decision trees of one depth.

    .. math:: \text{score}_i = \sum_t \text{leaves}_{t,\, l_t(i)}

    A row starts every tree at node 0 and goes from node :math:`j` to :math:`2j + 2` where
    ``cells[row, features[tree, j]] > thresholds[tree, j]``, else to :math:`2j + 1`; after
    ``depth`` steps it is at node :math:`2^\text{depth} - 1 + l`. A tree with fewer nodes is made
    perfect by nodes of threshold 255, whose right side is never reached.

    Sums are in float32, in the order of the trees: the same bits on every device, whatever the
    number of threads. On the CPU all comparisons of a tree are made for every row, a vector of
    rows at a time, so the time grows with :math:`2^\text{depth}`.

    Args:
        cells: uint8 [rows, columns], at any strides.
        features: int32 [trees, 2^depth - 1], the column that every inner node compares, breadth
            first.
        thresholds: uint8, of the shape of ``features``.
        leaves: float32 [trees, 2^depth], depth from 0 (constants) to 8.

    Returns:
        Scores, float32 [rows]. Not differentiable.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, or features name columns
            that do not exist. (On CUDA the device checks values.)
    """
    return _tree_scores(cells, features, thresholds, leaves)
