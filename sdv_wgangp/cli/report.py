"""``sdv-wgangp report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sdv_wgangp.cli.options import add_command, reading
from sdv_wgangp.cli.output import calm
from sdv_wgangp.parameters import seed
from sdv_wgangp.user_errors import UserError


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
            "--target income --model people.pkl --html report.html",
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
    parser.add_argument("--seed", type=reading(seed), metavar="N", help="of subsamples and models")


def run(options: argparse.Namespace) -> int:
    """Print the scores, and write the page."""
    from sdv_wgangp import sdv_versions
    from sdv_wgangp.cli.metadata import read_metadata
    from sdv_wgangp.cli.models import load_model
    from sdv_wgangp.files import check_folder, read_table
    from sdv_wgangp.reporting.report import build_report

    if options.html is not None:
        check_folder(Path(options.html))
    losses = None if options.model is None else load_model(options.model).get_loss_values()
    real, synthetic = read_table(options.real), read_table(options.synthetic)
    holdout = None if options.holdout is None else read_table(options.holdout)
    if options.metadata is not None:
        metadata = read_metadata(options.metadata, real)
    else:
        # Nothing is generated here, so no column needs to be a key: all are compared.
        metadata = sdv_versions.detect_metadata(real, infer_keys=None)
    for path, table in ((options.synthetic, synthetic), (options.holdout, holdout)):
        if table is None:
            continue
        absent = [name for name in real if name not in table]
        if absent:
            raise UserError(f"{path}: has no column {absent[0]!r}, which {options.real} has")
    with calm():
        result = build_report(
            real,
            synthetic,
            metadata,
            target=options.target,
            holdout=holdout,
            loss_values=losses,
            title=f"{Path(options.synthetic).name} compared with {Path(options.real).name}",
            seed=options.seed or 0,
        )
    print(result.to_text())
    if options.html is not None:
        print(f"\nreport  {result.to_html(options.html)}")
    return 0
