"""Scores of trees against a table worked by hand, a walk row by row and the reference."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy
import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference
from sdv_wgangp.ops.trees import DEEPEST, ROWS_AT_A_TIME

OPERATOR = torch.ops.sdv_wgangp.tree_scores.default
implementations = pytest.mark.parametrize(
    "scores_of", [OPERATOR, reference("tree_scores")], ids=["operator", "reference"]
)


def drawn(rows, columns, trees, depth, device="cpu", seed=0):
    """Cells, features, thresholds and leaves; the ends of the bytes come up often."""
    random = torch.Generator().manual_seed(seed)
    inner = 2**depth - 1

    def bytes_of(*shape):
        drawn = torch.randint(-40, 296, shape, generator=random)
        return drawn.clamp(0, 255).to(torch.uint8)

    features = torch.randint(0, max(columns, 1), (trees, inner), generator=random)
    parts = (
        bytes_of(rows, columns),
        features.int(),
        bytes_of(trees, inner),
        torch.randn(trees, inner + 1, generator=random),
    )
    return tuple(part.to(device) for part in parts)


def walked(cells, features, thresholds, leaves):
    """Every row alone down every tree, in the words of the docstring."""
    cells, features, thresholds, leaves = (
        part.cpu().numpy() for part in (cells, features, thresholds, leaves)
    )
    scores = numpy.zeros(len(cells), numpy.float32)
    for row, cell in enumerate(cells):
        for tree, values in enumerate(leaves):
            node = 0
            while node < features.shape[1]:
                right = cell[features[tree, node]] > thresholds[tree, node]
                node = 2 * node + (2 if right else 1)
            scores[row] += values[node - features.shape[1]]
    return torch.from_numpy(scores)


@implementations
def test_by_hand(scores_of, device):
    cells = torch.tensor([[0, 7], [3, 7], [3, 8], [4, 0], [255, 255]], dtype=torch.uint8)
    features = torch.tensor([[0, 1, 0], [1, 0, 0]], dtype=torch.int32)
    # The second tree is one step deep: the nodes below the first send all rows to the left.
    thresholds = torch.tensor([[3, 7, 254], [7, 255, 255]], dtype=torch.uint8)
    leaves = torch.tensor([[1.0, 2.0, 4.0, 8.0], [16.0, -1.0, 32.0, -1.0]])
    found = scores_of(*(part.to(device) for part in (cells, features, thresholds, leaves)))
    assert found.dtype == torch.float32
    assert found.tolist() == [17.0, 17.0, 34.0, 20.0, 40.0]


@implementations
@pytest.mark.parametrize("depth", range(DEEPEST + 1))
@pytest.mark.parametrize(
    ("rows", "columns", "trees"), [(1, 1, 1), (63, 1, 3), (65, 300, 5), (130, 7, 40)]
)
def test_equals_a_walk(scores_of, rows, columns, trees, depth, device):
    arguments = drawn(rows, columns, trees, depth, device)
    assert torch.equal(scores_of(*arguments).cpu(), walked(*arguments))


@pytest.mark.parametrize("depth", range(DEEPEST + 1))
@pytest.mark.parametrize(("rows", "columns", "trees"), [(4_097, 50, 33), (700, 2_000, 9)])
def test_equals_the_reference(rows, columns, trees, depth, device):
    arguments = drawn(rows, columns, trees, depth, device)
    assert torch.equal(OPERATOR(*arguments), reference("tree_scores")(*arguments))


def test_the_reference_takes_rows_in_parts():
    cells, *trees = drawn(ROWS_AT_A_TIME + 50, 6, 20, 4)
    parts = [reference("tree_scores")(part, *trees) for part in cells.split(1_000)]
    assert torch.equal(reference("tree_scores")(cells, *trees), torch.cat(parts))


@pytest.mark.skipif(
    ops.status().kernels["tree_scores"]["CPU"] == "reference", reason="needs the kernel"
)
@pytest.mark.parametrize("width", ["16", "32"])
def test_narrower_vectors(width):
    """The same tests as on processors without AVX-512, and without AVX2."""
    chosen = "by_hand or walk or every_byte or takes_views or without_rows"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", chosen],
        env=os.environ | {"SDV_WGANGP_VECTOR_BYTES": width},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


@implementations
@pytest.mark.parametrize("depth", [1, 5, 6, 7])
def test_every_byte_against_every_threshold(scores_of, depth, device):
    """Bytes are moved and compared with a sign: all pairs, at the root and at the last node."""
    bytes_ = torch.arange(256)
    inner = 2**depth - 1
    for node in (0, inner - 1):
        # The other nodes send all rows to the right, through 1 > 0.
        features = torch.ones(256, inner, dtype=torch.int32)
        thresholds = torch.zeros(256, inner, dtype=torch.uint8)
        features[:, node] = 0
        thresholds[:, node] = bytes_.to(torch.uint8)
        leaves = torch.zeros(256, inner + 1)
        leaves[:, -1] = 1
        cells = torch.stack([bytes_, torch.ones(256)], 1).to(torch.uint8)
        found = scores_of(*(part.to(device) for part in (cells, features, thresholds, leaves)))
        # A byte lies above as many thresholds as it counts.
        assert torch.equal(found.cpu(), bytes_.float())


@implementations
def test_without_rows_trees_or_columns(scores_of, device):
    cells, features, thresholds, leaves = drawn(5, 3, 4, 2, device)
    assert scores_of(cells[:0], features, thresholds, leaves).shape == (0,)
    assert scores_of(cells, features[:0], thresholds[:0], leaves[:0]).tolist() == [0.0] * 5
    constants = (features[:, :0], thresholds[:, :0], leaves[:, :1])
    total = scores_of(cells[:, :0], *constants)
    assert torch.equal(total, scores_of(cells, *constants))
    torch.testing.assert_close(total, leaves[:, :1].sum(0).expand(5))


@implementations
@pytest.mark.parametrize("depth", [3, 5, 8])
def test_takes_views(scores_of, depth, device):
    arguments = drawn(200, 9, 6, depth, device)
    expected = scores_of(*arguments)
    cells, *trees = arguments
    wide = torch.cat([cells, cells], 1)[:, :9]
    by_columns = cells.T.contiguous().T
    sparse = cells.repeat_interleave(2, 0).repeat_interleave(3, 1)[::2, ::3]
    spread = [part.T.contiguous().T for part in trees]
    odd = [torch.cat([part[:1], part])[1:] for part in trees]
    for view in (wide, by_columns, sparse):
        assert torch.equal(scores_of(view, *trees), expected)
    for view in (spread, odd):
        assert torch.equal(scores_of(cells, *view), expected)
    same = cells[:1].expand(200, 9)
    assert torch.equal(scores_of(same, *trees), expected[:1].expand(200))


def test_threads_change_no_bit():
    arguments = drawn(20_001, 11, 150, 5)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(ops.tree_scores(*arguments))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    # Nor do the rows beside a row.
    cells, *trees = arguments
    assert torch.equal(ops.tree_scores(cells[7:90], *trees), found[0][7:90])


def test_autocast_leaves_scores_in_float32():
    arguments = drawn(40, 5, 10, 4)
    expected = ops.tree_scores(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ops.tree_scores(*arguments), expected)


@implementations
@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (0, lambda x: x[0], r"cells must have two dimensions \(rows, columns\), got shape \[3\]"),
        (0, lambda x: x.int(), "cells must be uint8"),
        (
            0,
            lambda x: x[:, :1].expand(-1, 2**25),
            r"cells is too wide, got shape \[5, 33554432\]",
        ),
        (1, lambda x: x.long(), "features must be int32"),
        (1, lambda x: x[:, :2], r"features must have shape \[4, 3\], got \[4, 2\]"),
        (2, lambda x: x.int(), "thresholds must be uint8"),
        (2, lambda x: x[:3], r"thresholds must have shape \[4, 3\], got \[3, 3\]"),
        (3, lambda x: x.double(), "leaves must be float32"),
        (
            3,
            lambda x: x[:, :3],
            r"leaves must have shape \[trees, 2\^depth\], depth 0 to 8, got \[4, 3\]",
        ),
        (3, lambda x: x.new_zeros(4, 512), r"leaves must have shape .*, got \[4, 512\]"),
        (3, lambda x: x[:, :0], r"leaves must have shape .*, got \[4, 0\]"),
        (3, lambda x: x[0], r"leaves must have shape .*, got \[4\]"),
        (
            1,
            lambda x: x.index_fill(1, torch.tensor([1]), 3),
            r"features must lie in \[0, 3\), got 3 in tree 0, node 1",
        ),
        (
            1,
            lambda x: torch.cat([x[:3], -1 - x[3:]]),
            r"features must lie in \[0, 3\), got -[123] in tree 3, node 0",
        ),
    ],
)
def test_errors_name_the_argument(scores_of, place, change, message):
    arguments = list(drawn(5, 3, 4, 2))
    arguments[place] = change(arguments[place])
    with pytest.raises(RuntimeError, match="^tree_scores: " + message):
        scores_of(*arguments)


@pytest.mark.parametrize("depth", [0, 3])
def test_opcheck(depth, device):
    library.opcheck(OPERATOR, drawn(6, 4, 5, depth, device))
