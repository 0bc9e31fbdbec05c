"""Products against float64, at odd sizes, strides and beside numbers that are none."""

from __future__ import annotations

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops import multiply as multiply_function
from sdv_wgangp.ops.registry import reference

OPERATOR = torch.ops.sdv_wgangp.multiply.default
DTYPES = [torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.bfloat16: 1e-2, torch.float32: 1e-5, torch.float64: 1e-12}
SIZES = [(1, 1, 1), (2, 7, 3), (17, 33, 31), (127, 129, 65), (500, 5, 64), (40, 502, 2)]
implementations = pytest.mark.parametrize(
    "multiply", [OPERATOR, reference("multiply")], ids=["operator", "reference"]
)


def matrix(rows, columns, dtype, device, seed, transposed=False):
    random = torch.Generator().manual_seed(seed)
    shape = (columns, rows) if transposed else (rows, columns)
    values = torch.randn(shape, generator=random).to(device, dtype)
    return values.T if transposed else values


@implementations
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_float64(multiply, size, dtype, transposed, add, device):
    rows, inner, columns = size
    a = matrix(rows, inner, dtype, device, 0, transposed[0])
    b = matrix(inner, columns, dtype, device, 1, transposed[1])
    out = matrix(rows, columns, dtype, device, 2)
    expected = a.double() @ b.double() + (out.double() if add else 0)
    multiply(a, b, out, add)
    scale = TOLERANCE[dtype] * inner**0.5
    torch.testing.assert_close(out.double(), expected, rtol=TOLERANCE[dtype], atol=scale)


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_operands_are_read_and_only_the_result_is_written(dtype, device):
    """Fresh memory beside a slice may hold NaN."""
    wide = torch.full((41, 60), torch.nan, dtype=dtype, device=device)
    a = wide[:40, 7:40]
    a.copy_(matrix(40, 33, dtype, device, 0))
    right = torch.full((50, 40), torch.nan, dtype=dtype, device=device)
    b = right[3:36, 1:34]
    b.copy_(matrix(33, 33, dtype, device, 1))
    big = torch.full((41, 40), 7.0, dtype=dtype, device=device)
    ops.multiply(a.clone() if device == "cuda" else a, b, big[:40, 2:35])
    expected = a.double() @ b.double()
    torch.testing.assert_close(
        big[:40, 2:35].double(), expected, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype]
    )
    beside = torch.ones_like(big, dtype=torch.bool)
    beside[:40, 2:35] = False
    assert (big[beside] == 7).all()


@implementations
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(0, 3, 2), (3, 3, 0), (3, 0, 2)], ids=str)
def test_empty_matrices(multiply, size, dtype):
    rows, inner, columns = size
    out = torch.ones(rows, columns, dtype=dtype)
    a, b = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    multiply(a, b, out, True)
    assert (out == 1 + inner).all()
    multiply(a, b, out, False)
    assert (out == inner).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_without_lines(dtype):
    a = matrix(20, 30, dtype, "cpu", 0)[::2, ::3]
    b = matrix(20, 30, dtype, "cpu", 1)[::2, ::3]
    torch.testing.assert_close(ops.multiply(a, b), ops.multiply(a.clone(), b.clone()))
    expanded = matrix(1, 10, dtype, "cpu", 2).expand(7, 10)
    torch.testing.assert_close(ops.multiply(expanded, b), ops.multiply(expanded.clone(), b))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.ones(3)}, r"a must have two dimensions, got shape \[3\]"),
        ({1: torch.ones(3, 2)}, r"b must have shape \[4, columns\], got \[3, 2\]"),
        ({2: torch.ones(3, 3)}, r"out must have shape \[3, 2\], got \[3, 3\]"),
        ({1: torch.ones(4, 2).double()}, "b must have the dtype of a"),
        ({2: torch.ones(3, 2).bfloat16()}, "out must have the dtype of a"),
        ({2: torch.ones(2, 3).T}, "out is written to"),
        ({2: torch.ones(2).expand(3, 2)}, "out is written to, .* adjacent and its rows apart"),
        (
            dict(enumerate([torch.ones(3, 4).int(), torch.ones(4, 2).int(), torch.ones(3, 2)])),
            "a must be bfloat16, float32 or float64",
        ),
    ],
)
@implementations
def test_errors_name_the_argument(multiply, change, message):
    arguments = [torch.ones(3, 4), torch.ones(4, 2), torch.ones(3, 2)]
    for place, value in change.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match="multiply: " + message):
        multiply(*arguments, False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_opcheck(dtype):
    a, b = matrix(5, 6, dtype, "cpu", 0), matrix(6, 3, dtype, "cpu", 1)
    library.opcheck(OPERATOR, (a, b, torch.ones(5, 3, dtype=dtype), True))
    assert multiply_function(a, b).shape == (5, 3)
