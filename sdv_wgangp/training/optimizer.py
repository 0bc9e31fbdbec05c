"""Adam with a falling learning rate, and the average of the weights it makes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sdv_wgangp.ops import adam_step

# Adam's decay rates (Gulrajani et al. 2017, algorithm 1): no momentum.
ADAM_BETAS = (0.0, 0.9)
ADAM_EPSILON = 1e-8


class Adam:
    """Adam without momentum, whose rate is constant for half of the steps, then falls to 0.

    One pass over the memory also moves an average of the weights.

    Args:
        parameters: With gradients by the time of the first step.
        rate: Learning rate.
        decay: L2 penalty on the weights.
        average: Parameters of the average, in the order of ``parameters``, or none.
        average_decay: Weight of the past in each step of the average, in [0, 1). It grows from 0
            as ``(1 + steps) / (10 + steps)``, so that the first steps do not linger in a short
            training.

    Attributes:
        steps: How many were made.
        total: How many will be made; the rate is constant until it is known.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        decay: float = 0.0,
        average: Iterable[torch.Tensor] = (),
        average_decay: float = 0.0,
    ):
        self.parameters = list(parameters)
        self.average = list(average)
        self.base_rate, self.decay, self.average_decay = rate, decay, average_decay
        self.steps, self.total = 0, 0
        device = self.parameters[0].device
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._rates = torch.zeros(3, dtype=torch.float64, device=device)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.base_rate * (min(1.0, 2 * (1 - self.steps / self.total)) if self.total else 1)

    def advance(self) -> None:
        """Set the next step's rates, for `apply`."""
        share = 1 - min(self.average_decay, (2 + self.steps) / (11 + self.steps))
        rate = self.rate
        self.steps += 1
        correction = (1 - ADAM_BETAS[1] ** self.steps) ** -0.5
        self._rates.copy_(torch.tensor([rate, correction, share], dtype=torch.float64))

    @torch.no_grad()
    def apply(self) -> None:
        """Move the weights. It reads the rates on their device: a CUDA graph may hold it."""
        adam_step(
            self.parameters,
            [parameter.grad for parameter in self.parameters],
            self.squares,
            self.average,
            self._rates,
            beta=ADAM_BETAS[1],
            epsilon=ADAM_EPSILON,
            decay=self.decay,
        )

    def step(self) -> None:
        """One step with the gradients of the parameters."""
        self.advance()
        self.apply()
