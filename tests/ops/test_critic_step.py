"""The critic's operators against tables worked by hand and float64 autograd."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys

import pytest
import torch
from torch import library
from torch.nn.functional import leaky_relu, softplus

from sdv_wgangp import ops
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.ops.registry import reference

STEP = torch.ops.sdv_wgangp.critic_step.default
ROW_GRADIENT = torch.ops.sdv_wgangp.critic_row_gradient.default
SCORES = torch.ops.sdv_wgangp.critic_scores.default
PENALTIES = ops.PENALTIES
SLOPE = 0.2

# cells, levels, dense channels, hidden layers
SHAPES = {
    "one hidden layer": (1, 3, 0, (4,)),
    "two": (5, 40, 12, (48, 33)),
    "three": (3, 50, 9, (33, 8, 17)),
    "many channels": (2, 9, 70, (16, 5)),
    "no cells": (0, 0, 4, (8, 8)),
    "one unit": (2, 4, 1, (1, 1)),
    "single level": (4, 1, 2, (6, 6)),
    "many levels": (3, 5000, 2, (130, 7)),
}

# Losses of the scores of real and fake rows.
OBJECTIVES = {
    "wasserstein": lambda real, fake: fake.mean() - real.mean(),
    "softplus": lambda real, fake: softplus(fake).mean() + softplus(-real).mean(),
    "hinge": lambda real, fake: (1 + fake).relu().mean() + (1 - real).relu().mean(),
    "relativistic": lambda real, fake: softplus(fake - real).mean(),
    "nothing": lambda real, fake: 0 * (real + fake).mean(),
}
objectives = pytest.mark.parametrize("objective", list(OBJECTIVES)[1:])

implementations = pytest.mark.parametrize(
    "step", [STEP, reference("critic_step")], ids=["operator", "reference"]
)
row_gradients = pytest.mark.parametrize(
    "row_gradient", [ROW_GRADIENT, reference("critic_row_gradient")], ids=["operator", "reference"]
)
scorers = pytest.mark.parametrize(
    "score", [SCORES, reference("critic_scores")], ids=["operator", "reference"]
)


def make(rows, shape, penalty="wgan-gp", dropout=0.0, seed=0):
    """Arguments of the operator in float64 on the CPU, by their names."""
    cells, levels, dense, hidden = shape
    random = torch.Generator().manual_seed(seed)

    def normal(*size):
        return torch.randn(*size, generator=random, dtype=torch.float64)

    # Gradient norms on both sides of 1.
    parameters = [
        normal(levels, hidden[0]) * 3 / max(levels + dense, 1) ** 0.5,
        normal(dense, hidden[0]) * 0.3,
        normal(hidden[0]) * 0.3,
    ]
    for before, after in zip(hidden, (*hidden[1:], 1), strict=True):
        parameters += [normal(after, before) * 1.3 / before**0.5, normal(after) * 0.1]
    count = rows * (3 if penalty in ops.PENALTIES_BETWEEN else 2)

    def draw():
        if not cells:
            return torch.zeros(rows, 0, dtype=torch.int64)
        return torch.randint(levels, (rows, cells), generator=random)

    masks = [
        torch.empty(count, width, dtype=torch.float64).bernoulli_(1 - dropout, generator=random)
        / (1 - dropout)
        for width in hidden
        if dropout
    ]
    return {
        "real_levels": draw(),
        "real_dense": normal(rows, dense),
        "fake_levels": draw(),
        "fake_dense": normal(rows, dense),
        "epsilon": torch.rand(rows, 1, generator=random, dtype=torch.float64),
        "parameters": parameters,
        "masks": masks,
        "slope": SLOPE,
        "penalty": penalty,
        "weight": 7.0,
        "bfloat16": False,
        "gradients": [torch.full_like(parameter, math.nan) for parameter in parameters],
    }


def convert(arguments, device="cpu", dtype=torch.float64):
    """The same arguments elsewhere; new tensors for the gradients."""

    def move(value):
        if isinstance(value, torch.Tensor):
            return value.to(device, dtype if value.is_floating_point() else None, copy=True)
        return [move(part) for part in value] if isinstance(value, list) else value

    return {name: move(value) for name, value in arguments.items()}


def one_hot(levels, width):
    """Sum of the cells' one-hot rows (a level may be named twice)."""
    ones = torch.ones(levels.shape, dtype=torch.float64)
    return torch.zeros(len(levels), width, dtype=torch.float64).scatter_add_(1, levels, ones)


def network(parameters, x, masks, part):
    """The critic on one-hot rows, for automatic differentiation."""
    hidden = x @ torch.cat(parameters[:2]) + parameters[2]
    for index in range(3, len(parameters), 2):
        hidden = leaky_relu(hidden, SLOPE)
        if masks:
            rows = slice(part * len(x), (part + 1) * len(x))
            hidden = hidden * masks[(index - 3) // 2][rows]
        hidden = hidden @ parameters[index].T + parameters[index + 1]
    return hidden[:, 0]


def hot_rows(arguments):
    """Real and fake rows in float64, one-hot."""
    width = len(arguments["parameters"][0])
    return tuple(
        torch.cat([one_hot(arguments[f"{k}_levels"], width), arguments[f"{k}_dense"].double()], 1)
        for k in ("real", "fake")
    )


def with_derivatives(arguments, objective):
    """The arguments with the objective's derivatives at the exact scores."""
    parameters, masks = ([x.double() for x in arguments[k]] for k in ("parameters", "masks"))
    scores = [
        network(parameters, x, masks, part).requires_grad_()
        for part, x in enumerate(hot_rows(arguments))
    ]
    found = torch.autograd.grad(OBJECTIVES[objective](*scores), scores)
    return arguments | {"derivatives": torch.stack(found).to(arguments["epsilon"].dtype)}


def by_autograd(arguments, objective="wasserstein"):
    """Losses and gradients in float64, by double backward on one-hot rows."""
    parameters = [p.double().clone().requires_grad_() for p in arguments["parameters"]]
    masks, penalty = [mask.double() for mask in arguments["masks"]], arguments["penalty"]
    real, fake = hot_rows(arguments)
    scores = network(parameters, real, masks, 0), network(parameters, fake, masks, 1)
    distance = scores[1].mean() - scores[0].mean()

    def norm(x, part):
        x = x.requires_grad_()
        scores = network(parameters, x, masks, part)
        return torch.autograd.grad(scores.sum(), x, create_graph=True)[0].norm(dim=1)

    cost = torch.zeros((), dtype=torch.float64)
    if penalty in ops.PENALTIES_BETWEEN:
        above = norm(torch.lerp(real, fake, arguments["epsilon"].double()), 2) - 1
        cost = (above if penalty == "wgan-gp" else above.clamp_min(0)).square().mean()
    if "r1" in penalty:
        cost = cost + norm(real.clone(), 0).square().mean() / 2
    if "r2" in penalty:
        cost = cost + norm(fake.clone(), 1).square().mean() / 2
    cost = arguments["weight"] * cost
    (OBJECTIVES[objective](*scores) + cost).backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.stack([distance.detach(), cost.detach()]), gradients


def relative_error(found, exact):
    """Largest over the tensors: norm of the difference over the norm of the exact one."""
    floor = 1e-30
    errors = [
        float((a.cpu().double() - b).norm() / b.norm().clamp_min(floor)) if b.numel() else 0.0
        for a, b in zip(found, exact, strict=True)
        # Biases above no penalty cancel to 0 where the exact gradient is 0.
        if b.numel() == 0 or float(b.abs().max()) > 1e-12 or float(a.abs().max()) > 1e-6
    ]
    return max(errors, default=0.0)


def assert_same(found, expected):
    """The same bits; on CUDA nearly, where the level weight's gradient is summed in any order."""
    for a, b in zip(found, expected, strict=True):
        if a.is_cuda:
            torch.testing.assert_close(a, b)
        else:
            assert torch.equal(a, b)


@implementations
def test_a_step_worked_by_hand(step, device):
    """f(x) = 2 (3 x_0 + 4 x_1) + 1 where that is positive; real row x_0 = 1, fake row x_1 = 1.

    Scores 7 and 9; the gradient (6, 8) has norm 10; penalty 81/2 with weight 1/2. The penalty's
    gradients are 2/2 (10 - 1) times those of the norm |v| |w|: for w = (3, 4), v w / |w| =
    (6/5, 8/5), for v = 2, |w| = 5.
    """
    zero = torch.zeros(1, device=device)
    parameters = [
        torch.tensor([[3.0], [4.0]], device=device),
        torch.zeros(0, 1, device=device),
        zero,
        torch.tensor([[2.0]], device=device),
        torch.ones(1, device=device),
    ]
    gradients = [torch.full_like(parameter, math.nan) for parameter in parameters]
    levels = torch.tensor([[0]], device=device), torch.tensor([[1]], device=device)
    dense, epsilon = torch.zeros(1, 0, device=device), torch.full((1, 1), 0.25, device=device)
    arguments = (levels[0], dense, levels[1], dense, epsilon, parameters, [], SLOPE)
    losses = step(*arguments, "wgan-gp", 0.5, False, gradients)
    assert losses.tolist() == [2.0, 40.5]
    expected = [[-2 + 9 * 6 / 5], [2 + 9 * 8 / 5]], [], [0.0], [[4 - 3 + 9 * 5.0]], [0.0]
    for gradient, value in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient.flatten().cpu(), torch.tensor(value).flatten())

    losses = step(*arguments, "r1", 0.5, False, gradients)
    assert losses.tolist() == [2.0, 25.0]
    expected = [[-2 + 0.5 * 4 * 3], [2 + 0.5 * 4 * 4]], [], [0.0], [[1 + 0.5 * 2 * 25.0]], [0.0]
    for gradient, value in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient.flatten().cpu(), torch.tensor(value).flatten())

    # With the loss's derivatives -2 at the real score and 3 at the fake one.
    derivatives = torch.tensor([[-2.0], [3.0]], device=device)
    losses = step(*arguments, "r1", 0.5, False, gradients, derivatives)
    assert losses.tolist() == [2.0, 25.0]
    expected = [[-4 + 0.5 * 4 * 3], [6 + 0.5 * 4 * 4]], [], [2.0], [[6 + 0.5 * 2 * 25.0]], [1.0]
    for gradient, value in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient.flatten().cpu(), torch.tensor(value).flatten())


@implementations
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_equals_autograd(step, penalty, shape, dropout, device):
    given = make(7, SHAPES[shape], penalty, dropout)
    arguments = convert(given, device)
    losses = step(*arguments.values())
    expected, exact = by_autograd(given)
    torch.testing.assert_close(losses.cpu(), expected, rtol=1e-11, atol=1e-11)
    for found, gradient in zip(arguments["gradients"], exact, strict=True):
        torch.testing.assert_close(found.cpu(), gradient, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("rows", [1, 2, 7, 127, 129, 500])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_float32_is_exact_to_one_in_100_000(penalty, rows, dropout, device):
    given = make(rows, (5, 300, 12, (64, 48)), penalty, dropout)
    # Both see the same numbers: those that float32 can hold.
    arguments = convert(given, device, torch.float32)
    held = convert(arguments)
    losses = STEP(*arguments.values())
    expected, exact = by_autograd(held)
    torch.testing.assert_close(losses.cpu().double(), expected, rtol=1e-5, atol=1e-5)
    assert relative_error(arguments["gradients"], exact) <= 1e-5


@implementations
@pytest.mark.parametrize("penalty", PENALTIES)
def test_bfloat16_products_stay_near(step, penalty, device):
    given = make(500, (14, 300, 12, (128, 128)), penalty)
    arguments = convert(given, device, torch.float32) | {"bfloat16": True}
    losses = step(*arguments.values())
    expected, exact = by_autograd(given)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.cpu().double(), expected, rtol=2e-2, atol=2e-2)
    # Real and fake rows cancel in the mean, most of all in the biases; rounding does not.
    assert relative_error(arguments["gradients"], exact) < 0.1
    found, exact = (torch.cat([g.flatten() for g in x]) for x in (arguments["gradients"], exact))
    assert relative_error([found], [exact]) < 3e-2


@pytest.mark.parametrize("rows", [1, 7, 129, 500])
@pytest.mark.parametrize("size", [(5, 40, 12, (48, 33)), (3, 1050, 9, (33, 8, 17))])
def test_bfloat16_of_odd_sizes(rows, size, device):
    """Products of bfloat16 go by blocks of 32 x 32 x 32 and by parts of 384 and 1024."""
    given = make(rows, size, "r1+r2")
    arguments = convert(given, device, torch.float32) | {"bfloat16": True}
    STEP(*arguments.values())
    _, exact = by_autograd(given)
    found, exact = (torch.cat([g.flatten() for g in x]) for x in (arguments["gradients"], exact))
    assert relative_error([found], [exact]) < 0.1
    levels, dense, parameters = (
        arguments[name] for name in ("real_levels", "real_dense", "parameters")
    )
    _, *found = ROW_GRADIENT(levels, dense, parameters, SLOPE, True)
    assert relative_error(found, rows_by_autograd(given)[1:]) < 0.1


@pytest.mark.skipif(not torch.cpu._is_amx_tile_supported(), reason="needs tile instructions")
def test_bfloat16_by_torch_where_there_are_no_tiles():
    """The same tests with the products left to torch, as on processors without tiles."""
    chosen = "test_bfloat16_products_stay_near or test_bfloat16_of_odd_sizes or row_gradient"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", chosen],
        env=os.environ | {"SDV_WGANGP_TILES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def test_bfloat16_is_rounded_to_the_nearest(device):
    """One hidden layer without a penalty: the head's gradient is a sum of rounded activations."""
    weight = torch.tensor([[1 + 2**-9, 1 + 3 * 2**-9, 1 + 2**-8, 1 + 3 * 2**-8, 3e38]])
    rounded = weight.bfloat16().double()
    zero = torch.zeros(5, device=device)
    parameters = [
        torch.cat([weight, torch.zeros_like(weight)]).to(device),
        torch.zeros(0, 5, device=device),
        zero,
        torch.ones(1, 5, device=device),
        zero[:1],
    ]
    gradients = [torch.empty_like(parameter) for parameter in parameters]
    levels = torch.tensor([[0]], device=device)
    dense = torch.zeros(1, 0, device=device)
    arguments = (levels + 1, dense, levels, dense, None, parameters, [], SLOPE, "none", 1.0)
    STEP(*arguments, True, gradients)
    assert torch.equal(gradients[3].cpu().double(), rounded)


# --- any derivatives -----------------------------------------------------------------------------


@implementations
@objectives
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_any_objective_equals_autograd(step, penalty, shape, dropout, objective, device):
    given = with_derivatives(make(7, SHAPES[shape], penalty, dropout), objective)
    arguments = convert(given, device)
    losses = step(*arguments.values())
    expected, exact = by_autograd(given, objective)
    torch.testing.assert_close(losses.cpu(), expected, rtol=1e-11, atol=1e-11)
    for found, gradient in zip(arguments["gradients"], exact, strict=True):
        torch.testing.assert_close(found.cpu(), gradient, rtol=1e-10, atol=1e-11)


@objectives
@pytest.mark.parametrize("rows", [1, 2, 129, 500])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_any_objective_in_float32_is_exact_to_one_in_100_000(penalty, rows, objective, device):
    given = make(rows, (5, 300, 12, (64, 48)), penalty, dropout=0.5)
    # Both see the same numbers: those that float32 can hold, also as derivatives.
    held = convert(with_derivatives(convert(given, dtype=torch.float32), objective))
    arguments = convert(held, device, torch.float32)
    losses = STEP(*arguments.values())
    expected, exact = by_autograd(held, objective)
    torch.testing.assert_close(losses.cpu().double(), expected, rtol=1e-5, atol=1e-5)
    assert relative_error(arguments["gradients"], exact) <= 2e-5


@implementations
@objectives
@pytest.mark.parametrize("penalty", PENALTIES)
def test_any_objective_with_bfloat16_products_stays_near(step, penalty, objective, device):
    given = with_derivatives(make(500, (14, 300, 12, (128, 128)), penalty), objective)
    arguments = convert(given, device, torch.float32) | {"bfloat16": True}
    losses = step(*arguments.values())
    expected, exact = by_autograd(given, objective)
    torch.testing.assert_close(losses.cpu().double(), expected, rtol=2e-2, atol=2e-2)
    found, exact = (torch.cat([g.flatten() for g in x]) for x in (arguments["gradients"], exact))
    assert relative_error([found], [exact]) < 3e-2


@implementations
@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_derivatives_of_the_means_are_those_of_none(step, penalty, kind, device):
    dtype = torch.float64 if kind == "float64" else torch.float32
    rows = 33
    given = convert(make(rows, (5, 40, 12, (48, 33)), penalty, 0.5), device, dtype)
    given["bfloat16"] = kind == "bfloat16"
    expected = step(*given.values())
    means = torch.tensor([[-1 / rows], [1 / rows]], dtype=dtype, device=device).expand(2, rows)
    again = convert(given, device, dtype) | {"derivatives": means}
    assert torch.equal(step(*again.values()), expected)
    assert_same(again["gradients"][:-1], given["gradients"][:-1])
    torch.testing.assert_close(again["gradients"][-1], given["gradients"][-1])


def test_the_network_s_own_autograd_gives_the_same(device):
    """The operator's call as a training loop makes it, against MLPCritic's backward."""
    critic = MLPCritic(40, 6, (32, 17), torch.Generator().manual_seed(0)).double().to(device)
    given = convert(make(20, (4, 40, 6, (32, 17)), "none"), device)
    real = given["real_levels"], given["real_dense"]
    fake = given["fake_levels"], given["fake_dense"]
    parameters = list(critic.parameters())
    scores = [ops.critic_scores(*rows, parameters).requires_grad_() for rows in (real, fake)]
    objective = OBJECTIVES["relativistic"]
    derivatives = torch.stack(torch.autograd.grad(objective(*scores), scores))
    gradients = [torch.empty_like(parameter) for parameter in parameters]
    ops.critic_step(
        *real, *fake, None, parameters, gradients, penalty="none", derivatives=derivatives
    )
    loss = objective(critic(*real), critic(*fake))
    for found, exact in zip(gradients, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(found, exact)


def test_without_derivatives_there_is_the_penalty_alone(device):
    given = make(9, (2, 30, 3, (8, 6)), "r1+r2")
    arguments = convert(given | {"derivatives": torch.zeros(2, 9).double()}, device)
    STEP(*arguments.values())
    nothing = convert(arguments | {"penalty": "none"}, device)
    STEP(*nothing.values())
    assert all(not gradient.any() for gradient in nothing["gradients"])
    assert all(not arguments["gradients"][index].any() for index in (2, 4, 6))  # biases
    assert all(bool(arguments["gradients"][index].any()) for index in (0, 1, 3, 5))


def test_packed_rows_and_their_place_in_the_network(device):
    """Two rows packed are one row of twice the width: the second's levels follow the first's."""
    given = make(6, (4, 10, 6, (9, 5)))
    low = given["real_levels"] % 5
    low[:, 2:] += 5
    given["real_levels"] = low
    arguments = convert(given, device)
    losses = ops.critic_step(
        *(arguments[name] for name in list(arguments)[:6]), arguments["gradients"], weight=7.0
    )
    expected, exact = by_autograd(given)
    torch.testing.assert_close(losses.cpu(), expected)
    assert relative_error(arguments["gradients"], exact) < 1e-10


def test_levels_that_nobody_holds_get_the_penalty_alone(device):
    given = make(9, (2, 30, 3, (8, 6)))
    for name in ("real_levels", "fake_levels"):
        given[name] = given[name] % 4
    arguments = convert(given, device)
    STEP(*arguments.values())
    _, exact = by_autograd(given)
    torch.testing.assert_close(arguments["gradients"][0].cpu(), exact[0])
    assert float(arguments["gradients"][0][4:].norm()) > 0
    lazy = arguments | {"penalty": "none"}
    STEP(*lazy.values())
    assert float(arguments["gradients"][0][4:].norm()) == 0


@implementations
def test_a_gradient_of_zero_gets_no_penalty_gradient(step, device):
    given = make(5, (2, 6, 2, (8, 6)))
    given["parameters"][-2].zero_()
    arguments = convert(given, device)
    losses = step(*arguments.values())
    assert losses.tolist() == pytest.approx([0.0, given["weight"]])
    assert all(bool(gradient.isfinite().all()) for gradient in arguments["gradients"])
    _, exact = by_autograd(given)
    torch.testing.assert_close(arguments["gradients"][-2].cpu(), exact[-2])


def test_without_a_penalty_no_interpolate_is_read(device):
    given = make(8, (3, 20, 4, (16, 8)), "none") | {"epsilon": None}
    arguments = convert(given, device)
    losses = STEP(*arguments.values())
    expected, exact = by_autograd(given)
    torch.testing.assert_close(losses.cpu(), expected)
    assert relative_error(arguments["gradients"], exact) < 1e-10


def test_lazy_penalty_is_the_penalty_of_one_step_in_k(device):
    """Gradients are linear in the weight: k times the weight once, 0 on the other steps."""
    given = make(8, (3, 20, 4, (16, 8)))
    every = convert(given, device)
    STEP(*every.values())
    once = convert(given, device) | {"weight": 4 * given["weight"]}
    STEP(*once.values())
    never = convert(given, device) | {"penalty": "none"}
    STEP(*never.values())
    for a, b, c in zip(*(x["gradients"] for x in (every, once, never)), strict=True):
        torch.testing.assert_close(a, (b + 3 * c) / 4)


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1+r2"])
def test_huge_and_tiny_values(penalty, device):
    given = make(20, (3, 20, 4, (16, 8)), penalty)
    for scale in (1e-4, 1e4):
        scaled = dict(given)
        scaled["parameters"] = [p.clone() for p in given["parameters"]]
        scaled["parameters"][0] *= scale
        scaled["parameters"][1] *= scale
        arguments = convert(scaled, device, torch.float32)
        held = convert(arguments)
        losses = STEP(*arguments.values())
        expected, exact = by_autograd(held)
        torch.testing.assert_close(losses.cpu().double(), expected, rtol=1e-4, atol=1e-6)
        assert relative_error(arguments["gradients"], exact) <= 1e-3


def test_a_weight_that_is_not_a_number_shows(device):
    arguments = convert(make(20, (3, 20, 4, (16, 8))), device, torch.float32)
    arguments["parameters"][3][0, 0] = math.nan
    assert bool(STEP(*arguments.values()).isnan().all())
    arguments["bfloat16"] = True
    assert bool(STEP(*arguments.values()).isnan().all())


def test_views_and_expanded_arguments(device):
    given = make(6, (4, 10, 5, (16, 8)), dropout=0.5)
    arguments = convert(given, device)
    expected = STEP(*arguments.values())
    views = convert(given, device)
    for name in ("real_levels", "fake_levels", "real_dense", "fake_dense", "epsilon"):
        views[name] = torch.stack([views[name], views[name]], -1)[..., 0]
        assert views[name].stride(-1) == 2
    views["parameters"] = [p.t().contiguous().t() for p in views["parameters"]]
    views["masks"] = [torch.cat([m, m], 1)[:, : m.shape[1]] for m in views["masks"]]
    assert torch.equal(STEP(*views.values()), expected)
    assert_same(views["gradients"], arguments["gradients"])

    arguments["derivatives"] = torch.randn(2, 6, dtype=torch.float64, device=device)
    STEP(*arguments.values())
    views["derivatives"] = arguments["derivatives"].t().contiguous().t()
    STEP(*views.values())
    assert_same(views["gradients"], arguments["gradients"])

    del views["derivatives"]
    for name in ("real_levels", "fake_levels", "real_dense", "fake_dense", "epsilon"):
        views[name] = given[name][:1].to(device).expand(6, -1)
        given[name] = given[name][:1].repeat(6, 1)
    views["masks"] = [mask[:1].to(device).expand(18, -1) for mask in given["masks"]]
    given["masks"] = [mask[:1].repeat(18, 1) for mask in given["masks"]]
    STEP(*views.values())
    assert relative_error(views["gradients"], by_autograd(given)[1]) < 1e-10


def test_the_same_bits_every_time_and_with_every_number_of_threads():
    shape = (14, 900, 12, (128, 128))
    for bfloat16, objective in ((False, None), (True, None), (False, "softplus")):
        given = make(500, shape, dropout=0.2)
        if objective:
            given = with_derivatives(given, objective)
        given = convert(given, dtype=torch.float32) | {"bfloat16": bfloat16}
        first = convert(given, dtype=torch.float32)
        losses = STEP(*first.values())
        for _ in range(3):
            again = convert(given, dtype=torch.float32)
            assert torch.equal(STEP(*again.values()), losses)
            for a, b in zip(first["gradients"], again["gradients"], strict=True):
                assert torch.equal(a, b)
    # The order of summation in torch's products may follow the number of threads. With one hidden
    # layer and no penalty there is none but that of the dense weight's gradient.
    cases = [(make(500, (14, 900, 12, (128,)), "none"), (0, 2, 3, 4), False)]
    if torch.cpu._is_amx_tile_supported():  # products of bfloat16 are the library's own
        cases.append((make(500, shape, dropout=0.2), range(7), True))
    before = torch.get_num_threads()
    for given, compared, bfloat16 in cases:
        results = []
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                arguments = convert(given, dtype=torch.float32) | {"bfloat16": bfloat16}
                losses = STEP(*arguments.values())
                results.append([losses, *(arguments["gradients"][i] for i in compared)])
        finally:
            torch.set_num_threads(before)
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_memory_is_reused_without_harm(device):
    """Steps of other sizes in between leave the result as it is."""
    large, small = (
        convert(make(rows, (5, levels, 12, hidden)), device)
        for rows, levels, hidden in ((300, 900, (128, 64)), (3, 7, (5,)))
    )
    expected = STEP(*small.values())
    gradients = [gradient.clone() for gradient in small["gradients"]]
    for _ in range(2):
        STEP(*large.values())
        assert torch.equal(STEP(*small.values()), expected)
        assert_same(small["gradients"], gradients)


def test_precision_setting_decides(monkeypatch):
    arguments = convert(make(50, (5, 40, 12, (64, 64))), dtype=torch.float32)
    positional = [arguments[name] for name in list(arguments)[:6]]
    monkeypatch.setattr("sdv_wgangp.ops.critic._multiplies_bfloat16", lambda device: True)
    before = torch.get_float32_matmul_precision()
    results = {}
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            for bfloat16 in (None, True, False):
                ops.critic_step(*positional, arguments["gradients"], bfloat16=bfloat16)
                results[precision, bfloat16] = arguments["gradients"][3].clone()
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(results["highest", None], results["highest", False])
    assert torch.equal(results["medium", None], results["medium", True])
    assert not torch.equal(results["highest", False], results["highest", True])
    assert not ops.uses_bfloat16(torch.device("meta"))


def test_parameters_with_a_graph_get_no_graph(device):
    arguments = convert(make(5, (3, 9, 4, (8, 6))), device)
    parameters = [parameter.requires_grad_() for parameter in arguments["parameters"]]
    positional = [arguments[name] for name in list(arguments)[:5]]
    losses = ops.critic_step(*positional, parameters, arguments["gradients"])
    assert not losses.requires_grad
    found = ops.critic_row_gradient(*positional[:2], parameters)
    assert not any(value.requires_grad for value in found)
    derivatives = torch.ones(2, 5, dtype=torch.float64, device=device, requires_grad=True)
    losses = ops.critic_step(
        *positional, parameters, arguments["gradients"], derivatives=derivatives
    )
    assert not losses.requires_grad
    found = ops.critic_row_gradient(*positional[:2], parameters, derivatives=derivatives[0])
    assert not any(value.requires_grad for value in found)
    assert not ops.critic_scores(*positional[:2], parameters).requires_grad


def test_under_autocast_it_stays_float32(device):
    arguments = convert(make(20, (3, 20, 4, (16, 8))), device, torch.float32)
    expected = STEP(*arguments.values())
    gradients = [gradient.clone() for gradient in arguments["gradients"]]
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(STEP(*arguments.values()), expected)
    assert_same(arguments["gradients"], gradients)
    found = functools.partial(ROW_GRADIENT, arguments["real_levels"], arguments["real_dense"])
    outside = found(arguments["parameters"], SLOPE, False)
    with torch.autocast(device, torch.bfloat16):
        inside = found(arguments["parameters"], SLOPE, False)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))
    rows = arguments["real_levels"], arguments["real_dense"], arguments["parameters"]
    outside = SCORES(*rows, [], SLOPE, False)
    with torch.autocast(device, torch.bfloat16):
        assert torch.equal(SCORES(*rows, [], SLOPE, False), outside)


@pytest.mark.parametrize("penalty", ["wgan-gp", "r1+r2", "none"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_opcheck(penalty, dropout, device):
    arguments = convert(make(5, (3, 9, 4, (8, 6)), penalty, dropout), device, torch.float32)
    library.opcheck(STEP, tuple(arguments.values()))
    rows = arguments["real_levels"], arguments["real_dense"], arguments["parameters"]
    library.opcheck(ROW_GRADIENT, (*rows, SLOPE, False))
    library.opcheck(SCORES, (*rows, [mask[:5] for mask in arguments["masks"]], SLOPE, False))
    derivatives = torch.randn(2, 5, device=device)
    library.opcheck(STEP, (*arguments.values(), derivatives))
    library.opcheck(ROW_GRADIENT, (*rows, SLOPE, False, derivatives[0]))


@pytest.mark.parametrize("objective", [None, "softplus"])
def test_compiles_into_one_graph(objective):
    given = make(5, (3, 9, 4, (8, 6)))
    given = with_derivatives(given, objective) if objective else given
    arguments = convert(given, dtype=torch.float32)
    expected = STEP(*arguments.values())
    gradients = [gradient.clone() for gradient in arguments["gradients"]]
    compiled = torch.compile(lambda *a: STEP(*a) * 2, backend="eager", fullgraph=True)
    for gradient in arguments["gradients"]:
        gradient.fill_(math.nan)
    torch.testing.assert_close(compiled(*arguments.values()), expected * 2)
    for a, b in zip(arguments["gradients"], gradients, strict=True):
        assert torch.equal(a, b)


# --- critic_row_gradient -------------------------------------------------------------------------


def rows_by_autograd(arguments, derivatives=None):
    """-mean f, and the gradients of this or of a loss with other derivatives."""
    parameters = arguments["parameters"]
    hot = one_hot(arguments["real_levels"], len(parameters[0])).requires_grad_()
    dense = arguments["real_dense"].clone().requires_grad_()
    scores = network(parameters, torch.cat([hot, dense], 1), [], 0)
    loss = -scores.mean()
    of, at = (loss, None) if derivatives is None else (scores, derivatives)
    return loss.detach(), *torch.autograd.grad(of, (hot, dense), at)


@row_gradients
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 7, 129])
def test_row_gradient_equals_autograd(row_gradient, rows, shape, device):
    given = make(rows, SHAPES[shape])
    expected = rows_by_autograd(given)
    moved = convert(given, device)
    arguments = moved["real_levels"], moved["real_dense"], moved["parameters"]
    for found, exact in zip(row_gradient(*arguments, SLOPE, False), expected, strict=True):
        torch.testing.assert_close(found.cpu(), exact)


@row_gradients
def test_row_gradient_in_bfloat16_stays_near(row_gradient, device):
    given = make(500, (14, 300, 12, (128, 128)))
    moved = convert(given, device, torch.float32)
    arguments = moved["real_levels"], moved["real_dense"], moved["parameters"]
    random = torch.Generator().manual_seed(0)
    derivatives = torch.randn(500, generator=random, dtype=torch.float64).abs()
    for given_derivatives in (None, derivatives):
        moved = given_derivatives
        if moved is not None:
            moved = moved.to(device, torch.float32)
        loss, *found = row_gradient(*arguments, SLOPE, True, moved)
        expected, *exact = rows_by_autograd(given, given_derivatives)
        assert loss.item() == pytest.approx(expected.item(), abs=2e-2)
        # Of thirty seeds: .031 in the middle, .055 at most.
        assert relative_error(found, exact) < 4e-2


@row_gradients
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 7, 129])
def test_row_gradient_of_any_loss_equals_autograd(row_gradient, rows, shape, device):
    given = make(rows, SHAPES[shape])
    derivatives = torch.randn(rows, dtype=torch.float64)
    derivatives[::3] = 0  # as the hinge's are
    expected = rows_by_autograd(given, derivatives)
    moved = convert(given, device)
    arguments = moved["real_levels"], moved["real_dense"], moved["parameters"]
    found = row_gradient(*arguments, SLOPE, False, derivatives.to(device))
    for value, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(value.cpu(), exact)


@row_gradients
@pytest.mark.parametrize("kind", ["float64", "float32", "bfloat16"])
def test_row_gradient_of_the_mean_is_that_of_none(row_gradient, kind, device):
    dtype = torch.float64 if kind == "float64" else torch.float32
    moved = convert(make(33, (5, 40, 12, (48, 33))), device, dtype)
    arguments = moved["real_levels"], moved["real_dense"], moved["parameters"], SLOPE
    mean = torch.full((1,), -1 / 33, dtype=dtype, device=device).expand(33)
    expected = row_gradient(*arguments, kind == "bfloat16")
    found = row_gradient(*arguments, kind == "bfloat16", mean)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# --- critic_scores -------------------------------------------------------------------------------


def masks_of(arguments, part):
    rows = len(arguments["real_levels"])
    return [mask[part * rows : (part + 1) * rows] for mask in arguments["masks"]]


@scorers
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 7, 129])
def test_scores_are_those_of_the_network(score, rows, shape, dropout, device):
    given = make(rows, SHAPES[shape], dropout=dropout)
    moved = convert(given, device)
    for part, kind in enumerate(("real", "fake")):
        levels, dense = moved[f"{kind}_levels"], moved[f"{kind}_dense"]
        found = score(levels, dense, moved["parameters"], masks_of(moved, part), SLOPE, False)
        exact = network(given["parameters"], hot_rows(given)[part], given["masks"], part)
        torch.testing.assert_close(found.cpu(), exact)


@scorers
def test_scores_worked_by_hand(score, device):
    """f(x) = 2 (3 x_0 + 4 x_1 - x_2) + 1, or a fifth of the bracket where that is negative."""
    parameters = [
        torch.tensor([[3.0], [4.0]], device=device),
        torch.tensor([[-1.0]], device=device),
        torch.zeros(1, device=device),
        torch.tensor([[2.0]], device=device),
        torch.ones(1, device=device),
    ]
    levels = torch.tensor([[0, 1], [0, 0], [1, 1]], device=device)
    dense = torch.tensor([[0.5], [6.5], [9.0]], device=device)
    assert score(levels, dense, parameters, [], SLOPE, False).tolist() == pytest.approx(
        [14.0, 1 - 0.2, 1 - 0.4]
    )
    mask = torch.tensor([[0.0], [2.0], [1.0]], device=device)
    assert score(levels, dense, parameters, [mask], SLOPE, False).tolist() == pytest.approx(
        [1.0, 1 - 0.4, 1 - 0.4]
    )


@scorers
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_scores_are_those_of_the_step(score, kind, dropout, device):
    given = make(129, (5, 300, 70, (64, 48)), dropout=dropout)
    moved = convert(given, device, torch.float32)
    narrow = kind == "bfloat16"
    means = []
    for part, name in enumerate(("real", "fake")):
        rows = moved[f"{name}_levels"], moved[f"{name}_dense"], moved["parameters"]
        found = score(*rows, masks_of(moved, part), SLOPE, narrow)
        exact = network(given["parameters"], hot_rows(given)[part], given["masks"], part)
        assert found.dtype == torch.float32
        assert relative_error([found], [exact]) < (2e-2 if narrow else 1e-5)
        means.append(found.double().mean())
    step = STEP if score is SCORES else reference("critic_step")
    losses = step(*(moved | {"bfloat16": narrow}).values())
    torch.testing.assert_close((means[1] - means[0]).float(), losses[0], rtol=1e-4, atol=1e-5)


def test_scores_of_views_and_of_compiled_calls(device):
    given = convert(make(6, (4, 10, 5, (16, 8)), dropout=0.5), device)
    levels, dense, masks = given["real_levels"], given["real_dense"], masks_of(given, 0)
    expected = ops.critic_scores(levels, dense, given["parameters"], masks=masks)
    found = ops.critic_scores(
        levels.t().contiguous().t(),
        torch.cat([dense, dense], 1)[:, :5],
        [p.t().contiguous().t() for p in given["parameters"]],
        masks=[torch.cat([mask, mask], 1)[:, : mask.shape[1]] for mask in masks],
    )
    assert torch.equal(found, expected)
    compiled = torch.compile(lambda *a: SCORES(*a) * 2, backend="eager", fullgraph=True)
    found = compiled(levels, dense, given["parameters"], masks, SLOPE, False)
    assert torch.equal(found, expected * 2)


# --- errors --------------------------------------------------------------------------------------


def broken(change):
    arguments = convert(make(5, (3, 9, 4, (8, 6)), dropout=0.5), dtype=torch.float32)
    change(arguments)
    return arguments.values()


def put(name, value, index=None):
    """A change of one argument, or of one tensor in a list of them."""

    def change(arguments):
        if index is None:
            arguments[name] = value(arguments[name]) if callable(value) else value
        else:
            arguments[name][index] = value(arguments[name][index])

    return change


def wrong_level(levels):
    levels[3, 1] = 9
    return levels


ERRORS = {
    "too few parameters": (
        put("parameters", lambda p: p[:4]),
        r"critic_step: parameters must be .* for every further layer, got 4 tensors",
    ),
    "slope": (put("slope", 2.0), r"critic_step: slope must lie in \[0, 1\], got 2$"),
    "level weight": (
        put("parameters", lambda w: w[0], 0),
        r"level weight \(parameters\[0\]\) must have two dimensions \(levels, hidden\), "
        r"got shape \[8\]",
    ),
    "dense weight": (
        put("parameters", lambda w: w[:, :5], 1),
        r"dense weight \(parameters\[1\]\) must have shape \[4, 8\], got \[4, 5\]",
    ),
    "first bias": (
        put("parameters", lambda b: b[:3], 2),
        r"first bias \(parameters\[2\]\) must have shape \[8\], got \[3\]",
    ),
    "weight": (
        put("parameters", lambda w: w[:, :7], 3),
        r"weight of layer 1 \(parameters\[3\]\) must have shape \[6, 8\], got \[6, 7\]",
    ),
    "last weight": (
        put("parameters", lambda w: torch.cat([w, w]), 5),
        r"weight of layer 2 \(parameters\[5\]\) must have shape \[1, 6\], got \[2, 6\]",
    ),
    "last bias": (
        put("parameters", lambda b: b.double(), 6),
        r"bias of layer 2 \(parameters\[6\]\) must have the dtype of the parameters",
    ),
    "half": (
        put("parameters", lambda p: [x.half() for x in p]),
        r"level weight \(parameters\[0\]\) must be float32 or float64",
    ),
    "bfloat16 of float64": (
        lambda a: a.update(parameters=[p.double() for p in a["parameters"]], bfloat16=True),
        r"products in bfloat16 need float32 parameters",
    ),
    "penalty": (
        put("penalty", "gp"),
        r"penalty must be none, wgan-gp, wgan-lp, r1, r2 or r1\+r2, got gp",
    ),
    "penalty's weight": (put("weight", -1.0), r"weight must be finite and not negative, got -1"),
    "levels' dimensions": (
        put("real_levels", lambda x: x[0]),
        r"real_levels must have two dimensions \(rows, cells\), got shape \[3\]",
    ),
    "levels' dtype": (put("real_levels", lambda x: x.int()), r"real_levels must be int64"),
    "no rows": (
        put("real_levels", lambda x: x[:0]),
        r"real_levels has no rows, got shape \[0, 3\]",
    ),
    "fake levels": (
        put("fake_levels", lambda x: x[:4]),
        r"fake_levels must have shape \[5, 3\], got \[4, 3\]",
    ),
    "real dense": (
        put("real_dense", lambda x: x[:, :3]),
        r"real_dense must have shape \[5, 4\], got \[5, 3\]",
    ),
    "fake dense": (
        put("fake_dense", lambda x: x.double()),
        r"fake_dense must have the dtype of the parameters",
    ),
    "no epsilon": (put("epsilon", None), r"epsilon must be given for penalty wgan-gp"),
    "epsilon": (
        put("epsilon", lambda x: x[:, 0]),
        r"epsilon must have shape \[5, 1\], got \[5\]",
    ),
    "masks": (
        put("masks", lambda m: m[:1]),
        r"masks must be none or 2, one for each hidden layer, got 1",
    ),
    "mask": (
        put("masks", lambda m: m[:10], 1),
        r"masks\[1\] must have shape \[15, 6\], got \[10, 6\]",
    ),
    "gradients": (
        put("gradients", lambda g: g[:6]),
        r"gradients must be as many as parameters, 7, got 6",
    ),
    "gradient": (
        put("gradients", lambda g: g[:8], 0),
        r"gradients\[0\] must have shape \[9, 8\], got \[8, 8\]",
    ),
    "gradient's memory": (
        put("gradients", lambda g: g.t().contiguous().t(), 3),
        r"gradients\[3\] must be contiguous",
    ),
    "derivatives": (
        lambda a: a.update(derivatives=torch.zeros(5, 2)),
        r"critic_step: derivatives must have shape \[2, 5\], got \[5, 2\]",
    ),
    "derivatives' dtype": (
        lambda a: a.update(derivatives=torch.zeros(2, 5).double()),
        r"critic_step: derivatives must have the dtype of the parameters",
    ),
    "derivatives' device": (
        lambda a: a.update(derivatives=torch.zeros(2, 5, device="meta")),
        r"critic_step: derivatives must be on the device of the parameters",
    ),
    "device": (
        put("gradients", lambda g: g.to("meta"), 3),
        r"gradients\[3\] must be on the device of the parameters",
    ),
    "level": (
        put("fake_levels", wrong_level),
        r"fake_levels\[3, 1\] is 9, but there are 9 levels",
    ),
}


@implementations
@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(step, case):
    change, message = ERRORS[case]
    with pytest.raises(RuntimeError, match=message):
        step(*broken(change))


@row_gradients
def test_errors_of_the_row_gradient_name_the_argument(row_gradient):
    given = convert(make(5, (3, 9, 4, (8, 6))))
    levels, dense, parameters = given["real_levels"], given["real_dense"], given["parameters"]
    for arguments, message in (
        ((levels - 1, dense, parameters), r"levels\[\d, \d\] is -1, but there are 9 levels"),
        ((levels, dense[:4], parameters), r"dense must have shape \[5, 4\], got \[4, 4\]"),
        ((levels[:0], dense, parameters), r"levels has no rows, got shape \[0, 3\]"),
    ):
        with pytest.raises(RuntimeError, match="critic_row_gradient: " + message):
            row_gradient(*arguments, SLOPE, False)
    for derivatives, message in (
        (torch.zeros(2, 5).double(), r"must have shape \[5\], got \[2, 5\]"),
        (torch.zeros(5), "must have the dtype of the parameters"),
        (torch.zeros(5, device="meta").double(), "must be on the device of the parameters"),
    ):
        with pytest.raises(RuntimeError, match="critic_row_gradient: derivatives " + message):
            row_gradient(levels, dense, parameters, SLOPE, False, derivatives)


@scorers
def test_errors_of_the_scores_name_the_argument(score):
    given = convert(make(5, (3, 9, 4, (8, 6)), dropout=0.5))
    levels, dense, parameters = given["real_levels"], given["real_dense"], given["parameters"]
    masks = masks_of(given, 0)
    for arguments, message in (
        ((levels + 9, dense, parameters, masks), r"levels\[\d, \d\] is \d+, but there are 9"),
        ((levels, dense[:4], parameters, masks), r"dense must have shape \[5, 4\], got \[4, 4\]"),
        ((levels[:0], dense, parameters, masks), r"levels has no rows, got shape \[0, 3\]"),
        ((levels, dense, parameters[:4], masks), "parameters must be .* got 4 tensors"),
        ((levels, dense, parameters, masks[:1]), "masks must be none or 2, .* got 1"),
        (
            (levels, dense, parameters, given["masks"]),
            r"masks\[0\] must have shape \[5, 8\], got \[15, 8\]",
        ),
        (
            (levels, dense, parameters, [mask.float() for mask in masks]),
            r"masks\[0\] must have the dtype of the parameters",
        ),
    ):
        with pytest.raises(RuntimeError, match="critic_scores: " + message):
            score(*arguments, SLOPE, False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("objective", [None, "softplus"])
def test_a_cuda_graph_replays_the_step(bfloat16, objective):
    given = make(500, (14, 300, 12, (128, 128)), dropout=0.2)
    given = with_derivatives(given, objective) if objective else given
    arguments = convert(given, "cuda", torch.float32) | {"bfloat16": bfloat16}
    expected = STEP(*arguments.values())
    gradients = [gradient.clone() for gradient in arguments["gradients"]]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up outside the capture
        STEP(*arguments.values())
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = STEP(*arguments.values())
    for gradient in arguments["gradients"]:
        gradient.fill_(math.nan)
    graph.replay()
    torch.testing.assert_close(losses, expected)
    for a, b in zip(arguments["gradients"], gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
