"""How faithful are synthetic sequences? Fit, sample and score synthesizers on real sequences.

    python benchmarks/sequences.py --data fielding stock --synthesizers copula_over_time par

Protocol. Sequences with keys are split by key (fielding as published, without the half of its test
players who are training players, others 80/20), one long
series by time (80/20), cut into windows of 24 rows that do not cross the cut. Every (data,
synthesizer, seed) is fitted in a process of its own, so that time and peak memory are its own, and
asked for as many sequences as it was trained on. The scores, against training sequences:

  shape, next      100 x mean Kolmogorov-Smirnov or total-variation distance of the columns, and
                   total variation of (bin, next bin) of one pair of rows of each sequence
  length W1        mean shift of lengths, in rows
  rows .. windows  1 - (2 AUC - 1) of boosted trees on rows, pairs with their differences, whole
                   sequences, windows; whole sequences to a fold. "row1" and "pair1" are of one row
                   and one plain pair of each sequence, as figures of others were scored: with more
                   rows and differences trees see more.
  acf              mean squared error of mean autocorrelations, levels
  back             steps at which the index goes back
  MSAS             SDMetrics' InterRowMSAS, and StatisticMSAS of the standard deviation
  rules            rows that keep relations all real rows keep
  near, copies     nearest-sequence share (.5 is ideal), copied stretches of three rows
  gru, gru64, FID  with --judges: recurrent judges, the published size and 64 wide, Context-FID

"real" is held-out sequences in the place of a sample, the ceiling. NAME@published (of a long
series) is the protocol of publications: all windows of the series, none held out; "real" is then
one random half against the other.

Fits are kept in OUTPUT/sequences/DATA/SYNTHESIZER/SEED and taken from there the next time (--fresh
fits again), scores beside them (--rescore). A failed job is reported and the others go on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import job
import numpy as np
import pandas as pd
import quality
import sequence_datasets
import synthesizers
import timing
from sequence_models import RECIPES, Settings

# Raised when a change of the protocol makes stored scores incomparable with new ones.
PROTOCOL = 1
DETECTIONS = ("rows", "pairs", "sequences", "windows", "one_row", "one_pair")
COLUMNS = (
    quality.Column("shape %", "marginals.shape", 2, 100),
    quality.Column("next %", "transitions.next_row", 1, 100),
    quality.Column("length W1", "lengths.w1", 2),
    quality.Column("rows", "detection.rows", 3),
    quality.Column("pairs", "detection.pairs", 3),
    quality.Column("sequences", "detection.sequences", 3),
    quality.Column("windows", "detection.windows", 3),
    quality.Column("row1", "detection.one_row", 3),
    quality.Column("pair1", "detection.one_pair", 3),
    quality.Column("acf", "autocorrelation.levels", 4),
    quality.Column("back %", "order.back", 2, 100),
    quality.Column("MSAS", "msas.inter_row", 3),
    quality.Column("MSAS sd", "msas.statistic_std", 3),
    quality.Column("rules %", "order.relations", 2, 100),
    quality.Column("near", "privacy.nearest_share", 3),
    quality.Column("copies %", "privacy.copies", 2, 100),
    quality.Column("gru", "judges.gru", 3),
    quality.Column("gru64", "judges.gru_64", 3),
    quality.Column("FID", "judges.context_fid", 3),
    quality.Column("fit CPU s", "fit_cpu_seconds", 1),
    quality.Column("sample CPU s", "sample_cpu_seconds", 1),
    quality.Column("MB", "peak_mb", 0),
)


def scorer_digest() -> str:
    """A digest of the scoring code, so that scores of other code are noticed."""
    from sdv_wgangp.reporting.scores import sequences

    digest = hashlib.sha256()
    for path in sorted(Path(sequences.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def fit(
    dataset: sequence_datasets.SequenceDataset,
    name: str,
    seed: int,
    settings: Settings,
    where: Path,
) -> None:
    """Fit, sample, and store the sample with its costs; children's processor time counts."""
    recipe = RECIPES[name]
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    clock, cpu = time.perf_counter(), _cpu()
    fitted = recipe.fit(dataset, seed, settings)
    fit_seconds, fit_cpu, peak = time.perf_counter() - clock, _cpu() - cpu, job.peak_memory_mb()
    clock, cpu = time.perf_counter(), _cpu()
    sample = fitted.sample()
    sample_seconds, sample_cpu = time.perf_counter() - clock, _cpu() - cpu
    absent = [column for column in dataset.train if column not in sample]
    if absent:
        raise ValueError(f"{name} returned no column {absent[0]!r}")
    where.mkdir(parents=True, exist_ok=True)
    (where / job.FIT).unlink(missing_ok=True)
    sample[list(dataset.train)].to_parquet(where / job.SAMPLE)
    record = {
        "dataset": dataset.name,
        "synthesizer": name,
        "seed": seed,
        "data": data_digest(dataset),
        "epochs_override": settings.epochs if name in ("par", "doppelganger") else None,
        "sequences": int(sample[dataset.key].nunique()),
        "rows": len(sample),
        "fit_seconds": fit_seconds,
        "fit_cpu_seconds": fit_cpu,
        "sample_seconds": sample_seconds,
        "sample_cpu_seconds": sample_cpu,
        "peak_mb": peak,
        "peak_mb_with_sampling": job.peak_memory_mb(),
        "started": started,
        "host": job.host(),
        "versions": job.versions(),
        "source": synthesizers.source_digest() if recipe.ours else None,
        "parameters": job.finite(fitted.parameters),
    }
    job.write_json(where / job.FIT, record)


def _cpu() -> float:
    """Processor seconds of this process and of those it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def score(
    dataset: sequence_datasets.SequenceDataset, name: str, seed: int, judges: bool, most: int,
    where: Path,
) -> None:  # fmt: skip
    """Score a stored sample and write scores.json beside it."""
    from sdv_wgangp.reporting.scores.sequences import score_sequences

    real, sample, holdout = dataset.train, pd.read_parquet(where / job.SAMPLE), dataset.test
    if name == "real":
        holdout = None
        if dataset.test is None:
            keys = real[dataset.key].unique()
            half = np.random.default_rng(seed).permutation(keys)[: len(keys) // 2]
            chosen = real[dataset.key].isin(half)
            real, sample = real[chosen], real[~chosen]
    clock = time.perf_counter()
    found = score_sequences(
        real,
        sample,
        sequence_key=dataset.key,
        sequence_index=dataset.index,
        context_columns=dataset.context,
        holdout=holdout,
        columns=dataset.columns,
        baselines=(),
        detections=DETECTIONS,
        most_sequences=most,
        seed=seed,
        judges=judges,
    )
    own = found.subjects["synthetic"]
    lag_1 = {
        column: [curve[0], own.curves["levels"][column][0]]
        for column, curve in found.curves["levels"].items()
        if curve
    }
    content = {
        **score_identity(dataset, where, judges, most),
        "scorer": scorer_digest(),
        "scores": job.finite(dict(own.values)),
        "columns": job.finite(dict(own.columns)),
        "lag_1_real_and_own": job.finite(lag_1),
        "broken": [[rule.statement, rule.kept] for rule in own.rules if rule.kept < 1],
        "price_gap": price_gaps(dataset.train, sample),
        "seconds": time.perf_counter() - clock,
        "host": job.host(),
        "versions": job.versions(),
    }
    job.write_json(where / job.SCORES, content)


def price_gaps(real: pd.DataFrame, sample: pd.DataFrame) -> list[float] | None:
    """Median of |Open - Close| / Close of real and synthetic rows, of share prices."""
    if not {"Open", "Close"} <= set(real):
        return None
    tables = (real.dropna(subset=["Open", "Close"]), sample.dropna(subset=["Open", "Close"]))
    return [float(((t["Open"] - t["Close"]) / t["Close"]).abs().median()) for t in tables]


def data_digest(dataset: sequence_datasets.SequenceDataset) -> str:
    """Of training and held-out rows."""
    parts = [dataset.train, *([] if dataset.test is None else [dataset.test])]
    return "-".join(map(job.data_digest, parts))


def score_identity(
    dataset: sequence_datasets.SequenceDataset, where: Path, judges: bool, most: int
) -> dict:
    """What stored scores must agree with to stand for a sample."""
    return {
        "protocol": PROTOCOL,
        "sample": job.file_digest(where / job.SAMPLE),
        "data": data_digest(dataset),
        "judges": judges,
        "most_sequences": most,
    }


def _run(kind: str, data: str, name: str, seed: int, options: argparse.Namespace) -> str | None:
    """One job in a process of its own; the last line of its errors if it fails."""
    command = [sys.executable, str(Path(__file__).resolve()), "--job", kind, "--data", data]
    command += ["--synthesizers", name, "--seeds", str(seed), "--output", str(options.output)]
    command += ["--most-sequences", str(options.most_sequences)]
    for option in ("epochs", "mostlyai_python", "folder", "minutes"):
        if getattr(options, option) is not None:
            command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    command += ["--judges"] if options.judges else []
    variables = dict.fromkeys(quality.THREAD_VARIABLES, str(options.threads))
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        env=os.environ | variables, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    where = _place(options, data, name, seed)
    where.mkdir(parents=True, exist_ok=True)
    (where / "error.log").write_text(done.stdout)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return f"{kind}: {lines[-1].strip() if lines else f'exit code {done.returncode}'}"


def _place(options: argparse.Namespace, data: str, name: str, seed: int) -> Path:
    return job.place(options.output / "sequences" / data, name, seed)


def run(options: argparse.Namespace) -> list[dict]:
    """Fit and score what is not stored; an entry for each, with the error where one failed."""
    entries = []
    for data in options.data:
        dataset = sequence_datasets.load(data, options.folder)
        for name in options.synthesizers:
            for seed in options.seeds if RECIPES[name].random else (0,):
                where = _place(options, data, name, seed)
                entry = {"dataset": data, "synthesizer": name, "seed": seed}
                error = None
                record = job.read_json(where / job.FIT)
                if options.fresh:
                    record = None
                elif record is not None and record["data"] != data_digest(dataset):
                    raise SystemExit(f"{where} is of other rows: --fresh fits again")
                if record is None:
                    error = _run("fit", data, name, seed, options)
                if error is None:
                    identity = score_identity(
                        dataset, where, options.judges, options.most_sequences
                    )
                    stored = job.read_json(where / job.SCORES)
                    agrees = stored and all(stored.get(k) == v for k, v in identity.items())
                    if not agrees or options.rescore:
                        error = _run("score", data, name, seed, options)
                print(f"{data} {name} seed {seed}: {error or 'done'}", flush=True)
                if error is None:
                    fitted, scored = (job.read_json(where / n) for n in (job.FIT, job.SCORES))
                    entries.append({**entry, "fit": fitted, **scored})
                else:
                    entries.append({**entry, "error": error})
    return entries


def tables(entries: list[dict]) -> str:
    """Markdown, one table for each data set."""
    parts = []
    for data, rows in quality.summarise(entries).items():
        shown = [c for c in COLUMNS if any(c.key in found for found in rows.values())]
        lines = [
            [name, *(quality.format_cell(found.get(c.key), c) for c in shown)]
            for name, found in rows.items()
        ]
        parts.append(timing.markdown([data, *(column.heading for column in shown)], lines))
    failed = [e for e in entries if "error" in e]
    parts += [f"{e['dataset']} {e['synthesizer']} seed {e['seed']}: {e['error']}" for e in failed]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["fielding", "nasdaq100_2019", "stock"])
    parser.add_argument(
        "--synthesizers", nargs="+", choices=RECIPES,
        default=["real", "independent_rows", "copula_over_time", "doppelganger"],
    )  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--folder", type=Path, help="with the data")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument("--epochs", type=int, help="instead of the default of PAR and ours")
    parser.add_argument("--mostlyai-python", type=Path, help="of an environment for tabularargn")
    parser.add_argument("--minutes", type=float, default=5.0, help="that tabularargn may train")
    parser.add_argument("--most-sequences", type=int, default=10_000, help="that are scored")
    parser.add_argument("--judges", action="store_true", help="also recurrent judges, Context-FID")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="fit again")
    parser.add_argument("--rescore", action="store_true", help="score again")
    parser.add_argument("--json", type=Path, help="of the summary (default: in the output folder)")
    parser.add_argument("--job", choices=("fit", "score"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        (data,), (name,), (seed,) = options.data, options.synthesizers, options.seeds
        dataset = sequence_datasets.load(data, options.folder)
        where = _place(options, data, name, seed)
        if options.job == "fit":
            settings = Settings(options.epochs, options.mostlyai_python, options.minutes)
            fit(dataset, name, seed, settings, where)
        else:
            score(dataset, name, seed, options.judges, options.most_sequences, where)
        return
    entries = run(options)
    print("\n" + tables(entries))
    path = options.json or options.output / "sequences.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    summary = quality.summarise(entries)
    job.write_json(path, {"protocol": PROTOCOL, "entries": entries, "summary": summary})


if __name__ == "__main__":
    main()
