"""Options of tables of sequences, and the synthesizer that they ask for."""

from __future__ import annotations

import argparse
from typing import Any

from sdv_wgangp.cli.options import given_parameters, reading
from sdv_wgangp.parameters import PARAMETERS, count
from sdv_wgangp.user_errors import UserError, one_line

# What the synthesizer of sequences has of the parameters.
SHARED = ("epochs", "verbose", "enable_gpu", "random_state")


def add_sequences(parser: argparse.ArgumentParser) -> None:
    """Options that say what the sequences of a table are."""
    group = parser.add_argument_group(
        "sequences",
        f"With --sequence-key the table is one of sequences; of the parameters, "
        f"{', '.join(PARAMETERS[name].option for name in SHARED)} count then.",
    )
    group.add_argument("--sequence-key", metavar="COLUMN", help="tells the sequences apart")
    group.add_argument(
        "--sequence-index", metavar="COLUMN", help="when each row is: numbers or dates"
    )
    group.add_argument(
        "--context-columns",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        metavar="COLUMN,...",
        help="do not change within a sequence",
    )
    group.add_argument(
        "--segment-size",
        type=reading(count),
        metavar="N",
        help="learn segments of so many rows in the place of whole sequences",
    )


def check_sequences(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    Raises:
        UserError: Names them.
    """
    if options.sequence_key is None:
        for name in ("sequence_index", "context_columns", "segment_size"):
            if getattr(options, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} needs --sequence-key COLUMN")
        return
    for name in given_parameters(options):
        if name not in SHARED:
            raise UserError(
                f"{PARAMETERS[name].option} is no parameter of sequences: leave it out"
            )


def with_sequences(metadata: Any, options: argparse.Namespace, frame: Any) -> Any:
    """Metadata that say what the options do; as they are without ``--sequence-key``.

    Raises:
        UserError: A column is not in the table, or cannot be what it is named as.
    """
    from sdv_wgangp.synthesizers import sdv_versions

    if options.sequence_key is None:
        return metadata
    named = [options.sequence_key, options.sequence_index, *(options.context_columns or [])]
    for name in named:
        if name is not None and name not in frame.columns:
            raise UserError(f"column {name!r} is not in the table")
    try:
        return sdv_versions.with_sequences(metadata, options.sequence_key, options.sequence_index)
    except Exception as error:  # SDV's own classes, which differ by version
        raise UserError(one_line(error)) from error


def synthesizer_of(metadata: Any, options: argparse.Namespace) -> Any:
    """The synthesizer of the table, of sequences or not."""
    from sdv_wgangp.sequential import DoppelGANgerSynthesizer
    from sdv_wgangp.single_table import WGANGPMFSSynthesizer

    given = given_parameters(options)
    if options.sequence_key is None:
        return WGANGPMFSSynthesizer(metadata, **given)
    return DoppelGANgerSynthesizer(
        metadata,
        context_columns=options.context_columns,
        segment_size=options.segment_size,
        **given,
    )
