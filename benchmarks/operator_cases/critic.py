"""The critic's operators: its training step, the gradient at its input rows, and its scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from operator_cases.case import Case, Options, Rival, compiled, relative_error
from sdv_wgangp import ops
from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.training.precision import matmul_precision

COLUMNS, DENSE = 14, 12
PENALTY_WEIGHT = 10.0


@dataclass(frozen=True)
class Sizes:
    """Of a batch and a critic.

    Attributes:
        rows, hidden: Of a batch; widths of the hidden layers.
        bars: By one-hot width, the ratios to reach in the default precision and in full float32.
        ctgan: One-hot width and packed rows for CTGAN's critic; 20,000 x 10 would be 200 MB a
            weight.
    """

    rows: int = 500
    hidden: tuple[int, ...] = (256, 256)
    bars: dict[int, tuple[float, float]] = field(
        default_factory=lambda: {200: (3.0, 1.6), 2_000: (8.0, 4.0), 20_000: (20.0, 8.0)}
    )
    ctgan: tuple[tuple[int, int], ...] = (
        (200, 1),
        (200, 10),
        (2_000, 1),
        (2_000, 10),
        (20_000, 1),
    )


QUICK = Sizes(rows=40, hidden=(16, 8), bars={30: (3.0, 1.6)}, ctgan=((30, 1), (30, 10)))


def _sizes(options: Options) -> Sizes:
    return QUICK if options.quick else Sizes()


@dataclass
class Setting:
    """A critic with a batch of real and fake rows, as codes and as one-hot rows."""

    critic: MLPCritic
    real: tuple[torch.Tensor, torch.Tensor]
    fake: tuple[torch.Tensor, torch.Tensor]
    epsilon: torch.Tensor
    hot: tuple[torch.Tensor, torch.Tensor]
    parameters: list[torch.Tensor]
    gradients: list[torch.Tensor]


def setting(levels: int, sizes: Sizes, device: str, pac: int = 1, dropout: float = 0.0) -> Setting:
    random = torch.Generator().manual_seed(levels)
    critic = MLPCritic(levels, DENSE, sizes.hidden, random, pac, dropout).to(device)
    edges = torch.linspace(0, levels, COLUMNS + 1).long().tolist()

    def draw() -> tuple[torch.Tensor, torch.Tensor]:
        columns = [
            torch.randint(low, high, (sizes.rows,), generator=random)
            for low, high in pairwise(edges)
        ]
        dense = torch.randn(sizes.rows, DENSE, generator=random)
        return torch.stack(columns, 1).to(device), dense.to(device)

    real, fake = draw(), draw()
    epsilon = torch.rand(sizes.rows // pac, 1, generator=random).to(device)
    parameters = [parameter.detach() for parameter in critic.parameters()]
    hot = tuple(one_hot(levels, *part) for part in (real, fake))
    gradients = [torch.empty_like(parameter) for parameter in parameters]
    return Setting(critic, real, fake, epsilon, hot, parameters, gradients)


def one_hot(width: int, levels: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    hot = torch.zeros(len(levels), width, device=levels.device).scatter_(1, levels, 1.0)
    return torch.cat([hot, dense], 1)


def plain_network(critic: MLPCritic) -> nn.Sequential:
    """The same critic as torch's layers, on one-hot rows."""
    device = critic.bias.device
    first = nn.Linear(critic.levels + critic.dense, len(critic.bias), device=device)
    with torch.no_grad():
        first.weight.copy_(torch.cat([critic.level_weight, critic.dense_weight]).T)
        first.bias.copy_(critic.bias)
    layers: list[nn.Module] = [first]
    for given in critic.layers:
        layer = nn.Linear(given.in_features, given.out_features, device=device)
        layer.load_state_dict(given.state_dict())
        layers += [nn.LeakyReLU(LEAKY_SLOPE), layer]
    return nn.Sequential(*layers)


def eager_step(network: nn.Module, at: Setting, loss_network: nn.Module | None = None):
    """The step as one writes it with autograd: one-hot rows (their making is not counted), a
    forward pass for real and fake rows, one for the interpolates, and double backward.

    Args:
        network: The critic.
        at: The rows.
        loss_network: Does the passes of the loss, if not the critic itself.
    """
    loss_critic = loss_network or network
    real, fake = at.hot

    def step():
        network.zero_grad()
        loss = loss_critic(fake).mean() - loss_critic(real).mean()
        between = torch.lerp(real, fake, at.epsilon).requires_grad_()
        (slope,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
        (loss + PENALTY_WEIGHT * (slope.norm(dim=1) - 1).square().mean()).backward()

    return step


def functional_step(weights: list[torch.Tensor], real, fake, epsilon):
    """The same in torch.func, which `torch.compile` takes whole: gradients of the weights."""

    def scores(weights, rows):
        for place in range(0, len(weights), 2):
            rows = functional.linear(rows, weights[place], weights[place + 1])
            if place + 2 < len(weights):
                rows = functional.leaky_relu(rows, LEAKY_SLOPE)
        return rows

    def cost(weights):
        between = torch.lerp(real, fake, epsilon)
        slope = torch.func.grad(lambda rows: scores(weights, rows).sum())(between)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        loss = scores(weights, fake).mean() - scores(weights, real).mean()
        return loss + PENALTY_WEIGHT * penalty

    return torch.func.grad(cost)(weights)


def step_cases(options: Options) -> Iterator[Case]:
    """Loss, gradient penalty and all gradients of a critic of two hidden layers of 256."""
    sizes = _sizes(options)
    for levels, bars in sizes.bars.items():
        for precision, bar in zip(("medium", "highest"), bars, strict=True):
            at = setting(levels, sizes, options.device)
            network = plain_network(at.critic)
            eager = eager_step(network, at)

            def ours(at=at):
                ops.critic_step(
                    *at.real, *at.fake, at.epsilon, at.parameters, at.gradients,
                    weight=PENALTY_WEIGHT,
                )  # fmt: skip

            eager()
            with matmul_precision(precision):
                ours()
            first = torch.cat([at.gradients[0], at.gradients[1]]).T
            found = torch.cat([part.flatten() for part in (first, *at.gradients[2:])])
            plain = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            rivals = [Rival("eager", eager, error=relative_error(found, plain), bar=bar)]
            if precision == "medium":
                rivals.append(Rival("eager, bfloat16 products", eager, precision="medium"))
            else:
                weights = [parameter.detach() for parameter in network.parameters()]
                rivals += [
                    compiled("torch.compile", eager_step(network, at), options),
                    compiled(
                        "torch.compile, penalty eager",
                        network,
                        options,
                        lambda fast, network=network, at=at: eager_step(network, at, fast),
                    ),
                    compiled(
                        "torch.compile of torch.func",
                        functional_step,
                        options,
                        lambda fast, weights=weights, at=at: (
                            lambda: fast(weights, *at.hot, at.epsilon)
                        ),
                    ),
                ]
            yield Case("critic_step", f"D = {levels:,}", ours, tuple(rivals), precision)


def ctgan_step(levels: int, hidden: tuple[int, ...], pac: int, at: Setting):
    """CTGAN's own critic and penalty, called as its training loop calls them.

    Its loop also goes back into the generator here and throws that away; these rows are leaves.
    """
    from ctgan.synthesizers.ctgan import Discriminator

    real, fake = at.hot
    critic = Discriminator(levels + DENSE, hidden, pac).to(real.device)
    leaf = fake.clone().requires_grad_()

    def step():
        loss = critic(fake).mean() - critic(real).mean()
        penalty = critic.calc_gradient_penalty(real, leaf, real.device, pac, PENALTY_WEIGHT)
        critic.zero_grad(set_to_none=False)
        leaf.grad = None
        penalty.backward(retain_graph=True)
        loss.backward()

    return step


def ctgan_cases(options: Options) -> Iterator[Case]:
    """With CTGAN's dropout of one half and its packing, on its own `Discriminator`."""
    sizes = _sizes(options)
    for levels, pac in sizes.ctgan:
        for precision in ("medium", "highest"):
            at = setting(levels, sizes, options.device, pac, dropout=0.5)
            real, fake = at.critic.pack(*at.real), at.critic.pack(*at.fake)
            random = torch.Generator(options.device).manual_seed(0)

            def ours(at=at, real=real, fake=fake, random=random):
                masks = at.critic.masks(3 * len(at.epsilon), random)
                ops.critic_step(
                    *real, *fake, at.epsilon, at.parameters, at.gradients,
                    masks=masks, weight=PENALTY_WEIGHT,
                )  # fmt: skip

            yield Case(
                "critic_step",
                f"D = {levels:,}, dropout .5, pac {pac}",
                ours,
                (Rival("CTGAN's Discriminator", ctgan_step(levels, sizes.hidden, pac, at)),),
                precision,
            )


def eager_softplus_step(network: nn.Module, at: Setting):
    """The step of a non-saturating GAN with the penalty r1, with autograd."""
    real, fake = at.hot

    def step():
        network.zero_grad()
        leaf = real.clone().requires_grad_()
        on_real = network(leaf)
        (slope,) = torch.autograd.grad(on_real.sum(), leaf, create_graph=True)
        loss = functional.softplus(network(fake)).mean() + functional.softplus(-on_real).mean()
        (loss + PENALTY_WEIGHT / 2 * slope.square().sum(1).mean()).backward()

    return step


def softplus_cases(options: Options) -> Iterator[Case]:
    """Another objective: the scores, its derivatives at them, and the step that takes these."""
    sizes = _sizes(options)
    for levels in sizes.bars:
        for precision in ("medium", "highest"):
            at = setting(levels, sizes, options.device)
            network = plain_network(at.critic)
            eager = eager_softplus_step(network, at)

            def ours(at=at):
                real = ops.critic_scores(*at.real, at.parameters)
                fake = ops.critic_scores(*at.fake, at.parameters)
                derivatives = torch.stack([-torch.sigmoid(-real), torch.sigmoid(fake)])
                ops.critic_step(
                    *at.real, *at.fake, None, at.parameters, at.gradients, penalty="r1",
                    weight=PENALTY_WEIGHT, derivatives=derivatives / len(real),
                )  # fmt: skip

            eager()
            with matmul_precision(precision):
                ours()
            first = torch.cat([at.gradients[0], at.gradients[1]]).T
            found = torch.cat([part.flatten() for part in (first, *at.gradients[2:])])
            plain = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            rivals = [Rival("eager", eager, error=relative_error(found, plain))]
            if precision == "medium":
                rivals.append(Rival("eager, bfloat16 products", eager, precision="medium"))
            yield Case(
                "critic_step", f"D = {levels:,}, softplus, r1", ours, tuple(rivals), precision
            )


def row_gradient_cases(options: Options) -> Iterator[Case]:
    """Loss of the generator and its gradient at the rows."""
    sizes = _sizes(options)
    for levels in sizes.bars:
        for precision in ("medium", "highest"):
            at = setting(levels, sizes, options.device)
            network = plain_network(at.critic).requires_grad_(False)
            rows = at.hot[1].clone().requires_grad_()

            def ours(at=at):
                return ops.critic_row_gradient(*at.fake, at.parameters)

            def eager(network=network, rows=rows):
                return torch.autograd.grad(-network(rows).mean(), rows)

            with matmul_precision(precision):
                found = torch.cat(ours()[1:], 1)
            rivals = [Rival("eager", eager, error=relative_error(found, eager()[0]))]
            if precision == "medium":
                rivals.append(Rival("eager, bfloat16 products", eager, precision="medium"))
            else:
                rivals.append(
                    compiled(
                        "torch.compile",
                        network,
                        options,
                        lambda fast, rows=rows: (
                            lambda: torch.autograd.grad(-fast(rows).mean(), rows)
                        ),
                    )
                )
            yield Case("critic_row_gradient", f"D = {levels:,}", ours, tuple(rivals), precision)


def scores_cases(options: Options) -> Iterator[Case]:
    """The forward pass alone."""
    sizes = _sizes(options)
    for levels in sizes.bars:
        for precision in ("medium", "highest"):
            at = setting(levels, sizes, options.device)
            network = plain_network(at.critic).requires_grad_(False)

            def ours(at=at):
                return ops.critic_scores(*at.fake, at.parameters)

            def eager(network=network, at=at):
                return network(at.hot[1])[:, 0]

            with matmul_precision(precision):
                found = ours()
            rivals = [Rival("eager", eager, error=relative_error(found, eager()))]
            if precision == "medium":
                rivals.append(Rival("eager, bfloat16 products", eager, precision="medium"))
            else:
                rivals.append(
                    compiled(
                        "torch.compile",
                        network,
                        options,
                        lambda fast, at=at: lambda: fast(at.hot[1]),
                    )
                )
            yield Case("critic_scores", f"D = {levels:,}", ours, tuple(rivals), precision)


CASES = {
    "critic_step": (step_cases, ctgan_cases, softplus_cases),
    "critic_row_gradient": (row_gradient_cases,),
    "critic_scores": (scores_cases,),
}
