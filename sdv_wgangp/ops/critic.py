"""The critic's operators: its training step, the gradient at its input rows, and its scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_device, check_floating, check_same, check_shape
from sdv_wgangp.ops.registry import operator

__all__ = [
    "PENALTIES",
    "PENALTIES_BETWEEN",
    "critic_row_gradient",
    "critic_scores",
    "critic_step",
    "uses_bfloat16",
]

# The penalties that are taken at interpolates, and all of them.
PENALTIES_BETWEEN = ("wgan-gp", "wgan-lp")
PENALTIES = (*PENALTIES_BETWEEN, "r1", "r2", "r1+r2", "none")


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


# --- checks --------------------------------------------------------------------------------------


def _parameter_name(index: int) -> str:
    first = ("level weight", "dense weight", "first bias")
    if index < len(first):
        return f"{first[index]} (parameters[{index}])"
    kind = "weight" if index % 2 else "bias"
    return f"{kind} of layer {(index - 1) // 2} (parameters[{index}])"


def _check_critic(op: str, parameters: list[Tensor], slope: float, bfloat16: bool) -> list[int]:
    """Checks the parameters; returns the widths of the hidden layers."""
    count = len(parameters)
    check(
        count >= 5 and count % 2 == 1,
        f"{op}: parameters must be the level weight, the dense weight, the bias, then a weight "
        f"and a bias for every further layer, got {count} tensors",
    )
    check(0 <= slope <= 1, f"{op}: slope must lie in [0, 1], got {slope:g}")
    first, dense = parameters[:2]
    shape = f"got shape {list(first.shape)}"
    name = _parameter_name(0)
    check(first.dim() == 2, f"{op}: {name} must have two dimensions (levels, hidden), {shape}")
    check_floating(op, name, first)
    check(
        not bfloat16 or first.dtype == torch.float32,
        f"{op}: products in bfloat16 need float32 parameters",
    )
    check(first.shape[1] > 0, f"{op}: {name} has no columns, {shape}")
    check(first.shape[0] < 2**31 - 1, f"{op}: {name} has too many rows, {shape}")
    check(
        dense.dim() == 2,
        f"{op}: {_parameter_name(1)} must have two dimensions (channels, hidden), got shape "
        f"{list(dense.shape)}",
    )
    hidden = [first.shape[1]]
    check_shape(op, _parameter_name(1), dense, [dense.shape[0], hidden[0]])
    check_shape(op, _parameter_name(2), parameters[2], [hidden[0]])
    for index in range(3, count, 2):
        weight, name = parameters[index], _parameter_name(index)
        last = index + 2 == count
        shape = f"got shape {list(weight.shape)}"
        check(weight.dim() == 2, f"{op}: {name} must have two dimensions (out, in), {shape}")
        out = 1 if last else weight.shape[0]
        check(out > 0, f"{op}: {name} has no rows, {shape}")
        check_shape(op, name, weight, [out, hidden[-1]])
        check_shape(op, _parameter_name(index + 1), parameters[index + 1], [out])
        if not last:
            hidden.append(out)
    for index, parameter in enumerate(parameters):
        check_same(op, _parameter_name(index), parameter, "the parameters", first)
    return hidden


def _check_rows(
    op: str, names: tuple[str, str], levels: Tensor, dense: Tensor, parameters: list[Tensor]
) -> None:
    shape = f"got shape {list(levels.shape)}"
    check(levels.dim() == 2, f"{op}: {names[0]} must have two dimensions (rows, cells), {shape}")
    check(levels.dtype == torch.int64, f"{op}: {names[0]} must be int64")
    check_device(op, names[0], levels, "the parameters", parameters[0])
    check(levels.shape[0] > 0, f"{op}: {names[0]} has no rows, {shape}")
    cells = levels.shape[0] * max(levels.shape[1], 1)
    check(cells < (2**31 - 1) // 4, f"{op}: {names[0]} has too many rows, {shape}")
    check_shape(op, names[1], dense, [levels.shape[0], parameters[1].shape[0]])
    check_same(op, names[1], dense, "the parameters", parameters[0])


def _check_levels(op: str, name: str, levels: Tensor, count: int) -> None:
    """Checks the values. Reads them, so a GPU is waited for."""
    outside = ((levels < 0) | (levels >= count)).nonzero()
    if len(outside):
        row, cell = outside[0].tolist()
        level = int(levels[row, cell])
        raise RuntimeError(f"{op}: {name}[{row}, {cell}] is {level}, but there are {count} levels")


def _check_masks(
    op: str, masks: list[Tensor], rows: int, hidden: list[int], parameters: list[Tensor]
) -> None:
    check(
        len(masks) in (0, len(hidden)),
        f"{op}: masks must be none or {len(hidden)}, one for each hidden layer, got {len(masks)}",
    )
    for index, mask in enumerate(masks):
        check_shape(op, f"masks[{index}]", mask, [rows, hidden[index]])
        check_same(op, f"masks[{index}]", mask, "the parameters", parameters[0])


def _check_derivatives(
    op: str, derivatives: Tensor | None, sizes: list[int], parameters: list[Tensor]
) -> None:
    if derivatives is not None:
        check_shape(op, "derivatives", derivatives, sizes)
        check_same(op, "derivatives", derivatives, "the parameters", parameters[0])


# --- the critic ----------------------------------------------------------------------------------


class _Layers:
    """The critic's parameters by their names, and its products."""

    def __init__(self, parameters: list[Tensor], slope: float, bfloat16: bool):
        self.level_weight, self.dense_weight, self.bias = parameters[:3]
        self.weights, self.biases = parameters[3::2], parameters[4::2]
        self.slope, self.bfloat16 = slope, bfloat16

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        if not self.bfloat16:
            return a @ b
        return (a.bfloat16() @ b.bfloat16()).to(a.dtype)

    def first(self, levels: Tensor, dense: Tensor) -> Tensor:
        """Pre-activations of the first layer: the sum of the weights' rows that are named."""
        z = self.bias + dense @ self.dense_weight
        flat = levels.flatten()
        row = torch.arange(len(levels), device=levels.device).repeat_interleave(levels.shape[1])
        return z.index_add(0, row, self.level_weight[flat])

    def slopes(self, z: Tensor, mask: Tensor | None) -> Tensor:
        slopes = torch.where(z > 0, torch.ones_like(z), self.slope)
        return slopes if mask is None else slopes * mask

    def forward(self, z: Tensor, masks: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Scores [rows]; slopes and what each hidden layer gives."""
        slopes, hidden = [], []
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            slopes.append(self.slopes(z, masks[index] if masks else None))
            hidden.append(z * slopes[-1])
            last = index + 1 == len(self.weights)
            up = hidden[-1] @ weight.T if last else self.product(hidden[-1], weight.T)
            z = up + bias
        return z[:, 0], slopes, hidden

    def reverse(self, upstream: Tensor, slopes: list[Tensor]) -> list[Tensor]:
        """Signals at the hidden layers' pre-activations, from those [rows] at the scores."""
        signals = [upstream[:, None] * self.weights[-1] * slopes[-1]]
        for weight, slope in zip(self.weights[-2::-1], slopes[-2::-1], strict=True):
            signals.append(self.product(signals[-1], weight) * slope)
        return signals[::-1]


def _terms(penalty: str, norms: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row: the penalty, and its derivative along the gradient over the gradient."""
    if penalty in PENALTIES_BETWEEN:
        above = norms - 1 if penalty == "wgan-gp" else (norms - 1).clamp_min(0)
        pull = torch.where(norms > 0, 2 * above / norms.where(norms > 0, 1.0), 0.0)
        return above.square(), pull
    return norms.square() / 2, torch.ones_like(norms)


# --- critic_step ---------------------------------------------------------------------------------


def _check_step(op: str, a: Any) -> None:
    parameters = a.parameters
    hidden = _check_critic(op, parameters, a.slope, a.bfloat16)
    first = parameters[0]
    check(
        a.weight >= 0 and math.isfinite(a.weight),
        f"{op}: weight must be finite and not negative, got {a.weight:g}",
    )
    check(
        a.penalty in PENALTIES,
        f"{op}: penalty must be none, wgan-gp, wgan-lp, r1, r2 or r1+r2, got {a.penalty}",
    )
    _check_rows(op, ("real_levels", "real_dense"), a.real_levels, a.real_dense, parameters)
    check_shape(op, "fake_levels", a.fake_levels, list(a.real_levels.shape))
    _check_rows(op, ("fake_levels", "fake_dense"), a.fake_levels, a.fake_dense, parameters)
    rows = len(a.real_levels)
    between = a.penalty in PENALTIES_BETWEEN
    if between:
        check(a.epsilon is not None, f"{op}: epsilon must be given for penalty {a.penalty}")
        check_shape(op, "epsilon", a.epsilon, [rows, 1])
        check_same(op, "epsilon", a.epsilon, "the parameters", first)
    _check_masks(op, a.masks, (3 if between else 2) * rows, hidden, parameters)
    _check_derivatives(op, a.derivatives, [2, rows], parameters)
    check(
        len(a.gradients) == len(parameters),
        f"{op}: gradients must be as many as parameters, {len(parameters)}, "
        f"got {len(a.gradients)}",
    )
    for index, (gradient, parameter) in enumerate(zip(a.gradients, parameters, strict=True)):
        name = f"gradients[{index}]"
        check_shape(op, name, gradient, list(parameter.shape))
        check_same(op, name, gradient, "the parameters", first)
        check(gradient.is_contiguous(), f"{op}: {name} must be contiguous")


@operator(
    _check_step,
    lambda a: a.parameters[0].new_empty(2),
    writes=("gradients",),
    autocast=False,
)
def _critic_step(
    real_levels: Tensor,
    real_dense: Tensor,
    fake_levels: Tensor,
    fake_dense: Tensor,
    epsilon: Tensor | None,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    penalty: str,
    weight: float,
    bfloat16: bool,
    gradients: list[Tensor],
    derivatives: Tensor | None = None,
) -> Tensor:
    """See :func:`critic_step`.

    Every row i has the loss's derivative c_i at its score f_i. Where rows are penalised the
    reverse sweep starts from 1, because the penalty needs the gradient of f alone, and c_i
    multiplies the activations instead; elsewhere it starts from c_i.
    """
    _check_levels("critic_step", "real_levels", real_levels, len(parameters[0]))
    _check_levels("critic_step", "fake_levels", fake_levels, len(parameters[0]))
    device = parameters[0].device.type
    with torch.no_grad(), torch.autocast(device, enabled=False):
        layers = _Layers(parameters, slope, bfloat16)
        rows = len(real_levels)
        levels = torch.cat([real_levels, fake_levels])
        dense = torch.cat([real_dense, fake_dense])
        z = layers.first(levels, dense)
        if penalty in PENALTIES_BETWEEN and epsilon is not None:
            z = torch.cat([z, torch.lerp(z[:rows], z[rows:], epsilon)])
        scores, slopes, hidden = layers.forward(z, masks)
        loss = scores[rows : 2 * rows].mean() - scores[:rows].mean()

        in_loss = torch.zeros_like(scores)
        pair = slice(0, 2 * rows)
        if derivatives is None:
            in_loss[:rows], in_loss[rows : 2 * rows] = -1 / rows, 1 / rows
        else:
            in_loss[pair] = derivatives.flatten()
        begin, stop = {
            "none": (0, 0),
            "r1": (0, rows),
            "r2": (rows, 2 * rows),
            "r1+r2": (0, 2 * rows),
        }.get(penalty, (2 * rows, 3 * rows))
        penalised = slice(begin, stop)
        upstream = in_loss.clone()
        upstream[penalised] = 1
        factor = torch.ones_like(in_loss)
        factor[penalised] = in_loss[penalised]
        signals = layers.reverse(upstream, slopes)

        d = signals[0][penalised]
        gram = layers.level_weight.T @ layers.level_weight
        gram += layers.dense_weight.T @ layers.dense_weight
        projected = layers.product(d, gram)
        norms = (projected * d).sum(1).clamp_min(0).sqrt()
        terms, pull = _terms(penalty, norms)
        kappa = (weight / rows * pull)[:, None]
        outer = layers.product((kappa * d).T, d)

        first = signals[0][pair] * factor[pair, None]
        to_levels = layers.level_weight @ outer
        each = first.repeat_interleave(levels.shape[1], dim=0)
        gradients[0].copy_(to_levels.index_add_(0, levels.flatten(), each))
        gradients[1].copy_(layers.product(dense.T, first) + layers.dense_weight @ outer)
        gradients[2].copy_(first.sum(0))
        tangent = kappa * projected
        for index in range(len(hidden)):
            tangent = tangent * slopes[index][penalised]
            # What multiplies the signals above: loss and penalty in one product.
            given = hidden[index] * factor[:, None]
            given[penalised] += tangent
            to_weight, to_bias = gradients[3 + 2 * index], gradients[4 + 2 * index]
            if index + 1 < len(hidden):
                above = signals[index + 1]
                to_weight.copy_(layers.product(above.T, given))
                to_bias.copy_((above * factor[:, None])[pair].sum(0))
                tangent = layers.product(tangent, layers.weights[index].T)
            else:
                in_loss_only = in_loss[:, None] * hidden[index]
                to_weight.copy_(in_loss_only.sum(0, keepdim=True) + tangent.sum(0, keepdim=True))
                if derivatives is None:
                    to_bias.zero_()  # the loss is a difference of scores
                else:
                    to_bias.copy_(in_loss.sum(0, keepdim=True))
        return torch.stack([loss, weight / rows * terms.sum()])


def critic_step(
    real_levels: Tensor,
    real_dense: Tensor,
    fake_levels: Tensor,
    fake_dense: Tensor,
    epsilon: Tensor | None,
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
        epsilon: [rows, 1], the place of each interpolate between real (0) and fake (1); None for
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
        epsilon,
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


def _check_row_gradient(op: str, a: Any) -> None:
    _check_critic(op, a.parameters, a.slope, a.bfloat16)
    _check_rows(op, ("levels", "dense"), a.levels, a.dense, a.parameters)
    _check_derivatives(op, a.derivatives, [len(a.levels)], a.parameters)


def _empty_row_gradient(a: Any) -> tuple[Tensor, Tensor, Tensor]:
    first = a.parameters[0]
    dtype = torch.bfloat16 if a.bfloat16 else first.dtype
    to_levels = first.new_empty((len(a.levels), len(first)), dtype=dtype)
    return first.new_empty(()), to_levels, first.new_empty(a.dense.shape)


@operator(_check_row_gradient, _empty_row_gradient)
def _critic_row_gradient(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    slope: float,
    bfloat16: bool,
    derivatives: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`critic_row_gradient`."""
    _check_levels("critic_row_gradient", "levels", levels, len(parameters[0]))
    with torch.no_grad():
        layers = _Layers(parameters, slope, bfloat16)
        scores, slopes, _ = layers.forward(layers.first(levels, dense), [])
        upstream = derivatives
        if upstream is None:
            upstream = torch.full_like(scores, -1 / len(scores))
        signal = layers.reverse(upstream, slopes)[0]
        to_levels, to_dense = signal @ layers.level_weight.T, signal @ layers.dense_weight.T
        if bfloat16:
            to_levels = to_levels.bfloat16()
        return -scores.mean(), to_levels, to_dense


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


def _check_scores(op: str, a: Any) -> None:
    hidden = _check_critic(op, a.parameters, a.slope, a.bfloat16)
    _check_rows(op, ("levels", "dense"), a.levels, a.dense, a.parameters)
    _check_masks(op, a.masks, len(a.levels), hidden, a.parameters)


@operator(_check_scores, lambda a: a.parameters[0].new_empty(len(a.levels)))
def _critic_scores(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    bfloat16: bool,
) -> Tensor:
    """See :func:`critic_scores`."""
    _check_levels("critic_scores", "levels", levels, len(parameters[0]))
    with torch.no_grad(), torch.autocast(parameters[0].device.type, enabled=False):
        layers = _Layers(parameters, slope, bfloat16)
        return layers.forward(layers.first(levels, dense), masks)[0]


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
