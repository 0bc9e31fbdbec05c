"""Compiled operators against eager PyTorch, torch.compile and CTGAN's own code.

    python benchmarks/operators.py
    python benchmarks/operators.py critic_step --threads 2 --output benchmarks/output

Every case is first checked (the relative error beside the times). Then each round calls ours and
all rivals once, in an order drawn anew, so that whatever else the machine does meets all of them.
Given are the medians in milliseconds, and the ratio rival / ours of the same round: its median and
quartiles, by the clock and by CPU time (the one to read on a busy machine).

eager          what one writes in PyTorch, in PyTorch's default precision
torch.compile  the same code, compiled whole for these shapes; compiling is not counted. What
               cannot be compiled (no C++ compiler, double backward) says so in the table
CTGAN          the functions of the installed ctgan package, called
scikit-learn   the same boosted trees, by the installed package

`medium` is the default of training: products in bfloat16 where the processor has them. `highest`
is float32 throughout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import job
import timing
import torch
from operator_cases import critic, generator, penalty, softmax, statistics, trees
from operator_cases.case import Case, Options, Rival
from speed_plot import Bar, ratio_plot

from sdv_wgangp import ops
from sdv_wgangp.training.memory import held_memory
from sdv_wgangp.training.precision import matmul_precision

SECONDS_PER_CASE = 5.0
OPERATORS: dict[str, tuple[Callable[[Options], Iterator[Case]], ...]] = {
    **critic.CASES,
    **generator.CASES,
    **penalty.CASES,
    **softmax.CASES,
    **statistics.CASES,
    **trees.CASES,
}


@dataclass(frozen=True)
class Result:
    """One rival in one case: medians in milliseconds; ratios rival / ours of the same round as
    first quartile, median, third quartile. All None where the rival is missing."""

    operator: str
    case: str
    precision: str
    against: str
    against_precision: str
    missing: str
    rounds: int
    theirs_ms: float | None
    ours_ms: float
    ratio: timing.Quartiles | None
    theirs_cpu_ms: float | None
    ours_cpu_ms: float
    cpu_ratio: timing.Quartiles | None
    error: float | None
    bar: float | None


def measure(
    case: Case, device: str, seconds: float | None, rounds: int | None = None
) -> list[Result]:
    """Time ours and all rivals of the case in turn."""

    def way(call: Callable[[], object], precision: str) -> Callable[[], tuple[float, float]]:
        def run() -> tuple[float, float]:
            with matmul_precision(precision):
                return timing.timed(call, device)

        return run

    present = {rival.name: rival for rival in case.rivals if rival.call is not None}
    ways = {"ours": way(case.ours, case.precision)}
    ways |= {name: way(rival.call, rival.precision) for name, rival in present.items()}
    times = timing.alternate(ways, seconds=None if rounds else seconds, rounds=rounds)
    ours = times["ours"]
    return [_result(case, rival, ours, times.get(rival.name)) for rival in case.rivals]


def _result(case: Case, rival: Rival, ours, theirs) -> Result:
    ours_ms, ours_cpu_ms = (timing.quartiles(part)[1] * 1e3 for part in ours.T)
    found = {"theirs_ms": None, "theirs_cpu_ms": None, "ratio": None, "cpu_ratio": None}
    if theirs is not None:
        wall, cpu = (timing.quartiles(part)[1] * 1e3 for part in theirs.T)
        ratio, cpu_ratio = timing.ratios(theirs, ours)
        found = {"theirs_ms": wall, "theirs_cpu_ms": cpu, "ratio": ratio, "cpu_ratio": cpu_ratio}
    return Result(
        operator=case.operator,
        case=case.name,
        precision=case.precision,
        against=rival.name,
        against_precision=rival.precision,
        missing=rival.missing,
        rounds=len(ours),
        ours_ms=ours_ms,
        ours_cpu_ms=ours_cpu_ms,
        error=rival.error,
        bar=rival.bar,
        **found,
    )


HEADINGS = [
    "operator", "case", "precision", "against", "theirs ms", "ours ms", "times faster",
    "by CPU time", "bar", "error",
]  # fmt: skip


def line(result: Result) -> list[str]:
    """A line of the table. Whether a bar is met is read from the ratio by the clock."""
    what = [result.operator, result.case, result.precision, result.against]
    error = "" if result.error is None else f"{result.error:.0e}"
    if result.ratio is None:
        return [*what, "-", f"{result.ours_ms:.3f}", f"not run: {result.missing}", "-", "", error]
    return [
        *what,
        f"{result.theirs_ms:.3f}",
        f"{result.ours_ms:.3f}",
        timing.spread(result.ratio, 2),
        timing.spread(result.cpu_ratio, 2),
        timing.bar_text(result.ratio[1], result.bar),
        error,
    ]


def plot(results: Sequence[Result]) -> str:
    """An SVG of all ratios by the clock."""
    bars = [
        Bar(f"{r.operator} {r.case}, {r.precision} / {r.against}", r.ratio, r.bar)
        for r in results
        if r.ratio is not None
    ]
    return ratio_plot("Compiled operators", "times faster than the rival", bars)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "operators", nargs="*", default=[], help=f"any of {', '.join(OPERATORS)}; default: all"
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS_PER_CASE, help="for each case (default: 5)"
    )
    parser.add_argument("--rounds", type=int, help="for each case, instead of seconds")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--quick", action="store_true", help="sizes that take no time")
    parser.add_argument("--output", type=Path, help="folder for operators.json and operators.svg")
    given = parser.parse_args(arguments)
    unknown = set(given.operators) - set(OPERATORS)
    if unknown:
        parser.error(f"no benchmark of {', '.join(sorted(unknown))}")
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {given.rounds}")
    options = Options(given.device, not given.no_compile, given.quick)
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    results: list[Result] = []
    print(f"{ops.status()}\n\n{timing.markdown(HEADINGS, [])}")
    try:
        # As in training: freed memory stays with the process, for all.
        with held_memory():
            for name in given.operators or OPERATORS:
                for cases in OPERATORS[name]:
                    for case in cases(options):
                        found = measure(case, given.device, given.seconds, given.rounds)
                        for result in found:
                            print(f"| {' | '.join(line(result))} |", flush=True)
                        results += found
                        # Or functions compiled for other shapes would slow the next ones' calls.
                        torch._dynamo.reset()
    finally:
        torch.set_num_threads(before)
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        document = {
            "machine": timing.machine(given.threads),
            "device": given.device,
            "results": [asdict(result) for result in results],
        }
        job.write_json(given.output / "operators.json", job.finite(document))
        (given.output / "operators.svg").write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
