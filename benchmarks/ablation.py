"""What one change to our training does: differences of paired fits, from quality.py's summary.

    python benchmarks/quality.py --datasets magic@validation ... --seeds 0 1 2 --epochs 50 \\
        --synthesizers vanilla vanilla-uncalibrated mfs mfs-uncalibrated --json ablation.json
    python benchmarks/ablation.py ablation.json

A pair is a table and a seed: the two fits see the same rows in the same split. Differences are
those of a changed fit less vanilla; the error of a table's mean is that over its seeds, and of the
mean over tables that over tables. TSTR is the AUC, or minus the error relative to that of training
rows, so that more is better in every column but the first two. Where several changes are in the
summary, a line for each follows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import timing
from synthesizers import ABLATION

SCORES = {
    "shape error, %": "shape_error",
    "trend error, %": "trend_error",
    "detection, train": "detection_train",
    "detection, test": "detection_test",
}
TSTR = ("tstr_auc", "tstr_log_rmse", "tstr_rmse")
KINDS = {"calibrated": "", "uncalibrated": "-uncalibrated"}


BASE = "vanilla"
Differences = Mapping[str, Mapping[str, np.ndarray]]


def differences(summary: Mapping, changed: str, suffix: str) -> Differences:
    """{table: {column: difference of each seed}} of quality.py's JSON, for one of `ABLATION`."""
    fits = {
        (entry["dataset"], entry["synthesizer"], entry["seed"]): entry["scores"]
        for entry in summary["results"]
    }
    found: dict[str, dict[str, list[float]]] = {}
    for (table, name, seed), scores in sorted(fits.items()):
        base = fits.get((table, f"{BASE}{suffix}", seed))
        if name != f"{changed}{suffix}" or base is None:
            continue
        row = found.setdefault(table, {})
        for heading, key in SCORES.items():
            row.setdefault(heading, []).append(scores[key] - base[key])
        key = next(key for key in TSTR if scores.get(key) is not None)
        scale = 1.0 if key == "tstr_auc" else -1 / fits[table, "real", 0][key]
        row.setdefault("TSTR", []).append(scale * (scores[key] - base[key]))
    return {
        table: {heading: np.array(values) for heading, values in row.items()}
        for table, row in found.items()
    }


def _mean(values: np.ndarray) -> str:
    mean = f"{values.mean():+.3f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def _means(found: Differences) -> list[str]:
    return [
        _mean(np.array([row[heading].mean() for row in found.values()]))
        for heading in (*SCORES, "TSTR")
    ]


def table(found: Differences, changed: str) -> str:
    """Markdown: a line for each table, and their mean."""
    headings = [*SCORES, "TSTR"]
    lines = [
        [name.partition("@")[0], *(_mean(row[heading]) for heading in headings)]
        for name, row in found.items()
    ]
    lines.append(["**mean**", *_means(found)])
    return timing.markdown([f"{changed} - {BASE}", *headings], lines)


def overview(found: Mapping[str, Differences]) -> str:
    """Markdown: a line for each change, the mean over its tables."""
    lines = []
    for name, tables in found.items():
        pairs = sum(len(row["TSTR"]) for row in tables.values())
        lines.append([name, str(len(tables)), str(pairs), *_means(tables)])
    return timing.markdown([f"change - {BASE}", "tables", "pairs", *SCORES, "TSTR"], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("summary", type=Path, help="JSON file of quality.py")
    summary = json.loads(parser.parse_args(arguments).summary.read_text())
    for kind, suffix in KINDS.items():
        found = {name: differences(summary, name, suffix) for name in ABLATION if name != BASE}
        found = {name: tables for name, tables in found.items() if tables}
        for name, tables in found.items():
            print(f"\n{kind}\n\n{table(tables, name)}")
        if len(found) > 1:
            print(f"\n{kind}, means\n\n{overview(found)}")


if __name__ == "__main__":
    main()
