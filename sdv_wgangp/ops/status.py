"""What serves the operators in this process: the compiled library, or the references, and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sdv_wgangp.ops import registry

__all__ = ["Status", "status"]

_unavailable: ImportError | None = None
_cuda_architectures = ""
try:
    from sdv_wgangp import _C  # registers the kernels
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
                device: "compiled"
                if has_kernel(f"{registry.NAMESPACE}::{name}", device)
                else "reference"
                for device in registry.DEVICES
            }
            for name in registry.names()
        },
        cuda_architectures=tuple(_cuda_architectures.split()),
        torch_version=torch.__version__,
        cuda_available=torch.cuda.is_available(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
    )
