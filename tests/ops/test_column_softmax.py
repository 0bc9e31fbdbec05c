"""column_softmax against tables worked by hand, its reference, and finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.blocks import block_sum
from sdv_wgangp.ops.registry import reference

INF = math.inf
NAN = math.nan
OPERATOR = torch.ops.sdv_wgangp.column_softmax.default
BACKWARD = torch.ops.sdv_wgangp.column_softmax_backward.default

WIDTHS = {
    "narrow": [2, 3, 1, 5, 7, 1, 9, 16, 17, 2],
    "one level each": [1, 1, 1],
    "lanes": [15, 16, 17, 31, 32, 33, 64],
    "one wide": [1500],
    "wide and narrow": [1, 1027, 2],
}
# float32: a rounding of z, |z| < 64, is a relative error of 64 units in the last place of exp(z).
TOLERANCE = {
    torch.float32: {"rtol": 1e-5, "atol": 1e-7},
    torch.float64: {"rtol": 1e-12, "atol": 1e-15},
}

implementations = pytest.mark.parametrize(
    "softmax", [ops.column_softmax, reference("column_softmax")], ids=["operator", "reference"]
)

# logits, noise, offsets, temperature -> soft, codes
LN = [math.log(n) for n in range(1, 10)]
TABLE = {
    "three columns": (
        [LN[0], LN[2], LN[0], LN[1], LN[4], 7.0],
        [0.0] * 6,
        [0, 2, 5, 6],
        1.0,
        [1 / 4, 3 / 4, 1 / 8, 2 / 8, 5 / 8, 1.0],
        [1, 2, 0],
    ),
    "half the temperature squares the odds": (
        [LN[0], LN[2], LN[0], LN[1], LN[4], 7.0],
        [0.0] * 6,
        [0, 2, 5, 6],
        0.5,
        [1 / 10, 9 / 10, 1 / 30, 4 / 30, 25 / 30, 1.0],
        [1, 2, 0],
    ),
    "noise decides": (
        [LN[0], LN[2], LN[0], LN[0]],
        [LN[8], LN[0], LN[1], LN[0]],
        [0, 2, 4],
        1.0,
        [3 / 4, 1 / 4, 2 / 3, 1 / 3],
        [0, 0],
    ),
    "ties go to the lowest": (
        [5.0, 5.0, 5.0, 5.0, -1.0, 2.0, 2.0],
        [0.0] * 7,
        [0, 4, 7],
        1.0,
        [0.25] * 4 + [math.exp(-3) / (math.exp(-3) + 2)] + [1 / (math.exp(-3) + 2)] * 2,
        [0, 1],
    ),
    "masked levels": (
        [-INF, 0.0, -INF, LN[1], -INF, -INF, 4.0],
        [0.0] * 7,
        [0, 2, 5, 7],
        1.0,
        [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        [1, 1, 1],
    ),
    "huge": (
        [1e30, -1e30, 3e38, 3e38, -3e38, -3e38],
        [0.0] * 6,
        [0, 2, 4, 6],
        0.1,
        [1.0, 0.0, 0.5, 0.5, 0.5, 0.5],
        [0, 0, 0],
    ),
    "tiny temperature": (
        [1.0, 2.0, 5.0, 5.0],
        [0.0] * 4,
        [0, 2, 4],
        1e-200,
        [0.0, 1.0, 0.5, 0.5],
        [1, 0],
    ),
    "not a number stays in its column": (
        [NAN, 1.0, 0.0, 0.0, INF, 0.0, -INF, -INF],
        [0.0] * 8,
        [0, 2, 4, 6, 8],
        1.0,
        [NAN, NAN, 0.5, 0.5, NAN, NAN, NAN, NAN],
        [1, 0, 0, 0],
    ),
    "no columns": ([], [], [0], 1.0, [], []),
}


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", TABLE)
def test_tables_worked_by_hand(softmax, case, dtype, device):
    logits, noise, offsets, temperature, soft, codes = TABLE[case]
    got_soft, got_codes = softmax(
        torch.tensor([logits, logits], dtype=dtype, device=device),
        torch.tensor([noise, noise], dtype=dtype, device=device),
        torch.tensor(offsets, device=device),
        temperature,
    )
    expected = torch.tensor([soft, soft], dtype=dtype, device=device)
    torch.testing.assert_close(got_soft, expected, equal_nan=True, rtol=2e-6, atol=1e-30)
    assert got_codes.tolist() == [codes, codes]
    assert got_codes.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 127, 129, 500])
def test_equals_the_reference(rows, widths, dtype, device, ragged):
    logits, noise, offsets = ragged(rows, WIDTHS[widths], device, dtype)
    soft, codes = ops.column_softmax(logits, noise, offsets, 0.7)
    expected_soft, expected_codes = reference("column_softmax")(logits, noise, offsets, 0.7)
    torch.testing.assert_close(soft, expected_soft, **TOLERANCE[dtype])
    assert torch.equal(codes, expected_codes)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(soft.shape, generator=generator, dtype=dtype).to(device)
    # grad - <grad, p> cancels where one level holds nearly all the mass.
    torch.testing.assert_close(
        BACKWARD(grad, soft, offsets, 0.7),
        reference("column_softmax_backward")(grad, soft, offsets, 0.7),
        rtol=TOLERANCE[dtype]["rtol"],
        atol=50 * TOLERANCE[dtype]["atol"],
    )


def test_each_column_is_a_distribution(device, ragged):
    logits, noise, offsets = ragged(300, [1, 2, 40, 700], device, spread=60.0)
    soft, codes = ops.column_softmax(logits, noise, offsets, 0.2)
    sums = block_sum(soft, offsets)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-5, atol=0)
    assert bool((soft >= 0).all())
    # The code is a level that no other one of its column exceeds.
    chosen = soft.gather(1, codes + offsets[:-1])
    largest = torch.stack([soft[:, a:b].amax(1) for a, b in offsets.unfold(0, 2, 1).tolist()], 1)
    torch.testing.assert_close(chosen, largest, rtol=0, atol=0)


def test_exponential_keeps_its_accuracy_over_the_whole_range(device):
    # Two levels at distance x: soft = 1 / (1 + exp(x)), so soft / (1 - soft) gives exp(-x) back.
    distance = torch.linspace(0, 63.9, 20011, dtype=torch.float32, device=device)
    logits = torch.stack((-distance, torch.zeros_like(distance)), 1)
    offsets = torch.tensor([0, 2], device=device)
    soft, _ = ops.column_softmax(logits, torch.zeros_like(logits), offsets, 1.0)
    expected = torch.softmax(logits.double(), 1)
    assert ((soft.double() - expected).abs() / expected).max() < 3e-7


def test_negligible_weights_are_zero_not_subnormal(device):
    logits = -torch.linspace(0, 200, 4001, device=device)[None]
    offsets = torch.tensor([0, 4001], device=device)
    soft, _ = ops.column_softmax(logits, torch.zeros_like(logits), offsets, 1.0)
    assert float(soft[soft > 0].min()) > torch.finfo(torch.float32).tiny
    assert bool((soft[0, logits[0] < -64.001] == 0).all())


def test_views_are_read_in_place_or_copied(device, ragged):
    logits, noise, offsets = ragged(6, [2, 3, 4], device)
    expected = ops.column_softmax(logits, noise, offsets, 0.5)
    wider = torch.cat((noise, logits, noise), 1)[:, 9:18]
    by_column = logits.t().contiguous().t()
    assert not wider.is_contiguous()
    assert by_column.stride() == (1, 6)
    every_other = torch.stack((offsets, offsets), 1)[:, 0]
    for view in (wider, by_column):
        got = ops.column_softmax(view, noise.t().contiguous().t(), every_other, 0.5)
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1], expected[1])
        assert got[0].is_contiguous()


def test_expanded_arguments(device, ragged):
    logits, noise, offsets = ragged(1, [2, 3, 4], device)
    one = ops.column_softmax(logits, noise, offsets, 0.5)
    many = ops.column_softmax(logits.expand(5, -1), noise.expand(5, -1), offsets, 0.5)
    assert torch.equal(many[0], one[0].expand(5, -1))
    assert torch.equal(many[1], one[1].expand(5, -1))
    constant = torch.zeros(1, 1, device=device).expand(5, 9)
    got, _ = ops.column_softmax(constant, constant, offsets, 0.5)
    sizes = torch.tensor([2.0, 2, 3, 3, 3, 4, 4, 4, 4], device=device)
    torch.testing.assert_close(got, (1 / sizes).expand(5, -1))


def test_expanded_gradients(device, ragged):
    logits, noise, offsets = ragged(6, [2, 3, 4], device)
    logits.requires_grad_()
    soft, _ = ops.column_softmax(logits, noise, offsets, 0.5)
    # Every column sums to 1 whatever the logits are; the gradient arrives as one expanded number.
    soft.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), rtol=0, atol=1e-6)
    weights = torch.arange(9.0, device=device)[None].expand(6, -1)
    got = BACKWARD(weights, soft.detach(), offsets, 0.5)
    expected = BACKWARD(weights.contiguous(), soft.detach(), offsets, 0.5)
    assert torch.equal(got, expected)


def test_gradient_is_autograd_of_a_padded_softmax(device, ragged):
    widths = [3, 1, 20]
    logits, noise, offsets = ragged(50, widths, device)
    target = torch.randn(50, 24, generator=torch.Generator().manual_seed(1)).to(device)
    plain = logits.clone().requires_grad_()
    blocks = ((plain + noise) / 0.3).split(widths, 1)
    torch.cat([block.softmax(1) for block in blocks], 1).mul(target).sum().backward()
    logits.requires_grad_()
    ops.column_softmax(logits, noise, offsets, 0.3)[0].mul(target).sum().backward()
    torch.testing.assert_close(logits.grad, plain.grad, rtol=1e-4, atol=5e-6)


def test_only_logits_get_a_gradient(device, ragged):
    logits, noise, offsets = ragged(4, [2, 3], device)
    logits.requires_grad_()
    noise.requires_grad_()
    soft, codes = ops.column_softmax(logits, noise, offsets, 0.5)
    assert not codes.requires_grad
    soft.square().sum().backward()
    assert logits.grad is not None
    assert noise.grad is None


def test_gradcheck_and_gradgradcheck(device, ragged):
    logits, noise, offsets = ragged(3, [1, 2, 4], device, torch.float64, spread=1.0)
    logits.requires_grad_()

    def soft(x):
        return ops.column_softmax(x, noise, offsets, 0.8)[0]

    assert torch.autograd.gradcheck(soft, (logits,))
    assert torch.autograd.gradgradcheck(soft, (logits,))


def test_gradcheck_of_the_backward(device, ragged):
    grad, soft, offsets = ragged(3, [1, 2, 4], device, torch.float64, spread=1.0)
    inputs = (grad.requires_grad_(), soft.requires_grad_())
    assert torch.autograd.gradcheck(lambda g, p: BACKWARD(g, p, offsets, 0.8), inputs)
    assert torch.autograd.gradgradcheck(lambda g, p: BACKWARD(g, p, offsets, 0.8), inputs)


@pytest.mark.parametrize("rows", [1, 5])
def test_opcheck(rows, device, ragged):
    logits, noise, offsets = ragged(rows, [1, 2, 4], device)
    library.opcheck(OPERATOR, (logits.requires_grad_(), noise, offsets, 0.8))
    grad, soft = torch.ones(2, rows, 7, device=device)
    arguments = (grad.requires_grad_(), soft.requires_grad_(), offsets, 0.8)
    library.opcheck(BACKWARD, arguments)


def test_autocast_computes_in_float32(device, ragged):
    logits, noise, offsets = ragged(5, [2, 3], device)
    half = logits.bfloat16()
    with torch.autocast(device, torch.bfloat16):
        soft, _ = ops.column_softmax(half, noise, offsets, 0.5)
    assert soft.dtype == torch.float32
    assert torch.equal(soft, ops.column_softmax(half.float(), noise, offsets, 0.5)[0])


def test_threads_do_not_change_the_result(ragged):
    logits, noise, offsets = ragged(700, [3, 50, 200])
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(ops.column_softmax(logits, noise, offsets, 0.2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


X = torch.zeros(2, 5)
AT = torch.tensor([0, 2, 5])
ERRORS = {
    "one-dimensional logits": (
        (X[0], X, AT, 1.0),
        r"column_softmax: logits must have two dimensions \(rows, width\), got shape \[5\]",
    ),
    "16-bit logits": ((X.half(), X, AT, 1.0), r"logits must be float32 or float64"),
    "shape of the noise": (
        (X, X[:, :4], AT, 1.0),
        r"column_softmax: noise must have shape \[2, 5\], got \[2, 4\]",
    ),
    "dtype of the noise": ((X, X.double(), AT, 1.0), r"noise must have the same dtype as logits"),
    "temperature zero": ((X, X, AT, 0.0), r"temperature must be positive and finite, got 0"),
    "temperature infinite": ((X, X, AT, INF), r"temperature must be positive and finite, got inf"),
    "temperature nan": ((X, X, AT, NAN), r"temperature must be positive and finite, got -?nan"),
    "offsets' dimensions": (
        (X, X, AT[None], 1.0),
        r"offsets must have one dimension \(columns \+ 1\), got shape \[1, 3\]",
    ),
    "no offsets": ((X, X, AT[:0], 1.0), r"offsets must have one dimension .* got shape \[0\]"),
    "offsets' dtype": ((X, X, AT.int(), 1.0), r"offsets must be int64"),
    "offsets' start": ((X, X, AT + 1, 1.0), r"offsets must begin with 0, got 1"),
    "offsets' end": (
        (X, X, torch.tensor([0, 2, 4]), 1.0),
        r"offsets must end with the width of the logits, 5, got 4",
    ),
    "offsets beyond the end": (
        (X, X, torch.tensor([0, 2, 400]), 1.0),
        r"offsets must end with the width of the logits, 5, got 400",
    ),
    "empty column": (
        (X, X, torch.tensor([0, 2, 2, 5]), 1.0),
        r"column 1 is empty, offsets\[1\] = 2 and offsets\[2\] = 2",
    ),
    "no column for the logits": (
        (X, X, torch.tensor([0]), 1.0),
        r"offsets must end with the width of the logits, 5, got 0",
    ),
    "device of the offsets": (
        (X, X, AT.to("meta"), 1.0),
        r"offsets must be on the device of the logits",
    ),
}


@implementations
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(softmax, case):
    arguments, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        softmax(*arguments)
