"""The compiled operators: the functions that training, statistics and calibration call.

Each exists in plain PyTorch and compiled (``csrc``): :func:`status` says which one serves.
"""

from sdv_wgangp.ops.adam import adam_step
from sdv_wgangp.ops.critic import (
    PENALTIES,
    PENALTIES_BETWEEN,
    critic_row_gradient,
    critic_scores,
    critic_step,
    uses_bfloat16,
)  # fmt: skip
from sdv_wgangp.ops.generator import code_gradient, norm_relu, norm_relu_backward, position_head
from sdv_wgangp.ops.multiply import multiply
from sdv_wgangp.ops.penalty import gradient_norm_penalty, interpolate
from sdv_wgangp.ops.softmax import column_sample, column_softmax, column_softmax_backward
from sdv_wgangp.ops.statistics import (
    correlation,
    moments,
    quantiles,
    sorted_columns,
    symmetric_eigen,
    symmetric_eigenvalues,
    wasserstein_1d,
)  # fmt: skip
from sdv_wgangp.ops.status import Status, status
from sdv_wgangp.ops.trees import tree_scores
from sdv_wgangp.ops.views import ViewTables, row_views, row_views_backward

__all__ = [
    "PENALTIES", "PENALTIES_BETWEEN", "Status", "ViewTables", "adam_step", "code_gradient",
    "column_sample", "column_softmax", "column_softmax_backward", "correlation",
    "critic_row_gradient", "critic_scores", "critic_step", "gradient_norm_penalty", "interpolate",
    "moments", "multiply", "norm_relu", "norm_relu_backward", "position_head", "quantiles",
    "row_views", "row_views_backward", "sorted_columns", "status", "symmetric_eigen",
    "symmetric_eigenvalues", "tree_scores", "uses_bfloat16", "wasserstein_1d",
]  # fmt: skip
