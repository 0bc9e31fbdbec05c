"""One job of the quality benchmark in a process of its own: fit, sample or score.

Called by quality.py, which sets the number of threads in the environment before this process
starts. `fit` fits a recipe and writes ``synthetic.parquet`` and then ``fit.json`` into
``FOLDER/OUTPUT/SEED`` for each of its outputs, with ``model.pkl`` beside the first where it can be
sampled again, which `resample` does, and `recalibrate` after calibrating it again; `score` reads a
sample and writes ``scores.json`` beside it.
Files appear under their names only when complete.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from synthesizers import RECIPES, SYNTHESIZERS, Fitted, source_digest

SAMPLE, FIT, SCORES, MODEL = "synthetic.parquet", "fit.json", "scores.json", "model.pkl"
PACKAGES = (
    "sdv-wgangp",
    "torch",
    "sdv",
    "rdt",
    "ctgan",
    "copulas",
    "sdmetrics",
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "numpy",
    "pandas",
)
# Raised when a change of the protocol makes stored scores incomparable with new ones.
PROTOCOL = 2
# Detection among fewer rows is the mean over as many subsamples as it takes to see so many rows.
DETECTION_ROWS = 1000
# Families that neither calibration nor early stopping uses, or that see more than its trees.
JUDGES = ("pair_trees", "extra_trees", "network")
# Rows of each kind that they see at most.
JUDGED_ROWS = 10_000
# And subsamples of a small table.
JUDGED_TIMES = 4
# Probability of so few rows of a mode, below which it was lost beyond chance.
CHANCE = 0.001
# Fewer held-out rows are no reference for an attack.
LEAST_ATTACKED = 100
MEBIBYTE = 2**20


def place(folder: Path, output: str, seed: int) -> Path:
    """Where a sample lies: `folder` is the dataset's."""
    return folder / output / str(seed)


def write_json(path: Path, content: object) -> None:
    """Write `content` under a temporary name first, so that a reader never sees half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(content, indent=1, default=str, allow_nan=False) + "\n")
    os.replace(temporary, path)


def read_json(path: Path) -> dict | None:
    """The stored object, or ``None`` where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else None


def finite(content: object) -> object:
    """`content` with numpy scalars made plain and non-finite numbers made ``None``."""
    if isinstance(content, dict):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content


def data_digest(frame: pd.DataFrame) -> str:
    """A digest of a frame's values and column names, to tell a stored fit of other rows."""
    digest = hashlib.sha256("\0".join(map(str, frame.columns)).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process in MiB, or ``None`` where Linux's /proc is missing.

    Not ``ru_maxrss``: that one keeps what the parent had resident when it started this process.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1024


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """The processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def versions() -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    installed = importlib.metadata.distributions()
    known = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in installed}
    found = {package: known[package] for package in PACKAGES if package in known}
    return {"python": platform.python_version(), **found}


def host() -> dict:
    """The machine in words: no names and no paths."""
    return {"cpu": cpu_model(), "cores": cores(), "system": platform.system()}


def fit_identity(recipe_name: str, dataset: datasets.Dataset, epochs: int | None) -> dict:
    """What a stored fit must agree with to stand for a requested one."""
    return {
        "recipe": recipe_name,
        "data": data_digest(dataset.train),
        "epochs_override": epochs if RECIPES[recipe_name].has_epochs else None,
    }


def fit_job(
    dataset: datasets.Dataset, name: str, seed: int, epochs: int | None, threads: int, folder: Path
) -> None:
    """Fit the recipe `name`, take its samples and store them with their costs."""
    import torch

    torch.set_num_threads(threads)
    recipe = RECIPES[name]
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    clock, cpu_clock = time.perf_counter(), time.process_time()
    fitted = recipe.fit(dataset, seed, epochs)
    fit_seconds = time.perf_counter() - clock
    fit_cpu_seconds = time.process_time() - cpu_clock
    fit_peak = peak_memory_mb()
    record = {
        **fit_identity(name, dataset, epochs),
        "dataset": dataset.name,
        "seed": seed,
        "train_rows": len(dataset.train),
        "fit_seconds": fit_seconds,
        "fit_cpu_seconds": fit_cpu_seconds,
        "peak_mb": fit_peak,
        "threads": threads,
        "started": started,
        "host": host(),
        "versions": versions(),
        "source": source_digest() if recipe.ours else None,
        "parameters": finite(fitted.parameters),
    }
    for output in recipe.outputs:
        (place(folder, output, seed) / FIT).unlink(missing_ok=True)
    if fitted.save is not None:
        model = place(folder, recipe.outputs[0], seed) / MODEL
        model.parent.mkdir(parents=True, exist_ok=True)
        os.replace(save_part(fitted, model), model)
    store_samples(fitted, dataset, seed, folder, dict.fromkeys(recipe.outputs, record))


def resample_job(
    dataset: datasets.Dataset, name: str, seed: int, folder: Path, recalibrate: bool = False
) -> None:
    """Sample from a stored fit again, calibrated again if so asked.

    Its record keeps what it says of the fit: its seconds and memory are those with the calibration
    that it had then. Nothing is lost if this ends early.
    """
    recipe = RECIPES[name]
    records = {output: read_json(place(folder, output, seed) / FIT) for output in recipe.outputs}
    path = place(folder, recipe.outputs[0], seed) / MODEL
    try:
        fitted = recipe.load(path, dataset)
    except (AttributeError, ImportError) as error:
        raise SystemExit(
            f"{path} is of other code than this and cannot be loaded ({error}): fit again with "
            "--fresh"
        ) from error
    if recalibrate:
        clock = time.process_time()
        fitted.recalibrate(seed)
        again = {
            "calibration_source": source_digest(),
            "calibration_cpu_seconds": time.process_time() - clock,
        }
        records = {output: record | again for output, record in records.items()}
    store_samples(fitted, dataset, seed, folder, records, path if recalibrate else None)


def save_part(fitted: Fitted, model: Path) -> Path:
    """Save a fit beside the place of its model, which it may then take."""
    part = model.with_name(model.name + ".part")
    fitted.save(part)
    return part


def store_samples(
    fitted: Fitted,
    dataset: datasets.Dataset,
    seed: int,
    folder: Path,
    records: dict[str, dict],
    model: Path | None = None,
) -> None:
    """Draw a fit's samples and store each with its record and what it cost.

    Args:
        model: Where the fit is saved, too, if it is another than the one that lies there. All
            files are written before the first of them takes its place.
    """
    import torch

    parts: list[tuple[Path, Path]] = []
    new: list[tuple[Path, dict]] = []
    for output, record in records.items():
        clock, cpu_clock = time.perf_counter(), time.process_time()
        sample = fitted.samplers[output]()
        sample_seconds = time.perf_counter() - clock
        sample_cpu_seconds = time.process_time() - cpu_clock
        if list(sample.columns) != list(dataset.train.columns):
            raise ValueError(
                f"{output} returned the columns {list(sample.columns)} "
                f"instead of {list(dataset.train.columns)}"
            )
        target = place(folder, output, seed)
        target.mkdir(parents=True, exist_ok=True)
        sample.to_parquet(target / (SAMPLE + ".part"))
        parts.append((target / (SAMPLE + ".part"), target / SAMPLE))
        gpu_mb = None
        if torch.cuda.is_available():
            gpu_mb = torch.cuda.max_memory_allocated() / MEBIBYTE
        extra = {
            "synthesizer": output,
            "rows": len(sample),
            "sample_seconds": sample_seconds,
            "sample_cpu_seconds": sample_cpu_seconds,
            "sample_source": source_digest() if record["source"] else None,
            "peak_mb_with_sampling": peak_memory_mb(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "peak_gpu_mb": gpu_mb,
        }
        new.append((target / FIT, {**record, **extra}))
    if model is not None:
        parts.append((save_part(fitted, model), model))
    # Without its fit.json a sample does not count: an old record must not vouch for a new one.
    for record_path, _ in new:
        record_path.unlink(missing_ok=True)
    for part, final in parts:
        os.replace(part, final)
    for record_path, content in new:
        write_json(record_path, content)


def score_identity(sample: Path, dataset: datasets.Dataset) -> dict:
    """What stored scores must agree with to stand for a sample."""
    from importlib.util import find_spec

    return {
        "protocol": PROTOCOL,
        "sample": file_digest(sample),
        "data": data_digest(dataset.train),
        "target": dataset.target,
        "xgboost": find_spec("xgboost") is not None,
    }


def scorer_digest() -> str:
    """A digest of the scoring code, so that scores of other code are noticed."""
    from importlib.util import find_spec

    spec = find_spec("sdv_wgangp.reporting.scores")
    digest = hashlib.sha256()
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def mean_detection(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: dict[str, str],
    classifier: str = "hist_gradient_boosting",
    most: int = DETECTION_ROWS,
) -> tuple[float, int]:
    """The detection score, over several subsamples and folds of small tables, and their rows.

    A hundred rows of each kind can be told apart or not by chance: one subsample of them scores
    .1 more or less than the next. There are no more than ``most``.
    """
    from sdv_wgangp.reporting import scores

    rows = min(len(real), len(synthetic))
    found = [
        scores.detection(real, synthetic, columns, classifier=classifier, seed=seed).score
        for seed in range(min(-(-DETECTION_ROWS // max(rows, 1)), most))
    ]
    return float(np.mean(found)), rows


def other_judges(
    dataset: datasets.Dataset, sample: pd.DataFrame, real: bool, timed: Callable
) -> dict:
    """Scores by other families than calibration uses, at the size of the held-out rows.

    Args:
        dataset, sample, real: As of `score_sample`.
        timed: Calls a function and keeps its seconds.
    """
    from sdv_wgangp.reporting import relations, scores

    train, test, columns = dataset.train, dataset.test, dataset.columns
    rows = min(len(train), len(sample), len(test), JUDGED_ROWS)
    some = sample.sample(rows, random_state=0)
    result = {
        f"detection_{judge}": timed(
            f"detection_{judge}", mean_detection, train, some, columns, judge, JUDGED_TIMES
        )[0]
        for judge in JUDGES
    }
    found = timed("coverage", scores.coverage, train, some, columns)
    result |= {
        "lost_levels": len(found.lost("level")),
        "lost_clusters": len(found.lost("cluster")),
        # Of all its rows, beyond chance.
        "lost_modes": len(scores.coverage(train, sample, columns).lost(chance=CHANCE)),
    }
    kept = timed("relations", relations.describe, train, sample, test, columns)
    measures = {m.key: m.value for part in relations.sections(kept) for m in part.measures}
    result |= {
        "relations_kept": measures.get("relations.kept"),
        "relations_share_error": measures.get("relations.share_error"),
        "attack_auc": None,
        "attack_control": None,
    }
    if not real and len(test) >= LEAST_ATTACKED:
        attack = timed("membership", scores.membership, train, sample, test, columns)
        result |= {"attack_auc": attack.auc, "attack_control": attack.control}
    return result


def score_sample(
    dataset: datasets.Dataset, sample: pd.DataFrame, real: bool, xgboost: bool
) -> dict:
    """Every score of one sample: {name: number or None}, and the seconds that each part took.

    Args:
        dataset: the table, its split and its target.
        sample: the synthetic rows; for `real` the held-out rows themselves.
        real: whether `sample` is the held-out rows. Then what would compare them with
            themselves is replaced: TSTR is trained on the training rows, detection against test
            rows is the one against training rows (the same question with the roles exchanged),
            and the nearest-record share is that of one half of the test rows with the other half
            as holdout.
        xgboost: whether to run the detection with XGBoost as well.
    """
    from sdv_wgangp.reporting import scores

    seconds: dict[str, float] = {}

    def timed(part: str, function, *arguments, **options):
        clock = time.perf_counter()
        result = function(*arguments, **options)
        seconds[part] = time.perf_counter() - clock
        return result

    train, test, columns = dataset.train, dataset.test, dataset.columns
    everything = timed(
        "quality_all_pairs", scores.quality, train, sample, dataset.metadata, all_pairs=True
    )
    default = timed("quality", scores.quality, train, sample, dataset.metadata)
    against_train = timed("detection_train", mean_detection, train, sample, columns)
    against_test = against_train
    if not real:
        against_test = timed("detection_test", mean_detection, test, sample, columns)
    result = {
        "shape_error": 100 * (1 - everything.column_shapes),
        "trend_error": 100 * (1 - everything.pair_trends),
        "quality": default.overall,
        "trend_error_default": 100 * (1 - default.pair_trends),
        "quality_all_pairs": everything.overall,
        "detection_train": against_train[0],
        "detection_test": against_test[0],
        "detection_train_rows": against_train[1],
        "detection_test_rows": against_test[1],
        "detection_train_xgboost": None,
    }
    if xgboost:
        result["detection_train_xgboost"], _ = timed(
            "detection_train_xgboost", mean_detection, train, sample, columns, "xgboost"
        )
    if dataset.target is not None:
        utility = timed(
            "tstr",
            scores.tstr,
            train if real else sample,
            test,
            dataset.target,
            columns,
            regression=dataset.regression,
        )
        result |= {
            "tstr_auc": utility.auc,
            "tstr_rmse": utility.rmse,
            "tstr_log_rmse": utility.log_rmse,
            "tstr_r2": utility.r2,
        }
    half = len(test) // 2
    if real:
        privacy = timed(
            "privacy", scores.privacy, train, test[:half], columns, holdout=test[half:]
        )
        copies = scores.privacy(train, test, columns).exact_copies
    else:
        privacy = timed("privacy", scores.privacy, train, sample, columns, holdout=test)
        copies = privacy.exact_copies
    result |= {
        "nearest_record_share": privacy.nearest_record_share,
        "exact_copies": copies,
        "new_rows": privacy.new_rows,
        "distance_ratio": privacy.distance_ratio,
    }
    result |= other_judges(dataset, sample, real, timed)
    thresholds = {
        "all_pairs": [everything.correlation_threshold, everything.association_threshold],
        "default": [default.correlation_threshold, default.association_threshold],
    }
    return {"scores": finite(result), "thresholds": thresholds, "seconds": seconds}


def score_job(dataset: datasets.Dataset, output: str, seed: int, folder: Path) -> None:
    """Score a stored sample and write scores.json beside it."""
    where = place(folder, output, seed)
    identity = score_identity(where / SAMPLE, dataset)
    sample = pd.read_parquet(where / SAMPLE)
    content = score_sample(dataset, sample, output == "real", identity["xgboost"])
    write_json(
        where / SCORES,
        {
            **identity,
            "scorer": scorer_digest(),
            **content,
            "host": host(),
            "versions": versions(),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("kind", choices=("fit", "resample", "recalibrate", "score"))
    parser.add_argument("dataset", help="a table's name or a CSV file")
    parser.add_argument("name", help="a recipe; score: one of its outputs")
    parser.add_argument("seed", type=int)
    parser.add_argument("folder", type=Path, help="the dataset's folder of the output")
    parser.add_argument("--target", help="the target column of a CSV")
    parser.add_argument("--epochs", type=int, help="instead of the synthesizer's default")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    names = SYNTHESIZERS if arguments.kind == "score" else RECIPES
    if arguments.name not in names:
        parser.error(f"{arguments.name!r} is none of {', '.join(names)}")
    dataset = datasets.load(arguments.dataset, arguments.target)
    if arguments.kind == "fit":
        fit_job(
            dataset,
            arguments.name,
            arguments.seed,
            arguments.epochs,
            arguments.threads,
            arguments.folder,
        )
    else:
        run = {
            "resample": resample_job,
            "recalibrate": partial(resample_job, recalibrate=True),
            "score": score_job,
        }[arguments.kind]
        run(dataset, arguments.name, arguments.seed, arguments.folder)


if __name__ == "__main__":
    main()
