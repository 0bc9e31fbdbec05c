"""The whole report: what it computes, says and writes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from html.parser import HTMLParser
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting import page, pairs, scores
from sdv_wgangp.reporting.data import Content
from sdv_wgangp.reporting.panels import PANELS
from sdv_wgangp.reporting.preparation import prepare
from sdv_wgangp.reporting.report import Report, build_report

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
def full() -> Report:
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


@pytest.fixture(scope="module")
def copied() -> Report:
    real = people(300, 0)
    return build_report(real, real, METADATA, holdout=people(300, 1), target="group")


def sentences(report: Report) -> list[str]:
    return [finding.sentence for finding in report.content.findings]


def keys(report: Report) -> set[str]:
    return {measure.key for measure in report.content.measures()}


def test_new_draws_of_the_same_distribution_score_like_held_out_rows(full):
    found = {measure.key: measure for measure in full.content.measures()}
    assert found["quality.overall_all_pairs"].value > 0.9
    assert found["detection.score"].value > 0.75
    assert found["detection.unseen"].value > 0.75
    utility = found["utility.auc"]
    assert utility.value == pytest.approx(utility.reference, abs=0.05)
    assert found["privacy.nearest"].value == pytest.approx(0.5, abs=0.06)
    assert found["privacy.copies"].value == 0
    assert full.content.left_out == {"key": "id"}
    assert sentences(full) == []
    assert full.content.alarm == ""
    assert [v.grade for v in full.content.verdicts] == ["good"] * 3
    with pytest.raises(KeyError, match="no measure 'beauty'"):
        full.content.measure("beauty")


def test_text_begins_with_verdicts_and_states_version_thresholds_and_every_score(full):
    text = full.to_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.index("fidelity: good") < text.index("utility: good") < text.index("SDMetrics")
    assert f"SDMetrics {version('sdmetrics')}" in text
    for measure in full.content.measures():
        assert measure.label in text
    assert f"{full.content.measure('detection.score').value:.3f}" in text
    assert "600 real, 300 held-out and 600 synthetic rows, 5 columns scored" in text


class Page(HTMLParser):
    """Collects the tags, the addresses that they load, the headings and the text."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.addresses, self.text, self.open = [], [], [], []
        self.identities, self.unnamed = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.addresses += [given[name] for name in ("src", "href", "srcset") if name in given]
        self.identities += [given["id"]] if "id" in given else []
        if given.get("role") in ("img", "region") and not given.get("aria-label"):
            self.unnamed.append(tag)
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
    assert parser.unnamed == []
    return parser


def test_page_is_whole_and_needs_nothing_else(full, tmp_path):
    path = full.to_html(tmp_path / "report.html")
    source = path.read_text(encoding="utf-8")
    found = read(path)
    assert all(address[1:] in found.identities for address in found.addresses)
    assert {address[0] for address in found.addresses} == {"#"}
    assert not {"script", "link", "iframe", "img"} & set(found.tags)
    for outside in ("http://", "https://", "@import", "url("):
        assert outside not in source
    text = " ".join(found.text)
    for heading in ("Column shapes", "Pair trends", "Detection", "Training", "Provenance"):
        assert heading in found.text
    assert "People & <others>" in text
    assert "Not scored: key (id)" in text
    assert "missing " in text
    assert full.content.protection in text
    assert "prefers-color-scheme:dark" in source
    assert found.tags.count("caption") == found.tags.count("table")


def test_page_begins_with_the_verdict_and_its_headings_go_down_one_by_one(full, tmp_path):
    found = read(full.to_html(tmp_path / "report.html"))
    levels = [int(tag[1]) for tag in found.tags if tag in ("h1", "h2", "h3")]
    assert levels[:5] == [1, 2, 3, 3, 3]
    assert max(np.diff(levels)) == 1
    text = " ".join(found.text)
    assert text.index("Boosted trees can hardly tell") < text.index("Scores and what they mean")


def test_json_holds_everything_and_is_standard(full, tmp_path):
    path = full.to_json(tmp_path / "report.json")

    def fail(constant):
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=fail)
    assert found["version"] == 1
    assert found["rows"] == {"real": 600, "synthetic": 600, "holdout": 300}
    measures = {m["key"]: m["value"] for s in found["sections"] for m in s["measures"]}
    assert measures["detection.score"] == full.content.measure("detection.score").value
    assert [verdict["key"] for verdict in found["verdicts"]] == ["fidelity", "utility", "privacy"]
    assert {column["name"] for column in found["columns"]} == set(people(1, 0))
    assert len(found["pairs"]) == 10
    assert found["provenance"]["versions"]["sdmetrics"]


def test_every_panel_has_a_section_of_the_page_and_a_record_in_the_json(full, tmp_path):
    assert not {panel.key for panel in PANELS} & {field.name for field in fields(Content)}
    page = read(full.to_html(tmp_path / "report.html"))
    found = json.loads(full.to_json(tmp_path / "report.json").read_text(encoding="utf-8"))
    for panel in PANELS:
        assert panel.key in page.identities
        assert panel.title in page.text
        assert found[panel.key]
    assert "panels" not in found


def test_without_holdout_target_and_losses_it_says_what_is_missing(tmp_path):
    report = build_report(people(300, 0), people(300, 1), METADATA)
    assert not {"privacy.nearest", "utility.auc", "detection.unseen"} & keys(report)
    assert "privacy.copies" in keys(report)
    private, useful = report.content.verdict("privacy"), report.content.verdict("utility")
    assert (private.grade, useful.grade) == ("unknown", "unknown")
    assert "Hold real rows out before fitting" in private.remedy
    assert "--target" in useful.remedy
    assert "Without held-out rows" in report.content.verdict("fidelity").sentence
    found = read(report.to_html(tmp_path / "report.html"))
    assert "Training" not in found.text
    assert "No held-out real rows were given" in " ".join(found.text)


def test_a_copy_of_the_training_rows_is_an_alarm(copied, tmp_path):
    assert copied.content.alarm.startswith("100.0 % of the synthetic rows are exact copies")
    grades = {verdict.key: verdict.grade for verdict in copied.content.verdicts}
    assert grades == {"fidelity": "unknown", "utility": "unknown", "privacy": "bad"}
    assert "Do not share" in copied.content.verdict("privacy").remedy
    source = copied.to_html(tmp_path / "copy.html").read_text(encoding="utf-8")
    assert source.index('class="alarm" role="alert"') < source.index('class="card verdict')
    assert "Do not share" in source
    assert copied.to_text().index("!!! 100.0 %") < copied.to_text().index("fidelity")


def test_an_auc_below_one_half_is_explained(copied, full, tmp_path):
    assert copied.content.measure("detection.score").value == 1
    auc = copied.content.measure("detection.auc")
    assert auc.value < 0.4
    assert "not better than real" in auc.note
    # 1.000 would look like the best there is.
    assert copied.content.measure("detection.score").instead == "AUC < .5"
    (line,) = re.findall(r"^  against the real rows.*$", copied.to_text(), re.MULTILINE)
    assert line.split()[-3:-1] == ["<", ".5"]
    source = copied.to_html(tmp_path / "copy.html").read_text(encoding="utf-8")
    (row,) = re.findall(r"<tr><th[^>]*>against the real rows<.*?</tr>", source)
    assert "<td>AUC &lt; .5</td>" in row
    assert full.content.measure("detection.score").instead == ""
    assert any("below one half" in sentence for sentence in sentences(copied))
    assert full.content.measure("detection.auc").note == ""


def test_training_rows_that_are_slightly_changed_are_an_alarm():
    real = people(400, 0)
    near = real.assign(income=real["income"] * 1.0001)
    report = build_report(real, near, METADATA, holdout=people(400, 1))
    assert "training rows, slightly changed" in report.content.alarm
    assert report.content.verdict("privacy").grade == "bad"
    assert report.content.measure("privacy.copies").value == 0


def test_copies_of_some_rows_are_bad_and_named():
    real, synthetic = people(400, 0), people(400, 1)
    synthetic.iloc[:60] = real.iloc[:60]
    report = build_report(real, synthetic, METADATA, holdout=people(300, 2))
    assert report.content.alarm == ""
    private = report.content.verdict("privacy")
    assert private.grade == "bad"
    assert "15.0 % exact copies" in private.sentence


def test_identical_rows_stand_beside_what_chance_gives(tmp_path):
    """Of few distinct rows, new real ones equal a training row as often."""
    rng = np.random.default_rng(0)
    tables = [
        pd.DataFrame({"a": rng.integers(0, 20, rows), "b": rng.integers(0, 20, rows)})
        for rows in (400, 400, 200)
    ]
    about = {"columns": {name: {"sdtype": "categorical"} for name in "ab"}}
    report = build_report(*tables[:2], about, holdout=tables[2])
    copies = report.content.measure("privacy.copies")
    known = set(map(tuple, tables[0].to_numpy()))
    for value, table in zip((copies.value, copies.reference), tables[1:], strict=True):
        assert value == np.mean([tuple(row) in known for row in table.to_numpy()])
    assert 0.4 < copies.reference < 0.8
    (line,) = re.findall(r"^  exact copies.*$", report.to_text(), re.MULTILINE)
    assert line.endswith(f"{100 * copies.reference:.2f} %")
    curves = report.content.distances
    assert len(curves.synthetic) == len(curves.holdout) == len(curves.fractions)
    assert report.content.alarm == ""
    rare = report.content.rare[0]
    assert rare.frequent + rare.rare == 20
    assert rare.frequent_synthetic + rare.rare_synthetic == 20
    text = " ".join(read(report.to_html(tmp_path / "r.html")).text)
    assert f"{rare.frequent} of {rare.frequent}" in text


def test_repeated_real_rows_are_no_alarm_without_holdout():
    rng = np.random.default_rng(0)
    tables = [pd.DataFrame({"a": rng.integers(0, 3, 300), "b": rng.integers(0, 3, 300)})] * 2
    about = {"columns": {"a": {"sdtype": "categorical"}, "b": {"sdtype": "categorical"}}}
    report = build_report(tables[0], tables[1].sample(300, replace=True, random_state=0), about)
    assert report.content.measure("privacy.copies").value == 1
    assert report.content.alarm == ""
    assert report.content.verdict("privacy").grade == "unknown"


def test_held_out_rows_that_were_not_held_out_are_pointed_out():
    real = people(300, 0)
    report = build_report(real, people(300, 1), METADATA, holdout=real.iloc[:100])
    assert any(
        "100 % of the held-out rows are among the real rows" in text for text in sentences(report)
    )
    assert report.content.verdict("privacy").grade == "unknown"


def test_wrong_rows_are_explained_by_their_columns():
    synthetic = people(400, 1)
    synthetic["income"] *= 50
    synthetic["group"] = "nobody"
    report = build_report(people(400, 0), synthetic, METADATA, target="group")
    text = " ".join(sentences(report))
    assert "recognise synthetic rows mostly by" in text
    assert "Invalid values: " in text
    assert "group (level that no real row has, 100.0 %)" in text
    assert report.content.measure("utility.auc").value == 0.5
    assert "Classes of 'group' that no synthetic row has: " in text
    assert report.content.verdict("fidelity").grade == "bad"
    assert report.content.verdict("utility").grade == "bad"
    broken = {(v.column, v.kind): v.count for v in report.content.violations}
    assert broken["group", "level that no real row has"] == 400
    assert ("income", "above the real range") in broken


def test_regression_targets_give_r2_and_rmse_of_the_logarithm():
    report = build_report(
        people(500, 0), people(500, 1), METADATA, target="income", holdout=people(200, 2)
    )
    assert {"utility.r2", "utility.rmse", "utility.log_rmse"} <= keys(report)
    assert report.content.measure("utility.r2").value > 0.1


def test_wide_tables_show_their_worst_columns(tmp_path):
    rng = np.random.default_rng(0)
    real = pd.DataFrame(rng.normal(size=(80, 11)), columns=[f"c{k:02d}" for k in range(11)])
    synthetic = pd.DataFrame(rng.normal(size=(80, 11)), columns=real.columns)
    synthetic["c07"] += 9
    metadata = {"columns": {name: {"sdtype": "numerical"} for name in real}}
    report = build_report(real, synthetic, metadata)
    shown = [column.name for column in page.shown_columns(report.content.columns, 8)]
    assert len(shown) == 8
    assert shown[0] == "c07"
    shapes = pd.Series({column.name: column.score for column in report.content.columns})
    assert shapes[shown].max() <= shapes.drop(shown).min()
    text = " ".join(read(report.to_html(tmp_path / "wide.html", most_drawn=8)).text)
    assert "The table has 11 columns: shown are the 8 with the lowest score" in text


def test_a_single_column_has_no_pairs(tmp_path):
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100)})
    report = build_report(table, table, {"columns": {"x": {"sdtype": "numerical"}}})
    found = read(report.to_html(tmp_path / "one.html"))
    assert "Pair trends" not in found.text
    assert any("No pair of real columns" in text for text in sentences(report))


def test_the_same_seed_gives_the_same_report():
    arguments = (people(300, 0), people(300, 1), METADATA)
    one, two = (build_report(*arguments, target="member", seed=3) for _ in range(2))
    assert one.to_text() == two.to_text()


@pytest.mark.parametrize("where", ["both", "real", "synthetic", "holdout"])
@pytest.mark.parametrize("name", ["age", "since", "group", "member"])
def test_an_empty_column_is_no_failure(name, where, tmp_path):
    tables = {"real": people(80, 0), "synthetic": people(80, 1), "holdout": people(60, 2)}
    for which in ("real", "synthetic") if where == "both" else (where,):
        tables[which][name] = None
    report = build_report(tables["real"], tables["synthetic"], METADATA, holdout=tables["holdout"])
    (column,) = [each for each in report.content.columns if each.name == name]
    if where == "both":
        assert report.content.left_out[name] == "empty in both tables"
        assert any(f"not scored: {name}" in text for text in sentences(report))
        assert column.score is None
    elif where == "real":
        assert column.hidden
    read(report.to_html(tmp_path / "empty.html"))
    json.loads(report.to_json(tmp_path / "empty.json").read_text(encoding="utf-8"))


def test_a_table_of_empty_columns_is_refused_by_name():
    table = pd.DataFrame({"a": [None] * 5, "b": range(5)})
    about = {"columns": {"a": {"sdtype": "numerical"}, "b": {"sdtype": "id"}}}
    with pytest.raises(ValueError, match="'a' is empty in both tables; 'b' is id"):
        build_report(table, table, about)


def test_names_are_escaped_everywhere(tmp_path):
    evil = "<script>alert(1)</script>"
    table = people(200, 0).rename(columns={"group": evil, "age": "</style>&'\""})
    table[evil] = table[evil].replace({"senior": "<img src=x onerror=alert(2)>"})
    columns = dict(METADATA["tables"]["people"]["columns"])
    columns[evil], columns["</style>&'\""] = columns.pop("group"), columns.pop("age")
    other = table.sample(200, replace=True, random_state=0)
    report = build_report(
        table, other, {"columns": columns}, target=evil, holdout=table[:50], title=evil
    )
    path = report.to_html(tmp_path / "evil.html")
    found = read(path)
    assert not {"script", "img"} & set(found.tags)
    assert found.tags.count("style") == 1
    assert "<img src=x onerror=alert(2)>" in " ".join(found.text)


def test_provenance_names_files_by_their_digest(tmp_path):
    path = tmp_path / "real.csv"
    path.write_bytes(b"a\n1\n")

    class Model:
        def get_parameters(self):
            return {"epochs": 7}

        def get_info(self):
            return {"class_name": "Model"}

    losses = pd.DataFrame({"Epoch": range(3), "Generator Loss": 0.0})
    report = build_report(
        people(60, 0), people(60, 1), METADATA, files={"real": path, "holdout": None},
        model=Model(), fit_seconds=1.25, loss_values=losses, seed=5,
    )  # fmt: skip
    known = report.content.provenance
    (stamp,) = known.files
    assert (stamp.role, stamp.name) == ("real", "real.csv")
    assert stamp.sha256 == hashlib.sha256(b"a\n1\n").hexdigest()
    assert known.parameters == {"epochs": "7"}
    assert known.model == {"class_name": "Model", "epochs_trained": "3", "fit_seconds": "1.2"}
    assert known.seed == 5
    assert stamp.sha256 in report.to_html(tmp_path / "r.html").read_text(encoding="utf-8")


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
        (
            {"synthetic": people(50, 0).assign(age=np.inf)},
            "column 'age' holds an infinite value in the synthetic data",
        ),
        (
            {"synthetic": people(50, 0).assign(group=[["a"]] * 50)},
            "column 'group' is described as categorical but holds lists",
        ),
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
    result = np.array(pairs.associations(table, table, columns).real, dtype=float)
    names = list(columns)
    at = {(a, b): result[names.index(a), names.index(b)] for a in names for b in names}
    assert at["x", "minus"] == pytest.approx(-1)
    assert at["sign", "same"] == pytest.approx(1)
    assert at["x", "sign"] > 0.9
    assert at["sign", "coin"] < 0.06
    assert np.isnan(at["coin", "fixed"])
    np.testing.assert_array_equal(result, result.T)


def test_metadata_of_several_tables_is_refused():
    two = {"tables": {"a": {"columns": {}}, "b": {"columns": {}}}}
    with pytest.raises(ValueError, match="describes 2 tables"):
        build_report(people(10, 0), people(10, 1), two)
    assert scores.columns_of(METADATA)["since"] == "datetime"
