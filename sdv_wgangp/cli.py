"""``sdv-wgangp``: fit, sample and judge tables from the command line.

Errors of use are one line on standard error, with exit code 2; ``--debug`` shows the traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from sdv_wgangp import __version__
from sdv_wgangp.files import (
    TableWriter,
    UserError,
    check_folder,
    one_line,
    read_table,
    write_table,
)
from sdv_wgangp.objectives.adversarial import OBJECTIVES
from sdv_wgangp.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sdv.metadata import Metadata

CHUNK = 50_000  # rows that `sample` holds in memory at a time
DEMO_EPOCHS = 15
REPORT_FILES = ("real", "synthetic", "holdout", "metadata", "model")
DEMO_TITLE = "Gapminder, countries from 1952 to 2007"


# --------------------------------------------------------------------------- metadata


def read_metadata(path: str | Path, frame: pd.DataFrame | None = None) -> Metadata:
    """SDV's metadata from JSON, checked against the columns of ``frame``.

    Raises:
        UserError: it is missing, invalid, or describes other columns.
    """
    from sdv.metadata import Metadata

    from sdv_wgangp import sdv_versions

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        metadata = Metadata.load_from_json(str(path))
        metadata.validate()
        name = sdv_versions.table_name(metadata)
    except Exception as error:  # SDV, json and KeyError alike: the file is not what it should be
        raise UserError(f"{path}: is not SDV metadata of one table ({one_line(error)})") from error
    if frame is not None:
        described = set(metadata.tables[name].columns)
        unknown = [column for column in frame if column not in described]
        absent = sorted(described - set(frame))
        if absent:
            raise UserError(
                f"{path}: describes column {absent[0]!r}, which the data does not have"
            )
        if unknown:
            raise UserError(
                f"{path}: does not describe column {unknown[0]!r} of the data; add it or drop it"
            )
    return metadata


def metadata_path(model: Path) -> Path:
    """Where the metadata of a model is written."""
    return model.with_name(model.stem + ".metadata.json")


def sdtypes(metadata: Metadata) -> dict[str, str]:
    """``column -> sdtype``."""
    from sdv_wgangp import sdv_versions

    columns = metadata.tables[sdv_versions.table_name(metadata)].columns
    return {name: about["sdtype"] for name, about in columns.items()}


def _settle_metadata(given: str | None, frame: pd.DataFrame, model: Path, say) -> Metadata:
    """The given metadata or the detected one, also written beside the model."""
    from sdv_wgangp import sdv_versions

    beside = metadata_path(model)
    if given is not None:
        metadata = read_metadata(given, frame)
        if beside.resolve() != Path(given).resolve():
            metadata.save_to_json(str(beside), mode="overwrite")
        return metadata
    metadata = sdv_versions.detect_metadata(frame)
    if beside.exists() and read_metadata(beside).to_dict() != metadata.to_dict():
        raise UserError(
            f"{beside}: exists and differs from what is detected in the data; use it with "
            f"--metadata {beside}, or delete it"
        )
    metadata.save_to_json(str(beside), mode="overwrite")
    kinds: dict[str, list[str]] = {}
    for name, sdtype in sdtypes(metadata).items():
        kinds.setdefault(sdtype, []).append(name)
    said = "; ".join(f"{sdtype}: {_few(names)}" for sdtype, names in kinds.items())
    say(f"detected {said}")
    key = metadata.to_dict()["tables"][sdv_versions.table_name(metadata)].get("primary_key")
    if key is not None:
        say(
            f"note: {key!r} was taken for the primary key and gets made-up values; if it is data, "
            f"remove 'primary_key' from {beside}, set its sdtype there and use --metadata"
        )
    return metadata


def _few(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


# --------------------------------------------------------------------------- fit, sample


def make_synthesizer(metadata: Metadata, options: argparse.Namespace, verbose: bool) -> Any:
    """The synthesizer with the options that were given, and its own defaults for the others."""
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    given = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "random_state": options.seed,
        "calibrate": False if options.no_calibrate else None,
        "max_seconds": options.max_seconds,
        "early_stopping": options.early_stopping or None,
        "meta_features": _meta_features(options.meta_features),
        "objective": options.objective,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return WGANGPMFSSynthesizer(metadata, verbose=verbose, **given)


def _meta_features(text: str | None) -> str | list[str] | None:
    """ "auto", or names with commas between them."""
    return text if text in (None, "auto") else [name.strip() for name in text.split(",")]


def _set_checkpoints(synthesizer: Any, options: argparse.Namespace) -> None:
    """As the options say.

    Raises:
        UserError: there is something to resume or a frequency, and no folder.
    """
    if options.checkpoints is None:
        for name in ("resume", "checkpoint_every"):
            if getattr(options, name):
                flag = name.replace("_", "-")
                raise UserError(f"--{flag} needs --checkpoints FOLDER")
        return
    every = options.checkpoint_every or {"every_epochs": 1}
    synthesizer.set_checkpoints(options.checkpoints, **({"every_epochs": None} | every))


def _every(text: str) -> dict[str, float]:
    """``5`` epochs, ``500steps`` or ``60s``."""
    for end, name, kind in (("steps", "every_steps", int), ("s", "every_seconds", float)):
        if text.endswith(end):
            return {name: _above_zero(text.removesuffix(end), kind)}
    return {"every_epochs": _above_zero(text, int)}


def _above_zero(text: str, kind: type) -> Any:
    value = kind(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def split(frame: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit and rows to hold out, at random, each in the order of the table.

    Raises:
        UserError: either part would be empty.
    """
    held = round(share * len(frame))
    if not 0 < held < len(frame):
        raise UserError(
            f"--holdout {share:g} of {len(frame)} rows leaves one part empty; "
            "give a share between 0 and 1, such as 0.1"
        )
    order = np.random.default_rng(seed).permutation(len(frame))
    train, holdout = (
        frame.iloc[np.sort(rows)].reset_index(drop=True) for rows in (order[held:], order[:held])
    )
    return train, holdout


def fit(options: argparse.Namespace) -> int:
    from sdv_wgangp import sdv_versions
    from sdv_wgangp.models.tabular import NonFiniteLossError

    say = _printer(options)
    model = Path(options.model)
    check_folder(model)
    frame = read_table(options.data)
    metadata = _settle_metadata(options.metadata, frame, model, say)
    held = []
    if options.holdout is not None:
        frame, rest = split(frame, options.holdout, options.seed or 0)
        for name, table in (("train", frame), ("holdout", rest)):
            held.append(model.with_name(f"{model.stem}.{name}.csv"))
            write_table(table, held[-1])
    synthesizer = make_synthesizer(metadata, options, _shows_progress(options))
    _set_checkpoints(synthesizer, options)
    started = time.perf_counter()
    train = synthesizer.fit
    if options.resume:
        train = partial(synthesizer.resume, exact=not options.inexact)
    try:
        with _calm(options.quiet):
            train(sdv_versions.as_fit_input(metadata, frame))
    except NonFiniteLossError as error:
        save_model(synthesizer, model)
        raise UserError(f"{one_line(error)}; that model was written to {model}") from error
    seconds = time.perf_counter() - started
    save_model(synthesizer, model)
    say(f"fitted {len(frame):,} rows, {len(frame.columns)} columns in {seconds:.1f} s")
    say(f"model     {model}")
    say(f"metadata  {metadata_path(model)}")
    if held:
        say(f"fitted rows {held[0]}, held-out rows {held[1]}; after sampling, compare with:")
        say(
            f"  sdv-wgangp report {held[0]} SYNTHETIC.csv --holdout {held[1]} "
            f"--metadata {metadata_path(model)}"
        )
    return 0


def save_model(synthesizer: Any, path: Path) -> None:
    """Save to a model file where the suffix asks for one, and as a pickle otherwise."""
    from sdv_wgangp.saving import SUFFIX

    save = synthesizer.save_model if path.suffix.lower() == SUFFIX else synthesizer.save
    save(str(path))


def load_model(path: str | Path) -> Any:
    """A saved synthesizer; a model file or a pickle, by its suffix.

    Raises:
        UserError: there is none at ``path``.
    """
    from sdv.errors import VersionError

    from sdv_wgangp import saving, sdv_versions

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; make a model with sdv-wgangp fit")
    if path.suffix.lower() == saving.SUFFIX:
        try:
            return saving.load_model(path)
        except (saving.ModelFileError, VersionError) as error:
            raise UserError(one_line(error)) from error
    try:
        model = sdv_versions.load(path)
    except Exception as error:  # unpickling a file of another kind can raise anything
        raise UserError(f"{path}: is not a saved synthesizer ({one_line(error)})") from error
    if not hasattr(model, "sample"):
        raise UserError(f"{path}: is not a saved synthesizer but a {type(model).__name__}")
    return model


def sample_chunks(synthesizer: Any, rows: int, chunk: int = CHUNK) -> Iterator[pd.DataFrame]:
    """``rows`` rows in frames of at most ``chunk``."""
    from sdv_wgangp import sdv_versions

    while rows > 0:
        count = min(rows, chunk)
        yield sdv_versions.as_frame(synthesizer.sample(num_rows=count))
        rows -= count


def seed_sampling(synthesizer: Any, seed: int | None) -> None:
    """Make the next rows depend on ``seed``; None is SDV's fixed start."""
    synthesizer.reset_sampling()
    if seed is not None and synthesizer._model is not None:
        synthesizer._set_random_state(seed)


def sample(options: argparse.Namespace) -> int:
    say = _printer(options)
    with _calm(options.quiet):
        synthesizer = load_model(options.model)
        seed_sampling(synthesizer, options.seed)
        started = time.perf_counter()
        with TableWriter(options.output) as out:
            for frame in sample_chunks(synthesizer, options.rows):
                out.write(frame)
    seconds = time.perf_counter() - started
    say(f"{options.rows:,} rows in {seconds:.1f} s: {options.output}")
    return 0


# --------------------------------------------------------------------------- report, demo, status


def report(options: argparse.Namespace) -> int:
    from sdv_wgangp import sdv_versions
    from sdv_wgangp.reporting.report import build_report

    for output in (options.html, options.json):
        if output is not None:
            check_folder(Path(output))
    model = None if options.model is None else load_model(options.model)
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
    with _calm():
        result = build_report(
            real,
            synthetic,
            metadata,
            target=options.target,
            holdout=holdout,
            loss_values=None if model is None else model.get_loss_values(),
            title=f"{Path(options.synthetic).name} compared with {Path(options.real).name}",
            seed=options.seed or 0,
            model=model,
            files={name: getattr(options, name) for name in REPORT_FILES},
        )
    print(result.to_text())
    if options.html is not None:
        print(f"\nreport  {result.to_html(options.html)}")
    if options.json is not None:
        print(f"\njson    {result.to_json(options.json)}")
    return 0


def demo_table() -> tuple[pd.DataFrame, dict[str, str]]:
    """Gapminder's country-years as plotly ships them: 1,704 rows, and the type of each column.

    The country and its codes are left out: with twelve rows each they are names, not categories.
    """
    import plotly.data

    frame = plotly.data.gapminder()[["continent", "year", "lifeExp", "pop", "gdpPercap"]]
    types = dict.fromkeys(frame.columns, "numerical") | {"continent": "categorical"}
    return frame, types


def demo(options: argparse.Namespace) -> int:
    from sdv.metadata import Metadata

    from sdv_wgangp import sdv_versions
    from sdv_wgangp.reporting.report import build_report

    say = _printer(options)
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
        name, title, target = "gapminder", DEMO_TITLE, "lifeExp"
    else:
        name = title = options.dataset
        target = None
        frame, metadata = _download(name)
    target = options.target or target
    if target is not None and target not in frame:
        raise UserError(f"--target {target}: {name} has the columns {_few(list(frame))}")
    folder.mkdir(parents=True, exist_ok=True)
    train, holdout = split(frame, 0.2, seed=0)
    say(f"{title}: fitting {len(train):,} rows, {len(holdout):,} held out")
    metadata.save_to_json(str(folder / f"{name}.metadata.json"), mode="overwrite")
    with _calm(options.quiet):
        synthesizer = make_synthesizer(metadata, options, _shows_progress(options))
        started = time.perf_counter()
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
        "model": folder / f"{name}.pkl",
        "metadata": folder / f"{name}.metadata.json",
        "fitted rows": folder / f"{name}.train.csv",
        "held-out rows": folder / f"{name}.holdout.csv",
        "synthetic rows": folder / f"{name}.synthetic.csv",
        "report": folder / f"{name}.html",
    }
    save_model(synthesizer, files["model"])
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
    from sdv_wgangp import sdv_versions

    try:
        with _calm():
            return sdv_versions.download_demo(name)
    except Exception as error:  # the network, the store behind it, or an unknown name
        raise UserError(
            f"--dataset {name}: cannot be downloaded ({one_line(error)}); check the name and the "
            "internet connection, or leave --dataset out to use the table that needs neither"
        ) from error


def status(options: argparse.Namespace) -> int:
    from sdv_wgangp import ops

    print(ops.status())
    return 0


# --------------------------------------------------------------------------- the command line


def _printer(options: argparse.Namespace):
    def say(text: str) -> None:
        if not options.quiet:
            print(text, flush=True)

    return say


def _shows_progress(options: argparse.Namespace) -> bool:
    return options.verbose or (not options.quiet and sys.stderr.isatty())


@contextmanager
def _calm(quiet: bool = False) -> Iterator[None]:
    """Warnings as one line each, or none, and never those addressed to programmers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING if quiet else logging.INFO)

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if not quiet:
            print(f"sdv-wgangp: warning: {one_line(message)}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
                warnings.simplefilter("ignore", category)
            warnings.showwarning = show
            yield
    finally:
        logging.disable(level)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 .. 4294967295")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share between 0 and 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


for _type, _name in (
    (_count, "positive number"),
    (_seed, "seed"),
    (_share, "share"),
    (_seconds, "number of seconds"),
    (_every, "frequency"),
):
    _type.__name__ = _name  # what argparse calls the type in "invalid ... value"


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``sdv-wgangp`` and its subcommands."""
    parser = Parser(
        prog="sdv-wgangp",
        description="Synthetic tables by a Wasserstein GAN with gradient penalty, for SDV.",
        epilog=(
            "examples:\n"
            "  sdv-wgangp demo\n"
            "  sdv-wgangp fit people.csv --model people.pkl --holdout 0.1\n"
            "  sdv-wgangp sample people.pkl --rows 10000 --output synthetic.csv\n"
            "  sdv-wgangp report people.train.csv synthetic.csv --holdout people.holdout.csv "
            "--html report.html\n"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_versions())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text, example, long=""):
        made = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}. {long}".strip(),
            epilog="examples:\n" + "\n".join(f"  sdv-wgangp {line}" for line in example),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run, verbose=False, quiet=False)
        made.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return made

    def loudness(made):
        loud = made.add_mutually_exclusive_group()
        loud.add_argument(
            "--verbose", action="store_true", help="show progress also where there is no terminal"
        )
        loud.add_argument("--quiet", action="store_true", help="print nothing but errors")

    def training(made, epochs):
        made.add_argument(
            "--epochs",
            type=_count,
            default=epochs,
            metavar="N",
            help=f"passes over the table (default: {epochs or TrainingSettings().epochs})",
        )
        made.add_argument(
            "--batch-size", type=_count, metavar="N", help="rows per step (default: 500)"
        )
        made.add_argument(
            "--seed", type=_seed, metavar="N", help="make the fit repeatable (default: none)"
        )
        made.add_argument(
            "--no-calibrate",
            action="store_true",
            help="leave out the calibration of each column's distribution after training",
        )
        made.add_argument(
            "--max-seconds",
            type=_seconds,
            metavar="S",
            help="time for the fit; fewer epochs are made where they do not fit in",
        )
        made.add_argument(
            "--early-stopping",
            action="store_true",
            help="hold a tenth of the rows out, stop when the score against them no longer rises "
            "and keep the best model",
        )
        made.add_argument(
            "--meta-features",
            metavar="NAMES",
            help="statistics of the table that the generator is made to match: 'auto', or names "
            "with commas between them, like mean,cor,frequency (default: none)",
        )
        made.add_argument(
            "--objective",
            choices=OBJECTIVES,
            help="what generator and critic are trained for (default: wgan-gp)",
        )

    made = command(
        "fit",
        fit,
        "fit a synthesizer to a table and save it",
        [
            "fit people.csv --model people.pkl",
            "fit people.parquet --model people.pkl --metadata people.metadata.json --epochs 500",
            "fit people.csv --model people.pkl --holdout 0.1 --seed 1",
            "fit people.csv --model people.pkl --epochs 1000 --early-stopping --max-seconds 300",
            "fit people.csv --model people.pkl --seed 1 --checkpoints people.checkpoints --resume",
        ],
        "Ctrl-C ends the training early and keeps what was learnt. With --checkpoints so does a "
        "kill: the same command with --resume goes on from there, to the same model.",
    )
    made.add_argument("data", metavar="DATA", help="the table: .csv or .parquet")
    made.add_argument(
        "--model",
        required=True,
        metavar="M",
        help="file to write the model to: *.safetensors, which is loaded without running code "
        "from it, or a pickle",
    )
    made.add_argument(
        "--metadata",
        metavar="M.json",
        help="SDV metadata (default: detected). What was used is written beside the model",
    )
    training(made, None)
    made.add_argument(
        "--checkpoints",
        metavar="FOLDER",
        help="save the training there as it goes on (the last three states and the best)",
    )
    made.add_argument(
        "--checkpoint-every",
        type=_every,
        metavar="N",
        help="epochs from one checkpoint to the next; 500steps or 60s count otherwise "
        "(default: 1)",
    )
    made.add_argument(
        "--resume",
        action="store_true",
        help="continue from the newest checkpoint; without one the fit begins anew and says so",
    )
    made.add_argument(
        "--inexact",
        action="store_true",
        help="with --resume: also with other versions or another number of threads than before, "
        "no longer to the very same model",
    )
    made.add_argument(
        "--holdout",
        type=_share,
        metavar="SHARE",
        help="keep this share of the rows from the synthesizer, for the report; both parts are "
        "written beside the model",
    )
    loudness(made)

    made = command(
        "sample",
        sample,
        "draw rows from a saved synthesizer",
        [
            "sample people.pkl --rows 1000 --output synthetic.csv",
            "sample people.pkl --rows 100000000 --output synthetic.parquet --seed 7",
        ],
        f"Rows are written in pieces of {CHUNK:,}, so memory does not grow with their number.",
    )
    made.add_argument("model", metavar="MODEL", help="a model made by sdv-wgangp fit")
    made.add_argument("--rows", type=_count, required=True, metavar="N", help="how many rows")
    made.add_argument(
        "--output", required=True, metavar="OUT", help="file to write: .csv or .parquet"
    )
    made.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="other rows for another seed (default: SDV's fixed start, always the same rows)",
    )
    loudness(made)

    made = command(
        "report",
        report,
        "score a synthetic table against the real one",
        [
            "report people.csv synthetic.csv",
            "report people.train.csv synthetic.csv --holdout people.holdout.csv "
            "--target income --model people.pkl --html report.html",
        ],
    )
    made.add_argument("real", metavar="REAL", help="the rows that the synthesizer was fitted to")
    made.add_argument("synthetic", metavar="SYNTHETIC", help="its rows")
    made.add_argument("--metadata", metavar="M.json", help="SDV metadata (default: detected)")
    made.add_argument(
        "--target",
        metavar="COLUMN",
        help="also train a model on synthetic rows that predicts this column of real rows",
    )
    made.add_argument(
        "--holdout",
        metavar="FILE",
        help="real rows that the synthesizer never saw: reference values and nearest-record share",
    )
    made.add_argument("--model", metavar="M", help="the model, for its loss curves on the page")
    made.add_argument("--html", metavar="OUT.html", help="also write a page with plots")
    made.add_argument("--json", metavar="OUT.json", help="also write all figures as JSON")
    made.add_argument("--seed", type=_seed, metavar="N", help="of subsamples and models")

    made = command(
        "demo",
        demo,
        "fit, sample and judge a table that needs no download",
        [
            "demo",
            "demo --output-folder out --epochs 50",
            "demo --dataset adult --target income",
        ],
        "Model, metadata, tables and report are written to the output folder.",
    )
    made.add_argument(
        "--dataset",
        metavar="NAME",
        help="one of SDV's public single-table demo data sets (needs internet)",
    )
    made.add_argument("--target", metavar="COLUMN", help="column to predict in the report")
    training(made, DEMO_EPOCHS)
    made.add_argument(
        "--output-folder",
        default="sdv-wgangp-demo",
        metavar="FOLDER",
        help="where to write (default: sdv-wgangp-demo)",
    )
    loudness(made)

    command(
        "status",
        status,
        "say which operators are compiled and which are not, and why",
        ["status"],
    )
    return parser


def _versions() -> str:
    from importlib.metadata import version

    others = ", ".join(f"{name} {version(name)}" for name in ("sdv", "sdmetrics", "torch"))
    return f"sdv-wgangp {__version__} ({others})"


def _is_users(error: Exception) -> bool:
    """Whether an exception tells what to put right, and not of a defect of the program."""
    if isinstance(error, UserError | ValueError | ImportError | OSError):
        return True
    return type(error).__module__.split(".")[0] in ("sdv_wgangp", "sdv", "rdt", "sdmetrics")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is success, 1 a defect of the program, 2 an error of use, 130 an interruption by Ctrl-C.
    """
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print(f"sdv-wgangp {options.command}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            raise
        if _is_users(error):
            print(f"sdv-wgangp {options.command}: error: {one_line(error)}", file=sys.stderr)
            return 2
        print(
            f"sdv-wgangp {options.command}: unexpected {type(error).__name__}: "
            f"{one_line(error)} (--debug shows where)",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
