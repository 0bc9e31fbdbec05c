"""A table with one column of many levels: memory and time of a whole fit through SDV."""

from __future__ import annotations

from collections.abc import Callable

from speed_plot import Curves, log_log_plot
from timing import bar_text, markdown

from speed_cases.section import Section, Settings
from speed_cases.workers import Worker

ROWS, EPOCHS = 60_000, 1
LEVELS = (1_000, 10_000, 50_000)
BAR_LEVELS, BAR_MB = 50_000, 1_500.0
QUICK = (600, (20, 100))


def run(settings: Settings, worker_of: Callable[..., Worker] = Worker) -> Section:
    """Every number of levels in a process of its own, memory of imports and calibration counted.

    The bar is in megabytes of a million bytes.
    """
    rows, sizes = QUICK if settings.quick else (settings.rows or ROWS, LEVELS)
    sizes = settings.sizes or sizes
    found = {}
    for levels in sizes:
        table = f"levels:{levels}:{rows}"
        spec = {"kind": "fit", "who": "ours", "table": table, "epochs": EPOCHS}
        with worker_of(settings.threads, **spec) as worker:
            found[levels] = worker.answer()
    lines = []
    for levels, told in found.items():
        bar = BAR_MB if levels == BAR_LEVELS else None
        peak, base = (_megabytes(told[key]) for key in ("peak_mb", "base_mb"))
        lines.append(
            [
                f"{levels:,}",
                "-" if told["step_ms"] is None else f"{told['step_ms']:.1f}",
                f"{told['wall']:.1f}",
                f"{told['steps']:,}",
                "-" if peak is None else f"{peak:.0f}",
                "-" if base is None else f"{base:.0f}",
                "" if peak is None else bar_text(peak, bar, most=True),
            ]
        )
    headings = ["levels", "ms a step", "fit s", "steps", "peak MB", "before the fit", "bar"]
    text = f"One column of many levels, {rows:,} rows, {EPOCHS} epoch\n\n"
    text += markdown(headings, lines)
    memory = [(n, _megabytes(told["peak_mb"])) for n, told in found.items() if told["peak_mb"]]
    time = [(n, told["step_ms"]) for n, told in found.items() if told["step_ms"]]
    svg = log_log_plot(
        "One column of many levels",
        [
            Curves("time of a training step", "levels", "ms", {"ours": time}),
            Curves("peak resident memory of the fit", "levels", "MB", {"ours": memory}),
        ],
    )
    results = {str(levels): told for levels, told in found.items()}
    return Section(text, {"rows": rows, "epochs": EPOCHS, "results": results}, svg)


def _megabytes(mebibytes: float | None) -> float | None:
    return None if mebibytes is None else mebibytes * 2**20 / 1e6
