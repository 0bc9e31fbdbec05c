"""Adam, and the average of the weights it makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from sdv_wgangp.ops import adam_step

# Adam's decay rates (Gulrajani et al. 2017, algorithm 1): no momentum.
ADAM_BETAS = (0.0, 0.9)
ADAM_EPSILON = 1e-8


class Adam:
    """Adam without momentum.

    One pass over the memory also moves an average of the weights.

    Args:
        parameters: On one device.
        rate: Learning rate; `advance` scales it (`training.schedule`).
        decay: L2 penalty on the weights.
        average: Parameters of the average, in the order of ``parameters``, or none.
        average_decay: Weight of the past in each step of the average, in [0, 1). It grows from 0
            as ``(1 + steps) / (10 + steps)``, so that the first steps do not linger in a short
            training.
        ahead: Steps whose rates `advance` sets.

    Attributes:
        steps: How many were made.
        rate: Learning rate of the last step that was advanced.

    A step has two halves, so that a CUDA graph can hold the second: `advance` sets the rates of
    the next steps, `apply` moves the weights by the rates of one.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        decay: float = 0.0,
        average: Iterable[torch.Tensor] = (),
        average_decay: float = 0.0,
        ahead: int = 1,
    ):
        self.parameters = list(parameters)
        self.average = list(average)
        self.base_rate, self.decay, self.average_decay = rate, decay, average_decay
        self.steps, self.rate = 0, rate
        for parameter in self.parameters:  # whatever their memory format
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
            share = 1 - min(self.average_decay, (2 + self.steps) / (11 + self.steps))
            self.rate = self.base_rate * factor
            self.steps += 1
            rates.append([self.rate, (1 - ADAM_BETAS[1] ** self.steps) ** -0.5, share])
        self._rates.copy_(torch.tensor(rates, dtype=torch.float64))

    @torch.no_grad()
    def apply(self, gradients: Iterable[torch.Tensor], step: int = 0) -> None:
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
        adam_step(
            [self.parameters[index] for index, _ in given],
            [gradient for _, gradient in given],
            [self.squares[index] for index, _ in given],
            [self.average[index] for index, _ in given] if self.average else (),
            self._rates[step],
            beta=ADAM_BETAS[1],
            epsilon=ADAM_EPSILON,
            decay=self.decay,
        )
