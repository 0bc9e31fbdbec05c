"""The benchmarks' way of comparing times: in turn, in an order drawn anew, ratios of neighbours.

Whatever else the machine does meets all that is compared, so the ratio of two calls of one round
is steadier than either time. CPU seconds of the process stand beside the clock's; on a machine
with other work they are the ones to read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

import job
import numpy as np
import torch

LEAST_ROUNDS, MOST_ROUNDS, WARM_ROUNDS = 7, 2_000, 2
Quartiles = tuple[float, float, float]


def timed(call: Callable[[], object], device: str = "cpu") -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def alternate(
    ways: Mapping[str, Callable[[], tuple[float, float]]],
    *,
    seconds: float | None = None,
    rounds: int | None = None,
    warm: int = WARM_ROUNDS,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Run every way once a round, in an order drawn anew.

    Args:
        ways: Each does its work once and returns the wall and CPU seconds it took.
        seconds: Rounds go on for about as long, at least `LEAST_ROUNDS` of them.
        rounds: How many, instead.
        warm: Rounds before, which do not count.
        seed: Of the order.

    Returns:
        For each way ``[rounds, 2]``, wall and CPU seconds.
    """
    if (seconds is None) == (rounds is None):
        raise ValueError("give either seconds or rounds")
    draw = random.Random(seed)
    order = list(ways)
    for _ in range(warm):
        for name in order:
            ways[name]()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    started = time.perf_counter()
    done = 0
    while True:
        if rounds is not None:
            if done >= rounds:
                break
        elif done >= MOST_ROUNDS or (
            done >= LEAST_ROUNDS and time.perf_counter() - started > seconds
        ):
            break
        draw.shuffle(order)
        for name in order:
            found[name].append(ways[name]())
        done += 1
    return {name: np.array(times) for name, times in found.items()}


def quartiles(values: np.ndarray) -> Quartiles:
    """First quartile, median and third quartile."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def ratios(theirs: np.ndarray, ours: np.ndarray) -> tuple[Quartiles, Quartiles]:
    """How many times faster ours was in the same round, by the clock and by CPU time."""
    wall, cpu = (theirs / ours).T
    return quartiles(wall), quartiles(cpu)


def spread(values: Quartiles, digits: int = 1) -> str:
    """``median (first quartile - third quartile)``."""
    low, middle, high = values
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


def bar_text(middle: float, bar: float | None, most: bool = False) -> str:
    """The bar, and whether the median reached it (``most``: stayed within it)."""
    if bar is None:
        return ""
    met = middle <= bar if most else middle >= bar
    return f"{'<=' if most else '>='} {bar:g} {'met' if met else 'MISSED'}"


def markdown(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(threads: int) -> dict[str, object]:
    """What the figures depend on: no names and no paths."""
    from sdv_wgangp import ops

    return {
        **job.host(),
        "threads": threads,
        "versions": job.versions(),
        "operators": str(ops.status()).splitlines(),
    }
