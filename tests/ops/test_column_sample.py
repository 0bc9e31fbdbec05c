"""column_sample: exactness, robustness at the ends of the distribution, agreement, errors."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

INF = math.inf
NAN = math.nan
OPERATOR = torch.ops.sdv_wgangp.column_sample.default
ALMOST_ONE = 1 - 2**-24

implementations = pytest.mark.parametrize(
    "sample", [ops.column_sample, reference("column_sample")], ids=["operator", "reference"]
)

# logits, offsets, uniforms -> codes
TABLE = {
    "even odds": (
        [0.0, 0.0, 0.0, 0.0],
        [0, 4],
        [[0.0], [0.24], [0.25], [0.5], [0.99]],
        [[0], [0], [1], [2], [3]],
    ),
    "quarter and three quarters": (
        [0.0, math.log(3)],
        [0, 2],
        [[0.0], [0.2499], [0.2501], [0.99]],
        [[0], [0], [1], [1]],
    ),
    "one level": ([-3.0, 2.0], [0, 1, 2], [[0.0, 0.5], [ALMOST_ONE, 1.0]], [[0, 0], [0, 0]]),
    "each column has its own uniform": (
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0, 2, 5],
        [[0.1, 0.9], [0.9, 0.1], [0.6, 0.5]],
        [[0, 2], [1, 0], [1, 1]],
    ),
    "masked first, last and in between": (
        [-INF, 0.0, -INF, 0.0, -INF],
        [0, 5],
        [[0.0], [0.49], [0.5], [ALMOST_ONE], [1.0], [2.0], [NAN], [-1.0]],
        [[1], [1], [3], [3], [3], [3], [3], [1]],
    ),
    "all mass on one level": (
        [-1e30, 1e30, -1e30, 0.0, 5000.0],
        [0, 3, 5],
        [[0.0, 0.0], [ALMOST_ONE, ALMOST_ONE]],
        [[1, 1], [1, 1]],
    ),
    "huge logits": ([3e38, 3e38, -3e38], [0, 3], [[0.4], [0.6], [ALMOST_ONE]], [[0], [1], [1]]),
}


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", TABLE)
def test_tables_worked_by_hand(sample, case, dtype, device):
    logits, offsets, uniforms, codes = TABLE[case]
    got = sample(
        torch.tensor([logits] * len(uniforms), dtype=dtype, device=device),
        torch.tensor(uniforms, dtype=dtype, device=device),
        torch.tensor(offsets, device=device),
    )
    assert got.tolist() == codes
    assert got.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "widths", [[1, 2, 1, 63, 64, 65, 5], [1], [3000, 2, 129]], ids=["narrow", "one", "wide"]
)
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 127, 129, 500])
def test_equals_the_reference(rows, widths, dtype, device, ragged):
    logits, _, offsets = ragged(rows, widths, device, dtype)
    generator = torch.Generator().manual_seed(1)
    uniforms = torch.rand(rows, len(widths), generator=generator, dtype=dtype).to(device)
    codes = ops.column_sample(logits, uniforms, offsets)
    expected = reference("column_sample")(logits, uniforms, offsets)
    assert codes.shape == (rows, len(widths))
    # In float32 the two may fall on different sides of a boundary that lies within rounding of
    # the uniform, i.e. on neighbouring levels with mass.
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    for row, column in (codes != expected).nonzero().tolist():
        block = logits[row, offsets[column] : offsets[column + 1]].double().softmax(0).cumsum(0)
        distance = (block - uniforms[row, column].double()).abs().min()
        assert float(distance) < tolerance
    assert int((codes != expected).sum()) <= rows * len(widths) // 100


@implementations
@pytest.mark.parametrize("levels", [2, 5, 64, 65, 1000])
def test_every_level_gets_its_share_of_the_unit_interval(sample, levels, device):
    """With uniforms on a regular grid each count is exact to one: no sampling noise to hide in."""
    count = 20000
    generator = torch.Generator().manual_seed(levels)
    logits = 2 * torch.randn(1, levels, generator=generator, dtype=torch.float64).to(device)
    grid = (torch.arange(count, dtype=torch.float64, device=device) + 0.5)[:, None] / count
    offsets = torch.tensor([0, levels], device=device)
    codes = sample(logits.expand(count, -1), grid, offsets)[:, 0]
    assert bool((codes.diff() >= 0).all())
    expected = count * logits[0].softmax(0)
    counts = torch.bincount(codes, minlength=levels)
    assert float((counts - expected).abs().max()) < 1 + 1e-6


@implementations
def test_frequencies_by_chi_square(sample, device):
    rows = 40000
    generator = torch.Generator().manual_seed(3)
    widths = [2, 7, 30]
    logits = torch.randn(1, sum(widths), generator=generator).to(device)
    uniforms = torch.rand(rows, len(widths), generator=generator).to(device)
    offsets = torch.tensor([0, 2, 9, 39], device=device)
    codes = sample(logits.expand(rows, -1), uniforms, offsets).cpu()
    for column, block in enumerate(logits[0].cpu().double().split(widths)):
        counts = torch.bincount(codes[:, column], minlength=len(block))
        assert stats.chisquare(counts, rows * block.softmax(0)).pvalue > 1e-3
    joint = torch.bincount(codes[:, 0] * 7 + codes[:, 1], minlength=14).reshape(2, 7)
    assert stats.chi2_contingency(joint).pvalue > 1e-3


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_without_probability_is_never_drawn(sample, dtype, device):
    generator = torch.Generator().manual_seed(5)
    rows, levels = 3000, 200
    logits = torch.randn(rows, levels, generator=generator, dtype=dtype)
    masked = torch.rand(rows, levels, generator=generator) < 0.9
    masked[torch.arange(rows), torch.randint(levels, (rows,), generator=generator)] = False
    logits[masked] = torch.where(
        torch.rand(int(masked.sum()), generator=generator) < 0.5, -INF, -5000.0
    ).to(dtype)
    uniforms = torch.rand(rows, 1, generator=generator, dtype=dtype)
    uniforms[:1000] = 0
    uniforms[1000:2000] = torch.tensor(1, dtype=dtype).nextafter(torch.tensor(0, dtype=dtype))
    codes = sample(
        logits.to(device), uniforms.to(device), torch.tensor([0, levels], device=device)
    )
    drawn = masked.to(device).gather(1, codes)
    assert not bool(drawn.any())
    # Both ends of the distribution are reached: the first and the last level with probability.
    position = torch.arange(levels).expand(rows, -1)
    first = torch.where(masked, levels, position).amin(1)
    last = torch.where(masked, -1, position).amax(1)
    assert torch.equal(codes.cpu()[:1000, 0], first[:1000])
    if dtype == torch.float64:
        assert torch.equal(codes.cpu()[1000:2000, 0], last[1000:2000])


def test_a_hundred_thousand_levels(device):
    levels, rows = 100_000, 50
    logits = torch.zeros(1, levels, device=device).expand(rows, -1)
    uniforms = torch.linspace(0, 1, rows + 1, device=device)[:-1, None] + 0.3 / rows
    codes = ops.column_sample(logits, uniforms, torch.tensor([0, levels], device=device))
    expected = (uniforms.double() * levels).floor().long()
    assert torch.equal(codes, expected)


def test_views_and_expanded_arguments(device, ragged):
    logits, _, offsets = ragged(6, [2, 3, 4], device)
    uniforms = torch.rand(6, 3, device=device)
    expected = ops.column_sample(logits, uniforms, offsets)
    by_column = logits.t().contiguous().t()
    wider = torch.cat((logits, logits), 1)[:, 9:]
    for view in (by_column, wider):
        got = ops.column_sample(view, uniforms.t().contiguous().t(), offsets)
        assert torch.equal(got, expected)
    half = torch.full((1, 1), 0.5, device=device).expand(6, 3)
    assert torch.equal(
        ops.column_sample(logits, half, offsets),
        ops.column_sample(logits, half.contiguous(), offsets),
    )


@implementations
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_bias_is_added_to_logits_that_may_be_bfloat16(sample, dtype, device, ragged):
    sums = torch.float64 if dtype == torch.float64 else torch.float32
    widths = [1, 40, 200]
    logits, noise, offsets = ragged(50, widths, device, sums)
    bias = torch.stack([noise[0], noise[1]], 1)[:, 0]  # with a stride
    uniforms = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=sums).to(device)
    logits = logits.to(dtype)
    before = logits.clone()
    plain = sample(logits.to(sums), uniforms, offsets)
    assert torch.equal(sample(logits, uniforms, offsets), plain)
    codes = sample(logits, uniforms, offsets, bias)
    assert torch.equal(codes, sample(logits.to(sums) + bias, uniforms, offsets))
    assert not torch.equal(codes, plain)
    assert torch.equal(logits, before)


def test_opcheck(device, ragged):
    logits, _, offsets = ragged(5, [1, 2, 4], device)
    uniforms = torch.rand(5, 3, device=device)
    library.opcheck(OPERATOR, (logits, uniforms, offsets))
    library.opcheck(OPERATOR, (logits.bfloat16(), uniforms, offsets, logits[0].clone()))


def test_autocast_computes_in_float32(device, ragged):
    logits, _, offsets = ragged(50, [2, 3], device)
    uniforms = torch.rand(50, 2, device=device)
    half = logits.bfloat16()
    with torch.autocast(device, torch.bfloat16):
        codes = ops.column_sample(half, uniforms, offsets)
    assert torch.equal(codes, ops.column_sample(half.float(), uniforms, offsets))


X = torch.zeros(2, 5)
AT = torch.tensor([0, 2, 5])
U = torch.zeros(2, 2)
ERRORS = {
    "one-dimensional logits": (
        (X[0], U, AT),
        r"column_sample: logits must have two dimensions \(rows, width\), got shape \[5\]",
    ),
    "integer logits": ((X.long(), U, AT), r"logits must be float32 or float64"),
    "shape of the uniforms": (
        (X, X, AT),
        r"column_sample: uniforms must have shape \[2, 2\], got \[2, 5\]",
    ),
    "dtype of the uniforms": ((X, U.double(), AT), r"uniforms must have the same dtype as logits"),
    "16-bit uniforms": ((X.bfloat16(), U.bfloat16(), AT), r"uniforms must be float32 or float64"),
    "16-bit logits and 64-bit uniforms": (
        (X.bfloat16(), U.double(), AT),
        r"logits must have the dtype of uniforms, or bfloat16 where that is float32",
    ),
    "shape of the bias": ((X, U, AT, U[0]), r"bias must have shape \[5\], got \[2\]"),
    "dtype of the bias": ((X, U, AT, X[0].double()), r"bias must have the same dtype as uniforms"),
    "offsets' dtype": ((X, U, AT.int()), r"offsets must be int64"),
    "offsets' end": (
        (X, U, torch.tensor([0, 2, 6])),
        r"offsets must end with the width of the logits, 5, got 6",
    ),
    "empty column": (
        (X, U, torch.tensor([0, 0, 5])),
        r"column 0 is empty, offsets\[0\] = 0 and offsets\[1\] = 0",
    ),
}


@implementations
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(sample, case):
    arguments, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        sample(*arguments)


@implementations
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_column_without_a_distribution_is_named(sample, value):
    # 400 rows of 300 levels, so that several threads meet the fault; the first one is reported.
    logits = torch.zeros(400, 300)
    logits[123, 2:] = value
    logits[300:, 2:] = value
    uniforms = torch.rand(400, 2)
    message = r"column_sample: logits of row 123, column 1 are no distribution"
    with pytest.raises(RuntimeError, match=message):
        sample(logits, uniforms, torch.tensor([0, 2, 300]))
