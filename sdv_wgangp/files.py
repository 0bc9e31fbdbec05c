"""Tables in and out of files, with errors that name the file and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sdv_wgangp.user_errors import UserError, one_line


def read_table(path: str | Path) -> pd.DataFrame:
    """A CSV (also compressed) or Parquet file.

    Raises:
        UserError: it is missing, unreadable, of another kind, or has no rows.
    """
    path = Path(path)
    kind = _kind(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        # low_memory=False: the type of a column is decided by all of its rows, not by blocks.
        frame = pd.read_parquet(path) if kind == "parquet" else pd.read_csv(path, low_memory=False)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the file is not UTF-8 text; save it as UTF-8") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as {kind} ({one_line(error)})") from error
    if len(frame) == 0 or len(frame.columns) == 0:
        raise UserError(f"{path}: the table has no rows")
    if kind == "csv":
        # pandas would silently call the second one "name.1".
        header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna()
        twice = header[header.duplicated()]
        if len(twice):
            raise UserError(f"{path}: two columns are called {twice.iloc[0]!r}; rename one")
    frame.columns = frame.columns.map(str)
    return frame.reset_index(drop=True)


def _kind(path: Path) -> str:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith((".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip")):
        return "csv"
    raise UserError(f"{path}: give a .csv or .parquet file")


class TableWriter:
    """Writes one table piece by piece, so that memory does not grow with its rows.

    The file appears under its name when it is complete: an interrupted run leaves none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.kind = _kind(self.path)
        if self.kind == "csv" and self.path.suffix.lower() == ".zip":
            raise UserError(f"{path}: writing .zip is not supported; use .csv or .csv.gz")
        check_folder(self.path)
        self._partial = self.path.with_name("." + self.path.name)
        self._parquet: Any = None
        self._started = False

    def __enter__(self) -> TableWriter:
        return self

    def write(self, frame: pd.DataFrame) -> None:
        if self.kind == "csv":
            frame.to_csv(
                self._partial,
                mode="a" if self._started else "w",
                index=False,
                header=not self._started,
            )
        else:
            self._write_parquet(frame)
        self._started = True

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
                self._schema = pyarrow.schema(fields)
                self._parquet = parquet.ParquetWriter(self._partial, self._schema)
            self._parquet.write_table(
                pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
            )
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
            raise UserError(
                f"{self.path}: a column mixes types that Parquet keeps apart "
                f"({one_line(error)}); write .csv instead"
            ) from error

    def __exit__(self, kind, error, trace) -> None:
        if self._parquet is not None:
            self._parquet.close()
        if kind is None and self._started:
            self._partial.replace(self.path)
        else:
            self._partial.unlink(missing_ok=True)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """The whole ``frame`` as a CSV or Parquet file."""
    with TableWriter(path) as out:
        out.write(frame)


def check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file name")
