"""Checkpoint files: a nested state of tensors and plain data, exactly as it was.

The state may nest dicts (their keys are text), lists and tuples; in them are tensors, NumPy arrays
and scalars of numbers, Python's numbers, text, booleans and None. JSON's own kinds stand for
themselves in the file; all else is an object of one key, the *tag*: ``{"tuple": [1, 2]}``,
``{"tensor": "state['weight']"}``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdv_wgangp.persistence.container import DTYPES, TensorFile, bytes_of

ARRAY_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64", "complex64", "complex128"}
)


class CheckpointError(ValueError):
    """A state cannot be written to a checkpoint, or a file is none; the message says why."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint is whole, and belongs to another training or another version."""


class StateFile(TensorFile):
    """The file behind `write_state`: its format's name and version, and what errors say."""

    FORMAT, FORMAT_VERSION, ABOUT = "sdv_wgangp checkpoint", 1, "about"
    ERROR, VERSION_ERROR = CheckpointError, CheckpointMismatchError
    NAME, CONTENT = "checkpoint", "state"
    ORIGIN = "checkpoints are made during a training"
    EARLIER = "continue with the version that wrote it, or begin the training anew"
    CHANGED = "continue from an earlier one"


def write_state(path: str | Path, state: Any, about: Mapping[str, Any]) -> None:
    """Write a checkpoint file, which is there completely or not at all (`write_durably`).

    Args:
        path: The file; one that exists is replaced.
        state: See above. Parameters come back as tensors, and `OrderedDict` as dict; what shares
            memory comes back with memory of its own, in the CPU's.
        about: What a reader may want to know before it uses the state: plain data without tensors.

    Raises:
        CheckpointError: Part of them cannot be stored; names it.
        OSError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "step-00000007.checkpoint"
        >>> write_state(path, {"weight": torch.ones(2), "betas": (0.0, 0.9)}, {"step": 7})
        >>> read_state(path)
        ({'weight': tensor([1., 1.]), 'betas': (0.0, 0.9)}, {'step': 7})
    """
    tensors: dict[str, Tensor] = {}
    content = _encode(state, "state", tensors)
    file = StateFile(content, tensors, _encode(dict(about), "about", None))
    file.write(path)


def check_state(state: Any) -> None:
    """Refuse what `write_state` would refuse.

    Raises:
        CheckpointError: Part of it cannot be stored; names it.
    """
    _encode(state, "state", {})


def read_state(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """What `write_state` wrote; no code from the file is run.

    Returns:
        The state, and what was said about it.

    Raises:
        FileNotFoundError: There is none at ``path``.
        CheckpointError: It is no checkpoint, was cut short or changed.
        CheckpointMismatchError: It has an earlier or later format version.
    """
    file = StateFile.read(path)
    try:
        return _decode(file.state, file.tensors), _decode(file.about, {})
    except Exception as error:  # content that `write_state` did not write can fail anywhere
        raise StateFile.malformed(path, error) from error


def _encode(value: Any, where: str, tensors: dict[str, Tensor] | None) -> Any:
    """JSON of a value; its arrays go to ``tensors``, by where they were."""
    cls = type(value)
    if value is None or cls in (bool, int, str):
        return value
    if cls is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if cls in (list, tuple):
        items = [_encode(each, f"{where}[{place}]", tensors) for place, each in enumerate(value)]
        return items if cls is list else {"tuple": items}
    if cls in (dict, OrderedDict):
        for key in value:
            if type(key) is not str:
                raise CheckpointError(f"{where} has the key {key!r}; keys must be text")
        pairs = value.items()
        return {"dict": {key: _encode(each, f"{where}[{key!r}]", tensors) for key, each in pairs}}
    if tensors is not None:
        if cls in (Tensor, torch.nn.Parameter) and _is_dense(value):
            return _stored("tensor", value.detach().cpu(), where, tensors)
        scalar = isinstance(value, np.generic)
        if (scalar or cls is np.ndarray) and value.dtype.name in ARRAY_DTYPES:
            tag = "scalar" if scalar else "array"
            return _stored(tag, _torch(np.asarray(value)), where, tensors)
    raise CheckpointError(
        f"{where} is of {cls.__module__}.{cls.__qualname__}, which a checkpoint cannot hold: give "
        "tensors, numbers, text, and lists, tuples and dicts of them"
    )


def _is_dense(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and not tensor.is_quantized
    return dense and tensor.device.type != "meta"


def _stored(tag: str, tensor: Tensor, where: str, tensors: dict[str, Tensor]) -> dict:
    tensor = tensor.resolve_conj().resolve_neg()
    if tensor.dtype in DTYPES:
        tensors[where] = tensor
        return {tag: where}
    tensors[where] = bytes_of(tensor)
    return {tag: [where, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]}


def _decode(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value behind `_encode`'s JSON."""
    if isinstance(value, list):
        return [_decode(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "float":
        return float(content)
    if tag == "tuple":
        return tuple(_decode(content, tensors))
    if tag == "dict":
        return {key: _decode(each, tensors) for key, each in content.items()}
    if tag not in ("tensor", "array", "scalar"):
        raise ValueError(f"unknown tag {tag!r}")
    tensor = _fetch(content, tensors)
    if tag == "tensor":
        return tensor
    return tensor.numpy() if tag == "array" else tensor.numpy()[()]


def _fetch(content: Any, tensors: Mapping[str, Tensor]) -> Tensor:
    if isinstance(content, str):
        return tensors[content]
    where, name, shape = content
    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is no dtype")
    return tensors[where].view(dtype).reshape(shape)


def _torch(array: np.ndarray) -> Tensor:
    """The same numbers, contiguous and in this machine's byte order."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
