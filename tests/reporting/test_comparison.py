"""Several synthetic tables beside one real table: the same scores, on one page."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.reporting.report import Comparison, build_comparison, build_report

METADATA = {
    "columns": {
        "x": {"sdtype": "numerical"},
        "when": {"sdtype": "datetime"},
        "kind": {"sdtype": "categorical"},
        "key": {"sdtype": "id"},
    }
}


def table(seed: int, rows: int = 400, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "x": x + shift,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D"),
            "kind": np.where(x + 0.3 * rng.normal(size=rows) > 0, "up", "down"),
            "key": np.arange(rows),
        }
    )


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {"good": table(1), "far <b>": table(2, shift=4), "copy": table(0)}


@pytest.fixture(scope="module")
def found(tables) -> Comparison:
    return build_comparison(
        table(0), tables, METADATA, target="kind", holdout=table(9, 300), title="Side & side"
    )


def test_each_table_scores_as_in_a_report_of_its_own(found, tables):
    for name, synthetic in tables.items():
        alone = build_report(
            table(0), synthetic, METADATA, target="kind", holdout=table(9, 300), title=name
        ).content
        assert list(found.contents[name].measures()) == list(alone.measures())
        assert found.contents[name].verdicts == alone.verdicts
        assert found.contents[name].columns == alone.columns
    references = [[m.reference for m in c.measures()] for c in found.contents.values()]
    assert references[0] == references[1] == references[2]


def test_the_terminal_shows_a_column_for_each(found):
    text = found.to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "!!! copy: 100.0 %" in text
    (line,) = re.findall(r"^  column shapes.*$", text, re.MULTILINE)
    shapes = [c.measure("quality.shapes") for c in found.contents.values()]
    assert line.split()[2:] == [f"{m.value:.3f}" for m in shapes] + [f"{shapes[0].reference:.3f}"]
    (line,) = re.findall(r"^privacy .*$", text, re.MULTILINE)
    assert line.split() == [
        "privacy",
        *(c.verdict("privacy").grade for c in found.contents.values()),
    ]


def test_the_page_has_the_figures_of_all(found, tmp_path):
    source = found.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert source.index("Do not share copy") < source.index("Fidelity")
    assert "far &lt;b&gt;" in source
    assert "<b>" not in source
    for outside in ("http://", "https://", "<script", "<link", "url("):
        assert outside not in source
    # A filled histogram of the real rows, and an outline for each table.
    (drawn,) = re.findall(r'<svg [^>]*aria-label="Distribution of x .*?</svg>', source)
    assert re.findall(r'<path d="[^"]+" class="([^"]+)"', drawn) == [
        *("real", "outline t0", "outline t1", "outline t2"),
    ]
    (bars,) = re.findall(r'<table class="bars several">.*?</table>', source)
    assert re.findall(r'<i class="(\w+)"', bars) == ["real", "t0", "t1", "t2"] * 2
    (curves,) = re.findall(r'aria-label="Distance to the closest training row".*?</svg>', source)
    assert curves.count("<polyline") == 4
    # Copies are perfect, and not the best.
    (row,) = re.findall(r"<tr><th[^>]*>column shapes<.*?</tr>", source)
    assert row.count("<strong>") == 1
    assert row.index("<strong>") < row.index("1.000")


def test_json_has_every_report_by_its_name(found, tmp_path):
    path = found.to_json(tmp_path / "page.json")
    read = json.loads(path.read_text(encoding="utf-8"))
    assert list(read["tables"]) == ["good", "far <b>", "copy"]
    alone = read["tables"]["far <b>"]
    assert alone["rows"] == {"real": 400, "synthetic": 400, "holdout": 300}
    values = {m["key"]: m["value"] for s in alone["sections"] for m in s["measures"]}
    assert values["detection.score"] < 0.1


def test_without_held_out_rows_and_target(tmp_path, tables):
    result = build_comparison(table(0), {"a": tables["good"], "b": tables["copy"]}, METADATA)
    assert "No held-out real rows" in result.to_html(tmp_path / "p.html").read_text()
    assert "reference" in result.to_text()


def test_a_column_that_is_empty_in_one_table_alone(tmp_path):
    real = table(0).assign(empty=np.nan)
    about = {"columns": METADATA["columns"] | {"empty": {"sdtype": "numerical"}}}
    filled = table(2).assign(empty=1.0)
    result = build_comparison(
        real, {"a": table(1).assign(empty=np.nan), "b": filled}, about,
        holdout=table(9).assign(empty=np.nan),
    )  # fmt: skip
    assert result.contents["a"].left_out["empty"] == "empty in both tables"
    assert "empty" not in result.contents["b"].left_out
    assert "empty" in result.to_html(tmp_path / "p.html").read_text()


def test_a_table_that_alone_breaks_relations():
    added = {name: {"sdtype": "numerical"} for name in ("net", "tax", "total")}
    about = {"columns": METADATA["columns"] | added}

    def bills(seed: int, wrong: int = 0) -> pd.DataFrame:
        net, tax = np.random.default_rng(seed).integers(1, 1000, (2, 400))
        return table(seed).assign(net=net, tax=tax, total=net + tax + wrong)

    result = build_comparison(bills(0), {"kept": bills(1), "broken": bills(2, wrong=5)}, about)
    for names in (["kept", "broken"], ["broken", "kept"]):
        text = Comparison("", {name: result.contents[name] for name in names}).to_text()
        (line,) = re.findall(r"^relations .*$", text, re.MULTILINE)
        assert dict(zip(names, line.split()[1:], strict=True)) == {"kept": "-", "broken": "bad"}
    with pytest.raises(KeyError, match="no verdict on 'relations'"):
        result.contents["kept"].verdict("relations")


def test_the_number_of_tables_and_the_table_that_does_not_fit_are_named():
    with pytest.raises(ValueError, match="two to 6 tables can be compared, not 1"):
        build_comparison(table(0), {"a": table(1)}, METADATA)
    with pytest.raises(ValueError, match="two to 6 tables can be compared, not 7"):
        build_comparison(table(0), dict.fromkeys("abcdefg", table(1)), METADATA)
    with pytest.raises(ValueError, match=r"b: column 'x' .* missing from the synthetic data"):
        build_comparison(table(0), {"a": table(1), "b": table(1).drop(columns="x")}, METADATA)
