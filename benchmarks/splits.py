"""What the choice of the test rows does to the privacy scores, without any synthesizer.

    python benchmarks/splits.py --datasets shoppers insurance --json FILE

quality.py measures copies and nearness against one split. This draws many of the same sizes and
prints, for the table's own split and as the mean and standard deviation over the others,

  copies     test rows equal to a training row, in percent: what rows that nobody copied have
  nearest    nearest-record share of independent columns, which know nothing of any row: how far
             from .5 the test rows alone can put it

A synthesizer is to be held against the means; where its own split lies far from them, so will
its scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import job
import numpy as np
import pandas as pd
import timing
from baselines import IndependentColumns


def random_splits(dataset: datasets.Dataset, count: int, seed: int) -> Iterator[datasets.Dataset]:
    """So many splits of all rows into parts as large as the dataset's own."""
    rows = pd.concat([dataset.train, dataset.test], ignore_index=True)
    random = np.random.default_rng(seed)
    for _ in range(count):
        order = random.permutation(len(rows))
        cut = len(dataset.train)
        train, test = (
            rows.iloc[part].reset_index(drop=True) for part in (order[:cut], order[cut:])
        )
        yield replace(dataset, train=train, test=test)


def measure(dataset: datasets.Dataset, seed: int) -> dict[str, float]:
    """Both scores of one split."""
    from sdv_wgangp.reporting import scores

    model = IndependentColumns().fit(dataset.train, dataset.columns)
    permuted = model.sample(len(dataset.train), seed)
    privacy = scores.privacy(dataset.train, permuted, dataset.columns, holdout=dataset.test)
    return {
        "copies": 100 * privacy.holdout_exact_copies,
        "nearest": privacy.nearest_record_share,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", required=True, metavar="TABLE")
    parser.add_argument("--target", help="the target column of a CSV")
    parser.add_argument("--splits", type=int, default=50, help="random ones for each table")
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("--json", type=Path, help="write all scores there")
    chosen = parser.parse_args(arguments)
    if chosen.splits < 2:
        parser.error("--splits must be at least 2: they are for the spread")
    results, lines = {}, []
    for name in chosen.datasets:
        dataset = datasets.load(name, chosen.target)
        own = measure(dataset, chosen.seed)
        drawn = [
            measure(split, chosen.seed)
            for split in random_splits(dataset, chosen.splits, chosen.seed)
        ]
        results[dataset.name] = {"own": own, "random": drawn}
        line = [dataset.name, f"{len(dataset.test):,}"]
        for score, digits in (("copies", 2), ("nearest", 3)):
            values = np.array([split[score] for split in drawn])
            line.append(f"{own[score]:.{digits}f}")
            line.append(f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}")
        lines.append(line)
    headings = ["table", "test rows", "copies, %", f"{chosen.splits} splits", "nearest"]
    print(timing.markdown([*headings, f"{chosen.splits} splits"], lines))
    if chosen.json:
        content = {"protocol": job.PROTOCOL, "versions": job.versions(), "results": results}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
