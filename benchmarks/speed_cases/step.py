"""A whole training step: ours, CTGAN's, and the matrix products that ours cannot do without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, fields

import torch
from speed_plot import Bar, ratio_plot
from timing import alternate, bar_text, markdown, quartiles, ratios, spread, timed

from sdv_wgangp.training.memory import held_memory
from speed_cases import products, tables
from speed_cases.section import Section, Settings
from speed_cases.workers import Worker

DEFAULT, LIKE_CTGAN, HIGHEST, CTGAN = (
    "ours, defaults",
    "ours, 1 critic step as CTGAN",
    "ours, float32",
    "CTGAN, defaults",
)
WHO = {
    DEFAULT: {"who": "ours", "critic_steps": 2},
    LIKE_CTGAN: {"who": "ours", "critic_steps": 1},
    HIGHEST: {"who": "ours", "critic_steps": 2, "precision": "highest"},
    CTGAN: {"who": "ctgan", "critic_steps": 1},
}
BARE = {"medium": "products alone, bfloat16", "highest": "products alone, float32"}
CTGAN_BAR, BARE_BAR = 4.0, 2.0
# An epoch of Adult, so that everything that happens once an epoch is in it.
BLOCK, WARM, ROUNDS, BARE_REPEATS = 65, 20, 15, 20


def run(
    settings: Settings,
    worker_of: Callable[..., Worker] = Worker,
    peak_size: int = products.PEAK_SIZE,
) -> Section:
    """All in turn, processes of their own: a block of steps each a round, in random order."""
    quick = settings.quick
    table = settings.table or tables.default_name(quick)
    block, warm = (4, 2) if quick else (BLOCK, WARM)
    rounds = settings.rounds or (2 if quick else ROUNDS)
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before)
        stack.enter_context(held_memory())
        workers = {
            name: stack.enter_context(
                worker_of(
                    settings.threads, kind="steps", table=table, block=block, warm=warm, **who
                )
            )
            for name, who in WHO.items()
        }
        about = {name: worker.answer() for name, worker in workers.items()}
        rows = {name: told["batch"] * told["critic_steps"] for name, told in about.items()}

        def stepping(name: str):
            def turn() -> tuple[float, float]:
                told = workers[name].turn()
                return told["wall"] / rows[name], told["cpu"] / rows[name]

            return turn

        known = {field.name for field in fields(products.Sizes)}
        sizes = products.Sizes(
            **{key: value for key, value in about[DEFAULT].items() if key in known}
        )
        needed = products.training_step(sizes)
        bare = {name: products.Bare(needed, products.DTYPES[key]) for key, name in BARE.items()}

        def multiplying(name: str):
            def turn() -> tuple[float, float]:
                wall, cpu = timed(lambda: [bare[name]() for _ in range(BARE_REPEATS)])
                return tuple(part / BARE_REPEATS / rows[DEFAULT] for part in (wall, cpu))

            return turn

        ways = {name: stepping(name) for name in WHO}
        ways |= {name: multiplying(name) for name in bare}
        times = alternate(ways, rounds=rounds, warm=1)
        peaks = {key: products.peak(dtype, peak_size) for key, dtype in products.DTYPES.items()}
        each = [
            {
                key: products.Bare([product], dtype).seconds() / product.count * 1e6
                for key, dtype in products.DTYPES.items()
            }
            for product in needed
        ]
    return _report(table, about, rows, needed, each, times, peaks)


def _report(table, about, rows, needed, each, times, peaks) -> Section:
    name = tables.named(table).name
    lines, bars, content = [], [], {}
    for who in times:
        wall, cpu = (quartiles(part * 1e6) for part in times[who].T)
        step = "" if who not in rows else f"{wall[1] * rows[who] / 1e3:.1f}"
        line = [who, spread(wall, 2), spread(cpu, 2), step]
        content[who] = {"wall_us_a_row": wall, "cpu_us_a_row": cpu, "about": about.get(who)}
        if who in (DEFAULT, LIKE_CTGAN, HIGHEST):
            ratio, cpu_ratio = ratios(times[CTGAN], times[who])
            content[who] |= {"times_faster_than_ctgan": ratio, "by_cpu": cpu_ratio}
            bar = CTGAN_BAR if who == DEFAULT else None
            line += [spread(ratio, 2), spread(cpu_ratio, 2), bar_text(ratio[1], bar)]
            bars.append(Bar(f"{who}: times faster than CTGAN, a row", ratio, bar))
        else:
            line += ["", "", ""]
        lines.append(line)
    first = markdown(
        ["who", "us a row, wall", "us a row, CPU", "step, ms", "times faster than CTGAN",
         "by CPU time", "bar"],
        lines,
    )  # fmt: skip
    operations = sum(product.operations for product in needed)
    lines = []
    for key, who in (("medium", DEFAULT), ("highest", HIGHEST)):
        over, cpu_over = ratios(times[who], times[BARE[key]])
        at_peak = operations / peaks[key] / rows[DEFAULT]
        of_peak = quartiles(times[who][:, 0] / at_peak)
        content[who] |= {
            "times_its_products": over,
            "times_its_products_cpu": cpu_over,
            "times_its_products_at_peak": of_peak,
            "peak": peaks[key],
        }
        lines.append(
            [key, f"{operations / 1e9:.2f}", f"{peaks[key] / 1e9:.0f}", spread(over, 2),
             spread(cpu_over, 2), bar_text(over[1], BARE_BAR, most=True), spread(of_peak, 2),
             bar_text(of_peak[1], BARE_BAR, most=True)]
        )  # fmt: skip
        bars.append(Bar(f"{who}: step / its bare products", over, BARE_BAR))
        bars.append(Bar(f"{who}: step / its operations at peak", of_peak, BARE_BAR))
    second = markdown(
        ["precision", "GFLOP a step", "peak, GFLOP/s", "step / its bare products", "by CPU time",
         "bar", "step / its operations at peak", "bar"],
        lines,
    )  # fmt: skip
    text = (
        f"Training step on {name}, per row the critic saw ({len(times[CTGAN])} rounds)\n\n"
        f"{first}\n\nAgainst the matrix products of the step (counted in "
        f"speed_cases/products.py)\n\n{second}"
    )
    return Section(
        text,
        {
            "table": name,
            "rounds": len(times[CTGAN]),
            "results": content,
            "operations_a_step": operations,
            "products": [
                asdict(product) | {"us_each": each[place]} for place, product in enumerate(needed)
            ],
        },
        ratio_plot(f"Training step, {name}", "ratio", bars),
    )
