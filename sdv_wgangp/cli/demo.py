"""``sdv-wgangp demo``."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdv_wgangp.cli.options import add_command, add_loudness, add_parameters, given_parameters
from sdv_wgangp.cli.output import calm, printer
from sdv_wgangp.cli.termination import system_default
from sdv_wgangp.user_errors import UserError, one_line

if TYPE_CHECKING:
    import pandas as pd

    from sdv_wgangp.synthesizers.sdv_versions import Metadata

EPOCHS = 15
TITLE = "Gapminder, countries from 1952 to 2007"


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "demo",
        run,
        "fit, sample and judge a table that needs no download",
        [
            "demo",
            "demo --output-folder out --epochs 50",
            "demo --dataset adult --target income",
        ],
        "Model, metadata, tables and report are written to the output folder.",
        usage="[OPTION ...]",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="one of SDV's public single-table demo data sets (needs internet)",
    )
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        help="column to predict in the report, and that of the meta-features that need one",
    )
    parser.add_argument(
        "--output-folder",
        default="sdv-wgangp-demo",
        metavar="FOLDER",
        help="where to write (default: sdv-wgangp-demo)",
    )
    add_loudness(parser)
    add_parameters(parser, defaults={"epochs": EPOCHS}, leave_out=["target"])


def demo_table() -> tuple[pd.DataFrame, dict[str, str]]:
    """Gapminder's country-years as plotly ships them: 1,704 rows, and the type of each column.

    The country and its codes are left out: with twelve rows each they are names, not categories.
    """
    import plotly.data

    frame = plotly.data.gapminder()[["continent", "year", "lifeExp", "pop", "gdpPercap"]]
    types = dict.fromkeys(frame.columns, "numerical") | {"continent": "categorical"}
    return frame, types


def run(options: argparse.Namespace) -> int:
    """Fit, sample, judge, and write all of it."""
    import pandas as pd

    from sdv_wgangp.cli.metadata import write_metadata
    from sdv_wgangp.cli.models import sample_chunks, save_model, split
    from sdv_wgangp.files import write_table
    from sdv_wgangp.reporting.report import build_report
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer
    from sdv_wgangp.synthesizers import sdv_versions
    from sdv_wgangp.synthesizers.sdv_versions import Metadata

    say = printer(options)
    folder = Path(options.output_folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give another --output-folder")
    if options.dataset is None:
        frame, types = demo_table()
        described = {name: {"sdtype": sdtype} for name, sdtype in types.items()}
        metadata = Metadata.load_from_dict(
            {
                "METADATA_SPEC_VERSION": "V1",
                "tables": {"gapminder": {"columns": described}},
                "relationships": [],
            }
        )
        name, title, target = "gapminder", TITLE, "lifeExp"
    else:
        name = title = options.dataset
        target = None
        frame, metadata = _download(name)
    target = options.target or target
    if target is not None and target not in frame:
        from sdv_wgangp.reporting.formats import few

        raise UserError(
            f"--target {target}: {name} has the columns {few([str(column) for column in frame])}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    train, holdout = split(frame, 0.2, seed=0)
    say(f"{title}: fitting {len(train):,} rows, {len(holdout):,} held out")
    with calm(options.quiet):
        # They are written with the model.
        warnings.filterwarnings("ignore", "We strongly recommend saving the metadata")
        synthesizer = WGANGPMFSSynthesizer(metadata, **given_parameters(options))
        started = time.perf_counter()
        with system_default():
            synthesizer.fit(sdv_versions.as_fit_input(metadata, train))
        fitted = time.perf_counter()
        synthetic = pd.concat(sample_chunks(synthesizer, len(train)), ignore_index=True)
        sampled = time.perf_counter()
        result = build_report(
            train,
            synthetic,
            metadata,
            target=target,
            holdout=holdout,
            loss_values=synthesizer.get_loss_values(),
            title=title,
            model=synthesizer,
            fit_seconds=fitted - started,
        )
    files = {
        "model": folder / f"{name}.safetensors",
        "metadata": folder / f"{name}.metadata.json",
        "fitted rows": folder / f"{name}.train.csv",
        "held-out rows": folder / f"{name}.holdout.csv",
        "synthetic rows": folder / f"{name}.synthetic.csv",
        "report": folder / f"{name}.html",
    }
    with calm():  # where the model is, if it is elsewhere
        files["model"] = save_model(synthesizer, files["model"])
    write_metadata(metadata, files["metadata"])
    for kind, table in (
        ("fitted rows", train),
        ("held-out rows", holdout),
        ("synthetic rows", synthetic),
    ):
        write_table(table, files[kind])
    result.to_html(files["report"])
    say(f"fitted in {fitted - started:.1f} s, sampled in {sampled - fitted:.2f} s\n")
    say(result.to_text())
    say("")
    for kind, path in files.items():
        say(f"{kind:<16}{path}")
    return 0


def _download(name: str) -> tuple[pd.DataFrame, Metadata]:
    from sdv_wgangp.synthesizers import sdv_versions

    try:
        with calm():
            return sdv_versions.download_demo(name)
    except Exception as error:  # the network, the store behind it, or an unknown name
        raise UserError(
            f"--dataset {name}: cannot be downloaded ({one_line(error)}); check the name and the "
            "internet connection, or leave --dataset out to use the table that needs neither"
        ) from error
