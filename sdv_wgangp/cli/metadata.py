"""SDV's metadata of the one table that a command works on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sdv_wgangp.files import write_text
from sdv_wgangp.reporting.formats import few
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.sdv_versions import Metadata
from sdv_wgangp.user_errors import UserError, one_line

MODEL_SUFFIXES = (".safetensors", ".pkl", ".pickle")


def read_metadata(path: str | Path) -> Metadata:
    """SDV's metadata from JSON.

    Raises:
        UserError: it is missing, invalid, or of several tables.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        metadata = Metadata.load_from_json(str(path))
        metadata.validate()
        sdv_versions.table_name(metadata)
    except Exception as error:  # SDV, json and KeyError alike: the file is not what it should be
        raise UserError(f"{path}: is not SDV metadata of one table ({one_line(error)})") from error
    return metadata


def check_columns(metadata: Metadata, path: str | Path, frame: pd.DataFrame) -> None:
    """Check that metadata describe the columns of a table, and no others.

    Raises:
        UserError: They do not; names ``path``, where they are from, and a column.
    """
    described = set(sdtypes(metadata))
    unknown = [column for column in frame if column not in described]
    absent = sorted(described - set(frame))
    if absent:
        raise UserError(f"{path}: describes column {absent[0]!r}, which the data does not have")
    if unknown:
        raise UserError(
            f"{path}: does not describe column {unknown[0]!r} of the data; add it or drop it"
        )


def metadata_path(model: Path) -> Path:
    """Where the metadata of a model is written."""
    return model.with_name(stem_of(model) + ".metadata.json")


def stem_of(model: Path) -> str:
    """The name of a model without the suffix of its kind; another may be part of the name.

    Example:
        >>> stem_of(Path("people.safetensors")), stem_of(Path("runs-1.5"))
        ('people', 'runs-1.5')
    """
    return model.stem if model.suffix.lower() in MODEL_SUFFIXES else model.name


def sdtypes(metadata: Metadata) -> dict[str, str]:
    """``column -> sdtype``."""
    columns = metadata.tables[sdv_versions.table_name(metadata)].columns
    return {name: about["sdtype"] for name, about in columns.items()}


def text_columns(metadata: Metadata) -> list[str]:
    """Columns whose values are text whatever they look like: keys, names, postcodes.

    Of a category that is what its levels are, where the metadata list them.
    """
    columns = metadata.tables[sdv_versions.table_name(metadata)].columns
    made_up = made_up_columns(metadata)
    return [name for name, about in columns.items() if name in made_up or _has_text(about)]


def made_up_columns(metadata: Metadata) -> list[str]:
    """Columns whose values are not learned but made up: keys, names, addresses."""
    learned = ("numerical", "datetime", "boolean", "categorical", "ordinal")
    return [name for name, sdtype in sdtypes(metadata).items() if sdtype not in learned]


def _has_text(about: Mapping[str, Any]) -> bool:
    if about["sdtype"] not in ("categorical", "ordinal"):
        return False
    levels = [level for level in about.get("range_values") or () if not pd.isna(level)]
    return bool(levels) and all(isinstance(level, str) for level in levels)


def write_metadata(metadata: Metadata, path: Path) -> None:
    """Write metadata as SDV does, or leave what was there before."""
    write_text(path, json.dumps(metadata.to_dict(), indent=4) + "\n")


def without_ranges(metadata: Metadata) -> Metadata:
    """Detected metadata, but for the ranges, levels and decimals that these rows happen to have.

    A fit with them would refuse newer rows of the same table.
    """
    described = metadata.to_dict()
    for table in described["tables"].values():
        for about in table["columns"].values():
            for name in [key for key in about if key.startswith("range_")]:
                del about[name]
            about.pop("decimal_places", None)
    return Metadata.load_from_dict(described)


def guess(
    frame: pd.DataFrame,
    say: Callable[[str], None] = lambda line: None,
    infer_keys: str | None = "primary_only",
) -> Metadata:
    """The metadata that SDV detects in a table, but that numbers which repeat are numbers.

    By its name alone SDV takes a column of the numbers of 50 states for names of states, and would
    have them replaced by made-up ones.

    Args:
        frame: The table.
        say: Told of each such column.
        infer_keys: As SDV's.

    Raises:
        InvalidMetadataError: SDV has no guess for a column; names it.
    """
    metadata = sdv_versions.detect_metadata(frame, infer_keys=infer_keys)
    types, key = sdtypes(metadata), _key(metadata)
    for place, name in enumerate(made_up_columns(metadata)):
        column = frame[name]
        repeats = 2 * column.nunique() <= column.count()
        if types[name] in ("id", "unknown") or name == key or not repeats:
            continue
        if not pd.api.types.is_numeric_dtype(column):
            continue
        nameless = sdv_versions.detect_metadata(
            pd.DataFrame({f"column {place}": column}), infer_keys=None
        )
        about = nameless.tables[sdv_versions.TABLE].columns[f"column {place}"]
        say(f"{name!r} has numbers that repeat: {about['sdtype']}, not {types[name]}")
        metadata.tables[sdv_versions.TABLE].columns[name] = about
    return metadata


def detected(frame: pd.DataFrame, model: Path, say: Callable[[str], None]) -> Metadata:
    """The metadata that SDV detects in a table.

    Raises:
        UserError: They differ from what stands beside the model already.
    """
    beside = metadata_path(model)
    metadata = guess(frame, say)
    if beside.exists() and (found := _difference(read_metadata(beside), metadata)):
        raise UserError(
            f"{beside}: exists and differs from what is detected in the data ({found}); use it "
            f"with --metadata {beside}, or delete it"
        )
    kinds: dict[str, list[str]] = {}
    for name, sdtype in sdtypes(metadata).items():
        kinds.setdefault(sdtype, []).append(name)
    said = "; ".join(f"{sdtype}: {few(names)}" for sdtype, names in kinds.items())
    say(f"detected {said}")
    if (key := _key(metadata)) is not None:
        say(
            f"note: {key!r} was taken for the primary key and gets made-up values; if it is data, "
            f"remove 'primary_key' from {beside}, set its sdtype there and use --metadata"
        )
    if made_up := [name for name in made_up_columns(metadata) if name != key]:
        say(
            f"note: {few(made_up)} {'gets' if len(made_up) == 1 else 'get'} made-up values; "
            f"what is data is categorical: set that in {beside} and use --metadata"
        )
    return metadata


def _key(metadata: Metadata) -> str | None:
    return metadata.to_dict()["tables"][sdv_versions.table_name(metadata)].get("primary_key")


def _difference(before: Metadata, now: Metadata) -> str:
    """How columns, types or keys differ; ranges and levels are what other rows have, too."""
    one, other = sdtypes(before), sdtypes(now)
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            return f"column {name!r}: {one.get(name, 'none')} there, {other.get(name, 'none')} now"
    if _key(before) != _key(now):
        return f"primary key: {_key(before)!r} there, {_key(now)!r} now"
    return ""
