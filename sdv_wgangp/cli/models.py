"""Synthesizers and their files, and the rows that they are fitted to and give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sdv.errors import VersionError

from sdv_wgangp import saving, sdv_versions
from sdv_wgangp.user_errors import UserError, one_line

CHUNK = 50_000  # rows that `sample_chunks` holds in memory at a time


def save_model(synthesizer: Any, path: Path) -> None:
    """Save to a model file where the suffix asks for one, and as a pickle otherwise."""
    to_file = path.suffix.lower() == saving.SUFFIX
    save = synthesizer.save_model if to_file else synthesizer.save
    save(str(path))


def load_model(path: str | Path) -> Any:
    """A saved synthesizer; a model file or a pickle, by its suffix.

    Raises:
        UserError: there is none at ``path``.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; make a model with sdv-wgangp fit")
    if path.suffix.lower() == saving.SUFFIX:
        try:
            return saving.load_model(path)
        except (saving.ModelFileError, VersionError) as error:
            raise UserError(one_line(error)) from error
    try:
        model = sdv_versions.load(path)
    except Exception as error:  # unpickling a file of another kind can raise anything
        raise UserError(f"{path}: is not a saved synthesizer ({one_line(error)})") from error
    if not hasattr(model, "sample"):
        raise UserError(f"{path}: is not a saved synthesizer but a {type(model).__name__}")
    return model


def split(frame: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit and rows to hold out, at random, each in the order of the table.

    Raises:
        UserError: either part would be empty.
    """
    held = round(share * len(frame))
    if not 0 < held < len(frame):
        raise UserError(
            f"--holdout {share:g} of {len(frame)} rows leaves one part empty; "
            "give a share between 0 and 1, such as 0.1"
        )
    order = np.random.default_rng(seed).permutation(len(frame))
    train, holdout = (
        frame.iloc[np.sort(rows)].reset_index(drop=True) for rows in (order[held:], order[:held])
    )
    return train, holdout


def sample_chunks(synthesizer: Any, rows: int, chunk: int = CHUNK) -> Iterator[pd.DataFrame]:
    """``rows`` rows in frames of at most ``chunk``."""
    while rows > 0:
        count = min(rows, chunk)
        yield sdv_versions.as_frame(synthesizer.sample(num_rows=count))
        rows -= count


def seed_sampling(synthesizer: Any, seed: int | None) -> None:
    """Make the next rows depend on ``seed``; None is SDV's fixed start."""
    synthesizer.reset_sampling()
    if seed is not None and synthesizer._model is not None:
        synthesizer._set_random_state(seed)
