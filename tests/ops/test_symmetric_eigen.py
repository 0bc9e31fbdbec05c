"""symmetric_eigen against matrices whose eigenvalues are known, LAPACK, finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

NAN, INF = math.nan, math.inf
OPERATOR = torch.ops.sdv_wgangp.symmetric_eigen.default
BACKWARD = torch.ops.sdv_wgangp.symmetric_eigen_backward.default

implementations = pytest.mark.parametrize(
    "operator", [OPERATOR, reference("symmetric_eigen")], ids=["operator", "reference"]
)
# Batches below 8 and sizes beyond 6 (on CUDA 64) are other code.
BATCHES = [1, 9, 40]
SIZES = [1, 2, 3, 4, 5, 6, 7, 16, 33, 64, 65]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def symmetric(*shape, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(*shape, shape[-1], generator=generator, dtype=dtype)
    return (a + a.mT).to(device)


TABLE = {
    "one": ([[3]], [3]),
    "diagonal": ([[2, 0, 0], [0, -1, 0], [0, 0, 1]], [-1, 1, 2]),
    "two by two": ([[2, 1], [1, 2]], [1, 3]),
    "equal": ([[5, 0], [0, 5]], [5, 5]),
    "zero": ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [0, 0, 0]),
    "rank one": ([[1, 2, 3], [2, 4, 6], [3, 6, 9]], [0, 0, 14]),
    "opposite": ([[0, 1], [1, 0]], [-1, 1]),
    "huge": ([[2e38, 1e38], [1e38, 2e38]], [1e38, 3e38]),
    "tiny": ([[2e-38, 1e-38], [1e-38, 2e-38]], [1e-38, 3e-38]),
    "many magnitudes": ([[1e30, 0, 0], [0, 1, 0], [0, 0, 1e-30]], [1e-30, 1, 1e30]),
    "not a number": ([[1, 0], [NAN, 1]], [NAN, NAN]),
    "infinite": ([[INF, 0], [0, 1]], [NAN, NAN]),
    "path of four": (
        [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]],
        [2 * math.cos(k * math.pi / 5) for k in (4, 3, 2, 1)],
    ),
}


@implementations
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("case", TABLE)
def test_matrices_with_known_eigenvalues(operator, case, batch, device):
    matrix, values = TABLE[case]
    a = torch.tensor(matrix, dtype=torch.float32, device=device).repeat(batch, 1, 1)
    expected = torch.tensor(values, dtype=torch.float32, device=device).expand(batch, -1)
    scale = float(a.nan_to_num(0, 0, 0).abs().max())
    for vectors in (True, False):
        got, q = operator(a, vectors)
        torch.testing.assert_close(got, expected, equal_nan=True, rtol=1e-6, atol=1e-6 * scale)
        assert q.shape == (a.shape if vectors else (batch, 0, 0))


@pytest.mark.parametrize("size", [2, 5, 6, 7, 40])
@pytest.mark.parametrize("correlation", [-0.1, 0.0, 0.5, 1.0])
def test_equicorrelation_matrix(size, correlation, device):
    """c 11' + (1 - c) I has the eigenvalues 1 - c, size - 1 times, and 1 + (size - 1) c."""
    if size == 40 and correlation < 0:
        correlation = -1 / 40
    one = torch.ones(20, size, size, dtype=torch.float64, device=device)
    a = correlation * one + (1 - correlation) * torch.eye(size, dtype=one.dtype, device=device)
    expected = torch.full((size,), 1 - correlation, dtype=torch.float64)
    expected[-1] = 1 + (size - 1) * correlation
    got = ops.symmetric_eigenvalues(a).cpu()
    torch.testing.assert_close(got, expected.sort()[0].expand(20, -1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("size", SIZES)
def test_values_and_vectors(size, batch, dtype, device):
    a = symmetric(batch, size, dtype=dtype, device=device)
    values, q = ops.symmetric_eigen(a)
    tolerance = TOLERANCE[dtype] * size
    torch.testing.assert_close(
        values.double(), torch.linalg.eigvalsh(a.double()), rtol=0, atol=tolerance
    )
    torch.testing.assert_close((q * values.unsqueeze(1)) @ q.mT, a, rtol=0, atol=tolerance)
    unit = torch.eye(size, dtype=dtype, device=device).expand(batch, size, size)
    torch.testing.assert_close(q.mT @ q, unit, rtol=0, atol=tolerance)
    torch.testing.assert_close(
        ops.symmetric_eigenvalues(a), values, rtol=0, atol=TOLERANCE[dtype] * size
    )
    assert bool((values.diff() >= 0).all())


@pytest.mark.parametrize("exponent", [-42, -30, 30, 36])
@pytest.mark.parametrize("batch", BATCHES)
def test_scale_is_no_matter(batch, exponent, device):
    a = symmetric(batch, 5, device=device)
    scaled = a * 10.0**exponent
    expected = torch.linalg.eigvalsh(scaled.double())
    got = ops.symmetric_eigenvalues(scaled).double()
    # Of subnormal numbers only some bits are left.
    spacing = max(2e-6 * float(expected.abs().max()), 3e-45)
    torch.testing.assert_close(got, expected, rtol=0, atol=spacing)


@pytest.mark.parametrize("size", [3, 20])
@pytest.mark.parametrize("batch", BATCHES)
def test_what_is_not_finite_stays_in_its_matrix(size, batch, device):
    a = symmetric(batch + 2, size, device=device)
    clean = ops.symmetric_eigenvalues(a)
    a[1, 2, 0] = a[1, 0, 2] = NAN
    values, q = ops.symmetric_eigen(a)
    assert bool(values[1].isnan().all())
    assert bool(q[1].isnan().all())
    rest = [0, *range(2, batch + 2)]
    torch.testing.assert_close(values[rest], clean[rest], rtol=1e-5, atol=1e-4)
    assert bool(q[rest].isfinite().all())
    # Only the lower triangle is read.
    upper = symmetric(batch, size, device=device)
    torch.testing.assert_close(
        ops.symmetric_eigenvalues(upper.tril()), ops.symmetric_eigenvalues(upper)
    )


def test_empty_and_single(device):
    for shape in ((0, 4, 4), (3, 0, 0)):
        values, q = ops.symmetric_eigen(torch.zeros(shape, device=device))
        assert values.shape == shape[:2]
        assert q.shape == shape
    a = symmetric(4, device=device)
    torch.testing.assert_close(
        ops.symmetric_eigenvalues(a), torch.linalg.eigvalsh(a), rtol=1e-5, atol=1e-5
    )


def test_views_and_expanded_arguments(device):
    base = symmetric(20, 8, device=device)
    for view in (base[::2], base[:, ::2, ::2], base.mT, base[:1].expand(12, 8, 8)):
        torch.testing.assert_close(
            ops.symmetric_eigenvalues(view), ops.symmetric_eigenvalues(view.contiguous())
        )


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_backward_equals_the_reference(size, dtype, device):
    a = symmetric(3, size, dtype=dtype, device=device)
    _, q = ops.symmetric_eigen(a)
    grad = symmetric(3, size, dtype=dtype, device=device, seed=1)[:, 0]
    expected = reference("symmetric_eigen_backward")(grad, q, a)
    for vectors in (q, q.contiguous()):
        torch.testing.assert_close(
            BACKWARD(grad, vectors, a), expected, rtol=0, atol=TOLERANCE[dtype] * size
        )
    ones = torch.ones(1, 1, dtype=dtype, device=device).expand(3, size)
    unit = torch.eye(size, dtype=dtype, device=device).expand(3, size, size)
    torch.testing.assert_close(BACKWARD(ones, q, a), unit, rtol=0, atol=TOLERANCE[dtype] * size)


@pytest.mark.parametrize("batch", [2, 9])
def test_gradcheck(batch, device):
    a = symmetric(batch, 4, dtype=torch.float64, device=device).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: ops.symmetric_eigenvalues((a + a.mT) / 2), (a,))
    values, vectors = ops.symmetric_eigen(a)
    assert values.requires_grad
    assert not vectors.requires_grad


def test_gradient_without_vectors_in_the_forward(device):
    a = symmetric(9, 4, dtype=torch.float64, device=device).requires_grad_()
    expected = torch.autograd.grad(torch.linalg.eigvalsh(a).pow(3).sum(), a)[0]
    for vectors in (True, False):
        got = torch.autograd.grad(OPERATOR(a, vectors)[0].pow(3).sum(), a)[0]
        torch.testing.assert_close(got, expected)


def test_gradient_at_ties(device):
    """A function that treats equal eigenvalues alike: sum l^2 = |A|^2, of gradient 2 A."""
    a = torch.eye(5, dtype=torch.float64, device=device).repeat(10, 1, 1)
    a[:, 4, 4] = 3
    a.requires_grad_()
    ops.symmetric_eigenvalues(a).square().sum().backward()
    torch.testing.assert_close(a.grad, 2 * a.detach())


def test_chain_of_statistics(device):
    x = torch.randn(9, 6, 3, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ops.symmetric_eigenvalues(ops.correlation(x)), (x,))


def test_second_derivatives_are_refused_not_wrong(device):
    a = symmetric(9, 4, dtype=torch.float64, device=device).requires_grad_()
    (grad,) = torch.autograd.grad(ops.symmetric_eigenvalues(a).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivatives in a are not provided"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype, device):
    for shape in ((9, 4), (2, 3), (3,), (1, 1), (0, 3), (2, 0), (2, 20)):
        a = symmetric(*shape, dtype=dtype, device=device)
        q = OPERATOR(a, True)[1]
        grad = torch.ones(*shape, dtype=dtype, device=device, requires_grad=True)
        library.opcheck(BACKWARD, (grad, q, a))
        library.opcheck(OPERATOR, (a, False))
        library.opcheck(OPERATOR, (a.requires_grad_(), True))


def test_linear_part_of_the_second_derivative(device):
    a = symmetric(3, 4, dtype=torch.float64, device=device)
    q = OPERATOR(a, True)[1]
    grad = torch.randn(3, 4, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g: BACKWARD(g, q, a), (grad,))


A = torch.zeros(2, 3, 3)
ERRORS = {
    "dimensions": (
        OPERATOR,
        (torch.zeros(3), True),
        r"symmetric_eigen: a must have two or three dimensions .* got shape \[3\]",
    ),
    "not square": (
        OPERATOR,
        (torch.zeros(2, 3, 4), True),
        r"symmetric_eigen: a must hold square matrices, got shape \[2, 3, 4\]",
    ),
    "dtype": (OPERATOR, (A.half(), True), r"symmetric_eigen: a must be float32 or float64"),
    "grad": (
        BACKWARD,
        (torch.zeros(2, 4), A, A),
        r"symmetric_eigen_backward: grad must have shape \[2, 3\], got \[2, 4\]",
    ),
    "vectors": (
        BACKWARD,
        (torch.zeros(2, 3), A[:1], A),
        r"symmetric_eigen_backward: vectors must have shape \[2, 3, 3\], got \[1, 3, 3\]",
    ),
}
REFERENCES = {
    OPERATOR: reference("symmetric_eigen"),
    BACKWARD: reference("symmetric_eigen_backward"),
}


@pytest.mark.parametrize("plain", [False, True], ids=["operator", "reference"])
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(case, plain):
    operator, arguments, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        (REFERENCES[operator] if plain else operator)(*arguments)
