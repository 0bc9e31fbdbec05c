"""Where a report's tables and scores come from."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sdv_wgangp.reporting.data import FileStamp, Provenance

PACKAGES = ("sdv-wgangp", "sdv", "sdmetrics", "scikit-learn", "numpy", "pandas", "torch")


def describe(
    seed: int,
    files: Mapping[str, str | Path] | None = None,
    model: Any | None = None,
    epochs: int | None = None,
    seconds: float | None = None,
) -> Provenance:
    """What is known of the run.

    Args:
        seed: Of the report.
        files: ``role -> path`` of the files that went into it, for their digests.
        model: The fitted synthesizer: what its ``get_info`` and ``get_parameters`` say, where it
            has them.
        epochs: That were trained, where it is known.
        seconds: That the fit took, where it is known.

    Raises:
        OSError: a file cannot be read.
    """
    info = {}
    if model is not None and hasattr(model, "get_info"):
        info = {str(name): str(value) for name, value in model.get_info().items()}
    if epochs is not None:
        info["epochs_trained"] = str(epochs)
    if seconds is not None:
        info["fit_seconds"] = f"{seconds:.1f}"
    parameters = None
    if model is not None and hasattr(model, "get_parameters"):
        parameters = {str(name): repr(value) for name, value in model.get_parameters().items()}
    return Provenance(
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        seed=seed,
        versions=_versions(),
        files=tuple(
            FileStamp(role, Path(path).name, _sha256(Path(path)))
            for role, path in (files or {}).items()
            if path is not None
        ),
        model=info or None,
        parameters=parameters,
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a folder that is not installed
            continue
    return found


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
