"""interpolate and gradient_norm_penalty against tables worked by hand, references, differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.penalty import KINDS
from sdv_wgangp.ops.registry import reference

NAN, INF = math.nan, math.inf
INTERPOLATE = torch.ops.sdv_wgangp.interpolate.default
OPERATOR = torch.ops.sdv_wgangp.gradient_norm_penalty.default
BACKWARD = torch.ops.sdv_wgangp.gradient_norm_penalty_backward.default

implementations = pytest.mark.parametrize(
    "operator", [OPERATOR, reference("gradient_norm_penalty")], ids=["operator", "reference"]
)
backwards = pytest.mark.parametrize(
    "backward",
    [BACKWARD, reference("gradient_norm_penalty_backward")],
    ids=["operator", "reference"],
)
interpolates = pytest.mark.parametrize(
    "operator", [INTERPOLATE, reference("interpolate")], ids=["operator", "reference"]
)
kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
# A unit or two in the last place: sums are in float64.
TOLERANCE = {
    torch.float32: {"rtol": 2.5e-7, "atol": 0},
    torch.float64: {"rtol": 1e-14, "atol": 0},
}
RIGHT = torch.tensor([0.6, -0.8], dtype=torch.float64)  # of length 1
# Rows of one element to rows of several blocks' worth, in one, two and three dimensions.
SHAPES = [
    *[(rows, 13) for rows in (1, 2, 7, 127, 129, 500)],
    *[(3, width) for width in (1, 2, 7, 15, 16, 17, 127, 129, 500, 1024, 16385)],
    *[(7, 3, 5), (2, 1, 1), (129, 2, 3, 4), (2, 3, 33, 65)],
]


def sample(*shape, dtype=torch.float32, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).to(device)


# --- interpolate ---------------------------------------------------------------------------------


@interpolates
@dtypes
def test_interpolates_worked_by_hand(operator, dtype, device):
    real = torch.tensor([[1, 2], [1, 2], [1, 2], [1, 2]], dtype=dtype, device=device)
    fake = torch.tensor([[3, -6], [3, -6], [3, -6], [3, INF]], dtype=dtype, device=device)
    epsilon = torch.tensor([[0], [1], [0.25], [0.75]], dtype=dtype, device=device)
    expected = torch.tensor([[1, 2], [3, -6], [1.5, 0], [2.5, NAN]], dtype=dtype, device=device)
    got = operator(real, fake, epsilon)
    torch.testing.assert_close(got[:, 0], expected[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(got[:3], expected[:3], rtol=0, atol=0)
    assert not bool(got[3, 1].isfinite())


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_interpolate_equals_the_reference(shape, dtype, device):
    real, fake = (sample(*shape, dtype=dtype, device=device, seed=seed) for seed in (0, 1))
    epsilon = torch.linspace(0, 1, shape[0], dtype=dtype, device=device)[:, None]
    got = ops.interpolate(real, fake, epsilon)
    expected = reference("interpolate")(real, fake, epsilon)
    # A fused multiply-add rounds once where two operations round twice.
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(got[0], real[0])
    if shape[0] > 1:
        assert torch.equal(got[-1], fake[-1])


@interpolates
@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0, 2)], ids=str)
def test_interpolates_of_nothing(operator, shape, device):
    empty = torch.empty(shape, device=device)
    epsilon = torch.rand(shape[0], 1, device=device)
    assert operator(empty, empty, epsilon).shape == shape


def layouts(device):
    """Images of one shape, laid out in memory in many ways."""
    base = sample(6, 4, 5, 8, device=device)
    wide = sample(12, 8, 5, 8, device=device)
    return {
        "contiguous": base,
        "channels last": base.to(memory_format=torch.channels_last),
        "every other row": wide[::2, :4],
        "every other channel": wide[:6, ::2],
        "rows inside": base.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
        "columns before rows": base.mT.contiguous().mT,
        "one row for all": base[:1].expand(6, 4, 5, 8),
        "one number for all": base[0, 0, 0, 0].expand(6, 4, 5, 8),
        "one channel for all": base[:, :1].expand(6, 4, 5, 8),
        "rows that overlap": wide.as_strided((6, 4, 5, 8), (16, 40, 8, 1)),
    }


NAMES = list(layouts("cpu"))


@interpolates
@pytest.mark.parametrize("name", NAMES)
def test_interpolates_of_views(operator, name, device):
    real = layouts(device)[name]
    epsilon = torch.rand(1, 6, device=device).expand(6, 6)[0, :, None]
    for other, fake in layouts(device).items():
        got = operator(real, fake, epsilon)
        expected = torch.lerp(real, fake, epsilon.view(6, 1, 1, 1))
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6, msg=other)
        assert got.stride() == torch.empty_like(real).stride()
    assert torch.equal(real, layouts(device)[name])


def test_interpolate_takes_an_epsilon_at_any_stride(device):
    real, fake = sample(5, 3, device=device), sample(5, 3, device=device, seed=1)
    epsilon = torch.rand(5, 4, device=device)[:, 2:3]
    expanded = torch.full((1, 1), 0.25, device=device).expand(5, 1)
    for a in (epsilon, expanded):
        assert torch.equal(ops.interpolate(real, fake, a), ops.interpolate(real, fake, a.clone()))


def test_derivatives_of_interpolates(device):
    real, fake = (
        sample(4, 3, 2, dtype=torch.float64, device=device, seed=s).requires_grad_()
        for s in (0, 1)
    )
    epsilon = torch.rand(4, 1, dtype=torch.float64, device=device).requires_grad_()
    assert torch.autograd.gradcheck(ops.interpolate, (real, fake, epsilon))
    assert torch.autograd.gradgradcheck(ops.interpolate, (real, fake, epsilon))
    for wanted in range(3):
        arguments = [a.detach() for a in (real, fake, epsilon)]
        arguments[wanted].requires_grad_()
        assert torch.autograd.gradcheck(ops.interpolate, arguments)


def test_interpolate_keeps_the_rows_only_for_epsilon(device):
    real, fake = sample(4, 3, device=device).requires_grad_(), sample(4, 3, device=device)
    epsilon = torch.rand(4, 1, device=device)
    kept = []

    def keep(tensor):
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ops.interpolate(real, fake, epsilon)
        assert kept == [(4, 1)]
        ops.interpolate(real, fake, epsilon.requires_grad_())
    assert kept == [(4, 1), (4, 1), (4, 3), (4, 3)]


# --- gradient_norm_penalty: values ---------------------------------------------------------------

# rows -> norms, and for weight 3: the penalty and 1/weight of the direction, kind by kind.
THIRD = 1 / 3
TABLE = {
    "two rows": (
        [[3, 4], [0, 0.5]],
        [5, 0.5],
        {
            "wgan-gp": (3 / 2 * (16 + 0.25), [[2.4, 3.2], [0, -0.5]]),
            "wgan-lp": (3 / 2 * 16, [[2.4, 3.2], [0, 0]]),
            "r1": (3 / 4 * (25 + 0.25), [[1.5, 2], [0, 0.25]]),
        },
    ),
    "at the target": (
        [[0, -1]],
        [1],
        {"wgan-gp": (0, [[0, 0]]), "wgan-lp": (0, [[0, 0]]), "r1": (1.5, [[0, -1]])},
    ),
    "zero rows have no direction": (
        [[0, 0], [0, 2], [-0.0, 0]],
        [0, 2, 0],
        {
            "wgan-gp": (3, [[0, 0], [0, 2 * THIRD], [0, 0]]),
            "wgan-lp": (1, [[0, 0], [0, 2 * THIRD], [0, 0]]),
            "r1": (2, [[0, 0], [0, 2 * THIRD], [0, 0]]),
        },
    ),
    "one number": (
        [[-3]],
        [3],
        {"wgan-gp": (12, [[-4]]), "wgan-lp": (12, [[-4]]), "r1": (13.5, [[-3]])},
    ),
    "rows without elements": (
        [[], []],
        [0, 0],
        {"wgan-gp": (3, [[], []]), "wgan-lp": (0, [[], []]), "r1": (0, [[], []])},
    ),
    "not a number stays in its row": (
        [[NAN, 1], [3, 4]],
        [NAN, 5],
        {
            "wgan-gp": (NAN, [[NAN, NAN], [2.4, 3.2]]),
            "wgan-lp": (NAN, [[NAN, NAN], [2.4, 3.2]]),
            "r1": (NAN, [[NAN, NAN], [1.5, 2]]),
        },
    ),
    "infinity stays in its row": (
        [[INF, 1], [3, 4]],
        [INF, 5],
        {
            "wgan-gp": (INF, [[INF, 1], [2.4, 3.2]]),
            "wgan-lp": (INF, [[INF, 1], [2.4, 3.2]]),
            "r1": (INF, [[INF, 0.5], [1.5, 2]]),
        },
    ),
}


@kinds
@pytest.mark.parametrize("case", TABLE)
@implementations
@dtypes
def test_tables_worked_by_hand(operator, case, kind, dtype, device):
    rows, norms, by_kind = TABLE[case]
    cost, _ = by_kind["r1" if kind == "r2" else kind]
    got = operator(torch.tensor(rows, dtype=dtype, device=device), 3.0, kind)
    expected = [torch.tensor(value, dtype=dtype, device=device) for value in (cost, norms)]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, equal_nan=True, **TOLERANCE[dtype])


@kinds
@pytest.mark.parametrize("case", TABLE)
@backwards
@dtypes
def test_directions_worked_by_hand(backward, case, kind, dtype, device):
    rows, norms, by_kind = TABLE[case]
    gradient = torch.tensor(rows, dtype=dtype, device=device)
    direction = torch.tensor(
        by_kind["r1" if kind == "r2" else kind][1], dtype=dtype, device=device
    )
    got = backward(torch.tensor(2.0, dtype=dtype, device=device), None, gradient, 3.0, kind)
    torch.testing.assert_close(
        got, 6 * direction, equal_nan=True, rtol=4 * TOLERANCE[dtype]["rtol"], atol=0
    )
    # The norms' own derivative is the unit vector.
    finite = [i for i, norm in enumerate(norms) if math.isfinite(norm)]
    unit = torch.tensor(
        [[x / (n or 1) for x in row] for row, n in zip(rows, norms, strict=True)], dtype=dtype
    ).to(device)
    ones = torch.ones(len(rows), dtype=dtype, device=device)
    got = backward(torch.zeros((), dtype=dtype, device=device), ones, gradient, 3.0, kind)
    torch.testing.assert_close(got[finite], unit[finite], **TOLERANCE[dtype])


@kinds
@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_reference(shape, dtype, kind, device):
    width = math.prod(shape[1:])
    gradient = sample(*shape, dtype=dtype, device=device) * 1.2 / width**0.5
    got = OPERATOR(gradient, 10.0, kind)
    expected = reference("gradient_norm_penalty")(gradient, 10.0, kind)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE[dtype])
    grad_penalty = torch.tensor(0.7, dtype=dtype, device=device)
    for grad_norms in (None, sample(shape[0], dtype=dtype, device=device, seed=1)):
        arguments = (grad_penalty, grad_norms, gradient, 10.0, kind)
        torch.testing.assert_close(
            BACKWARD(*arguments),
            reference("gradient_norm_penalty_backward")(*arguments),
            rtol=1e-6 if dtype == torch.float32 else 1e-11,
            atol=1e-7 if dtype == torch.float32 else 1e-15,
        )


@dtypes
def test_equals_plain_autograd(dtype, device):
    gradient = sample(50, 3, 7, dtype=dtype, device=device).requires_grad_()
    cost, norms = ops.gradient_norm_penalty(gradient, 10.0)
    plain_norms = gradient.flatten(1).norm(dim=1)
    plain = 10.0 * (plain_norms - 1).square().mean()
    torch.testing.assert_close(cost, plain)
    torch.testing.assert_close(norms, plain_norms)
    weights = sample(50, dtype=dtype, device=device, seed=1)
    (found,) = torch.autograd.grad(cost + (norms * weights).sum(), gradient)
    (expected,) = torch.autograd.grad(plain + (plain_norms * weights).sum(), gradient)
    torch.testing.assert_close(found, expected)


@kinds
@pytest.mark.parametrize("name", NAMES)
def test_views_and_expanded_gradients(name, kind, device):
    gradient = layouts(device)[name]
    same = gradient.contiguous()
    for a, b in zip(OPERATOR(gradient, 10.0, kind), OPERATOR(same, 10.0, kind), strict=True):
        torch.testing.assert_close(a, b, rtol=2.5e-7, atol=0)  # summed in another order
    one = torch.tensor(1.0, device=device)
    for grad_norms in (None, one.expand(6), sample(12, device=device)[::2]):
        found = BACKWARD(one, grad_norms, gradient, 10.0, kind)
        expected = BACKWARD(one, grad_norms, same, 10.0, kind)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        assert found.stride() == torch.empty_like(gradient).stride()


@kinds
@pytest.mark.parametrize("length", [1e-44, 1e-40, 1e-30, 1e-10, 1e10, 1e25, 1e38])
@implementations
def test_norms_in_float32_neither_overflow_nor_vanish(operator, length, kind, device):
    gradient = torch.zeros(3, 100, device=device)
    gradient[0, 3:7] = length / 2
    gradient[1, 50] = -length
    gradient[2] = length / 10
    # What the elements have become in float32, which is coarse for the smallest.
    exact = gradient.double().norm(dim=1)
    cost, norms = operator(gradient, 10.0, kind)
    torch.testing.assert_close(norms, exact.float(), rtol=1.5e-7, atol=0)
    assert bool((norms > 0).all())
    terms = (exact - 1).square() if kind == "wgan-gp" else (exact - 1).clamp_min(0).square()
    terms = exact.square() / 2 if kind in ("r1", "r2") else terms
    # A penalty beyond float32 is infinite, but for no other reason.
    torch.testing.assert_close(cost, (10 * terms.mean()).float(), rtol=1.5e-7, atol=0)
    small, _ = operator(gradient, 1e-30, kind)
    torch.testing.assert_close(small, (1e-30 * terms.mean()).float(), rtol=1.5e-7, atol=0)


@backwards
@pytest.mark.parametrize("length", [1e-44, 1e-40, 1e-30, 1e-10, 1e10, 1e25, 1e37])
def test_directions_in_float32_neither_overflow_nor_vanish(backward, length, device):
    gradient = torch.zeros(2, 100, device=device)
    gradient[0, 3:7] = length / 2
    gradient[1, 50] = -length
    one = torch.tensor(1.0, device=device)
    exact = gradient.double()
    norms = exact.norm(dim=1, keepdim=True)
    expected = (10.0 * (norms - 1) * (exact / norms)).float()
    got = backward(one, None, gradient, 10.0, "wgan-gp")
    torch.testing.assert_close(got, expected, rtol=2.5e-7, atol=0)
    unit = backward(one * 0, one.expand(2), gradient, 10.0, "wgan-gp")
    torch.testing.assert_close(unit, (exact / norms).float(), rtol=2.5e-7, atol=0)


@pytest.mark.parametrize("length", [1e-320, 1e-300, 1e-200, 1e-160, 1e150, 1e200, 1e307])
@implementations
def test_norms_in_float64_neither_overflow_nor_vanish(operator, length, device):
    gradient = torch.zeros(3, 100, dtype=torch.float64, device=device)
    gradient[0, 3:5] = length * RIGHT.to(device)
    gradient[1, 50] = -length
    gradient[2, ::10] = 1.0
    _, norms = operator(gradient, 10.0, "wgan-gp")
    expected = torch.tensor([length, length, 10**0.5], dtype=torch.float64, device=device)
    # Subnormal numbers have few digits.
    torch.testing.assert_close(norms, expected, rtol=1e-14, atol=1e-323)
    _, alone = operator(gradient[:2], 10.0, "wgan-gp")
    assert torch.equal(alone, norms[:2])


@backwards
@pytest.mark.parametrize("length", [1e-280, 1e-200, 1e-160, 1e150, 1e200, 1e307])
def test_directions_in_float64_neither_overflow_nor_vanish(backward, length, device):
    gradient = torch.zeros(2, 100, dtype=torch.float64, device=device)
    gradient[0, 3:5] = length * RIGHT.to(device)
    gradient[1, 50] = -length
    one = torch.ones((), dtype=torch.float64, device=device)
    got = backward(one, None, gradient, 1.0, "wgan-gp")
    direction = torch.zeros_like(gradient)
    direction[0, 3:5] = RIGHT.to(device)
    direction[1, 50] = -1
    torch.testing.assert_close(got, (length - 1) * direction, rtol=1e-14, atol=0)
    unit = backward(0 * one, one.expand(2), gradient, 1.0, "wgan-gp")
    torch.testing.assert_close(unit, direction, rtol=1e-14, atol=0)


@backwards
def test_directions_fade_where_their_inverse_would_overflow(backward, device):
    gradient = torch.tensor([[3e-310, 4e-310]], dtype=torch.float64, device=device)
    one = torch.ones((), dtype=torch.float64, device=device)
    got = backward(one, one.expand(1), gradient, 1e6, "wgan-gp")
    assert bool((got.abs() < 1e-10).all())


@dtypes
def test_long_rows_lose_no_digits(dtype, device):
    gradient = torch.full((2, 1_000_003), 0.1, dtype=dtype, device=device)
    _, norms = ops.gradient_norm_penalty(gradient, 1.0)
    exact = gradient[0, 0].double().item() * math.sqrt(1_000_003)
    assert norms[0].item() == pytest.approx(exact, rel=6e-8 if dtype == torch.float32 else 1e-13)


def test_bits_do_not_depend_on_the_number_of_threads():
    gradient = sample(300, 700)
    one = torch.tensor(1.0)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(
                (*OPERATOR(gradient, 10.0, "wgan-gp"), BACKWARD(one, None, gradient, 1.0, "r1"))
            )
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


# --- gradient_norm_penalty: derivatives ----------------------------------------------------------


@kinds
def test_gradcheck_and_gradgradcheck(kind, device):
    # Norms on both sides of 1, none near it: there wgan-lp has a kink.
    gradient = sample(4, 3, 2, dtype=torch.float64, device=device)
    lengths = torch.tensor([0.3, 0.7, 1.5, 4.0], dtype=torch.float64, device=device)
    gradient *= (lengths / gradient.flatten(1).norm(dim=1)).view(4, 1, 1)
    gradient.requires_grad_()

    def call(gradient):
        return ops.gradient_norm_penalty(gradient, 3.0, kind)

    assert torch.autograd.gradcheck(call, (gradient,))
    assert torch.autograd.gradgradcheck(call, (gradient,))
    grad_penalty = torch.tensor(0.7, dtype=torch.float64, device=device).requires_grad_()
    grad_norms = sample(4, dtype=torch.float64, device=device, seed=1).requires_grad_()
    for to_norms in (grad_norms, None):
        arguments = (grad_penalty, to_norms, gradient, 3.0, kind)
        assert torch.autograd.gradcheck(BACKWARD, arguments)
        assert torch.autograd.gradgradcheck(BACKWARD, arguments)


@kinds
def test_all_derivatives_are_zero_or_linear_at_a_zero_gradient(kind, device):
    gradient = torch.zeros(2, 3, dtype=torch.float64, device=device).requires_grad_()
    cost, norms = ops.gradient_norm_penalty(gradient, 4.0, kind)
    (first,) = torch.autograd.grad(cost + norms.sum(), gradient, create_graph=True)
    assert torch.equal(first, torch.zeros_like(first))
    h = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]], dtype=torch.float64, device=device)
    (second,) = torch.autograd.grad(first, gradient, h)
    assert torch.equal(second, 2 * h if kind in ("r1", "r2") else torch.zeros_like(h))


def test_second_derivatives_in_float32_at_extreme_norms(device):
    """The Hessian of (n - 1)^2 along h is 2 (1 - 1/n) h + 2/n <h, u> u."""
    for length in (1e-37, 1e-20, 1e20, 1e37):
        gradient = torch.tensor([[0.6 * length, 0.8 * length]], device=device).requires_grad_()
        (first,) = torch.autograd.grad(
            ops.gradient_norm_penalty(gradient, 1.0)[0], gradient, create_graph=True
        )
        h = torch.tensor([[1.0, 0.0]], device=device)
        small = h * min(length, 1)  # the curvature across the gradient is 1 / n
        (second,) = torch.autograd.grad(first, gradient, small)
        n = gradient.detach().double().norm().item()
        unit = gradient.detach().double() / n
        hd = small.double()
        expected = 2 * hd - 2 / n * (hd - (hd * unit).sum() * unit)
        torch.testing.assert_close(second.double(), expected, rtol=1e-6, atol=0)


def test_unused_results_cost_nothing_and_break_nothing(device):
    gradient = sample(4, 3, device=device).requires_grad_()
    (of_norms,) = torch.autograd.grad(ops.gradient_norm_penalty(gradient, 5.0)[1].sum(), gradient)
    expected = gradient.detach() / gradient.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(of_norms, expected)
    (of_penalty,) = torch.autograd.grad(ops.gradient_norm_penalty(gradient, 5.0)[0], gradient)
    cost, norms = ops.gradient_norm_penalty(gradient, 5.0)
    (of_both,) = torch.autograd.grad(cost + norms.sum(), gradient)
    torch.testing.assert_close(of_both, of_norms + of_penalty)


def test_penalty_of_a_convolutional_critic(device):
    """Through both operators: penalty and parameters' gradients are those of plain autograd."""
    torch.manual_seed(0)
    critic = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.Softplus(),
        torch.nn.Conv2d(4, 2, 3, stride=2),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Flatten(),
        torch.nn.Linear(2 * 3 * 3, 1),
    ).to(device, torch.float64)
    real, fake = (
        sample(5, 3, 8, 8, dtype=torch.float64, device=device, seed=seed) for seed in (0, 1)
    )
    epsilon = torch.rand(5, 1, dtype=torch.float64, device=device)

    def gradients(interpolate, norm_penalty):
        rows = interpolate(real, fake, epsilon).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
        cost = norm_penalty(gradient)
        # The last bias is in no second derivative.
        return cost, *torch.autograd.grad(cost, list(critic.parameters())[:-1])

    found = gradients(ops.interpolate, lambda g: ops.gradient_norm_penalty(g, 10.0)[0])
    expected = gradients(
        lambda x, y, a: x + a.view(-1, 1, 1, 1) * (y - x),
        lambda g: 10.0 * (g.flatten(1).norm(dim=1) - 1).square().mean(),
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


# --- how it is registered ------------------------------------------------------------------------


OPCHECKS = {
    "rows of a table": lambda: sample(5, 3),
    "one of each": lambda: sample(1, 1, dtype=torch.float64),
    "rows without elements": lambda: sample(3, 0),
    "channels last": lambda: sample(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "columns before rows": lambda: sample(2, 3, 4, dtype=torch.float64).mT,
}


@pytest.mark.parametrize("case", OPCHECKS)
def test_opcheck(case, device):
    rows = OPCHECKS[case]().to(device).requires_grad_()
    one, norms = rows.new_ones(()).requires_grad_(), rows.new_ones(len(rows)).requires_grad_()
    epsilon = rows.new_full((len(rows), 1), 0.3).requires_grad_()
    library.opcheck(INTERPOLATE, (rows, rows.detach().contiguous(), epsilon))
    library.opcheck(OPERATOR, (rows, 10.0, "wgan-lp"))
    library.opcheck(BACKWARD, (one, None, rows, 10.0, "wgan-gp"))
    library.opcheck(BACKWARD, (one, norms, rows, 10.0, "r1"))


def test_compiles_without_a_break(device):
    real, fake = sample(6, 3, 4, device=device), sample(6, 3, 4, device=device, seed=1)
    epsilon = torch.rand(6, 1, device=device)
    weight = sample(12, device=device, seed=2)

    def call(real, fake, epsilon):
        rows = ops.interpolate(real, fake, epsilon)
        # The gradient of sum(softplus(rows weight)) with respect to the rows.
        scores = torch.sigmoid(rows.flatten(1) @ weight)
        return ops.gradient_norm_penalty(scores[:, None] * weight, 10.0)[0]

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    real.requires_grad_()
    found, expected = compiled(real, fake, epsilon), call(real, fake, epsilon)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, real)[0], torch.autograd.grad(expected, real)[0]
    )


def test_under_autocast_norms_stay_float32(device):
    gradient = sample(5, 3, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        cost, norms = ops.gradient_norm_penalty(gradient.bfloat16(), 10.0)
        rows = ops.interpolate(gradient.bfloat16(), gradient, torch.ones(5, 1, device=device))
    assert cost.dtype == norms.dtype == rows.dtype == torch.float32


# --- errors --------------------------------------------------------------------------------------

X = torch.zeros(4, 3, 2)
SHARE = torch.zeros(4, 1)
INTERPOLATE_ERRORS = {
    "one dimension": (
        (X[:, 0, 0], X[:, 0, 0], SHARE),
        r"interpolate: real must have two dimensions or more \(rows, \.\.\.\), got shape \[4\]",
    ),
    "dtype": ((X.half(), X.half(), SHARE.half()), "interpolate: real must be float32 or float64"),
    "shapes": (
        (X, X[:, :2], SHARE),
        r"interpolate: fake must have shape \[4, 3, 2\], got \[4, 2, 2\]",
    ),
    "fake dtype": (
        (X, X.double(), SHARE),
        "interpolate: fake must have the same dtype as real",
    ),
    "epsilon of numbers": (
        (X, X, SHARE[:, 0]),
        r"interpolate: epsilon must have shape \[4, 1\], got \[4\]",
    ),
    "epsilon for images": (
        (X, X, SHARE[:, :, None]),
        r"interpolate: epsilon must have shape \[4, 1\], got \[4, 1, 1\]",
    ),
    "epsilon dtype": (
        (X, X, SHARE.double()),
        "interpolate: epsilon must have the same dtype as real",
    ),
}
NAME = "gradient_norm_penalty"
PENALTY_ERRORS = {
    "one dimension": (
        (X[:, 0, 0], 1.0, "r1"),
        r": gradient must have two dimensions or more \(rows, \.\.\.\), got shape \[4\]",
    ),
    "dtype": ((X.bfloat16(), 1.0, "r1"), ": gradient must be float32 or float64"),
    "no rows": ((X[:0], 1.0, "r1"), r": gradient has no rows, got shape \[0, 3, 2\]"),
    "negative": ((X, -1.5, "r1"), r": weight must be finite and not negative, got -1\.5"),
    "infinite": ((X, INF, "r1"), ": weight must be finite and not negative, got inf"),
    "kind": ((X, 1.0, "r1+r2"), r": kind must be wgan-gp, wgan-lp, r1 or r2, got r1\+r2"),
}
ONE = torch.tensor(1.0)
BACKWARD_ERRORS = {
    "penalty": (
        (ONE[None], None, X, 1.0, "r1"),
        r"gradient_norm_penalty_backward: grad_penalty must have shape \[\], got \[1\]",
    ),
    "penalty dtype": (
        (ONE.double(), None, X, 1.0, "r1"),
        "gradient_norm_penalty_backward: grad_penalty must have the same dtype as gradient",
    ),
    "norms": (
        (ONE, SHARE, X, 1.0, "r1"),
        r"gradient_norm_penalty_backward: grad_norms must have shape \[4\], got \[4, 1\]",
    ),
}


@interpolates
@pytest.mark.parametrize("case", INTERPOLATE_ERRORS)
def test_errors_of_interpolate_name_the_argument(operator, case):
    arguments, message = INTERPOLATE_ERRORS[case]
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        operator(*arguments)


@implementations
@pytest.mark.parametrize("case", PENALTY_ERRORS)
def test_errors_of_the_penalty_name_the_argument(operator, case):
    arguments, message = PENALTY_ERRORS[case]
    with pytest.raises(RuntimeError, match=f"^{NAME}{message}$"):
        operator(*arguments)


@backwards
@pytest.mark.parametrize("case", [*PENALTY_ERRORS, *BACKWARD_ERRORS])
def test_errors_of_the_backward_name_the_argument(backward, case):
    if case in BACKWARD_ERRORS:
        arguments, message = BACKWARD_ERRORS[case]
    else:
        (gradient, weight, kind), message = PENALTY_ERRORS[case]
        arguments = (torch.ones((), dtype=gradient.dtype), None, gradient, weight, kind)
        message = f"{NAME}_backward{message}"
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        backward(*arguments)
