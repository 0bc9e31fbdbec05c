"""``sdv-wgangp report``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sdv_wgangp.cli.options import add_command, add_reading, given_format, reading
from sdv_wgangp.cli.output import calm
from sdv_wgangp.parameters import seed
from sdv_wgangp.user_errors import UserError

INPUTS = ("real", "synthetic", "holdout", "metadata", "model")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "report",
        run,
        "score a synthetic table against the real one",
        [
            "report people.csv synthetic.csv",
            "report people.train.csv synthetic.csv --holdout people.holdout.csv "
            "--target income --model people.safetensors --html report.html",
        ],
    )
    parser.add_argument("real", metavar="REAL", help="the rows that the synthesizer was fitted to")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="its rows")
    parser.add_argument("--metadata", metavar="M.json", help="SDV metadata (default: detected)")
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help="also train a model on synthetic rows that predicts this column of real rows",
    )
    parser.add_argument(
        "--holdout",
        metavar="FILE",
        help="real rows that the synthesizer never saw: reference values and nearest-record share",
    )
    parser.add_argument("--model", metavar="M", help="the model, for its loss curves on the page")
    parser.add_argument("--html", metavar="OUT.html", help="also write a page with plots")
    parser.add_argument("--json", metavar="OUT.json", help="also write all figures as JSON")
    parser.add_argument("--seed", type=reading(seed), metavar="N", help="of subsamples and models")
    add_reading(parser, "REAL")


def run(options: argparse.Namespace) -> int:
    """Print the scores, and write the page and the figures."""
    from pandas.api.types import infer_dtype

    from sdv_wgangp.cli.metadata import check_columns, guess, read_metadata, text_columns
    from sdv_wgangp.cli.models import load_model
    from sdv_wgangp.files import Format, check_folder, check_outputs, read_table
    from sdv_wgangp.reporting.report import build_report

    outputs = [path for path in (options.html, options.json) if path is not None]
    inputs = {name: getattr(options, name) for name in INPUTS}
    check_outputs(outputs, [path for path in inputs.values() if path is not None])
    for output in outputs:
        check_folder(output)
    model = None if options.model is None else load_model(options.model)
    metadata = None if options.metadata is None else read_metadata(options.metadata)
    text = [] if metadata is None else text_columns(metadata)
    form = given_format(options)
    real = read_table(options.real, form, text, _note)
    # What is text in the real table is text in the others, whatever it looks like there.
    text += [str(name) for name in real if infer_dtype(real[name], skipna=True) == "string"]
    # These were written by this program, most likely, and the real one was not.
    form = Format(na=form.na, dtype=form.dtype)
    tables = {"synthetic": read_table(options.synthetic, form, text, _note)}
    if options.holdout is not None:
        tables["holdout"] = read_table(options.holdout, form, text, _note)
    if metadata is not None:
        check_columns(metadata, options.metadata, real)
    else:
        # Nothing is generated here, so no column needs to be a key: all are compared.
        metadata = guess(real, infer_keys=None)
    for name, table in tables.items():
        absent = [column for column in real if column not in table]
        if absent:
            raise UserError(
                f"{inputs[name]}: has no column {absent[0]!r}, which {options.real} has"
            )
    with calm():
        result = build_report(
            real,
            tables["synthetic"],
            metadata,
            target=options.target,
            holdout=tables.get("holdout"),
            loss_values=None if model is None else model.get_loss_values(),
            title=f"{Path(options.synthetic).name} compared with {Path(options.real).name}",
            seed=options.seed or 0,
            model=model,
            files=inputs,
        )
    # The files first: whoever reads the text may close it after the first lines.
    written = []
    if options.html is not None:
        written.append(f"report  {result.to_html(options.html)}")
    if options.json is not None:
        written.append(f"json    {result.to_json(options.json)}")
    print("\n\n".join([result.to_text(), *written]))
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr)
