"""The generator's passes against tables worked by hand, torch's layers and autograd."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

OPERATORS = torch.ops.sdv_wgangp
EPSILON = 1e-5
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 1.6e-2}
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
SIZES = [(2, 1), (7, 2), (127, 129), (129, 64), (500, 65), (1, 3)]

norm_relu = pytest.mark.parametrize(
    "norm_relu", [OPERATORS.norm_relu.default, reference("norm_relu")], ids=["op", "ref"]
)
backward = pytest.mark.parametrize(
    "backward",
    [OPERATORS.norm_relu_backward.default, reference("norm_relu_backward")],
    ids=["op", "ref"],
)
code_gradient = pytest.mark.parametrize(
    "code_gradient",
    [OPERATORS.code_gradient.default, reference("code_gradient")],
    ids=["op", "ref"],
)
position_head = pytest.mark.parametrize(
    "position_head",
    [OPERATORS.position_head.default, reference("position_head")],
    ids=["op", "ref"],
)


def sums_of(dtype):
    return torch.float64 if dtype == torch.float64 else torch.float32


def close(found, expected, dtype, scale=1.0):
    torch.testing.assert_close(
        found.double(), expected.double(), rtol=TOLERANCE[dtype], atol=scale * TOLERANCE[dtype]
    )


# --- norm_relu -----------------------------------------------------------------------------------


@norm_relu
def test_norm_relu_by_hand(norm_relu, device):
    z = torch.tensor([[1.0, 4.0], [3.0, 4.0]], device=device)
    out = torch.empty_like(z)
    weight = torch.tensor([2.0, 1.0], device=device)
    bias = torch.tensor([1.0, -3.0], device=device)
    inverse = norm_relu(z, weight, bias, 3.0, out)
    # variances 1 and 0, so 1 / sqrt(4) and 1 / sqrt(3)
    torch.testing.assert_close(inverse.cpu(), torch.tensor([0.5, 3**-0.5]))
    assert z.tolist() == [[-0.5, 0.0], [0.5, 0.0]]
    assert out.tolist() == [[0.0, 0.0], [2.0, 0.0]]


def batch(rows, width, dtype, device, seed=0):
    random = torch.Generator().manual_seed(seed)
    sums = sums_of(dtype)
    z = (3 * torch.randn(rows, width, generator=random) + 5).to(dtype)
    weight = torch.randn(width, generator=random).to(sums)
    bias = torch.randn(width, generator=random).to(sums)
    gradient = torch.randn(rows, width, generator=random).to(dtype)
    return [tensor.to(device) for tensor in (z, weight, bias, gradient)]


@norm_relu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_norm_relu_is_batch_norm_and_relu(norm_relu, size, dtype, device):
    z, weight, bias, _ = batch(*size, dtype, device)
    normal = torch.zeros(size, dtype=torch.double, device=device)
    if size[0] > 1:  # torch refuses a single row
        normal = torch.nn.functional.batch_norm(z.double(), None, None, training=True, eps=EPSILON)
    wide = torch.full((size[0], size[1] + 5), 7.0, dtype=dtype, device=device)
    inverse = norm_relu(z, weight, bias, EPSILON, wide[:, 2:-3])
    close(z, normal, dtype, 4)
    close(wide[:, 2:-3], torch.relu(normal * weight.double() + bias.double()), dtype, 8)
    assert (wide[:, :2] == 7).all()
    assert (wide[:, -3:] == 7).all()
    assert inverse.dtype == sums_of(dtype)
    assert torch.isfinite(inverse).all()


@backward
@norm_relu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES[:-1])
def test_norm_relu_backward_is_autograd(norm_relu, backward, size, dtype, device):
    z, weight, bias, gradient = batch(*size, dtype, device, seed=1)
    ends = [tensor.double().clone().requires_grad_() for tensor in (z, weight, bias)]
    y = torch.nn.functional.batch_norm(
        ends[0], None, None, *ends[1:], training=True, eps=EPSILON
    ).relu()
    wide = torch.zeros(size[0], size[1] + 3, dtype=dtype, device=device)
    wide[:, 1:-2] = gradient
    out = torch.empty_like(z)
    inverse = norm_relu(z, weight, bias, EPSILON, out)
    # Where rounding decides whether the rectifier is open, both are right: no gradient there.
    unclear = y.abs() < 0.05 if dtype == torch.bfloat16 else torch.zeros_like(y, dtype=torch.bool)
    wide[:, 1:-2][unclear] = 0
    y.backward(wide[:, 1:-2].double())
    grads = torch.empty_like(weight), torch.empty_like(bias)
    backward(wide[:, 1:-2], z, weight, bias, inverse, *grads)
    # What cancels has the rounding of what it is made of.
    sizes = float((weight * inverse).abs().max()) * 4, *(4 * size[0] ** 0.5,) * 2
    for found, end, scale in zip((z, *grads), ends, sizes, strict=True):
        close(found, end.grad, dtype, scale)


def test_norm_relu_keeps_its_precision_far_from_zero(device):
    """Two passes: the variance of numbers around 1e4 is not lost in float32."""
    z = (torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) + 1e4).to(device)
    expected = (z.double() - z.double().mean(0)) / z.double().std(0, correction=0)
    ops.norm_relu(z, z.new_ones(5), z.new_zeros(5), 1e-12, torch.empty_like(z))
    torch.testing.assert_close(z.double(), expected, atol=2e-3, rtol=0)


def test_norm_relu_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            z, weight, bias, gradient = batch(1000, 300, torch.float32, "cpu")
            out = torch.empty_like(z)
            inverse = ops.norm_relu(z, weight, bias, EPSILON, out)
            grads = torch.empty_like(weight), torch.empty_like(bias)
            ops.norm_relu_backward(gradient, z, weight, bias, inverse, *grads)
            results.append((z, out, inverse, *grads))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(3)}, r"product must have two dimensions .*, got shape \[3\]"),
        ({0: torch.zeros(0, 4)}, r"product has no rows, got shape \[0, 4\]"),
        ({0: torch.zeros(5, 4).double()}, "product must have the dtype of weight"),
        ({1: torch.ones(3)}, r"weight must have shape \[4\], got \[3\]"),
        ({2: torch.ones(4).double()}, "bias must have the dtype of weight"),
        ({3: 0.0}, "epsilon must be positive, got 0"),
        ({4: torch.zeros(5, 3)}, r"out must have shape \[5, 4\], got \[5, 3\]"),
        ({4: torch.zeros(4, 5).T}, "out is written to, so the elements of a row must be adjacent"),
    ],
)
@norm_relu
def test_norm_relu_names_what_is_wrong(norm_relu, change, message):
    arguments = [torch.zeros(5, 4), torch.ones(4), torch.ones(4), 1e-5, torch.zeros(5, 4)]
    for place, value in change.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match="norm_relu: " + message):
        norm_relu(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(5, 3)}, r"gradient must have shape \[5, 4\], got \[5, 3\]"),
        ({0: torch.zeros(5, 4).bfloat16()}, "gradient must have the dtype of normal"),
        ({4: torch.zeros(3)}, r"inverse must have shape \[4\], got \[3\]"),
        ({5: torch.zeros(8)[::2]}, "weight_gradient is written to, so it must be contiguous"),
    ],
)
@backward
def test_norm_relu_backward_names_what_is_wrong(backward, change, message):
    arguments = [torch.zeros(5, 4), torch.zeros(5, 4)] + [torch.ones(4) for _ in range(5)]
    for place, value in change.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match="norm_relu_backward: " + message):
        backward(*arguments)


# --- code_gradient -------------------------------------------------------------------------------

OFFSETS = torch.tensor([0, 3, 5])


@code_gradient
def test_code_gradient_by_hand(code_gradient, device):
    """One column of two levels, p = (1/4, 3/4), level 1 sampled, gradient (1, 0) at the codes and
    a slope of 2 at a table (0, 3): v = (1, 6), so g = (1/8 (1 - 6), 5/8)."""
    gradient = torch.tensor([[1.0, 0.0]], device=device)
    logits = torch.tensor([[0.0, 0.0]], device=device)
    bias = torch.tensor([0.0, torch.log(torch.tensor(3.0)).item()], device=device)
    total = code_gradient(
        gradient,
        logits,
        bias,
        torch.tensor([[1]], device=device),
        torch.tensor([0, 2], device=device),
        torch.tensor([[[2.0]]], device=device),
        torch.tensor([[0.0, 3.0]], device=device),
    )
    expected = torch.tensor([[-0.625, 0.625]])
    torch.testing.assert_close(gradient.cpu(), expected)
    torch.testing.assert_close(total.cpu(), expected[0])


def reinmax(gradient, logits, levels, offsets):
    """Algorithm 2 of the paper, column by column, in float64."""
    result = torch.zeros_like(logits)
    for c, (start, stop) in enumerate(itertools.pairwise(offsets)):
        block = slice(int(start), int(stop))
        p, v = torch.softmax(logits[:, block], 1), gradient[:, block]
        d = torch.nn.functional.one_hot(levels[:, c] - start, int(stop - start)).double()
        middle = (p + d) / 2

        def jacobian(q, v=v):
            return q * (v - (q * v).sum(1, keepdim=True))

        result[:, block] = 2 * jacobian(middle) - jacobian(p) / 2
    return result


def cells(rows, widths, dtype, device, tables=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    sums = sums_of(dtype)
    offsets = torch.tensor([0, *torch.tensor(widths).cumsum(0).tolist()])
    width = int(offsets[-1])
    arguments = [
        torch.randn(rows, width, generator=random).to(dtype),
        (3 * torch.randn(rows, width, generator=random)).to(dtype),
        torch.randn(width, generator=random).to(sums),
        torch.stack(
            [
                torch.randint(int(a), int(b), (rows,), generator=random)
                for a, b in itertools.pairwise(offsets)
            ],
            1,
        ),
        offsets,
        torch.randn(tables, rows, len(widths), generator=random).to(sums),
        torch.randn(tables, width, generator=random).to(sums),
    ]
    return [tensor.to(device) for tensor in arguments]


@code_gradient
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", [[1], [2, 1, 7], [127, 129], [1500], [16] * 40])
@pytest.mark.parametrize("rows", [1, 7, 129])
def test_code_gradient_is_reinmax(code_gradient, rows, widths, dtype, device):
    arguments = cells(rows, widths, dtype, device)
    gradient, logits, bias, levels, offsets, slopes, tables = (a.cpu() for a in arguments)
    index = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths))
    at_codes = gradient.double()
    for slope, table in zip(slopes.double(), tables.double(), strict=True):
        at_codes = at_codes + slope[:, index] * table
    expected = reinmax(at_codes, logits.double() + bias.double(), levels, offsets)
    total = code_gradient(*arguments)
    close(arguments[0].cpu(), expected, dtype, 2)
    # the sums are those of what was not yet rounded
    tolerance = TOLERANCE[torch.float32 if dtype == torch.bfloat16 else dtype]
    torch.testing.assert_close(
        total.cpu().double(), expected.sum(0), rtol=tolerance, atol=tolerance * rows**0.5
    )


@code_gradient
def test_the_gradient_is_exact_on_average_for_a_quadratic_loss(code_gradient):
    """Two columns of three and two levels, ``loss = d' A d + b' d``: all outcomes enumerated."""
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.double)
    a, b = torch.randn(3, 3, dtype=torch.double), torch.randn(3, dtype=torch.double)
    exact = logits.clone().requires_grad_()
    outcomes = torch.eye(3, dtype=torch.double)
    losses = torch.einsum("ni,ij,nj->n", outcomes, a, outcomes) + outcomes @ b
    (torch.softmax(exact[:3], 0) * losses).sum().backward()

    p = torch.softmax(logits[:3], 0)
    estimate = torch.zeros(5, dtype=torch.double)
    for level in range(3):
        at_codes = torch.zeros(1, 5, dtype=torch.double)
        at_codes[0, :3] = (a + a.T)[level] + b
        code_gradient(
            at_codes,
            logits[None],
            torch.zeros(5, dtype=torch.double),
            torch.tensor([[level, 3]]),
            OFFSETS,
            torch.zeros(0, 1, 2, dtype=torch.double),
            torch.zeros(0, 5, dtype=torch.double),
        )
        estimate += p[level] * at_codes[0]
    torch.testing.assert_close(estimate, exact.grad)


@code_gradient
def test_code_gradient_takes_views_and_huge_values(code_gradient, device):
    arguments = cells(9, [4, 130], torch.float32, device)
    plain = [a.clone() for a in arguments]
    expected = code_gradient(*plain)
    wide = torch.zeros(9, 140, device=device)
    wide[:, 3:137] = arguments[0]
    views = [
        wide[:, 3:137],
        arguments[1].T.contiguous().T,
        torch.stack([arguments[2]] * 2, 1)[:, 0],
        arguments[3].T.contiguous().T,
        *arguments[4:],
    ]
    torch.testing.assert_close(code_gradient(*views), expected)
    torch.testing.assert_close(wide[:, 3:137], plain[0])
    assert (wide[:, :3] == 0).all()
    huge = cells(9, [4, 130], torch.float32, device)
    huge[1] *= 1e30
    assert torch.isfinite(code_gradient(*huge)).all()
    assert torch.isfinite(huge[0]).all()


def test_code_gradient_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            arguments = cells(1000, [40, 60], torch.float32, "cpu")
            results.append((ops.code_gradient(*arguments), arguments[0]))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


@code_gradient
def test_code_gradient_of_no_rows(code_gradient, device):
    arguments = cells(0, [2, 3], torch.float32, device)
    assert code_gradient(*arguments).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, torch.zeros(4, 4), r"gradient must have shape \[4, 5\], got \[4, 4\]"),
        (0, torch.zeros(4, 5).double(), "gradient must have the dtype of logits"),
        (0, torch.zeros(5, 4).T, "gradient is written to"),
        (1, torch.zeros(4, 6), r"logits must have shape \[rows, 5\], got \[4, 6\]"),
        (2, torch.zeros(5).int(), "bias must be float32 or float64"),
        (3, torch.zeros(4, 3).long(), r"levels must have shape \[4, 2\], got \[4, 3\]"),
        (3, torch.zeros(4, 2), "levels must be int64"),
        (3, torch.tensor([[0, 3]] * 2 + [[3, 3], [0, 3]]), "got 3 in row 2, column 0"),
        (4, torch.tensor([0, 3, 4]), "offsets must end with the width of the logits, 5, got 4"),
        (5, torch.zeros(1, 4, 2), r"slopes must have shape \[2, 4, 2\], got \[1, 4, 2\]"),
        (6, torch.zeros(2, 4), r"tables must have shape \[tables, 5\], got \[2, 4\]"),
    ],
)
@code_gradient
def test_code_gradient_names_what_is_wrong(code_gradient, place, value, message):
    arguments = cells(4, [3, 2], torch.float32, "cpu")
    arguments[place] = value
    with pytest.raises(RuntimeError, match="code_gradient: .*" + message):
        code_gradient(*arguments)


# --- position_head -------------------------------------------------------------------------------


@position_head
def test_position_head_by_hand(position_head, device):
    """Two positions of one feature: means 3x + 1 and -x, log scales 0 and x ln 2, the latter
    within [-1, 1]."""
    two = math.log(2)
    scores, stretches = position_head(
        torch.tensor([[0.0], [1.0], [2.0], [-2.0]], device=device),
        torch.tensor([[3.0], [-1.0], [0.0], [two]], device=device),
        torch.tensor([1.0, 0.0, 0.0, 0.0], device=device),
        torch.tensor([[0.5, 1.0], [-1.0, 3.0], [0.0, 1.0], [1.0, -1.0]], device=device),
        -1.0,
        1.0,
    )
    expected = [[1.5, 1.0], [3.0, 5.0], [7.0, -2 + math.e], [-4.0, 2 - 1 / math.e]]
    torch.testing.assert_close(scores.cpu(), torch.tensor(expected))
    steep = [[0.5, 1.0], [-1.0, 6.0], [0.0, 0.0], [1.0, 0.0]]
    torch.testing.assert_close(stretches.cpu(), torch.tensor(steep))


# rows, features, positions
HEADS = [(1, 1, 1), (7, 3, 2), (129, 31, 5), (65, 33, 1), (20, 700, 4)]
HEADS += [(3, 0, 2), (3, 4, 0), (0, 4, 2)]


def head(rows, width, count, dtype, device, seed=0):
    random = torch.Generator().manual_seed(seed)
    sums = sums_of(dtype)
    arguments = [
        torch.randn(rows, width, generator=random).to(dtype),
        (torch.randn(2 * count, width, generator=random) / max(width, 1) ** 0.5).to(sums),
        torch.randn(2 * count, generator=random).to(sums),
        torch.randn(rows, count, generator=random).to(sums),
    ]
    return [tensor.to(device) for tensor in arguments]


@position_head
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", HEADS)
def test_position_head_is_linear_head_and_jitter(position_head, size, dtype, device):
    arguments = head(*size, dtype, device)
    features, weight, bias, jitter = (a.double() for a in arguments)
    result = (features @ weight.T + bias).requires_grad_()
    mean, log_scale = result.chunk(2, 1)
    expected = mean + log_scale.clamp(-1.5, 1.0).exp() * jitter
    (steep,) = torch.autograd.grad(expected.sum(), result)
    scores, stretches = position_head(*arguments, -1.5, 1.0)
    # The sums are never rounded to bfloat16.
    tolerance = TOLERANCE[sums_of(dtype)]
    for found, exact in ((scores, expected), (stretches, steep.chunk(2, 1)[1])):
        assert found.dtype == sums_of(dtype)
        torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=tolerance)


@position_head
def test_position_head_takes_views(position_head, device):
    plain = head(9, 20, 3, torch.bfloat16, device)
    expected = position_head(*plain, -2.0, 2.0)
    views = [
        torch.cat([plain[0], plain[0]], 1)[:, :20],
        plain[1].T.contiguous().T,
        torch.stack([plain[2]] * 2, 1)[:, 0],
        plain[3].T.contiguous().T,
    ]
    for first in (views[0], plain[0].T.contiguous().T):
        views[0] = first
        for found, exact in zip(position_head(*views, -2.0, 2.0), expected, strict=True):
            torch.testing.assert_close(found, exact)


def test_position_head_survives_bfloat16_products():
    """Neighbouring rows differ in the tenth bit of a score."""
    arguments = head(50, 64, 3, torch.float32, "cpu")
    expected = ops.position_head(*(a.double() for a in arguments), -2.0, 2.0)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = [
            ops.position_head(*arguments, -2.0, 2.0),
            reference("position_head")(*arguments, -2.0, 2.0),
        ]
    finally:
        torch.set_float32_matmul_precision(before)
    for pair in found:
        for one, exact in zip(pair, expected, strict=True):
            torch.testing.assert_close(one.double(), exact, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(5, 3)}, r"features must have shape \[rows, 4\], got \[5, 3\]"),
        ({0: torch.zeros(4)}, r"features must have shape \[rows, 4\], got \[4\]"),
        ({0: torch.zeros(5, 4).double()}, "features must have the dtype of weight, or bfloat16"),
        (
            {1: torch.zeros(3, 4)},
            r"weight must have shape \[2 positions, features\], got \[3, 4\]",
        ),
        ({1: torch.zeros(4, 4).bfloat16()}, "weight must be float32 or float64"),
        ({2: torch.zeros(2)}, r"bias must have shape \[4\], got \[2\]"),
        ({2: torch.zeros(4).double()}, "bias must have the dtype of weight"),
        ({3: torch.zeros(5, 4)}, r"jitter must have shape \[5, 2\], got \[5, 4\]"),
        ({3: torch.zeros(5, 2).double()}, "jitter must have the dtype of weight"),
        ({4: 3.0}, "low must not be above high, got 3 and 2"),
    ],
)
@position_head
def test_position_head_names_what_is_wrong(position_head, change, message):
    arguments = [*head(5, 4, 2, torch.float32, "cpu"), -2.0, 2.0]
    for place, value in change.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match="position_head: " + message):
        position_head(*arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype):
    z, weight, bias, gradient = batch(6, 5, dtype, "cpu")
    library.opcheck(OPERATORS.norm_relu.default, (z, weight, bias, EPSILON, torch.empty_like(z)))
    library.opcheck(
        OPERATORS.norm_relu_backward.default,
        (gradient, z, weight, bias, weight.clone(), weight.clone(), bias.clone()),
    )
    library.opcheck(OPERATORS.code_gradient.default, cells(6, [3, 2], dtype, "cpu"))
    library.opcheck(OPERATORS.position_head.default, (*head(6, 5, 2, dtype, "cpu"), -2.0, 2.0))
