"""One file of results out of several of quality.py, for fits that were made in more than one run.

    python benchmarks/merge_results.py results/quality.json new.json --json results/quality.json

Of a (table, synthesizer, seed) that more than one file has, the last file's counts; an error never
replaces scores. Every result keeps its own environment, parameters and digest of the code.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import job
import quality
from synthesizers import SYNTHESIZERS


def merged(contents: Sequence[dict]) -> list[dict]:
    """The entries that count, tables in the order of the files, synthesizers in their own."""
    found: dict[tuple, dict] = {}
    for content in contents:
        for entry in quality.expand(content):
            key = entry["dataset"], entry["synthesizer"], entry["seed"]
            if "error" not in entry or "error" in found.get(key, entry):
                found[key] = entry
    tables = list(dict.fromkeys(name for content in contents for name in content["datasets"]))
    # Results of synthesizers that are no more follow those of today's.
    synthesizers = list(dict.fromkeys([*SYNTHESIZERS, *(key[1] for key in found)]))
    return sorted(
        found.values(),
        key=lambda entry: (
            tables.index(entry["dataset"]),
            synthesizers.index(entry["synthesizer"]),
            entry["seed"],
        ),
    )


def merged_tables(contents: Sequence[dict]) -> dict[str, dict]:
    """What the files say of their tables.

    Raises:
        SystemExit: two of them say different things, so their scores cannot be compared.
    """
    tables: dict[str, dict] = {}
    for content in contents:
        for name, of_table in content["datasets"].items():
            known = tables.setdefault(name, dict(of_table))
            # Where all fits have failed nobody knows what TSTR would have been.
            known["tstr"] = known["tstr"] or of_table["tstr"]
            if known != of_table | {"tstr": of_table["tstr"] or known["tstr"]}:
                raise SystemExit(f"{name} is {known} in one file and {of_table} in another")
    return tables


def settings(contents: Sequence[dict]) -> list[dict]:
    """The different settings of the runs, of files that were merged before as well."""
    distinct: list[dict] = []
    for content in contents:
        of_file = content["settings"]
        for one in of_file if isinstance(of_file, list) else [of_file]:
            if one not in distinct:
                distinct.append(one)
    return distinct


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="of quality.py")
    parser.add_argument("--json", type=Path, required=True, help="where the result is written")
    chosen = parser.parse_args(arguments)
    contents = []
    for path in chosen.files:
        content = job.read_json(path)
        if content is None:
            raise SystemExit(f"{path} is missing")
        if content["protocol"] != job.PROTOCOL:
            raise SystemExit(
                f"{path} has protocol {content['protocol']}, today's is {job.PROTOCOL}: score its "
                "samples again with quality.py --rescore"
            )
        contents.append(content)
    tables = merged_tables(contents)
    entries = merged(contents)
    summary = quality.summarise(entries)
    try:
        quality.write_results(chosen.json, settings(contents), tables, summary, entries)
    except RuntimeError as error:  # of `quality.thresholds`, before anything is written
        raise SystemExit(f"the files cannot be merged: {error}") from error


if __name__ == "__main__":
    main()
