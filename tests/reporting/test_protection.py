"""Nothing that fewer than ten real rows stand for is in any rendering of a report."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import columns, pairs, protection
from sdv_wgangp.reporting.data import SMALLEST, Boxes, Cells, Scatter
from sdv_wgangp.reporting.panels.missing import missing_patterns
from sdv_wgangp.reporting.report import build_report

ROWS = 400
# What must be in no rendering: rare levels, extremes, texts, keys; with and without separators.
SECRETS = {
    "rare": ["Hieronymus", "Zwoelfender"],
    "money": ["98765432.5", "98765432", "98,765,432", "-87654321.25", "87654321", "98765432.5000"],
    "count": ["7654321", "7,654,321"],
    "few": ["31337", "31,337"],
    "day": ["1899-05-17", "1899-05", "17.05.1899", "1899", "2121-11-03", "2121"],
    "name": ["Ada Countess 7", "Ada Countess 13", "Ada Countess"],
    "mail": ["ada7@secret.example", "secret.example"],
    "key": ["500123007", "500,123,007"],
    "serial": ["90407", "90,407"],
    "text": ["a private remark"],
}


def table(seed: int) -> pd.DataFrame:
    """A table with secrets planted in it; with the seed 0 it is the real one."""
    rng = np.random.default_rng(seed)
    created = pd.DataFrame(
        {
            "rare": rng.choice(["a", "b", "c"], ROWS).astype(object),
            "money": rng.normal(1_000, 100, ROWS).round(2),
            "count": rng.poisson(300, ROWS),
            "few": rng.integers(0, 4, ROWS),
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 700, ROWS), "D"),
            "name": [f"Ada Countess {k}" for k in range(ROWS)],
            "mail": [f"ada{k}@secret.example" for k in range(ROWS)],
            "key": 500_123_000 + rng.permutation(ROWS) * 7,
            "serial": 90_001 + np.arange(ROWS),
            "text": [f"a private remark, number {k}" for k in range(ROWS)],
            "gap": np.where(rng.random(ROWS) < 0.3, np.nan, rng.normal(size=ROWS)),
        }
    )
    created.loc[:8, "rare"] = "Hieronymus"  # nine rows: one too few
    created.loc[9, "rare"] = "Zwoelfender"
    created.loc[0, "money"], created.loc[1, "money"] = 98_765_432.5, -87_654_321.25
    created.loc[:2, "count"] = 7_654_321
    created.loc[:4, "few"] = 31_337
    created.loc[0, "day"], created.loc[1, "day"] = (
        pd.Timestamp("1899-05-17"),
        pd.Timestamp("2121-11-03"),
    )
    return created


SDTYPES = {
    "rare": "categorical",
    "money": "numerical",
    "count": "numerical",
    "few": "numerical",
    "day": "datetime",
    "name": "categorical",
    "mail": "email",
    "key": "numerical",
    "serial": "numerical",
    "text": "categorical",
    "gap": "numerical",
}
METADATA = {"columns": {name: {"sdtype": sdtype} for name, sdtype in SDTYPES.items()}}


@pytest.mark.parametrize("target", ["rare", "money"])
@pytest.mark.parametrize("synthetic", ["fresh", "copied", "other"])
def test_no_rendering_names_a_secret(synthetic, target, tmp_path):
    """Whether the synthetic rows repeat the real ones or know nothing of them."""
    real = table(0)
    fake = {"fresh": table(1), "copied": real, "other": table(1).assign(rare="Zwoelfender")}
    report = build_report(real, fake[synthetic], METADATA, holdout=table(2), target=target)
    renderings = {
        "text": report.to_text(),
        "page": report.to_html(tmp_path / "r.html").read_text(encoding="utf-8"),
        "json": report.to_json(tmp_path / "r.json").read_text(encoding="utf-8"),
    }
    for where, content in renderings.items():
        for column, secret in itertools.chain.from_iterable(
            ((name, value) for value in values) for name, values in SECRETS.items()
        ):
            assert secret not in content, f"{where} names {secret!r} of column {column!r}"
    assert "Columns whose values nearly all differ" in renderings["page"]
    assert "Columns whose values nearly all differ" in renderings["json"]


def test_why_columns_are_hidden():
    real = table(0)
    why = {name: protection.why_hidden(real[name], sdtype) for name, sdtype in SDTYPES.items()}
    assert why["name"] == why["text"] == "nearly all values differ"
    assert why["key"] == why["serial"] == "looks like a key"
    assert why["mail"]
    assert not any(why[name] for name in ("rare", "money", "count", "few", "day", "gap"))
    assert "fewer than 20" in protection.why_hidden(real["money"][:19], "numerical")


def test_numbers_that_all_differ_are_no_keys_when_they_are_measures():
    rng = np.random.default_rng(0)
    people = pd.Series(np.unique(np.exp(rng.normal(12, 3, 900)).round()))
    assert protection.why_hidden(people, "numerical") == ""
    assert protection.why_hidden(pd.Series(rng.normal(size=500)), "numerical") == ""


def test_levels_of_ten_rows_are_named_and_of_nine_are_not():
    real = pd.Series(["ten"] * 10 + ["nine"] * 9 + [None] * 3 + ["many"] * 30)
    other = pd.Series(["nine", "unknown", "ten", None])
    levels = protection.Levels([real, other])
    assert levels.labels == ("many", "ten")
    assert levels.others == 1
    assert levels.codes[1].tolist() == [2, 2, 1, -1]
    assert levels.known[1].tolist() == [False, True, True]


def test_quantiles_have_ten_rows_beyond_and_are_rounded():
    values = np.arange(1000.0) + 0.123
    found = protection.safe_quantiles(values, (0.001, 0.009, 0.01, 0.5, 0.99, 0.995))
    assert found == (None, None, 10.0, 500.0, 990.0, None)
    assert protection.safe_quantiles(np.arange(19.0), (0.5,)) == (None,)
    shared = np.repeat([0.1234567, 9.7654321], 50)
    assert protection.safe_quantiles(shared, (0.25, 0.75)) == (0.1234567, 9.7654321)


def test_cells_boxes_and_dots_stand_for_ten_rows():
    rng = np.random.default_rng(0)
    real = pd.DataFrame(
        {
            "a": rng.choice(["p", "q", "r"], 300, p=[0.9, 0.06, 0.04]),
            "b": rng.choice(["u", "v"], 300),
            "x": rng.normal(size=300),
            "y": rng.exponential(size=300),
        }
    )
    kinds = {"a": "categorical", "b": "categorical", "x": "numerical", "y": "numerical"}
    cells = pairs.figure(real, real, kinds, "a", "b")
    assert isinstance(cells, Cells)
    counts = pd.crosstab(real["a"], real["b"])
    for row, fractions in zip(cells.rows, cells.real, strict=True):
        for column, fraction in zip(cells.columns, fractions, strict=True):
            count = counts.loc[row, column]
            assert fraction == (pytest.approx(count / 300) if count >= SMALLEST else None)
    scatter = pairs.figure(real, real, kinds, "x", "y")
    assert isinstance(scatter, Scatter)
    assert min(fraction for *_, fraction in scatter.real) * 300 >= SMALLEST - 1e-9
    assert sum(fraction for *_, fraction in scatter.real) + scatter.withheld[0] == pytest.approx(1)
    boxes = pairs.figure(real, real, kinds, "a", "x")
    assert isinstance(boxes, Boxes)
    rarest = boxes.real[boxes.levels.index("r")]
    assert rarest[0] is rarest[4] is None


def test_patterns_of_missing_values_of_few_rows_are_added_up():
    real = pd.DataFrame({"a": [1.0] * 60, "b": [1.0] * 60, "c": [1.0] * 60})
    real.loc[:19, "a"] = np.nan
    real.loc[20:24, ["a", "b"]] = np.nan
    found = missing_patterns(real, real, None)
    assert [(pattern.columns, round(pattern.real * 60)) for pattern in found] == [
        ((), 35),
        (("a",), 20),
        (None, 5),
    ]
    assert missing_patterns(real[["c"]], real[["c"]], None) == ()


def test_coverage_counts_levels_and_names_none():
    real = pd.DataFrame({"kind": ["a"] * 30 + ["b"] * 20 + [f"rare {k}" for k in range(5)]})
    fake = pd.DataFrame({"kind": ["a"] * 20 + ["rare 1", "new"]})
    (found,) = columns.rare_levels(real, fake, real, {"kind": "categorical"})
    assert (found.frequent, found.frequent_synthetic, found.frequent_holdout) == (2, 1, 2)
    assert (found.rare, found.rare_synthetic, found.rare_holdout) == (5, 1, 5)
    assert found.rows == pytest.approx(5 / 55)
    assert found.rows_synthetic == pytest.approx(2 / 22)


def test_dates_are_as_coarse_as_their_spread():
    start = pd.Timestamp("2000-01-01")
    values = pd.Series(start + pd.to_timedelta(np.arange(4_000), "D"))
    found = columns.summary(values, "datetime")
    assert found.quantiles[3] == "2005-06"
    assert found.mean == "2005-06"
    assert found.sd == "1150 days"
