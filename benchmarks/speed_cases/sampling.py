"""Sampling many rows: ours against CTGAN's, and streamed to files in flat memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from speed_plot import Bar, ratio_plot
from timing import alternate, bar_text, markdown, quartiles, ratios, spread

from speed_cases import tables
from speed_cases.section import Section, Settings
from speed_cases.workers import Worker

CALIBRATED, PLAIN, CTGAN = "ours, calibrated", "ours, uncalibrated", "CTGAN"
BAR = 5.0
ROWS, ROUNDS = 1_000_000, 3
# A single row, after the first.
SINGLE_BAR_MS, SINGLE_ROUNDS = 20.0, 30
STREAMED = (100_000, 1_000_000)
# Calibrated, ours keeps the more of its rows the better it is trained: by default four times as
# long. Otherwise speed does not depend on training.
EPOCHS = {"ours": 50, "ctgan": 1}
FORMATS = ("parquet", "csv")


def run(settings: Settings, worker_of: Callable[..., Worker] = Worker) -> Section:
    quick = settings.quick
    table = settings.table or tables.default_name(quick)
    rows = settings.rows or (2_000 if quick else ROWS)
    streamed = (1_000, 2_000) if quick else STREAMED
    epochs = {"ours": 1, "ctgan": 1} if quick else EPOCHS
    rounds = settings.rounds or (1 if quick else ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        models = {who: str(Path(folder) / f"{who}.pkl") for who in epochs}
        for who, count in epochs.items():
            spec = {"kind": "fit", "who": who, "table": table, "epochs": count}
            with worker_of(settings.threads, save=models[who], **spec) as worker:
                worker.answer()
        times, peaks = _sample(settings.threads, models, rows, rounds, worker_of)
        single, _ = _sample(settings.threads, models, 1, SINGLE_ROUNDS, worker_of)
        files = {}
        for kind in FORMATS:
            for count in streamed:
                output = str(Path(folder) / f"rows.{kind}")
                spec = {"kind": "stream", "model": models["ours"], "output": output}
                with worker_of(settings.threads, rows=count, **spec) as worker:
                    files[kind, count] = worker.answer()
    return _report(tables.named(table).name, rows, times, peaks, single, files)


def _sample(
    threads: int,
    models: dict[str, str],
    rows: int,
    rounds: int,
    worker_of: Callable[..., Worker],
):
    ways = {
        CALIBRATED: {"model": models["ours"], "calibrated": True},
        PLAIN: {"model": models["ours"], "calibrated": False},
        CTGAN: {"model": models["ctgan"]},
    }
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker_of(threads, kind="sample", rows=rows, **way))
            for name, way in ways.items()
        }
        for worker in workers.values():
            worker.answer()

        def asking(name: str):
            def turn() -> tuple[float, float]:
                told = workers[name].turn()
                peaks[name] = told["peak_mb"]
                return told["wall"], told["cpu"]

            return turn

        return alternate({name: asking(name) for name in ways}, rounds=rounds, warm=0), peaks


def _report(name, rows, times, peaks, single, files) -> Section:
    lines, bars, content = [], [], {}
    for who, taken in times.items():
        wall, cpu = (quartiles(part) for part in taken.T)
        line = [who, f"{rows / wall[1]:,.0f}", spread(wall, 2), spread(cpu, 2)]
        line.append("-" if peaks[who] is None else f"{peaks[who]:.0f}")
        content[who] = {"wall_s": wall, "cpu_s": cpu, "peak_mb": peaks[who]}
        if who == CTGAN:
            line += ["", "", ""]
        else:
            ratio, cpu_ratio = ratios(times[CTGAN], taken)
            content[who] |= {"times_faster_than_ctgan": ratio, "by_cpu": cpu_ratio}
            line += [spread(ratio, 2), spread(cpu_ratio, 2), bar_text(ratio[1], BAR)]
            bars.append(Bar(f"{who}: times faster than CTGAN", ratio, BAR))
        lines.append(line)
    first = markdown(
        ["who", "rows a second", "seconds, wall", "seconds, CPU", "peak MiB",
         "times faster than CTGAN", "by CPU time", "bar"],
        lines,
    )  # fmt: skip
    lines = []
    for who, taken in single.items():
        wall, cpu = (quartiles(1e3 * part) for part in taken.T)
        bar = "" if who == CTGAN else bar_text(wall[1], SINGLE_BAR_MS, most=True)
        lines.append([who, spread(wall), spread(cpu), bar])
        content[who] |= {"one_row_wall_ms": wall, "one_row_cpu_ms": cpu}
    one = markdown(["one row", "ms, wall", "ms, CPU", "bar"], lines)
    lines = []
    for (kind, count), told in files.items():
        least = files[kind, min(number for other, number in files if other == kind)]
        known = told["peak_mb"] is not None
        lines.append(
            [kind, f"{count:,}", f"{told['wall']:.1f}", f"{told['bytes'] / 1e6:.1f}",
             f"{told['peak_mb']:.0f}" if known else "-",
             f"{told['peak_mb'] / least['peak_mb']:.2f}" if known else "-"]
        )  # fmt: skip
    second = markdown(
        ["file", "rows", "seconds", "MB", "peak MiB", "of the fewest rows' peak"], lines
    )
    text = (
        f"Sampling {rows:,} rows of {name} through SDV\n\n{first}\n\n{one}\n\n"
        f"`sdv-wgangp sample` to a file: memory is to be flat\n\n{second}"
    )
    stored = {f"{kind} {count}": told for (kind, count), told in files.items()}
    return Section(
        text,
        {"table": name, "rows": rows, "results": content, "files": stored},
        ratio_plot(f"Sampling {rows:,} rows, {name}", "times faster than CTGAN", bars),
    )
