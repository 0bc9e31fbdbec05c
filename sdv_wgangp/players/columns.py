"""The generator of tables, by compiled closed forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.networks.generator import Conditions, Generator
from sdv_wgangp.networks.passes import Generated, TrainingPass
from sdv_wgangp.networks.views import Views
from sdv_wgangp.players.given_cells import ConditionSampler
from sdv_wgangp.players.protocols import Pulls
from sdv_wgangp.players.rows import Rows, require_conditions


class TableRows:
    """What generators of tables have in common: conditions, and what critics are shown.

    Args:
        generator, views: The networks, on the device of the training.
        layout: The table's layout.
        conditions: Draws the cells that are given; None where none are.
    """

    def __init__(
        self,
        generator: Generator,
        views: Views,
        layout: Layout,
        conditions: ConditionSampler | None,
    ):
        self.network, self.views, self.layout, self.conditions = (
            generator, views, layout, conditions
        )  # fmt: skip
        self.parameters: list[Tensor] = list(generator.parameters())
        self.parameter_names = [name for name, _ in generator.named_parameters()]
        self.columns = layout.columns

    def show(self, levels: Tensor, positions: Tensor, conditions: Conditions | None) -> Rows:
        """Generated rows as critics read them, who know what was given."""
        return self.with_channels(Rows(levels, self.views(levels, positions)), conditions)

    def show_real(self, levels: Tensor, positions: Tensor, conditions: Conditions | None) -> Rows:
        """The same of encoded rows."""
        dense = self.views.of_resolved(levels, positions)
        return self.with_channels(Rows(levels, dense), conditions)

    def with_channels(self, rows: Rows, conditions: Conditions | None) -> Rows:
        """Rows with a channel for every column that may be given.

        Raises:
            ValueError: Cells are given, and the player has no sampler of conditions.
        """
        if conditions is None:
            return rows
        if self.conditions is None:
            raise ValueError("rows have given cells, but the player was made without conditions")
        channels = self.conditions.channels(conditions.fixed, len(rows.dense))
        return Rows(rows.levels, torch.cat([rows.dense, channels], 1), conditions)

    def given(self, real: Rows) -> Rows:
        """Conditional rows in pairs: two generated rows for each of half of the real ones.

        What both have in common is given; what they differ in tells the distribution
        (`objectives.conditional`).
        """
        if real.conditions is None:
            return real
        count = real.conditions.rows
        return Rows(
            torch.cat([_in_pairs(real.levels[:count]), real.levels[count:]]),
            torch.cat([_in_pairs(real.dense[:count]), real.dense[count:]]),
            Conditions(*(_in_pairs(part) for part in real.conditions)),
        )

    def draw(self, rows: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noise, jitter, and the uniform numbers that choose the levels."""
        noise, jitter = self.network.draw(rows, random)
        uniforms = torch.rand(rows, self.columns, device=random.device, generator=random)
        return noise, jitter, uniforms

    def state_dict(self) -> dict[str, Any]:
        """Of the network."""
        return {"module": dict(self.network.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.network.load_state_dict(state["module"])


class ColumnGenerator(TableRows):
    """A `Generator` whose passes run in compiled operators (`networks.passes`).

    Parts of a pull: "conditions", at what is added for given cells, one tensor for each block.

    Args:
        generator, views, layout, conditions: See `TableRows`.
        bfloat16: Whether products are done in bfloat16.
    """

    def __init__(
        self,
        generator: Generator,
        views: Views,
        layout: Layout,
        conditions: ConditionSampler | None = None,
        bfloat16: bool = False,
    ):
        super().__init__(generator, views, layout, conditions)
        device = generator.logits.weight.device
        self.passes = TrainingPass(generator, layout.offsets.to(device), bfloat16)

    def fakes(self, reals: Sequence[Rows], random: torch.Generator) -> list[Rows]:
        """One pass serves all critic steps: conditional rows of all come first, then others."""
        steps, batch = len(reals), len(reals[0].levels)
        conditions, first = None, 0
        if reals[0].conditions is not None:
            parts = zip(*(real.conditions for real in reals), strict=True)
            conditions = Conditions(*(torch.cat(part) for part in parts))
            first = reals[0].conditions.rows
        drawn = self.draw(steps * batch, random)
        levels, positions = self.passes.draw(*drawn, conditions)
        dense = self.views(levels, positions)
        fakes = []
        for step, real in enumerate(reals):
            place = step, steps, batch, first
            own = Rows(_of_step(levels, *place), _of_step(dense, *place))
            fakes.append(self.with_channels(own, real.conditions))
        return fakes

    def forward(self, real: Rows, random: torch.Generator) -> Generated:
        """See `players.protocols.GeneratorPlayer`.

        Raises:
            FloatingPointError: The logits are no distribution.
        """
        drawn = self.draw(len(real.levels), random)
        return self.passes.forward(*drawn, real.conditions)

    def rows(self, generated: Generated) -> Rows:
        """See `players.protocols.GeneratorPlayer`."""
        return self.show(generated.levels, generated.positions, generated.conditions)

    def backward(self, generated: Generated, pulls: Pulls) -> list[Tensor]:
        """See `players.protocols.GeneratorPlayer`."""
        to_dense = pulls.rows.dense[:, : self.views.width]
        to_codes = pulls.rows.levels.to(self.passes.dtype)
        to_positions, slopes = self.views.backward(
            to_dense, generated.levels, generated.positions, to_codes
        )
        self.passes.backward(
            generated,
            to_codes,
            to_positions,
            slopes,
            self.views.lookups,
            pulls.parts.get("conditions"),
        )
        return self.passes.gradients

    def conditions_pull(
        self, generated: Generated, rows: int, to_logits: Tensor, to_dense: Tensor
    ) -> list[Tensor]:
        """A gradient that only what is added for given cells shall follow, as a part of `Pulls`.

        Args:
            generated: What `forward` gave; it stays as it is.
            rows: The first so many of its rows are concerned, all of them conditional.
            to_logits: At their logits ``[rows, levels]``.
            to_dense: At their dense channels ``[rows, channels]``.

        Raises:
            ValueError: Some of the rows are not conditional.
        """
        conditions = require_conditions(rows, generated.conditions)
        to_positions, slopes = self.views.backward(
            to_dense, generated.levels[:rows], generated.positions[:rows]
        )
        slopes.masked_fill_(conditions.fixed[:rows], 0)
        return self.passes.backward_of_conditions(
            generated, to_logits, to_positions, slopes, self.views.lookups
        )

    def refresh(self) -> None:
        """See `players.protocols.GeneratorPlayer`."""
        self.passes.refresh()


def _of_step(part: Tensor, step: int, steps: int, batch: int, first: int) -> Tensor:
    """The batch of a critic step: those of conditional rows come first, then all others."""
    if not first:
        return part[step * batch : (step + 1) * batch]
    plain = batch - first
    begin = first * steps + step * plain
    return torch.cat([part[step * first : (step + 1) * first], part[begin : begin + plain]])


def _in_pairs(rows: Tensor) -> Tensor:
    """The first half of some rows twice: row ``i`` and row ``i + len(rows) // 2`` are the same.

    Of an odd number the last row stays by itself.
    """
    half = len(rows) // 2
    return torch.cat([rows[:half], rows[:half], rows[2 * half :]])
