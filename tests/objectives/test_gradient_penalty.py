"""The general penalty against double backward in plain PyTorch, for critics of all sorts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from sdv_wgangp.objectives.gradient_penalty import (
    PENALTIES,
    PENALTIES_BETWEEN,
    critic_penalty,
)


class Recurrent(nn.Module):
    """Sequences [rows, steps, channels] to scores."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(3, 6), nn.Linear(6, 1)

    def forward(self, x):
        state = x.new_zeros(len(x), 6)
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state).squeeze(1)


def convolutional(activation):
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        activation,
        nn.Conv2d(4, 6, 3, stride=2),
        nn.GroupNorm(2, 6),
        activation,
        nn.Flatten(),
        nn.Linear(6 * 3 * 2, 1),
        nn.Flatten(0),
    )


CRITICS = {
    "perceptron with layer norm": (
        lambda: nn.Sequential(
            nn.Linear(9, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0)
        ),
        (9,),
    ),
    "convolutional, smooth": (lambda: convolutional(nn.Softplus()), (2, 8, 6)),
    "convolutional, leaky": (lambda: convolutional(nn.LeakyReLU(0.2)), (2, 8, 6)),
    "recurrent": (Recurrent, (5, 3)),
    # Scores with a dimension of their own, and a gradient far below 1, where wgan-lp is flat.
    "column of scores": (lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), (4,)),
}


def plain_penalty(critic, real, fake, epsilon, weight, kind):
    total = torch.zeros(())
    points = {"r1": [real], "r2": [fake], "r1+r2": [real, fake], "none": []}
    if kind in PENALTIES_BETWEEN:
        epsilon = epsilon.view(-1, *[1] * (real.dim() - 1))
        points[kind] = [real + epsilon * (fake - real)]
    for rows in points[kind]:
        rows = rows.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
        norms = gradient.flatten(1).norm(dim=1)
        if kind == "wgan-gp":
            terms = (norms - 1).square()
        elif kind == "wgan-lp":
            terms = (norms - 1).clamp_min(0).square()
        elif kind == "zero-gp":
            terms = norms.square()
        else:
            terms = norms.square() / 2
        total = total + weight * terms.mean()
    return total


def gradients(critic, cost):
    critic.zero_grad()
    if cost.requires_grad:
        cost.backward()
    return [p.grad for p in critic.parameters()]


@pytest.mark.parametrize("kind", PENALTIES)
@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_double_backward(name, kind, dtype):
    torch.manual_seed(0)
    build, shape = CRITICS[name]
    critic = build().to(dtype)
    with torch.no_grad():
        list(critic.parameters())[-2].mul_(3)  # norms on both sides of 1
    real, fake = (torch.randn(7, *shape, dtype=dtype) for _ in range(2))
    epsilon = torch.rand(7, 1, dtype=dtype)
    found = critic_penalty(critic, real, fake, epsilon, 10.0, kind)
    expected = plain_penalty(critic, real, fake, epsilon, 10.0, kind).to(dtype)
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype == torch.float32 else {}
    torch.testing.assert_close(found, expected, **tolerance)
    for a, b in zip(gradients(critic, found), gradients(critic, expected), strict=True):
        # What a penalty does not depend on has no gradient, or one of zeros.
        a, b = (torch.zeros(()) if g is None or not g.any() else g for g in (a, b))
        torch.testing.assert_close(a, b, **tolerance)


def test_penalty_trains_a_critic_to_gradients_of_length_one():
    torch.manual_seed(0)
    critic = convolutional(nn.Softplus())
    real, fake = torch.randn(16, 2, 8, 6), torch.randn(16, 2, 8, 6)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    costs = []
    for _ in range(100):
        cost = critic_penalty(critic, real, fake, torch.rand(16, 1), 10.0, "wgan-gp")
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[0] > 1
    assert max(costs[-10:]) < 0.05 * costs[0]


def test_penalty_of_a_linear_critic_has_a_closed_form():
    """The gradient of ``w x`` is ``w`` everywhere, so the penalty is ``lambda (|w| - 1)^2``."""
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    real, fake, epsilon = torch.randn(6, 2), torch.randn(6, 2), torch.rand(6, 1)
    expected = {"wgan-gp": 160, "wgan-lp": 160, "r1": 125, "r2": 125, "r1+r2": 250, "none": 0}
    pull = {"wgan-gp": 16, "wgan-lp": 16, "r1": 10, "r2": 10, "r1+r2": 20}
    for kind, value in expected.items():
        cost = critic_penalty(lambda x: x @ weight, real, fake, epsilon, 10.0, kind)
        assert cost.item() == pytest.approx(value)
        if kind != "none":
            (gradient,) = torch.autograd.grad(cost, weight)
            torch.testing.assert_close(gradient, pull[kind] * weight.detach())


def test_a_flat_critic_has_no_direction():
    weight = torch.zeros(2, requires_grad=True)
    rows = torch.randn(6, 2)
    for kind in ("wgan-gp", "wgan-lp"):
        cost = critic_penalty(lambda x: x @ weight, rows, rows, torch.rand(6, 1), 10.0, kind)
        assert cost.item() == (10 if kind == "wgan-gp" else 0)
        assert torch.equal(torch.autograd.grad(cost, weight)[0], torch.zeros(2))


def test_rows_receive_no_gradient_and_stay_as_they_are():
    critic = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    real, fake = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    for kind in ("wgan-gp", "r1+r2"):
        critic_penalty(critic, real, fake, torch.rand(3, 1), 10.0, kind).backward()
        assert real.grad is None
        assert fake.grad is None


def test_images_with_channels_last_reach_the_critic_so():
    seen = []

    def critic(x):
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return functional.softplus(x).sum((1, 2, 3))

    real, fake = (torch.randn(3, 2, 5, 4).to(memory_format=torch.channels_last) for _ in range(2))
    epsilon = torch.rand(3, 1)
    found = critic_penalty(critic, real, fake, epsilon, 10.0, "wgan-gp")
    torch.testing.assert_close(found, plain_penalty(critic, real, fake, epsilon, 10.0, "wgan-gp"))
    assert seen[0]


def test_norms_are_float32_under_autocast():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    real, fake, epsilon = torch.randn(9, 64), torch.randn(9, 64), torch.rand(9, 1)
    exact = critic_penalty(critic, real, fake, epsilon, 10.0, "wgan-gp")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cost = critic_penalty(critic, real, fake, epsilon, 10.0, "wgan-gp")
    assert cost.dtype == torch.float32
    cost.backward()
    torch.testing.assert_close(cost, exact, rtol=0.05, atol=0)


def test_errors():
    def critic(x):
        return x.sum(1)

    rows, epsilon = torch.randn(3, 4), torch.rand(3, 1)
    with pytest.raises(ValueError, match=r"penalty must be one of wgan-gp, .* got gp"):
        critic_penalty(critic, rows, rows, epsilon, 10.0, "gp")
    with pytest.raises(ValueError, match="epsilon must be given for penalty wgan-lp"):
        critic_penalty(critic, rows, rows, None, 10.0, "wgan-lp")
    with pytest.raises(RuntimeError, match=r"epsilon must have shape \[3, 1\], got \[3\]"):
        critic_penalty(critic, rows, rows, epsilon[:, 0], 10.0, "wgan-gp")
    with pytest.raises(RuntimeError, match="weight must be finite and not negative, got nan"):
        critic_penalty(critic, rows, rows, epsilon, math.nan, "wgan-gp")
