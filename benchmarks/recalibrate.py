"""What the options of the calibration do: stored fits of ours calibrated again with others.

    python benchmarks/quality.py --datasets king@validation --synthesizers vanilla --epochs 50
    python benchmarks/recalibrate.py --datasets king@validation --synthesizer vanilla \\
        --seeds 0 1 2 --calibration-options "" max_weight=3 --json FILE

Training is long and calibration is short: this compares many ways to calibrate one fit. A way is
NAME=NUMBER of `CalibrationOptions`, several of them with commas between; "" has the defaults.
(trees=0 leaves the trees out.) Of each, several samples are scored as by quality.py.
--calibrations repeats it with other random numbers: on tables that are hard to learn one
calibration differs from the next by more than samples of one do. Prints, for each table, a line a
way: rows that are generated for one that is kept, CPU seconds of a sample as large as the training
table and of the calibration, and the mean scores with their standard error, over the fits where
there are several, otherwise over the calibrations, otherwise over the samples.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import datasets
import job
import numpy as np
import timing
from ablation import SCORES, TSTR
from repeated import OUTPUT, mean_and_error, scored_samples, stored_synthesizer
from synthesizers import ABLATION, calibrate_again, sdv_sample

from sdv_wgangp.parameters import PARAMETERS

OTHER_SEEDS = 1_000
COSTS = ("generated_for_one", "sample_cpu_seconds", "calibration_cpu_seconds")


def recalibrated(
    dataset: datasets.Dataset,
    folder: Path,
    recipe: str,
    seed: int,
    way: str,
    number: int,
    samples: int,
) -> dict:
    """One fit, calibrated in one way: what it costs, and scores of its samples.

    Args:
        number: Of the calibration; others have other random numbers.
    """
    synthesizer = stored_synthesizer(folder, recipe, seed)
    model = synthesizer._model
    options = PARAMETERS["calibration_options"].from_text(way)
    clock = time.process_time()
    calibrate_again(synthesizer, dataset, seed + OTHER_SEEDS * number, options)
    calibrated = time.process_time()
    sdv_sample(synthesizer, len(dataset.train))
    drawn = time.process_time()
    found = scored_samples(synthesizer, dataset, samples)
    return {
        "dataset": dataset.name,
        "seed": seed,
        "way": way,
        "calibration": number,
        "calibration_cpu_seconds": calibrated - clock,
        "sample_cpu_seconds": drawn - calibrated,
        "generated_for_one": 1 / model._calibration.acceptance,
        "scores": found,
    }


def table(results: Sequence[dict], ways: Sequence[str]) -> str:
    """Markdown: a line for each way."""
    first = results[0]["scores"][0]
    tstr = next((key for key in TSTR if key in first), None)
    keys = [*SCORES.values(), *([tstr] if tstr else [])]
    lines = []
    for way in ways:
        fits = [result for result in results if result["way"] == way]
        costs = [np.mean([fit[cost] for fit in fits]) for cost in COSTS]
        line = [way or "as it is", *(f"{cost:.1f}" for cost in costs)]
        # Calibrations of one fit are more alike than fits are.
        by = "seed" if len({fit["seed"] for fit in fits}) > 1 else "calibration"
        for key in keys:
            groups: dict[int, list[float]] = {}
            for fit in fits:
                groups.setdefault(fit[by], []).extend(scores[key] for scores in fit["scores"])
            mean, error = mean_and_error(list(groups.values()))
            line.append(f"{mean:.4g} ± {error:.1g}")
        lines.append(line)
    return timing.markdown(["way", "rows for one", "sample, s", "calibration, s", *keys], lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", required=True, metavar="TABLE")
    parser.add_argument("--target", help="the target column of a CSV")
    parser.add_argument("--synthesizer", default="wgangp", choices=["wgangp", *ABLATION])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--calibration-options", dest="ways", nargs="+", metavar="WAY", default=[""]
    )
    parser.add_argument("--calibrations", type=int, default=1, help="of each fit in each way")
    parser.add_argument("--samples", type=int, default=3, help="of each calibration")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="as of quality.py")
    parser.add_argument("--json", type=Path, help="write all scores there")
    chosen = parser.parse_args(arguments)
    for name in ("samples", "calibrations"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1")
    ways = list(dict.fromkeys(chosen.ways))
    for way in ways:  # before anything takes long
        try:
            PARAMETERS["calibration_options"].from_text(way)
        except ValueError as error:
            parser.error(str(error))
    results = []
    for name in chosen.datasets:
        dataset = datasets.load(name, chosen.target)
        folder = chosen.output / dataset.name
        of_table = [
            recalibrated(dataset, folder, chosen.synthesizer, seed, way, number, chosen.samples)
            for way in ways
            for seed in chosen.seeds
            for number in range(chosen.calibrations)
        ]
        results += of_table
        print(f"\n{dataset.name}\n\n{table(of_table, ways)}", flush=True)
    if chosen.json:
        content = {"protocol": job.PROTOCOL, "versions": job.versions(), "results": results}
        chosen.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
