"""moments and correlation against tables worked by hand, references and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

NAN, INF = math.nan, math.inf
OPERATOR = torch.ops.sdv_wgangp.moments.default
BACKWARD = torch.ops.sdv_wgangp.moments_backward.default

implementations = pytest.mark.parametrize(
    "operator", [OPERATOR, reference("moments")], ids=["operator", "reference"]
)
SIZES = [1, 2, 7, 127, 129, 500]
# Relative to the sizes of the sums: products of up to 129 terms in the argument's type.
TOLERANCE = {
    torch.float32: {"rtol": 2e-5, "atol": 2e-5},
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
}

# rows, correction -> mean, covariance
TABLE = {
    "two columns": (
        [[1, 2], [3, 6], [5, 1]],
        1,
        [3, 3],
        [[4, -1], [-1, 7]],
    ),
    "divided by n": (
        [[1, 2], [3, 6], [5, 1]],
        0,
        [3, 3],
        [[8 / 3, -2 / 3], [-2 / 3, 14 / 3]],
    ),
    "one row": ([[4, 5]], 0, [4, 5], [[0, 0], [0, 0]]),
    "a constant column": ([[7, 0], [7, 2]], 1, [7, 1], [[0, 0], [0, 2]]),
    "not a number stays in its column": (
        [[1, NAN, 3], [3, 5, 1]],
        1,
        [2, NAN, 2],
        [[2, NAN, -2], [NAN, NAN, NAN], [-2, NAN, 2]],
    ),
    "infinity": (
        [[1, INF, 3], [3, 5, 1]],
        1,
        [2, INF, 2],
        [[2, NAN, -2], [NAN, NAN, NAN], [-2, NAN, 2]],
    ),
    # Deviations of one beside a mean of 2^23, where float32 has whole numbers only.
    "a large mean": (
        [[8388608, 0], [8388609, 1], [8388610, 2], [8388609, 1]],
        1,
        [8388609, 1],
        [[2 / 3, 2 / 3], [2 / 3, 2 / 3]],
    ),
    "subnormal squares vanish": ([[1e-30, 1], [-1e-30, 3]], 1, [0, 2], [[0, -2e-30], [-2e-30, 2]]),
    "no columns": ([[], []], 1, [], []),
}


def sample(*shape, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).to(device)


@implementations
@pytest.mark.parametrize("case", TABLE)
def test_tables_worked_by_hand(operator, case, device):
    rows, correction, mean, covariance = TABLE[case]
    x = torch.tensor([rows, rows], dtype=torch.float32, device=device)
    got_mean, got_covariance = operator(x, correction)
    columns = x.shape[2]
    expected = torch.tensor([covariance] * 2, dtype=torch.float32, device=device)
    torch.testing.assert_close(
        got_mean, torch.tensor([mean, mean], dtype=torch.float32, device=device), equal_nan=True
    )
    torch.testing.assert_close(
        got_covariance, expected.view(2, columns, columns), equal_nan=True, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [1, 2, 7, 33, 129])
@pytest.mark.parametrize("rows", [*SIZES, 512, 513, 5000])
def test_equals_the_reference(rows, columns, dtype, device):
    x = 3 * sample(2, rows, columns, dtype=dtype, device=device) + 10
    correction = 1 if rows > 1 else 0
    mean, covariance = OPERATOR(x, correction)
    expected_mean, expected_covariance = reference("moments")(x, correction)
    torch.testing.assert_close(mean, expected_mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(covariance, expected_covariance, **TOLERANCE[dtype])
    assert torch.equal(covariance, covariance.mT)
    grad_mean = sample(*mean.shape, dtype=dtype, device=device, seed=1)
    grad_covariance = sample(*covariance.shape, dtype=dtype, device=device, seed=2)
    torch.testing.assert_close(
        BACKWARD(grad_mean, grad_covariance, x, correction),
        reference("moments_backward")(grad_mean, grad_covariance, x, correction),
        **TOLERANCE[dtype],
    )


@pytest.mark.parametrize("batch", [0, 1, 3, 40])
def test_matrices_of_a_batch_do_not_meet(batch, device):
    x = sample(batch, 20, 5, device=device)
    mean, covariance = ops.moments(x)
    assert mean.shape == (batch, 5)
    assert covariance.shape == (batch, 5, 5)
    for b in range(batch):
        single_mean, single_covariance = ops.moments(x[b])
        assert torch.equal(mean[b], single_mean)
        assert torch.equal(covariance[b], single_covariance)
        ones = torch.ones_like(mean), torch.ones_like(covariance)
        whole = BACKWARD(*ones, x, 1)
        assert torch.equal(whole[b], BACKWARD(ones[0][b], ones[1][b], x[b], 1))


def test_agrees_with_numpy(device):
    x = sample(300, 6, dtype=torch.float64, device=device)
    mean, covariance = ops.moments(x)
    np.testing.assert_allclose(mean.cpu().numpy(), x.cpu().numpy().mean(0), atol=1e-15)
    np.testing.assert_allclose(
        covariance.cpu().numpy(), np.cov(x.cpu().numpy().T), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        ops.correlation(x).cpu().numpy(), np.corrcoef(x.cpu().numpy().T), rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("value", [0.1, 1e30, 3.4e38, 1e-30, 1e-45, -7.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [2, 3, 500, 5001])
def test_a_constant_column_has_its_value_as_mean_and_no_covariance(rows, dtype, value, device):
    x = sample(rows, 3, dtype=dtype, device=device)
    x[:, 1] = value
    mean, covariance = ops.moments(x)
    assert mean[1] == x[0, 1]
    assert bool((covariance[1] == 0).all())
    assert bool((covariance[:, 1] == 0).all())


def test_precision_does_not_follow_the_matmul_setting(device):
    x = sample(500, 150, device=device)
    exact = torch.cov(x.double().T)
    x.requires_grad_()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        covariance = ops.moments(x)[1]
        covariance.square().sum().backward()
    finally:
        torch.set_float32_matmul_precision(before)
    assert float((covariance.detach() - exact).abs().max()) < 6e-7
    expected = (x.detach() - x.detach().mean(0)).double() @ exact * 4 / 499
    assert float((x.grad - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e6])
def test_a_large_mean_costs_no_digits(mean, device):
    x = sample(500, 4, dtype=torch.float64, device=device) + mean
    single = x.float()
    exact = torch.cov(single.double().T)
    torch.testing.assert_close(
        ops.moments(single)[1].double(), exact, rtol=1e-5, atol=float(exact.abs().max()) * 1e-6
    )
    # The gradient of a covariance has no constant part, however large the mean.
    single.requires_grad_()
    ops.moments(single)[1].square().sum().backward()
    assert float(single.grad.sum(0).abs().max()) < 1e-5


def test_overflow_is_infinite_and_underflow_zero(device):
    x = torch.tensor([[3e19, 1e-23], [-3e19, -1e-23]], device=device)
    covariance = ops.moments(x)[1]
    assert covariance[0, 0] == INF
    assert covariance[1, 1] <= 3e-46
    assert ops.moments(x.double())[1][0, 0] == pytest.approx(1.8e39)
    means = ops.moments(torch.full((4, 1), 3e38, device=device))[0]
    assert means.item() == pytest.approx(3e38)  # the sum is beyond float32


def test_views_and_expanded_arguments(device):
    base = sample(40, 12, device=device)
    views = {
        "every other row": base[::2],
        "a slice of columns": base[:, 3:8],
        "every other column": base[:, ::2],
        "transposed": sample(7, 40, device=device).T,
        "one row for all": base[:1].expand(30, -1),
        "one column for all": base[:, :1].expand(-1, 5),
    }
    for name, view in views.items():
        got = ops.moments(view)
        expected = ops.moments(view.contiguous())
        for a, b in zip(got, expected, strict=True):
            assert torch.equal(a, b), name
    many = base.expand(3, 40, 12)
    assert torch.equal(ops.moments(many)[1], ops.moments(base)[1].expand(3, 12, 12))


def test_expanded_gradients(device):
    x = sample(6, 3, device=device).requires_grad_()
    mean, covariance = ops.moments(x)
    (mean.sum() + covariance.sum()).backward()
    plain = x.detach().clone().requires_grad_()
    (plain.mean(0).sum() + torch.cov(plain.T).sum()).backward()
    torch.testing.assert_close(x.grad, plain.grad)


def test_a_gradient_of_the_mean_alone_needs_no_product(device):
    x = sample(2, 6, 3, device=device).requires_grad_()
    weights = sample(2, 3, device=device, seed=1)
    (ops.moments(x)[0] * weights).sum().backward()
    assert torch.equal(x.grad, (weights / 6).unsqueeze(1).expand(2, 6, 3))


@pytest.mark.parametrize("correction", [0, 1])
def test_gradcheck_and_gradgradcheck(correction, device):
    x = sample(2, 5, 3, dtype=torch.float64, device=device).requires_grad_()

    def call(x):
        return ops.moments(x, correction)

    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))
    grads = [
        sample(*shape, dtype=torch.float64, device=device, seed=3).requires_grad_()
        for shape in ((2, 3), (2, 3, 3))
    ]
    assert torch.autograd.gradcheck(BACKWARD, (*grads, x, correction))
    assert torch.autograd.gradgradcheck(BACKWARD, (*grads, x, correction))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype, device):
    for shape in ((2, 5, 3), (5, 3), (1, 2, 1), (0, 4, 3), (2, 4, 0)):
        x = sample(*shape, dtype=dtype, device=device).requires_grad_()
        library.opcheck(OPERATOR, (x, 1))
        *batch, _, columns = shape
        grad_mean = sample(*batch, columns, dtype=dtype, device=device).requires_grad_()
        grad_covariance = sample(*batch, columns, columns, dtype=dtype, device=device)
        library.opcheck(BACKWARD, (grad_mean, grad_covariance, x, 1))


def test_compiles_without_a_break(device):
    x = sample(20, 4, device=device)
    compiled = torch.compile(ops.correlation, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), ops.correlation(x))


def test_under_autocast_sums_stay_float32(device):
    x = sample(50, 4, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        mean, covariance = ops.moments(x.bfloat16())
    assert mean.dtype == covariance.dtype == torch.float32


# --- correlation ---------------------------------------------------------------------------------


def test_correlation_of_constant_columns(device):
    x = sample(9, 4, dtype=torch.float64, device=device)
    x[:, 1], x[:, 3] = 5.0, 0.1
    x.requires_grad_()
    result = ops.correlation(x)
    constant = torch.tensor([1, 3], device=device)
    rest = result.index_select(0, constant)
    expected = torch.zeros(2, 4, dtype=torch.float64, device=device)
    expected[0, 1] = expected[1, 3] = 1
    assert torch.equal(rest, expected)
    result.sum().backward()
    assert bool((x.grad[:, 1] == 0).all())
    assert bool((x.grad[:, 3] == 0).all())
    assert bool(x.grad.isfinite().all())
    assert float(x.grad[:, 0].abs().max()) > 0


def test_correlation_of_affine_maps_is_one(device):
    x = sample(30, 1, dtype=torch.float64, device=device)
    both = ops.correlation(torch.cat((x, 3 * x + 7, -2 * x), 1))
    expected = torch.tensor([[1, 1, -1], [1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    torch.testing.assert_close(both.cpu(), expected)


def test_correlation_gradients_and_minimum_variance(device):
    x = sample(6, 3, dtype=torch.float64, device=device).requires_grad_()
    assert torch.autograd.gradcheck(ops.correlation, (x,))
    assert torch.autograd.gradgradcheck(ops.correlation, (x,))
    small = torch.cat((x, 1e-3 * x[:, :1]), 1)
    assert ops.correlation(small)[0, 3].item() == pytest.approx(1)
    assert ops.correlation(small, minimum_variance=1e-4)[0, 3].item() == 0


# --- errors --------------------------------------------------------------------------------------

X = torch.zeros(2, 4, 3)
ERRORS = {
    "dimensions": (
        (torch.zeros(4), 1),
        r"moments: x must have two or three dimensions .* shape \[4\]",
    ),
    "dtype": ((X.half(), 1), r"moments: x must be float32 or float64"),
    "one row": (
        (X[:, :1], 1),
        r"moments: x must have more than 1 rows \(correction\), got shape \[2, 1, 3\]",
    ),
    "correction": ((X, -1), r"moments: correction must not be negative, got -1"),
}
BACKWARD_ERRORS = {
    "mean": (
        (torch.zeros(2, 4), torch.zeros(2, 3, 3), X, 1),
        r"moments_backward: grad_mean must have shape \[2, 3\], got \[2, 4\]",
    ),
    "covariance": (
        (torch.zeros(2, 3), torch.zeros(2, 3), X, 1),
        r"moments_backward: grad_covariance must have shape \[2, 3, 3\], got \[2, 3\]",
    ),
    "dtype": (
        (torch.zeros(2, 3).double(), torch.zeros(2, 3, 3), X, 1),
        r"moments_backward: grad_mean must have the same dtype as x",
    ),
}


@implementations
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(operator, case):
    arguments, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        operator(*arguments)


@pytest.mark.parametrize(
    "operator", [BACKWARD, reference("moments_backward")], ids=["operator", "reference"]
)
@pytest.mark.parametrize("case", BACKWARD_ERRORS)
def test_errors_of_the_backward_name_the_argument(operator, case):
    arguments, message = BACKWARD_ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        operator(*arguments)
