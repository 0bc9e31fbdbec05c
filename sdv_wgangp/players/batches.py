"""Batches of any structure: tensors, and (named) tuples of tensors and of further such tuples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sdv_wgangp.players.protocols import Batch


def leaves(batch: Batch) -> list[Tensor]:
    """The tensors of a batch, from left to right.

    Raises:
        TypeError: Something in it is neither a tensor nor a tuple.

    Example:
        >>> import torch
        >>> [len(part) for part in leaves((torch.zeros(3, 2), (torch.ones(3), torch.ones(3))))]
        [3, 3, 3]
    """
    if isinstance(batch, Tensor):
        return [batch]
    if not isinstance(batch, tuple):
        raise TypeError(
            f"a batch is a tensor or a (named) tuple of such, got {type(batch).__name__}"
        )
    return [leaf for part in batch for leaf in leaves(part)]


def mapped(function: Callable[..., Tensor | None], batch: Batch, *others: Batch) -> Batch:
    """A batch of the same structure, with what a function makes of each tensor.

    Args:
        function: Of a tensor of the batch, and of those in the same place of the others.
        batch: Whose structure counts.
        others: Of the same structure; where one has None, the function is given None.

    Raises:
        ValueError: Their structures differ.

    Example:
        >>> import torch
        >>> mapped(lambda part: part.shape[1], (torch.zeros(3, 2), (torch.zeros(3, 1),)))
        (2, (1,))
    """
    if isinstance(batch, Tensor):
        for other in others:
            if other is not None and not isinstance(other, Tensor):
                raise ValueError(
                    "batches differ in structure: one has a tensor where another has "
                    f"{type(other).__name__}"
                )
        return function(batch, *others)
    others = tuple([None] * len(batch) if other is None else other for other in others)
    for other in others:
        if not isinstance(other, (tuple, list)) or len(other) != len(batch):
            raise ValueError(
                f"batches differ in structure: one has {len(batch)} parts where another has "
                f"{len(other) if isinstance(other, (tuple, list)) else type(other).__name__}"
            )
    parts = [mapped(function, *each) for each in zip(batch, *others, strict=True)]
    return type(batch)(*parts) if hasattr(batch, "_fields") else tuple(parts)


def as_leaves(batch: Batch) -> Batch:
    """A batch without its graph, whose floating parts are the beginning of another."""
    return mapped(lambda part: part.detach().requires_grad_(part.is_floating_point()), batch)


def gradient_at(loss: Tensor, batch: Batch) -> Batch:
    """The gradient of a loss at what `as_leaves` gave, with None for integers and idle parts.

    Example:
        >>> import torch
        >>> rows = as_leaves((torch.zeros(2), torch.ones(2, dtype=torch.int64)))
        >>> gradient_at(rows[0].sum(), rows)
        (tensor([1., 1.]), None)
    """
    floating = [leaf for leaf in leaves(batch) if leaf.requires_grad]
    found = iter(torch.autograd.grad(loss, floating, allow_unused=True))
    return mapped(lambda leaf: next(found) if leaf.requires_grad else None, batch)


def row_count(batch: Batch) -> int:
    """How many rows a batch has: the length of its first tensor."""
    return len(leaves(batch)[0])
