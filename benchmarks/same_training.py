"""Whether two checkouts train the same: SHA-256 of the weights, setting by setting.

    python benchmarks/same_training.py --before ../other-checkout

Both train the same table with the same seed on this machine, each in a process of its own; both
have to be built. Weights of the generator and the logged losses are compared. (Products in
bfloat16 differ from processor to processor, so hashes are compared within one run, not kept.)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FEATURES = ("mean", "cor", "frequency", "contingency")
# Name -> settings of the training, and arguments of the model.
CASES: dict[str, tuple[dict, dict]] = {
    "defaults": ({}, {}),
    "vanilla, unconditional": ({"conditional_share": 0.0}, {}),
    "conditions by frequency": ({"conditional_share": 0.3, "log_frequency": False}, {}),
    "no conditional scores": ({"conditional_weight": 0.0}, {}),
    "meta-features auto": ({"meta_features": "auto"}, {}),
    **{
        f"meta-features {distance}": (
            {"meta_features": FEATURES, "meta_feature_distance": distance}, {}
        )
        for distance in (
            "tracked", "product", "transport", "sinkhorn", "sliced", "wasserstein_1d"
        )
    },
    "meta-feature weights and schedule": (
        {
            "meta_features": ("mean", "sd", "gravity"),
            "meta_feature_weight": {"mean": 2.0, "sd": 0.5, "gravity": 1.0},
            "meta_feature_schedule": "warmup",
        },
        {"target": "kind"},
    ),
    "dropout": ({}, {"dropout": 0.5}),
    "pac": ({}, {"pac": 5}),
    "lazy penalty": ({"gradient_penalty_interval": 3}, {}),
    "three critic steps": ({"discriminator_steps": 3}, {}),
    "no penalty between": ({"gradient_penalty": "r1+r2"}, {}),
    "wgan-lp": ({"gradient_penalty": "wgan-lp"}, {}),
    "float32 products": ({"precision": "highest"}, {}),
    "early stopping": ({"early_stopping": True, "epochs": 8, "patience": 1}, {}),
    "own critic": ({"conditional_share": 0.1}, {"critic": True}),
    "own critic, pac": ({}, {"critic": True, "pac": 5}),
    "odd conditional rows": ({"batch_size": 90, "conditional_share": 0.1}, {}),
    "everything": (
        {
            "meta_features": FEATURES,
            "gradient_penalty_interval": 2,
            "early_stopping": True,
            "conditional_share": 0.3,
        },
        {"dropout": 0.3, "pac": 2},
    ),
}  # fmt: skip


def frame():
    """Categories, numbers with missing values and of few values, two that depend on each other."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    rows = 1200
    kind = random.choice(list("abcd"), rows, p=[0.5, 0.3, 0.15, 0.05])
    x = random.normal(size=rows) + 2 * (kind == "b")
    return pd.DataFrame(
        {
            "kind": kind,
            "x": x,
            "y": 0.8 * x + 0.3 * random.normal(size=rows),
            "count": random.poisson(2, rows),
            "share": np.where(random.random(rows) < 0.1, np.nan, random.random(rows).round(2)),
            "flag": random.random(rows) < 0.2,
        }
    )


def own_critic(width: int):
    """Layer norm, so that it is none that the package knows."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(width, 32), nn.LayerNorm(32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0)
    )


def train(name: str) -> dict:
    """Hashes and last losses of one case, by the package that is imported."""
    import torch

    from sdv_wgangp.models.tabular import TabularModel
    from sdv_wgangp.training.settings import TrainingSettings

    torch.set_num_threads(1)
    settings, arguments = CASES[name]
    arguments = dict(arguments)
    if arguments.pop("critic", False):
        arguments["critic"] = own_critic
    # What a later release added and has on by default, or decides by the rows.
    added = {"marginal_control": 0.0}
    known = {field.name for field in fields(TrainingSettings)}
    added = {name: value for name, value in added.items() if name in known}
    given = {"epochs": 2, "batch_size": 100, "ema_decay": 0.999}
    options = TrainingSettings(**(given | added | settings))
    model = TabularModel(
        options, generator_dim=(64, 64), discriminator_dim=(64, 64), random_state=3, **arguments
    )
    model.fit(frame())
    digest = hashlib.sha256()
    for tensor in model.generator.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    sample = model.sample(500).to_csv().encode()
    return {
        "weights": digest.hexdigest(),
        "sample": hashlib.sha256(sample).hexdigest(),
        "losses": [[log.generator_loss, log.discriminator_loss] for log in model.logs],
    }


def worker(checkout: Path, name: str) -> dict:
    """`train` in a process that imports the package of a checkout."""
    code = (
        f"import sys, json; sys.path.insert(0, {str(checkout)!r}); "
        f"sys.path.append({str(ROOT / 'benchmarks')!r}); "
        "import sdv_wgangp, same_training; "
        f"assert sdv_wgangp.__file__.startswith({str(checkout)!r}), sdv_wgangp.__file__; "
        f"print(json.dumps(same_training.train({name!r})))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{checkout}, {name}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="a built checkout")
    parser.add_argument("--after", type=Path, default=ROOT, help="another (default: this one)")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--cache", type=Path, help="JSON that keeps the results of --before")
    options = parser.parse_args()
    kept = {}
    if options.cache and options.cache.exists():
        kept = json.loads(options.cache.read_text())
    differing = []
    for name in options.cases:
        if name not in kept:
            kept[name] = worker(options.before.resolve(), name)
            if options.cache:
                options.cache.write_text(json.dumps(kept))
        before, after = kept[name], worker(options.after.resolve(), name)
        same = [key for key in ("weights", "sample") if before[key] == after[key]]
        close = all(
            abs(one - other) <= 1e-5 * max(1, abs(one))
            for logs in zip(before["losses"], after["losses"], strict=True)
            for one, other in zip(*logs, strict=True)
        )
        if len(same) < 2 or not close:
            differing.append(name)
        verdict = "same" if name not in differing else f"DIFFERS (same: {same}, losses: {close})"
        print(f"{name:<36}{before['weights'][:12]}  {after['weights'][:12]}  {verdict}")
        sys.stdout.flush()
    print(f"{len(options.cases) - len(differing)} of {len(options.cases)} train the same")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
