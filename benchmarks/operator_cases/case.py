"""What a case of the operators' benchmark is, and how eager code is compiled for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Options:
    """What all cases obey.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``.
        compile: Whether `torch.compile` is asked for; it takes some ten seconds a case.
        quick: Whether the cases have sizes that take no time, to see that they run.
    """

    device: str = "cpu"
    compile: bool = True
    quick: bool = False


@dataclass(frozen=True)
class Rival:
    """Another way to what an operator computes.

    Attributes:
        name: Whose.
        call: Computes it once; None where it cannot be had.
        missing: Why not.
        precision: Of its float32 products (`training.precision.matmul_precision`).
        error: Relative error of our result against this one's, found before the timing; None
            where the two differ in what they draw.
        bar: How many times faster ours is to be.
    """

    name: str
    call: Callable[[], object] | None
    missing: str = ""
    precision: str = "highest"
    error: float | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Case:
    """An operator at one size, and its rivals.

    Attributes:
        operator, name: What is computed, at which size.
        ours: Computes it once.
        rivals: What it is compared with, all in the same rounds.
        precision: Of our float32 products.
    """

    operator: str
    name: str
    ours: Callable[[], object]
    rivals: tuple[Rival, ...]
    precision: str = "highest"


def compiled(
    name: str,
    function: Callable,
    options: Options,
    use: Callable[[Callable], Callable[[], object]] = lambda function: function,
    **rival,
) -> Rival:
    """`torch.compile` of eager code as a rival; where that fails, the rival that says why.

    Args:
        name: Of the rival.
        function: What is compiled, as a whole graph of fixed shapes.
        options: The run's.
        use: Makes the call from the compiled function, for example one that also goes back.
        rival: Further attributes.
    """
    if not options.compile:
        return Rival(name, None, "left out by --no-compile", **rival)
    call = use(torch.compile(function, fullgraph=True, dynamic=False))
    try:
        call()
    except Exception as error:  # of the tracer, of its backends, of the C++ compiler: any type
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        return Rival(name, None, f"{type(error).__name__}: {reason}"[:140], **rival)
    return Rival(name, call, **rival)


def with_backward(function: Callable, *arguments: torch.Tensor) -> Callable[[], object]:
    """A call of the function and of the gradient of the sum of squares of what it gives."""
    leaves = [argument.clone().requires_grad_() for argument in arguments]

    def call():
        return torch.autograd.grad(function(*leaves).square().sum(), leaves)

    return call


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of what is expected, in float64."""
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())
