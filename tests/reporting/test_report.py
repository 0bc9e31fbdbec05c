"""The whole report: what it computes, says and writes."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import page, scores
from sdv_wgangp.reporting.report import build_report, prepare

METADATA = {
    "METADATA_SPEC_VERSION": "V1",
    "relationships": [],
    "tables": {
        "people": {
            "primary_key": "key",
            "columns": {
                "key": {"sdtype": "id"},
                "age": {"sdtype": "numerical"},
                "income": {"sdtype": "numerical"},
                "since": {"sdtype": "datetime", "datetime_format": "%d.%m.%Y"},
                "group": {"sdtype": "categorical"},
                "member": {"sdtype": "boolean"},
            },
        }
    },
}


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.normal(45, 12, rows).round()
    since = pd.Timestamp("2010-01-01") + pd.to_timedelta(rng.integers(0, 4_000, rows), "D")
    table = pd.DataFrame(
        {
            "key": np.arange(rows) + 1_000 * seed,
            "age": age,
            "income": np.exp(7 + age / 30 + 0.4 * rng.normal(size=rows)),
            "since": pd.Series(since).dt.strftime("%d.%m.%Y"),
            "group": np.where(age + 6 * rng.normal(size=rows) > 45, "senior", "junior"),
            "member": rng.random(rows) < 0.3,
        }
    )
    table.loc[rng.random(rows) < 0.1, "age"] = np.nan
    return table


@pytest.fixture(scope="module")
def full():
    losses = pd.DataFrame(
        {
            "Epoch": range(30),
            "Generator Loss": np.linspace(1, 0, 30),
            "Discriminator Loss": np.linspace(-1, 0, 30),
        }
    )
    return build_report(
        people(600, 0),
        people(600, 1),
        METADATA,
        target="group",
        holdout=people(300, 2),
        loss_values=losses,
        title="People & <others>",
    )


def values(report) -> dict[str, float]:
    return {line.name: line.value for _, lines in report.sections() for line in lines}


def test_new_draws_of_the_same_distribution_score_like_held_out_rows(full):
    found = values(full)
    assert found["overall, all pairs"] > 0.9
    assert found["against the real rows"] > 0.75
    assert found["against the held-out rows"] > 0.75
    assert found["AUC"] == pytest.approx(full.utility_real.auc, abs=0.05)
    assert found["nearest-record share"] == pytest.approx(0.5, abs=0.06)
    assert found["exact copies"] == 0
    assert full.left_out == {"key": "id"}
    assert full.findings() == []


def test_text_states_version_thresholds_and_every_score(full):
    text = full.to_text()
    assert f"SDMetrics {full.quality.sdmetrics_version}" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    for name in values(full):
        assert name in text
    assert f"{full.detection.score:.3f}" in text
    assert "600 real, 300 held-out and 600 synthetic rows, 5 columns scored" in text


class Page(HTMLParser):
    """Collects the tags, the addresses that they load, and the text."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attributes if name in ("src", "href", "srcset")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path) -> Page:
    parser = Page()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_page_is_whole_and_needs_nothing_else(full, tmp_path):
    path = full.to_html(tmp_path / "report.html")
    source = path.read_text(encoding="utf-8")
    found = read(path)
    assert found.addresses == []
    assert not {"script", "link", "iframe", "img"} & set(found.tags)
    for outside in ("http://", "https://", "@import", "url("):
        assert outside not in source
    # One figure per column, three heat maps, detection, losses.
    assert found.tags.count("svg") == 5 + 3 + 1 + 1
    text = " ".join(found.text)
    for heading in ("Column shapes", "Pair trends", "Detection", "Training"):
        assert heading in text
    assert "People & <others>" in text
    assert "Not scored: key (id)" in text
    assert "missing: real" in text


def test_without_holdout_target_and_losses_it_says_what_is_missing(tmp_path):
    report = build_report(people(300, 0), people(300, 1), METADATA)
    names = values(report)
    assert "nearest-record share" not in names
    assert "AUC" not in names
    assert "exact copies" in names
    (finding,) = [text for text in report.findings() if "nearest-record share" in text]
    assert "hold some out before fitting" in finding.replace("\n", " ")
    found = read(report.to_html(tmp_path / "report.html"))
    assert "Training" not in found.text


def test_copies_and_memorising_are_pointed_out():
    real = people(300, 0)
    report = build_report(real, real, METADATA, holdout=people(300, 1))
    text = " ".join(report.findings())
    assert "100.00 % of the synthetic rows equal a training row" in text
    assert "nearer to training rows" in text


def test_held_out_rows_that_were_not_held_out_are_pointed_out():
    real = people(300, 0)
    report = build_report(real, people(300, 1), METADATA, holdout=real.iloc[:100])
    assert any(
        "100 % of the held-out rows are among the real rows" in t for t in report.findings()
    )


def test_wrong_rows_are_explained_by_their_columns():
    synthetic = people(400, 1)
    synthetic["income"] *= 50
    synthetic["group"] = "nobody"
    report = build_report(people(400, 0), synthetic, METADATA, target="group")
    text = " ".join(report.findings())
    assert "recognise synthetic rows mostly by" in text
    assert "Invalid values (out of range or unknown) in:" in text
    assert report.utility.auc == 0.5
    assert "Classes of 'group' that no synthetic row has: " in text


def test_regression_targets_give_r2_and_rmse_of_the_logarithm():
    report = build_report(
        people(500, 0), people(500, 1), METADATA, target="income", holdout=people(200, 2)
    )
    names = values(report)
    assert {"R2", "RMSE", "RMSE of the logarithm"} <= set(names)
    assert names["R2"] > 0.1


def test_wide_tables_show_their_worst_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "WIDE", 8)
    rng = np.random.default_rng(0)
    real = pd.DataFrame(rng.normal(size=(80, 11)), columns=[f"c{k:02d}" for k in range(11)])
    synthetic = pd.DataFrame(rng.normal(size=(80, 11)), columns=real.columns)
    synthetic["c07"] += 9
    metadata = {"columns": {name: {"sdtype": "numerical"} for name in real}}
    report = build_report(real, synthetic, metadata)
    shown = page.shown_columns(report)
    assert len(shown) == 8
    assert shown[0] == "c07"
    shapes = report.quality.shapes.set_index("Column")["Score"]
    assert shapes[shown].max() <= shapes.drop(shown).min()
    found = read(report.to_html(tmp_path / "wide.html"))
    text = " ".join(found.text)
    assert "The table has 11 columns: shown are the 8 with the lowest score" in text
    assert "Scores of the other 3 columns" in text
    assert found.tags.count("svg") == 8 + 3 + 1


def test_a_single_column_has_no_pairs(tmp_path):
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100)})
    report = build_report(table, table, {"columns": {"x": {"sdtype": "numerical"}}})
    found = read(report.to_html(tmp_path / "one.html"))
    assert "Pair trends" not in found.text
    assert any("No pair of real columns" in text for text in report.findings())


def test_the_same_seed_gives_the_same_report():
    arguments = (people(300, 0), people(300, 1), METADATA)
    one, two = (build_report(*arguments, target="member", seed=3) for _ in range(2))
    assert one.to_text() == two.to_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"real": people(50, 0).drop(columns="age")},
            "column 'age' .* missing from the real data",
        ),
        ({"synthetic": people(50, 0).drop(columns="age")}, "missing from the synthetic data"),
        ({"holdout": people(50, 0).drop(columns="age")}, "missing from the held-out data"),
        ({"synthetic": people(50, 0)[:0]}, "the synthetic data has no rows"),
        (
            {"target": "key"},
            "target 'key' is not a column that can be predicted: choose one of age",
        ),
        ({"synthetic": people(50, 0).assign(since="2020-31")}, "column 'since' .* no datetime"),
        ({"synthetic": people(50, 0).assign(age="old")}, "column 'age' is described as numerical"),
    ],
)
def test_errors_name_the_column_and_the_table(change, message):
    arguments = {"real": people(50, 0), "synthetic": people(50, 1)} | change
    real, synthetic = arguments.pop("real"), arguments.pop("synthetic")
    with pytest.raises(ValueError, match=message):
        build_report(real, synthetic, METADATA, **arguments)


def test_tables_read_with_other_types_are_made_comparable():
    about = {"columns": {"code": {"sdtype": "categorical"}, "day": {"sdtype": "datetime"}}}
    real = pd.DataFrame({"code": ["1", "2", "x"], "day": pd.to_datetime(["2020-01-01"] * 3)})
    synthetic = pd.DataFrame({"code": [1.0, 2.0, np.nan], "day": ["2020-01-01"] * 3})
    first, second = prepare([real, synthetic], about)
    assert second["code"][:2].tolist() == first["code"][:2].tolist() == ["1", "2"]
    assert second["code"].isna().tolist() == [False, False, True]
    assert (first["day"] == second["day"]).all()
    assert synthetic["code"].dtype == float


def test_associations_are_pearson_and_cramers_v():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4_000)
    table = pd.DataFrame(
        {
            "x": x,
            "minus": -2 * x,
            "sign": np.where(x > 0, "p", "n"),
            "same": np.where(x > 0, "q", "r"),
            "coin": rng.choice(["h", "t"], 4_000),
            "fixed": "c",
        }
    )
    columns = dict.fromkeys(table, "categorical") | {"x": "numerical", "minus": "numerical"}
    edges = {name: np.quantile(table[name], np.arange(1, 10) / 10) for name in ("x", "minus")}
    result = page.associations(table, columns, edges)
    names = list(columns)
    at = {(a, b): result[names.index(a), names.index(b)] for a in names for b in names}
    assert at["x", "minus"] == pytest.approx(-1)
    assert at["sign", "same"] == pytest.approx(1)
    assert at["x", "sign"] > 0.9
    assert at["sign", "coin"] < 0.06
    assert np.isnan(at["coin", "fixed"])
    np.testing.assert_array_equal(result, result.T)


def test_cramers_v_of_a_known_table():
    # [[30, 10], [10, 50]]: chi2 / n = (30*50 - 10*10)^2 / (40 * 60 * 40 * 60)
    x = np.repeat([0, 0, 1, 1], [30, 10, 10, 50])
    y = np.repeat([0, 1, 0, 1], [30, 10, 10, 50])
    assert page._cramers_v(x, y) == pytest.approx(1_400 / 2_400)


def test_metadata_of_several_tables_is_refused():
    two = {"tables": {"a": {"columns": {}}, "b": {"columns": {}}}}
    with pytest.raises(ValueError, match="describes 2 tables"):
        build_report(people(10, 0), people(10, 1), two)
    assert scores.columns_of(METADATA)["since"] == "datetime"
