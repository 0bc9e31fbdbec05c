"""Makes the files beside it, with release 0.1.0 of the package and SDV 2.

    PYTHONPATH=CHECKOUT_OF_0.1.0 python make.py

Of each synthesizer: a pickle, a model file, and the rows that it draws after `reset_sampling`.
They are there to be read by later releases: never make them again with one of these.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sdv.metadata import Metadata

import sdv_wgangp
from sdv_wgangp import single_table
from sdv_wgangp.models import density_ratio, value_calibration

HERE = Path(__file__).parent
ROWS, DRAWN, SCALE = 550, 40, 0.5
TINY = {
    "epochs": 1,
    "batch_size": 100,
    "embedding_dim": 4,
    "generator_dim": (8,),
    "discriminator_dim": (8,),
    "random_state": 0,
}


def visits() -> pd.DataFrame:
    """Columns of every kind; one follows from another, a count has a long tail of rare values."""
    random = np.random.default_rng(0)
    kind = random.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1])
    amount = random.lognormal(size=ROWS).round(2)
    return pd.DataFrame(
        {
            "key": np.arange(ROWS),
            "kind": kind,
            "group": pd.Series(kind).map({"a": "x", "b": "x", "c": "y"}),
            "amount": np.where(random.random(ROWS) < 0.2, np.nan, amount),
            "count": np.where(random.random(ROWS) < 0.15, random.integers(3, 60, ROWS), 1),
            "member": random.random(ROWS) < 0.4,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 99, ROWS), "D"),
        }
    )


def described(**tables: dict[str, str]) -> dict:
    """Metadata of tables, the column "key" of each its primary key."""
    return {
        name: {
            "columns": {column: {"sdtype": sdtype} for column, sdtype in columns.items()},
            **({"primary_key": "key"} if "key" in columns else {}),
        }
        for name, columns in tables.items()
    }


def single() -> tuple[Metadata, dict[str, pd.DataFrame]]:
    frame = visits()
    columns = {
        "key": "id",
        "kind": "categorical",
        "group": "categorical",
        "amount": "numerical",
        "count": "ordinal",
        "member": "boolean",
        "day": "datetime",
    }
    metadata = {"METADATA_SPEC_VERSION": "V1", "tables": described(visits=columns)}
    return Metadata.load_from_dict(metadata | {"relationships": []}), {"visits": frame}


def several() -> tuple[Metadata, dict[str, pd.DataFrame]]:
    random = np.random.default_rng(1)
    people = pd.DataFrame(
        {"key": np.arange(80), "age": random.integers(18, 80, 80), "job": list("pqrs") * 20}
    )
    orders = pd.DataFrame(
        {"buyer": np.sort(random.integers(0, 80, 200)), "price": random.lognormal(size=200)}
    )
    tables = described(
        people={"key": "id", "age": "numerical", "job": "categorical"},
        orders={"buyer": "id", "price": "numerical"},
    )
    relationship = {
        "parent_table_name": "people",
        "child_table_name": "orders",
        "parent_primary_key": "key",
        "child_foreign_key": "buyer",
    }
    metadata = {"METADATA_SPEC_VERSION": "V1", "tables": tables, "relationships": [relationship]}
    return Metadata.load_from_dict(metadata), {"people": people, "orders": orders}


def main() -> None:
    # Products in float32, so that other processors draw the same rows.
    settings = partial(single_table.TrainingSettings, precision="highest")
    single_table.TrainingSettings = settings
    # Small files; and a map of rare atoms, which chance makes of the count otherwise seldom.
    density_ratio.TREES, value_calibration.RANK_KNOTS = 20, 16
    value_calibration.RARE = value_calibration.CHANCE = 1.0
    for name, (metadata, data), cls in (
        ("single", single(), sdv_wgangp.WGANGPMFSSynthesizer),
        ("several", several(), sdv_wgangp.IndependentWGANGPMFSSynthesizer),
    ):
        options = TINY if name == "single" else {"table_parameters": TINY}
        synthesizer = cls(metadata, **options)
        synthesizer.fit(data)
        synthesizer.save(HERE / f"{name}.pkl")
        synthesizer.save_model(HERE / f"{name}.safetensors")
        synthesizer.reset_sampling()
        drawn = synthesizer.sample(DRAWN) if name == "single" else synthesizer.sample_scale(SCALE)
        for table, rows in drawn.items():
            rows.to_csv(HERE / f"{name}-{table}.csv", index=False)


if __name__ == "__main__":
    assert sdv_wgangp.__version__ == "0.1.0"
    main()
