"""Optimizers, and the average of the weights that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sdv_wgangp.ops import adam_step

# Of the paper (Gulrajani et al. 2017, algorithm 1): no momentum.
NO_MOMENTUM = (0.0, 0.9)
OPTIMIZERS = ("adam", "rmsprop")


class Optimizer(Protocol):
    """Moves the weights of one player.

    A step has two halves, so that a CUDA graph can hold the second: `advance` sets the rates of
    the next steps, `apply` moves the weights by the rates of one.

    Attributes:
        parameters: What it moves.
        rate: Learning rate of the last step that was advanced.
    """

    parameters: list[Tensor]
    rate: float

    def advance(self, factors: Sequence[float]) -> None:
        """Set the rates of the next steps, from factors of the learning rate for each."""

    def apply(self, gradients: Iterable[Tensor | None], step: int = 0) -> None:
        """Move the weights, by the rates of the given one of the steps that were advanced."""

    def state_dict(self) -> dict[str, Any]:
        """What a training continues from."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""


def average_rate(steps: int, decay: float) -> float:
    """How far a moving average goes to the weights of a step; ``steps`` were made before.

    The weight of the past grows from 0 as ``(1 + steps) / (10 + steps)`` up to ``decay``, so that
    the first steps do not linger in a short training.
    """
    return 1 - min(decay, (2 + steps) / (11 + steps))


class Adam:
    """Adam without momentum (Kingma and Ba 2015, algorithm 1, with a first beta of 0), compiled.

    One pass over the memory also moves an average of the weights.

    Args:
        parameters: On one device.
        rate: Learning rate; `advance` scales it (`training.schedule`).
        decay: L2 penalty on the weights.
        average: Parameters of the average, in the order of ``parameters``, or none.
        average_decay: Weight of the past in each step of the average, in [0, 1)
            (`average_rate`).
        ahead: Steps whose rates `advance` sets.
        beta: Decay of the average of squares, the second beta.
        epsilon: Added to its root.

    Attributes:
        steps: How many were made.
        rate: Learning rate of the last step that was advanced.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        decay: float = 0.0,
        average: Iterable[Tensor] = (),
        average_decay: float = 0.0,
        ahead: int = 1,
        beta: float = NO_MOMENTUM[1],
        epsilon: float = 1e-8,
    ):
        self.parameters = list(parameters)
        self.average = list(average)
        self.base_rate, self.decay, self.average_decay = rate, decay, average_decay
        self.beta, self.epsilon = beta, epsilon
        self.steps, self.rate = 0, rate
        for parameter in (*self.parameters, *self.average):  # whatever their memory format
            parameter.data = parameter.data.contiguous()
        device = self.parameters[0].device
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._rates = torch.zeros(ahead, 3, dtype=torch.float64, device=device)

    def advance(self, factors: Sequence[float]) -> None:
        """Set the rates of the next steps and count these.

        Args:
            factors: Of the learning rate, for each of the ``ahead`` steps.
        """
        rates = []
        for factor in factors:
            to_average = average_rate(self.steps, self.average_decay)
            self.rate = self.base_rate * factor
            self.steps += 1
            rates.append([self.rate, (1 - self.beta**self.steps) ** -0.5, to_average])
        self._rates.copy_(torch.tensor(rates, dtype=torch.float64))

    @torch.no_grad()
    def apply(self, gradients: Iterable[Tensor | None], step: int = 0) -> None:
        """Move the weights, by the rates of the given one of the steps that were advanced.

        Args:
            gradients: Of the parameters, in their order; float32 or bfloat16. A parameter whose
                gradient is None stays as it is.
            step: Among those of the last `advance`.
        """
        given = [
            (index, gradient.contiguous())
            for index, gradient in enumerate(gradients)
            if gradient is not None
        ]
        if not given:  # a step that was left out
            return
        adam_step(
            [self.parameters[index] for index, _ in given],
            [gradient for _, gradient in given],
            [self.squares[index] for index, _ in given],
            [self.average[index] for index, _ in given] if self.average else (),
            self._rates[step],
            beta=self.beta,
            epsilon=self.epsilon,
            decay=self.decay,
        )

    def state_dict(self) -> dict[str, Any]:
        """Average squares, steps, and the average of the weights."""
        return {"steps": self.steps, "squares": self.squares, "average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.steps = state["steps"]
        _copy(self.squares, state["squares"])
        _copy(self.average, state["average"])


class TorchOptimizer:
    """An optimizer of PyTorch's, with an average of the weights it makes.

    Args:
        optimizer: Of one group of parameters.
        average, average_decay: As for `Adam`.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        average: Iterable[Tensor] = (),
        average_decay: float = 0.0,
    ):
        self.optimizer = optimizer
        (group,) = optimizer.param_groups
        self.parameters, self.base_rate = list(group["params"]), float(group["lr"])
        self.rate, self.steps = self.base_rate, 0
        self.average, self.average_decay = list(average), average_decay
        self._factors: list[float] = []

    def advance(self, factors: Sequence[float]) -> None:
        """Note the factors of the next steps."""
        self._factors = list(factors)
        self.rate = self.base_rate * self._factors[-1]

    @torch.no_grad()
    def apply(self, gradients: Iterable[Tensor | None], step: int = 0) -> None:
        """Move the weights; see `Adam.apply`."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
        self.optimizer.param_groups[0]["lr"] = self.base_rate * self._factors[step]
        self.optimizer.step()
        if self.average:
            rate = average_rate(self.steps, self.average_decay)
            for average, parameter in zip(self.average, self.parameters, strict=True):
                move = rate * (parameter - average)
                # As `adam_step`: what was learned outlives a step that fails.
                average.add_(torch.where(move.square().isfinite(), move, 0))
        self.steps += 1
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Of the optimizer, and the average of the weights."""
        state = self.optimizer.state_dict()["state"]
        return {
            "steps": self.steps,
            "state": {str(index): dict(own) for index, own in state.items()},
            "average": self.average,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        own = self.optimizer.state_dict()
        # Copies: PyTorch would go on to write into what was loaded.
        own["state"] = {
            int(index): {
                name: value.clone() if isinstance(value, Tensor) else value
                for name, value in each.items()
            }
            for index, each in state["state"].items()
        }
        self.optimizer.load_state_dict(own)
        self.steps = state["steps"]
        _copy(self.average, state["average"])


def make_optimizer(
    name: str,
    parameters: Iterable[Tensor],
    rate: float,
    *,
    decay: float = 0.0,
    betas: tuple[float, float] = NO_MOMENTUM,
    average: Iterable[Tensor] = (),
    average_decay: float = 0.0,
    ahead: int = 1,
) -> Optimizer:
    """Adam with any betas, or RMSprop.

    Args:
        name: One of `OPTIMIZERS`. RMSprop is that of the first Wasserstein GANs, whose critics
            momentum makes unstable (Arjovsky et al. 2017, section 4).
        parameters, rate, decay, average, average_decay, ahead: As for `Adam`.
        betas: Of Adam. Without momentum (the first is 0) the step is compiled. The second is
            RMSprop's ``alpha``.

    Raises:
        ValueError: The name is unknown, or a beta lies outside [0, 1).
    """
    parameters = list(parameters)
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {name!r}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must lie in [0, 1), got {tuple(betas)}")
    if name == "adam" and betas[0] == 0:
        return Adam(parameters, rate, decay, average, average_decay, ahead, betas[1])
    if name == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(
            parameters, rate, (betas[0], betas[1]), weight_decay=decay
        )
    else:
        optimizer = torch.optim.RMSprop(parameters, rate, alpha=betas[1], weight_decay=decay)
    return TorchOptimizer(optimizer, average, average_decay)


@torch.no_grad()
def gradient_norm(gradients: Iterable[Tensor | None]) -> Tensor:
    """The Euclidean norm of all gradients together, a float32 scalar on their device."""
    given = [gradient.float() for gradient in gradients if gradient is not None]
    if not given:
        return torch.zeros(())
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(given)))


@torch.no_grad()
def clip_gradients(gradients: Sequence[Tensor | None], bound: float) -> list[Tensor | None]:
    """Gradients, scaled down where their norm exceeds a bound (Pascanu et al. 2013, algorithm 1).

    Nothing waits for the device.
    """
    factor = (bound / gradient_norm(gradients).clamp_min(1e-30)).clamp_max(1)
    return [None if gradient is None else gradient * factor for gradient in gradients]


def _copy(to: Sequence[Tensor], source: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for own, saved in zip(to, source, strict=True):
            own.copy_(saved)
