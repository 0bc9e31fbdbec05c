"""``sdv-wgangp sample``."""

from __future__ import annotations

import argparse
import time
from typing import Any

from sdv_wgangp.cli.options import add_command, add_loudness, reading
from sdv_wgangp.cli.output import calm, printer, shows_progress
from sdv_wgangp.values import count, seed


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "sample",
        run,
        "draw rows from a saved synthesizer",
        [
            "sample people.safetensors --rows 1000 --output synthetic.csv",
            "sample people.safetensors --rows 1e8 --output synthetic.parquet --seed 7",
            "sample people.safetensors --rows 100 --output -",
        ],
        "Rows are written in pieces, so memory does not grow with their number.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a model made by sdv-wgangp fit; a pickle "
        "runs code when it is loaded: only take one whose origin you trust",
    )
    parser.add_argument(
        "--rows",
        type=reading(count),
        required=True,
        metavar="N",
        help="how many rows; of a model of sequences, how many of these",
    )
    parser.add_argument(
        "--sequence-length",
        type=reading(count),
        metavar="N",
        help="rows of each sequence (default: as they are in the data)",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="OUT",
        help="file to write: .csv, .tsv or .parquet; - for standard output",
    )
    parser.add_argument(
        "--seed",
        type=reading(seed),
        metavar="N",
        help="other rows and keys for another seed: give one to each of several runs, whose parts "
        "belong together (default: SDV's fixed start, always the same rows)",
    )
    parser.add_argument(
        "--no-calibrate",
        action="store_true",
        help="rows as the generator makes them: faster, less like the table",
    )
    add_loudness(parser)


def run(options: argparse.Namespace) -> int:
    """Write rows as they are made."""
    from tqdm import tqdm

    from sdv_wgangp.cli import models
    from sdv_wgangp.files import TableWriter, check_outputs

    say = printer(options)
    check_outputs([options.output], [options.model])
    with calm(options.quiet):
        synthesizer = models.load_model(options.model)
        models.seed_sampling(synthesizer, options.seed)
        if options.no_calibrate:
            models.without_calibration(synthesizer)
        started = time.perf_counter()
        with TableWriter(options.output) as out:
            shown = {"total": options.rows, "unit": " rows", "unit_scale": True, "leave": False}
            with tqdm(disable=not shows_progress(options), **shown) as bar:
                length, written = options.sequence_length, 0
                for frame in models.sample_chunks(synthesizer, options.rows, length=length):
                    out.write(frame)
                    bar.update(len(frame))
                    written += len(frame)
    seconds = time.perf_counter() - started
    say(f"{written:,} rows in {seconds:.1f} s: {options.output}")
    return 0
