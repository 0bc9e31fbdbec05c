"""A controller that keeps every level of a table alive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.players.protocols import GeneratorPlayer, Losses, Pulls, Term
from sdv_wgangp.players.rows import Rows


class MarginalControl(Term[GeneratorPlayer]):
    """Moves the biases of the logits towards the marginals of the training table.

    Rows are made of hard samples, and a level that is never drawn has no gradient that could bring
    it back: its logit stays where it is, for good. So the levels of plain rows are counted, and
    every few steps the bias of level ``l`` is moved by

        gain * log((f_l + floor) / (p_l + floor)),

    at most ``largest_move``, with the training frequency ``f_l`` and the drawn frequency ``p_l``:
    an integral controller of the marginals (Åström and Hägglund, "Advanced PID control", 2006,
    section 3.2; of log-odds, as the logit adjustment of Menon et al. 2021, "Long-tail learning via
    logit adjustment", equation 9). It follows the learning rates: with them it comes to rest.

    Conditional rows need not follow the table's distribution and are not counted.

    Args:
        generator: Whose biases are moved.
        frequencies: Of the levels in the training table, ``[levels]``, on the device.
        first: Plain rows of a batch begin here.
        gain: Factor of a move; 0 moves nothing.
        interval: Steps from one move to the next.
        memory: Part of the counts that is kept from one move to the next, in [0, 1).
        floor: Added to both frequencies.
        largest_move: Bound of a move.
        optimizer: The generator's. While its ``base_rate`` is 0 the generator rests, and so do its
            biases; None: they never do.

    Example:
        >>> from sdv_wgangp.encoding.layout import Layout
        >>> from sdv_wgangp.encoding.table import TableEncoder
        >>> import pandas as pd
        >>> layout = Layout.of(TableEncoder(["a"]).fit(pd.DataFrame({"a": ["x", "y"] * 50})))
        >>> generator = Generator(4, [8], layout, torch.Generator().manual_seed(0))
        >>> before = generator.logits.bias.detach().clone()
        >>> control = MarginalControl(generator, layout.frequencies, first=0, interval=1)
        >>> drawn = Rows(torch.zeros(100, 1, dtype=torch.int64), torch.zeros(100, 0))
        >>> control.advance(0.0)  # a step begins
        >>> _ = control.pull(None, None, drawn, drawn)  # "y" is not drawn in it
        >>> control.advance(0.0)
        >>> [round(move, 2) for move in (generator.logits.bias.detach() - before).tolist()]
        [-0.21, 0.5]
    """

    names = ("marginals/total_variation",)

    def __init__(
        self,
        generator: Generator,
        frequencies: Tensor,
        first: int,
        *,
        gain: float = 0.3,
        interval: int = 10,
        memory: float = 0.5,
        floor: float = 1e-4,
        largest_move: float = 0.5,
        optimizer: Any = None,
    ):
        self._bias = generator.logits.bias
        self._wanted, self._first = frequencies, first
        self.gain, self.interval, self.memory = gain, interval, memory
        self.floor, self.largest_move = floor, largest_move
        self._optimizer = optimizer
        self._columns = float(frequencies.sum())
        # On the device, in always the same memory: a graph of the step counts there, too.
        self._drawn = torch.zeros_like(frequencies)
        self._rows = torch.zeros((), device=frequencies.device)
        self._steps = 0

    def advance(self, phase: float) -> None:
        """See `players.protocols.Term`."""
        self._steps += 1
        if self._steps <= self.interval:
            return
        self._steps = 1
        if self._optimizer is not None and not self._optimizer.base_rate:
            return
        gain = self.gain * min(1.0, 2 * (1 - phase))
        drawn = self._drawn / self._rows.clamp_min(1)
        moves = ((self._wanted + self.floor) / (drawn + self.floor)).log() * gain
        self._bias.data.add_(moves.clamp(-self.largest_move, self.largest_move))
        self._drawn *= self.memory
        self._rows *= self.memory

    def pull(
        self, player: GeneratorPlayer, generated: Any, fake: Rows, real: Rows
    ) -> tuple[Losses, Pulls]:
        """See `players.protocols.Term`: it counts, and pulls at nothing."""
        levels = fake.levels[self._first :]
        ones = torch.ones((), device=levels.device).expand(levels.numel())
        self._drawn.index_add_(0, levels.flatten(), ones)
        self._rows += len(levels)
        drawn = self._drawn / self._rows
        apart = (drawn - self._wanted).abs().sum() / (2 * self._columns)
        return Losses(self.names, apart[None]), Pulls()

    def state_dict(self) -> dict[str, Any]:
        """The counts."""
        return {"drawn": self._drawn, "rows": self._rows, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._drawn.copy_(state["drawn"])
        self._rows.copy_(state["rows"])
        self._steps = state["steps"]
