"""Further parts of a generator's loss, of any model, by automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from sdv_wgangp.players.autograd import AutogradGenerator, Generated
from sdv_wgangp.players.batches import as_leaves, gradient_at
from sdv_wgangp.players.protocols import Batch, GeneratorPlayer, Losses, Player, Pulls, Term


class _Weighted(Term[Player]):
    def __init__(self, weight: float, name: str):
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight must be finite and not negative, got {weight}")
        self.weight, self.name = weight, f"generator/{name}"

    def _losses(self, loss: Tensor) -> Losses:
        return Losses((self.name,), loss.detach()[None])


class Reconstruction(_Weighted[GeneratorPlayer]):
    """``weight * distance(generated rows, real rows)``, for generators that are given a real row.

    Isola et al. 2017, "Image-to-image translation with conditional adversarial networks",
    equations 3 and 4, with the mean absolute difference and a weight of 100.

    Args:
        weight: Of the distance, finite and not negative.
        distance: From the generated and the real batch to a scalar.
        name: The loss is "generator/NAME".

    Raises:
        ValueError: The weight is none.

    Example:
        >>> import torch
        >>> from torch.nn import functional
        >>> term = Reconstruction(100.0, functional.l1_loss)
        >>> fake, real = torch.ones(2, 5), torch.zeros(2, 5)
        >>> losses, pulls = term.pull(None, None, fake, real)
        >>> losses.floats(), pulls.rows[0, 0]
        ({'generator/reconstruction': 100.0}, tensor(10.))
    """

    def __init__(
        self,
        weight: float,
        distance: Callable[[Batch, Batch], Tensor],
        name: str = "reconstruction",
    ):
        super().__init__(weight, name)
        self.distance = distance

    def pull(
        self, player: GeneratorPlayer, generated: object, fake: Batch, real: Batch
    ) -> tuple[Losses, Pulls]:
        """The weighted distance and its gradient at the generated rows."""
        rows = as_leaves(fake)
        loss = self.weight * self.distance(rows, real)
        return self._losses(loss), Pulls(gradient_at(loss, rows))


class Likelihood(_Weighted[AutogradGenerator]):
    """``weight * nll(generated, fake, real)``, which reaches the parameters directly.

    For generators whose forward pass knows a density: of the real rows, or of their own (an
    entropy). The function sees the graph of the pass, ``generated.rows`` and ``generated.inputs``
    (`players.autograd.Generated`), and may call the module itself.

    Args:
        nll: From what the generator's pass gave, its rows without a graph, and the real batch, to
            a scalar with a graph to the generator's parameters.
        weight: Of it, finite and not negative.
        name: The loss is "generator/NAME".

    Raises:
        ValueError: The weight is none.

    Example:
        >>> import torch
        >>> module = torch.nn.Linear(1, 2)
        >>> player = AutogradGenerator(module, 1)
        >>> def nll(generated, fake, real):  # of a normal distribution around the bias
        ...     return (real - module.bias).square().sum(1).mean() / 2
        >>> real = torch.zeros(4, 2)
        >>> generated = player.forward(real, torch.Generator().manual_seed(0))
        >>> _, pulls = Likelihood(nll).pull(player, generated, player.rows(generated), real)
        >>> pulls.parameters[0] is None, torch.equal(pulls.parameters[1], module.bias)
        (True, True)
    """

    def __init__(
        self,
        nll: Callable[[Generated, Batch, Batch], Tensor],
        weight: float = 1.0,
        name: str = "likelihood",
    ):
        super().__init__(weight, name)
        self.nll = nll

    def pull(
        self, player: AutogradGenerator, generated: Generated, fake: Batch, real: Batch
    ) -> tuple[Losses, Pulls]:
        """The weighted loss and its gradient at the generator's parameters."""
        loss = self.weight * self.nll(generated, fake, real)
        return self._losses(loss), Pulls(parameters=player.gradients_of(loss))
