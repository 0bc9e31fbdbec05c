"""Adam without momentum against a table worked by hand and torch's optimizer; the average."""

from __future__ import annotations

import math

import pytest
import torch
from torch import library

from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

OPERATOR = torch.ops.sdv_wgangp.adam_step.default
TOLERANCE = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-14},
    torch.float32: {"rtol": 1e-5, "atol": 1e-6},
}
# One part of a task and two, no dimension, no element, more than one launch's worth of a table.
SHAPES = [(3, 5), (), (8193,), (0,), (2, 0, 3), (1, 4096), *[(7,)] * 70]

implementations = pytest.mark.parametrize(
    "step", [OPERATOR, reference("adam_step")], ids=["operator", "reference"]
)


def drawn(shapes, dtype, device, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=random).to(device, dtype) for shape in shapes]


def rates(rate, beta, count, ema_weight, device="cpu"):
    correction = 1 / math.sqrt(1 - beta**count)
    return torch.tensor([rate, correction, ema_weight], dtype=torch.float64, device=device)


@implementations
def test_by_hand(step, device):
    """beta = 3/4 and decay 1/2: g' = 2 + 1 = 3, v = 3/4 * 4 + 1/4 * 9 = 21/4; with c = 2 and
    epsilon = 0.5 the root is sqrt(21) + 0.5. The average goes a quarter of the way."""
    parameter = torch.tensor([2.0], dtype=torch.float64, device=device)
    square, average = torch.full_like(parameter, 4.0), torch.full_like(parameter, 1.0)
    step(
        [parameter],
        [torch.full_like(parameter, 2.0)],
        [square],
        [average],
        torch.tensor([0.1, 2.0, 0.25], dtype=torch.float64, device=device),
        0.75,
        0.5,
        0.5,
    )
    moved = 2 - 0.1 * 3 / (math.sqrt(21) + 0.5)
    assert square.item() == 21 / 4
    assert parameter.item() == pytest.approx(moved, rel=1e-14)
    assert average.item() == pytest.approx(1 + 0.25 * (moved - 1), rel=1e-14)


@implementations
@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torch_adam(step, dtype, averaged, device):
    beta, epsilon, decay, rate = 0.9, 1e-8, 1e-3, 2e-2
    parameters = drawn(SHAPES, dtype, device)
    squares = [torch.zeros_like(p) for p in parameters]
    averages = [p.clone() for p in parameters] if averaged else []
    theirs = [p.clone() for p in parameters]
    mean = [p.clone() for p in parameters]
    adam = torch.optim.Adam(theirs, rate, betas=(0.0, beta), eps=epsilon, weight_decay=decay)
    for count in range(1, 6):
        gradients = drawn(SHAPES, dtype, device, seed=count)
        now, ema_weight = rate / count, 1 / (1 + count)
        adam.param_groups[0]["lr"] = now
        for tensor, gradient in zip(theirs, gradients, strict=True):
            tensor.grad = gradient.clone()
        adam.step()
        given = [g.clone() for g in gradients]
        step(
            parameters,
            gradients,
            squares,
            averages,
            rates(now, beta, count, ema_weight, device),
            beta,
            epsilon,
            decay,
        )
        for a, p in zip(mean, theirs, strict=True):
            a.lerp_(p, ema_weight)
        for found, expected in zip(gradients, given, strict=True):
            assert torch.equal(found, expected)
    for k, expected in enumerate(theirs):
        torch.testing.assert_close(parameters[k], expected, **TOLERANCE[dtype])
        torch.testing.assert_close(
            squares[k], adam.state[expected]["exp_avg_sq"], **TOLERANCE[dtype]
        )
        if averaged:
            torch.testing.assert_close(averages[k], mean[k], **TOLERANCE[dtype])


@implementations
def test_takes_both_dtypes_at_once_and_rates_at_any_stride(step, device):
    shapes = [(3,), (2, 2), (5,)]
    parameters = [
        p.to(dtype)
        for p, dtype in zip(
            drawn(shapes, torch.float64, device),
            (torch.float64, torch.float32, torch.float64),
            strict=True,
        )
    ]
    gradients = [torch.ones_like(p) for p in parameters]
    before = [p.clone() for p in parameters]
    spread = torch.stack([rates(0.5, 0.9, 1, 0.0, device)] * 2, 1)[:, 0]
    assert not spread.is_contiguous()
    squares = [torch.zeros_like(p) for p in parameters]
    step(parameters, gradients, squares, [], spread, 0.9, 1e-8, 0.0)
    # The first step is the learning rate long, whatever the gradient.
    for now, then in zip(parameters, before, strict=True):
        assert now.dtype == then.dtype
        torch.testing.assert_close(now, then - 0.5, rtol=1e-6, atol=1e-6)


@implementations
def test_the_average_may_follow_at_once_or_not_at_all(step, device):
    for ema_weight in (0.0, 1.0):
        parameter, gradient, average = drawn([(50,)] * 3, torch.float64, device)
        before = average.clone()
        step(
            [parameter],
            [gradient],
            [torch.zeros_like(parameter)],
            [average],
            rates(0.1, 0.9, 1, ema_weight, device),
            0.9,
            1e-8,
            0.0,
        )
        torch.testing.assert_close(average, parameter if ema_weight else before)


@implementations
def test_no_parameters(step, device):
    assert step([], [], [], [], rates(0.1, 0.9, 1, 0.5, device), 0.9, 1e-8, 0.0) is None


def test_defaults_are_those_of_adam():
    parameter, gradient = drawn([(20,)] * 2, torch.float64, "cpu")
    theirs = parameter.clone()
    theirs.grad = gradient.clone()
    torch.optim.Adam([theirs], 0.1, betas=(0.0, 0.9)).step()
    ops.adam_step(
        [parameter], [gradient], [torch.zeros_like(parameter)], [], rates(0.1, 0.9, 1, 0.0)
    )
    torch.testing.assert_close(parameter, theirs)


def test_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            shapes = [(100_003,), (64, 300), (5,)]
            parameters = drawn(shapes, torch.float32, "cpu")
            squares = [torch.zeros_like(p) for p in parameters]
            averages = [torch.zeros_like(p) for p in parameters]
            for count in (1, 2):
                ops.adam_step(
                    parameters,
                    drawn(shapes, torch.float32, "cpu", seed=count),
                    squares,
                    averages,
                    rates(0.1, 0.9, count, 0.5),
                )
            results.append(parameters + squares + averages)
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


ONES = torch.ones(2, 3)
LISTS = ("parameters", "gradients", "squares", "averages")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradients": []}, "gradients must be as many as the parameters, 1, got 0"),
        ({"squares": [ONES, ONES]}, "squares must be as many as the parameters, 1, got 2"),
        ({"averages": [ONES, ONES]}, "averages must be as many as the parameters, 1, got 2"),
        (
            {"gradients": [torch.ones(3, 2)]},
            r"gradients\[0\] must have shape \[2, 3\], got \[3, 2\]",
        ),
        ({"squares": [ONES.double()]}, r"squares\[0\] must have the dtype of its parameter"),
        ({"averages": [torch.ones(3, 2).T]}, r"averages\[0\] must be contiguous"),
        ({"gradients": [torch.ones(3, 2).T]}, r"gradients\[0\] must be contiguous"),
        (
            {"parameters": [torch.ones(3, 2).T.clone(memory_format=torch.preserve_format)]},
            r"parameters\[0\] must be contiguous",
        ),
        (
            {name: [ONES.bfloat16()] for name in LISTS},
            r"parameters\[0\] must be float32 or float64",
        ),
        ({"rates": torch.ones(2).double()}, r"rates must have shape \[3\], got \[2\]"),
        ({"rates": torch.ones(3)}, "rates must be float64"),
        ({"beta": 1.0}, r"beta must lie in \[0, 1\), got 1"),
        ({"beta": -0.5}, r"beta must lie in \[0, 1\), got -0.5"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0"),
        ({"decay": -1.0}, "decay must not be negative, got -1"),
    ],
)
@implementations
def test_errors_name_the_argument(step, change, message):
    arguments = {
        **{name: [ONES.clone()] for name in LISTS},
        "rates": rates(0.1, 0.9, 1, 0.5),
        "beta": 0.9,
        "epsilon": 1e-8,
        "decay": 0.0,
    } | change
    with pytest.raises(RuntimeError, match="adam_step: " + message):
        step(*arguments.values())


@pytest.mark.parametrize("averaged", [True, False])
def test_opcheck(averaged):
    shapes = [(3, 2), (4,)]
    parameters, gradients, squares, averages = (
        drawn(shapes, torch.float32, "cpu", seed) for seed in range(4)
    )
    library.opcheck(
        OPERATOR,
        (
            parameters,
            gradients,
            [s.square() for s in squares],
            averages if averaged else [],
            rates(0.1, 0.9, 3, 0.5),
            0.9,
            1e-8,
            0.01,
        ),
    )


@implementations
@pytest.mark.parametrize("broken", [torch.nan, torch.inf, 1e38])
def test_the_average_does_not_follow_a_step_that_fails(step, broken):
    parameter, average = torch.tensor([broken, 2.0]), torch.tensor([1.0, 1.0])
    gradient, square = torch.zeros(2), torch.ones(2)
    now = torch.tensor([0.1, 1.0, 0.5], dtype=torch.float64)
    step([parameter], [gradient], [square], [average], now, 0.9, 1e-8, 0.0)
    torch.testing.assert_close(average, torch.tensor([1.0, 1.5]))


@implementations
def test_gradients_may_be_bfloat16(step):
    random = torch.Generator().manual_seed(0)
    gradient = torch.randn(700, generator=random).bfloat16()
    results = []
    for given in (gradient, gradient.float()):
        parameter, square = torch.ones(700), torch.ones(700)
        now = torch.tensor([0.1, 1.0, 0.0], dtype=torch.float64)
        step([parameter], [given], [square], [], now, 0.9, 1e-8, 0.01)
        results.append((parameter, square))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)
