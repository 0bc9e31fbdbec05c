"""The few places where SDV 1.38 and SDV 2.0 take or give different things.

SDV 2.0 exchanges ``{table name: frame}`` where 1.x exchanges the frame itself. Code that handles
one table calls these functions and need not know which SDV is installed.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sdv.errors import VersionError
from sdv.metadata import Metadata
from sdv.metadata.errors import InvalidMetadataError

from sdv_wgangp.synthesizers.transformers import readable, undetectable_columns

# Metadata and VersionError are here for those who need not know SDV.
__all__ = [
    "TABLE",
    "Metadata",
    "VersionError",
    "as_fit_input",
    "as_frame",
    "columns_of",
    "detect_metadata",
    "download_demo",
    "frames",
    "keeping_numpy_state",
    "load",
    "map_frames",
    "replaceable",
    "table_name",
    "takes_cuda",
    "takes_dictionaries",
    "with_sequences",
]

TABLE = "table"


def takes_dictionaries() -> bool:
    """Whether the installed SDV exchanges ``{table name: frame}`` (2.0 and later)."""
    return int(version("sdv").split(".")[0]) >= 2


def takes_cuda(init: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor take ``cuda``, too, where those of the installed SDV do.

    SDV 1.38 deprecates it and has ``enable_gpu``, which it then stands for; 2.0 refuses it.
    """
    if takes_dictionaries():
        return init

    @functools.wraps(init)
    def taking_cuda(self: Any, *args: Any, cuda: bool | str | None = None, **kwargs: Any) -> None:
        if cuda is not None:
            warnings.warn("cuda is deprecated: use enable_gpu.", FutureWarning, stacklevel=2)
            kwargs.setdefault("enable_gpu", bool(cuda))
        init(self, *args, **kwargs)

    return taking_cuda


def table_name(metadata: Metadata) -> str:
    """The name of the one table of ``metadata``.

    Raises:
        ValueError: it describes several tables, or none.
    """
    names = list(metadata.tables)
    if len(names) != 1:
        raise ValueError(
            f"the metadata describes {len(names)} tables ({', '.join(names)}): "
            "a single-table synthesizer needs exactly one"
        )
    return names[0]


def columns_of(metadata: Metadata) -> dict[str, dict[str, Any]]:
    """What metadata say of the columns of their one table; nothing, if they have none."""
    tables = list(metadata.tables.values())
    return tables[0].columns if tables else {}


def as_fit_input(metadata: Metadata, frame: pd.DataFrame) -> Any:
    """``frame`` as ``fit`` of a synthesizer of that metadata takes it."""
    return {table_name(metadata): frame} if takes_dictionaries() else frame


def as_frame(sampled: Any) -> pd.DataFrame:
    """The one table of what ``sample`` or ``download_demo`` returned.

    Raises:
        ValueError: there are several tables.
    """
    if not isinstance(sampled, Mapping):
        return sampled
    if len(sampled) != 1:
        raise ValueError(f"expected one table, got {len(sampled)}: {', '.join(sampled)}")
    return next(iter(sampled.values()))


def frames(data: Any) -> list[pd.DataFrame]:
    """The tables of what a synthesizer takes; none of what it does not, for SDV to refuse."""
    tables = data.values() if isinstance(data, Mapping) else [data]
    return [table for table in tables if isinstance(table, pd.DataFrame)]


def map_frames(change: Callable[[pd.DataFrame], pd.DataFrame], data: Any) -> Any:
    """What a synthesizer takes, with each of its tables changed."""
    if isinstance(data, Mapping):
        return {name: map_frames(change, table) for name, table in data.items()}
    return change(data) if isinstance(data, pd.DataFrame) else data


def detect_metadata(
    frame: pd.DataFrame, name: str = TABLE, infer_keys: str | None = "primary_only"
) -> Metadata:
    """SDV's guess of every column's type and, unless ``infer_keys`` is None, of the key.

    Raises:
        InvalidMetadataError: SDV has no guess for a column; names it.
    """
    if errors := undetectable_columns(frame):
        raise InvalidMetadataError("\n".join(errors))
    return Metadata.detect_from_dataframes({name: readable(frame)}, infer_keys=infer_keys)


def with_sequences(metadata: Metadata, key: str, index: str | None) -> Metadata:
    """Metadata of one table whose rows are steps of sequences; the given ones stay.

    Args:
        metadata: A primary key that is one of the columns is none.
        key: Column that tells the sequences apart.
        index: Column with the time of each row, or None.

    Raises:
        InvalidMetadataError: A column cannot be what it is to be.
    """
    described = metadata.to_dict()
    table = described["tables"][table_name(metadata)]
    if table.get("primary_key") in (key, index):
        del table["primary_key"]
    about = table["columns"][key]
    if about.get("sdtype") != "id" and not about.get("pii"):
        table["columns"][key] = {"sdtype": "id"}
    if index is not None and table["columns"][index]["sdtype"] not in ("numerical", "datetime"):
        table["columns"][index] = {"sdtype": "numerical"}
    table["sequence_key"] = key
    if index is not None:
        table["sequence_index"] = index
    changed = Metadata.load_from_dict(described)
    changed.validate()
    return changed


@contextmanager
def keeping_numpy_state() -> Iterator[None]:
    """Sets numpy's global generator back afterwards: SDV's checks of dates draw from it."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def replaceable(path: str | Path) -> bool:
    """Whether a file can be written beside its place and renamed: not a pipe, nor a device."""
    path = Path(path)
    return path.is_file() or not path.exists()


def load(path: str | Path) -> Any:
    """The synthesizer saved at ``path``, of whichever class."""
    from sdv.utils import load_synthesizer

    return load_synthesizer(str(path))


def download_demo(name: str) -> tuple[pd.DataFrame, Metadata]:
    """One of SDV's public single-table demo data sets, from the internet."""
    from sdv.datasets.demo import download_demo as download

    data, metadata = download(modality="single_table", dataset_name=name)
    return as_frame(data), metadata
