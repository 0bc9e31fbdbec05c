"""Are rows under conditions as good as those that rejection leaves, and what do they cost?

    python benchmarks/conditions.py               # Adult, fitted with the defaults
    python benchmarks/conditions.py --dataset shoppers --model fitted.safetensors

Of 1, 2 and 5 discrete columns, chosen at random, the values of a test row are given; `rare` gives
one value that less than a hundredth of the training rows have. Each condition is asked for 1,000
rows. Compared are

native      `sample_from_conditions` of the synthesizer
rejection   rows of the same model, drawn without conditions, that happen to meet them
training    training rows that meet them: no generator can be expected to do better

by the total-variation distance of the other columns to the test rows that meet the conditions (of
numbers in ten quantiles of the training table), the mean over columns and over pairs of columns.
All three have equally many rows in a comparison, as many as the one with the fewest, and it counts
where they have `LEAST_ROWS`. A distance between samples is above 0 where the distributions agree:
compare the three with each other. Times are of `sample_from_conditions` against `sample` of as
many rows, in turn; the first conditions, for which the model draws its reference, come before.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import datasets
import job
import numpy as np
import pandas as pd
import timing
from synthesizers import new_wgangp, sdv_frames, sdv_sample

ROWS = 1_000
WAYS = ("native", "rejection", "training")
SETS = {"1": 1, "2": 2, "5": 5, "rare": 1}
RARE = 0.01
POOL_ROWS = 1_000_000
LEAST_ROWS = 100
BINS = 10
TRIES = 2_000
BAR_TIME = 2.0

Condition = Mapping[str, object]


def meets(frame: pd.DataFrame, condition: Condition) -> pd.Series:
    """Which rows have the given values; a missing value is one."""
    found = pd.Series(True, index=frame.index)
    for name, value in condition.items():
        found &= frame[name].isna() if pd.isna(value) else frame[name].eq(value)
    return found


def choose(
    dataset: datasets.Dataset, names: Sequence[str], size: int, rare: bool, random, count: int = 20
) -> list[Condition]:
    """Different conditions on so many columns, ``count`` at most, values of test rows.

    Rare values need not have enough test rows for a distance.
    """
    found: dict[str, Condition] = {}
    for _ in range(TRIES):
        if len(found) == count:
            break
        row = dataset.test.iloc[random.integers(len(dataset.test))]
        chosen = random.choice(names, min(size, len(names) - 1), replace=False)
        condition = {name: row[name] for name in sorted(chosen)}
        share = meets(dataset.train, condition).mean()
        if rare:
            fits = 0 < share < RARE
        else:
            fits = share > 0 and meets(dataset.test, condition).sum() >= LEAST_ROWS
        if fits:
            found.setdefault(str(condition), condition)
    return list(found.values())


class Distance:
    """Mean total-variation distances of two frames.

    Args:
        train: Its quantiles cut the columns of numbers.
        columns: Column types by name.
    """

    def __init__(self, train: pd.DataFrame, columns: Mapping[str, str]):
        self._cuts = {
            name: np.unique(train[name].dropna().quantile(np.linspace(0, 1, BINS + 1)[1:-1]))
            for name, kind in columns.items()
            if kind == "numerical"
        }

    def _bins(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Every column as its values, or the numbers of their quantiles, as text."""
        return {
            name: np.searchsorted(self._cuts[name], frame[name].astype(float), side="right")
            + np.where(frame[name].isna(), BINS, 0)
            if name in self._cuts
            else frame[name].astype(object).where(frame[name].notna(), None)
            for name in frame
        }

    def __call__(
        self, one: pd.DataFrame, other: pd.DataFrame, given: Condition
    ) -> tuple[float, float]:
        """Over the columns that are not given, and over their pairs."""
        both = pd.concat([one, other], ignore_index=True)
        first = np.arange(len(both)) < len(one)
        codes = {
            name: pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)
            for name, values in self._bins(both.drop(columns=list(given))).items()
        }
        singles = [_distance(values, first) for values in codes.values()]
        pairs = [
            _distance(a * (b.max() + 1) + b, first)
            for a, b in itertools.combinations(codes.values(), 2)
        ]
        return float(np.mean(singles)), float(np.mean(pairs))


def _distance(codes: np.ndarray, first: np.ndarray) -> float:
    """Between the shares of codes among the first rows and among the others."""
    ours, theirs = (
        np.bincount(codes[rows], minlength=codes.max() + 1) for rows in (first, ~first)
    )
    return np.abs(ours / ours.sum() - theirs / theirs.sum()).sum() / 2


def compare(
    dataset: datasets.Dataset,
    conditions: Sequence[Condition],
    native: Callable[[Condition, int], pd.DataFrame],
    pool: pd.DataFrame,
) -> dict[str, object]:
    """Satisfied share, distances and the rows they are taken of, for each condition."""
    distance = Distance(dataset.train, dataset.columns)
    found = []
    for condition in conditions:
        rows = native(condition, ROWS)
        real = dataset.test[meets(dataset.test, condition)]
        ways = {
            "native": rows,
            "rejection": pool[meets(pool, condition)],
            "training": dataset.train[meets(dataset.train, condition)],
        }
        count = min(len(way) for way in ways.values())
        entry = {
            "condition": {name: str(value) for name, value in condition.items()},
            "train_share": float(meets(dataset.train, condition).mean()),
            "rows": len(rows),
            "satisfied": float(meets(rows, condition).mean()),
            "test_rows": len(real),
            "compared_rows": count,
        }
        if min(count, len(real)) >= LEAST_ROWS:
            found_distances = {
                name: distance(way.sample(count, random_state=0), real, condition)
                for name, way in ways.items()
            }
            for place, of in enumerate(("columns", "pairs")):
                entry[of] = {name: each[place] for name, each in found_distances.items()}
        found.append(entry)
    return {"conditions": found}


def discrete_columns(dataset: datasets.Dataset) -> list[str]:
    return [name for name, kind in dataset.columns.items() if kind in ("categorical", "boolean")]


def summary(name: str, content: Mapping) -> list[str]:
    """A line of the table."""
    entries = content["conditions"]
    compared = [entry for entry in entries if "columns" in entry]
    satisfied = 100 * np.mean([entry["satisfied"] for entry in entries])
    missing = "" if all(entry["rows"] == ROWS for entry in entries) else ", rows missing"
    line = [name, f"{len(entries)}, {len(compared)} compared", f"{satisfied:.0f} %{missing}"]
    for of in ("columns", "pairs"):
        means = [
            f"{np.mean([entry[of][way] for entry in compared]):.3f}" if compared else "-"
            for way in WAYS
        ]
        line.append(" / ".join(means))
        gaps = np.array([entry[of]["native"] - entry[of]["rejection"] for entry in compared])
        error = f"{gaps.std(ddof=1) / len(gaps) ** 0.5:.4f}" if len(gaps) > 1 else "-"
        line.append(f"{gaps.mean():+.4f} ± {error}" if compared else "-")
    if "time_ratio" in content:
        ratio = content["time_ratio"]
        line.append(f"{timing.spread(ratio, 2)} {timing.bar_text(ratio[1], BAR_TIME, most=True)}")
    return line


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="adult", help="a table of datasets.py")
    parser.add_argument("--model", type=Path, help="a saved synthesizer of it; otherwise fit one")
    parser.add_argument("--save", type=Path, help="save the synthesizer that was fitted")
    parser.add_argument("--epochs", type=int, help="of the fit, instead of the default")
    parser.add_argument("--pool", type=int, default=POOL_ROWS, help="rows to reject from")
    parser.add_argument("--conditions", type=int, default=20, help="of each set, at most")
    parser.add_argument("--rounds", type=int, default=9, help="of the comparison of times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="folder for conditions_DATASET.json")
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(given.threads)
    dataset = datasets.load(given.dataset)
    if given.model:
        from sdv_wgangp.single_table import WGANGPMFSSynthesizer

        synthesizer = WGANGPMFSSynthesizer.load_model(given.model)
    else:
        synthesizer = new_wgangp(dataset, given.seed, given.epochs)
        synthesizer.fit(sdv_frames(dataset.train))
        if given.save:
            synthesizer.save_model(given.save)
    content = run(
        dataset, synthesizer, given.pool, given.seed, count=given.conditions, rounds=given.rounds
    )
    headings = ["given", "conditions", "met"]
    for of in ("columns", "pairs"):
        headings += [f"{of}: {' / '.join(WAYS)}", "native - rejection (± s.e.)"]
    headings.append("time / plain")
    print(timing.markdown(headings, [summary(name, each) for name, each in content.items()]))
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        document = {"machine": timing.machine(given.threads), "dataset": dataset.name, **content}
        job.write_json(given.output / f"conditions_{dataset.name}.json", job.finite(document))


def run(
    dataset, synthesizer, pool_rows: int, seed: int, *, count: int, rounds: int
) -> dict[str, dict]:
    from sdv.sampling import Condition as SDVCondition

    from sdv_wgangp.synthesizers import sdv_versions

    def native(condition: Condition, rows: int) -> pd.DataFrame:
        found = synthesizer.sample_from_conditions([SDVCondition(dict(condition), rows)])
        return sdv_versions.as_frame(found)

    pool = sdv_sample(synthesizer, pool_rows)
    names = discrete_columns(dataset)
    content = {}
    for name, size in SETS.items():
        random = np.random.default_rng(seed)
        conditions = choose(dataset, names, size, name == "rare", random, count)
        if not conditions:
            continue
        content[name] = compare(dataset, conditions, native, pool)
        first = conditions[0]
        times = timing.alternate(
            {
                "native": lambda first=first: timing.timed(lambda: native(first, ROWS)),
                "plain": lambda: timing.timed(lambda: sdv_sample(synthesizer, ROWS)),
            },
            rounds=rounds,
        )
        content[name]["time_ratio"] = timing.ratios(times["native"], times["plain"])[0]
    return content


if __name__ == "__main__":
    main()
