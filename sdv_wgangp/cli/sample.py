"""``sdv-wgangp sample``."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sdv_wgangp.cli.options import add_command, add_loudness, reading
from sdv_wgangp.cli.output import calm, printer
from sdv_wgangp.parameters import count, seed


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "sample",
        run,
        "draw rows from a saved synthesizer",
        [
            "sample people.pkl --rows 1000 --output synthetic.csv",
            "sample people.pkl --rows 100000000 --output synthetic.parquet --seed 7",
        ],
        "Rows are written in pieces, so memory does not grow with their number.",
    )
    parser.add_argument("model", metavar="MODEL", help="a model made by sdv-wgangp fit")
    parser.add_argument(
        "--rows", type=reading(count), required=True, metavar="N", help="how many rows"
    )
    parser.add_argument(
        "--output", required=True, metavar="OUT", help="file to write: .csv or .parquet"
    )
    parser.add_argument(
        "--seed",
        type=reading(seed),
        metavar="N",
        help="other rows for another seed (default: SDV's fixed start, always the same rows)",
    )
    add_loudness(parser)


def run(options: argparse.Namespace) -> int:
    """Write rows as they are made."""
    from sdv_wgangp.cli import models
    from sdv_wgangp.files import TableWriter

    say = printer(options)
    with calm(options.quiet):
        synthesizer = models.load_model(options.model)
        models.seed_sampling(synthesizer, options.seed)
        started = time.perf_counter()
        with TableWriter(options.output) as out:
            for frame in models.sample_chunks(synthesizer, options.rows):
                out.write(frame)
    seconds = time.perf_counter() - started
    say(f"{options.rows:,} rows in {seconds:.1f} s: {options.output}")
    return 0
