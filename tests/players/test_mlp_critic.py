"""The critic of tables against automatic differentiation: closed forms, and any other module."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_network import PlainNetwork, masks_of_passes
from torch import nn
from torch.nn import functional

from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.objectives.adversarial import LOSSES, Adversarial, objective
from sdv_wgangp.ops import PENALTIES
from sdv_wgangp.players.autograd import AutogradCritic
from sdv_wgangp.players.mlp_critic import CompiledCritic
from sdv_wgangp.players.rows import OneHotMLPCritic, OneHotRows, Rows, one_hot
from sdv_wgangp.players.table_players import critic_player

SHAPES = [
    # widths of the columns, dense channels, hidden layers, packed rows, pac, dropout
    ((3,), 0, (4,), 1, 1, 0.0),
    ((1, 7, 2), 3, (16, 12), 7, 1, 0.0),
    ((5, 5, 40), 9, (32, 8, 16), 129, 1, 0.0),
    ((4, 6), 2, (16, 16), 6, 2, 0.0),
    ((4, 6, 3), 5, (16, 16), 10, 5, 0.5),
    ((2, 9), 0, (16,), 10, 10, 0.5),
]
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def make(widths, dense, hidden, rows, pac, dropout, seed=0):
    """A critic in float64, and a real and a generated batch."""
    random = torch.Generator().manual_seed(seed)
    critic = MLPCritic(sum(widths), dense, hidden, random, pac, dropout).double()
    offsets = torch.tensor([0, *widths]).cumsum(0)

    def draw():
        levels = torch.stack(
            [torch.randint(0, w, (rows * pac,), generator=random) for w in widths], 1
        )
        channels = torch.randn(rows * pac, dense, generator=random, dtype=torch.double)
        return Rows(levels + offsets[:-1], channels)

    return critic, draw(), draw()


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def packed(rows, width, pac):
    """One-hot rows in float64."""
    hot = torch.cat([one_hot(rows.levels, width).double(), rows.dense.double()], 1)
    return hot.reshape(len(hot) // pac, -1)


LOSSES_WRITTEN_OUT = {
    "gan": lambda r, f: functional.softplus(-r).mean() + functional.softplus(f).mean(),
    "wgan": lambda r, f: f.mean() - r.mean(),
    "hinge": lambda r, f: functional.relu(1 - r).mean() + functional.relu(1 + f).mean(),
    "relativistic": lambda r, f: functional.softplus(f - r).mean(),
}
GENERATOR_LOSSES_WRITTEN_OUT = {
    "gan": lambda r, f: functional.softplus(-f).mean(),
    "wgan": lambda r, f: -f.mean(),
    "hinge": lambda r, f: -f.mean(),
    "relativistic": lambda r, f: functional.softplus(r - f).mean(),
}


def plain_penalty(critic, real, fake, epsilon, kind, weight):
    """The penalty in PyTorch alone."""
    if kind == "none":
        return real.new_zeros(())
    if kind == "r1+r2":
        return sum(plain_penalty(critic, real, fake, epsilon, k, weight) for k in ("r1", "r2"))
    at = {"r1": real, "r2": fake}.get(kind)
    rows = (torch.lerp(real, fake, epsilon) if at is None else at).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(rows).sum(), rows, create_graph=True)
    norm = gradient.norm(dim=1)
    if kind == "wgan-gp":
        return weight * (norm - 1).square().mean()
    if kind == "wgan-lp":
        return weight * functional.relu(norm - 1).square().mean()
    return weight / 2 * norm.square().mean()


def plain_step(network, goal, step, x_real, x_fake):
    """Losses and gradients of a critic step in PyTorch alone, with `seeded` interpolates."""
    kind, weight = goal.penalty_at(step)
    epsilon = torch.rand(len(x_real), 1, generator=seeded()).to(x_real.dtype)
    x_real, x_fake = x_real.detach(), x_fake.detach()
    of_fake, of_real = network(x_fake), network(x_real)
    loss = LOSSES_WRITTEN_OUT[goal.loss](of_real, of_fake)
    cost = plain_penalty(network, x_real, x_fake, epsilon, kind, weight)
    gradients = torch.autograd.grad(loss + cost, list(network.parameters()), allow_unused=True)
    return torch.stack([loss, cost]).detach(), gradients


def compare_critic_step(shape, goal, seed=0, step=0):
    critic, real, fake = make(*shape, seed=seed)
    count, drawn = shape[3], []

    def masks(rows, random):
        drawn.append(MLPCritic.masks(critic, rows, random))
        return drawn[-1]

    critic.masks = masks
    found, losses = CompiledCritic(critic).step(goal, step, real, fake, seeded())
    found = [gradient.clone() for gradient in found]

    network = PlainNetwork(critic)
    queue = masks_of_passes(drawn[0], goal.penalty_at(step)[0], count)
    network.masks = list(queue)
    x_real, x_fake = (packed(rows, critic.levels, critic.pac) for rows in (real, fake))
    expected, gradients = plain_step(network, goal, step, x_real, x_fake)
    assert losses.names == ("loss", "penalty")
    torch.testing.assert_close(losses.values, expected, **EXACT)

    network.masks = list(queue)
    player = AutogradCritic(network, view=OneHotRows(critic.levels, critic.pac))
    by_autograd, losses = player.step(goal, step, real, fake, seeded())
    torch.testing.assert_close(losses.values, expected, **EXACT)

    names = [name for name, _ in critic.named_parameters()]
    found = dict(zip(names, found, strict=True))
    names = [name for name, _ in network.named_parameters()]
    assert found.keys() == set(names)
    for name, own, gradient in zip(names, by_autograd, gradients, strict=True):
        gradient = torch.zeros_like(found[name]) if gradient is None else gradient
        own = torch.zeros_like(found[name]) if own is None else own
        torch.testing.assert_close(found[name], gradient, **EXACT)
        torch.testing.assert_close(own, gradient, **EXACT)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_critic_reads_codes_as_one_hot_rows(shape):
    critic, real, _ = make(*shape)
    rows = packed(real, critic.levels, critic.pac)
    torch.testing.assert_close(OneHotRows(critic.levels, critic.pac)(real), rows)
    torch.testing.assert_close(critic.eval()(*real[:2]), PlainNetwork(critic)(rows))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_critic_step_equals_autograd(shape, seed):
    compare_critic_step(shape, objective("wgan-gp"), seed)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_every_objective_equals_autograd(shape, loss, penalty):
    compare_critic_step(shape, Adversarial(loss, penalty, 3.0))


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1"])
def test_lazy_penalties_equal_autograd(step, penalty):
    compare_critic_step(SHAPES[4], Adversarial("gan", penalty, 2.0, interval=3), step=step)


@settings(max_examples=30, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    dense=st.integers(0, 6),
    hidden=st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple),
    rows=st.integers(1, 12),
    pac=st.integers(1, 4),
    dropout=st.sampled_from([0.0, 0.3]),
    loss=st.sampled_from(LOSSES),
    penalty=st.sampled_from(PENALTIES),
    seed=st.integers(0, 99),
)
def test_critic_step_equals_autograd_at_random_shapes(
    widths, dense, hidden, rows, pac, dropout, loss, penalty, seed
):
    shape = (widths, dense, hidden, rows, pac, dropout)
    compare_critic_step(shape, Adversarial(loss, penalty, 10.0), seed)


@pytest.mark.parametrize("loss", LOSSES)
def test_critic_step_in_float32_is_as_exact_as_float32_allows(loss):
    shape = ((30, 100, 70), 12, (64, 64), 200, 1, 0.0)
    critic, real, fake = make(*shape)
    goal = Adversarial(loss, "wgan-gp", 10.0)
    exact, _ = CompiledCritic(critic).step(goal, 0, real, fake, seeded())
    exact = [gradient.clone() for gradient in exact]
    critic.float()
    to_float = [Rows(rows.levels, rows.dense.float()) for rows in (real, fake)]
    found, _ = CompiledCritic(critic).step(goal, 0, *to_float, seeded())
    for gradient, expected in zip(found, exact, strict=True):
        error = (gradient.double() - expected).norm()
        assert error <= 1e-5 * expected.norm() + 1e-7


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_pull_equals_autograd(shape, loss):
    """Dropout rests."""
    critic, real, fake = make(*shape)
    goal = Adversarial(loss)
    player = CompiledCritic(critic)
    gradients, _ = player.step(goal, 0, real, fake, seeded())
    before = [gradient.clone() for gradient in gradients]
    found, pull = player.pull(goal, fake, real, seeded())
    assert all(torch.equal(*pair) for pair in zip(gradients, before, strict=True))
    assert all(parameter.grad is None for parameter in critic.parameters())

    hot = one_hot(fake.levels, critic.levels).double().requires_grad_()
    dense = fake.dense.clone().requires_grad_()
    network = PlainNetwork(critic)
    scores = network(torch.cat([hot, dense], 1).reshape(shape[3], -1))
    of_real = network(packed(real, critic.levels, critic.pac)).detach()
    expected = GENERATOR_LOSSES_WRITTEN_OUT[loss](of_real, scores)
    to_hot, to_dense = torch.autograd.grad(expected, [hot, dense])
    autograd = AutogradCritic(network, view=OneHotRows(critic.levels, critic.pac))
    for own, rows in ((found, pull), autograd.pull(goal, fake, real, seeded())):
        torch.testing.assert_close(own, expected.detach(), **EXACT)
        torch.testing.assert_close(rows.levels, to_hot, **EXACT)
        torch.testing.assert_close(rows.dense, to_dense, **EXACT)
        assert rows.conditions is None
    assert all(parameter.grad is None for parameter in critic.parameters())


def test_a_state_continues_where_it_was():
    critic, real, fake = make(*SHAPES[3])
    player = CompiledCritic(critic)
    state = copy.deepcopy(player.state_dict())
    expected = [each.clone() for each in player.step(objective("gan"), 0, real, fake, seeded())[0]]
    other = CompiledCritic(make(*SHAPES[3], seed=1)[0])
    other.load_state_dict(state)
    found, _ = other.step(objective("gan"), 0, real, fake, seeded())
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


class SmoothCritic(nn.Module):
    """A critic the analytic path does not know."""

    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze(1)


@pytest.mark.parametrize("pac", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_any_other_critic_takes_the_general_path(pac, loss, penalty):
    _, real, fake = make((3, 4), 2, (4,), 5, pac, 0.0)
    torch.manual_seed(0)
    critic = SmoothCritic(9 * pac).double()
    player, goal = AutogradCritic(critic, view=OneHotRows(7, pac)), Adversarial(loss, penalty, 4.0)
    found, losses = player.step(goal, 0, real, fake, seeded())
    x_real, x_fake = (packed(rows, 7, pac) for rows in (real, fake))
    expected, gradients = plain_step(critic, goal, 0, x_real, x_fake)
    torch.testing.assert_close(losses.values, expected)
    for gradient, own in zip(gradients, found, strict=True):
        own = torch.zeros_like(gradient) if own is None else own
        torch.testing.assert_close(own, gradient)

    critic.zero_grad()
    found, pull = player.pull(goal, fake, real, seeded())
    rows = x_fake.clone().requires_grad_()
    expected = GENERATOR_LOSSES_WRITTEN_OUT[loss](critic(x_real).detach(), critic(rows))
    (gradient,) = torch.autograd.grad(expected, rows)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(torch.cat(pull[:2], 1).reshape(gradient.shape), gradient)
    assert all(parameter.grad is None for parameter in critic.parameters())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape[-1]])
def test_at_one_hot_rows_the_critic_is_the_same(shape, penalty):
    critic, real, fake = make(*shape)
    compiled = CompiledCritic(critic)
    other = OneHotMLPCritic(copy.deepcopy(critic))
    reads = OneHotRows(critic.levels, critic.pac)
    player = AutogradCritic(other, view=lambda rows: reads(rows).double())
    wanted = objective("gan", penalty=penalty, penalty_weight=3.0)
    expected, losses = compiled.step(wanted, 0, real, fake, seeded())
    found, own = player.step(wanted, 0, real, fake, seeded())
    assert own.names == losses.names
    torch.testing.assert_close(own.values, losses.values, **EXACT)
    names = [name for name, _ in critic.named_parameters()]
    assert [name for name, _ in other.named_parameters()] == [f"critic.{name}" for name in names]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, **EXACT)


def test_a_penalty_without_a_closed_form_is_trained_with_by_autograd(caplog):
    critic, real, fake = make(*SHAPES[1])
    critic, (real, fake) = (
        critic.float(),
        (Rows(rows.levels, rows.dense.float()) for rows in (real, fake)),
    )
    wanted = objective("wgan", penalty="zero-gp", penalty_weight=3.0)
    with caplog.at_level("INFO"):
        player = critic_player(critic, critic.levels, wanted)
    assert isinstance(player, AutogradCritic)
    assert "no closed form of the penalty zero-gp" in caplog.text
    gradients, losses = player.step(wanted, 0, real, fake, seeded())
    assert losses.floats()["penalty"] > 0
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert isinstance(critic_player(critic, critic.levels, objective("wgan-gp")), CompiledCritic)
