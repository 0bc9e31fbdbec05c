"""The README's tables, from a summary made by hand."""

from __future__ import annotations

import json

import score_tables


def scores(**values) -> dict:
    """A synthesizer's row of the summary; a pair is a mean and its spread."""
    return {
        key: dict(zip(("mean", "spread"), value, strict=True))
        if isinstance(value, tuple)
        else {"mean": value, "spread": None}
        for key, value in values.items()
    }


SUMMARY = {
    "adult": {
        "real": scores(shape_error=0.6, detection_train=0.99, detection_test=0.99, tstr_auc=0.93),
        "wgangp": scores(
            shape_error=(0.123, 0.02),
            detection_train=(0.9994, 0.001),
            detection_test=(0.95, 0.0),
            tstr_auc=(0.92, 0.001),
        ),
        "independent": scores(
            shape_error=0.0, detection_train=0.01, detection_test=0.02, tstr_auc=0.5
        ),
    },
    "king": {
        "wgangp": scores(
            shape_error=1.5, detection_train=0.7, detection_test=1.0, tstr_rmse=(4043.2, 87.65)
        ),
        "ctgan": scores(shape_error=9.0, detection_train=0.1, detection_test=0.2, tstr_rmse=399.9),
    },
}


def lines(title: str) -> list[str]:
    (score,) = (each for each in score_tables.SCORES if each.title.startswith(title))
    return score_tables.table(SUMMARY, score, mark=True).splitlines()


def test_a_line_has_means_spreads_and_the_best_in_bold():
    header, _, adult, king = lines("Shape")
    assert header == "| Shape error, % | ours | CTGAN | independent | real |"
    assert adult == "| Adult | **.12 ± .02** |  | .00 | .60 |"
    assert king == "| King | **1.50** | 9.00 |  |  |"


def test_a_second_figure_stands_in_brackets():
    adult = lines("Detection, training")[2]
    assert adult == "| Adult | **.999 ± .001 (.950 ± .000)** |  | .010 (.020) | .990 (.990) |"


def test_tables_are_listed_under_the_score_they_have():
    assert [line.split("|")[1].strip() for line in lines("TSTR, AUC")[2:]] == ["Adult"]
    assert lines("TSTR, error")[2:] == ["| King | 4,043 ± 88 | **400** |"]


def test_costs_fall_back_on_the_clock_and_name_a_fit_once():
    fit = score_tables.PLAIN[-1]
    summary = {
        "king": {
            "real": scores(fit_seconds=0.0),
            "wgangp": scores(fit_seconds=900.0, fit_cpu_seconds=602.0),
            "wgangp-uncalibrated": scores(fit_seconds=900.0, fit_cpu_seconds=602.0),
            "ctgan": scores(fit_seconds=3235.1),
            "tvae": {
                "fit_seconds": {"mean": 9.0, "spread": None, "count": 2},
                "fit_cpu_seconds": {"mean": 5.0, "spread": None, "count": 1},
            },
        }
    }
    header, _, king = score_tables.table(summary, fit, mark=False).splitlines()
    assert header == f"| {fit.title} | ours | CTGAN | TVAE |"
    assert king == "| King | 602 | 3,235 | 9 |"


def test_the_program_prints_every_score(tmp_path, capsys):
    path = tmp_path / "scores.json"
    for rows in SUMMARY.values():
        for row in rows.values():
            every = ("trend_error", "detection_train_xgboost", "nearest_record_share")
            every += ("detection_pair_trees", "detection_extra_trees", "detection_network")
            every += ("lost_modes", "attack_auc", "attack_control")
            row |= scores(**dict.fromkeys((*every, "exact_copies", "fit_cpu_seconds"), 0.5))
    path.write_text(json.dumps({"summary": SUMMARY}))
    score_tables.main([str(path)])
    printed = capsys.readouterr().out
    for score in (*score_tables.SCORES, *score_tables.PLAIN):
        assert f"| {score.title} |" in printed
    assert "| Adult | 50.00 |" in printed
