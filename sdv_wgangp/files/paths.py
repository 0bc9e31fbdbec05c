"""What files are, and whether they can be written, before the work for them begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sdv_wgangp.persistence.durable import partial_file
from sdv_wgangp.user_errors import UserError

TEXT = (".csv", ".tsv", ".txt")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip")


def kind_of(path: str | Path) -> str:
    """ "csv" or "parquet".

    Raises:
        UserError: It is neither, by its name.
    """
    name = Path(path).name.lower()
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    if name.endswith((*TEXT, *(text + packed for text in TEXT for packed in COMPRESSED))):
        return "csv"
    raise UserError(
        f"{path}: give a .csv, .tsv, .txt (also .gz, .bz2, .xz, .zip) or .parquet file"
    )


def kind_of_text(path: str | Path) -> str:
    """The suffix of a text file, packed or not: ".csv", ".tsv" or ".txt"."""
    path = Path(str(path).lower())
    return path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix


def check_folder(path: str | Path) -> None:
    """Check that a file can be made, by making one beside it.

    Raises:
        UserError: Its folder is missing or cannot be written to, or it is a folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file name")
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{path}: is read-only; give another file or make it writable")
    if is_stream(path):
        return
    try:
        with partial_file(path, keep=False) as probe:
            probe.write_bytes(b"\0")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error


def is_stream(path: Path) -> bool:
    """Whether it is a pipe, a terminal or a device, which is written as it is."""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_outputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Check that nothing that is read is overwritten, and no file written twice.

    Links, and other spellings of a path, are seen through.

    Raises:
        UserError: Names the two that are one file.
    """
    taken = [(Path(path), "is read as well") for path in inputs]
    for path in map(Path, outputs):
        for other, why in taken:
            if _same_file(path, other):
                raise UserError(
                    f"{path}: would be overwritten, and {why}"
                    + ("" if str(path) == str(other) else f" (as {other})")
                    + "; give another file for the output"
                )
        taken.append((path, "is another output"))


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one is not there yet
        return one.resolve() == other.resolve()
