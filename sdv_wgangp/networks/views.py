"""What the critic sees of a row beside its codes: positions, ranks, whitened ranks."""

from __future__ import annotations

import math

import torch
from torch import nn

from sdv_wgangp.encoding.copies import Resolved
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.ops import ViewTables, row_views, row_views_backward


class Views(nn.Module):
    """Dense channels of a row, shape ``[rows, width]``, and the gradient back through them.

    1. the position inside the bin, of columns that have both bins and other codes;
    2. the ordering channel of every ordered column: the rank of its value in the column, from 0
       to 1, which gives one-hot codes their order back;
    3. with ``whiten``, the normal scores of the columns with positions and without missing
       values, if they are several, times the inverse root of their covariance in the training
       table, clamped: rows that break a near-linear dependence lie far out here, however small
       the violation. (Between a score in the tails and that of "missing", 0, the gradient at a
       code, which is the slope there, says nothing of the difference: generators lost all values
       of such a column, or all missing ones.)

    Args:
        layout: The table's layout.
        whiten: Whether to add the third kind. Needs `fit_whitening` before the first use.
        clamp: Bound of the whitened channels.
        floor: Of the variances, in units of the largest: directions with less are not blown up
            more than that.
        margin: Ranks are kept off 0 and 1 by this much before they become normal scores (by
            default these are below 3.9).
    """

    tables: torch.Tensor
    binned: torch.Tensor
    ordered: torch.Tensor
    scored: torch.Tensor
    whitening: torch.Tensor

    def __init__(
        self,
        layout: Layout,
        whiten: bool = True,
        *,
        clamp: float = 4.0,
        floor: float = 1e-4,
        margin: float = 5e-5,
    ):
        super().__init__()
        self.clamp, self.floor, self.margin = clamp, floor, margin
        widths = layout.offsets.diff()
        positioned = layout.positioned
        place = torch.full((layout.columns,), -1)
        place[positioned] = torch.arange(len(positioned))
        shown = positioned[widths[positioned] > 1]
        among_ordered = torch.full((layout.columns,), -1)
        among_ordered[layout.ordered] = torch.arange(len(layout.ordered))
        full = positioned[~torch.isin(positioned, layout.missing)]
        scored = among_ordered[full] if whiten and len(full) > 1 else place[:0]
        for name, tensor in (
            ("tables", torch.cat([layout.ranks.T, layout.has_position[None].float()])),
            ("binned", torch.stack([place[shown], shown], 1)),
            ("ordered", torch.stack([layout.ordered, place[layout.ordered]], 1)),
            ("scored", scored),
            ("whitening", torch.zeros(len(scored), len(scored))),
        ):
            self.register_buffer(name, tensor.contiguous(), persistent=False)
        self.copies = layout.copies
        self._last: tuple[torch.Tensor, torch.Tensor, Resolved] | None = None
        self.width = len(self.binned) + len(self.ordered) + len(scored)

    @property
    def known(self) -> ViewTables:
        """What the operators have to know of the table."""
        return ViewTables(
            self.tables,
            self.binned,
            self.ordered,
            self.scored,
            self.whitening,
            self.margin,
            self.clamp,
        )

    @property
    def lookups(self) -> torch.Tensor:
        """First rank and span of every level, ``[2, levels]``: what codes look up."""
        return self.tables[:2]

    @torch.no_grad()
    def fit_whitening(self, levels: torch.Tensor, positions: torch.Tensor) -> None:
        """Set the whitening matrix from rows of the training table (see `forward`)."""
        count = len(self.scored)
        if not count:
            return
        plain = self.known._replace(
            whitening=torch.eye(count, dtype=self.tables.dtype, device=self.tables.device),
            clamp=math.inf,
        )
        scores = row_views(levels, positions, plain)[:, -count:].double()
        scores = scores - scores.mean(0)
        covariance = scores.T @ scores / max(len(scores) - 1, 1)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(self.floor * values[-1].clamp_min(1e-12))
        self.whitening.copy_((vectors * values.rsqrt()) @ vectors.T)

    def forward(self, levels: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Dense channels, shape ``[rows, width]``, without a graph.

        Args:
            levels: Level of every cell, shape ``[rows, columns]``, int64.
            positions: Shape ``[rows, positions]`` in [0, 1].
        """
        resolved = self._resolved(levels, positions)
        return self.of_resolved(levels, resolved.positions if resolved else positions)

    def of_resolved(self, levels: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The same of rows whose copies have the rank of their value as a position: encoded ones.

        Args:
            levels, positions: As of `forward`.
        """
        return row_views(levels, positions, self.known)

    def backward(
        self,
        gradient: torch.Tensor,
        levels: torch.Tensor,
        positions: torch.Tensor,
        to_codes: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient at the positions, and at the `lookups` of every cell.

        Args:
            gradient: At the dense channels, shape ``[rows, width]``.
            levels, positions: The rows.
            to_codes: A gradient at the one-hot codes, ``[rows, levels]``, to which is added, in
                place, what the rank of a copy differs from what its level looks up.

        Returns:
            ``[rows, positions]`` and ``[2, rows, columns]``.
        """
        resolved = self._resolved(levels, positions)
        if resolved is None:
            return row_views_backward(gradient, levels, positions, self.known)
        to_positions, slopes = row_views_backward(gradient, levels, resolved.positions, self.known)
        self._follow_copies(resolved, levels, to_positions, slopes, to_codes)
        return to_positions, slopes

    def _resolved(self, levels: torch.Tensor, positions: torch.Tensor) -> Resolved | None:
        if self.copies is None:
            return None
        # The generator's rows are looked at forward, and again on the way back.
        if self._last is None or self._last[0] is not levels or self._last[1] is not positions:
            if self.copies.levels.device != self.tables.device:
                self.copies = self.copies.to(self.tables.device)
            self._last = levels, positions, self.copies.resolve(levels, positions, self.lookups)
        return self._last[2]

    def _follow_copies(
        self,
        resolved: Resolved,
        levels: torch.Tensor,
        to_positions: torch.Tensor,
        slopes: torch.Tensor,
        to_codes: torch.Tensor | None,
    ) -> None:
        """Bring the gradient at the rank of a copied cell to the cell that it is a copy of.

        In place; the last of a chain of copies first.
        """
        copies = self.copies
        assert copies is not None
        span = self.lookups[1]
        for index in reversed(range(len(copies.levels))):
            level, column, place = copies.at(index)
            if level < 0:
                continue
            at_rank, copied = slopes[0, :, column], resolved.copied[index]
            if to_codes is not None:
                away = resolved.ranks[index] - resolved.positions[:, place]
                to_codes[:, level] += (at_rank * away).to(to_codes.dtype)
            source, of_source = copies.source_at(index)
            to_positions[:, place].masked_fill_(copied, 0)
            if source < 0:
                continue
            pull = torch.where(copied, at_rank * resolved.slopes[index], 0)
            slopes[0, :, source] += pull
            if of_source >= 0:
                slopes[1, :, source] += pull * resolved.positions[:, of_source]
                to_positions[:, of_source] += pull * span[levels[:, source]]

    def ordering(self, dense: torch.Tensor) -> torch.Tensor:
        """The ordering channels among the dense ones, shape ``[rows, ordered columns]``."""
        return dense.narrow(1, len(self.binned), len(self.ordered))
