"""The tables of the speed benchmarks: real ones by name, and synthetic ones of any width."""

from __future__ import annotations

from itertools import pairwise

import datasets
import numpy as np
import pandas as pd

COLUMNS = 14
# Adult's shape: levels of its categories, and its numbers by their number of values.
ADULT_CATEGORIES = {
    "workclass": 8,
    "education": 16,
    "marital_status": 7,
    "occupation": 14,
    "relationship": 6,
    "race": 5,
    "sex": 2,
    "native_country": 41,
    "income": 2,
}
ADULT_NUMBERS = {"age": 73, "education_num": 16, "hours_per_week": 94}
ADULT_MOSTLY_ZERO = {"capital_gain": 119, "capital_loss": 92}


def adult_stand_in(rows: int) -> datasets.Dataset:
    """A table with Adult's columns: as many levels and values, most of them dependent."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=rows)
    columns = {}
    for name, levels in ADULT_CATEGORIES.items():
        score = 0.7 * hidden + random.normal(size=rows)
        order = score.argsort().argsort() / rows
        columns[name] = [f"{name}-{int(level)}" for level in (order**1.5 * levels)]
    for name, values in ADULT_NUMBERS.items():
        score = 0.7 * hidden + random.normal(size=rows)
        columns[name] = 17 + (score.argsort().argsort() / rows * values).astype(int)
    for name, values in ADULT_MOSTLY_ZERO.items():
        amount = random.integers(1, values, rows) * 731
        columns[name] = np.where(random.random(rows) < 0.92, 0, amount)
    columns["fnlwgt"] = np.exp(12 + 0.4 * random.normal(size=rows)).astype(int)
    frame = pd.DataFrame(columns)
    types = {
        name: "categorical" if name in ADULT_CATEGORIES else "numerical" for name in frame.columns
    }
    return datasets.Dataset("stand-in for Adult", frame, frame.head(0), types, "income", False)


def wide(levels: int) -> datasets.Dataset:
    """Categories of equal width, independent, with ``levels`` levels together.

    14 columns, or as many as have two levels; each level has two rows at least.
    """
    columns = min(COLUMNS, levels // 2)
    edges = np.linspace(0, levels, columns + 1).astype(int)
    rows = max(2_000, 2 * int(np.diff(edges).max()))
    random = np.random.default_rng(levels)
    frame = pd.DataFrame(
        {
            f"c{place}": random.permutation(np.arange(rows) % (high - low)).astype(str)
            for place, (low, high) in enumerate(pairwise(edges))
        }
    )
    types = dict.fromkeys(frame.columns, "categorical")
    return datasets.Dataset(f"{levels:,} levels", frame, frame.head(0), types, None, False)


def one_wide_column(levels: int, rows: int) -> datasets.Dataset:
    """A category of ``levels`` levels, a few of them frequent, beside 6 numbers and 6 categories.

    Every level appears; the other columns depend on nothing.
    """
    if rows < levels:
        raise ValueError(f"{levels} levels need as many rows, got {rows}")
    random = np.random.default_rng(levels)
    often = random.zipf(1.3, rows - levels) % levels
    columns = {"wide": random.permutation(np.concatenate([np.arange(levels), often])).astype(str)}
    columns |= {f"number{place}": random.normal(size=rows) for place in range(6)}
    columns |= {f"category{place}": random.integers(0, 8, rows).astype(str) for place in range(6)}
    frame = pd.DataFrame(columns)
    types = {
        name: "numerical" if name.startswith("number") else "categorical" for name in frame.columns
    }
    return datasets.Dataset(f"a column of {levels:,}", frame, frame.head(0), types, None, False)


def default_name(quick: bool) -> str:
    """Adult where its file is, else its stand-in; a small stand-in for quick runs."""
    if quick:
        return "stand-in:1000"
    there = (datasets.default_folder() / "adult" / "adult.csv").exists()
    return "adult" if there else "stand-in"


def named(name: str) -> datasets.Dataset:
    """``adult`` and the other tables of datasets.py, a CSV file, ``stand-in[:ROWS]``,
    ``wide:LEVELS`` or ``levels:LEVELS:ROWS``."""
    kind, *numbers = name.split(":")
    if kind == "stand-in":
        return adult_stand_in(int(numbers[0]) if numbers else datasets.ADULT_TRAIN_ROWS)
    if kind == "wide":
        return wide(int(numbers[0]))
    if kind == "levels":
        return one_wide_column(*map(int, numbers))
    return datasets.load(name)
