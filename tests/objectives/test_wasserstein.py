"""The analytic critic and generator steps against automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.objectives.wasserstein import (
    Rows,
    critic_step,
    generator_loss,
    one_hot,
    one_hot_rows,
)

SHAPES = [
    # widths of the columns, dense channels, hidden layers, packed rows, pac, dropout
    ((3,), 0, (4,), 1, 1, 0.0),
    ((1, 7, 2), 3, (16, 12), 7, 1, 0.0),
    ((5, 5, 40), 9, (32, 8, 16), 129, 1, 0.0),
    ((4, 6), 2, (16, 16), 6, 2, 0.0),
    ((4, 6, 3), 5, (16, 16), 10, 5, 0.5),
    ((2, 9), 0, (16,), 10, 10, 0.5),
]


def make(widths, dense, hidden, rows, pac, dropout, seed=0):
    random = torch.Generator().manual_seed(seed)
    critic = MLPCritic(sum(widths), dense, hidden, random, pac, dropout).double()
    offsets = torch.tensor([0, *widths]).cumsum(0)

    def draw():
        levels = torch.stack(
            [torch.randint(0, w, (rows * pac,), generator=random) for w in widths], 1
        )
        channels = torch.randn(rows * pac, dense, generator=random, dtype=torch.double)
        return Rows(levels + offsets[:-1], channels)

    share = torch.rand(rows, 1, generator=random, dtype=torch.double)
    return critic, draw(), draw(), share, random


def as_plain_network(critic, x, masks=None):
    """The critic on packed one-hot rows, written out for automatic differentiation."""
    weight = torch.cat(
        [
            torch.cat(
                [
                    critic.level_weight[i * critic.levels : (i + 1) * critic.levels],
                    critic.dense_weight[i * critic.dense : (i + 1) * critic.dense],
                ]
            )
            for i in range(critic.pac)
        ]
    )
    hidden = x @ weight + critic.bias
    for index, layer in enumerate(critic.layers):
        hidden = functional.leaky_relu(hidden, LEAKY_SLOPE)
        if masks is not None:
            hidden = hidden * masks[index]
        hidden = layer(hidden)
    return hidden.squeeze(1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_critic_reads_codes_as_one_hot_rows(shape):
    critic, real, _, share, _ = make(*shape)
    rows = one_hot_rows(real, critic.levels).double().reshape(len(share), -1)
    torch.testing.assert_close(critic.eval()(*real), as_plain_network(critic, rows))


def plain_penalty(critic, real, fake, share, weight):
    """The penalty in PyTorch alone."""
    rows = torch.lerp(real, fake, share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    return weight * (gradient.norm(dim=1) - 1).square().mean()


def packed(critic, rows, width, share):
    return one_hot_rows(rows, width).double().reshape(len(share), -1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_critic_step_equals_autograd(shape, seed):
    compare_critic_step(shape, seed)


def compare_critic_step(shape, seed):
    critic, real, fake, share, random = make(*shape, seed=seed)
    width, rows = critic.levels, len(share)
    masks = critic.masks(3 * rows, random)
    losses = critic_step(critic, real, fake, share, 10.0, width, masks)
    found = [parameter.grad.clone() for parameter in critic.parameters()]

    def part(index):
        return None if masks is None else [m[index * rows : (index + 1) * rows] for m in masks]

    x_real, x_fake = (packed(critic, part_rows, width, share) for part_rows in (real, fake))
    critic.zero_grad()
    loss = (
        as_plain_network(critic, x_fake, part(1)).mean()
        - as_plain_network(critic, x_real, part(0)).mean()
    )
    cost = plain_penalty(
        lambda x: as_plain_network(critic, x, part(2)), x_real, x_fake, share, 10.0
    )
    (loss + cost).backward()
    torch.testing.assert_close(losses.loss, loss.detach())
    torch.testing.assert_close(losses.penalty, cost.detach())
    for parameter, gradient in zip(critic.parameters(), found, strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    dense=st.integers(0, 6),
    hidden=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    rows=st.integers(1, 12),
    pac=st.integers(1, 4),
    dropout=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
def test_critic_step_equals_autograd_at_random_shapes(
    widths, dense, hidden, rows, pac, dropout, seed
):
    compare_critic_step((widths, dense, hidden, rows, pac, dropout), seed)


def test_critic_step_in_float32_is_as_exact_as_float32_allows():
    shape = ((30, 100, 70), 12, (64, 64), 200, 1, 0.0)
    critic, real, fake, share, _ = make(*shape)
    critic_step(critic, real, fake, share, 10.0, critic.levels)
    exact = [parameter.grad.clone() for parameter in critic.parameters()]
    critic.float()
    to_float = [Rows(rows.levels, rows.dense.float()) for rows in (real, fake)]
    critic_step(critic, *to_float, share.float(), 10.0, critic.levels)
    for parameter, gradient in zip(critic.parameters(), exact, strict=True):
        error = (parameter.grad.double() - gradient).norm()
        assert error <= 1e-5 * gradient.norm() + 1e-7


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_generator_loss_equals_autograd(shape):
    critic, _, fake, _, _ = make(*shape)
    loss, to_codes, to_dense = generator_loss(critic, fake, critic.levels)
    assert all(parameter.grad is None for parameter in critic.parameters())

    hot = one_hot(fake.levels, critic.levels).double().requires_grad_()
    dense = fake.dense.clone().requires_grad_()
    rows = torch.cat([hot, dense], dim=1)
    expected = -as_plain_network(critic, rows.reshape(-1, critic.pac * rows.shape[1])).mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(to_codes, hot.grad)
    if dense.shape[1]:
        torch.testing.assert_close(to_dense, dense.grad)


class SmoothCritic(nn.Module):
    """A critic the analytic path does not know."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze(1)


def test_any_other_critic_takes_the_general_path():
    _, real, fake, share, _ = make((3, 4), 2, (4,), 5, 1, 0.0)
    torch.manual_seed(0)
    critic = SmoothCritic(9).double()
    losses = critic_step(critic, real, fake, share, 10.0, 7)
    found = [parameter.grad.clone() for parameter in critic.parameters()]
    critic.zero_grad()
    x_real, x_fake = one_hot_rows(real, 7).double(), one_hot_rows(fake, 7).double()
    cost = plain_penalty(critic, x_real, x_fake, share, 10.0)
    (critic(x_fake).mean() - critic(x_real).mean() + cost).backward()
    torch.testing.assert_close(losses.penalty, cost.detach())
    for parameter, gradient in zip(critic.parameters(), found, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)

    critic.zero_grad()
    loss, to_codes, to_dense = generator_loss(critic, fake, 7)
    rows = x_fake.clone().requires_grad_()
    expected = -critic(rows).mean()
    (gradient,) = torch.autograd.grad(expected, rows)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(torch.cat([to_codes, to_dense], 1), gradient)
    assert all(parameter.grad is None for parameter in critic.parameters())
