"""What the critic sees of a row beside its codes: positions, ranks, whitened ranks."""

from __future__ import annotations

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout

# Ranks are kept off 0 and 1 by this much before they become normal scores (|score| < 3.9).
RANK_MARGIN = 5e-5
# Whitened channels are clamped here; directions with less variance than the floor are not blown
# up further.
WHITE_CLAMP = 4.0
WHITE_FLOOR = 1e-4


class _GatherLevels(torch.autograd.Function):
    """``table[level]`` whose gradient also reaches the soft codes, straight through."""

    @staticmethod
    def forward(ctx, soft, table, levels, column_of_level):
        ctx.save_for_backward(table, column_of_level)
        return table[levels]

    @staticmethod
    def backward(ctx, gradient):
        table, column_of_level = ctx.saved_tensors
        # d/d soft[level] of sum_level soft[level] table[level], inside each column
        return gradient[:, column_of_level] * table, None, None, None


class Views(nn.Module):
    """Dense channels of a row, shape ``[rows, width]``, differentiable in codes and positions.

    1. the position inside the bin, of columns that have both bins and other codes;
    2. the ordering channel of every ordered column: the rank of its value in the column, from 0
       to 1, which gives one-hot codes their order back;
    3. with ``whiten``, the normal scores of the columns with positions, times the inverse root
       of their covariance in the training table, clamped: rows that break a near-linear
       dependence lie far out here, however small the violation.

    Args:
        layout: The table's layout.
        whiten: Whether to add the third kind. Needs `fit_whitening` before the first use.
    """

    def __init__(self, layout: Layout, whiten: bool = True):
        super().__init__()
        widths = layout.offsets.diff()
        self.register_buffer("offsets", layout.offsets, persistent=False)
        self.register_buffer("ordered", layout.ordered, persistent=False)
        self.register_buffer("start", layout.ranks[:, 0].contiguous(), persistent=False)
        self.register_buffer("span", layout.ranks[:, 1].contiguous(), persistent=False)
        self.register_buffer(
            "column_of_level",
            torch.repeat_interleave(torch.arange(layout.columns), widths),
            persistent=False,
        )
        positioned = layout.positioned
        binned = torch.nonzero(widths[positioned] > 1).flatten()
        self.register_buffer("binned", binned, persistent=False)
        self.register_buffer("binned_columns", positioned[binned], persistent=False)
        self.register_buffer("has_position", layout.has_position, persistent=False)
        # Position of every ordered column; columns without one read a column of zeros.
        source = torch.full((layout.columns,), len(positioned))
        source[positioned] = torch.arange(len(positioned))
        self.register_buffer("position_of", source[layout.ordered], persistent=False)
        place = torch.full((layout.columns,), -1)
        place[layout.ordered] = torch.arange(len(layout.ordered))
        self.register_buffer("scored", place[positioned], persistent=False)
        self.white_width = len(positioned) if whiten and len(positioned) > 1 else 0
        self.register_buffer(
            "whitening", torch.zeros(self.white_width, self.white_width), persistent=False
        )
        self.width = len(binned) + len(layout.ordered) + self.white_width

    @torch.no_grad()
    def fit_whitening(self, levels: torch.Tensor, positions: torch.Tensor) -> None:
        """Set the whitening matrix from rows of the training table (see `forward`)."""
        if not self.white_width:
            return
        scores = self._scores(self._ranks(levels, positions, None)).double()
        scores = scores - scores.mean(0)
        covariance = scores.T @ scores / max(len(scores) - 1, 1)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(WHITE_FLOOR * values[-1].clamp_min(1e-12))
        self.whitening.copy_((vectors * values.rsqrt()) @ vectors.T)

    def forward(
        self, levels: torch.Tensor, positions: torch.Tensor, soft: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Dense channels, shape ``[rows, width]``.

        Args:
            levels: Level of every cell, shape ``[rows, columns]``, int64.
            positions: Shape ``[rows, positions]`` in [0, 1].
            soft: Soft codes, shape ``[rows, levels]``; gradients reach them straight through.
        """
        ranks = self._ranks(levels, positions, soft)
        # A row outside the bins has no position; the middle stands for none.
        inside = self.has_position[levels[:, self.binned_columns]]
        channels = [torch.where(inside, positions[:, self.binned], 0.5), ranks]
        if self.white_width:
            white = self._scores(ranks) @ self.whitening
            channels.append(white.clamp(-WHITE_CLAMP, WHITE_CLAMP))
        return torch.cat(channels, dim=1)

    def ordering(self, dense: torch.Tensor) -> torch.Tensor:
        """The ordering channels among the dense ones, shape ``[rows, ordered columns]``."""
        return dense.narrow(1, len(self.binned), len(self.ordered))

    def _ranks(self, levels, positions, soft):
        if soft is None:
            start, span = self.start[levels], self.span[levels]
        else:
            start = _GatherLevels.apply(soft, self.start, levels, self.column_of_level)
            span = _GatherLevels.apply(soft, self.span, levels, self.column_of_level)
        padded = torch.nn.functional.pad(positions, (0, 1))
        inside = padded[:, self.position_of]
        return start[:, self.ordered] + span[:, self.ordered] * inside

    def _scores(self, ranks):
        return torch.special.ndtri(ranks[:, self.scored].clamp(RANK_MARGIN, 1 - RANK_MARGIN))
