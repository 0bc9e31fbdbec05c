"""``sdv-wgangp fit``."""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from sdv_wgangp.cli.options import (
    add_command,
    add_loudness,
    add_parameters,
    add_reading,
    fraction,
    given_format,
    reading,
)
from sdv_wgangp.cli.output import calm, printer, shows_progress
from sdv_wgangp.cli.sequences import (
    add_sequences,
    check_sequences,
    synthesizer_of,
    with_sequences,
)
from sdv_wgangp.cli.termination import system_default
from sdv_wgangp.user_errors import UserError, one_line
from sdv_wgangp.values import count, number


def add(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "fit",
        run,
        "fit a synthesizer to a table and save it",
        [
            "fit people.csv --model m.safetensors",
            "fit people.parquet --model m.safetensors --metadata people.json --epochs 500",
            "fit people.csv --model m.safetensors --holdout 0.1 --seed 1",
            "fit people.csv --model m.safetensors --epochs 999 --early-stopping --max-seconds 300",
            "fit people.csv --model m.safetensors --meta-features mean,cor "
            "--meta-feature-weight mean=1,cor=0.5",
            "fit people.csv --model m.safetensors --objective hinge --gradient-penalty r1 "
            "--generator-dim 512,512",
            "fit visits.csv --model m.safetensors --sequence-key patient --sequence-index day "
            "--context-columns sex,age",
            "fit people.csv --model m.safetensors --seed 1 --checkpoints m.checkpoints --resume",
        ],
        "Ctrl-C ends the training early and keeps what was learnt. With --checkpoints so does a "
        "kill: the same command with --resume goes on from there, to the same model.",
        usage="DATA --model M [OPTION ...]",
    )
    parser.add_argument("data", metavar="DATA", help="the table: .csv, .tsv, .txt or .parquet")
    parser.add_argument(
        "--model",
        required=True,
        metavar="M",
        help="file to write the model to: *.safetensors, which is loaded without running code "
        "from it, or a pickle, which runs code when it is loaded",
    )
    parser.add_argument(
        "--metadata",
        metavar="M.json",
        help="SDV metadata (default: detected). What was used is written beside the model",
    )
    parser.add_argument(
        "--holdout",
        type=reading(fraction),
        metavar="SHARE",
        help="keep this share of the rows from the synthesizer, for the report; both parts are "
        "written beside the model",
    )
    add_loudness(parser)
    add_reading(parser, "DATA")
    add_sequences(parser)
    add_parameters(parser)
    saved = parser.add_argument_group("checkpoints")
    saved.add_argument(
        "--checkpoints",
        metavar="FOLDER",
        help="save the training there as it goes on (the last three states and the best)",
    )
    saved.add_argument(
        "--checkpoint-every",
        type=reading(every),
        metavar="N",
        help="epochs from one checkpoint to the next; 500steps or 60s count otherwise "
        "(default: 1)",
    )
    saved.add_argument(
        "--resume",
        action="store_true",
        help="continue from the newest checkpoint; without one the fit begins anew and says so",
    )
    saved.add_argument(
        "--inexact",
        action="store_true",
        help="with --resume: also with other versions or another number of threads than before, "
        "no longer to the very same model",
    )


def every(text: str) -> dict[str, float]:
    """``5`` epochs, ``500steps`` or ``60s``.

    Example:
        >>> every("5"), every("60s")
        ({'every_epochs': 5}, {'every_seconds': 60.0})
    """
    if text.endswith("steps"):
        return {"every_steps": count(text.removesuffix("steps"))}
    if text.endswith("s"):
        seconds = number(text.removesuffix("s"), "frequency")
        if not 0 < seconds < float("inf"):
            raise ValueError(f"{text} is not above 0")
        return {"every_seconds": seconds}
    return {"every_epochs": count(text)}


def run(options: argparse.Namespace) -> int:
    """Fit, and write the model."""
    from sdv_wgangp.cli.course import Course
    from sdv_wgangp.cli.metadata import (
        check_columns,
        detected,
        metadata_path,
        read_metadata,
        stem_of,
        text_columns,
        without_ranges,
        write_metadata,
    )
    from sdv_wgangp.cli.models import check_model_file, save_model, split
    from sdv_wgangp.files import (
        check_folder,
        check_outputs,
        is_stream,
        read_table,
        write_table,
    )
    from sdv_wgangp.models.tabular import NonFiniteLossError
    from sdv_wgangp.synthesizers import sdv_versions

    say = printer(options)
    check_sequences(options)
    model = Path(options.model)
    held = []
    if options.holdout is not None:
        held = [model.with_name(f"{stem_of(model)}.{name}.csv") for name in ("train", "holdout")]
    inputs = [options.data]
    described = metadata_path(model)
    if options.metadata is not None and described.resolve() != Path(options.metadata).resolve():
        inputs.append(options.metadata)
    outputs = [model, described, *held]
    check_outputs(outputs, inputs)
    if is_stream(model):
        raise UserError(f"{model}: is a pipe or a device; give a file for the model")
    for output in outputs:
        check_folder(output)
    given = None if options.metadata is None else read_metadata(options.metadata)
    text = () if given is None else text_columns(given)
    frame = read_table(options.data, given_format(options), text, say)
    say(f"read {len(frame):,} rows, {len(frame.columns)} columns")
    if given is not None:
        check_columns(given, options.metadata, frame)
    metadata = detected(frame, model, say) if given is None else given
    metadata = with_sequences(metadata, options, frame)
    kept_metadata = without_ranges(metadata) if given is None else metadata
    if options.holdout is not None:
        frame, rest = split(
            frame, options.holdout, options.random_state or 0, options.sequence_key
        )
        for path, table in zip(held, (frame, rest), strict=True):
            write_table(table, path)
    with warnings.catch_warnings():
        # They are written with the model.
        warnings.filterwarnings("ignore", "We strongly recommend saving the metadata")
        synthesizer = synthesizer_of(metadata, options)
    check_model_file(synthesizer, sdv_versions.as_fit_input(metadata, frame), model)
    _set_checkpoints(synthesizer, options)
    if not shows_progress(options):
        synthesizer.set_callbacks([Course(say)])
    started = time.perf_counter()
    train = synthesizer.fit
    if options.resume:
        train = partial(synthesizer.resume, exact=not options.inexact)
    try:
        with calm(options.quiet), system_default():
            train(sdv_versions.as_fit_input(metadata, frame))
    except NonFiniteLossError as error:
        model = save_model(synthesizer, model)
        write_metadata(kept_metadata, described)
        raise UserError(f"{one_line(error)}; that model was written to {model}") from error
    seconds = time.perf_counter() - started
    with calm():  # also with --quiet: where the model is, if it is elsewhere
        kept = save_model(synthesizer, model)
    write_metadata(kept_metadata, described)
    say(f"fitted {len(frame):,} rows, {len(frame.columns)} columns in {seconds:.1f} s")
    say(f"model     {kept}")
    say(f"metadata  {described}")
    if held:
        say(f"fitted rows {held[0]}, held-out rows {held[1]}; after sampling, compare with:")
        say(
            f"  sdv-wgangp report {held[0]} SYNTHETIC.csv --holdout {held[1]} "
            f"--metadata {described}"
        )
    return 0 if kept == model else 1


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
    frequency = options.checkpoint_every or {"every_epochs": 1}
    synthesizer.set_checkpoints(options.checkpoints, **({"every_epochs": None} | frequency))
