"""Which implementation serves, what the library needs, and how the references take over."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys

import pytest
import torch

from sdv_wgangp import ops

OPERATORS = {
    "column_softmax",
    "column_softmax_backward",
    "column_sample",
    "critic_step",
    "critic_row_gradient",
    "critic_scores",
}
PENALTY = {
    "interpolate",
    "gradient_norm_penalty",
    "gradient_norm_penalty_backward",
}
GENERATOR = {
    "norm_relu",
    "norm_relu_backward",
    "code_gradient",
    "position_head",
    "row_views",
    "row_views_backward",
    "adam_step",
    "multiply",
}
STATISTICS = {
    "moments",
    "moments_backward",
    "sorted_columns",
    "sorted_columns_backward",
    "symmetric_eigen",
    "symmetric_eigen_backward",
}
EVERY = OPERATORS | PENALTY | GENERATOR | STATISTICS | {"tree_scores"}

compiled = pytest.mark.skipif(not ops.status().compiled, reason="the extension was not built")


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_extension_is_there_where_it_is_required():
    if os.environ.get("SDV_WGANGP_REQUIRE_EXTENSION", "0") in ("", "0"):
        pytest.skip("SDV_WGANGP_REQUIRE_EXTENSION is not set")
    assert ops.status().compiled, ops.status().reason


def test_status_lists_every_operator():
    status = ops.status()
    assert status.kernels.keys() >= EVERY
    for by_device in status.kernels.values():
        assert by_device.keys() == {"CPU", "CUDA"}
        assert set(by_device.values()) <= {"compiled", "reference"}
    assert status.torch_version == torch.__version__
    assert status.cuda_available == torch.cuda.is_available()
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.compiled = False


def test_status_reads_well():
    text = str(ops.status())
    assert text == repr(ops.status())
    for name in EVERY:
        assert name in text
    assert torch.__version__ in text


@compiled
def test_kernels_are_registered():
    """Also for CUDA, which needs no GPU: the kernels are in the same library."""
    status = ops.status()
    expected = {"CPU": "compiled"}
    expected["CUDA"] = "compiled" if status.cuda_architectures else "reference"
    for name, by_device in status.kernels.items():
        assert by_device == expected, name


@compiled
def test_library_depends_on_stable_symbols_only():
    """No C++ symbol of torch's, whose meaning changes with its version; and no CUDA library."""
    nm, readelf = shutil.which("nm"), shutil.which("readelf")
    if nm is None or readelf is None:
        pytest.skip("needs nm and readelf (binutils)")
    from sdv_wgangp import _C

    listed = subprocess.run(
        [nm, "-D", "-C", "--undefined-only", _C.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    symbols = [line.split(maxsplit=1)[1] for line in listed.splitlines() if line.strip()]
    unstable = [s for s in symbols if any(n in s for n in ("at::", "c10::", "torch::"))]
    assert unstable == []
    of_torch = [s for s in symbols if "torch" in s]
    assert of_torch
    assert all(s.startswith(("aoti_torch_", "torch_")) for s in of_torch)
    of_python = [s for s in symbols if s.startswith(("Py", "_Py"))]
    assert of_python == ["PyModule_Create2"]
    needed = subprocess.run(
        [readelf, "-d", _C.__file__], capture_output=True, text=True, check=True
    ).stdout
    assert "[libtorch.so]" in needed  # the way to the CUDA stream in a CUDA build of torch
    assert "cuda" not in needed


WITHOUT_THE_LIBRARY = """
import sys
sys.modules["sdv"] = None            # as on a machine without SDV
sys.modules["sdv_wgangp._C"] = None  # as where the extension was not built
import torch
from torch import library
from sdv_wgangp import ops

status = ops.status()
assert not status.compiled and status.cuda_architectures == ()
assert "_C" in status.reason and status.reason in str(status)
assert {kind for kinds in status.kernels.values() for kind in kinds.values()} == {"reference"}

torch.manual_seed(0)
offsets = torch.tensor([0, 1, 3, 7])
logits = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
noise = torch.randn(4, 7, dtype=torch.float64)
soft, codes = ops.column_softmax(logits, noise, offsets, 0.5)
blocks = ((logits + noise) / 0.5).split([1, 2, 4], 1)
torch.testing.assert_close(soft, torch.cat([b.softmax(1) for b in blocks], 1))
assert torch.equal(codes, torch.stack([b.argmax(1) for b in blocks], 1))

call = lambda x: ops.column_softmax(x, noise, offsets, 0.5)[0]
assert torch.autograd.gradcheck(call, (logits,))
assert torch.autograd.gradgradcheck(call, (logits,))
operators = torch.ops.sdv_wgangp
library.opcheck(operators.column_softmax.default, (logits, noise, offsets, 0.5))
grad = torch.randn(4, 7, dtype=torch.float64, requires_grad=True)
library.opcheck(
    operators.column_softmax_backward.default, (grad, soft.detach(), offsets, 0.5)
)
uniforms = torch.rand(4, 3, dtype=torch.float64)
library.opcheck(operators.column_sample.default, (logits.detach(), uniforms, offsets))
assert ops.column_sample(logits, uniforms, offsets).shape == (4, 3)
# The penalty.
torch.manual_seed(0)
x, y = (torch.randn(4, 3, 2, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
epsilon = torch.rand(4, 1, dtype=torch.float64, requires_grad=True)
assert torch.autograd.gradcheck(ops.interpolate, (x, y, epsilon))
assert torch.autograd.gradgradcheck(ops.interpolate, (x, y, epsilon))
operators = torch.ops.sdv_wgangp
one, norms = torch.tensor(1.0, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
for kind in ("wgan-gp", "wgan-lp", "r1", "r2"):
    call = lambda x: ops.gradient_norm_penalty(x, 3.0, kind)
    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))
    library.opcheck(operators.gradient_norm_penalty.default, (x, 3.0, kind))
    for last in (x, x.detach().to(memory_format=torch.channels_last)):
        library.opcheck(operators.interpolate.default, (last, y, epsilon))
        arguments = (one, norms, last, 3.0, kind)
        library.opcheck(operators.gradient_norm_penalty_backward.default, arguments)
# The statistics.
torch.manual_seed(0)
x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
y = torch.randn(2, 5, 3, dtype=torch.float64)
calls = [
    ops.moments,
    ops.correlation,
    lambda x: ops.sorted_columns(x)[0],
    lambda x: ops.quantiles(x, [0.1, 0.5]),
    lambda x: ops.wasserstein_1d(x, y, 2),
]
for call in calls:
    assert torch.autograd.gradcheck(call, (x,))
    assert torch.autograd.gradgradcheck(call, (x,))
assert torch.autograd.gradcheck(lambda x: ops.symmetric_eigenvalues(ops.moments(x)[1]), (x,))

operators = torch.ops.sdv_wgangp
mean, covariance = ops.moments(x.detach())
_, index = ops.sorted_columns(x.detach())
_, vectors = ops.symmetric_eigen(covariance)
library.opcheck(operators.moments.default, (x, 1))
library.opcheck(operators.moments_backward.default, (mean, covariance, x, 1))
library.opcheck(operators.sorted_columns.default, (x,))
library.opcheck(operators.sorted_columns_backward.default, (x, index))
library.opcheck(operators.symmetric_eigen.default, (covariance.requires_grad_(), True))
library.opcheck(operators.symmetric_eigen.default, (covariance.detach(), False))
library.opcheck(
    operators.symmetric_eigen_backward.default, (mean, vectors, covariance.detach())
)
print("ok")
"""


def test_references_take_over_without_the_library():
    assert run(WITHOUT_THE_LIBRARY).strip() == "ok"
