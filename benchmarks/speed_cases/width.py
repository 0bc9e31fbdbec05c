"""Time and peak memory of a training step against the one-hot width of the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from speed_plot import Curves, log_log_plot
from timing import markdown

from speed_cases.section import Section, Settings
from speed_cases.workers import Worker, WorkerFailed

WIDTHS = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
QUICK_WIDTHS = (20, 100)
OURS, AUTOGRAD, CTGAN = "ours", "ours, critic by autograd", "CTGAN"
# One critic step for one of the generator's, as in CTGAN.
WHO = {
    OURS: {"who": "ours", "critic_steps": 1},
    AUTOGRAD: {"who": "autograd", "critic_steps": 1},
    CTGAN: {"who": "ctgan", "critic_steps": 1},
}
STEPS, WARM = 10, 3
# A way that took longer for a step, or needed more memory, is not asked at larger widths.
STEP_SECONDS, SETUP_SECONDS = 10.0, 300.0


def measure(threads: int, levels: int, who: dict, steps: int, warm: int, memory_gb: float) -> dict:
    """Median seconds and peak memory of training steps, in a process of their own.

    Raises:
        WorkerFailed: A step took longer than `STEP_SECONDS`, the first ones and what comes before
            longer than `SETUP_SECONDS`, or memory ran out.
    """
    spec = {"kind": "steps", "table": f"wide:{levels}", "block": 1, "warm": warm, **who}
    with Worker(threads, memory_limit_gb=memory_gb, **spec) as worker:
        about = worker.answer(SETUP_SECONDS)
        turns = [worker.turn(STEP_SECONDS) for _ in range(steps)]
    return {
        "levels": about["levels"],
        "wall": statistics.median(turn["wall"] for turn in turns),
        "cpu": statistics.median(turn["cpu"] for turn in turns),
        "peak_mb": turns[-1]["peak_mb"],
        "base_mb": about["base_mb"],
    }


def run(settings: Settings, measure: Callable[..., dict] = measure) -> Section:
    """Every way at every width, in processes of their own (``measure``)."""
    quick = settings.quick
    memory = settings.memory_gb
    steps, warm = (settings.rounds or (2 if quick else STEPS)), (1 if quick else WARM)
    found: dict[str, dict[int, dict]] = {name: {} for name in WHO}
    ended: dict[str, str] = {}
    for levels in settings.sizes or (QUICK_WIDTHS if quick else WIDTHS):
        for name, who in WHO.items():
            if name in ended:
                continue
            try:
                found[name][levels] = measure(settings.threads, levels, who, steps, warm, memory)
            except WorkerFailed as error:
                reason = str(error)
                if "allocate memory" in reason or "MemoryError" in reason:
                    reason = f"it needs more than {memory:g} GB"
                ended[name] = f"from {levels:,} levels on: {reason}"
    return _report(found, ended)


def _report(found: dict[str, dict[int, dict]], ended: dict[str, str]) -> Section:
    lines = []
    for levels in sorted({levels for line in found.values() for levels in line}):
        ours = found[OURS].get(levels)
        line = [f"{levels:,}"]
        for name in WHO:
            one = found[name].get(levels)
            if one is None:
                line += ["-", "-", *(["-"] if name != OURS else [])]
                continue
            line += [f"{one['wall'] * 1e3:.1f}", _megabytes(one)]
            if name != OURS:
                line.append(f"{one['wall'] / ours['wall']:.1f}" if ours else "-")
        lines.append(line)
    headings = ["one-hot width"]
    for name in WHO:
        headings += [f"{name}: ms a step", "peak MB (before)"]
        if name != OURS:
            headings.append("times ours")
    text = "Training step (one critic step of 500 rows, one generator step) by width\n\n"
    text += markdown(headings, lines)
    for name, reason in ended.items():
        text += f"\n\n{name} not run {reason}"
    time = {
        name: [(levels, one["wall"] * 1e3) for levels, one in line.items()]
        for name, line in found.items()
    }
    memory = {
        name: [(levels, one["peak_mb"]) for levels, one in line.items() if one["peak_mb"]]
        for name, line in found.items()
    }
    svg = log_log_plot(
        "A training step against the width of the table",
        [
            Curves("time of a step", "one-hot width", "ms", time),
            Curves("peak resident memory of the process", "one-hot width", "MiB", memory),
        ],
    )
    content = {
        name: {str(key): value for key, value in line.items()} for name, line in found.items()
    }
    return Section(text, {"results": content, "ended": ended}, svg)


def _megabytes(one: dict) -> str:
    if one["peak_mb"] is None:
        return "-"
    return f"{one['peak_mb']:.0f} ({one['base_mb']:.0f})"
