"""Frames of sequences as one row for each sequence and one for each step, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.encoding.grid import decimals_of

# Steps of a window where a long series without a key is cut, and nobody says how.
WINDOW = 24


@dataclass(frozen=True)
class Sequences:
    """Sequences, one behind the other in the order of their steps.

    Attributes:
        head: A row for each sequence: the context columns, its length and, with an index, where
            that begins (`SequenceAssembler.length_name`, ``start_name``).
        steps: A row for each step: the columns that change, and with an index its gap to the step
            before under the index's own name, never negative; missing at the first step.
        lengths: Steps of each sequence, int64 ``[sequences]``.
        keys: What the sequences are called in the frame, a row for each; None without a key.
    """

    head: pd.DataFrame
    steps: pd.DataFrame
    lengths: np.ndarray
    keys: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def begins(self) -> np.ndarray:
        """The row among the steps where each sequence begins, int64 ``[sequences]``."""
        return np.cumsum(self.lengths) - self.lengths

    @property
    def owners(self) -> np.ndarray:
        """The sequence of each step, int64 ``[steps]``."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @property
    def times(self) -> np.ndarray:
        """The number of each step in its sequence, from 0, int64 ``[steps]``."""
        return np.arange(int(self.lengths.sum())) - np.repeat(self.begins, self.lengths)


class SequenceAssembler:
    """Takes a frame of sequences apart, and puts what was generated together again.

    Rows of a sequence are sorted by its index; rows with the same index stay in their order.
    Without an index they stay as they are.

    Args:
        key: Column, or columns, that tell the sequences apart. None: the frame is one long series.
        index: Column with the time of each step, numbers or datetimes; None for none.
        context_columns: Columns that do not change within a sequence.
        segment_size: Cut sequences into segments of so many steps, or of so much time (a
            `pandas.Timedelta`, with an index of datetimes or nanoseconds); each is then a
            sequence. Of steps, a remainder is left out where there is a whole segment before it.
            A series without a key is cut into overlapping windows, of `WINDOW` steps unless said
            otherwise. None: sequences stay whole.

    Attributes:
        length_name, start_name: What the columns of length and start are called in the head.

    Raises:
        ValueError: Columns contradict each other; names them.

    Example:
        >>> frame = pd.DataFrame({"who": ["b", "a", "a"], "day": [5, 9, 7], "x": [1.0, 3.0, 2.0]})
        >>> assembler = SequenceAssembler("who", "day")
        >>> found = assembler.fit(frame)
        >>> found.head
           day.start  length
        0          5       1
        1          7       2
        >>> found.steps
           day    x
        0  NaN  1.0
        1  NaN  2.0
        2  2.0  3.0
        >>> assembler.frame(found.head, found.steps, found.keys)[["who", "day", "x"]]
          who  day    x
        0   b    5  1.0
        1   a    7  2.0
        2   a    9  3.0
    """

    def __init__(
        self,
        key: str | Sequence[str] | None,
        index: str | None = None,
        context_columns: Iterable[str] = (),
        segment_size: int | pd.Timedelta | None = None,
    ):
        self.keys = [key] if isinstance(key, str) else list(key or [])
        self.index = index
        self.context_columns = list(context_columns)
        self.segment_size = segment_size
        for name in self.context_columns:
            if name in self.keys or name == index:
                raise ValueError(
                    f"column {name!r} cannot be context and sequence key or index at once: take "
                    "it out of context_columns"
                )
        if index in self.keys:
            raise ValueError(f"column {index!r} cannot be sequence key and sequence index at once")
        if not self.keys and self.context_columns:
            raise ValueError(
                f"context column {self.context_columns[0]!r} needs a sequence key: one long "
                "series has no context; leave context_columns empty"
            )
        whole = isinstance(segment_size, (int, np.integer)) and not isinstance(segment_size, bool)
        timed = isinstance(segment_size, pd.Timedelta) and segment_size > pd.Timedelta(0)
        if segment_size is not None and not timed and not (whole and segment_size >= 1):  # type: ignore[operator]
            raise ValueError(
                "segment_size must be None, a whole number of at least 1, or a positive "
                f"pandas.Timedelta, not {segment_size!r}"
            )

    def fit(self, frame: pd.DataFrame) -> Sequences:
        """Take a frame apart, and remember how its index looks.

        Raises:
            ValueError: A key or the index is missing in a row, a context column changes within a
                sequence, or the index has no order; names the column and the remedy.
        """
        self._check(frame)
        self.names = list(frame.columns)
        taken = {*self.names}
        self.length_name = _free("length", taken)
        self.start_name = None if self.index is None else _free(f"{self.index}.start", taken)
        if self.index is not None:
            self._learn_index(frame[self.index])
        return self.assemble(frame)

    def assemble(self, frame: pd.DataFrame, cut: bool = True) -> Sequences:
        """Take another frame of the same columns apart.

        Args:
            frame: Its rows.
            cut: Whether sequences are cut into segments.

        Raises:
            ValueError: As `fit`.
        """
        self._check(frame)
        owners, count = np.zeros(len(frame), np.int64), 1
        if self.keys:
            owners, names = pd.factorize(pd.MultiIndex.from_frame(frame[self.keys]))
            count = len(names)
        order: np.ndarray = np.argsort(owners, kind="stable")
        if self.index is not None:
            ranks = frame[self.index].rank(method="dense").to_numpy()
            order = np.lexsort((ranks, owners))
        frame, owners = frame.iloc[order].reset_index(drop=True), owners[order]
        self._check_context(frame, owners)
        lengths = np.bincount(owners, minlength=count)
        if cut:
            rows, lengths = self._segments(frame, lengths)
            frame = frame.iloc[rows].reset_index(drop=True)
        begins = np.cumsum(lengths) - lengths
        head = frame.loc[begins, self.context_columns].reset_index(drop=True)
        changing = [n for n in frame.columns if n not in (*self.keys, *self.context_columns)]
        if self.index is not None:  # the other columns of a step may depend on when it is
            changing.insert(0, changing.pop(changing.index(self.index)))
        steps = frame[changing].copy()
        if self.index is not None:
            head[self.start_name] = frame[self.index].iloc[begins].reset_index(drop=True)
            gaps = steps[self.index].diff()
            if pd.api.types.is_unsigned_integer_dtype(steps[self.index].dtype):
                gaps = steps[self.index].astype("int64").diff()
            gaps = gaps.mask(np.isin(np.arange(len(gaps)), begins))
            steps[self.index] = gaps
        head[self.length_name] = lengths
        keys = frame.loc[begins, self.keys].reset_index(drop=True) if self.keys else None
        return Sequences(head, steps, lengths, keys)

    def frame(
        self, head: pd.DataFrame, steps: pd.DataFrame, keys: pd.DataFrame | None = None
    ) -> pd.DataFrame:
        """The frame of sequences, columns in the order of the training frame; inverts `assemble`.

        Args:
            head: As of `Sequences`; its lengths say which steps belong together.
            steps: As of `Sequences`.
            keys: A row for each sequence; None numbers them from 0.
        """
        lengths = head[self.length_name].to_numpy().astype(np.int64)
        owners = np.repeat(np.arange(len(head)), lengths)
        built = {name: steps[name].reset_index(drop=True) for name in steps.columns}
        for name in self.context_columns:
            built[name] = head[name].iloc[owners].reset_index(drop=True)
        for name in self.keys:
            of_key = pd.Series(np.arange(len(head))) if keys is None else keys[name]
            built[name] = of_key.iloc[owners].reset_index(drop=True)
        if self.index is not None:
            starts = head[self.start_name].iloc[owners].reset_index(drop=True)
            built[self.index] = self._times(starts, steps[self.index], lengths)
        return pd.DataFrame({name: built[name] for name in self.names if name in built})

    def _times(self, starts: pd.Series, gaps: pd.Series, lengths: np.ndarray) -> pd.Series:
        """The index from where it starts and its gaps: sums within each sequence.

        Raises:
            ValueError: The integers of the index end before the sequence does; names it.
        """
        begins = np.cumsum(lengths) - lengths
        if self._kind in "mM":
            values = gaps.astype("timedelta64[ns]").to_numpy().astype(np.int64)
        else:
            values = gaps.to_numpy().astype(np.float64)
            if self._kind in "iu":
                values = np.rint(np.nan_to_num(values)).astype(np.int64)
        values = values.copy()
        values[begins] = 0
        sums: Any = values.cumsum()
        sums = sums - np.repeat(sums[begins], lengths)
        if self._kind == "M":
            return (starts + pd.to_timedelta(sums, unit="ns")).astype(self._dtype)
        if self._kind in "iu":
            self._check_reach(starts, sums, lengths)
            return (starts.astype("int64") + sums).astype(self._dtype)
        total = starts.astype(np.float64) + sums
        if self._decimals is not None:
            total = total.round(self._decimals)
        return total.astype(self._dtype)

    def _check_reach(self, starts: pd.Series, sums: np.ndarray, lengths: np.ndarray) -> None:
        """Refuse sums that the dtype of the index does not hold: a cast would go back in time."""
        dtype = np.dtype(getattr(self._dtype, "numpy_dtype", self._dtype))
        reach = np.iinfo(dtype)
        # Floats, since sums of 64 bits may not fit themselves.
        ends = starts.to_numpy(dtype=np.float64) + sums
        beyond = (ends > float(reach.max)) | (ends < float(reach.min))
        if beyond.any():
            length = int(np.repeat(lengths, lengths)[beyond.argmax()])
            remedy = (
                "use a wider dtype or fewer steps" if dtype.itemsize < 8 else "use fewer steps"
            )
            raise ValueError(
                f"a sequence_length of {length} takes index {self.index!r} beyond {dtype.name}: "
                f"{remedy}"
            )

    def _learn_index(self, index: pd.Series) -> None:
        dtype = index.dtype
        datetimes = pd.api.types.is_datetime64_any_dtype(dtype)
        numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        if not (datetimes or numeric):
            raise ValueError(
                f"sequence index {index.name!r} has dtype {dtype}, which has no distances: "
                "convert it to numbers or datetimes"
            )
        self._dtype: Any = dtype
        self._kind = "M" if datetimes else getattr(dtype, "numpy_dtype", dtype).kind
        self._decimals = None
        if self._kind == "f":
            values = np.unique(index.to_numpy(dtype=np.float64))
            self._decimals = decimals_of(values, np.dtype(np.float64))

    def _check(self, frame: pd.DataFrame) -> None:
        if not len(frame):
            raise ValueError("there are no rows to learn sequences from: give it data")
        wanted = [*self.keys, *self.context_columns, *([self.index] if self.index else [])]
        for name in wanted:
            if name not in frame.columns:
                raise ValueError(f"column {name!r} is not in the table: add it")
        told = [(key, "key") for key in self.keys]
        told += [] if self.index is None else [(self.index, "index")]
        for name, what in told:
            if frame[name].isna().any():
                rows = int(frame[name].isna().sum())
                raise ValueError(
                    f"sequence {what} {name!r} is missing in {rows} rows: fill it, or drop them"
                )

    def _check_context(self, frame: pd.DataFrame, owners: np.ndarray) -> None:
        for name in self.context_columns:
            codes, _ = pd.factorize(frame[name])
            changes = (codes[1:] != codes[:-1]) & (owners[1:] == owners[:-1])
            if changes.any():
                row = int(changes.argmax()) + 1
                whose = ", ".join(f"{key} = {frame[key].iloc[row]!r}" for key in self.keys)
                raise ValueError(
                    f"context column {name!r} is changing inside sequence {whose}: take it out of "
                    "context_columns"
                )

    def _segments(self, frame: pd.DataFrame, lengths: np.ndarray) -> tuple[Any, np.ndarray]:
        """The rows that segments are made of, and the lengths of these."""
        size, rows = self.segment_size, np.arange(len(frame))
        if isinstance(size, pd.Timedelta):
            return rows, self._timed_segments(frame, lengths, size)
        if not self.keys:
            return _windows(len(frame), min(int(size or WINDOW), len(frame)))
        if size is None:
            return rows, lengths
        begins, size = np.cumsum(lengths) - lengths, int(size)
        own = np.where(lengths < size, lengths, lengths // size * size)
        times = rows - np.repeat(begins, lengths)
        counts = np.maximum(own // size, 1)
        return rows[times < np.repeat(own, lengths)], np.repeat(np.minimum(own, size), counts)

    def _timed_segments(
        self, frame: pd.DataFrame, lengths: np.ndarray, size: pd.Timedelta
    ) -> np.ndarray:
        if self.index is None or self._kind == "f":
            raise ValueError(
                "segment_size is a length of time, which needs a sequence index of datetimes or "
                "of whole nanoseconds: give a number of steps"
            )
        begins, owners = np.cumsum(lengths) - lengths, np.repeat(np.arange(len(lengths)), lengths)
        since = frame[self.index] - frame[self.index].iloc[begins[owners]].to_numpy()
        part = (since // (size if self._kind == "M" else size.value)).to_numpy()
        new = np.ones(len(frame), dtype=bool)
        new[1:] = (part[1:] != part[:-1]) | (owners[1:] != owners[:-1])
        return np.diff(np.append(np.flatnonzero(new), len(frame)))


def _windows(rows: int, size: int, most: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping windows of a series: their rows, one window behind the other, and lengths.

    From one to the next are as few steps as leave at most ``most`` windows.
    """
    stride = -(-(rows - size + 1) // most)
    begins = np.arange(0, rows - size + 1, stride)
    return (begins[:, None] + np.arange(size)).ravel(), np.full(len(begins), size)


def _free(name: str, taken: set[str]) -> str:
    """The name, with underscores behind it until no column has it."""
    while name in taken:
        name += "_"
    return name
