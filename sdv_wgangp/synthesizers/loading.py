"""Loading what `save_model` and `save` wrote, of whichever class of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdv_wgangp.persistence.container import is_tensor_file

# So that they have registered themselves as what a file may hold.
from sdv_wgangp.synthesizers import (
    multi_table,  # noqa: F401
    pickles,
    sdv_versions,
    sequential,  # noqa: F401
    single_table,  # noqa: F401
)
from sdv_wgangp.synthesizers.saving import SUFFIX, ModelFileError, read_model

__all__ = ["ModelFileError", "load", "load_model"]


def load_model(path: str | Path) -> Any:
    """The synthesizer in a model file; no code is run from it.

    Args:
        path: A file that `save_model` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ModelFileError: It is not a model file, or was changed.
        VersionError: It needs a later sdv-wgangp, or another SDV.
    """
    if pickles.is_pickle(path):
        raise ModelFileError(
            f"{path}: is not a model file but a pickle, whatever its name: loading one runs code "
            "from it; if you trust its origin, sdv.utils.load_synthesizer does"
        )
    return read_model(path)


def load(path: str | Path) -> Any:
    """The synthesizer in a model file or in a pickle; what it is, its content tells.

    **A pickle runs code when it is loaded**: only load those whose origin you trust, or call
    `load_model`, which refuses them. One that is called ``*.safetensors`` is refused here, too.

    Args:
        path: A file that `save_model` or `save` wrote.

    Raises:
        FileNotFoundError, ModelFileError, VersionError: As `load_model`.
        DamagedPickleError: The pickle was changed after it was saved.
        Exception: Unpickling a file of another kind can raise anything.
    """
    named = Path(path).suffix.lower() == SUFFIX
    if named or is_tensor_file(path):
        return load_model(path)
    if not pickles.is_pickle(path):
        raise ModelFileError(f"{path}: is not a saved synthesizer, neither model file nor pickle")
    pickles.check(path)
    return sdv_versions.load(path)
