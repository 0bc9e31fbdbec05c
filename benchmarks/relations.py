"""How long the search for relations takes, compiled and in NumPy, on a made-up table.

    python benchmarks/relations.py                             # 100 columns, 100,000 rows
    python benchmarks/relations.py --columns 20 --rows 5000 --rounds 3

The table holds sums, products, copies, dependences, missing values and many zeros among columns
of whole numbers, floats and levels. Every search is timed on the half of the rows that it runs
on, both ways in turn; then the whole of ``find_relations``.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import timing

from sdv_wgangp.encoding.relations import counting, counting_numpy, find_relations

PLANTED = 8


def table_of(columns: int, rows: int, seed: int = 0) -> pd.DataFrame:
    """A table with relations of every kind among its first columns."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(1, 1000, (3, rows))
    city = rng.integers(0, 200, rows)
    gone = rng.random(rows) < 0.1
    result = {
        "a": whole[0],
        "b": whole[1],
        "sum": whole[0] + whole[1],
        "product": whole[0] * whole[2],
        "factor": whole[2],
        "copy": np.where(rng.random(rows) < 0.2, whole[0], rng.integers(1, 1000, rows)),
        "city": city,
        "state": city // 10,
    }
    for place in range(columns - PLANTED):
        kind = place % 5
        numbers = rng.integers(0, 1000, rows).astype(float)
        if kind == 0:
            numbers = rng.normal(size=rows)
        elif kind == 1:
            numbers[rng.random(rows) < 0.7] = 0
        elif kind == 2:
            numbers[gone] = np.nan
        elif kind == 3:
            numbers = rng.integers(0, 8, rows).astype(float)
        result[f"x{place}"] = numbers
    return pd.DataFrame(result)


def searches(table: pd.DataFrame) -> dict[str, tuple]:
    """The arguments of every search on the first half of the rows, without threads."""
    half = table.iloc[: len(table) // 2]
    values = half.to_numpy(np.float64).T.copy()
    columns, rows = values.shape
    codes = np.stack([pd.factorize(column)[0] for column in values]).astype(np.int32)
    distinct = codes.max(1) + 1
    yes, no = np.ones(columns, dtype=bool), np.zeros(columns, dtype=bool)
    whole = np.where(np.nanmax(values % 1, 1) > 0, 0.0, 0.5)
    return {
        "count_pairs": (values,),
        "find_triples": (values, np.full(columns, 1e-15), whole, no, distinct >= 10, 0.5),
        "find_dependences": (codes, 2 * distinct <= rows, yes, 0.5, True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=counting.threads_available())
    options = parser.parse_args()
    if options.columns < PLANTED:
        parser.error(f"--columns: give at least {PLANTED}")
    print(counting.status())
    table = table_of(options.columns, options.rows)
    lines = []
    for name, arguments in searches(table).items():
        ways = {
            "compiled": lambda n=name, a=arguments: getattr(counting, n)(*a, options.threads),
            "NumPy": lambda n=name, a=arguments: getattr(counting_numpy, n)(*a),
        }
        times = timing.alternate(
            {way: lambda call=call: timing.timed(call) for way, call in ways.items()},
            rounds=options.rounds,
            warm=0,
        )
        wall = {way: np.median(found[:, 0]) for way, found in times.items()}
        ratio = np.median(times["NumPy"][:, 0] / times["compiled"][:, 0])
        lines.append([name, f"{wall['compiled']:.3f}", f"{wall['NumPy']:.3f}", f"{ratio:.1f}"])
    whole = timing.alternate(
        {"all": lambda: timing.timed(lambda: find_relations(table))},
        rounds=options.rounds,
        warm=0,
    )["all"]
    lines.append(["find_relations", f"{np.median(whole[:, 0]):.2f}", "", ""])
    print(timing.markdown(["search", "compiled, s", "NumPy, s", "ratio"], lines))
    print(f"{options.columns} columns, {options.rows:,} rows, {options.threads} threads; of all, "
          f"CPU seconds: {np.median(whole[:, 1]):.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
