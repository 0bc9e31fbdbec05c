"""sorted_columns, quantiles and wasserstein_1d against torch, SciPy and closed forms."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

NAN, INF = math.nan, math.inf
OPERATOR = torch.ops.sdv_wgangp.sorted_columns.default
BACKWARD = torch.ops.sdv_wgangp.sorted_columns_backward.default

implementations = pytest.mark.parametrize(
    "operator", [OPERATOR, reference("sorted_columns")], ids=["operator", "reference"]
)
SIZES = [1, 2, 7, 127, 129, 500]

# column -> index of the sorted values
TABLE = {
    "sorted": ([1, 2, 3, 4], [0, 1, 2, 3]),
    "reversed": ([4, 3, 2, 1], [3, 2, 1, 0]),
    "ties keep their order": ([2, 1, 2, 1, 2], [1, 3, 0, 2, 4]),
    "constant": ([5, 5, 5], [0, 1, 2]),
    "zeros are equal": ([0.0, -0.0, 1, -0.0, -1, 0.0], [4, 0, 1, 3, 5, 2]),
    "infinities and not a number": ([NAN, INF, 3, -INF, NAN, -2], [3, 5, 2, 1, 0, 4]),
    "negative not a number": ([-NAN, -1, 1], [1, 2, 0]),
    "only not a number": ([NAN, NAN], [0, 1]),
    "subnormal": ([1e-45, -1e-45, 0, 3e-45, 1e-38, -1e-40], [5, 1, 2, 0, 3, 4]),
    "largest": ([3e38, -3e38, 3.4e38, -3.4e38, 0], [3, 1, 4, 0, 2]),
    "an outlier beside close values": ([1e30, 1.0000001, 1.0, 1.0000002], [2, 1, 3, 0]),
    "one": ([7], [0]),
    "none": ([], []),
}


def sample(*shape, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).to(device)


DISTRIBUTIONS = {
    "normal": lambda x: x,
    "uniform": lambda x: torch.special.ndtr(x),
    "heavy tails": lambda x: torch.exp(5 * x),
    "two scales": lambda x: torch.where(x > 2, 1e20 * x, 1e-20 * x),
    "few values": lambda x: torch.round(x),
    "two values": lambda x: (x > 0).to(x.dtype),
    "a dense cluster far off": lambda x: torch.where(x > 2.5, -1e9 * x, 1e9 + x),
    "adjacent numbers": lambda x: 1 + torch.round(200 * x) * torch.finfo(x.dtype).eps,
    "subnormal": lambda x: x * torch.finfo(x.dtype).tiny / 1000,
    "huge": lambda x: x * torch.finfo(x.dtype).max / 8,
    "not a number and infinite": lambda x: torch.where(
        x > 1.5, NAN, torch.where(x < -1.5, -INF, torch.where(x.abs() < 0.2, INF, x))
    ),
    "all subnormal or infinite": lambda x: torch.where(x > 0, INF, 1e-45 * torch.round(9 * x)),
}


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", TABLE)
def test_tables_worked_by_hand(operator, case, dtype, device):
    column, order = TABLE[case]
    x = torch.tensor(column, dtype=dtype, device=device).view(1, -1, 1).repeat(2, 1, 3)
    values, index = operator(x)
    assert index.dtype == torch.int64
    expected = torch.tensor(order, dtype=torch.int64, device=device).view(1, -1, 1)
    assert torch.equal(index, expected.expand(2, -1, 3))
    torch.testing.assert_close(values, x.gather(1, index), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("rows", [*SIZES, 2048, 2049, 4097, 20000])
def test_equals_torch_sort(rows, distribution, dtype, device):
    columns = 18 if rows < 2000 else 2
    x = DISTRIBUTIONS[distribution](sample(2, rows, columns, dtype=dtype))
    x = x.to(dtype).to(device)
    values, index = OPERATOR(x)
    expected_values, expected_index = x.sort(dim=1, stable=True)
    assert torch.equal(index, expected_index)
    torch.testing.assert_close(values, expected_values, rtol=0, atol=0, equal_nan=True)


def test_values_are_the_very_ones_of_the_argument(device):
    """Signs of zeros and the bits of NaN included."""
    bits = torch.tensor([0x7FC00123, 0x00000000, -0x80000000, 0x7F800001, 0x3F800000])
    x = bits.to(torch.int32).view(torch.float32).view(-1, 1).to(device)
    values, index = ops.sorted_columns(x)
    assert index[:, 0].tolist() == [1, 2, 4, 0, 3]
    assert torch.equal(values.contiguous().view(torch.int32), x[index[:, 0]].view(torch.int32))


@pytest.mark.parametrize("columns", [0, 1, 2, 15, 16, 17, 150])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_groups_of_columns(batch, columns, device):
    x = sample(batch, 33, columns, device=device)
    values, index = ops.sorted_columns(x)
    assert values.shape == index.shape == x.shape
    assert torch.equal(values, x.sort(1)[0])
    assert torch.equal(x.gather(1, index), values)
    assert values.mT.is_contiguous()
    assert index.mT.is_contiguous()


def test_views_and_expanded_arguments(device):
    base = sample(40, 12, device=device)
    views = [
        base[::2],
        base[:, 3:8],
        base[:, ::2],
        base.flip(0).T,
        base[:1].expand(30, -1),
        base[:, :1].expand(-1, 20),
        base.expand(3, 40, 12)[1],
    ]
    for view in views:
        values, index = ops.sorted_columns(view)
        expected_values, expected_index = view.sort(dim=0, stable=True)
        assert torch.equal(values, expected_values)
        assert torch.equal(index, expected_index)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_goes_where_the_value_came_from(rows, dtype, device):
    x = sample(2, rows, 19, dtype=dtype, device=device)
    _, index = OPERATOR(x)
    grad = sample(2, rows, 19, dtype=dtype, device=device, seed=1)
    expected = torch.zeros_like(x).scatter(1, index, grad)
    for strided in (grad, grad.mT.contiguous().mT):
        got = BACKWARD(strided, index)
        assert torch.equal(got, expected)
        assert got.is_contiguous()
    constant = torch.ones(1, 1, 1, dtype=dtype, device=device).expand(2, rows, 19)
    assert torch.equal(BACKWARD(constant, index), torch.ones_like(x))


def test_gradcheck_and_gradgradcheck(device):
    x = sample(2, 6, 3, dtype=torch.float64, device=device).requires_grad_()

    def call(x):
        return ops.sorted_columns(x)[0].pow(3)

    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))
    assert not ops.sorted_columns(x)[1].requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype, device):
    for shape in ((2, 5, 3), (5, 3), (1, 1, 1), (2, 0, 3), (0, 4, 3), (2, 4, 0)):
        x = sample(*shape, dtype=dtype, device=device).requires_grad_()
        library.opcheck(OPERATOR, (x,))
        index = OPERATOR(x.detach())[1]
        library.opcheck(BACKWARD, (x, index))


ERRORS = {
    "dimensions": (
        OPERATOR,
        (torch.zeros(4),),
        r"sorted_columns: x must have two or three dimens",
    ),
    "dtype": (OPERATOR, (torch.zeros(1, 4, 3).half(),), r"x must be float32 or float64"),
    "index shape": (
        BACKWARD,
        (torch.zeros(1, 4, 3), torch.zeros(1, 3, 3, dtype=torch.int64)),
        r"sorted_columns_backward: index must have shape \[1, 4, 3\], got \[1, 3, 3\]",
    ),
    "index dtype": (
        BACKWARD,
        (torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)),
        r"sorted_columns_backward: index must be int64",
    ),
    "index beyond the rows": (
        BACKWARD,
        (torch.zeros(1, 4, 3), torch.full((1, 4, 3), 4)),
        r"sorted_columns_backward: index must name rows from 0 to 3",
    ),
    "index below the rows": (
        BACKWARD,
        (torch.zeros(1, 4, 3), torch.full((1, 4, 3), -1)),
        r"sorted_columns_backward: index must name rows from 0 to 3",
    ),
}
REFERENCES = {
    OPERATOR: reference("sorted_columns"),
    BACKWARD: reference("sorted_columns_backward"),
}


@pytest.mark.parametrize("plain", [False, True], ids=["operator", "reference"])
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(case, plain):
    operator, arguments, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        (REFERENCES[operator] if plain else operator)(*arguments)


# --- quantiles -----------------------------------------------------------------------------------

LEVELS = [0.0, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.999, 1.0]


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantiles_equal_torch(rows, dtype, device):
    x = sample(2, rows, 5, dtype=dtype, device=device)
    expected = torch.quantile(x, torch.tensor(LEVELS, dtype=dtype, device=device), dim=1)
    torch.testing.assert_close(
        ops.quantiles(x, LEVELS), expected.transpose(0, 1), rtol=1e-5, atol=1e-5
    )
    assert torch.equal(ops.quantiles(x[0], LEVELS), ops.quantiles(x, LEVELS)[0])


def test_quantiles_by_hand(device):
    x = torch.tensor([[10.0, INF], [40, 1], [20, 2], [30, -INF]], device=device)
    got = ops.quantiles(x, [0.5, 0, 0.25, 1])
    expected = [[25, 1.5], [10, -INF], [17.5, -INF], [40, INF]]
    assert got.tolist() == expected
    ties = torch.tensor([[INF], [INF], [INF], [-1]], device=device)
    assert ops.quantiles(ties, [0.9]).item() == INF
    assert math.isnan(ops.quantiles(torch.tensor([[1.0], [NAN]], device=device), [0.0]).item())
    assert ops.quantiles(x, []).shape == (0, 2)


def test_quantile_gradients(device):
    x = sample(7, 2, dtype=torch.float64, device=device).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.quantiles(x, LEVELS), (x,))
    assert torch.autograd.gradgradcheck(lambda x: ops.quantiles(x, LEVELS).square(), (x,))
    median = torch.autograd.grad(ops.quantiles(x, [0.5]).sum(), x)[0]
    assert torch.equal(median, (x == x.median(0).values).to(x.dtype))


def test_quantile_errors():
    with pytest.raises(RuntimeError, match=r"quantiles: levels must be from 0 to 1, got 1\.5"):
        ops.quantiles(torch.zeros(3, 2), [0.5, 1.5])
    with pytest.raises(RuntimeError, match=r"quantiles: x must have a row, got shape \[0, 2\]"):
        ops.quantiles(torch.zeros(0, 2), [0.5])


# --- wasserstein_1d ------------------------------------------------------------------------------


def test_distances_by_hand(device):
    x = torch.tensor([[3.0], [1], [2]], device=device)
    y = torch.tensor([[7.0], [2], [2]], device=device)
    # sorted: 1 2 3 against 2 2 7
    assert ops.wasserstein_1d(x, y).item() == pytest.approx(5 / 3)
    assert ops.wasserstein_1d(x, y, 2).item() == pytest.approx(17 / 3)
    # 1 2 3 against 0 6 over the sixths: 1 1 2 | 2 3 3 against 0 0 0 | 6 6 6
    z = torch.tensor([[6.0], [0]], device=device)
    assert ops.wasserstein_1d(x, z).item() == pytest.approx((1 + 1 + 2 + 4 + 3 + 3) / 6)
    assert ops.wasserstein_1d(z, x, 2).item() == pytest.approx((1 + 1 + 4 + 16 + 9 + 9) / 6)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "m"), [(7, 7), (1, 1), (1, 9), (6, 4), (127, 129), (500, 250)])
def test_distances_of_shifted_samples(n, m, p, device):
    """Closed form: W_p^p of a sample and its shifted copy (each value m, n times) is shift^p."""
    x = sample(n, 3, dtype=torch.float64, device=device)
    many_x, many_y = x.repeat(m, 1), x.repeat(n if n != m else m, 1) + 2.5
    distance = ops.wasserstein_1d(many_x, many_y, p)
    torch.testing.assert_close(distance, torch.full_like(distance, 2.5**p))


@pytest.mark.parametrize(("n", "m"), [(7, 7), (1, 9), (6, 4), (127, 129), (500, 130)])
def test_distances_equal_scipy(n, m, device):
    x = sample(n, 3, dtype=torch.float64, device=device)
    y = 2 * sample(m, 3, dtype=torch.float64, device=device, seed=1) + 1
    expected = [
        scipy.stats.wasserstein_distance(a.cpu().numpy(), b.cpu().numpy())
        for a, b in zip(x.T, y.T, strict=True)
    ]
    got = ops.wasserstein_1d(x, y)
    torch.testing.assert_close(got.cpu(), torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(ops.wasserstein_1d(y, x), got)
    batched = ops.wasserstein_1d(x.expand(2, n, 3), y.expand(2, m, 3))
    torch.testing.assert_close(batched, got.expand(2, 3))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (1, 3)])
def test_distance_gradients(n, m, p, device):
    x = sample(n, 2, dtype=torch.float64, device=device).requires_grad_()
    y = sample(m, 2, dtype=torch.float64, device=device, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: ops.wasserstein_1d(x, y, p), (x, y))
    if p == 2:  # of p = 1 the second derivative is zero
        assert torch.autograd.gradgradcheck(lambda x, y: ops.wasserstein_1d(x, y, p), (x, y))


def test_no_gradient_where_the_samples_agree(device):
    x = sample(9, 2, device=device).requires_grad_()
    for p in (1, 2):
        (grad,) = torch.autograd.grad(ops.wasserstein_1d(x, x.detach().flip(0), p).sum(), x)
        assert bool((grad == 0).all())


def test_not_a_number_stays_in_its_column(device):
    x = sample(5, 2, device=device)
    x[2, 1] = NAN
    for rows in (5, 3):
        distance = ops.wasserstein_1d(x, torch.zeros(rows, 2, device=device))
        assert distance.isnan().tolist() == [False, True]


DISTANCE_ERRORS = {
    "p": ((torch.zeros(3, 2), torch.zeros(3, 2), 3), r"p must be 1 or 2, got 3"),
    "columns": (
        (torch.zeros(3, 2), torch.zeros(4, 1)),
        r"wasserstein_1d: y must have shape \[4, 2\], got \[4, 1\]",
    ),
    "batch": (
        (torch.zeros(3, 2), torch.zeros(1, 4, 2)),
        r"wasserstein_1d: y must have shape \[4, 2\], got \[1, 4, 2\]",
    ),
    "dtype": ((torch.zeros(3, 2), torch.zeros(3, 2).double()), r"same dtype as x"),
    "no row": ((torch.zeros(3, 2), torch.zeros(0, 2)), r"y must have a row, got shape \[0, 2\]"),
    "dimensions": ((torch.zeros(3), torch.zeros(3)), r"x must have two or three dimensions"),
}


@pytest.mark.parametrize("case", DISTANCE_ERRORS)
def test_distance_errors_name_the_argument(case):
    arguments, message = DISTANCE_ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        ops.wasserstein_1d(*arguments)
