"""The critic's operators: its training step, the gradient at its input rows, and its scores."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from sdv_wgangp.ops import critic_reference as reference
from sdv_wgangp.ops.critic_reference import PENALTIES, PENALTIES_BETWEEN
from sdv_wgangp.ops.registry import operator

__all__ = [
    "PENALTIES",
    "PENALTIES_BETWEEN",
    "critic_row_gradient",
    "critic_scores",
    "critic_step",
    "uses_bfloat16",
]


@functools.lru_cache
def _multiplies_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )


def uses_bfloat16(device: torch.device) -> bool:
    """Whether products on the device are to be done in bfloat16.

    So they are where ``torch.set_float32_matmul_precision("medium")`` allows it and the
    processor has instructions for it (AVX512-BF16 or AMX; GPUs from compute capability 8.0 on).
    """
    return torch.get_float32_matmul_precision() == "medium" and _multiplies_bfloat16(device.type)


def _products_in_bfloat16(parameters: Sequence[Tensor], wanted: bool | None) -> bool:
    """What was wanted, or what is best for the parameters where nothing was."""
    first = parameters[0]
    if wanted is None:
        return first.dtype == torch.float32 and uses_bfloat16(first.device)
    return wanted


# --- critic_step ---------------------------------------------------------------------------------


def _step_fake(*arguments) -> Tensor:
    reference.check_step(*arguments)
    parameters = arguments[5]
    return parameters[0].new_empty(2)


_critic_step = operator(
    "critic_step(Tensor real_levels, Tensor real_dense, Tensor fake_levels, Tensor fake_dense,"
    " Tensor? share, Tensor[] parameters, Tensor[] masks, float slope, str penalty, float weight,"
    " bool bfloat16, Tensor(a!)[] gradients, Tensor? derivatives=None) -> Tensor",
    reference.critic_step,
    _step_fake,
    autocast=False,
)


def critic_step(
    real_levels: Tensor,
    real_dense: Tensor,
    fake_levels: Tensor,
    fake_dense: Tensor,
    share: Tensor | None,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    *,
    masks: Sequence[Tensor] = (),
    slope: float = 0.2,
    penalty: str = "wgan-gp",
    weight: float = 10.0,
    bfloat16: bool | None = None,
    derivatives: Tensor | None = None,
) -> Tensor:
    r"""Loss, penalty and all gradients of a critic, a perceptron, in one call.

    The critic is :math:`f = w_L h_{L-1} + b_L` with :math:`h_l = \phi(W_l h_{l-1} + b_l) \circ
    m_l`, :math:`\phi` the leaky rectifier and :math:`m_l` dropout masks. Its input row
    :math:`h_0` is one-hot levels beside dense channels; only the codes are given, and no one-hot
    row is ever made. Minimised is

    .. math:: \overline{f(\text{fake})} - \overline{f(\text{real})} + P

    or, with ``derivatives``, :math:`\mathcal{L} + P` for any loss :math:`\mathcal{L}` of the
    scores: nothing but its derivatives at them is needed. :math:`P` is one of the penalties of
    the gradient's norm :math:`n = |\nabla_x f(x)|`, averaged over rows:

    =========  ===================================  ============================================
    penalty    P                                    source
    =========  ===================================  ============================================
    wgan-gp    weight (n - 1)^2 at interpolates     Gulrajani et al. 2017, equation 3
    wgan-lp    weight max(0, n - 1)^2 there         Petzka et al. 2018, equation 8
    r1         weight/2 n^2 at real rows            Mescheder et al. 2018, equation 9
    r2         weight/2 n^2 at fake rows            the same
    r1+r2      both                                 the same
    none       0; interpolates are not computed     the steps between two lazy penalties
    =========  ===================================  ============================================

    As the slopes are locally constant, the gradient at a row is multilinear in the weights:
    second derivatives are tangents pushed through the network once. With the first layer's
    signal :math:`d` the squared norm is :math:`d W_1^\top W_1 d^\top`, so wide rows cost nothing
    but the products of :math:`W_1` with hidden x hidden matrices. Rows with gradient 0 get the
    penalty's subgradient 0.

    Args:
        real_levels, fake_levels: int64 [rows, cells]: which rows of the level weight a row adds
            up. Packed rows (PacGAN) hold the levels of all their parts.
        real_dense, fake_dense: [rows, channels].
        share: [rows, 1], the place of each interpolate between real (0) and fake (1); None for
            penalties that have none.
        parameters: level weight [levels, hidden 1], dense weight [channels, hidden 1], bias
            [hidden 1]; then weight [out, in] and bias [out] of every further layer, the last of
            which has one output. All float32, or all float64.
        gradients: tensors like ``parameters``, contiguous; they are overwritten.
        masks: for each hidden layer [all rows, width]: real, fake and (wgan-gp, wgan-lp)
            interpolated rows in this order. Empty: no dropout.
        slope: of the rectifier on the negative side, in [0, 1].
        penalty, weight: see above.
        bfloat16: round what layers give, and their signals, to bfloat16, and multiply them so;
            sums, norms, biases, losses and the gradients stay float32. False: torch's float32
            products, to which `torch.set_float32_matmul_precision` applies. None asks
            :func:`uses_bfloat16`.
        derivatives: [2, rows], of the dtype of the parameters:
            :math:`\partial \mathcal{L} / \partial f(\text{real}_i)` and
            :math:`\partial \mathcal{L} / \partial f(\text{fake}_i)`, means' divisors included,
            at the scores that :func:`critic_scores` gives with the rows' own masks. None stands
            for -1/rows and 1/rows.

    Returns:
        :math:`\overline{f(\text{fake})} - \overline{f(\text{real})}` and the penalty, [2],
        whatever the derivatives are: where they are given, the first is no longer the loss, but
        still (its sign turned) the critic's estimate of the distance. On the CPU the same
        arguments give the same bits, whatever the number of threads, as far as torch's products
        do.

    Raises:
        RuntimeError: names the argument whose shape, dtype, device or value is wrong. (On CUDA
            levels out of range are stopped by the device.)

    Example:
        A non-saturating GAN with the penalty r1 (Mescheder et al. 2018), whose loss is
        :math:`\overline{\zeta(f(\text{fake}))} + \overline{\zeta(-f(\text{real}))}` with the
        softplus :math:`\zeta`, the derivative of which is the logistic function::

            real = critic_scores(real_levels, real_dense, parameters)
            fake = critic_scores(fake_levels, fake_dense, parameters)
            derivatives = torch.stack([-torch.sigmoid(-real), torch.sigmoid(fake)]) / len(real)
            critic_step(
                real_levels, real_dense, fake_levels, fake_dense, None, parameters, gradients,
                penalty="r1", derivatives=derivatives,
            )
    """
    parameters = [parameter.detach() for parameter in parameters]
    bfloat16 = _products_in_bfloat16(parameters, bfloat16)
    return _critic_step(
        real_levels,
        real_dense.detach(),
        fake_levels,
        fake_dense.detach(),
        share,
        parameters,
        list(masks),
        slope,
        penalty,
        weight,
        bfloat16,
        list(gradients),
        None if derivatives is None else derivatives.detach(),
    )


# --- critic_row_gradient -------------------------------------------------------------------------


def _row_gradient_fake(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    slope: float,
    bfloat16: bool,
    derivatives: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    reference.check_row_gradient(levels, dense, parameters, slope, bfloat16, derivatives)
    first = parameters[0]
    return (
        first.new_empty(()),
        first.new_empty(
            (levels.shape[0], first.shape[0]),
            dtype=torch.bfloat16 if bfloat16 else first.dtype,
        ),
        first.new_empty(dense.shape),
    )


_critic_row_gradient = operator(
    "critic_row_gradient(Tensor levels, Tensor dense, Tensor[] parameters, float slope,"
    " bool bfloat16, Tensor? derivatives=None)"
    " -> (Tensor loss, Tensor to_levels, Tensor to_dense)",
    reference.critic_row_gradient,
    _row_gradient_fake,
)


def critic_row_gradient(
    levels: Tensor,
    dense: Tensor,
    parameters: Sequence[Tensor],
    *,
    slope: float = 0.2,
    bfloat16: bool | None = None,
    derivatives: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""The generator's loss :math:`-\overline{f}`, and its or another's gradient at one-hot rows.

    Args:
        levels: int64 [rows, cells], as in :func:`critic_step`, without dropout.
        dense: [rows, channels].
        parameters, slope, bfloat16: as in :func:`critic_step`.
        derivatives: [rows], of the dtype of the parameters: :math:`\partial \mathcal{L} /
            \partial f(\text{row}_i)` for the gradient of another loss :math:`\mathcal{L}` of the
            scores. None stands for -1/rows.

    Returns:
        :math:`-\overline{f}`, a scalar, whatever the derivatives are; the loss's gradients with
        respect to the one-hot levels [rows, levels], in bfloat16 where products are, and to the
        dense channels [rows, channels]. Not differentiable.

    Raises:
        RuntimeError: as :func:`critic_step`.

    Example:
        The generator of a non-saturating GAN minimises the mean softplus of :math:`-f`::

            scores = critic_scores(levels, dense, parameters)
            derivatives = -torch.sigmoid(-scores) / len(scores)
            critic_row_gradient(levels, dense, parameters, derivatives=derivatives)
    """
    parameters = [parameter.detach() for parameter in parameters]
    bfloat16 = _products_in_bfloat16(parameters, bfloat16)
    at_scores = None if derivatives is None else derivatives.detach()
    return _critic_row_gradient(levels, dense.detach(), parameters, slope, bfloat16, at_scores)


# --- critic_scores -------------------------------------------------------------------------------


def _scores_fake(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    bfloat16: bool,
) -> Tensor:
    reference.check_scores(levels, dense, parameters, masks, slope, bfloat16)
    return parameters[0].new_empty(len(levels))


_critic_scores = operator(
    "critic_scores(Tensor levels, Tensor dense, Tensor[] parameters, Tensor[] masks, float slope,"
    " bool bfloat16) -> Tensor",
    reference.critic_scores,
    _scores_fake,
)


def critic_scores(
    levels: Tensor,
    dense: Tensor,
    parameters: Sequence[Tensor],
    *,
    masks: Sequence[Tensor] = (),
    slope: float = 0.2,
    bfloat16: bool | None = None,
) -> Tensor:
    r"""The scores of rows, at which a loss has the derivatives that the other operators take.

    They are the scores :math:`f = w_L h_{L-1} + b_L` of :func:`critic_step`, layer by layer in the
    same arithmetic, for rows of one kind.

    Args:
        levels: int64 [rows, cells], as in :func:`critic_step`.
        dense: [rows, channels].
        parameters, slope, bfloat16: as in :func:`critic_step`.
        masks: for each hidden layer [rows, width], the part of :func:`critic_step`'s masks that
            belongs to these rows. Empty: no dropout, as in :func:`critic_row_gradient`.

    Returns:
        The scores [rows], of the dtype of the parameters. Not differentiable.

    Raises:
        RuntimeError: as :func:`critic_step`.

    Example:
        Derivatives of the hinge loss, the mean of :math:`\max(0, 1 - f(\text{real}))` and
        :math:`\max(0, 1 + f(\text{fake}))`, with dropout::

            rows = len(real_levels)
            real = critic_scores(
                real_levels, real_dense, parameters, masks=[mask[:rows] for mask in masks]
            )
            fake = critic_scores(
                fake_levels, fake_dense, parameters,
                masks=[mask[rows : 2 * rows] for mask in masks],
            )
            derivatives = torch.stack([-(real < 1).to(real), (fake > -1).to(fake)]) / rows
    """
    parameters = [parameter.detach() for parameter in parameters]
    bfloat16 = _products_in_bfloat16(parameters, bfloat16)
    return _critic_scores(levels, dense.detach(), parameters, list(masks), slope, bfloat16)
