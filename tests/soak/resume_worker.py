"""Fits of 60 steps in a process of their own: whole, from a checkpoint, or until they are killed.

    python resume_worker.py whole CASE FOLDER
    python resume_worker.py resume CASE FOLDER STEP...    from the checkpoint after each step
    python resume_worker.py fit CASE FOLDER               from the newest, or anew; may be killed
    python resume_worker.py                               such arguments from standard input

Each prints, as JSON, the SHA-256 of what each fit made. Lines of standard input are lists of
arguments as JSON: each is run in a process forked from this one, which has imported everything.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.settings import TrainingSettings

STEPS = 60


def own_critic(width: int) -> nn.Module:
    """With dropout layers, which draw from PyTorch's global generator."""
    return nn.Sequential(
        nn.Linear(width, 16), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(16, 1), nn.Flatten(0)
    )


CASES: dict[str, tuple[dict, dict]] = {
    "vanilla": ({"conditional_share": 0.0}, {}),
    "conditions": ({"conditional_share": 0.3}, {}),
    "meta-features": ({"meta_features": ("mean", "cor", "frequency")}, {}),
    "transport": ({"meta_features": ("mean",), "meta_feature_distance": "sliced"}, {}),
    "dropout": ({}, {"dropout": 0.5}),
    "early stopping": ({"early_stopping": True, "validation_fraction": 0.3, "patience": 9}, {}),
    "lazy penalty": ({"gradient_penalty_interval": 3}, {}),
    "pac": ({}, {"pac": 5}),
    "own critic": ({}, {"critic": own_critic}),
    "momentum": ({"betas": (0.5, 0.9), "max_grad_norm": 1.0}, {}),
    "RMSprop, clipped": ({"optimizer": "rmsprop", "objective": "wgan"}, {}),
    "relativistic": ({"objective": "relativistic", "meta_feature_schedule": "decay"}, {}),
}


def frame() -> pd.DataFrame:
    """Small, with a category, few values, and two numbers that depend on each other."""
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    return pd.DataFrame(
        {
            "kind": random.choice(list("abc"), 300, p=[0.6, 0.3, 0.1]),
            "count": random.poisson(1, 300),
            "x": x,
            "y": 0.8 * x + 0.3 * random.normal(size=300),
        }
    )


# A calibration goes on from the training's random numbers; this one takes no longer than the fit.
LITTLE = CalibrationOptions(trees=0, max_pool_rows=2**12, kept_times=1)


def fitted(case: str, folder: Path | None, resume: bool, keep: int = 3) -> str:
    """The SHA-256 of the fitted model: weights, logs, and rows that it samples."""
    settings, arguments = CASES[case]
    model = TabularModel(
        TrainingSettings(epochs=4, min_steps_per_epoch=15, batch_size=20, **settings),
        embedding_dim=8,
        generator_dim=(16,),
        discriminator_dim=(16, 16),
        random_state=0,
        calibration_options=LITTLE,
        **arguments,
    )
    checkpoints = None
    if folder is not None:
        checkpoints = Checkpoints(folder, every_steps=1, every_epochs=None, keep=keep)
    model.fit(frame(), checkpoints=checkpoints, resume=resume)
    digest = hashlib.sha256()
    for tensor in model.generator.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    for log in model.logs:
        told = (log.epoch, log.step, log.validation_score, sorted(log.losses.items()))
        digest.update(repr(told).encode())
    digest.update(model.sample(100).to_csv().encode())
    return digest.hexdigest()


def main(what: str, case: str, folder: Path, *steps: str) -> None:
    """See the module."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if what == "whole":
        told = {
            "whole": fitted(case, folder, False, keep=2 * STEPS),
            "apart": fitted(case, None, False),
        }
    elif what == "fit":
        told = {"fit": fitted(case, folder, True)}
    else:
        told = {}
        for step in steps:
            (saved,) = [path for path in folder.iterdir() if int(step) == step_of(path)]
            alone = folder.with_name(f"{folder.name}-{step}")
            alone.mkdir()
            shutil.copy(saved, alone)
            told[step] = fitted(case, alone, True)
            shutil.rmtree(alone)
    print(json.dumps(told))


def step_of(path: Path) -> int:
    """The step after which a checkpoint was written."""
    return int("".join(character for character in path.stem if character.isdigit()) or -1)


def serve() -> None:
    """See the module; a run that fails is answered with null."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            what, case, folder, *steps = json.loads(line)
            main(what, case, Path(folder), *steps)
            return
        if os.waitpid(process, 0)[1]:
            print("null", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
    else:
        serve()
