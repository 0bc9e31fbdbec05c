"""How fast is training and sampling, and how much memory does it take?

    python benchmarks/speed.py                       # all sections
    python benchmarks/speed.py step --threads 2 --output benchmarks/output

step      a training step (critic steps and generator step) on Adult, per row the critic saw: ours
          against CTGAN's, each in its own training loop, and against the time of the matrix
          products that the step cannot do without, in bfloat16 and in float32
width     a training step's time and peak memory against one-hot width, 20 to 50,000: ours, the
          same with a critic by automatic differentiation, CTGAN
sampling  a million rows of Adult through SDV, ours and CTGAN's, and streamed to Parquet and CSV
levels    a table with one column of up to 50,000 levels: a whole fit's peak memory

Everything runs in processes of its own. In `step` and `sampling` they wait for each other: in
every round each has one turn, in an order drawn anew; given are medians and quartiles, ratios
always between turns of the same round. Adult is read from SDV_WGANGP_DATASETS; where it is
missing a synthetic table of the same shape stands in, and the tables say so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import job
import timing
from speed_cases import levels, sampling, step, width
from speed_cases.section import Section, Settings

SECTIONS = {
    "step": step.run,
    "width": width.run,
    "sampling": sampling.run,
    "levels": levels.run,
}
# --table is for those that compare on one table.
ON_A_TABLE = ("step", "sampling")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sections", nargs="*", default=[], help=f"any of {', '.join(SECTIONS)}; default: all"
    )
    parser.add_argument("--threads", type=int, default=1, help="of each process (default: 1)")
    parser.add_argument("--rounds", type=int, help="instead of the sections' own number")
    parser.add_argument("--rows", type=int, help="sampling: rows to sample; levels: of the table")
    parser.add_argument(
        "--table", help="step, sampling: a table of datasets.py, a CSV file or stand-in:ROWS"
    )
    parser.add_argument(
        "--memory",
        type=float,
        default=Settings.memory_gb,
        metavar="GB",
        help="width: what one process may take (default: 12)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it runs; no figures"
    )
    parser.add_argument("--output", type=Path, help="folder for speed_SECTION.json and .svg")
    given = parser.parse_args(arguments)
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    for name in ("threads", "rounds", "rows", "memory"):
        value = getattr(given, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value:g}")
    return given


def main(
    arguments: Sequence[str] | None = None,
    sections: Mapping[str, Callable[[Settings], Section]] = SECTIONS,
) -> None:
    given = parse(arguments)
    settings = Settings(
        given.threads, given.rounds, given.table, given.quick, given.rows, given.memory
    )
    for name in given.sections or SECTIONS:
        own = settings if name in ON_A_TABLE else replace(settings, table=None)
        section = sections[name](own)
        print(f"\n{section.text}", flush=True)
        if given.output:
            given.output.mkdir(parents=True, exist_ok=True)
            document = {
                "machine": timing.machine(given.threads),
                "quick": given.quick,
                **section.content,
            }
            job.write_json(given.output / f"speed_{name}.json", job.finite(document))
            (given.output / f"speed_{name}.svg").write_text(section.svg, encoding="utf-8")


if __name__ == "__main__":
    main()
