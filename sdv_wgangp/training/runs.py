"""A training of any modules, made ready in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from sdv_wgangp.players.autograd import AutogradCritic, AutogradGenerator
from sdv_wgangp.players.protocols import Batch, CriticPlayer, Objective, Term
from sdv_wgangp.training.average import WeightAverage
from sdv_wgangp.training.optimizers import NO_MOMENTUM, make_optimizer
from sdv_wgangp.training.run import Critic, Run

Value = TypeVar("Value")


def run_of(
    generator: nn.Module | AutogradGenerator,
    critics: nn.Module | CriticPlayer | Mapping[str, nn.Module | CriticPlayer],
    objectives: Objective | Mapping[str, Objective],
    *,
    seed: int,
    noise: int | Callable[[Batch, torch.Generator], tuple] | None = None,
    optimizer: str = "adam",
    lr: float | tuple[float, float] = 1e-4,
    betas: tuple[float, float] = NO_MOMENTUM,
    decay: float = 0.0,
    critic_steps: int = 1,
    generator_steps: int = 1,
    weights: Mapping[str, float] | None = None,
    max_grad_norm: float | Mapping[str, float] | None = None,
    ema_decay: float = 0.0,
    terms: Mapping[str, Term] | None = None,
    autocast: torch.dtype | None = None,
) -> Run:
    """A `training.run.Run` of a generator against one critic or several.

    Args:
        generator: A module, on the device of the training, or a player of one.
        critics: Likewise; several by names that begin with "critic". Without any, ``{}``, the
            generator follows its terms alone.
        objectives: Of all critics, or of each by its name (`objectives.adversarial.objective`).
        seed: Of all randomness of the training. The weights are as they are given.
        noise: Width of the generator's noise, or what draws its inputs
            (`players.autograd.AutogradGenerator`); for a module.
        optimizer: One of `training.optimizers.OPTIMIZERS`.
        lr: Learning rate, or those of the generator and of the critics. They fall to 0 at the end
            of the training (`training.schedule`).
        betas: Of the optimizer. Without momentum, as Gulrajani et al. 2017, unless said otherwise.
        decay: L2 penalty on all weights.
        critic_steps, generator_steps: In each step of the training.
        weights: Of the critics in the generator's loss, by their names; 1 where there is none.
        max_grad_norm: Bound of the norm of each player's gradient, or of some, by "generator" and
            the critics' names.
        ema_decay: Of the average of the generator's weights, `Run.average`; 0 for no average.
        terms: Further parts of the generator's loss, by name.
        autocast: Mixed precision of all modules, `torch.bfloat16` or `torch.float16`.

    Raises:
        ValueError: A name fits nothing (the message lists those that would), a number is out of
            its range, or a critic does not fit its objective.

    Example:
        >>> from sdv_wgangp.objectives.adversarial import objective
        >>> run = run_of(nn.Linear(4, 2), nn.Linear(2, 1), objective("wgan-gp"), noise=4, seed=0)
        >>> list(run.optimizers)
        ['generator', 'critic']
        >>> two = {"critic": nn.Linear(2, 1), "critic of pairs": nn.Bilinear(1, 1, 1)}
        >>> run_of(nn.Linear(4, 2), two, {"critic": objective("gan")}, noise=4, seed=0)
        Traceback (most recent call last):
        ...
        ValueError: objectives must be named as the critics, critic, critic of pairs; got critic
    """
    if isinstance(generator, nn.Module):
        if noise is None:
            raise ValueError("noise must be given with a module: its width, or what draws it")
        generator = AutogradGenerator(generator, noise, autocast=autocast)
    elif noise is not None:
        raise ValueError("noise is given, but the generator is a player that draws its own")
    if not isinstance(critics, Mapping):
        critics = {"critic": critics}
    if not all(name.startswith("critic") for name in critics):
        raise ValueError(
            f"critics must have names that begin with 'critic', got {', '.join(critics)}"
        )
    if not critics and not terms:
        raise ValueError("there is nothing to learn from: give a critic, or terms")
    objectives = _by_name(objectives, "objectives", critics)
    if critics.keys() - objectives.keys():
        raise ValueError(
            f"objectives must be named as the critics, {', '.join(critics)}; got "
            f"{', '.join(objectives) or 'none'}"
        )
    given_weights: dict[str, float] = _by_name(weights or {}, "weights", critics)
    weights = dict.fromkeys(critics, 1.0) | given_weights
    for name, steps in (("critic_steps", critic_steps), ("generator_steps", generator_steps)):
        if steps < 1:
            raise ValueError(f"{name} must be 1 or more, got {steps}")
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay must lie in [0, 1), got {ema_decay}")
    bounds = {} if max_grad_norm is None else max_grad_norm
    bounds = _by_name(bounds, "max_grad_norm", ("generator", *critics))
    rates = lr if isinstance(lr, tuple) else (lr, lr)
    for name, values in (("lr", rates), ("max_grad_norm", bounds.values())):
        if not all(math.isfinite(value) and value > 0 for value in values):
            raise ValueError(f"{name} must be finite and positive, got {list(values)}")

    average = WeightAverage(generator.module) if ema_decay else None
    moved = () if average is None else average.of(generator.parameters)
    optimizers = {
        "generator": make_optimizer(
            optimizer,
            generator.parameters,
            rates[0],
            betas=betas,
            decay=decay,
            average=moved,
            average_decay=ema_decay,
            ahead=generator_steps,
        )
    }
    ready = {}
    for name, critic in critics.items():
        player: CriticPlayer = (
            AutogradCritic(critic, autocast=autocast) if isinstance(critic, nn.Module) else critic
        )
        if isinstance(player, AutogradCritic):
            player.check(objectives[name])
        ready[name] = Critic(player, objectives[name], weights[name])
        optimizers[name] = make_optimizer(
            optimizer, player.parameters, rates[1], betas=betas, decay=decay, ahead=critic_steps
        )
    return Run(
        generator,
        ready,
        optimizers,
        torch.Generator(generator.parameters[0].device).manual_seed(seed),
        terms=dict(terms or {}),
        critic_steps=critic_steps,
        generator_steps=generator_steps,
        max_grad_norm=bounds,
        average=average,
        hyperparameters={
            "seed": seed,
            "optimizer": optimizer,
            "generator_lr": rates[0],
            "critic_lr": rates[1],
            "betas": list(betas),
            "decay": decay,
            "critic_steps": critic_steps,
            "generator_steps": generator_steps,
            "ema_decay": ema_decay,
            "autocast": str(autocast).removeprefix("torch."),
            **{f"max_grad_norm/{name}": bound for name, bound in bounds.items()},
            **{
                f"{name}/{key}": value
                for name, critic in ready.items()
                for key, value in _described(critic).items()
            },
        },
    )


def _by_name(
    given: Value | Mapping[str, Value], what: str, names: Collection[str]
) -> dict[str, Value]:
    """One value for all names, or those of some names.

    Raises:
        ValueError: A name is not among them.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"{what} must be named as {', '.join(names)}; got {', '.join(unknown)}")
    return dict(given)


def _described(critic: Critic) -> dict[str, Any]:
    """The objective of a critic as plain numbers and text."""
    objective = critic.objective
    own = asdict(objective) if is_dataclass(objective) else {"objective": repr(objective)}
    return {"weight": critic.weight} | {k: "none" if v is None else v for k, v in own.items()}
