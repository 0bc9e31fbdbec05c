"""``sdv-wgangp report``: tables of files, read and compared."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp import cli, sdv_versions
from sdv_wgangp.cli.metadata import text_columns, write_metadata
from sdv_wgangp.files import read_table


def codes(seed: int, rows: int = 200) -> pd.DataFrame:
    """Categories that a text file does not tell from numbers and missing values."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "country": rng.choice(["NA", "US", "DE"], rows),
            "stars": rng.integers(1, 5, rows),
            "zip": rng.choice(["01001", "02134", "30301"], rows),
            "grade": rng.choice(["1", "2", ""], rows),
            "size": rng.choice([1.25, 2.5, 3.75, 5.0], rows) + rng.integers(0, 40, rows),
        }
    )


@pytest.fixture
def tables(tmp_path):
    """A folder with real.csv and synthetic.csv."""
    for seed, name in enumerate(("real", "synthetic")):
        codes(seed).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def reported(folder, *more: object) -> dict:
    """The report of real.csv and synthetic.csv as its JSON."""
    output = folder / "figures.json"
    files = [str(folder / "real.csv"), str(folder / "synthetic.csv")]
    assert cli.main(["report", *files, "--json", str(output), *map(str, more)]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def measures(found: dict) -> dict[str, float]:
    return {m["key"]: m["value"] for section in found["sections"] for m in section["measures"]}


def broken(found: dict) -> dict[tuple[str, str], int]:
    return {(each["column"], each["kind"]): each["count"] for each in found["violations"]}


def test_metadata_with_levels_that_are_numbers_leave_a_column_of_numbers(tables):
    """SDV 2 detects ordinals; their levels as text would be no levels of the metadata."""
    metadata = sdv_versions.detect_metadata(read_table(tables / "real.csv"))
    write_metadata(metadata, tables / "metadata.json")
    assert "stars" not in text_columns(metadata)
    found = reported(tables, "--metadata", tables / "metadata.json")
    assert measures(found)["validity.data"] == pytest.approx(1, abs=0.01)
    assert measures(found)["validity.structure"] == 1
    assert {name for name, _ in broken(found)} <= {"size"}


def test_levels_of_metadata_that_are_text_are_read_as_text(tables):
    about = {
        "columns": {
            "country": {"sdtype": "categorical", "range_values": ["NA", "US", "DE"]},
            "stars": {"sdtype": "categorical", "range_values": ["1", "2", "3", "4"]},
            "zip": {"sdtype": "categorical"},
            "grade": {"sdtype": "ordinal", "range_values": [1, 2]},
            "size": {"sdtype": "numerical"},
        },
    }
    path = tables / "metadata.json"
    about = {"METADATA_SPEC_VERSION": "V1", "tables": {"t": about}, "relationships": []}
    path.write_text(json.dumps(about), encoding="utf-8")
    found = reported(tables, "--metadata", path)
    assert not [name for name, _ in broken(found) if name != "size"]


def test_a_broken_regex_and_levels_that_are_not_listed_show(tables):
    about = {
        "columns": {
            "country": {"sdtype": "categorical", "range_values": ["US", "DE"]},
            "stars": {"sdtype": "categorical"},
            "zip": {"sdtype": "id", "regex_format": "[0-9]{5}"},
            "grade": {"sdtype": "categorical"},
            "size": {"sdtype": "numerical"},
        },
    }
    path = tables / "metadata.json"
    about = {"METADATA_SPEC_VERSION": "V1", "tables": {"t": about}, "relationships": []}
    path.write_text(json.dumps(about), encoding="utf-8")
    synthetic = codes(1)
    unlisted = int((synthetic["country"] == "NA").sum())
    synthetic["zip"] = synthetic["zip"].str.lstrip("0")
    synthetic.loc[0, "country"] = "FR"
    synthetic.to_csv(tables / "synthetic.csv", index=False)
    unlisted -= codes(1).loc[0, "country"] == "NA"
    found = reported(tables, "--metadata", path)
    assert (
        broken(found)["zip", "does not match its regex_format"]
        == (synthetic["zip"].str.len() == 4).sum()
    )
    assert broken(found)["country", "level that no real row has"] == 1
    assert broken(found)["country", "level that the metadata do not list"] == unlisted
    said = " ".join(each["sentence"] for each in found["findings"])
    assert "zip (does not match its regex_format" in said
    assert "correct the metadata" in said


def test_a_column_that_is_empty_in_both_files_is_left_out_by_name(tables):
    for name in ("real", "synthetic"):
        path = tables / f"{name}.csv"
        pd.read_csv(path, dtype=str, keep_default_na=False).assign(note="").to_csv(
            path, index=False
        )
    found = reported(tables)
    assert found["left_out"]["note"] == "empty in both tables"
