"""Synthesizers and their files, and the rows that they are fitted to and give."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sdv_wgangp.synthesizers import loading, saving, sdv_versions
from sdv_wgangp.synthesizers.pickles import DamagedPickleError
from sdv_wgangp.synthesizers.sdv_versions import VersionError
from sdv_wgangp.user_errors import UserError, one_line

CHUNK = 50_000  # rows that `sample_chunks` holds in memory at a time


def save_model(synthesizer: Any, path: Path) -> Path:
    """Save to a model file where the suffix asks for one, and as a pickle otherwise.

    Where that cannot be, a fit of hours is not thrown away: it is kept as a pickle elsewhere.

    Returns:
        Where it is.

    Warns:
        UserWarning: It is in another place; says where and why.

    Raises:
        OSError: It can be kept nowhere.
    """
    try:  # both write beside the place and rename
        if path.suffix.lower() == saving.SUFFIX:
            synthesizer.save_model(path)
        else:
            synthesizer.save(path)
    except (OSError, saving.ModelFileError) as error:
        kept = _elsewhere(path, isinstance(error, OSError))
        synthesizer.save(kept)
        reason = getattr(error, "strerror", None) or one_line(error)
        warnings.warn(f"{path} cannot be written ({reason}): the model is {kept}", stacklevel=2)
        return kept
    return path


def check_model_file(synthesizer: Any, data: Any, path: Path) -> None:
    """Say before the fit what the file that is asked for could not hold.

    Raises:
        UserError: It is a model file, and something is of a kind for pickles alone.
    """
    if path.suffix.lower() != saving.SUFFIX:
        return
    try:
        synthesizer.check_model_file(data)
    except saving.ModelFileError as error:
        raise UserError(
            f"{path}: {one_line(error)}; or give --model a name that ends with .pkl"
        ) from error


def _elsewhere(path: Path, in_another_folder: bool) -> Path:
    """A name that nothing has, for a pickle."""
    folder = Path(tempfile.gettempdir()) if in_another_folder else path.parent
    kept, number = folder / f"{path.stem}.pkl", 1
    while os.path.lexists(kept):  # nor a link that leads nowhere yet
        kept, number = folder / f"{path.stem}-{number}.pkl", number + 1
    return kept


def load_model(path: str | Path) -> Any:
    """A saved synthesizer: a model file or a pickle, by its content.

    Raises:
        UserError: there is none at ``path``.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; make a model with sdv-wgangp fit")
    try:
        model = loading.load(path)
    except (saving.ModelFileError, VersionError, DamagedPickleError) as error:
        raise UserError(one_line(error)) from error
    except Exception as error:  # unpickling a file of another kind can raise anything
        raise UserError(f"{path}: is not a saved synthesizer ({one_line(error)})") from error
    if not hasattr(model, "sample"):
        raise UserError(f"{path}: is not a saved synthesizer but a {type(model).__name__}")
    return model


def split(
    frame: pd.DataFrame, fraction: float, seed: int, key: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to fit and rows to hold out, at random, each in the order of the table.

    Args:
        frame: The table.
        fraction: Of the rows, to be held out.
        seed: Of the choice.
        key: Rows with the same value of this column stay together, and count as one.

    Raises:
        UserError: either part would be empty.
    """
    units = np.arange(len(frame)) if key is None else pd.factorize(frame[key])[0]
    count = int(units.max(initial=-1)) + 1
    held = round(fraction * count)
    if not 0 < held < count:
        raise UserError(
            f"--holdout {fraction:g} of {count} {'rows' if key is None else 'sequences'} leaves "
            "one part empty; give a share between 0 and 1, such as 0.1"
        )
    order = np.random.default_rng(seed).permutation(count)
    train, holdout = (
        frame.loc[np.isin(units, chosen)].reset_index(drop=True)
        for chosen in (order[held:], order[:held])
    )
    return train, holdout


def sample_chunks(
    synthesizer: Any, rows: int, chunk: int = CHUNK, length: int | None = None
) -> Iterator[pd.DataFrame]:
    """``rows`` rows, or sequences of a synthesizer of such, in frames of about ``chunk`` rows.

    Args:
        synthesizer: Fitted.
        rows: How many.
        chunk: Rows of a frame, at most, but for a single sequence of more.
        length: Rows of each sequence; None draws lengths.

    Raises:
        UserError: A length is given, and there are no sequences.
    """
    sequences = hasattr(synthesizer, "sample_sequences")
    if length is not None and not sequences:
        raise UserError("--sequence-length is for models of sequences: leave it out")
    if sequences:
        chunk = max(chunk // (length or synthesizer.model.longest), 1)
    while rows > 0:
        count = min(rows, chunk)
        if sequences:
            yield sdv_versions.as_frame(synthesizer.sample_sequences(count, length))
        else:
            yield sdv_versions.as_frame(synthesizer.sample(num_rows=count))
        rows -= count


def seed_sampling(synthesizer: Any, seed: int | None) -> None:
    """Make the next rows and keys depend on ``seed``; None is SDV's fixed start."""
    synthesizer.reset_sampling()
    if seed is None:
        return
    if hasattr(synthesizer, "set_sampling_seed"):
        synthesizer.set_sampling_seed(seed)
    elif synthesizer._model is not None:  # another synthesizer of SDV: its keys stay the same
        synthesizer._set_random_state(seed)


def without_calibration(synthesizer: Any) -> None:
    """Give the generator's own rows.

    Raises:
        UserError: It is no synthesizer of this package.
    """
    tables = getattr(synthesizer, "_table_synthesizers", {"": synthesizer}).values()
    for table in tables:
        model = getattr(table, "_model", None)
        if model is None or not hasattr(model, "calibrated"):
            raise UserError(f"a {type(table).__name__} has no calibration: leave --no-calibrate")
        model.calibrated = False
