"""The gradient penalty of any critic: interpolates, and norm, penalty and direction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from operator_cases.case import Case, Options, Rival, compiled, relative_error
from sdv_wgangp import ops
from sdv_wgangp.objectives.gradient_penalty import critic_penalty

HIDDEN = 256
PENALTY_WEIGHT = 10.0


@dataclass(frozen=True)
class Sizes:
    """Rows of tables, of sequences (steps, channels) and of images; a critic's rows."""

    shapes: tuple[tuple[int, ...], ...] = (
        (500, 200),
        (500, 2_000),
        (500, 20_000),
        (256, 24, 20),
        (64, 3, 64, 64),
    )
    critic_widths: tuple[int, ...] = (200, 2_000)
    critic_rows: int = 500


QUICK = Sizes(shapes=((20, 7), (4, 3, 2)), critic_widths=(20,), critic_rows=30)


def _sizes(options: Options) -> Sizes:
    return QUICK if options.quick else Sizes()


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


def _normal(shape: tuple[int, ...], device: str, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)


def _ctgan_interpolate(real: torch.Tensor, fake: torch.Tensor, epsilon: torch.Tensor):
    """As most code writes it, and CTGAN's: epsilon repeated, two products and a sum."""
    epsilon = epsilon.reshape(-1, *[1] * (real.dim() - 1)).expand_as(real)
    return (1 - epsilon) * real + epsilon * fake


def interpolate_cases(options: Options) -> Iterator[Case]:
    for shape in _sizes(options).shapes:
        real, fake = (_normal(shape, options.device, seed) for seed in (0, 1))
        epsilon = torch.rand(shape[0], 1, generator=torch.Generator().manual_seed(2))
        epsilon = epsilon.to(options.device)
        per_row = epsilon.reshape(-1, *[1] * (len(shape) - 1))

        def use(function, real=real, fake=fake, epsilon=epsilon):
            return lambda: function(real, fake, epsilon)

        plain = torch.lerp(real, fake, per_row)
        yield Case(
            "interpolate",
            _size(shape),
            use(ops.interpolate),
            (
                Rival(
                    "torch.lerp",
                    lambda real=real, fake=fake, per_row=per_row: torch.lerp(real, fake, per_row),
                    error=relative_error(ops.interpolate(real, fake, epsilon), plain),
                ),
                Rival("eager, (1 - a) x + a y", use(_ctgan_interpolate)),
                compiled("torch.compile of (1 - a) x + a y", _ctgan_interpolate, options, use),
            ),
        )


def _eager_penalty(gradient: torch.Tensor) -> torch.Tensor:
    return PENALTY_WEIGHT * (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()


def _our_penalty(gradient: torch.Tensor) -> torch.Tensor:
    return ops.gradient_norm_penalty(gradient, PENALTY_WEIGHT)[0]


def penalty_cases(options: Options) -> Iterator[Case]:
    """The penalty of given gradients and its derivative, the direction."""
    for shape in _sizes(options).shapes:
        gradient = _normal(shape, options.device, 0) / 10
        leaf = gradient.clone().requires_grad_()

        def forward(function, gradient=gradient):
            return lambda: function(gradient)

        def both(function, leaf=leaf):
            return lambda: torch.autograd.grad(function(leaf), leaf)[0]

        for what, use in (("forward", forward), ("and direction", both)):
            error = relative_error(use(_our_penalty)(), use(_eager_penalty)())
            yield Case(
                "gradient_norm_penalty",
                f"{_size(shape)}, {what}",
                use(_our_penalty),
                (
                    Rival("eager", use(_eager_penalty), error=error),
                    compiled("torch.compile", _eager_penalty, options, use),
                ),
            )


def critic_cases(options: Options) -> Iterator[Case]:
    """A critic's whole penalty and the gradients of its weights, with a module of any kind.

    Eager and ours differ in the two operators alone; CTGAN's is its own critic without dropout
    (evaluation mode) and its own function.
    """
    from ctgan.synthesizers.ctgan import Discriminator

    sizes = _sizes(options)
    rows = sizes.critic_rows
    for width in sizes.critic_widths:
        real, fake = (_normal((rows, width), options.device, seed) for seed in (0, 1))
        leaf = fake.clone().requires_grad_()
        epsilon = torch.rand(rows, 1, generator=torch.Generator().manual_seed(2))
        epsilon = epsilon.to(options.device)
        torch.manual_seed(0)
        critic = Discriminator(width, (HIDDEN, HIDDEN), pac=1).to(options.device).eval()
        layers = [layer for layer in critic.seq if not isinstance(layer, nn.Dropout)]
        network = nn.Sequential(*layers)
        weights = list(network.parameters())

        def gradients(cost: Callable[[], torch.Tensor], weights=weights):
            # The last bias has no part in a gradient at rows.
            return lambda: torch.autograd.grad(cost(), weights, allow_unused=True)[:-1]

        def ours(network=network, real=real, fake=fake, epsilon=epsilon):
            return critic_penalty(network, real, fake, epsilon, PENALTY_WEIGHT, "wgan-gp")

        def eager(network=network, real=real, fake=fake, epsilon=epsilon):
            between = torch.lerp(real, fake, epsilon).requires_grad_()
            (slope,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
            return _eager_penalty(slope)

        def theirs(critic=critic, real=real, leaf=leaf):
            return critic.calc_gradient_penalty(real, leaf, real.device, 1, PENALTY_WEIGHT)

        found, expected = (
            torch.cat([part.flatten() for part in gradients(cost)() if part is not None])
            for cost in (ours, eager)
        )
        yield Case(
            "gradient_norm_penalty",
            f"critic of {HIDDEN}, {HIDDEN} on {_size((rows, width))}, whole penalty",
            gradients(ours),
            (
                Rival("eager", gradients(eager), error=relative_error(found, expected)),
                Rival("CTGAN's calc_gradient_penalty", gradients(theirs)),
            ),
        )


CASES = {
    "interpolate": (interpolate_cases,),
    "gradient_norm_penalty": (penalty_cases, critic_cases),
}
