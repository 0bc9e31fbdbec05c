"""What else pulls at a table's generated rows: meta-features, and scores of conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.conditional import code_score, rank_score
from sdv_wgangp.objectives.matching import Batch, MetaFeatureObjective
from sdv_wgangp.players.protocols import GeneratorPlayer, Losses, Pulls, Term
from sdv_wgangp.players.rows import Rows, RowsGradient, one_hot, require_conditions


def as_features_read(rows: Rows, views: Views, levels: int, codes: bool) -> Batch:
    """Rows as meta-features read them, with one-hot codes where these are wanted."""
    return Batch(views.ordering(rows.dense), one_hot(rows.levels, levels) if codes else None)


class MetaFeatures(Term[GeneratorPlayer]):
    """Statistics of generated rows are to be those of the training table.

    Conditional rows need not follow the table's distribution: the plain ones, behind them, tell.

    Args:
        objective: What is matched, and how.
        views: Knows the ordering channels.
        levels: Number of levels of a row.
        codes: Whether a statistic reads one-hot codes.
        first: Plain rows begin here.
    """

    def __init__(
        self, objective: MetaFeatureObjective, views: Views, levels: int, codes: bool, first: int
    ):
        self.objective, self.views, self.levels, self.codes = objective, views, levels, codes
        self.plain = slice(first, None)
        names = (f"meta_features/{name}" for name in objective.names)
        self.names = ("generator/meta_features", *names)

    def advance(self, phase: float) -> None:
        """See `players.protocols.Term`."""
        self.objective.advance(phase)

    def pull(
        self, player: GeneratorPlayer, generated: Any, fake: Rows, real: Rows
    ) -> tuple[Losses, Pulls]:
        """See `players.protocols.Term`."""
        found = self.objective.loss(
            self._read(fake), self._read(real) if self.objective.needs_real else None
        )
        to_dense = torch.zeros_like(fake.dense)
        if found.gradient.channels is not None:
            self.views.ordering(to_dense)[self.plain] += found.gradient.channels
        to_codes = None
        if found.gradient.codes is not None:
            to_codes = found.gradient.codes
            if self.plain.start:
                zeros = to_codes.new_zeros(self.plain.start, self.levels)
                to_codes = torch.cat([zeros, to_codes])
        values = torch.cat([found.loss[None], found.distances])
        return Losses(self.names, values), Pulls(RowsGradient(to_codes, to_dense))

    def statistics(self, rows: Rows) -> dict[str, Tensor]:
        """Each meta-feature of the plain rows of a batch, by its name, without a graph."""
        return self.objective.statistics(self._read(rows))

    def _read(self, rows: Rows) -> Batch:
        plain = Rows(rows.levels[self.plain], rows.dense[self.plain])
        return as_features_read(plain, self.views, self.levels, self.codes)

    def state_dict(self) -> dict[str, Any]:
        """The moving averages."""
        return self.objective.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self.objective.load_state_dict(state)


class LogitPass(Protocol):
    """What the forward pass of a `ConditionalPlayer` gave.

    Attributes:
        logits: Without their bias, ``[rows, levels]``.
    """

    logits: Tensor


class ConditionalPlayer(Protocol):
    """The player of a table's generator that reads given cells (`players.columns`)."""

    network: Generator
    views: Views

    def conditions_pull(
        self, generated: Any, rows: int, to_logits: Tensor, to_dense: Tensor
    ) -> Sequence[Tensor | None]:
        """A gradient that only what is added for given cells shall follow: "conditions"."""


class ConditionalScores(Term[ConditionalPlayer]):
    """Proper scores of the free cells of conditional rows (`objectives.conditional`).

    Only the weights of given levels follow: single real codes are noisy, and the weights that
    plain rows live by learn from the critic alone.

    Args:
        offsets: The columns' blocks of levels, ``[columns + 1]``, on the device.
        ordered: Columns with an order, on the device.
        rows: Conditional rows in a batch; they come in pairs (`players.columns`).
        weight: Factor of the scores' mean over the batch.
        batch_size: Rows in a batch.
    """

    def __init__(
        self, offsets: Tensor, ordered: Tensor, rows: int, weight: float, batch_size: int
    ):
        self.offsets, self.ordered = offsets, ordered
        self.pairs, self.weight = rows // 2, weight / batch_size

    def pull(
        self, player: ConditionalPlayer, generated: LogitPass, fake: Rows, real: Rows
    ) -> tuple[Losses, Pulls]:
        """See `players.protocols.Term`."""
        pairs, weight, views = self.pairs, self.weight, player.views
        rows = 2 * pairs
        fixed = require_conditions(pairs, real.conditions).fixed[:pairs]
        logits = generated.logits[:rows] + player.network.logits.bias
        score, to_logits = code_score(
            logits.unflatten(0, (2, pairs)), real.levels[:pairs], fixed, self.offsets
        )
        ranks = views.ordering(fake.dense)[:rows].unflatten(0, (2, pairs))
        of_ranks, to_ranks = rank_score(
            ranks,
            views.ordering(real.dense)[:pairs],
            fixed.index_select(1, self.ordered),
        )
        to_dense = torch.zeros(rows, views.width, device=fake.dense.device)
        views.ordering(to_dense).copy_(to_ranks.flatten(0, 1))
        pulled = player.conditions_pull(
            generated, rows, weight * to_logits.flatten(0, 1), to_dense * weight
        )
        losses = Losses(("generator/conditional",), (weight * (score + of_ranks))[None])
        return losses, Pulls(parts={"conditions": pulled})
