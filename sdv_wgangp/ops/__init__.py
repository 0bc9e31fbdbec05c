"""The compiled operators: schemas, shapes, derivatives and the functions that call them.

Each operator exists twice: in plain PyTorch (its reference) and compiled (``csrc``, loaded as
``sdv_wgangp._C``). The reference is registered for every device, the compiled kernel for CPU and
CUDA, where it takes precedence: torch's dispatcher uses the kernel where there is one and the
reference where there is none, per operator and per device. :func:`status` says which it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sdv_wgangp.ops import reference
from sdv_wgangp.ops.adam import adam_step
from sdv_wgangp.ops.critic import (
    PENALTIES,
    PENALTIES_BETWEEN,
    critic_row_gradient,
    critic_scores,
    critic_step,
    uses_bfloat16,
)
from sdv_wgangp.ops.generator import (
    code_gradient,
    norm_relu,
    norm_relu_backward,
    position_head,
)
from sdv_wgangp.ops.multiply import multiply
from sdv_wgangp.ops.penalty import gradient_norm_penalty, interpolate
from sdv_wgangp.ops.registry import DEVICES as _DEVICES
from sdv_wgangp.ops.registry import NAMESPACE as _NAMESPACE
from sdv_wgangp.ops.registry import names as _names
from sdv_wgangp.ops.registry import operator as _operator
from sdv_wgangp.ops.statistics import (
    correlation,
    moments,
    quantiles,
    sorted_columns,
    symmetric_eigen,
    symmetric_eigenvalues,
    wasserstein_1d,
)
from sdv_wgangp.ops.trees import tree_scores
from sdv_wgangp.ops.views import ViewTables, row_views, row_views_backward

__all__ = [
    "PENALTIES",
    "PENALTIES_BETWEEN",
    "Status",
    "ViewTables",
    "adam_step",
    "code_gradient",
    "column_sample",
    "column_softmax",
    "column_softmax_backward",
    "correlation",
    "critic_row_gradient",
    "critic_scores",
    "critic_step",
    "gradient_norm_penalty",
    "interpolate",
    "moments",
    "multiply",
    "norm_relu",
    "norm_relu_backward",
    "position_head",
    "quantiles",
    "row_views",
    "row_views_backward",
    "sorted_columns",
    "status",
    "symmetric_eigen",
    "symmetric_eigenvalues",
    "tree_scores",
    "uses_bfloat16",
    "wasserstein_1d",
]


# --- column_softmax_backward: schema, shapes, second derivative ---------------------------------


def _softmax_backward_fake(
    grad_soft: Tensor, soft: Tensor, offsets: Tensor, temperature: float
) -> Tensor:
    names = ("soft", "grad_soft")
    reference.check_softmax(
        "column_softmax_backward", names, soft, grad_soft, offsets, temperature
    )
    return torch.empty_like(soft, memory_format=torch.contiguous_format)


def _softmax_backward_context(ctx, inputs, output) -> None:
    grad_soft, soft, offsets, ctx.temperature = inputs
    ctx.save_for_backward(grad_soft, soft, offsets)


def _softmax_backward_backward(ctx, h: Tensor):
    """Derivative of r = p (g - <g, p>) / T along h, with g = grad_soft, p = soft, T = temperature.

    dr/dg is the same symmetric map applied to h; for p,
    d<h, r>/dp = (h (g - <g, p>) - g <h, p>) / T, inner products over each column's block.
    """
    g, p, offsets = ctx.saved_tensors
    grad_g = _column_softmax_backward(h, p, offsets, ctx.temperature)
    index = reference.block_of(offsets, p.shape[1])
    inner_gp = reference.block_sum(g * p, offsets).index_select(1, index)
    inner_hp = reference.block_sum(h * p, offsets).index_select(1, index)
    grad_p = (h * (g - inner_gp) - g * inner_hp) / ctx.temperature
    return grad_g, grad_p, None, None


_column_softmax_backward = _operator(
    "column_softmax_backward(Tensor grad_soft, Tensor soft, Tensor offsets, float temperature)"
    " -> Tensor",
    reference.column_softmax_backward,
    _softmax_backward_fake,
    _softmax_backward_backward,
    _softmax_backward_context,
)


# --- column_softmax ------------------------------------------------------------------------------


def _softmax_fake(
    logits: Tensor, noise: Tensor, offsets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    names = ("logits", "noise")
    columns = reference.check_softmax("column_softmax", names, logits, noise, offsets, temperature)
    soft = torch.empty_like(logits, memory_format=torch.contiguous_format)
    return soft, logits.new_empty((logits.shape[0], columns), dtype=torch.int64)


def _softmax_context(ctx, inputs, output) -> None:
    _, _, offsets, ctx.temperature = inputs
    soft, codes = output
    ctx.mark_non_differentiable(codes)
    ctx.save_for_backward(soft, offsets)


def _softmax_backward(ctx, grad_soft: Tensor, _grad_codes):
    soft, offsets = ctx.saved_tensors
    grad_logits = _column_softmax_backward(grad_soft, soft, offsets, ctx.temperature)
    return grad_logits, None, None, None


_column_softmax = _operator(
    "column_softmax(Tensor logits, Tensor noise, Tensor offsets, float temperature)"
    " -> (Tensor soft, Tensor codes)",
    reference.column_softmax,
    _softmax_fake,
    _softmax_backward,
    _softmax_context,
)


def column_softmax(
    logits: Tensor, noise: Tensor, offsets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    r"""Gumbel-softmax over the ragged blocks of every row, all columns of a table at once.

    Column :math:`c` owns the positions :math:`[o_c, o_{c+1})` of a row. With
    :math:`z = (\text{logits} + \text{noise}) / \text{temperature}`,

    .. math:: \text{soft}_j = \frac{e^{z_j}}{\sum_{o_c \le k < o_{c+1}} e^{z_k}},
        \qquad \text{code}_c = \arg\max_{o_c \le j < o_{c+1}} z_j - o_c .

    With Gumbel noise the codes are exact samples from ``softmax(logits)`` and ``soft`` is their
    relaxation (Jang et al. 2017, Maddison et al. 2017); with noise of zeros this is the plain
    softmax and the most likely level.

    Args:
        logits: float32 or float64 [rows, width]. Levels may be masked with -inf, though not all
            of a column.
        noise: like ``logits``, for example ``-torch.empty_like(logits).exponential_().log()``.
        offsets: int64 [columns + 1] on the same device, ascending from 0 to width; every column
            has at least one level.
        temperature: positive; smaller is harder.

    Returns:
        ``soft`` [rows, width] like ``logits``, differentiable (twice) in ``logits``; and
        ``codes`` int64 [rows, columns], the position of the largest ``logits + noise`` within
        each block, the lowest one where several are equal. A block that holds NaN or +inf, or only
        -inf, has ``soft`` NaN.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, or if the offsets do not
            ascend from 0 to width. (On CUDA the values of the offsets are checked by the device.)
    """
    return _column_softmax(logits, noise, offsets, temperature)


def column_softmax_backward(
    grad_soft: Tensor, soft: Tensor, offsets: Tensor, temperature: float
) -> Tensor:
    r"""Gradient at the logits of a softmax over blocks, ``soft`` being its value.

    Within each block :math:`s_j (g_j - \sum_k s_k g_k) / \text{temperature}`. Estimators that
    evaluate the derivative at other distributions than the forward pass call it directly.

    Args:
        grad_soft: [rows, width], the gradient g at the probabilities.
        soft: like ``grad_soft``, the probabilities s.
        offsets: int64 [columns + 1], ascending from 0 to width.
        temperature: positive.

    Returns:
        [rows, width], differentiable in ``grad_soft`` and ``soft``.

    Raises:
        RuntimeError: as `column_softmax`.
    """
    return _column_softmax_backward(grad_soft, soft, offsets, temperature)


# --- column_sample -------------------------------------------------------------------------------


def _sample_fake(
    logits: Tensor, uniforms: Tensor, offsets: Tensor, bias: Tensor | None = None
) -> Tensor:
    columns = reference.check_sample(logits, uniforms, offsets, bias)
    return logits.new_empty((logits.shape[0], columns), dtype=torch.int64)


_column_sample = _operator(
    "column_sample(Tensor logits, Tensor uniforms, Tensor offsets, Tensor? bias=None) -> Tensor",
    reference.column_sample,
    _sample_fake,
)


def column_sample(
    logits: Tensor, uniforms: Tensor, offsets: Tensor, bias: Tensor | None = None
) -> Tensor:
    r"""Exact samples from ``softmax(logits + bias)`` of every column, one uniform number each.

    Inverts the cumulative distribution: with :math:`p = \text{softmax}(\text{logits})` over the
    block of column :math:`c`, the code is the first level :math:`j` with
    :math:`\sum_{k \le j} p_k > u`. Codes therefore never decrease as the uniform grows. A level
    whose probability is 0 (logit -inf, or in float32 more than 87 below the largest) is never
    drawn, whatever the uniform: from 1 on (or NaN) it means the last level that has a probability.

    Args:
        logits: float32, float64 or bfloat16 [rows, width]; blocks as in :func:`column_softmax`.
            Levels may be masked with -inf, though not all of a column.
        uniforms: [rows, columns] in [0, 1), of the dtype of ``logits``; float32 with bfloat16.
        offsets: int64 [columns + 1] on the same device, ascending from 0 to width.
        bias: [width], of the dtype of ``uniforms``, added to the logits of every row: a product
            in bfloat16 loses less without it.

    Returns:
        Codes, int64 [rows, columns]. Not differentiable.

    Raises:
        RuntimeError: if an argument has the wrong shape, dtype or device, if the offsets do not
            ascend from 0 to width, or if a block holds NaN, +inf or only -inf. (On CUDA the
            device checks the offsets, and a block that is no distribution gives any code of its
            column: nothing here waits for the host.)
    """
    return _column_sample(logits, uniforms, offsets, bias)


# --- the compiled kernels ------------------------------------------------------------------------

_unavailable: ImportError | None = None
_cuda_architectures = ""
try:
    from sdv_wgangp import _C  # registers the kernels of the operators above
except ImportError as error:  # not built on this machine: the references serve, status() says why
    _unavailable = error
else:
    _cuda_architectures = _C.__doc__ or ""


@dataclass(frozen=True)
class Status:
    """What serves the operators in this process.

    Attributes:
        compiled: whether the compiled library was loaded.
        reason: why it was not, or None.
        kernels: for each operator, for each device (``"CPU"``, ``"CUDA"``): ``"compiled"`` or
            ``"reference"``.
        cuda_architectures: GPU architectures the CUDA kernels were compiled for, e.g.
            ``("8.0", "9.0")``; empty without CUDA kernels. Newer GPUs are served, too.
        torch_version: version of the torch in use.
        cuda_available: whether torch can use a CUDA device here.
        cpu_capability: the processor's vector instruction set as torch sees it.
    """

    compiled: bool
    reason: str | None
    kernels: dict[str, dict[str, str]]
    cuda_architectures: tuple[str, ...]
    torch_version: str
    cuda_available: bool
    cpu_capability: str

    def __str__(self) -> str:
        if self.compiled:
            built_for = ", ".join(self.cuda_architectures)
            cuda = f"CUDA kernels for {built_for}" if built_for else "no CUDA kernels"
            first = f"compiled operators: loaded ({cuda})"
        else:
            first = f"compiled operators: not loaded, references in PyTorch serve: {self.reason}"
        available = "available" if self.cuda_available else "not available"
        lines = [
            first,
            f"torch {self.torch_version}, CUDA {available}, CPU {self.cpu_capability}",
        ]
        longest = max(map(len, self.kernels))
        for name, by_device in self.kernels.items():
            served = ", ".join(f"{device} {kind}" for device, kind in by_device.items())
            lines.append(f"  {name:<{longest}}  {served}")
        return "\n".join(lines)

    __repr__ = __str__


def status() -> Status:
    """Says which operators are compiled and which are served by the reference, and why."""
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return Status(
        compiled=_unavailable is None,
        reason=None if _unavailable is None else str(_unavailable),
        kernels={
            name: {
                device: "compiled" if has_kernel(f"{_NAMESPACE}::{name}", device) else "reference"
                for device in _DEVICES
            }
            for name in _names
        },
        cuda_architectures=tuple(_cuda_architectures.split()),
        torch_version=torch.__version__,
        cuda_available=torch.cuda.is_available(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
    )
