r"""The dense channels a critic sees beside the codes, and the gradient back through them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import (
    check,
    check_device,
    check_dtype,
    check_floating,
    check_same,
    check_shape,
)
from sdv_wgangp.ops.registry import operator

__all__ = ["ViewTables", "row_views", "row_views_backward"]


class ViewTables(NamedTuple):
    """What `row_views` has to know of a table; P positions, D levels.

    Attributes:
        tables: [3, D], float: of every level the first rank, the span of ranks, and 1 where it
            is an interval that has a position, else 0.
        binned: int64 [binned, 2], the positions to show: place among the positions, column.
        ordered: int64 [ordered, 2], the columns to rank: column, place of its position or -1.
        scored: int64 [scored], the places among the ordered columns of those to whiten.
        whitening: [scored, scored], float.
        margin: ranks are kept off 0 and 1 by this before they become normal scores.
        clamp: whitened channels are kept within this of 0.
    """

    tables: Tensor
    binned: Tensor
    ordered: Tensor
    scored: Tensor
    whitening: Tensor
    margin: float
    clamp: float


def _check_tables(op: str, a: Any) -> None:
    levels, positions, tables = a.levels, a.positions, a.tables
    check(
        tables.dim() == 2 and tables.shape[0] == 3,
        f"{op}: tables must have shape [3, levels], got {list(tables.shape)}",
    )
    check_floating(op, "tables", tables)
    check(
        levels.dim() == 2,
        f"{op}: levels must have two dimensions (rows, columns), got shape {list(levels.shape)}",
    )
    check_dtype(op, "levels", levels, torch.int64)
    check(
        positions.dim() == 2 and positions.shape[0] == levels.shape[0],
        f"{op}: positions must have shape [{levels.shape[0]}, positions], "
        f"got {list(positions.shape)}",
    )
    for name in ("binned", "ordered"):
        pairs = getattr(a, name)
        check(
            pairs.dim() == 2 and pairs.shape[1] == 2,
            f"{op}: {name} must have two dimensions ({name}, 2), got shape {list(pairs.shape)}",
        )
    check(
        a.scored.dim() == 1,
        f"{op}: scored must have one dimension, got shape {list(a.scored.shape)}",
    )
    count = a.scored.shape[0]
    check_shape(op, "whitening", a.whitening, [count, count])
    for name, tensor in (
        ("positions", positions),
        ("whitening", a.whitening),
    ):
        check_same(op, name, tensor, "tables", tables)
    for name in ("binned", "ordered", "scored"):
        check_dtype(op, name, getattr(a, name), torch.int64)
    for name, tensor in (
        ("levels", levels),
        ("binned", a.binned),
        ("ordered", a.ordered),
        ("scored", a.scored),
    ):
        check_device(op, name, tensor, "tables", tables)
    check(0 < a.margin < 0.5, f"{op}: margin must lie between 0 and 0.5, got {a.margin:g}")
    check(a.clamp > 0, f"{op}: clamp must be positive, got {a.clamp:g}")


def _channels(a: Any) -> int:
    return len(a.binned) + len(a.ordered) + len(a.scored)


def _check_values(op: str, levels: Tensor, positions: Tensor, known: ViewTables) -> None:
    width, columns, places = known.tables.shape[1], levels.shape[1], positions.shape[1]
    outside = ((levels < 0) | (levels >= width)).nonzero()
    if len(outside):
        row, column = outside[0].tolist()
        raise RuntimeError(
            f"{op}: levels must lie in [0, {width}), got {int(levels[row, column])} in row {row}, "
            f"column {column}"
        )
    for name, values, least, end in (
        ("binned", known.binned[:, 0], 0, places),
        ("binned", known.binned[:, 1], 0, columns),
        ("ordered", known.ordered[:, 0], 0, columns),
        ("ordered", known.ordered[:, 1], -1, places),
        ("scored", known.scored, 0, len(known.ordered)),
    ):
        wrong = values[(values < least) | (values >= end)]
        check(
            not len(wrong),
            f"{op}: {name} names {int(wrong[0]) if len(wrong) else 0}, outside [{least}, {end})",
        )


def _ranks(levels: Tensor, positions: Tensor, known: ViewTables) -> tuple[Tensor, Tensor, Tensor]:
    """Ranks, spans and places inside of the ordered columns, ``[rows, ordered]`` each."""
    column, place = known.ordered.unbind(1)
    own = levels[:, column]
    inside = torch.cat([positions, positions.new_zeros(len(positions), 1)], 1)[:, place]
    start, span = known.tables[0][own], known.tables[1][own]
    return start + span * inside, span, inside


def _scores(ranks: Tensor, known: ViewTables) -> tuple[Tensor, Tensor]:
    """Normal scores, and whether their ranks lay within the margins, ``[rows, scored]``."""
    own = ranks[:, known.scored]
    free = (own > known.margin) & (own < 1 - known.margin)
    return torch.special.ndtri(own.clamp(known.margin, 1 - known.margin)), free


def _white(scores: Tensor, known: ViewTables) -> Tensor:
    # Not `@`: networks may train in bfloat16 products, in which near-dependences would drown.
    return (scores.unsqueeze(2) * known.whitening).sum(1)


# The operators take what a table is known to be, `ViewTables`, one by one.


@operator(_check_tables, lambda a: a.tables.new_empty(len(a.levels), _channels(a)))
def _row_views(
    levels: Tensor,
    positions: Tensor,
    tables: Tensor,
    binned: Tensor,
    ordered: Tensor,
    scored: Tensor,
    whitening: Tensor,
    margin: float,
    clamp: float,
) -> Tensor:
    """See :func:`row_views`."""
    known = ViewTables(tables, binned, ordered, scored, whitening, margin, clamp)
    _check_values("row_views", levels, positions, known)
    shown = tables[2][levels[:, binned[:, 1]]] > 0
    ranks, _, _ = _ranks(levels, positions, known)
    white = _white(_scores(ranks, known)[0], known).clamp(-clamp, clamp)
    return torch.cat([torch.where(shown, positions[:, binned[:, 0]], 0.5), ranks, white], 1)


def row_views(levels: Tensor, positions: Tensor, known: ViewTables) -> Tensor:
    r"""Dense channels of rows, [rows, binned + ordered + scored].

    1. The position of every column in ``binned``, 0.5 where its level has none.
    2. The rank of every column in ``ordered``: :math:`r = \text{start}_l + \text{span}_l\, x` with
       the cell's level :math:`l` and position :math:`x` (0 without one).
    3. Normal scores of the ranks in ``scored``, whitened:
       :math:`\text{clamp}(\Phi^{-1}(r)\, W)`.

    All in the precision of ``tables``, whatever networks multiply in.

    Args:
        levels: int64 [rows, columns], counted over all columns.
        positions: [rows, positions] in [0, 1], of the dtype of ``known.tables``.
        known: the table's, see `ViewTables`.

    Returns:
        The channels. Not differentiable by autograd: see :func:`row_views_backward`.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, or names a level, column
            or position that does not exist. (On CUDA the device checks values.)
    """
    return _row_views(levels, positions, *known)


def _check_backward(op: str, a: Any) -> None:
    _check_tables(op, a)
    check_shape(op, "gradient", a.gradient, [len(a.levels), _channels(a)])
    check_same(op, "gradient", a.gradient, "tables", a.tables)


def _empty_backward(a: Any) -> tuple[Tensor, Tensor]:
    return a.positions.new_empty(a.positions.shape), a.gradient.new_empty(2, *a.levels.shape)


@operator(_check_backward, _empty_backward)
def _row_views_backward(
    gradient: Tensor,
    levels: Tensor,
    positions: Tensor,
    tables: Tensor,
    binned: Tensor,
    ordered: Tensor,
    scored: Tensor,
    whitening: Tensor,
    margin: float,
    clamp: float,
) -> tuple[Tensor, Tensor]:
    """See :func:`row_views_backward`."""
    known = ViewTables(tables, binned, ordered, scored, whitening, margin, clamp)
    _check_values("row_views_backward", levels, positions, known)
    at_position, at_rank, at_white = gradient.split([len(binned), len(ordered), len(scored)], 1)
    ranks, span, inside = _ranks(levels, positions, known)
    scores, free = _scores(ranks, known)
    at_white = torch.where(_white(scores, known).abs() <= clamp, at_white, 0)
    at_score = (at_white.unsqueeze(1) * whitening).sum(2)
    slope = (2 * torch.pi) ** 0.5 * torch.exp(scores.square() / 2)
    at_rank = at_rank.index_add(1, scored, torch.where(free, at_score * slope, 0))

    shown = tables[2][levels[:, binned[:, 1]]] > 0
    column, place = ordered.unbind(1)
    to_positions = positions.new_zeros(len(positions), positions.shape[1] + 1)
    to_positions.index_add_(1, binned[:, 0], torch.where(shown, at_position, 0))
    to_positions.index_add_(1, place % to_positions.shape[1], at_rank * span)
    slopes = positions.new_zeros(2, *levels.shape)
    slopes[0].index_add_(1, column, at_rank)
    slopes[1].index_add_(1, column, at_rank * inside)
    return to_positions[:, :-1].contiguous(), slopes


def row_views_backward(
    gradient: Tensor, levels: Tensor, positions: Tensor, known: ViewTables
) -> tuple[Tensor, Tensor]:
    r"""From the gradient at the channels of :func:`row_views` to those at what they show.

    The normal score's derivative is :math:`d\,\Phi^{-1}(r) / dr = \sqrt{2 \pi}\, e^{s^2 / 2}`,
    :math:`s = \Phi^{-1}(r)`; beyond a margin or a clamp it is 0.

    Args:
        gradient: [rows, binned + ordered + scored], of the dtype of ``known.tables``.
        levels, positions, known: as for :func:`row_views`.

    Returns:
        The gradient at the positions, [rows, positions]; and ``slopes`` [2, rows, columns], the
        gradient at the first rank and at the span that every cell looked up (0 for columns
        without an order), as `code_gradient` takes them.

    Raises:
        RuntimeError: as :func:`row_views`.
    """
    return _row_views_backward(gradient, levels, positions, *known)
