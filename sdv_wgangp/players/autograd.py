"""Any modules as players, by automatic differentiation.

A generator is any module whose output is a batch as the data's: a tensor, or a named tuple of
tensors in which integers (labels) get no gradient. A critic is any module from such a batch to one
score a row, a logit. Images, sequences, tables of one-hot rows, and what has labels beside its
rows, differ in their modules alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sdv_wgangp.objectives.gradient_penalty import PENALTIES_BETWEEN, critic_penalty
from sdv_wgangp.players.batches import as_leaves, gradient_at, leaves, mapped, row_count
from sdv_wgangp.players.protocols import Batch, Losses, Objective, Pulls, added, scaled

AUTOCAST = (None, torch.bfloat16, torch.float16)
# What ends a critic whose scores are no logits, and what may stand behind it.
_SQUASHED = {
    "SigmoidBackward0": "a sigmoid",
    "LogSigmoidBackward0": "a log-sigmoid",
    "SoftmaxBackward0": "a softmax",
    "LogSoftmaxBackward0": "a log-softmax",
}
_SHAPED = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Select", "ToCopy", "Alias")


class View(Protocol):
    """What a critic's module reads of the rows that players exchange."""

    def __call__(self, batch: Batch, /) -> Batch:
        """The batch that the module reads: one-hot rows of codes, several rows as one."""

    def back(self, gradient: Batch, batch: Batch, /) -> Batch:
        """Gradients at what the module reads, as gradients at the rows of ``batch``."""


class _Itself:
    """The view of a module that reads rows as they are."""

    def __call__(self, batch: Batch) -> Batch:
        return batch

    def back(self, gradient: Batch, batch: Batch) -> Batch:
        return gradient


class Generated(NamedTuple):
    """What a forward pass of an `AutogradGenerator` gave.

    Attributes:
        rows: The generated batch, with its graph; floating parts of half precision as float32.
        inputs: Those of the module.
    """

    rows: Batch
    inputs: tuple


class _Precision:
    """Mixed precision of one player: products in ``dtype``, weights and gradients in float32.

    Gradients of float16 vanish below 6e-8 and overflow above 65504. They are therefore taken of
    losses times a factor, and divided by it. Where they have overflowed the step is left out, and
    the factor shrinks (Micikevicius et al. 2018, section 3.2).
    """

    def __init__(self, dtype: torch.dtype | None, parameters: Sequence[Tensor]):
        if dtype not in AUTOCAST:
            raise ValueError(
                f"autocast must be None, torch.bfloat16 or torch.float16, got {dtype}"
            )
        self._dtype, self._parameters = dtype, parameters
        self._device = parameters[0].device.type
        self._scaler = None
        if dtype == torch.float16:
            self._scaler = torch.amp.GradScaler(self._device)
            # The scaler looks for gradients in an optimizer. This one makes no step.
            self._holder = torch.optim.SGD(list(parameters), lr=0.0)

    def lowered(self) -> AbstractContextManager:
        """For passes through the network."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, self._dtype)

    def full(self) -> AbstractContextManager:
        """For passes that are differentiated twice, within `lowered` or not."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, enabled=False)

    @property
    def factor(self) -> float:
        """Of losses; 1 but for float16."""
        return 1.0 if self._scaler is None else self._scaler.get_scale()

    def unscaled(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Gradients of scaled losses, divided; all None if one of them has overflowed."""
        if self._scaler is None or all(gradient is None for gradient in gradients):
            return list(gradients)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        before = self._scaler.get_scale()
        self._scaler.scale(torch.ones((), device=self._parameters[0].device))  # sets it up
        self._scaler.unscale_(self._holder)
        self._scaler.update()
        found = [parameter.grad for parameter in self._parameters]
        self._holder.zero_grad(set_to_none=True)
        return [None] * len(found) if self._scaler.get_scale() < before else found

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scaler is None else self._scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(state))


class _Module:
    """A module as a part of a player.

    Attributes:
        module: As it was given, in training mode.
        parameters: Those that require a gradient, in the order of the module.
        parameter_names: Theirs in the module.
    """

    def __init__(self, module: nn.Module, role: str, autocast: torch.dtype | None):
        self.module = module
        trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        self.parameters: list[Tensor] = list(trained.values())
        self.parameter_names = list(trained)
        if not self.parameters:
            raise ValueError(f"{role} has no parameter that requires a gradient: it cannot learn")
        self._precision = _Precision(autocast, self.parameters)

    def _call(self, *inputs: Any) -> Any:
        # Whoever looked at samples in between may have left it in evaluation mode.
        if not self.module.training:
            self.module.train()
        return self.module(*inputs)

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers, and the factor of losses in float16."""
        return {"module": dict(self.module.state_dict()), "scaler": self._precision.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.module.load_state_dict(state["module"])
        self._precision.load_state_dict(state["scaler"])


class AutogradGenerator(_Module):
    """A module that generates rows (`players.protocols.GeneratorPlayer`).

    Args:
        module: From what ``draw`` gives to a batch like the real ones: a tensor ``[rows, ...]``,
            or a named tuple with such in it. Parameters that require no gradient stay as they are.
        draw: From a real batch and the run's `torch.Generator` to the tuple of the module's
            inputs, on the generator's device; it may take labels out of the real batch. A number
            is the width of normal noise ``[rows, draw]``, the only input.
        autocast: `torch.bfloat16` or `torch.float16` for mixed precision (`torch.autocast`); None
            for none. float16 has a gradient scaler of its own, and leaves out steps whose
            gradients overflow.

    Raises:
        ValueError: The module has nothing to train, or ``autocast`` is another type.

    Example:
        >>> player = AutogradGenerator(nn.Linear(4, 2), 4)
        >>> generated = player.forward(torch.zeros(8, 2), torch.Generator().manual_seed(0))
        >>> player.rows(generated).shape
        torch.Size([8, 2])
        >>> pulls = Pulls(torch.ones(8, 2))
        >>> [gradient.tolist() for gradient in player.backward(generated, pulls)][1]
        [8.0, 8.0]
    """

    def __init__(
        self,
        module: nn.Module,
        draw: int | Callable[[Batch, torch.Generator], tuple],
        *,
        autocast: torch.dtype | None = None,
    ):
        super().__init__(module, "generator", autocast)
        if isinstance(draw, int):
            draw = _Noise(draw, self.parameters[0].dtype)
        self._draw = draw

    def fakes(self, reals: Sequence[Batch], random: torch.Generator) -> list[Batch]:
        """Rows for critics, without a graph: one pass beside each real batch.

        The module is in training mode as in its own step.
        """
        with torch.no_grad():
            return [self.rows(self.forward(real, random)) for real in reals]

    def given(self, real: Batch) -> Batch:
        """The real batch itself."""
        return real

    def forward(self, real: Batch, random: torch.Generator) -> Generated:
        """As many generated rows as real ones, with their graph.

        Raises:
            TypeError: ``draw`` gave no tuple, or the module gave no batch.
        """
        inputs = self._draw(real, random)
        if not isinstance(inputs, tuple):
            raise TypeError(
                "draw must give the tuple of the generator's inputs, got "
                f"{type(inputs).__name__}: write (noise,) for a single one"
            )
        with self._precision.lowered():
            rows = self._call(*inputs)
        return Generated(mapped(_full, rows), inputs)

    def rows(self, generated: Generated) -> Batch:
        """The generated rows, without a graph."""
        return mapped(Tensor.detach, generated.rows)

    def backward(self, generated: Generated, pulls: Pulls) -> list[Tensor | None]:
        """Gradients of `parameters`; None of one that the rows do not depend on.

        Raises:
            ValueError: A term pulls at parts that modules do not have (`Pulls.parts`).
        """
        if pulls.parts:
            raise ValueError(
                f"this generator has rows and parameters alone, got pulls at {list(pulls.parts)}"
            )
        factor, outputs, gradients = self._precision.factor, [], []

        def collect(rows: Tensor, pull: Tensor | None) -> None:
            if pull is not None and rows.requires_grad:
                outputs.append(rows)
                gradients.append(scaled(pull, factor))

        mapped(collect, generated.rows, pulls.rows)
        found: Sequence[Tensor | None] = [None] * len(self.parameters)
        if outputs:
            found = torch.autograd.grad(outputs, self.parameters, gradients, allow_unused=True)
        if pulls.parameters is not None:
            found = added(list(found), scaled(list(pulls.parameters), factor))
        return self._precision.unscaled(found)

    def gradients_of(self, loss: Tensor) -> list[Tensor | None]:
        """Gradients of a loss at `parameters`, for terms; the graph can be used again.

        Args:
            loss: A scalar that was made of what `forward` gave.
        """
        factor = self._precision.factor
        found = torch.autograd.grad(
            scaled(loss, factor), self.parameters, retain_graph=True, allow_unused=True
        )
        return scaled(list(found), 1 / factor)

    def refresh(self) -> None:
        """Nothing is kept of the weights."""


class AutogradCritic(_Module):
    """A module that scores rows (`players.protocols.CriticPlayer`).

    Penalties are those of single rows: the norm of the gradient over all elements of all floating
    parts of a row together. Integer parts stand at interpolates as in the real row.

    Args:
        module: From a batch to scores ``[rows]`` or ``[rows, 1]``: logits, without a sigmoid.
            Parameters that require no gradient stay as they are.
        view: What the module reads of a batch, if not the batch itself; without a graph.
        autocast: As for `AutogradGenerator`. Penalties are computed in float32.

    Raises:
        ValueError: The module has nothing to train, or ``autocast`` is another type.

    Example:
        >>> from sdv_wgangp.objectives.adversarial import objective
        >>> player = AutogradCritic(nn.Linear(2, 1))
        >>> real, fake = torch.zeros(8, 2), torch.ones(8, 2)
        >>> gradients, losses = player.step(
        ...     objective("wgan-gp"), 0, real, fake, torch.Generator().manual_seed(0)
        ... )
        >>> losses.names, len(gradients)
        (('loss', 'penalty'), 2)
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        view: View | None = None,
        autocast: torch.dtype | None = None,
    ):
        super().__init__(module, "critic", autocast)
        self._view: View = _Itself() if view is None else view

    def check(self, objective: Objective) -> None:
        """Refuse an objective that is not for this module.

        Raises:
            ValueError: There is a gradient penalty, and the module has batch normalisation.
        """
        if objective.penalty_at(0)[0] != "none":
            self._check_rows_are_apart()

    def step(
        self, objective: Objective, step: int, real: Batch, fake: Batch, random: torch.Generator
    ) -> tuple[list[Tensor | None], Losses]:
        """Gradients of `parameters`, and the losses "loss" and "penalty" (with its weight).

        Args:
            objective: Losses of the scores, and the penalty.
            step: Critic steps made before.
            real, fake: Batches of one structure, ``[rows, ...]`` each part.
            random: Of the interpolates, one epsilon for each row that the module reads.

        Raises:
            ValueError: Scores are not one a row, or no logits; or there is batch normalisation
                under a gradient penalty.
        """
        kind, weight = objective.penalty_at(step)
        if kind != "none":
            self._check_rows_are_apart()
        real, fake = (mapped(Tensor.detach, self._view(rows)) for rows in (real, fake))
        epsilon = None
        if kind in PENALTIES_BETWEEN:
            epsilon = torch.rand(row_count(real), 1, device=random.device, generator=random)
        self.module.zero_grad(set_to_none=True)
        with self._precision.lowered():
            of_fake, of_real = self._scores(fake), self._scores(real)
        loss = objective.critic_loss(of_real, of_fake)
        with self._precision.full(), _twice_differentiable(self.module, random.device.type):
            cost = batch_penalty(self._scores, real, fake, epsilon, weight, kind)
        scaled(loss + cost, self._precision.factor).backward()
        gradients = self._precision.unscaled([each.grad for each in self.parameters])
        return gradients, Losses(("loss", "penalty"), torch.stack([loss.detach(), cost.detach()]))

    def pull(
        self, objective: Objective, fake: Batch, real: Batch, random: torch.Generator
    ) -> tuple[Tensor, Batch]:
        """The generator's loss, a scalar, and its gradient at the generated rows.

        Integer parts, and what the scores do not depend on, have None for a gradient.
        """
        rows = as_leaves(self._view(fake))
        with self._precision.lowered():
            of_fake, of_real = self._scores(rows), None
            if objective.paired:
                with torch.no_grad():
                    of_real = self._scores(self._view(real))
        loss = objective.generator_loss(of_fake, of_real)
        factor = self._precision.factor
        gradient = gradient_at(scaled(loss, factor), rows)
        return loss.detach(), self._view.back(scaled(gradient, 1 / factor), fake)

    def _scores(self, batch: Batch) -> Tensor:
        """One a row, ``[rows]``, float32 or float64."""
        scores, rows = self._call(batch), row_count(batch)
        if not isinstance(scores, Tensor) or scores.shape not in ((rows,), (rows, 1)):
            shape = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"critic must give one score a row, [{rows}] or [{rows}, 1], got {shape}"
            )
        last = scores.grad_fn
        while last is not None and last.name().split("Backward")[0] in _SHAPED:
            last = last.next_functions[0][0]
        if last is not None and last.name() in _SQUASHED:
            raise ValueError(
                f"critic ends in {_SQUASHED[last.name()]}: its scores must be logits; leave it out"
            )
        return _full(scores.squeeze(1) if scores.dim() == 2 else scores)

    def _check_rows_are_apart(self) -> None:
        for name, layer in self.module.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                raise ValueError(
                    f"critic has batch normalisation ({name or type(layer).__name__}), through "
                    "which rows influence each other: a gradient penalty is on the gradient of "
                    "each row alone; use layer normalisation (nn.LayerNorm, nn.GroupNorm), or an "
                    "objective without penalty"
                )


def batch_penalty(
    critic: Callable[[Batch], Tensor],
    real: Batch,
    fake: Batch,
    epsilon: Tensor | None,
    weight: float,
    kind: str,
) -> Tensor:
    """`objectives.gradient_penalty.critic_penalty` for batches of any structure.

    The norm of a row's gradient is over all elements of all its floating parts together. These are
    interpolated with the same epsilon; integers are the real row's.

    Args:
        critic: Maps a batch to scores ``[rows]``. Rows must not influence each other.
        real, fake: Batches of one structure; floating parts are float32 or float64.
        epsilon: ``[rows, 1]`` in [0, 1]; None for penalties without interpolates.
        weight: The paper's lambda, finite and not negative.
        kind: One of `objectives.gradient_penalty.PENALTIES`.

    Returns:
        The penalty, a scalar with a graph to the critic's parameters.

    Raises:
        ValueError: If the kind is unknown, epsilon is missing, or nothing in a row is floating.
        RuntimeError: Names the argument whose shape or dtype is wrong.
    """
    if isinstance(real, Tensor):
        epsilon = None if epsilon is None else epsilon.to(real.dtype)
        return critic_penalty(critic, real, fake, epsilon, weight, kind)
    if not any(leaf.is_floating_point() for leaf in leaves(real)):
        raise ValueError("a gradient penalty needs a floating part in the rows, got integers only")
    flat = _flattened(real), _flattened(fake)
    epsilon = None if epsilon is None else epsilon.to(flat[0].dtype)
    total = flat[0].new_zeros(())
    for part in kind.split("+"):
        rest = fake if part == "r2" else real

        def of_flat(rows: Tensor, rest: Batch = rest) -> Tensor:
            return critic(_unflattened(rows, rest))

        total = total + critic_penalty(of_flat, *flat, epsilon, weight, part)
    return total


def _flattened(batch: Batch) -> Tensor:
    """All floating parts of a batch side by side, ``[rows, elements]``."""
    floating = [leaf for leaf in leaves(batch) if leaf.is_floating_point()]
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in floating], 1)


def _unflattened(flat: Tensor, batch: Batch) -> Batch:
    """The batch, with its floating parts taken from ``flat``."""
    begin = 0

    def part(leaf: Tensor) -> Tensor:
        nonlocal begin
        if not leaf.is_floating_point():
            return leaf
        begin, end = begin + leaf[0].numel(), begin
        return flat[:, end:begin].reshape(leaf.shape).to(leaf.dtype)

    return mapped(part, batch)


def _full(tensor: Tensor) -> Tensor:
    """Half precision as float32."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _twice_differentiable(module: nn.Module, device: str) -> AbstractContextManager:
    """For a forward pass whose gradient has a gradient: cuDNN's recurrent layers have none."""
    recurrent = device == "cuda" and any(
        isinstance(layer, nn.RNNBase) for layer in module.modules()
    )
    return torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext()


class _Noise:
    """Normal noise ``[rows, width]`` as the only input of a generator."""

    def __init__(self, width: int, dtype: torch.dtype):
        if width < 1:
            raise ValueError(f"noise must have a width of 1 or more, got {width}")
        self._width, self._dtype = width, dtype

    def __call__(self, real: Batch, random: torch.Generator) -> tuple[Tensor]:
        shape = row_count(real), self._width
        return (torch.randn(shape, device=random.device, dtype=self._dtype, generator=random),)
