"""Fit or sample TabularARGN (``mostlyai-engine``), for sequences.py, in its own environment.

A folder holds ``train.parquet``; ``fit`` leaves workspaces in it, ``sample`` writes
``synthetic.parquet``. Context columns are a table of subjects that is learned first, by a flat
model, and the sequences with it as context; without context columns the context is the key alone.

In a folder of its own, because one of the package's dependencies is called ``datasets``, too.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", choices=("fit", "sample"))
    parser.add_argument("--key", required=True)
    parser.add_argument("--context", default="")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    import torch
    from mostlyai import engine

    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    train = pd.read_parquet(options.folder / "train.parquet")
    # Keys are names to it, never numbers to learn.
    train[options.key] = train[options.key].astype(str)
    context = [name for name in options.context.split(",") if name]
    subjects = train.groupby(options.key, sort=False)[context].first().reset_index()
    flat, sequential = options.folder / "flat", options.folder / "sequential"
    if options.step == "fit":
        if context:
            engine.split(workspace_dir=flat, tgt_data=subjects, tgt_primary_key=options.key)
            _learn(engine, flat, options.minutes)
        engine.split(
            workspace_dir=sequential,
            tgt_data=train.drop(columns=context),
            tgt_context_key=options.key,
            ctx_data=subjects,
            ctx_primary_key=options.key,
        )
        _learn(engine, sequential, options.minutes)
        return
    if context:
        engine.generate(workspace_dir=flat, sample_size=len(subjects))
        subjects = pd.read_parquet(flat / "SyntheticData")
    engine.generate(workspace_dir=sequential, ctx_data=subjects)
    drawn = pd.read_parquet(sequential / "SyntheticData")
    drawn = drawn.merge(subjects, on=options.key, how="left") if context else drawn
    drawn.to_parquet(options.folder / "synthetic.parquet")


def _learn(engine, workspace: Path, minutes: float) -> None:
    engine.analyze(workspace_dir=workspace)
    engine.encode(workspace_dir=workspace)
    engine.train(workspace_dir=workspace, max_training_time=minutes)


if __name__ == "__main__":
    main()
