"""Relations between columns in the report: found in real rows, counted in the others."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import relations
from sdv_wgangp.reporting.report import build_report

pytestmark = pytest.mark.fast
METADATA = {
    "columns": {
        "living": {"sdtype": "numerical"},
        "above": {"sdtype": "numerical"},
        "basement": {"sdtype": "numerical"},
        "lot": {"sdtype": "numerical"},
        "lot15": {"sdtype": "numerical"},
        "town": {"sdtype": "categorical"},
        "county": {"sdtype": "categorical"},
    }
}
COLUMNS = {name: about["sdtype"] for name, about in METADATA["columns"].items()}


def houses(seed, rows=800):
    rng = np.random.default_rng(seed)
    above = rng.integers(50, 900, rows) * 10
    basement = np.where(rng.random(rows) < 0.6, 0, rng.integers(5, 200, rows) * 10)
    lot, other = rng.integers(500, 90_000, (2, rows))
    town = rng.integers(0, 20, rows)
    return pd.DataFrame(
        {
            "living": above + basement,
            "above": above,
            "basement": basement,
            "lot": lot,
            "lot15": np.where(rng.random(rows) < 0.2, lot, other),
            "town": town,
            "county": np.array(list("abcde"))[town // 4],
        }
    )


@pytest.fixture(scope="module")
def tables():
    real, holdout = houses(0), houses(1)
    synthetic = houses(2)
    synthetic["living"] += np.where(np.arange(800) < 400, 10, 0)
    synthetic["lot15"] += 1
    return real, synthetic, holdout


@pytest.fixture(scope="module")
def report(tables):
    return build_report(tables[0], tables[1], METADATA, holdout=tables[2])


def by_statement(records):
    return {each.statement: each for each in records}


def test_every_relation_with_its_rates(report, tables):
    found = by_statement(report.content.relations)
    total = found["living = above + basement"]
    assert (total.rows, total.real, total.synthetic, total.holdout) == (800, 1.0, 0.5, 1.0)
    lot = found["lot15 = lot"]
    assert lot.real == pytest.approx((tables[0]["lot15"] == tables[0]["lot"]).mean(), abs=1e-4)
    assert lot.synthetic < 0.01
    assert lot.holdout == pytest.approx(0.2, abs=0.05)
    county = found["county follows from town"]
    assert (county.real, county.synthetic, county.holdout) == (1.0, 1.0, 1.0)
    # Numbers of a category are not added up or ordered.
    assert not any("town" in each.columns for each in found.values() if each is not county)


def test_the_verdict_names_what_is_broken(report):
    verdict = report.content.verdict("relations")
    assert verdict.grade == "bad"
    assert "living = above + basement (in 50.0 %)" in verdict.sentence
    assert "county" not in verdict.sentence
    assert "constraints" in verdict.remedy


def test_text_page_and_json(report, tmp_path):
    text = report.to_text()
    assert "relations: bad" in text
    line = next(x for x in text.splitlines() if x.startswith("  living = above + basement"))
    assert line.split()[-6:] == ["100.00", "%", "50.00", "%", "100.00", "%"]
    assert max(map(len, text.splitlines())) <= 80
    page = report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<section id="relations">' in page
    assert "above &lt;= living" in page
    found = json.loads(report.to_json(tmp_path / "report.json").read_text(encoding="utf-8"))
    assert by_statement_of(found)["lot15 = lot"]["columns"] == ["lot15", "lot"]
    assert report.content.measure("relations.kept").value < 1
    assert report.content.measure("relations.kept").reference == 1
    assert report.content.measure("relations.share_error").value > 0.9


def by_statement_of(found):
    return {each["statement"]: each for each in found["relations"]}


def test_no_values_of_rows_are_told(report):
    """Counts, shares and names alone: nothing of the values that dependences go by."""
    for each in report.content.relations:
        assert all(isinstance(name, str) for name in each.columns)
        assert isinstance(each.rows, int)
        for fraction in (each.real, each.synthetic, each.holdout):
            assert fraction == float(f"{fraction:.3e}")


def test_patterns_of_few_rows_are_not_told():
    rng = np.random.default_rng(0)
    gone = np.arange(2000) % 250 == 0  # 8 rows
    table = pd.DataFrame({n: np.where(gone, np.nan, rng.normal(size=2000)) for n in "ab"})
    columns = {"a": "numerical", "b": "numerical"}
    assert relations.describe(table, table, None, columns) == ()
    table[np.arange(2000) % 100 == 0] = np.nan
    (found,) = relations.describe(table, table, None, columns)
    assert found.statement == "a and b are missing together"


def test_nothing_is_said_where_all_is_kept(tables):
    real, _, holdout = tables
    records = relations.describe(real, holdout, None, COLUMNS)
    assert relations.verdicts(records) == ()
    assert relations.broken(records) == []
    assert relations.describe(real[["lot"]], holdout, None, {"lot": "numerical"}) == ()
    assert relations.sections(()) == ()
    assert relations.text((), False) == []
    assert relations.page((), True) == ""


def test_what_new_real_rows_break_is_no_fault():
    record = relations.Relation("below", ("a", "b"), "a < b", 900, 1.0, 0.97, 0.975)
    assert relations.broken([record]) == []
    record = relations.Relation("below", ("a", "b"), "a < b", 900, 1.0, 0.999, 1.0)
    (verdict,) = relations.verdicts([record])
    assert verdict.grade == "fair"
    assert verdict.sentence.startswith("1 of 1 relation that holds in all real rows")
