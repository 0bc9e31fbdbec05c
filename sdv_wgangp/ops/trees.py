"""Scores of ensembles of perfect binary decision trees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_device, check_dtype, check_shape
from sdv_wgangp.ops.registry import operator

__all__ = ["tree_scores"]

DEEPEST = 8
WIDEST = 2**25  # beyond, the kernel's places in a block of rows would not fit 32 bits
ROWS_AT_A_TIME = 2**13  # of the reference: what it holds of one tree stays in the cache


def _check_tree_scores(op: str, a: Any) -> None:
    cells, features, thresholds, leaves = a.cells, a.features, a.thresholds, a.leaves
    check(
        cells.dim() == 2,
        f"{op}: cells must have two dimensions (rows, columns), got shape {list(cells.shape)}",
    )
    check(cells.shape[1] < WIDEST, f"{op}: cells is too wide, got shape {list(cells.shape)}")
    check_dtype(op, "cells", cells, torch.uint8)
    check(
        leaves.dim() == 2 and leaves.shape[1] in [2**depth for depth in range(DEEPEST + 1)],
        f"{op}: leaves must have shape [trees, 2^depth], depth 0 to {DEEPEST}, "
        f"got {list(leaves.shape)}",
    )
    for name, tensor in (("features", features), ("thresholds", thresholds)):
        check_shape(op, name, tensor, [leaves.shape[0], leaves.shape[1] - 1])
    check_dtype(op, "features", features, torch.int32)
    check_dtype(op, "thresholds", thresholds, torch.uint8)
    check_dtype(op, "leaves", leaves, torch.float32)
    for name, tensor in (
        ("features", features),
        ("thresholds", thresholds),
        ("leaves", leaves),
    ):
        check_device(op, name, tensor, "cells", cells)


@operator(_check_tree_scores, lambda a: a.leaves.new_empty(len(a.cells)))
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

    Example:
        >>> cells, features = torch.tensor([[9], [10]]).byte(), torch.tensor([[0]]).int()
        >>> thresholds, leaves = torch.tensor([[9]]).byte(), torch.tensor([[-1.0, 1.0]])
        >>> tree_scores(cells, features, thresholds, leaves).tolist()
        [-1.0, 1.0]
    """
    depth = leaves.shape[1].bit_length() - 1
    rows, columns = cells.shape
    outside = ((features < 0) | (features >= columns)).nonzero()
    if len(outside):
        tree, node = outside[0].tolist()
        raise RuntimeError(
            f"tree_scores: features must lie in [0, {columns}), "
            f"got {int(features[tree, node])} in tree {tree}, node {node}"
        )
    scores = leaves.new_zeros(rows)
    for part, sums in zip(cells.split(ROWS_AT_A_TIME), scores.split(ROWS_AT_A_TIME), strict=True):
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
