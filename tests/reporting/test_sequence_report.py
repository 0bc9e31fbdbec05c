"""A report of sequences: records, text, page, verdict, several tables, the command line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp import cli
from sdv_wgangp.reporting import figures, protection, sequences
from sdv_wgangp.reporting.data import SequenceCurve
from sdv_wgangp.reporting.report import build_comparison, build_report
from sdv_wgangp.reporting.scores.sequences import read_panels

ABOUT = {
    "columns": {
        "patient": {"sdtype": "id"},
        "day": {"sdtype": "datetime"},
        "sex": {"sdtype": "categorical"},
        "pressure": {"sdtype": "numerical"},
        "ward": {"sdtype": "categorical"},
    }
}
KEYS = {"sequence_key": "patient", "sequence_index": "day", "context_columns": ["sex"]}


def visits(count: int, seed: int, memory: float = 0.95) -> pd.DataFrame:
    """Patients of 1 to 10 visits, whose pressure and ward remember."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 11, count)
    owner = np.repeat(np.arange(count), length)
    new = np.concatenate([[True], owner[1:] != owner[:-1]])
    noise, stays = rng.normal(size=len(owner)), rng.random(len(owner)) < memory
    pressure, ward = noise.copy(), rng.integers(0, 3, len(owner))
    for row in np.flatnonzero(~new):
        pressure[row] = memory * pressure[row - 1] + np.sqrt(1 - memory**2) * noise[row]
        ward[row] = ward[row - 1] if stays[row] else ward[row]
    day = pd.Series(rng.integers(1, 30, len(owner))).groupby(owner).cumsum()
    return pd.DataFrame(
        {
            "patient": owner + 10_000 * seed,
            "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D"),
            "sex": rng.choice(["f", "m"], count)[owner],
            "pressure": (120 + 15 * pressure).round(1),
            "ward": np.array(["a", "b", "c"])[ward],
        }
    )


def backwards(table: pd.DataFrame) -> pd.DataFrame:
    """Every seventh visit is long before the others."""
    early = np.arange(len(table)) % 7 == 3
    return table.assign(day=table["day"] - pd.to_timedelta(np.where(early, 400, 0), "D"))


@pytest.fixture(scope="module")
def built():
    """Of visits that are forgotten and go back in time."""
    wrong = backwards(visits(150, 1, memory=0.0))
    return build_report(visits(150, 0), wrong, ABOUT, holdout=visits(120, 2), **KEYS)


def test_measures_verdict_and_records(built):
    content = built.content
    verdict = content.verdict("sequences")
    assert verdict.grade == "bad"
    assert "Boosted trees tell the sequences from real ones easily" in verdict.sentence
    assert "day rises with every row (at " in verdict.sentence
    assert "Sort each sequence by 'day'" in verdict.remedy
    back = content.measure("sequences.order.back")
    assert back.value > 0.1 > back.reference == 0
    pairs = content.measure("sequences.detection.pairs")
    assert pairs.value < 0.5 < pairs.reference
    found = content.sequences
    assert (found.key, found.index, found.context) == ("patient", "day", ("sex",))
    assert found.counts == {
        "real": 150, "synthetic": 150, "holdout": 120,
        "independent_rows": 150, "copula_over_time": 150,
    }  # fmt: skip
    assert {curve.column for curve in found.curves} == {"day", "pressure", "ward"}
    assert sum(found.lengths.real) == pytest.approx(1)
    # The key tells which rows belong together, and is compared with nothing.
    assert "patient" in content.left_out


def test_text_has_scores_baselines_and_broken_rules(built):
    text = built.to_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "sequences: bad" in text
    assert "Sequences (by 'patient')" in text
    line = next(line for line in text.splitlines() if line.startswith("Sequences beside"))
    assert line.split()[-4:] == ["synthetic", "held-out", "indep.", "copula"]
    assert "day rises with every row" in text.split("Rules of all real sequences")[1]


def test_page_and_json(built, tmp_path):
    page = built.to_html(tmp_path / "page.html").read_text()
    assert '<section id="sequences"><h2>Sequences</h2>' in page
    for said in ("copula over time", "autocorrelation of levels", "persistence", "By column"):
        assert said in page
    found = json.loads(built.to_json(tmp_path / "page.json").read_text())
    assert found["sequences"]["lines"][0]["values"].keys() == {
        "synthetic", "holdout", "independent_rows", "copula_over_time",
    }  # fmt: skip


def test_a_report_shows_no_key_and_no_single_sequence(built, tmp_path):
    text = built.to_json(tmp_path / "page.json").read_text()
    for key in visits(150, 1)["patient"].unique():
        assert f'"{key}"' not in text
    lengths = built.content.sequences.lengths
    counts = np.array(lengths.real) * 150
    assert counts[0] >= 9
    assert counts[-1] >= 9


def test_good_sequences_are_good_and_copies_not_judged(built):
    real, good, held = visits(150, 0), visits(150, 3), visits(150, 2)
    columns = {name: each["sdtype"] for name, each in ABOUT["columns"].items()}
    keys = sequences.Keys("patient", "day", ("sex",))
    scores = sequences.score(real, good, held, columns, keys, seed=0, known=None)
    (verdict,) = sequences.verdicts(sequences.describe(scores, real, good, keys), alarmed=False)
    assert (verdict.grade, verdict.remedy) == ("good", "")
    (verdict,) = sequences.verdicts(built.content.sequences, alarmed=True)
    assert verdict.grade == "unknown"


def with_values(found, **values):
    """Records with other values of lines: ``key__subject`` (points are underscores, too)."""
    lines = []
    for line in found.lines:
        own = {
            subject: values.get(f"{line.key.replace('.', '_')}__{subject}", value)
            for subject, value in line.values.items()
        }
        lines.append(dataclasses.replace(line, values=own))
    return dataclasses.replace(found, lines=tuple(lines), rules=())


TREES = {
    "detection_pairs__synthetic": 0.9, "detection_sequences__synthetic": 0.85,
    "detection_pairs__holdout": 0.99, "detection_sequences__holdout": 0.98,
    "privacy_nearest_share__synthetic": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "grade", "said"),
    [
        ({}, "good", "pairs of rows 0.900 (held-out 0.990)"),
        ({"detection_sequences__synthetic": 0.7}, "fair", "tell some of the sequences"),
        ({"detection_sequences__synthetic": 0.3}, "bad", "easily"),
        # Where the ceiling is low because the data drift, it does not make all good.
        ({"detection_pairs__holdout": 0.0, "detection_pairs__synthetic": 0.3}, "bad", "too: they"),
        ({"privacy_nearest_share__synthetic": 0.64}, "fair", "64.0 % lie nearer to training"),
        ({"privacy_nearest_share__synthetic": 0.8}, "bad", "80.0 % lie nearer to training"),
        (
            {"detection_pairs__synthetic": 0.2, "detection_pairs__copula_over_time": 0.3,
             "detection_sequences__copula_over_time": 0.9},
            "bad", "No better than the baseline copula over time.",
        ),
        (
            {"detection_pairs__synthetic": None, "detection_sequences__synthetic": None},
            "unknown", "too few sequences",
        ),
    ],
)  # fmt: skip
def test_what_decides_a_verdict(built, change, grade, said):
    found = with_values(built.content.sequences, **(TREES | change))
    (verdict,) = sequences.verdicts(found, alarmed=False)
    assert verdict.grade == grade
    assert said in verdict.sentence


def test_keys_are_those_of_the_metadata_and_a_plain_table_has_none():
    about = {**ABOUT, "sequence_key": "patient", "sequence_index": "day"}
    few = visits(12, 0), visits(12, 1)
    content = build_report(*few, about).content
    assert (content.sequences.key, content.sequences.index) == ("patient", "day")
    assert content.verdict("sequences").sentence.startswith("Not judged: there are too few")
    plain = build_report(*few, ABOUT).content
    assert plain.sequences is None
    with pytest.raises(KeyError, match="no verdict on 'sequences'"):
        plain.verdict("sequences")
    with pytest.raises(ValueError, match="need a sequence key"):
        build_report(*few, ABOUT, sequence_index="day")


def test_several_tables_have_the_same_references(tmp_path):
    real, holdout = visits(60, 0), visits(60, 2)
    tables = {"good": visits(60, 3), "wrong": backwards(visits(60, 1, memory=0.0))}
    found = build_comparison(real, tables, ABOUT, holdout=holdout, **KEYS)
    good, wrong = found.contents.values()
    assert good.measure("sequences.order.back").value == 0
    assert wrong.measure("sequences.order.back").value > 0.1
    key = "sequences.detection.pairs"
    assert good.measure(key).reference == wrong.measure(key).reference
    assert good.measure(key).value > wrong.measure(key).value
    lines = zip(good.sequences.lines, wrong.sequences.lines, strict=True)
    assert all(a.values["copula_over_time"] == b.values["copula_over_time"] for a, b in lines)
    assert "trees on pairs of rows" in found.to_text()
    assert "trees on pairs of rows" in found.to_html(tmp_path / "page.html").read_text()


def test_curves_are_drawn_where_they_are_known():
    curve = SequenceCurve(
        "x", "levels", (1, 2, 3), (0.5, 0.25, None), (0.4, None, None), None, 0.1
    )
    drawn = figures.lag_curves(curve)
    assert drawn.count("<polyline") == 2
    assert "held-out" not in drawn
    assert "<td>0.250</td><td>&ndash;</td>" in drawn


def test_lengths_and_rules_need_ten_sequences():
    real = visits(9, 0)
    panel = read_panels({"real": real}, "patient", "day", ["sex"])["real"]
    assert len(panel) < protection.SMALLEST
    content = build_report(real, visits(9, 1), ABOUT, **KEYS).content
    assert content.sequences.lengths is None


def test_keys_of_metadata_with_several_columns_are_refused():
    with pytest.raises(ValueError, match="one column has to be the sequence key"):
        sequences.keys_of({"sequence_key": ["a", "b"]}, None, None, ())


def test_the_command_line(tmp_path, capsys):
    for name, seed in (("real", 0), ("synthetic", 1)):
        visits(40, seed).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [str(tmp_path / "real.csv"), str(tmp_path / "synthetic.csv")]
    options = ["--sequence-key", "patient", "--sequence-index", "day", "--context-columns", "sex"]
    output = tmp_path / "found.json"
    assert cli.main(["report", *files, *options, "--json", str(output)]) == 0
    assert "Sequences (by 'patient')" in capsys.readouterr().out
    found = json.loads(output.read_text())["sequences"]
    assert (found["key"], found["index"], found["context"]) == ("patient", "day", ["sex"])
    assert cli.main(["report", *files, "--sequence-key", "nobody"]) != 0
    assert "--sequence-key: " in (said := capsys.readouterr().err)
    assert "has no column 'nobody'" in said
    assert cli.main(["report", *files, "--sequence-index", "day"]) != 0
    assert "need a sequence key" in capsys.readouterr().err
