"""The operators of statistics against PyTorch, in one run: time, spread and ratio.

    python benchmarks/operators_statistics.py --threads 2 --json benchmarks/output/statistics.json

Every line compares our operator with what does the same in PyTorch. Calls alternate, in an order
drawn anew each time, so that both see the same machine; `ratio` is the median of the ratios of
neighbouring calls (above 1: ours is faster) and in brackets its quartiles.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sdv_wgangp import ops

FORWARD, BACKWARD = "forward", "forward and backward"


@dataclass(frozen=True)
class Case:
    """Two functions that do the same; each call works on the same arguments."""

    operator: str
    what: str
    against: str
    ours: Callable[[], object]
    theirs: Callable[[], object]


@dataclass(frozen=True)
class Result:
    """Microseconds of one case: medians, quartiles, and the ratio of neighbouring calls."""

    operator: str
    what: str
    against: str
    ours: float
    ours_quartiles: tuple[float, float]
    theirs: float
    theirs_quartiles: tuple[float, float]
    ratio: float
    ratio_quartiles: tuple[float, float]
    calls: int


def _normal(*shape: int, device: str) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def _with_backward(function: Callable, *arguments: torch.Tensor) -> Callable[[], object]:
    """The function and the gradient of the sum of squares of what it gives."""
    leaves = [argument.clone().requires_grad_() for argument in arguments]

    def call():
        return torch.autograd.grad(function(*leaves).square().sum(), leaves)

    return call


def _covariance(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-2, keepdim=True)
    return centred.mT @ centred / (x.shape[-2] - 1)


def _corrcoef(x: torch.Tensor) -> torch.Tensor:
    covariance = _covariance(x)
    scale = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
    return covariance * scale.unsqueeze(-2) * scale.unsqueeze(-1)


def _sorted_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.sort(-2)[0] - y.sort(-2)[0]).abs().mean(-2)


def cases(device: str) -> list[Case]:
    """Every comparison, on tensors of the given device."""
    found = []

    def add(operator, what, against, ours, theirs, *arguments, backward=True):
        found.append(
            Case(
                operator,
                f"{what}, {FORWARD}",
                against,
                lambda: ours(*arguments),
                lambda: theirs(*arguments),
            )
        )
        if backward:
            found.append(
                Case(
                    operator,
                    f"{what}, {BACKWARD}",
                    against,
                    _with_backward(ours, *arguments),
                    _with_backward(theirs, *arguments),
                )
            )

    for rows, columns in ((500, 14), (500, 150), (500, 400), (20_000, 50)):
        x = _normal(rows, columns, device=device)
        size = f"{rows} x {columns}"
        add("moments", size, "its product x' x alone", ops.moments, lambda x: x.mT @ x, x,
            backward=False)  # fmt: skip
        add("moments", size, "mean, centring, product",
            lambda x: ops.moments(x)[1], _covariance, x)  # fmt: skip
    x = _normal(40, 500, 20, device=device)
    add("moments", "40 x 500 x 20", "mean, centring, product",
        lambda x: ops.moments(x)[1], _covariance, x)  # fmt: skip
    x = _normal(500, 150, device=device)
    add("correlation", "500 x 150", "the same by hand", ops.correlation, _corrcoef, x)

    for rows, columns in ((500, 14), (500, 150), (5_000, 50), (100_000, 10)):
        x = _normal(rows, columns, device=device)
        size = f"{rows} x {columns}"
        add("sorted_columns", size, "torch.sort", lambda x: ops.sorted_columns(x)[0],
            lambda x: x.sort(0)[0], x)  # fmt: skip
    x = _normal(500, 150, device=device)
    for name, changed in (
        ("heavy tails", torch.exp(5 * x)),
        ("20 values", torch.round(3 * x)),
        ("an outlier each", torch.cat((x[1:], torch.full_like(x[:1], 1e9)))),
    ):
        add("sorted_columns", f"500 x 150, {name}", "torch.sort",
            lambda x: ops.sorted_columns(x)[0], lambda x: x.sort(0)[0], changed,
            backward=False)  # fmt: skip
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    at = torch.tensor(levels, device=device)
    add("quantiles", "500 x 150, 5 levels", "torch.quantile", lambda x: ops.quantiles(x, levels),
        lambda x: torch.quantile(x, at, dim=0), x)  # fmt: skip
    y = _normal(500, 150, device=device) * 2
    add("wasserstein_1d", "500 x 150", "two sorts", ops.wasserstein_1d, _sorted_distance, x, y)

    for batch, size in ((64, 4), (64, 6), (64, 16), (1, 16), (1, 64)):
        a = _normal(batch, size, size, device=device)
        a = a + a.mT
        add("symmetric_eigenvalues", f"{batch} x {size} x {size}", "torch.linalg.eigvalsh",
            ops.symmetric_eigenvalues, torch.linalg.eigvalsh, a)  # fmt: skip
    return found


def _seconds(call: Callable[[], object], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _summary(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    low, middle, high = statistics.quantiles(values, n=4)
    return middle, (low, high)


def measure(case: Case, device: str, budget: float, draw: random.Random) -> Result:
    """Alternates the two functions for about ``budget`` seconds, 20 pairs at least."""
    for _ in range(3):
        case.ours()
        case.theirs()
    pairs = []
    end = time.perf_counter() + budget
    while len(pairs) < 20 or time.perf_counter() < end:
        if draw.random() < 0.5:
            ours = _seconds(case.ours, device)
            theirs = _seconds(case.theirs, device)
        else:
            theirs = _seconds(case.theirs, device)
            ours = _seconds(case.ours, device)
        pairs.append((ours * 1e6, theirs * 1e6))
    ours, ours_quartiles = _summary([pair[0] for pair in pairs])
    theirs, theirs_quartiles = _summary([pair[1] for pair in pairs])
    ratio, ratio_quartiles = _summary([pair[1] / pair[0] for pair in pairs])
    return Result(
        case.operator, case.what, case.against, ours, ours_quartiles, theirs, theirs_quartiles,
        ratio, ratio_quartiles, len(pairs),
    )  # fmt: skip


def line(result: Result) -> str:
    low, high = result.ratio_quartiles
    return (
        f"{result.operator:<22}{result.what:<48}{result.against:<26}"
        f"{result.ours:>10.0f}{result.theirs:>10.0f}{result.ratio:>8.2f} ({low:.2f}-{high:.2f})"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line (default: 1)")
    parser.add_argument("--only", help="lines of operators whose name contains this")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    draw = random.Random(0)
    print(ops.status())
    print(
        f"{'operator':<22}{'what':<48}{'against':<26}{'ours us':>10}{'theirs us':>10}"
        f"{'ratio':>8} (quartiles)"
    )
    results = []
    for case in cases(options.device):
        if options.only and options.only not in case.operator:
            continue
        results.append(measure(case, options.device, options.seconds, draw))
        print(line(results[-1]), flush=True)
    if options.json:
        status = ops.status()
        options.json.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "torch": status.torch_version,
            "compiled": status.compiled,
            "cpu_capability": status.cpu_capability,
            "machine": platform.machine(),
            "device": options.device,
            "threads": options.threads,
            "unit": "microseconds",
        }
        content = {"about": about, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
