"""Tables into files."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pandas as pd

from sdv_wgangp.files.paths import check_folder, is_stream, kind_of, kind_of_text
from sdv_wgangp.persistence.durable import partial_file
from sdv_wgangp.user_errors import UserError, one_line

STDOUT = "-"


class TableWriter:
    """Writes one table piece by piece, so that memory does not grow with its rows.

    The file appears under its name when it is complete: an interrupted run leaves none, and what
    was there before stays. Runs that write to one file at once do not disturb each other; the last
    to end is the one that stays.

    Args:
        path: A CSV or Parquet file; ``"-"`` for CSV on standard output. Pipes are written as the
            pieces come.

    Raises:
        UserError: The file cannot be made, or is of another kind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "table.csv"
        >>> with TableWriter(path) as out:
        ...     for number in (1, 2):
        ...         out.write(pd.DataFrame({"x": [number]}))
        >>> path.read_text().split()
        ['x', '1', '2']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._stream = str(path) == STDOUT or is_stream(self.path)
        self.kind = "csv" if self._stream else kind_of(self.path)
        if not self._stream:
            if self.path.suffix.lower() == ".zip":
                raise UserError(f"{path}: writing .zip is not supported; use .csv or .csv.gz")
            check_folder(self.path)
        self._separator = "\t" if kind_of_text(self.path) == ".tsv" else ","
        self._place = contextlib.ExitStack()
        self._partial: Any = None
        self._parquet: Any = None
        self._started = False

    def __enter__(self) -> TableWriter:
        if str(self.path) == STDOUT:
            self._partial = self._place.enter_context(_standard_output())
        elif self._stream:
            self._partial = self._place.enter_context(open(self.path, "w", encoding="utf-8"))
        return self

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows.

        Raises:
            UserError: A column mixes types that Parquet keeps apart.
        """
        if self._partial is None:
            self._partial = self._place.enter_context(partial_file(self.path))
        if self.kind == "csv":
            frame.to_csv(
                self._partial,
                mode="a" if self._started else "w",
                index=False,
                header=not self._started,
                sep=self._separator,
                compression=self._compression,
            )
        else:
            self._write_parquet(frame)
        self._started = True

    @property
    def _compression(self) -> Any:
        names = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz"}
        return None if self._stream else names.get(self.path.suffix.lower())

    def _write_parquet(self, frame: pd.DataFrame) -> None:
        import pyarrow
        from pyarrow import parquet

        try:
            if self._parquet is None:
                table = pyarrow.Table.from_pandas(frame, preserve_index=False)
                # A column without a value in the first piece may have some in a later one.
                fields = [
                    pyarrow.field(each.name, pyarrow.string())
                    if pyarrow.types.is_null(each.type)
                    else each
                    for each in table.schema
                ]
                self._schema = pyarrow.schema(fields, metadata=table.schema.metadata)
                self._parquet = parquet.ParquetWriter(self._partial, self._schema)
            self._parquet.write_table(
                pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
            )
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise UserError(
                f"{self.path}: a column mixes types that Parquet keeps apart "
                f"({one_line(error)}); write .csv instead"
            ) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._place.__exit__(kind, error, trace)


@contextlib.contextmanager
def _standard_output() -> Iterator[IO[str]]:
    """It, as text in the encoding of files, whatever that of the terminal is."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # text in the place of a stream
        yield sys.stdout
        return
    sys.stdout.flush()
    text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
    try:
        yield text
        text.flush()
    finally:
        with contextlib.suppress(OSError):  # raised already
            text.detach()


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """The whole ``frame`` as a CSV or Parquet file.

    Raises:
        UserError: As `TableWriter`.
    """
    with TableWriter(path) as out:
        out.write(frame)


def write_text(path: str | Path, text: str) -> None:
    """A whole text file, or what was there before.

    Raises:
        UserError: It cannot be written.
    """
    path = Path(path)
    try:
        if is_stream(path):
            path.write_text(text, encoding="utf-8")
            return
        with partial_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
