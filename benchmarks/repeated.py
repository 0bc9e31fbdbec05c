"""How much one sample says: scores of several samples of each stored fit of ours.

    python benchmarks/quality.py --datasets insurance --synthesizers wgangp --seeds 0 1 2
    python benchmarks/repeated.py --datasets insurance --seeds 0 1 2 --json FILE

quality.py scores one sample of each fit. On small tables samples of one fit differ as much as
those of different methods do; the mean of several says which is better. Prints, for each table,
the mean of every score over all samples with its standard error, over the fits where there are
several, otherwise over the samples; writes all scores to FILE.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import job
import numpy as np
import timing
from synthesizers import load_synthesizer, sdv_sample

RECIPE = "wgangp"
OUTPUT = Path(__file__).parent / "output"


def stored_synthesizer(folder: Path, recipe: str, seed: int):
    """A fit of ours that quality.py has stored."""
    path = job.place(folder, recipe, seed) / job.MODEL
    if not path.exists():
        raise SystemExit(f"{path} is missing: fit it with quality.py first, into this --output")
    return load_synthesizer(path)


def scored_samples(synthesizer, dataset: datasets.Dataset, samples: int) -> list[dict[str, float]]:
    """Scores of so many samples of one fit, drawn one after the other from its beginning."""
    synthesizer.reset_sampling()
    found = []
    for _ in range(samples):
        rows = sdv_sample(synthesizer, len(dataset.train))
        scores = job.score_sample(dataset, rows, real=False, xgboost=False)["scores"]
        found.append({name: value for name, value in scores.items() if value is not None})
    return found


def mean_and_error(scores: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Mean of a score of the samples of each fit, and its standard error.

    Over the fits where there are several, for samples of one fit are more alike than fits are;
    otherwise over the samples. NaN for a single one.
    """
    values = np.array(scores)
    values = values.mean(axis=1) if len(values) > 1 else values[0]
    error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return values.mean(), error


def table(found: Sequence[Sequence[dict[str, float]]]) -> str:
    """Markdown: a line for each score, mean and standard error, of the samples of each fit."""
    lines = []
    for name in found[0][0]:
        mean, error = mean_and_error([[scores[name] for scores in of_fit] for of_fit in found])
        lines.append([name, f"{mean:.5g}", f"{error:.2g}"])
    return timing.markdown(["score", "mean", "standard error"], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", required=True, metavar="TABLE")
    parser.add_argument("--target", help="the target column of a CSV")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--samples", type=int, default=8, help="of each fit")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="as of quality.py")
    parser.add_argument("--json", type=Path, help="write all scores there")
    chosen = parser.parse_args(arguments)
    if chosen.samples < 1:
        parser.error("--samples must be at least 1")
    results = []
    for name in chosen.datasets:
        dataset = datasets.load(name, chosen.target)
        of_table = []
        for seed in chosen.seeds:
            synthesizer = stored_synthesizer(chosen.output / dataset.name, RECIPE, seed)
            each = scored_samples(synthesizer, dataset, chosen.samples)
            results += [
                {"dataset": dataset.name, "seed": seed, "sample": number, "scores": scores}
                for number, scores in enumerate(each)
            ]
            of_table.append(each)
        samples = sum(map(len, of_table))
        print(f"\n{dataset.name}, {samples} samples\n\n{table(of_table)}", flush=True)
    if chosen.json:
        content = {"protocol": job.PROTOCOL, "versions": job.versions(), "results": results}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
