"""A tracker that needs nothing: tables that any program reads."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdv_wgangp.persistence.durable import write_durably
from sdv_wgangp.plots.style import save_png
from sdv_wgangp.training.callbacks.figures import Draw, png_path, remove_beyond
from sdv_wgangp.training.callbacks.tracker import (
    Beyond,
    Point,
    Tracker,
    claim,
    plain,
    write_json,
)

MARKER = ".csv-tracker"
STEPS, EPOCHS, FIGURES = "steps.csv", "epochs.csv", "figures"
HYPERPARAMETERS, FINAL = "hyperparameters.json", "final.json"


class CSVTracker(Tracker):
    """Writes ``steps.csv``, ``epochs.csv``, ``hyperparameters.json``, ``final.json`` and
    ``figures/NAME/STEP.png`` (with matplotlib) to a folder of one training.

    `training.callbacks.tracker` says what the columns are, and why every step stands there once
    even where the training was killed. What another training left in the folder is moved to
    ``earlier-N`` in it.

    Args:
        folder: Made if it is not there.
        every_steps, figures_every, figures: As for `Tracker`.

    Raises:
        ValueError: A number is no positive integer.

    Example:
        >>> import tempfile
        >>> tracker = CSVTracker(tempfile.mkdtemp(), every_steps=1)
    """

    def __init__(
        self,
        folder: str | Path,
        every_steps: int = 10,
        figures_every: int = 10,
        figures: Mapping[str, Draw] | None = None,
    ):
        super().__init__(every_steps, figures_every, figures)
        self.folder = Path(folder)
        self._tables: tuple[_Table, ...] = ()  # while it is open, those of steps and epochs

    def open(self, run: Any, beyond: Beyond | None) -> None:
        own = (STEPS, EPOCHS, FIGURES, HYPERPARAMETERS, FINAL)
        if claim(self.folder, MARKER, self._id or "", beyond is not None, own) and beyond:
            cut(self.folder / STEPS, lambda row: int(row[0]) <= beyond.step)
            cut(self.folder / EPOCHS, lambda row: int(row[0]) <= beyond.epoch_step)
            remove_beyond(self.folder / FIGURES, beyond.epoch_step)
            (self.folder / FINAL).unlink(missing_ok=True)
        write_json(self.folder / HYPERPARAMETERS, plain(run.hyperparameters))
        self._tables = (
            _Table(self.folder / STEPS, ("step",)),
            _Table(self.folder / EPOCHS, ("step", "epoch")),
        )

    def write(self, points: Sequence[Point]) -> None:
        steps = [{"step": p.step, **p.values} for p in points if p.epoch is None]
        epochs = [
            {"step": p.step, "epoch": p.epoch}
            | {name.removeprefix("epoch/"): value for name, value in p.values.items()}
            for p in points
            if p.epoch is not None
        ]
        before = [table.size for table in self._tables]
        try:
            for table, rows in zip(self._tables, (steps, epochs), strict=True):
                table.append(rows)
        except OSError:  # all of the points or none, so that they can be written later
            for table, size in zip(self._tables, before, strict=True):
                table.cut(size)
            raise

    def write_figure(self, name: str, figure: Any, step: int) -> None:
        save_png(figure, png_path(self.folder / FIGURES, name, step))

    def sync(self) -> None:
        for table in self._tables:
            table.sync()

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        for table in self._tables:
            table.close()
        self._tables = ()
        write_json(self.folder / FINAL, plain(scores))


class _Table:
    """A file of rows that grows at its end, and whose columns may become more.

    Args:
        path: Of the file; an existing one is continued.
        first: Columns of every row.
    """

    def __init__(self, path: Path, first: tuple[str, ...]):
        self._path, self._columns = path, list(first)
        if path.exists() and path.stat().st_size:
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file))
        # Nothing waits in a buffer, where a full disk would keep it for another attempt.
        self._file = path.open("ab", buffering=0)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._path.stat().st_size

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; they are in the file afterwards, should the process be killed.

        Raises:
            OSError: Some of them may be in the file.
        """
        if not rows:
            return
        new = list({name: None for row in rows for name in row if name not in self._columns})
        if new or not self.size:
            self._widen(new)
        text = [[row.get(name, "") for name in self._columns] for row in rows]
        left = memoryview(_lines(text))
        while left:
            left = left[self._file.write(left) :]

    def cut(self, size: int) -> None:
        """Take back what was added since the file had this size, but for new columns."""
        if self.size > size:
            os.truncate(self._path, max(size, len(_lines([self._columns]))))

    def sync(self) -> None:
        """Return when the rows outlive the machine's end."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _widen(self, new: list[str]) -> None:
        """Write the file anew, with more columns."""
        columns = self._columns + new
        with self._path.open(newline="", encoding="utf-8") as old:
            rows = list(csv.reader(old))[1:]
        rows = [row + [""] * (len(columns) - len(row)) for row in rows]
        write_durably(self._path, _lines([columns, *rows]))
        self._file.close()
        self._columns, self._file = columns, self._path.open("ab", buffering=0)


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def cut(path: Path, keeps: Callable[[list[str]], bool]) -> None:
    """End a table before the first row that is not to be kept, or was not written to its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end, header = 0, True
        for line in file:
            whole = line.endswith(b"\n")
            if not whole or not (header or keeps(line.decode().split(","))):
                break
            end += len(line)
            header = False
        file.truncate(end)
        file.flush()
        os.fsync(file.fileno())
