"""How faithful are synthetic tables? Fit, sample and score synthesizers on real tables.

Protocol. A table is split into training and held-out test rows (Adult officially, others 90/10).
Every (table, synthesizer, seed) is fitted to the training rows in a process of its own, so that
time and peak resident memory are its own, and asked for as many rows as it was trained on. No
choice may look at a test row. The scores, errors in percent:

  shape, trend     100 x (1 - SDMetrics' Column Shapes / Column Pair Trends), all pairs of columns
                   counted (thresholds 0, as in published tables), against training rows
  trend*, quality  trend error and overall score with SDMetrics' own thresholds (only pairs that
                   correlate by > .5 or are associated by > .3 count)
  detect train     1 - (2 AUC - 1), AUC floored at .5, of boosted trees (scikit-learn's
                   HistGradientBoosting, categories declared, 3 folds) telling training rows from
                   synthetic ones: 1 cannot be told apart, 0 always. "xgb" is XGBoost's figure.
                   (Tables of fewer than 1,000 rows: the mean over several folds and subsamples.)
  detect test      the same against held-out test rows, the synthetic rows subsampled to as many.
                   What is lower here than against training rows was fitted to the training table.
  TSTR             boosted trees trained on synthetic rows, tested on real test rows: AUC, or
                   log-RMSE (RMSE where the target is not heavy-tailed). "real" is trained on the
                   training rows.
  pair trees, extra trees, network
                   the same score at the size of the test rows, by trees that also see differences
                   of two numbers, extremely randomised trees, and a small network: of other
                   families than calibration uses, or with other features
  lost             levels + clusters (k-means, k = 20, of the training rows' whitened ranks) of at
                   least .5 % of the training rows that come with less than half their share, at
                   the size of the test rows ("real" shows what chance takes away), and modes that
                   all the sample's rows lack beyond chance
  attack           AUC of a membership attack: trees tell synthetic rows from one half of the test
                   rows and rank training rows against the other half. "control" has real rows
                   that nobody was trained on in the synthetic rows' place
  kept, off        exact relations of the training rows that hold in all rows: the share that
                   holds in all synthetic rows; of those that hold in a share: the relative error
  nearest          share of rows nearer to as many training rows as there are test rows than to
                   the test rows: .5 is ideal. Copying the training table outright shows as 1 only
                   with as many test as training rows: as .75 on Adult, as .55 on a 90/10 split.
  copies           rows equal to a training row, in percent; "real" shows what chance gives
  fit, sample, MB  seconds and peak resident memory of the fit's process (imports included);
                   CPU seconds of all its threads are what other work on the machine leaves alone

"real" is always there: held-out rows in the place of a sample, the ceiling at this sample size.
"independent" has the training marginals and no dependence, the floor. SDMetrics drops missing
values before it compares shapes and trends; trees and copies count them as a value of their own.

TABLE@validation stands for a split of the training rows alone, 85/15: choices are made there.
TABLE@thirds leaves two thirds of all rows to test with, so that an attacker knows as many
reference rows as the synthesizer was trained on, and there are as many others to rank.

"wgangp" and "wgangp-uncalibrated" are two samples of one fit and share its seconds and memory
(calibration included). "gaussian_copula" and "real" have nothing random in them and run once.

Fits are kept in OUTPUT/TABLE/SYNTHESIZER/SEED and taken from there the next time (--fresh fits
again, --resample samples again from fits of ours, --recalibrate calibrates them again before);
scores are kept beside them (--rescore scores again). A failed job is reported and the others go
on. Ctrl-C stops and reports what is finished.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import job
from plot import quality_plot
from synthesizers import ABLATION, RECIPES, SYNTHESIZERS, source_digest

HERE = Path(__file__).resolve().parent
DEFAULT_DATASETS = ("adult", "default", "shoppers", "magic", "beijing")
DEFAULT_SYNTHESIZERS = tuple(
    name for name, recipe in SYNTHESIZERS.items() if recipe not in ("real", *ABLATION)
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


@dataclass(frozen=True)
class Column:
    """A column of the terminal table: heading, key, number format, factor."""

    heading: str
    key: str
    digits: int
    factor: float = 1.0


COLUMNS = (
    Column("shape %", "shape_error", 2),
    Column("trend %", "trend_error", 2),
    Column("trend* %", "trend_error_default", 2),
    Column("quality", "quality", 3),
    Column("detect train", "detection_train", 3),
    Column("xgb", "detection_train_xgboost", 3),
    Column("detect test", "detection_test", 3),
    Column("pair trees", "detection_pair_trees", 3),
    Column("extra trees", "detection_extra_trees", 3),
    Column("network", "detection_network", 3),
    Column("lost levels", "lost_levels", 1),
    Column("clusters", "lost_clusters", 1),
    Column("modes", "lost_modes", 1),
    Column("TSTR", "tstr", 3),
    Column("attack", "attack_auc", 3),
    Column("control", "attack_control", 3),
    Column("kept", "relations_kept", 2),
    Column("off", "relations_share_error", 2),
    Column("nearest", "nearest_record_share", 3),
    Column("copies %", "exact_copies", 2, 100),
    Column("fit s", "fit_seconds", 1),
    Column("fit CPU s", "fit_cpu_seconds", 1),
    Column("sample s", "sample_seconds", 2),
    Column("MB", "peak_mb", 0),
)


class Interrupted(Exception):
    """A job did not run, or was ended, because the benchmark is being stopped."""


class JobFailed(Exception):
    """A job's process ended with an error; the message is one line."""


@dataclass
class Task:
    """One fit with the scoring of those of its outputs that were asked for."""

    dataset: datasets.Dataset
    source: str
    recipe: str
    outputs: tuple[str, ...]
    seed: int
    folder: Path
    first: str | None = None  # the job that makes the samples: "fit", "resample", "recalibrate"
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.dataset.name} {self.recipe} seed {self.seed}"


class Runner:
    """Runs jobs in processes of their own and can end those that are running."""

    def __init__(self, threads: int, target: str | None, epochs: int | None) -> None:
        self.threads, self.target, self.epochs = threads, target, epochs
        self.running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def run(self, kind: str, source: str, name: str, seed: int, folder: Path) -> None:
        """Run one job to its end.

        Raises:
            JobFailed: with the last line of its error output, all of which is kept in
                ``FOLDER/NAME/SEED/error.log``.
            Interrupted: `stop` was called.
        """
        command = [sys.executable, str(HERE / "job.py"), kind, source, name, str(seed)]
        command += [str(folder), "--threads", str(self.threads)]
        if self.target is not None:
            command += ["--target", self.target]
        if self.epochs is not None:
            command += ["--epochs", str(self.epochs)]
        environment = os.environ | {name: str(self.threads) for name in THREAD_VARIABLES}
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            with self._lock:
                if self._stopping:
                    raise Interrupted
                # A session of its own: Ctrl-C reaches this process alone, which ends the others.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
                self.running.add(process)
            code = process.wait()
            with self._lock:
                self.running.discard(process)
                if self._stopping and code:
                    raise Interrupted
            if code:
                output.seek(0)
                raise JobFailed(self._explain(kind, code, output.read(), folder, name, seed))

    @staticmethod
    def _explain(kind: str, code: int, log: str, folder: Path, name: str, seed: int) -> str:
        where = job.place(folder, name, seed)
        where.mkdir(parents=True, exist_ok=True)
        (where / "error.log").write_text(log)
        if code < 0:
            cause = f"killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                cause += " (out of memory?)"
            return f"{kind}: {cause}"
        lines = [line for line in log.splitlines() if line.strip()]
        return f"{kind}: {lines[-1].strip() if lines else f'exit code {code}'}"

    def stop(self) -> None:
        """End the running jobs and refuse new ones."""
        with self._lock:
            self._stopping = True
            running = list(self.running)
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def stored_fit(task: Task, output: str) -> dict | None:
    """The record of a stored sample, or ``None``."""
    where = job.place(task.folder, output, task.seed)
    if not (where / job.SAMPLE).exists():
        return None
    return job.read_json(where / job.FIT)


def plan(arguments: argparse.Namespace) -> list[Task]:
    """The fits to run or to take from the output folder, checked before any of them starts."""
    recipes = list(dict.fromkeys(SYNTHESIZERS[name] for name in arguments.synthesizers))
    source_now = source_digest()
    tasks = []
    for source in dict.fromkeys(arguments.datasets):
        dataset = datasets.load(source, arguments.target if source.endswith(".csv") else None)
        for recipe_name in recipes:
            recipe = RECIPES[recipe_name]
            wanted = tuple(name for name in recipe.outputs if name in arguments.synthesizers)
            for seed in dict.fromkeys(arguments.seeds) if recipe.random else (0,):
                task = Task(
                    dataset, source, recipe_name, wanted, seed, arguments.output / dataset.name
                )
                records = [stored_fit(task, name) for name in wanted]
                if None in records and arguments.stored:
                    continue
                if not arguments.reuse or None in records:
                    task.first = "fit"
                else:
                    _check_stored(task, records[0], arguments.epochs, source_now)
                    if arguments.again and recipe.load is not None:
                        _check_model(task)
                        task.first = arguments.again
                tasks.append(task)
    return tasks


def _check_stored(task: Task, record: dict, epochs: int | None, source: str | None) -> None:
    wanted = job.fit_identity(task.recipe, task.dataset, epochs)
    for key, name in (("data", "training rows"), ("epochs_override", "--epochs")):
        if record.get(key) != wanted[key]:
            raise SystemExit(
                f"the stored fit of {task.label} has other {name} ({record.get(key)}, now "
                f"{wanted[key]}): fit again with --fresh or name another --output"
            )
    if RECIPES[task.recipe].ours and record.get("source") != source:
        print(
            f"note: the stored fit of {task.label} was made by other code of this package "
            "(--fresh fits again)"
        )


def _check_model(task: Task) -> None:
    outputs = RECIPES[task.recipe].outputs
    if any(stored_fit(task, name) is None for name in outputs):
        raise SystemExit(f"the stored fit of {task.label} lacks a sample: fit again with --fresh")
    if not (job.place(task.folder, outputs[0], task.seed) / job.MODEL).exists():
        raise SystemExit(
            f"the stored fit of {task.label} has no {job.MODEL} to sample from: fit again with "
            "--fresh, or leave out --resample and --recalibrate"
        )


def _agrees(stored: dict, identity: dict) -> bool:
    return all(stored.get(key) == value for key, value in identity.items())


def run_task(task: Task, runner: Runner, rescore: bool) -> str:
    """Fit where needed, then score. Returns a line that says what was done."""
    done = []
    if task.first:
        clock = time.perf_counter()
        try:
            runner.run(task.first, task.source, task.recipe, task.seed, task.folder)
        except JobFailed as error:
            task.errors = dict.fromkeys(task.outputs, str(error))
            return f"FAILED {error}"
        what = {"fit": "fitted", "resample": "sampled", "recalibrate": "calibrated"}[task.first]
        done.append(f"{what} in {time.perf_counter() - clock:.1f} s")
    else:
        done.append("stored fit")
    for output in task.outputs:
        where = job.place(task.folder, output, task.seed)
        stored = job.read_json(where / job.SCORES)
        identity = job.score_identity(where / job.SAMPLE, task.dataset)
        if stored and not rescore and _agrees(stored, identity):
            note = "" if stored.get("scorer") == job.scorer_digest() else " of other scoring code"
            done.append(f"{output}: stored scores{note}")
            continue
        clock = time.perf_counter()
        try:
            runner.run("score", task.source, output, task.seed, task.folder)
        except JobFailed as error:
            task.errors[output] = str(error)
            done.append(f"{output}: FAILED {error}")
        else:
            done.append(f"{output}: scored in {time.perf_counter() - clock:.1f} s")
    return ", ".join(done)


def run_all(tasks: list[Task], runner: Runner, jobs: int, rescore: bool) -> bool:
    """Run the tasks, `jobs` at a time. Returns whether it was interrupted by Ctrl-C."""
    with ThreadPoolExecutor(jobs) as pool:
        pending = {pool.submit(run_task, task, runner, rescore): task for task in tasks}
        finished = 0
        try:
            while pending:
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    task = pending.pop(future)
                    finished += 1
                    print(f"[{finished}/{len(tasks)}] {task.label}: {future.result()}", flush=True)
        except KeyboardInterrupt:
            print("\nstopping: what is finished is kept", flush=True)
            for future in pending:
                future.cancel()
            runner.stop()
            return True
        except BaseException:
            runner.stop()
            raise
    return False


def collect(tasks: list[Task]) -> list[dict]:
    """One entry per finished or failed (table, synthesizer, seed)."""
    entries = []
    for task in tasks:
        for output in task.outputs:
            entry = {"dataset": task.dataset.name, "synthesizer": output, "seed": task.seed}
            if output in task.errors:
                entries.append({**entry, "error": task.errors[output]})
                continue
            where = job.place(task.folder, output, task.seed)
            fit, scored = stored_fit(task, output), job.read_json(where / job.SCORES)
            if fit is None or scored is None:
                continue
            identity = job.score_identity(where / job.SAMPLE, task.dataset)
            if not _agrees(scored, identity):
                continue  # interrupted between a new fit and its scores
            entries.append({**entry, "fit": fit, **scored})
    return entries


def tstr_key(entries: list[dict]) -> str | None:
    """Which TSTR figure a table's entries are compared by: AUC, log-RMSE or RMSE."""
    for key in ("tstr_auc", "tstr_log_rmse", "tstr_rmse"):
        if any(entry.get("scores", {}).get(key) is not None for entry in entries):
            return key
    return None


def summarise(entries: list[dict]) -> dict:
    """{dataset: {synthesizer: {metric: {mean, spread, count}}}}; the spread is the standard
    deviation over seeds with Bessel's correction, null for a single seed."""
    summary: dict = {}
    for name in dict.fromkeys(entry["dataset"] for entry in entries):
        rows = [entry for entry in entries if entry["dataset"] == name and "scores" in entry]
        tstr = tstr_key(rows)
        summary[name] = {}
        for synthesizer in dict.fromkeys(entry["synthesizer"] for entry in rows):
            values: dict[str, list[float]] = {}
            for entry in rows:
                if entry["synthesizer"] != synthesizer:
                    continue
                costs = (
                    "fit_seconds",
                    "fit_cpu_seconds",  # not in fits stored before it was measured
                    "sample_seconds",
                    "sample_cpu_seconds",
                    "peak_mb",
                )
                numbers = entry["scores"] | {key: entry["fit"].get(key) for key in costs}
                if tstr is not None:
                    numbers["tstr"] = entry["scores"][tstr]
                for key, value in numbers.items():
                    if value is not None:
                        values.setdefault(key, []).append(value)
            summary[name][synthesizer] = {
                key: {
                    "mean": statistics.fmean(numbers),
                    "spread": statistics.stdev(numbers) if len(numbers) > 1 else None,
                    "count": len(numbers),
                }
                for key, numbers in values.items()
            }
    return summary


def format_cell(statistic: dict | None, column: Column) -> str:
    """Mean, and where there are seeds to compare, its spread."""
    if statistic is None:
        return "-"
    mean = statistic["mean"] * column.factor
    # An RMSE may have any size.
    digits = 0 if abs(mean) >= 1000 else column.digits
    text = f"{mean:.{digits}f}"
    if statistic["spread"] is not None:
        text += f"±{statistic['spread'] * column.factor:.{digits}f}"
    return text


def format_table(title: str, rows: dict[str, dict], tstr: str | None) -> str:
    """One table's results as aligned text."""
    named = {"tstr_auc": "TSTR AUC", "tstr_log_rmse": "TSTR log-RMSE", "tstr_rmse": "TSTR RMSE"}
    headings = [column.heading for column in COLUMNS]
    headings[headings.index("TSTR")] = named.get(tstr, "TSTR")
    cells = [["synthesizer", "seeds", *headings]]
    for synthesizer, statistics_ in rows.items():
        seeds = max((known["count"] for known in statistics_.values()), default=0)
        cells.append(
            [synthesizer, str(seeds)]
            + [format_cell(statistics_.get(column.key), column) for column in COLUMNS]
        )
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = [title]
    for row in cells:
        lines.append(
            "  ".join(
                text.ljust(width) if place == 0 else text.rjust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    return "\n".join(lines)


def compact(entries: list[dict]) -> dict:
    """The entries without repetition: each environment and each set of parameters once.

    Returns:
        ``environments`` (the distinct hosts with their versions), ``parameters`` (by table,
        synthesizer and epochs override) and ``results``, which point to the environments by
        number.
    """
    environments: list[dict] = []
    parameters: dict[str, dict] = {}
    results = []

    def place_of(record: dict) -> int:
        environment = {"host": record["host"], "versions": record["versions"]}
        if environment not in environments:
            environments.append(environment)
        return environments.index(environment)

    for entry in entries:
        if "error" in entry:
            results.append(entry)
            continue
        fit = entry["fit"]
        known = parameters.setdefault(entry["synthesizer"], fit["parameters"])
        kept = {
            key: fit.get(key)
            for key in (
                "fit_seconds",
                "fit_cpu_seconds",
                "sample_seconds",
                "sample_cpu_seconds",
                "peak_mb",
                "peak_mb_with_sampling",
                "gpu",
                "peak_gpu_mb",
                "threads",
                "started",
                "epochs_override",
                "source",
                "sample_source",
                "calibration_source",  # where it was calibrated again after the fit
                "calibration_cpu_seconds",
            )
        }
        if fit["parameters"] != known:
            kept["parameters"] = fit["parameters"]
        results.append(
            {key: entry[key] for key in ("dataset", "synthesizer", "seed")}
            | {"fit": kept | {"environment": place_of(fit)}}
            | {"scores": entry["scores"], "scored_in": place_of(entry)}
        )
    return {"environments": environments, "parameters": parameters, "results": results}


def expand(content: dict) -> list[dict]:
    """The entries of a file of results: the inverse of `compact`."""
    entries = []
    for result in content["results"]:
        if "error" in result:
            entries.append(result)
            continue
        fit = dict(result["fit"])
        fit |= content["environments"][fit.pop("environment")]
        fit.setdefault("parameters", content["parameters"][result["synthesizer"]])
        entry = {key: value for key, value in result.items() if key not in ("fit", "scored_in")}
        entries.append(
            {**entry, "fit": fit, **content["environments"][result["scored_in"]]}
            | {"protocol": content["protocol"], "thresholds": content["thresholds"]}
        )
    return entries


def thresholds(entries: list[dict]) -> dict:
    """SDMetrics' (correlation, association) thresholds of the two kinds of quality scores.

    Raises:
        RuntimeError: entries were scored with different ones and cannot share a table.
    """
    found = [entry["thresholds"] for entry in entries if "thresholds" in entry]
    if any(one != found[0] for one in found):
        raise RuntimeError("stored scores differ in SDMetrics' thresholds: use --rescore")
    return found[0] if found else {}


def report(entries: list[dict], arguments: argparse.Namespace, tasks: list[Task]) -> None:
    """Print the tables and write the JSON and the plot."""
    summary = summarise(entries)
    order = {name: place for place, name in enumerate(arguments.synthesizers)}
    about = {task.dataset.name: task.dataset for task in tasks}
    tstr = {
        name: tstr_key([entry for entry in entries if entry["dataset"] == name])
        for name in summary
    }
    for name, rows in summary.items():
        rows = dict(sorted(rows.items(), key=lambda item: order[item[0]]))
        summary[name] = rows
        table = about[name]
        title = f"\n{name}: {len(table.train):,} training rows, {len(table.test):,} test rows"
        if rows:
            print(format_table(title, rows, tstr[name]))
    failed = [entry for entry in entries if "error" in entry]
    if failed:
        print("\nfailed:")
        for entry in failed:
            print(
                f"  {entry['dataset']} {entry['synthesizer']} seed {entry['seed']}: "
                f"{entry['error']}"
            )
    threads = sorted({entry["fit"]["threads"] for entry in entries if "fit" in entry})
    cpus = sorted({entry["fit"]["host"]["cpu"] for entry in entries if "fit" in entry})
    print(f"\nfits on {', '.join(cpus) or 'no processor'} with {threads} thread(s)")
    if len(cpus) > 1 or len(threads) > 1:
        print("note: stored fits ran under different conditions: do not compare their seconds")
    settings = {
        "threads": arguments.threads,
        "jobs": arguments.jobs,
        "epochs": arguments.epochs,
        "seeds": arguments.seeds,
    }
    of_tables = {
        name: {
            "train_rows": len(table.train),
            "test_rows": len(table.test),
            "columns": len(table.columns),
            "target": table.target,
            "tstr": tstr.get(name),
        }
        for name, table in about.items()
    }
    write_results(arguments.json, settings, of_tables, summary, entries)


def write_results(
    path: Path, settings: object, of_tables: dict, summary: dict, entries: list[dict]
) -> None:
    """Write the JSON file of results and beside it their plot."""
    content = {
        "protocol": job.PROTOCOL,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": job.host(),
        "versions": job.versions(),
        "settings": settings,
        "datasets": of_tables,
        "thresholds": thresholds(entries),
        "summary": summary,
        **compact(entries),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    job.write_json(path, job.finite(content))
    written = str(path)
    if any(summary.values()):
        plot = path.with_suffix(".svg")
        plot.write_text(
            quality_plot(summary, {name: of["tstr"] for name, of in of_tables.items()})
        )
        written += f" and {plot}"
    print(f"written: {written}")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=list(DEFAULT_DATASETS),
        metavar="TABLE",
        help=f"CSV files or any of {', '.join(datasets.RECIPES)}, which are read from "
        "$SDV_WGANGP_DATASETS (default: shared/datasets beside the checkout)",
    )
    parser.add_argument("--target", help="the column of a CSV that TSTR predicts")
    parser.add_argument(
        "--synthesizers",
        nargs="+",
        choices=list(SYNTHESIZERS),
        default=list(DEFAULT_SYNTHESIZERS),
        metavar="NAME",
        help=f"any of {', '.join(SYNTHESIZERS)} (default: all but {', '.join(ABLATION)}, which "
        "are ours with one thing changed each); real is always there",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time (default 1)")
    parser.add_argument(
        "--threads", type=int, help="threads of each job (default: the cores shared by the jobs)"
    )
    parser.add_argument(
        "--epochs", type=int, help="for the trained networks, instead of their own defaults"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "output",
        metavar="FOLDER",
        help="samples, records and scores (default: benchmarks/output, ignored by git)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the results; the plot lies beside it as .svg (default: OUTPUT/quality.json)",
    )
    reuse = parser.add_mutually_exclusive_group()
    reuse.add_argument(
        "--reuse",
        action="store_true",
        default=True,
        help="take a stored fit instead of fitting again (the default)",
    )
    reuse.add_argument("--fresh", dest="reuse", action="store_false", help="fit again")
    reuse.add_argument(
        "--stored", action="store_true", help="report stored fits alone, of all that were named"
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resample",
        dest="again",
        action="store_const",
        const="resample",
        help="sample again from stored fits of ours, with today's code",
    )
    again.add_argument(
        "--recalibrate",
        dest="again",
        action="store_const",
        const="recalibrate",
        help="the same after calibrating them again, with today's code",
    )
    parser.add_argument("--rescore", action="store_true", help="score stored samples again")
    arguments = parser.parse_args(argv)
    for name in ("jobs", "threads", "epochs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if min(arguments.seeds) < 0:
        parser.error(f"seeds must not be negative, got {min(arguments.seeds)}")
    if arguments.target and not any(name.endswith(".csv") for name in arguments.datasets):
        parser.error("--target is for a CSV: the named tables have their own target")
    if arguments.again and not arguments.reuse:
        parser.error(f"--fresh fits again, and samples from that: leave out --{arguments.again}")
    names = [
        name if name.startswith(datasets.LEAGUE) else Path(name).stem
        for name in dict.fromkeys(arguments.datasets)
    ]
    if len(set(names)) < len(names):
        parser.error("two tables share a name: their results would share a folder")
    arguments.synthesizers = list(dict.fromkeys(["real", *arguments.synthesizers]))
    arguments.threads = arguments.threads or max(1, job.cores() // arguments.jobs)
    arguments.json = arguments.json or arguments.output / "quality.json"
    return arguments


def run(arguments: argparse.Namespace) -> tuple[list[Task], int]:
    """Fit and score what is not stored yet, and report all of it.

    Returns:
        The tasks, and the exit code: 0, 1 where a job failed, 130 after Ctrl-C.
    """
    tasks = plan(arguments)
    if not any(task.recipe != "real" for task in tasks):
        raise SystemExit(f"nothing of what was named is stored in {arguments.output}")
    runner = Runner(arguments.threads, arguments.target, arguments.epochs)
    interrupted = run_all(tasks, runner, arguments.jobs, arguments.rescore)
    entries = collect(tasks)
    report(entries, arguments, tasks)
    if interrupted:
        return tasks, 130
    return tasks, 1 if any("error" in entry for entry in entries) else 0


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code (`run`)."""
    return run(parse(argv))[1]


if __name__ == "__main__":
    # Whoever ends this process must not leave its jobs running: SIGTERM is taken as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
