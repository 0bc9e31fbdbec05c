"""The generator of tables, by automatic differentiation.

The forward pass draws exact levels; backward, the gradient of ReinMax (Liu et al. 2023, algorithm
2) passes through them. It is what `players.columns` does in closed form, for any module with the
methods of `networks.generator.Generator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdv_wgangp import ops
from sdv_wgangp.networks.generator import Conditions
from sdv_wgangp.players.columns import TableRows
from sdv_wgangp.players.protocols import Pulls, added
from sdv_wgangp.players.rows import Rows, require_conditions


@dataclass
class Drawn:
    """Rows that were drawn, with the graph that they were drawn from.

    Attributes:
        levels, positions: See `players.rows.Rows`; ``positions`` ``[rows, positions]``.
        logits: Without their bias, as `objectives.conditional` reads them; without a graph.
        at_logits, at_positions: The same with a graph.
        noise, jitter: What the rows were generated from.
        conditions: Cells that are given, if any.
    """

    levels: Tensor
    positions: Tensor
    logits: Tensor
    at_logits: Tensor
    at_positions: Tensor
    noise: Tensor
    jitter: Tensor
    conditions: Conditions | None


class AutogradColumnGenerator(TableRows):
    """See `players.columns.ColumnGenerator`; it has the same part of a pull, "conditions"."""

    def fakes(self, reals: Sequence[Rows], random: torch.Generator) -> list[Rows]:
        """One pass beside each real batch."""
        with torch.no_grad():
            return [self.rows(self.forward(real, random)) for real in reals]

    def forward(self, real: Rows, random: torch.Generator) -> Drawn:
        """See `players.protocols.GeneratorPlayer`."""
        noise, jitter, uniforms = self.draw(len(real.levels), random)
        self.network.train()
        logits, positions = self.network(noise, jitter, real.conditions)
        offsets = self.layout.offsets.to(logits.device)
        if not torch.isfinite(logits).all():
            raise FloatingPointError("the generator's logits are not finite")
        levels = ops.column_sample(logits.detach(), uniforms, offsets) + offsets[:-1]
        if real.conditions is not None:
            real.conditions.impose(levels)
        plain = logits.detach() - self.network.logits.bias.detach()
        return Drawn(
            levels, positions.detach(), plain, logits, positions, noise, jitter, real.conditions
        )

    def rows(self, generated: Drawn) -> Rows:
        """See `players.protocols.GeneratorPlayer`."""
        return self.show(generated.levels, generated.positions, generated.conditions)

    def backward(self, generated: Drawn, pulls: Pulls) -> list[Tensor | None]:
        """See `players.protocols.GeneratorPlayer`."""
        to_logits, to_positions = self._at_heads(
            generated,
            pulls.rows.levels.float(),
            pulls.rows.dense[:, : self.views.width],
        )
        found = self._gradients(
            (generated.at_logits, generated.at_positions), (to_logits, to_positions)
        )
        for index, own in zip(self._followers(), pulls.parts.get("conditions", ()), strict=False):
            found[index] = added(found[index], own)
        return found

    def conditions_pull(
        self, generated: Drawn, rows: int, to_logits: Tensor, to_dense: Tensor
    ) -> list[Tensor | None]:
        """See `players.columns.ColumnGenerator.conditions_pull`: gradients of the blocks' weights
        of given levels, for which the statistics of the batch are constants."""
        conditions = require_conditions(rows, generated.conditions)
        features = generated.noise
        for block in self.network.body:
            z = block.linear(features)
            if (given := block.given(conditions)) is not None:
                z = torch.cat([z[: len(given)] + given, z[len(given) :]])
            variance, mean = torch.var_mean(z.detach(), 0, correction=0)
            normal = (z - mean) * (variance + block.norm.eps).rsqrt()
            out = torch.relu(normal * block.norm.weight + block.norm.bias)
            features = torch.cat([out, features], 1)
        first = Drawn(
            generated.levels[:rows],
            generated.positions[:rows],
            generated.logits[:rows],
            self.network.logits(features[:rows]),
            self.network.place(features[:rows], generated.jitter[:rows]),
            generated.noise[:rows],
            generated.jitter[:rows],
            Conditions(*(part[:rows] for part in conditions)),
        )
        zeros = torch.zeros_like(to_logits)
        at_logits, at_positions = self._at_heads(first, zeros, to_dense)
        # What is given was not drawn, but its score counts elsewhere: `to_logits` as it is.
        found = self._gradients(
            (first.at_logits, first.at_positions), (at_logits + to_logits, at_positions)
        )
        return [found[index] for index in self._followers()]

    def _at_heads(
        self, generated: Drawn, to_codes: Tensor, to_dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Gradients at logits and positions, from those at codes and dense channels."""
        offsets = self.layout.offsets.to(to_codes.device)
        to_codes = to_codes.clone()
        to_positions, slopes = self.views.backward(
            to_dense, generated.levels, generated.positions, to_codes
        )
        index = torch.repeat_interleave(
            torch.arange(self.columns, device=to_codes.device), offsets.diff()
        )
        at_codes = to_codes + (slopes[:, :, index] * self.views.lookups[:, None]).sum(0)
        logits = generated.at_logits.detach()
        nothing = torch.zeros_like(logits)
        soft, _ = ops.column_softmax(logits, nothing, offsets, 1.0)
        hard = nothing.scatter(1, generated.levels, 1.0)
        middle = (soft + hard) / 2
        to_logits = 2 * ops.column_softmax_backward(at_codes, middle, offsets, 1.0)
        to_logits -= ops.column_softmax_backward(at_codes, soft, offsets, 1.0) / 2
        if generated.conditions is not None:
            own = generated.conditions.fixed.index_select(1, index)
            to_logits[: len(own)].masked_fill_(own, 0)
        return to_logits, to_positions

    def _gradients(
        self, ends: tuple[Tensor, Tensor], at_ends: tuple[Tensor, Tensor]
    ) -> list[Tensor | None]:
        pairs = [pair for pair in zip(ends, at_ends, strict=True) if pair[0].requires_grad]
        return list(
            torch.autograd.grad(
                [end for end, _ in pairs],
                self.parameters,
                [at_end for _, at_end in pairs],
                allow_unused=True,
            )
        )

    def _followers(self) -> list[int]:
        """Places among the parameters of the weights of given levels."""
        return [
            index for index, name in enumerate(self.parameter_names) if name.endswith("condition")
        ]

    def refresh(self) -> None:
        """Nothing was made from the weights."""
