r"""Proper scores of conditional distributions: what the critic learns slowly, column by column.

Two generated rows that share a condition :math:`c` (some cells of a real row) have independent
noise. That makes an unbiased score of every free column of two generated rows and a real one.

*Codes.* The generator's distribution is :math:`m = E_z\, p(z, c)`, the mean of its probabilities
over the noise. With the real row's one-hot code :math:`d`,

.. math:: S = \langle p_1, p_2 \rangle - \langle p_1 + p_2, d \rangle, \qquad
    E\,S = |m|^2 - 2 \langle m, P(\cdot | c) \rangle = |m - P(\cdot | c)|^2 - |P(\cdot | c)|^2 ,

the quadratic score (Gneiting and Raftery 2007, section 3.1).

*Ranks* of ordered columns: :math:`S = |r_1 - r| + |r_2 - r| - |r_1 - r_2|`, twice the continuous
ranked probability score (equation 21 there): the squared distance of the two distribution
functions, and a constant.

Both are least where the generator's conditional distribution of the column is the table's. How its
columns depend on each other beyond that is the critic's business. Only the weights of given levels
follow the scores (`TrainingPass.backward_of_conditions`): single real codes are noisy, and the
weights that plain rows share would pay for it.
"""

from __future__ import annotations

import torch

from sdv_wgangp import ops
from sdv_wgangp.ops.blocks import block_of


def code_score(
    logits: torch.Tensor, levels: torch.Tensor, fixed: torch.Tensor, offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The quadratic score, summed over pairs of rows and their free columns.

    Args:
        logits: Of the pairs, ``[2, pairs, levels]``, float.
        levels: Of the real rows, counted over all columns, ``[pairs, columns]``, int64.
        fixed: Whether a cell is given, bool ``[pairs, columns]``.
        offsets: The columns' blocks of levels, ``[columns + 1]``, int64.

    Returns:
        A scalar; its gradient at the logits, of their shape. Without a graph.
    """
    with torch.no_grad():
        both = logits.flatten(0, 1)
        soft, _ = ops.column_softmax(both, torch.zeros_like(both), offsets, 1.0)
        one, other = soft.view_as(logits)
        given = fixed.index_select(1, block_of(offsets, logits.shape[2]))
        real = torch.zeros_like(one).scatter_(1, levels, 1.0)
        # At the probabilities of one row stands the other's, less the code.
        at_soft = torch.cat([other - real, one - real]).masked_fill_(given.repeat(2, 1), 0)
        score = (one * at_soft[: len(one)]).sum() - (other * real).masked_fill(given, 0).sum()
        gradient = ops.column_softmax_backward(at_soft, soft, offsets, 1.0)
        return score, gradient.view_as(logits)


def rank_score(
    ranks: torch.Tensor, real: torch.Tensor, fixed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Twice the energy score, summed over pairs of rows and their free ordered columns.

    Args:
        ranks: Of the pairs, ``[2, pairs, ordered columns]`` in [0, 1].
        real: Of the real rows, ``[pairs, ordered columns]``.
        fixed: Whether a cell is given, bool, likewise.

    Returns:
        A scalar; its gradient at the ranks, of their shape.
    """
    to_real, apart = ranks - real, ranks[0] - ranks[1]
    score = (to_real.abs().sum(0) - apart.abs()).masked_fill(fixed, 0).sum()
    gradient = to_real.sign() - torch.stack([apart.sign(), -apart.sign()])
    return score, gradient.masked_fill_(fixed, 0)
