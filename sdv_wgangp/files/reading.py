"""Tables out of files: what a file leaves open is detected, said, and can be told.

A text file says nothing of its separator, its decimal mark, its encoding, of what stands for a
missing value, and of which digits are a number. **What would change a value is not done**: a
column of digits with leading zeros is text, integers with blanks stay integers, "NA" in a column
of text is a value. What was decided is given to ``say``, one line each.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from sdv_wgangp.files.paths import kind_of, kind_of_text
from sdv_wgangp.user_errors import UserError, one_line

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE = 2**18  # bytes that are looked at to detect a format
# What stands for a missing value where all the rest of a column are numbers.
MARKS = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", "?", "-", ".")
KINDS = ("text", "number")
WHOLE, LEADING_ZERO = r"^[+-]?[0-9]+$", r"^[+-]?0[0-9]+$"
THOUSANDS = r"^[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+$"
POINTS = r"^[+-]?([0-9]*\.?[0-9]+|[0-9]{1,3}(\.[0-9]{3})+)$"
DECIMAL_COMMA = r"^[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Format:
    """What is known of a text file; None for what is to be detected.

    Attributes:
        separator: Of values, one character.
        decimal: "." or ",".
        encoding: As Python knows it, like "utf-8", "cp1252", "utf-16".
        header: Whether the first line names the columns; without, they are "column 1" and so on.
        na: What stands for a missing value, in every column, beside empty cells.
        dtype: "text" or "number" for columns that are to be that.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    na: tuple[str, ...] = ()
    dtype: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.separator is not None and len(self.separator) != 1:
            raise UserError(f"the separator must be one character, not {self.separator!r}")
        if self.decimal not in (None, ".", ","):
            raise UserError(f'the decimal mark must be "." or ",", not {self.decimal!r}')
        if self.decimal is not None and self.decimal == self.separator:
            raise UserError(f"separator and decimal mark are both {self.decimal!r}")
        for name, kind in self.dtype.items():
            if kind not in KINDS:
                raise UserError(f"column {name!r}: the type is text or number, not {kind!r}")


def _silent(line: str) -> None:
    pass


def read_table(
    path: str | Path,
    form: Format | None = None,
    text: Collection[str] = (),
    say: Callable[[str], None] = _silent,
) -> pd.DataFrame:
    """A text file (CSV, tabs, also compressed) or a Parquet file.

    Args:
        path: Of the file.
        form: What is known of a text file.
        text: Columns whose values are text whatever they look like: metadata call them names,
            keys, postcodes.
        say: Told what was detected.

    Returns:
        Columns of int64, Int64 (integers with blanks), float64, bool, or object (text, with NaN
        for missing values); a Parquet file's own types. Named indexes are columns.

    Raises:
        UserError: It is missing, unreadable, of another kind, has no rows, or a line does not fit
            the others; names the line or column, and the remedy.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "people.csv"
        >>> _ = path.write_text("zip;height\\n01001;1,75\\n10115;\\n")
        >>> read_table(path, say=print)
        people.csv: columns are separated by semicolon, decimals by comma
        people.csv: 'zip' has leading zeros and is text
             zip  height
        0  01001    1.75
        1  10115     NaN
    """
    path, form = Path(path), form or Format()
    kind = kind_of(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file")
    if kind == "parquet" and form != Format():
        raise UserError(f"{path}: says what its columns are; options of text files are not for it")
    frame = _read_parquet(path) if kind == "parquet" else _TextFile(path, form, say).read(text)
    if len(frame) == 0 or len(frame.columns) == 0:
        raise UserError(f"{path}: the table has no rows")
    frame.columns = frame.columns.map(str)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
    unknown = [name for name in form.dtype if name not in frame.columns]
    if unknown:
        raise UserError(f"{path}: has no column {unknown[0]!r}, for which a type is given")
    return frame


# Integers of Arrow, and of pandas with missing values.
_NULLABLE = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
}


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = parquet.read_table(path)
        for place, each in enumerate(table.schema):
            if pa.types.is_decimal(each.type):
                number = _as_plain_number(table.column(place))
                table = table.set_column(place, each.name, number)
        frame = table.to_pandas()
        for place, each in enumerate(table.schema):
            # Beside a missing one integers are made floats, which the large ones are not.
            if each.type in _NULLABLE and each.name in frame and frame[each.name].dtype == float:
                whole = table.column(place).to_pandas(types_mapper=_NULLABLE.get)
                frame[each.name] = whole.array
    except (ValueError, OSError, NotImplementedError) as error:
        raise UserError(f"{path}: cannot be read as parquet ({one_line(error)})") from error
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named).reset_index(drop=True)


def _as_plain_number(decimals: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decimals as integers, where they have no places and fit, or as floats."""
    if decimals.type.scale <= 0:
        with contextlib.suppress(pa.ArrowInvalid):
            return pc.cast(decimals, pa.int64())
    return pc.cast(decimals, pa.float64())


class _TextFile:
    """A text file with its format.

    Args:
        path: Of the file.
        form: What is known.
        say: Told what was detected.
    """

    def __init__(self, path: Path, form: Format, say: Callable[[str], None]):
        self._path, self._form, self._say = path, form, say
        try:
            with self._open() as file:
                start = file.read(SAMPLE)
        except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as csv ({one_line(error)})") from error
        self._encoding = _encoding_of(start, form.encoding)
        lines = self._lines(start)
        self._skipped, told = _leading_blanks(lines), form.separator
        lines = lines[self._skipped :]
        if lines and re.fullmatch(r"(?i)sep=.\s*", lines[0]):
            told = told or lines[0][4]
            blanks = _leading_blanks(lines[1:])
            self._skipped, lines = self._skipped + 1 + blanks, lines[1 + blanks :]
        if not lines:
            raise UserError(f"{path}: the table has no rows")
        usual = "\t" if kind_of_text(path) == ".tsv" else None
        self._separator = told or separator_of(lines, usual)
        first = next(csv.reader(lines, delimiter=self._separator), [])
        self._header = form.header
        if form.header is None:
            self._header = True
            cells = [cell.strip() for cell in first]
            if cells and all(_is_number(cell) for cell in cells):
                raise UserError(
                    f"{path}: the first line, {lines[0].strip()[:60]!r}, names no columns: with "
                    "--no-header it is a row like the others, with --header these are names"
                )
        self._names = first if self._header else [f"column {i + 1}" for i in range(len(first))]

    def read(self, text: Collection[str]) -> pd.DataFrame:
        """The table, each column as what it is."""
        columns = self._columns()
        decimal = self._form.decimal
        if decimal is None and self._separator != ",":
            found = [each for each in columns.values() if _has_decimal_commas(each)]
            decimal = "," if found else "."
        if self._separator != "," or decimal == ",":
            mark = "decimals by comma" if decimal == "," else "decimals by point"
            self._tell(f"columns are separated by {_named(self._separator)}, {mark}")
        if not self._header:
            self._tell(f"there is no header: columns are called 'column 1' to '{self._names[-1]}'")
        frame = {}
        for name, values in columns.items():
            kind = self._form.dtype.get(name) or ("text" if name in text else None)
            frame[name] = self._typed(name, values, kind, decimal or ".")
        return pd.DataFrame(frame)

    # ----------------------------------------------------------------- the file

    def _open(self) -> IO[bytes]:
        suffix = self._path.suffix.lower()
        if suffix == ".zip":
            archive = zipfile.ZipFile(self._path)
            inside = [each for each in archive.namelist() if not each.endswith("/")]
            if len(inside) != 1:
                raise UserError(f"{self._path}: holds {len(inside)} files; give one table")
            return archive.open(inside[0])
        openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
        return openers.get(suffix, open)(self._path, "rb")

    def _lines(self, start: bytes) -> list[str]:
        """Whole lines of the beginning, with their ends."""
        try:
            # Of the last character some bytes may be missing.
            text = io.TextIOWrapper(
                io.BytesIO(start),
                self._encoding,
                "ignore" if len(start) == SAMPLE else "strict",
                newline="",
            ).read()
        except (UnicodeDecodeError, LookupError) as error:
            raise self._no_text(error) from error
        lines = list(io.StringIO(text, newline=""))
        return lines[:-1] if len(start) == SAMPLE else lines

    def _no_text(self, error: Exception) -> UserError:
        return UserError(
            f"{self._path}: the file is not {self._encoding.removesuffix('-sig')} text "
            f"({one_line(error)}); give its "
            "--encoding, often cp1252 or utf-16, or save it as UTF-8"
        )

    def _columns(self) -> dict[str, pa.ChunkedArray]:
        """Every column as text."""
        names = [name if name.strip() else f"Unnamed: {i}" for i, name in enumerate(self._names)]
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise UserError(f"{self._path}: two columns are called {twice[0]!r}; rename one")
        read = arrow_csv.ReadOptions(
            column_names=names,
            skip_rows=self._skipped,
            skip_rows_after_names=int(bool(self._header)),
            encoding="utf8" if self._encoding == "utf-8-sig" else self._encoding,
            block_size=2**24,
        )
        parse = arrow_csv.ParseOptions(delimiter=self._separator, newlines_in_values=True)
        convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=["", *self._form.na],
            strings_can_be_null=True,
        )
        try:
            with self._open() as file:
                table = arrow_csv.read_csv(file, read, parse, convert)
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error) or "encoding" in str(error):
                raise self._no_text(error) from error
            if "Empty CSV" in str(error):
                raise UserError(f"{self._path}: the table has no rows") from error
            raise self._ragged(error) from error
        except (UnicodeDecodeError, LookupError) as error:
            raise self._no_text(error) from error
        except (OSError, EOFError, ValueError) as error:
            raise UserError(f"{self._path}: cannot be read as csv ({one_line(error)})") from error
        columns = dict(zip(names, table.columns, strict=True))
        for name, original in zip(names, self._names, strict=True):
            # A separator at the end of every line.
            if not original.strip() and columns[name].null_count == len(columns[name]) > 0:
                del columns[name]
        return columns

    def _ragged(self, error: Exception) -> UserError:
        """Name the first line with more or fewer values than the others."""
        expected = len(self._names)
        with self._open() as file:
            lines = io.TextIOWrapper(file, self._encoding, newline="")
            for _ in range(self._skipped):
                lines.readline()
            rows = csv.reader(lines, delimiter=self._separator)
            for row in rows:
                if row and len(row) != expected:
                    break
            else:
                return UserError(f"{self._path}: cannot be read as csv ({one_line(error)})")
        what = "the header names" if self._header else "the first line has"
        return UserError(
            f"{self._path}: line {rows.line_num + self._skipped} has {len(row)} values, and "
            f"{what} {expected}, separated by {_named(self._separator)}: put values with a "
            f"{_named(self._separator)} into quotes, or give the right --separator"
        )

    # ----------------------------------------------------------------- values

    def _typed(
        self, name: str, values: pa.ChunkedArray, kind: str | None, decimal: str
    ) -> pd.Series | np.ndarray:
        """A column as numbers or truth values, where nothing is lost by it, else as text."""
        present = values.drop_null()
        if kind == "text" or len(present) == 0:
            return _as_text(values) if len(present) else np.full(len(values), np.nan)
        trimmed = pc.utf8_trim_whitespace(values)
        number = None
        if decimal == "." or not pc.any(pc.match_substring(trimmed, ".")).as_py():
            plain = pc.replace_substring(trimmed, decimal, ".")
            number = _as_number(plain)
            if number is None:
                number = self._with_marks(name, plain)
        elif pc.all(pc.match_substring_regex(trimmed, POINTS)).as_py():
            self._tell(f"{name!r} has points where decimals have commas, and is text")
        if number is None:
            if kind == "number":
                wrong = next(each for each in present.to_pylist() if not _is_number(each))
                raise UserError(
                    f"{self._path}: column {name!r} is to be numbers and has {wrong!r}; "
                    f"give --na {wrong} if that is a missing value"
                )
            return _as_truth(trimmed) if _is_truth(trimmed) else self._text_or_truth(name, values)
        if kind is None and pc.any(pc.match_substring_regex(trimmed, LEADING_ZERO)).as_py():
            self._tell(f"{name!r} has leading zeros and is text")
            return _as_text(values)
        if number.dtype == object and kind == "number":
            return values.to_pandas().astype(float)
        if number.dtype == object:
            self._tell(f"{name!r} has more digits than a number can hold and is text")
            return _as_text(values)
        return number

    def _text_or_truth(self, name: str, values: pa.ChunkedArray) -> pd.Series:
        """Truth values among which a mark stands for a missing value; otherwise text."""
        marked = pc.is_in(values, pa.array(MARKS))
        kept = pc.if_else(marked, None, values)
        if kept.null_count == len(kept) or not pc.any(marked).as_py() or not _is_truth(kept):
            return _as_text(values)
        self._tell_marks(name, values, "truth values")
        return _as_truth(kept)

    def _with_marks(self, name: str, values: pa.ChunkedArray) -> pd.Series | None:
        """Numbers among which one of the usual marks stands for a missing value."""
        kept = pc.if_else(pc.is_in(values, pa.array(MARKS)), None, values)
        if kept.null_count == len(kept):
            return None
        number = _as_number(kept)
        if number is not None:
            self._tell_marks(name, values, "numbers")
        return number

    def _tell_marks(self, name: str, values: pa.ChunkedArray, others: str) -> None:
        marked = values.filter(pc.is_in(values, pa.array(MARKS)))
        marks = pc.unique(marked).to_pylist()
        self._tell(f"{name!r} has {others}, and {_listed(marks)} {len(marked):,} times: missing")

    def _tell(self, text: str) -> None:
        self._say(f"{self._path.name}: {text}")


# --------------------------------------------------------------------------- detection


def separator_of(lines: Sequence[str], usual: str | None = None) -> str:
    """The separator under which all lines have as many values as the first, and the most.

    Args:
        lines: Of the beginning.
        usual: What is taken where several would do, or none.

    Example:
        >>> separator_of(["a;b", "1,5;2,5"])
        ';'
    """
    found: list[tuple[bool, bool, int, str]] = []
    for separator in SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:
            continue
        # A quoted value may go on behind the lines that are here.
        same = sum(width == widths[0] for width in widths)
        if widths[0] > 1 and same >= 0.9 * len(widths):
            found.append((same == len(widths), separator == usual, widths[0], separator))
    return max(found, key=lambda each: each[:3])[3] if found else usual or ","


def _encoding_of(start: bytes, told: str | None) -> str:
    if told is None and start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # The mark at the beginning of some files is no part of the first column's name.
    utf8 = told is None or told.lower().replace("_", "-") in ("utf-8", "utf8")
    return "utf-8-sig" if utf8 or told is None else told


def _leading_blanks(lines: Sequence[str]) -> int:
    return next((i for i, line in enumerate(lines) if line.strip()), len(lines))


def _named(separator: str) -> str:
    return SEPARATORS.get(separator, repr(separator))


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(repr, values))


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return False
    return bool(text) and "_" not in text


def _has_decimal_commas(values: pa.ChunkedArray) -> bool:
    """Whether all values would be numbers, were commas points, and some have one."""
    commas = pc.match_substring_regex(values, DECIMAL_COMMA)
    # "1,234" alone may be a thousand and some, too.
    thousands = pc.match_substring_regex(values, THOUSANDS)
    if not pc.any(pc.and_not(commas, thousands)).as_py():
        return False
    return _as_number(pc.replace_substring(pc.utf8_trim_whitespace(values), ",", ".")) is not None


# --------------------------------------------------------------------------- conversion


def _as_number(values: pa.ChunkedArray) -> pd.Series | None:
    """Exact integers or floats; None where a value is none, an object where one is too long."""
    whole = pc.match_substring_regex(values, WHOLE)
    if pc.all(whole).as_py():
        signed = pc.replace_substring_regex(values, r"^\+", "")
        try:
            numbers = pc.cast(signed, pa.int64())
        except pa.ArrowInvalid:
            return pd.Series(values.to_pandas(), dtype=object)
        dtype = "Int64" if numbers.null_count else "int64"
        return numbers.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).astype(dtype)
    try:
        numbers = pc.cast(pc.replace_substring_regex(values, r"^\+", ""), pa.float64())
    except pa.ArrowInvalid:
        return None
    # "1e400" is a number that no float can hold.
    beyond = pc.and_(pc.is_inf(numbers), pc.match_substring_regex(values, "[0-9]"))
    return None if pc.any(beyond).as_py() else numbers.to_pandas()


def _is_truth(values: pa.ChunkedArray) -> bool:
    lower = pc.utf8_lower(values.drop_null())
    return pc.all(pc.is_in(lower, pa.array(["true", "false"]))).as_py()


def _as_truth(values: pa.ChunkedArray) -> pd.Series:
    truth = pc.equal(pc.utf8_lower(values), "true").to_pandas()
    return truth if not values.null_count else truth.astype(object).where(truth.notna(), np.nan)


def _as_text(values: pa.ChunkedArray) -> pd.Series:
    text = values.to_pandas().astype(object)
    return text.where(text.notna(), np.nan)
