"""``sdv-wgangp report``: tables of files, read and compared."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp import cli
from sdv_wgangp.cli.metadata import text_columns, write_metadata
from sdv_wgangp.files import read_table
from sdv_wgangp.synthesizers import sdv_versions


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


def fails(capsys, *arguments: object) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert cli.main(["report", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_several_tables_side_by_side(tables, capsys):
    codes(2).to_csv(tables / "ctgan.v2.csv", index=False)
    page, figures = tables / "page.html", tables / "page.json"
    files = [tables / name for name in ("real.csv", "synthetic.csv", "ctgan.v2.csv")]
    arguments = ["report", *files, "--names", "ours, ctgan", "--html", page, "--json", figures]
    assert cli.main([str(each) for each in arguments]) == 0
    printed = capsys.readouterr().out
    assert "ours, ctgan compared with real.csv" in printed
    assert f"report  {page}" in printed
    assert "ctgan.v2.csv<br>" in page.read_text(encoding="utf-8")
    found = json.loads(figures.read_text(encoding="utf-8"))["tables"]
    assert list(found) == ["ours", "ctgan"]
    stamps = {each["role"]: each["name"] for each in found["ctgan"]["provenance"]["files"]}
    assert stamps == {"real": "real.csv", "synthetic": "ctgan.v2.csv"}
    # What stands for the real rows is the same as in a report of one table.
    assert measures(found["ours"]) == measures(reported(tables))


def test_names_of_several_tables(tables, capsys):
    real, one = tables / "real.csv", tables / "synthetic.csv"
    error = fails(capsys, real, one, one)
    assert "two synthetic tables are called 'synthetic': give --names" in error
    assert "--names: give 2 names" in fails(capsys, real, one, one, "--names", "a")
    error = fails(capsys, real, one, real)
    assert "a synthetic table cannot be called 'synthetic'" in error
    assert "--names: is for several" in fails(capsys, real, one, "--names", "a")
    assert "7 synthetic tables: at most 6" in fails(capsys, real, *[one] * 7)
    error = fails(capsys, real, one, real, "--names", "a,b", "--model", "m.pkl")
    assert "--model: is of one synthetic table" in error
    error = fails(capsys, real, one, one, "--names", "a,b", "--html", one)
    assert str(one) in error


GERMAN = {"sep": ";", "decimal": ",", "encoding": "cp1252", "header": False}


def german(table: pd.DataFrame, path, **options) -> None:
    """Write a table as a spreadsheet of another country would, without a header."""
    named = table.assign(country=table["country"].replace("NA", "Südkorea"))
    named.to_csv(path, index=False, **options)


@pytest.mark.parametrize("other", [{}, GERMAN], ids=["written by sample", "written alike"])
def test_what_is_known_of_text_files_holds_for_all_of_them(tmp_path, other):
    """For files that are like the real one, and not for those that this program wrote."""
    columns = [f"column {k + 1}" for k in range(5)]
    real = codes(0).set_axis(columns, axis=1).rename(columns={"column 1": "country"})
    synthetic = codes(1).set_axis(columns, axis=1).rename(columns={"column 1": "country"})
    german(real, tmp_path / "real.csv", **GERMAN)
    for name in ("synthetic", "holdout"):
        path = tmp_path / f"{name}.csv"
        if other:
            german(synthetic, path, **other)
        else:
            named = synthetic.assign(country=synthetic["country"].replace("NA", "Südkorea"))
            named.rename(columns={"country": "column 1"}).to_csv(path, index=False)
    given = ["--no-header", "--encoding", "cp1252", "--decimal", "comma", "--separator", ";"]
    given[given.index("comma")] = ","
    found = reported(tmp_path, "--holdout", tmp_path / "holdout.csv", *given)
    sdtypes = {each["name"]: each["sdtype"] for each in found["columns"]}
    assert sdtypes["column 5"] == "numerical"
    assert found["rows"] == {"real": 200, "synthetic": 200, "holdout": 200}
    assert not [key for key in broken(found) if key[0] != "column 5"]
    (country,) = [each for each in found["columns"] if each["name"] == "column 1"]
    assert "Südkorea" in country["figure"]["labels"]
    assert country["figure"]["others"] == 0
    assert country["score"] > 0.85


def test_a_file_that_fits_no_reading_is_an_error_of_its_own(tables, capsys):
    (tables / "synthetic.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    error = fails(capsys, tables / "real.csv", tables / "synthetic.csv", "--decimal", ".")
    assert "synthetic.csv: has no column 'country'" in error
