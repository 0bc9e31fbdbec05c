"""``sdv-wgangp report``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sdv_wgangp.cli.options import add_command, add_reading, given_format, reading
from sdv_wgangp.cli.output import calm
from sdv_wgangp.user_errors import UserError
from sdv_wgangp.values import seed

INPUTS = ("real", "synthetic", "holdout", "metadata", "model")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "report",
        run,
        "score synthetic tables against the real one",
        [
            "report people.csv synthetic.csv",
            "report people.train.csv synthetic.csv --holdout people.holdout.csv "
            "--target income --model people.safetensors --html report.html",
            "report people.train.csv ours.csv ctgan.csv --holdout people.holdout.csv "
            "--html page.html",
            "report visits.train.csv synthetic.csv --holdout visits.holdout.csv "
            "--sequence-key patient --sequence-index date --context-columns sex,born",
        ],
    )
    parser.add_argument("real", metavar="REAL", help="the rows that the synthesizer was fitted to")
    parser.add_argument(
        "synthetic",
        metavar="SYNTHETIC",
        nargs="+",
        help="its rows; several tables are compared side by side",
    )
    parser.add_argument(
        "--names",
        metavar="A,B,...",
        help="of several synthetic tables (default: those of their files)",
    )
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
    parser.add_argument(
        "--sequence-key",
        metavar="COLUMN",
        help="rows with the same value are a sequence: adds scores of what comes after what",
    )
    parser.add_argument(
        "--sequence-index", metavar="COLUMN", help="the number or date that orders a sequence"
    )
    parser.add_argument(
        "--context-columns",
        metavar="A,B,...",
        type=names_of_columns,
        default=(),
        help="what is constant in a sequence",
    )
    parser.add_argument("--model", metavar="M", help="the model, for its loss curves on the page")
    parser.add_argument("--html", metavar="OUT.html", help="also write a page with plots")
    parser.add_argument("--json", metavar="OUT.json", help="also write all figures as JSON")
    parser.add_argument("--seed", type=reading(seed), metavar="N", help="of subsamples and models")
    add_reading(parser, "REAL, or another table that is not detected alike,")


def run(options: argparse.Namespace) -> int:
    """Print the scores, and write the page and the figures."""
    from pandas.api.types import infer_dtype

    from sdv_wgangp.cli.metadata import check_columns, guess, read_metadata, text_columns
    from sdv_wgangp.cli.models import load_model
    from sdv_wgangp.files import check_folder, check_outputs, read_table
    from sdv_wgangp.reporting.report import build_comparison, build_report

    names = _names(options)
    several = len(names) > 1
    paths = dict(zip(names, options.synthetic, strict=True))
    inputs = {"real": options.real, **paths}
    inputs |= {name: getattr(options, name) for name in ("holdout", "metadata", "model")}
    outputs = [path for path in (options.html, options.json) if path is not None]
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
    if options.holdout is not None:
        paths = {"holdout": options.holdout, **paths}
    tables = {name: _read_alike(path, form, text, real) for name, path in paths.items()}
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
    common: dict[str, Any] = {
        "target": options.target,
        "holdout": tables.pop("holdout", None),
        "seed": options.seed or 0,
        "files": inputs,
        "sequence_key": options.sequence_key,
        "sequence_index": options.sequence_index,
        "context_columns": options.context_columns,
    }
    _check_sequences(options, real, metadata)
    result: Any
    with calm():
        if several:
            title = f"{', '.join(names)} compared with {Path(options.real).name}"
            result = build_comparison(real, tables, metadata, title=title, **common)
        else:
            title = f"{Path(options.synthetic[0]).name} compared with {Path(options.real).name}"
            losses = None if model is None else model.get_loss_values()
            result = build_report(
                real, tables["synthetic"], metadata, title=title, model=model,
                loss_values=losses, **common,
            )  # fmt: skip
    # The files first: whoever reads the text may close it after the first lines.
    written = []
    if options.html is not None:
        written.append(f"report  {result.to_html(options.html)}")
    if options.json is not None:
        written.append(f"json    {result.to_json(options.json)}")
    print("\n\n".join([result.to_text(), *written]))
    return 0


def names_of_columns(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _check_sequences(options: argparse.Namespace, real: Any, metadata: Any) -> None:
    """Refuse columns of sequences that are not there, before anything is scored.

    Args:
        options: Those of the command line.
        real: The real table.
        metadata: What is known of it, where the key may be named, too.

    Raises:
        UserError: One is missing, or an index or context is given without a key.
    """
    from sdv_wgangp.reporting.scores.tables import single_table

    named = {
        "--sequence-key": [options.sequence_key],
        "--sequence-index": [options.sequence_index],
        "--context-columns": list(options.context_columns),
    }
    for option, names in named.items():
        for name in names:
            if name is not None and name not in real:
                known = ", ".join(map(str, real))
                raise UserError(f"{option}: {options.real} has no column {name!r}, only {known}")
    if options.sequence_key is None and single_table(metadata).get("sequence_key") is None:
        for option in ("--sequence-index", "--context-columns"):
            if any(named[option]):
                raise UserError(
                    f"{option}: an index or context columns need a sequence key: give "
                    "--sequence-key COLUMN"
                )


def _names(options: argparse.Namespace) -> list[str]:
    """A name for each synthetic table; "synthetic" where there is one.

    Raises:
        UserError: They are too few, alike or those of other tables, or a model is given that
            only one table can be of.
    """
    from sdv_wgangp.reporting.style import TABLES

    paths = options.synthetic
    if len(paths) == 1 and options.names is None:
        return ["synthetic"]
    if len(paths) == 1:
        raise UserError("--names: is for several synthetic tables; leave it out")
    if len(paths) > TABLES:
        raise UserError(f"{len(paths)} synthetic tables: at most {TABLES} are compared at once")
    if options.model is not None:
        raise UserError("--model: is of one synthetic table; leave it out to compare several")
    names = [Path(path).name.split(".")[0] for path in paths]
    if options.names is not None:
        names = [name.strip() for name in options.names.split(",")]
    if len(names) != len(paths) or not all(names):
        raise UserError(f"--names: give {len(paths)} names with commas between them")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two synthetic tables are called {name!r}: give --names")
        if name in INPUTS:
            raise UserError(f"a synthetic table cannot be called {name!r}: give --names")
    return names


def _read_alike(path: str, form: Any, text: list[str], real: Any) -> Any:
    """A table whose columns and types are, as far as can be, those of the real one.

    What is detected goes first: the file may be written by this program, and the real one not.
    Where what is given for the real file fits better, it holds here, too.

    Raises:
        UserError: It can be read neither way.
    """
    from pandas.api.types import is_numeric_dtype

    from sdv_wgangp.files import Format, read_table
    from sdv_wgangp.files.paths import kind_of

    if kind_of(path) == "parquet":
        return read_table(path, None, text, _note)
    detected = Format(na=form.na, dtype=form.dtype)
    readings = []
    for tried in [detected] if form == detected else [detected, form]:
        notes: list[str] = []
        try:
            table = read_table(path, tried, text, notes.append)
        except UserError as error:
            problem = error
            continue
        fitting = [
            name in table and is_numeric_dtype(table[name]) == is_numeric_dtype(real[name])
            for name in real
        ]
        readings.append((sum(fitting), table, notes))
    if not readings:
        raise problem
    _, table, notes = max(readings, key=lambda reading: reading[0])
    for note in notes:
        _note(note)
    return table


def _note(text: str) -> None:
    print(text, file=sys.stderr)
