"""The critic's operators in plain PyTorch: fallback, and oracle of the tests.

Signatures are those of the operators; the checks raise what the compiled kernels raise, word for
word.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sdv_wgangp.ops.checks import check, check_device, check_floating, check_same, check_shape

__all__ = ["critic_row_gradient", "critic_scores", "critic_step"]

# The penalties that are taken at interpolates, and all of them.
PENALTIES_BETWEEN = ("wgan-gp", "wgan-lp")
PENALTIES = (*PENALTIES_BETWEEN, "r1", "r2", "r1+r2", "none")


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


def check_step(
    real_levels: Tensor,
    real_dense: Tensor,
    fake_levels: Tensor,
    fake_dense: Tensor,
    share: Tensor | None,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    penalty: str,
    weight: float,
    bfloat16: bool,
    gradients: list[Tensor],
    derivatives: Tensor | None = None,
) -> None:
    """Checks all that can be checked without reading values on the device."""
    op = "critic_step"
    hidden = _check_critic(op, parameters, slope, bfloat16)
    first = parameters[0]
    check(
        weight >= 0 and math.isfinite(weight),
        f"{op}: weight must be finite and not negative, got {weight:g}",
    )
    check(
        penalty in PENALTIES,
        f"{op}: penalty must be none, wgan-gp, wgan-lp, r1, r2 or r1+r2, got {penalty}",
    )
    _check_rows(op, ("real_levels", "real_dense"), real_levels, real_dense, parameters)
    check_shape(op, "fake_levels", fake_levels, list(real_levels.shape))
    _check_rows(op, ("fake_levels", "fake_dense"), fake_levels, fake_dense, parameters)
    rows = real_levels.shape[0]
    between = penalty in PENALTIES_BETWEEN
    if between:
        if share is None:
            raise RuntimeError(f"{op}: share must be given for penalty {penalty}")
        check_shape(op, "share", share, [rows, 1])
        check_same(op, "share", share, "the parameters", first)
    _check_masks(op, masks, (3 if between else 2) * rows, hidden, parameters)
    _check_derivatives(op, derivatives, [2, rows], parameters)
    check(
        len(gradients) == len(parameters),
        f"{op}: gradients must be as many as parameters, {len(parameters)}, got {len(gradients)}",
    )
    for index, (gradient, parameter) in enumerate(zip(gradients, parameters, strict=True)):
        name = f"gradients[{index}]"
        check_shape(op, name, gradient, list(parameter.shape))
        check_same(op, name, gradient, "the parameters", first)
        check(gradient.is_contiguous(), f"{op}: {name} must be contiguous")


def check_row_gradient(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    slope: float,
    bfloat16: bool,
    derivatives: Tensor | None = None,
) -> None:
    """Checks all that can be checked without reading values on the device."""
    op = "critic_row_gradient"
    _check_critic(op, parameters, slope, bfloat16)
    _check_rows(op, ("levels", "dense"), levels, dense, parameters)
    _check_derivatives(op, derivatives, [len(levels)], parameters)


def check_scores(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    bfloat16: bool,
) -> None:
    """Checks all that can be checked without reading values on the device."""
    op = "critic_scores"
    hidden = _check_critic(op, parameters, slope, bfloat16)
    _check_rows(op, ("levels", "dense"), levels, dense, parameters)
    _check_masks(op, masks, len(levels), hidden, parameters)


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


def critic_step(
    real_levels: Tensor,
    real_dense: Tensor,
    fake_levels: Tensor,
    fake_dense: Tensor,
    share: Tensor | None,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    penalty: str,
    weight: float,
    bfloat16: bool,
    gradients: list[Tensor],
    derivatives: Tensor | None = None,
) -> Tensor:
    """See :func:`sdv_wgangp.ops.critic_step`.

    Every row i has the loss's derivative c_i at its score f_i. Where rows are penalised the
    reverse sweep starts from 1, because the penalty needs the gradient of f alone, and c_i
    multiplies the activations instead; elsewhere it starts from c_i.
    """
    check_step(
        real_levels,
        real_dense,
        fake_levels,
        fake_dense,
        share,
        parameters,
        masks,
        slope,
        penalty,
        weight,
        bfloat16,
        gradients,
        derivatives,
    )
    _check_levels("critic_step", "real_levels", real_levels, len(parameters[0]))
    _check_levels("critic_step", "fake_levels", fake_levels, len(parameters[0]))
    device = parameters[0].device.type
    with torch.no_grad(), torch.autocast(device, enabled=False):
        layers = _Layers(parameters, slope, bfloat16)
        rows = len(real_levels)
        levels = torch.cat([real_levels, fake_levels])
        dense = torch.cat([real_dense, fake_dense])
        z = layers.first(levels, dense)
        if penalty in PENALTIES_BETWEEN and share is not None:
            z = torch.cat([z, torch.lerp(z[:rows], z[rows:], share)])
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


def critic_row_gradient(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    slope: float,
    bfloat16: bool,
    derivatives: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`sdv_wgangp.ops.critic_row_gradient`."""
    check_row_gradient(levels, dense, parameters, slope, bfloat16, derivatives)
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


def critic_scores(
    levels: Tensor,
    dense: Tensor,
    parameters: list[Tensor],
    masks: list[Tensor],
    slope: float,
    bfloat16: bool,
) -> Tensor:
    """See :func:`sdv_wgangp.ops.critic_scores`."""
    check_scores(levels, dense, parameters, masks, slope, bfloat16)
    _check_levels("critic_scores", "levels", levels, len(parameters[0]))
    with torch.no_grad(), torch.autocast(parameters[0].device.type, enabled=False):
        layers = _Layers(parameters, slope, bfloat16)
        return layers.forward(layers.first(levels, dense), masks)[0]
