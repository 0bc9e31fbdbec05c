"""Adversarial objectives: values worked by hand, closed forms against autograd, errors."""

from __future__ import annotations

import doctest
import math

import pytest
import torch

from sdv_wgangp.objectives import adversarial
from sdv_wgangp.objectives.adversarial import LOSSES, OBJECTIVES, Adversarial, objective
from sdv_wgangp.ops import PENALTIES

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([1.0, -3.0])


def softplus(x):
    return math.log1p(math.exp(x))


# From the formulas, on two rows.
BY_HAND = {
    "gan": (
        (softplus(-2) + softplus(0)) / 2 + (softplus(1) + softplus(-3)) / 2,
        (softplus(-1) + softplus(3)) / 2,
    ),
    "wgan": (-1 - 1, 1),
    "hinge": ((0 + 1) / 2 + (2 + 0) / 2, 1),
    "relativistic": ((softplus(-1) + softplus(-3)) / 2, (softplus(1) + softplus(3)) / 2),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_values_worked_by_hand(loss):
    own = Adversarial(loss)
    critic, generator = BY_HAND[loss]
    assert own.critic_loss(REAL, FAKE).item() == pytest.approx(critic, rel=1e-6)
    assert own.generator_loss(FAKE, REAL).item() == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_closed_forms_equal_automatic_differentiation(loss, dtype):
    own, random = Adversarial(loss), torch.Generator().manual_seed(0)
    real, fake = (
        (3 * torch.randn(50, generator=random, dtype=dtype)).requires_grad_() for _ in range(2)
    )
    expected = torch.autograd.grad(own.critic_loss(real, fake), (real, fake))
    found = own.derivatives(real, fake)
    assert found.shape == (2, 50)
    assert not found.requires_grad
    torch.testing.assert_close(found, torch.stack(expected))
    (expected,) = torch.autograd.grad(own.generator_loss(fake, real), fake)
    found = own.generator_derivatives(fake, real)
    assert found.shape == (50,)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_closed_forms_equal_finite_differences(loss):
    """Without autograd on either side."""
    own = Adversarial(loss)
    real, fake = REAL.double() + 0.3, FAKE.double() + 0.2
    step = 1e-6
    for index in range(2):
        shift = torch.zeros(2, dtype=torch.double)
        shift[index] = step

        def slope(loss, shift=shift):
            return ((loss(shift) - loss(-shift)) / (2 * step)).item()

        at_real, at_fake = own.derivatives(real, fake)[:, index].tolist()
        assert at_real == pytest.approx(slope(lambda d: own.critic_loss(real + d, fake)), abs=1e-8)
        assert at_fake == pytest.approx(slope(lambda d: own.critic_loss(real, fake + d)), abs=1e-8)
        found = own.generator_derivatives(fake, real)[index].item()
        expected = slope(lambda d: own.generator_loss(fake + d, real))
        assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_large_scores_stay_numbers(loss, dtype, size):
    own = Adversarial(loss)
    real = torch.tensor([size, -size, size, -size], dtype=dtype, requires_grad=True)
    fake = torch.tensor([-size, size, size, -size], dtype=dtype, requires_grad=True)
    critic, generator = own.critic_loss(real, fake), own.generator_loss(fake, real)
    slopes = torch.autograd.grad(critic + generator, (real, fake))
    for part in (critic, generator, *slopes):
        assert torch.isfinite(part).all()
    torch.testing.assert_close(
        torch.autograd.grad(own.critic_loss(real, fake), (real, fake)),
        tuple(own.derivatives(real, fake)),
    )


def test_softplus_is_exact_in_float64():
    real, fake = torch.tensor([25.0], dtype=torch.double), torch.tensor([-25.0]).double()
    expected = 2 * math.log1p(math.exp(-25))
    assert objective("gan").critic_loss(real, fake).item() == pytest.approx(expected, rel=1e-12)


def test_wasserstein_losses_are_linear_and_relativistic_ones_paired():
    for name in OBJECTIVES:
        own = objective(name)
        assert own.linear == (name in ("wgan", "wgan-gp", "wgan-lp"))
        assert own.paired == (name == "relativistic")
    own = objective("wgan-gp")
    torch.testing.assert_close(own.derivatives(REAL, FAKE), own.derivatives(FAKE, 9 * REAL))


def test_defaults_are_those_of_the_papers():
    found = {
        name: (own.loss, own.penalty_at(0), own.weight_clip)
        for name in OBJECTIVES
        for own in [objective(name)]
    }
    assert found == {
        "gan": ("gan", ("none", 10.0), None),
        "wgan": ("wgan", ("none", 10.0), 0.01),
        "wgan-gp": ("wgan", ("wgan-gp", 10.0), None),
        "wgan-lp": ("wgan", ("wgan-lp", 10.0), None),
        "hinge": ("hinge", ("none", 10.0), None),
        "relativistic": ("relativistic", ("r1+r2", 10.0), None),
    }
    assert objective("wgan", penalty="none") == Adversarial("wgan")
    assert objective("wgan", penalty="r1").weight_clip is None
    assert objective("hinge", weight_clip=0.1).weight_clip == 0.1


@pytest.mark.parametrize("penalty", PENALTIES)
def test_lazy_penalties_weigh_as_much_as_their_interval(penalty):
    own = objective("gan", penalty=penalty, penalty_weight=0.3, interval=3)
    found = [own.penalty_at(step) for step in range(7)]
    weight = 0.3 * 3
    assert found == [("none" if step % 3 else penalty, weight) for step in range(7)]
    assert objective("gan", penalty=penalty).penalty_at(5) == (penalty, 10.0)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("lsgan", {}, r"objective must be one of gan, wgan, wgan-gp, .* got 'lsgan'"),
        ("gan", {"penalty": "gp"}, r"penalty must be one of wgan-gp, .*, none, got 'gp'"),
        ("wgan-gp", {"penalty": "r1"}, r"wgan-gp is named after its penalty, got penalty 'r1'"),
        ("wgan-lp", {"penalty": "none"}, r"wgan-lp is named after its penalty"),
        ("gan", {"penalty_weight": 1.0}, r"penalty_weight is given, but gan has no penalty"),
        ("hinge", {"interval": 4}, r"interval is given, but hinge has no penalty"),
        ("wgan-gp", {"penalty_weight": -1.0}, r"penalty_weight must be finite .* got -1.0"),
        ("wgan-gp", {"penalty_weight": math.nan}, r"penalty_weight must be finite .* got nan"),
        ("wgan-gp", {"penalty_weight": math.inf}, r"penalty_weight must be finite .* got inf"),
        ("wgan-gp", {"interval": 0}, r"interval must be 1 or more, got 0"),
        ("wgan-gp", {"interval": 2.0}, r"interval must be a whole number, got 2.0"),
        ("wgan-gp", {"interval": True}, r"interval must be a whole number, got True"),
        ("wgan", {"weight_clip": 0.0}, r"weight_clip must be finite and positive, got 0.0"),
        ("wgan", {"weight_clip": -0.1}, r"weight_clip must be finite and positive, got -0.1"),
        ("wgan", {"weight_clip": math.inf}, r"weight_clip must be finite and positive, got inf"),
        ("wgan-gp", {"weight_clip": 0.1}, r"weight_clip and the penalty wgan-gp both bound"),
        ("gan", {"penalty": "r1", "weight_clip": 0.1}, r"weight_clip and the penalty r1"),
    ],
)
def test_wrong_combinations_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        objective(name, **arguments)


def test_unknown_loss_is_named():
    with pytest.raises(
        ValueError, match=r"loss must be one of gan, wgan, hinge, .* got 'wgan-gp'"
    ):
        Adversarial("wgan-gp")


def test_pairs_need_as_many_scores():
    own = objective("relativistic")
    for call in (own.generator_loss, own.generator_derivatives):
        with pytest.raises(ValueError, match="give the scores of real rows"):
            call(FAKE)
    for call in (own.critic_loss, own.derivatives):
        with pytest.raises(ValueError, match=r"shape \[2\] for real rows and \[1\] for generated"):
            call(REAL, FAKE[:1])


def test_objectives_are_frozen_and_equal_by_value():
    own = objective("hinge")
    assert own == objective("hinge")
    assert hash(own) == hash(objective("hinge"))
    with pytest.raises(AttributeError):
        own.loss = "gan"


def test_examples_run():
    assert doctest.testmod(adversarial).failed == 0
