"""The tables of the README, one for each score, from quality.py's summary.

    python benchmarks/quality.py --stored --datasets adult ... --seeds 0 1 2 --json scores.json
    python benchmarks/score_tables.py scores.json

A line is a table, a column a synthesizer: the mean over its seeds, with the standard deviation
where there are several. The best is bold; held-out rows in the place of a sample ("real") do not
compete, nor does the shape error of permuted columns, which is 0 by construction.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import timing

NAMES = {
    "wgangp": "ours",
    "wgangp-uncalibrated": "ours, uncalibrated",
    "ctgan": "CTGAN",
    "ctgan-calibrated": "CTGAN, calibrated",
    "tvae": "TVAE",
    "copulagan": "CopulaGAN",
    "gaussian_copula": "Gaussian copula",
    "chow_liu": "Chow-Liu",
    "independent": "independent",
    "real": "real",
}
HELD_OUT, PERMUTED = "real", "independent"


@dataclass(frozen=True)
class Score:
    """A score of `summary`; not of those `without` it.

    Of several keys the first is taken that most seeds have.
    """

    title: str
    keys: tuple[str, ...]
    digits: int = 3
    second: str | None = None  # in brackets
    less: bool = False
    scale: float = 1.0
    without: tuple[str, ...] = ()


SCORES = (
    Score("Shape error, %", ("shape_error",), 2, less=True),
    Score("Trend error, %", ("trend_error",), 2, less=True),
    Score("Detection, training rows (test rows)", ("detection_train",), second="detection_test"),
    Score("Detection by XGBoost, training rows", ("detection_train_xgboost",)),
    Score("Detection by trees that see differences", ("detection_pair_trees",)),
    Score("Detection by extremely randomised trees", ("detection_extra_trees",)),
    Score("Detection by a network", ("detection_network",)),
    Score("TSTR, AUC", ("tstr_auc",)),
    Score("TSTR, error", ("tstr_log_rmse", "tstr_rmse"), less=True),
)
PLAIN = (
    Score("Modes lost", ("lost_modes",), 1),
    Score("Membership attack, AUC (control)", ("attack_auc",), second="attack_control"),
    Score("Nearest record is a training row", ("nearest_record_share",)),
    Score("Copies of training rows, %", ("exact_copies",), 2, scale=100.0),
    Score(
        "Fit, CPU seconds (by the clock where they were not counted)",
        ("fit_cpu_seconds", "fit_seconds"),
        0,
        # No fit of its own, or one of less than a second.
        without=(HELD_OUT, "wgangp-uncalibrated", "chow_liu", PERMUTED),
    ),
)


def number(value: float, digits: int) -> str:
    """As figures are written in the README: no zero before the point."""
    text = f"{value:,.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def cell(row: Mapping, key: str, digits: int, scale: float) -> str:
    statistic = row[key]
    if abs(scale * statistic["mean"]) >= 100:
        digits = 0
    mean = number(scale * statistic["mean"], digits)
    if statistic["spread"] is None:
        return mean
    return f"{mean} ± {number(scale * statistic['spread'], digits)}"


def _seeds(row: Mapping, key: str) -> int:
    return row[key].get("count", 1) if key in row else 0


def table(summary: Mapping[str, Mapping], score: Score, mark: bool) -> str:
    """Markdown of one score; tables without it are left out."""
    names = [
        name
        for name in NAMES
        if name not in score.without
        and any(key in rows.get(name, ()) for rows in summary.values() for key in score.keys)
    ]
    lines = []
    for dataset, rows in summary.items():
        present = {
            name: max(score.keys, key=partial(_seeds, rows[name]))
            for name in names
            if name in rows and any(key in rows[name] for key in score.keys)
        }
        if not present:
            continue
        competing = [
            name
            for name in present
            if name != HELD_OUT and not (name == PERMUTED and score.keys == ("shape_error",))
        ]
        sign = 1 if score.less else -1
        best = min(competing, key=lambda name: sign * rows[name][present[name]]["mean"])
        line = [dataset.capitalize()]
        for name in names:
            if name not in present:
                line.append("")
                continue
            text = cell(rows[name], present[name], score.digits, score.scale)
            if score.second:
                text += f" ({cell(rows[name], score.second, score.digits, score.scale)})"
            line.append(f"**{text}**" if mark and name == best else text)
        lines.append(line)
    return timing.markdown([score.title, *(NAMES[name] for name in names)], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("summary", type=Path, help="JSON file of quality.py")
    summary = json.loads(parser.parse_args(arguments).summary.read_text())["summary"]
    for score in (*SCORES, *PLAIN):
        written = table(summary, score, score in SCORES)
        if len(written.splitlines()) > 2:  # older files do not have all scores
            print(written + "\n")


if __name__ == "__main__":
    main()
