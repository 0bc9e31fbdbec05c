"""Compiled operators against eager PyTorch: time of both in paired, interleaved runs.

    python benchmarks/operators.py
    python benchmarks/operators.py critic_step --threads 2 --json operators.json

Every case is first checked (the error beside the times), then each repeat runs the baseline and
ours in turn, so that whatever else the machine does meets both. Given are the medians in
milliseconds, and the ratio baseline / ours of the pairs: its median and quartiles. CPU seconds of
the process are given beside the clock's; on a busy machine they are the ones to read.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sdv_wgangp import ops
from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.precision import matmul_precision

SECONDS_PER_CASE = 20.0
LEAST_REPEATS, MOST_REPEATS = 7, 60


@dataclass(frozen=True)
class Case:
    """Two ways to the same result.

    Attributes:
        name: What is computed, at which size.
        baseline, ours: Compute it once.
        precision: Of our float32 products (`training.precision.matmul_precision`); the baseline
            runs in PyTorch's default, ``"highest"``.
        error: Relative error of our result against the baseline's, found before the timing.
        bar: The ratio to reach, or None.
    """

    name: str
    baseline: Callable[[], object]
    ours: Callable[[], object]
    precision: str
    error: float
    bar: float | None = None


@dataclass(frozen=True)
class Result:
    """Medians in milliseconds; ratios of the pairs as first quartile, median, third quartile."""

    operator: str
    case: str
    precision: str
    repeats: int
    baseline_ms: float
    ours_ms: float
    ratio: tuple[float, float, float]
    baseline_cpu_ms: float
    ours_cpu_ms: float
    cpu_ratio: tuple[float, float, float]
    error: float
    bar: float | None


# --- critic_step ---------------------------------------------------------------------------------

CRITIC_ROWS, CRITIC_COLUMNS, CRITIC_DENSE, CRITIC_HIDDEN = 500, 14, 12, (256, 256)
# One-hot width: the ratios to reach in the default precision and in full float32.
CRITIC_BARS = {200: (3.0, 1.6), 2_000: (8.0, 4.0), 20_000: (20.0, 8.0)}
PENALTY_WEIGHT = 10.0


def critic_step_cases() -> Iterator[Case]:
    """Loss, gradient penalty and all gradients of a critic of two hidden layers of 256.

    The baseline is what one writes with autograd: one-hot rows (their making is not counted), a
    forward pass for real and fake rows, one for the interpolates, and double backward.
    """
    for levels, bars in CRITIC_BARS.items():
        random = torch.Generator().manual_seed(levels)
        critic = MLPCritic(levels, CRITIC_DENSE, CRITIC_HIDDEN, random)
        edges = torch.linspace(0, levels, CRITIC_COLUMNS + 1).long().tolist()

        def draw(edges=edges, random=random):
            columns = [
                torch.randint(low, high, (CRITIC_ROWS,), generator=random)
                for low, high in pairwise(edges)
            ]
            dense = torch.randn(CRITIC_ROWS, CRITIC_DENSE, generator=random)
            return torch.stack(columns, 1), dense

        real, fake = draw(), draw()
        share = torch.rand(CRITIC_ROWS, 1, generator=random)
        parameters = [parameter.detach() for parameter in critic.parameters()]
        gradients = [torch.empty_like(parameter) for parameter in parameters]
        network = _plain_network(critic)
        rows = [_one_hot(levels, *part) for part in (real, fake)]

        def baseline(network=network, rows=rows, share=share):
            network.zero_grad()
            loss = network(rows[1]).mean() - network(rows[0]).mean()
            between = torch.lerp(*rows, share).requires_grad_()
            scores = network(between)
            (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
            cost = PENALTY_WEIGHT * (slope.norm(dim=1) - 1).square().mean()
            (loss + cost).backward()

        def ours(args=(*real, *fake, share, parameters, gradients)):
            ops.critic_step(*args, weight=PENALTY_WEIGHT)

        for precision, bar in zip(("medium", "highest"), bars, strict=True):
            baseline()
            with matmul_precision(precision):
                ours()
            first = torch.cat([gradients[0], gradients[1]]).T
            found = torch.cat([part.flatten() for part in (first, *gradients[2:])])
            plain = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            error = (found - plain).norm() / plain.norm()
            yield Case(f"D = {levels:,}", baseline, ours, precision, float(error), bar)


def _plain_network(critic: MLPCritic) -> nn.Sequential:
    """The same critic as torch's layers, on one-hot rows."""
    first = nn.Linear(critic.levels + critic.dense, len(critic.bias))
    with torch.no_grad():
        first.weight.copy_(torch.cat([critic.level_weight, critic.dense_weight]).T)
        first.bias.copy_(critic.bias)
    layers: list[nn.Module] = [first]
    for given in critic.layers:
        layer = nn.Linear(given.in_features, given.out_features)
        layer.load_state_dict(given.state_dict())
        layers += [nn.LeakyReLU(LEAKY_SLOPE), layer]
    return nn.Sequential(*layers)


def _one_hot(width: int, levels: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    hot = torch.zeros(len(levels), width).scatter_(1, levels, 1.0)
    return torch.cat([hot, dense], 1)


BENCHMARKS = {"critic_step": critic_step_cases}


# --- timing --------------------------------------------------------------------------------------


def measure(operator: str, case: Case, seconds: float, repeats: int | None = None) -> Result:
    """Time both in turn until the seconds are used up."""
    times: dict[str, list[tuple[float, float]]] = {"baseline": [], "ours": []}
    ways = (("baseline", case.baseline, "highest"), ("ours", case.ours, case.precision))
    started = time.perf_counter()
    while True:
        for name, run, precision in ways:
            with matmul_precision(precision):
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        # The first pair warms up and is left out.
        done = len(times["ours"]) - 1
        if repeats is not None:
            if done >= repeats:
                break
        elif done >= MOST_REPEATS or (
            done >= LEAST_REPEATS and time.perf_counter() - started > seconds
        ):
            break
    baseline, ours = (np.array(times[name][1:]) * 1e3 for name in ("baseline", "ours"))
    quartiles = np.quantile(baseline / ours, (0.25, 0.5, 0.75), axis=0)
    (baseline_ms, baseline_cpu), (ours_ms, ours_cpu) = np.median(baseline, 0), np.median(ours, 0)
    return Result(
        operator=operator,
        case=case.name,
        precision=case.precision,
        repeats=len(ours),
        baseline_ms=float(baseline_ms),
        ours_ms=float(ours_ms),
        ratio=tuple(quartiles[:, 0].tolist()),
        baseline_cpu_ms=float(baseline_cpu),
        ours_cpu_ms=float(ours_cpu),
        cpu_ratio=tuple(quartiles[:, 1].tolist()),
        error=case.error,
        bar=case.bar,
    )


def table(results: list[Result]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| operator | case | precision | eager ms | ours ms | times faster | by CPU time | bar "
        "| error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        wall, cpu = (
            f"{middle:.1f} ({low:.1f} - {high:.1f})"
            for low, middle, high in (r.ratio, r.cpu_ratio)
        )
        bar = "" if r.bar is None else f"{r.bar:g}"
        lines.append(
            f"| {r.operator} | {r.case} | {r.precision} | {r.baseline_ms:.2f} | {r.ours_ms:.2f} "
            f"| {wall} | {cpu} | {bar} | {r.error:.0e} |"
        )
    return "\n".join(lines)


def machine(threads: int) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "torch": torch.__version__,
        "operators": str(ops.status()).splitlines(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "operators", nargs="*", default=[], help=f"any of {', '.join(BENCHMARKS)}; default: all"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS_PER_CASE, help="for each case")
    parser.add_argument("--repeats", type=int, help="pairs for each case, instead of seconds")
    parser.add_argument("--json", type=Path, help="write the results here")
    given = parser.parse_args(arguments)
    unknown = set(given.operators) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark of {', '.join(sorted(unknown))}")
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    try:
        # As in training: freed memory stays with the process, for both sides.
        with held_memory():
            results = [
                measure(name, case, given.seconds, given.repeats)
                for name in given.operators or BENCHMARKS
                for case in BENCHMARKS[name]()
            ]
    finally:
        torch.set_num_threads(before)
    print(table(results))
    if given.json:
        document = {
            "machine": machine(given.threads),
            "results": [asdict(result) for result in results],
        }
        given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
