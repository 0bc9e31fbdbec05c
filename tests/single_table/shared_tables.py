"""A table, its metadata, and fits that take a fraction of a second."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sdv.metadata import Metadata

from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

FAST = {
    "epochs": 1,
    "batch_size": 60,
    "min_steps_per_epoch": 4,
    "generator_dim": (16,),
    "discriminator_dim": (16,),
    "calibration_options": {"max_pool_rows": 2**14},
    "random_state": 0,
}
# For what holds however little is learned: hardly any calibration.
QUICK = FAST | {"calibration_options": {"trees": 20, "max_pool_rows": 2**12}}
TABLE = "people"
rows_of = sdv_versions.as_frame


def describe(columns: dict[str, dict | str], **table) -> Metadata:
    """Metadata of a table; a column is its sdtype or SDV's dictionary."""
    columns = {
        name: {"sdtype": column} if isinstance(column, str) else column
        for name, column in columns.items()
    }
    return Metadata.load_from_dict(
        {"tables": {TABLE: {"columns": columns, **table}}, "relationships": []}
    )


def fit(metadata: Metadata, frame: pd.DataFrame, **options) -> WGANGPMFSSynthesizer:
    """A synthesizer fitted to the frame, quickly unless the options say otherwise."""
    synthesizer = WGANGPMFSSynthesizer(metadata, **FAST | options)
    synthesizer.fit(as_input(frame))
    return synthesizer


def quick_fit(metadata: Metadata, frame: pd.DataFrame, **options) -> WGANGPMFSSynthesizer:
    """The same with hardly any training."""
    return fit(metadata, frame, **QUICK | options)


def as_input(frame: pd.DataFrame):
    """The frame as the installed SDV takes it."""
    return {TABLE: frame} if sdv_versions.takes_dictionaries() else frame


PEOPLE = describe(
    {
        "id": "id",
        "group": "categorical",
        "income": "numerical",
        "age": "numerical",
        "member": "boolean",
        "since": {"sdtype": "datetime", "datetime_format": "%Y-%m-%d"},
        "email": {"sdtype": "email", "pii": True},
    },
    primary_key="id",
)


def people(rows: int = 300) -> pd.DataFrame:
    """A key, PII, and modelled columns; the income of group c is unknown."""
    random = np.random.default_rng(0)
    group = random.choice(["a", "b", "c"], rows)
    days = pd.to_timedelta(random.integers(0, 900, rows), "D")
    return pd.DataFrame(
        {
            "id": np.arange(rows),
            "group": group,
            "income": np.where(group == "c", np.nan, random.lognormal(10, 1, rows).round(2)),
            "age": random.integers(18, 80, rows),
            "member": random.random(rows) < 0.5,
            "since": (pd.Timestamp("2015-01-01") + days).strftime("%Y-%m-%d"),
            "email": [f"user{i}@example.org" for i in range(rows)],
        }
    )
