"""The sequences the benchmark runs on: files, splits, keys, and windows of one long series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pandas as pd

WINDOW = "window"  # the key of windows of one long series
PUBLISHED = "@published"


@dataclass(frozen=True)
class SequenceDataset:
    """Split sequences.

    Args:
        name: of the data.
        train, test: rows; `test` is None where publications judge by the training windows.
        key, index, context: columns; there is no index where rows are a fixed time apart.
        categorical: columns of numbers that are levels.
        steps: rows of each sequence, where all have as many.
    """

    name: str
    train: pd.DataFrame
    test: pd.DataFrame | None
    key: str
    index: str | None = None
    context: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    steps: int | None = None

    @property
    def columns(self) -> dict[str, str]:
        """``name -> sdtype``; that of the key is "id"."""
        found = {}
        for name, values in self.train.items():
            if name == self.key:
                found[name] = "id"
            elif pd.api.types.is_datetime64_any_dtype(values):
                found[name] = "datetime"
            elif pd.api.types.is_numeric_dtype(values) and name not in self.categorical:
                found[name] = "numerical"
            else:
                found[name] = "categorical"
        return found

    @property
    def metadata(self) -> dict:
        """SDV's, as a dictionary."""
        table = {
            "columns": {name: {"sdtype": sdtype} for name, sdtype in self.columns.items()},
            "sequence_key": self.key,
        }
        if self.index is not None:
            table["sequence_index"] = self.index
        return {
            "METADATA_SPEC_VERSION": "V1",
            "tables": {datasets.TABLE: table},
            "relationships": [],
        }


def _read(folder: Path, *parts: str, **options) -> pd.DataFrame:
    path = folder.joinpath(*parts)
    if not path.exists():
        raise SystemExit(f"{path} is missing: give --folder, or set SDV_WGANGP_DATASETS")
    return pd.read_csv(path, **options)


def _fielding(folder: Path) -> SequenceDataset:
    """As published with TabularARGN (mostly-ai/paper-tabular-argn), but for half of its test part.

    4,856 of the 9,686 players there are training players, with the same rows: they are left out.
    """
    train, test = (_read(folder, "fielding", f"fielding_{part}.csv") for part in ("train", "test"))
    unseen = ~test["playerID"].isin(train["playerID"])
    test = test[unseen].reset_index(drop=True)
    return SequenceDataset("fielding", train, test, "playerID", "yearID")


def _by_key(frame: pd.DataFrame, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four fifths of the keys, and the others."""
    keys = frame[key].drop_duplicates().to_numpy()
    order = np.random.RandomState(1234).permutation(len(keys))
    known = frame[key].isin(keys[order[: int(0.8 * len(keys))]])
    return frame[known].reset_index(drop=True), frame[~known].reset_index(drop=True)


def _baseball(folder: Path) -> SequenceDataset:
    """Batting, with what is known of the player as context."""
    context = ("country", "weight", "height", "bats", "throws")
    players = _read(folder, "baseball", "baseball_players.csv")[["id", *context]]
    rows = _read(folder, "baseball", "baseball.csv")
    frame = rows.merge(players, left_on="players_id", right_on="id", how="inner")
    parts = _by_key(frame.drop(columns="id"), "players_id")
    return SequenceDataset("baseball", *parts, "players_id", "year", context)


def _nasdaq(folder: Path) -> SequenceDataset:
    name = "nasdaq100_2019"
    frame = _read(folder, name, f"{name}.csv", parse_dates=["Date"])
    parts = _by_key(frame, "Symbol")
    return SequenceDataset(name, *parts, "Symbol", "Date", ("Sector", "Industry"))


def windows(frame: pd.DataFrame, steps: int, stride: int = 1) -> pd.DataFrame:
    """Windows of a series, one behind the other, numbered in the column "window".

    Example:
        >>> windows(pd.DataFrame({"x": [1, 2, 3]}), 2)["x"].tolist()
        [1, 2, 2, 3]
    """
    starts = np.arange(0, len(frame) - steps + 1, stride)
    rows = (starts[:, None] + np.arange(steps)).ravel()
    found = frame.iloc[rows].reset_index(drop=True)
    found.insert(0, WINDOW, np.repeat(np.arange(len(starts)), steps))
    return found


def _series(name: str, frame: pd.DataFrame, steps: int, published: bool) -> SequenceDataset:
    """The first four fifths of time to learn from, the rest to judge with: no window is in both.

    As published: all windows of the series, with none held out.
    """
    if published:
        whole = windows(frame, steps)
        return SequenceDataset(name + PUBLISHED, whole, None, WINDOW, steps=steps)
    cut = int(0.8 * len(frame))
    parts = (windows(part, steps) for part in (frame.iloc[:cut], frame.iloc[cut:]))
    return SequenceDataset(name, *parts, WINDOW, steps=steps)


def _stock(folder: Path, published: bool, steps: int) -> SequenceDataset:
    frame = _read(folder, "stock_timegan", "stock_timegan.csv")
    return _series("stock", frame, steps, published)


def _energy(folder: Path, published: bool, steps: int) -> SequenceDataset:
    frame = _read(folder, "energy", "energy.csv").drop(columns="date")
    return _series("energy", frame, steps, published)


def _oil(folder: Path, published: bool, steps: int) -> SequenceDataset:
    frame = _read(folder, "oil", "oil.csv")[["Price"]]
    return _series("oil", frame, steps, published)


KEYED = {"fielding": _fielding, "baseball": _baseball, "nasdaq100_2019": _nasdaq}
SERIES = {"stock": _stock, "energy": _energy, "oil": _oil}
NAMES = (*KEYED, *SERIES)


def load(name: str, folder: Path | None = None, steps: int = 24) -> SequenceDataset:
    """Read and split a data set.

    Args:
        name: one of `NAMES`; of a long series also ``NAME@published``.
        folder: with the data; by default that of `datasets.default_folder`.
        steps: of the windows of a long series.

    Raises:
        SystemExit: for an unknown name or a missing file.
    """
    folder = datasets.default_folder() if folder is None else folder
    plain = name.removesuffix(PUBLISHED)
    if plain in SERIES:
        return SERIES[plain](folder, plain != name, steps)
    if name in KEYED:
        return KEYED[name](folder)
    known: Sequence[str] = [*NAMES, *(each + PUBLISHED for each in SERIES)]
    raise SystemExit(f"unknown data {name!r}: give one of {', '.join(known)}")
