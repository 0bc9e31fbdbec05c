"""The critic's dense channels against a table worked by hand, autograd and the reference."""

from __future__ import annotations

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

OPERATORS = torch.ops.sdv_wgangp
implementations = pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (OPERATORS.row_views.default, OPERATORS.row_views_backward.default),
        (reference("row_views"), reference("row_views_backward")),
    ],
    ids=["operator", "reference"],
)


def known(device="cpu", dtype=torch.float64, **changes):
    """Columns of 3, 2 and 1 levels; the first and the last are ordered, both have a position."""
    tables = torch.tensor(
        [
            [0.0, 0.25, 0.5, 0.0, 0.0, 0.0],
            [0.0, 0.25, 0.5, 0.0, 0.0, 1.0],
            [0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
        ]
    )
    parts = {
        "tables": tables.to(device, dtype),
        "binned": torch.tensor([[0, 0]], device=device),
        "ordered": torch.tensor([[0, 0], [2, 1]], device=device),
        "scored": torch.tensor([1, 0], device=device),
        "whitening": torch.tensor([[1.0, 2.0], [0.0, 1.0]], device=device, dtype=dtype),
        "margin": 1e-3,
        "clamp": 4.0,
    }
    return ops.ViewTables(**(parts | changes))


LEVELS = torch.tensor([[0, 3, 5], [1, 4, 5], [2, 3, 5]])
POSITIONS = torch.tensor([[0.5, 0.5], [0.0, 0.975], [1.0, 0.0]])


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_by_hand(forward, backward, dtype, device):
    dense = forward(LEVELS.to(device), POSITIONS.to(device, dtype), *known(device, dtype))
    ends = torch.special.ndtri(torch.tensor([0.975, 0.25, 0.001], dtype=torch.double))
    high, low, least = ends.tolist()
    expected = torch.tensor(
        [
            # shown, ranks, scores (of the third and the first column) times the matrix
            [0.5, 0.0, 0.5, 0.0, least],  # an atom of rank 0: no position, score at the margin
            [0.0, 0.25, 0.975, high, 2 * high + low],
            [1.0, 1.0, 0.0, least, least],  # 2 least + the score at the other margin
        ],
        dtype=torch.double,
    )
    torch.testing.assert_close(dense.cpu().double(), expected, atol=2e-6, rtol=2e-6)


def drawn(rows, device="cpu", dtype=torch.float64, seed=0):
    """Five columns of 4 levels; four ordered, of which three have positions, two whitened."""
    random = torch.Generator().manual_seed(seed)
    spans = torch.rand(20, generator=random) / 4
    spans[:4] = 0
    tables = torch.stack([torch.rand(20, generator=random) / 2, spans, (spans > 0).float()])
    levels = torch.randint(0, 4, (rows, 5), generator=random) + 4 * torch.arange(5)
    positions = torch.rand(rows, 3, generator=random)
    gradient = torch.randn(rows, 2 + 4 + 3, generator=random)
    tables = ops.ViewTables(
        tables.to(device, dtype),
        torch.tensor([[1, 2], [2, 3]], device=device),
        torch.tensor([[0, -1], [1, 0], [2, 1], [3, 2]], device=device),
        torch.tensor([1, 2, 3], device=device),
        torch.randn(3, 3, generator=random).to(device, dtype),
        0.05,
        1.5,
    )
    return gradient.to(device, dtype), levels.to(device), positions.to(device, dtype), tables


@implementations
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 129])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_reference(forward, backward, rows, dtype, device):
    gradient, levels, positions, tables = drawn(rows, device, dtype)
    double = tables._replace(tables=tables.tables.double(), whitening=tables.whitening.double())
    tolerance = {"atol": 2e-5, "rtol": 2e-5} if dtype == torch.float32 else {}
    torch.testing.assert_close(
        forward(levels, positions, *tables).double(),
        reference("row_views")(levels, positions.double(), *double),
        **tolerance,
    )
    expected = reference("row_views_backward")(
        gradient.double(), levels, positions.double(), *double
    )
    for found, exact in zip(backward(gradient, levels, positions, *tables), expected, strict=True):
        torch.testing.assert_close(found.double(), exact, **tolerance)


@implementations
def test_the_backward_is_the_derivative(forward, backward):
    """With respect to positions, and to what every cell looked up (a table of its own each)."""
    gradient, _, positions, tables = drawn(6)
    levels = torch.arange(30).view(6, 5)  # every cell its own level
    own = torch.rand(3, 30, generator=torch.Generator().manual_seed(3), dtype=torch.double) / 2
    own[2] = torch.arange(30) % 3 > 0
    tables = tables._replace(tables=own)
    to_positions, slopes = backward(gradient, levels, positions, *tables)
    step = 1e-6

    def numerical(values):
        result = torch.empty_like(values)
        flat, to = values.view(-1), result.view(-1)
        for i in range(len(flat)):
            before = flat[i].item()
            ends = []
            for sign in (1, -1):
                flat[i] = before + sign * step
                ends.append((forward(levels, positions, *tables) * gradient).sum())
            flat[i] = before
            to[i] = (ends[0] - ends[1]) / (2 * step)
        return result

    tight = {"atol": 1e-6, "rtol": 1e-6}
    torch.testing.assert_close(to_positions, numerical(positions), **tight)
    by_level = numerical(own)
    torch.testing.assert_close(slopes, by_level[:2].view(2, 6, 5), **tight)
    assert slopes.abs().sum() > 1
    assert to_positions.abs().sum() > 1


def test_near_dependences_survive_bfloat16_products():
    """The whitening multiplies small differences a hundredfold, so it must not round them."""
    _, levels, positions, tables = drawn(50, dtype=torch.float32)
    expected = ops.row_views(levels, positions, tables)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = [
            ops.row_views(levels, positions, tables),
            reference("row_views")(levels, positions, *tables),
        ]
    finally:
        torch.set_float32_matmul_precision(before)
    for dense in found:
        torch.testing.assert_close(dense, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_are_normal_quantiles(dtype):
    ranks = torch.cat([torch.logspace(-15, -1, 300), torch.linspace(0.1, 1 - 1e-6, 700)])
    tables = ops.ViewTables(
        torch.tensor([[0.0], [1.0], [1.0]], dtype=dtype),
        torch.empty(0, 2, dtype=torch.int64),
        torch.tensor([[0, 0]]),
        torch.tensor([0]),
        torch.ones(1, 1, dtype=dtype),
        1e-16 if dtype == torch.float64 else 1e-15,
        100.0,
    )
    ranks = ranks.to(dtype)[:, None]
    found = ops.row_views(torch.zeros(len(ranks), 1, dtype=torch.int64), ranks, tables)[:, 1:]
    expected = torch.special.ndtri(ranks.double())
    if dtype == torch.float64:
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    else:
        torch.testing.assert_close(found.double(), expected, rtol=3e-6, atol=3e-6)


@implementations
def test_tables_without_channels(forward, backward):
    none = torch.empty(0, 2, dtype=torch.int64)
    tables = known(
        binned=none, ordered=none, scored=none[:, 0], whitening=torch.empty(0, 0).double()
    )
    positions = POSITIONS.double()[:, :0]
    assert forward(LEVELS, positions, *tables).shape == (3, 0)
    to, slopes = backward(torch.empty(3, 0).double(), LEVELS, positions, *tables)
    assert to.shape == (3, 0)
    assert (slopes == 0).all()


@implementations
def test_takes_views(forward, backward, device):
    gradient, levels, positions, tables = drawn(9, device)
    expected = forward(levels, positions, *tables)
    spread = positions.T.contiguous().T, levels.T.contiguous().T
    torch.testing.assert_close(forward(spread[1], spread[0], *tables), expected)
    wide = torch.cat([gradient, gradient], 1)[:, :9]
    for found, plain in zip(
        backward(wide, spread[1], spread[0], *tables),
        backward(gradient, levels, positions, *tables),
        strict=True,
    ):
        torch.testing.assert_close(found, plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": LEVELS.int()}, "levels must be int64"),
        ({"levels": LEVELS + 1}, r"levels must lie in \[0, 6\), got 6 in row 0, column 2"),
        ({"positions": POSITIONS[:2].double()}, r"positions must have shape \[3, positions\]"),
        ({"positions": POSITIONS}, "positions must have the dtype of tables"),
        ({"tables": torch.zeros(2, 6).double()}, r"tables must have shape \[3, levels\]"),
        ({"binned": torch.tensor([0, 0])}, r"binned must have two dimensions \(binned, 2\)"),
        ({"binned": torch.tensor([[2, 0]])}, r"binned names 2, outside \[0, 2\)"),
        ({"ordered": torch.tensor([[3, 0], [0, 0]])}, r"ordered names 3, outside \[0, 3\)"),
        ({"scored": torch.tensor([0, 2])}, r"scored names 2, outside \[0, 2\)"),
        (
            {"whitening": torch.eye(3).double()},
            r"whitening must have shape \[2, 2\], got \[3, 3\]",
        ),
        ({"margin": 0.5}, "margin must lie between 0 and 0.5, got 0.5"),
        ({"clamp": 0.0}, "clamp must be positive, got 0"),
    ],
)
@implementations
def test_errors_name_the_argument(forward, backward, change, message):
    levels = change.get("levels", LEVELS)
    positions = change.get("positions", POSITIONS.double())
    tables = known(**{k: v for k, v in change.items() if k not in ("levels", "positions")})
    with pytest.raises(RuntimeError, match="row_views: " + message):
        forward(levels, positions, *tables)
    with pytest.raises(RuntimeError, match="row_views_backward: " + message):
        backward(torch.zeros(3, 5).double(), levels, positions, *tables)


@implementations
def test_the_gradient_must_fit(forward, backward):
    with pytest.raises(RuntimeError, match=r"gradient must have shape \[3, 5\], got \[3, 4\]"):
        backward(torch.zeros(3, 4).double(), LEVELS, POSITIONS.double(), *known())


def test_opcheck():
    gradient, levels, positions, tables = drawn(4)
    library.opcheck(OPERATORS.row_views.default, (levels, positions, *tables))
    library.opcheck(OPERATORS.row_views_backward.default, (gradient, levels, positions, *tables))
