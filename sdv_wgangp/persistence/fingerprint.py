"""What a training was made from, in a form that can be kept beside it and compared."""

from __future__ import annotations

import enum
import hashlib
import math
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from sdv_wgangp.persistence.container import bytes_of

ABSENT = object()
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxdict = 20


def fingerprint_of(**parts: Any) -> dict[str, Any]:
    """Settings, tables and whatever else a training depends on, as plain data.

    Args:
        parts: By name: dataclasses, mappings, sequences, numbers, text, None; tensors and arrays,
            which become their SHA-256; dtypes, devices, paths and members of enumerations, which
            become text.

    Returns:
        What JSON can express and tells apart: the same for equal parts, in every process. That of
        a fingerprint is the fingerprint itself.

    Raises:
        TypeError: There is something else in them; names it.

    Example:
        >>> fingerprint_of(settings={"betas": (0.0, 0.9)}, data=torch.zeros(2))
        {'settings': {'betas': [0.0, 0.9]}, 'data': 'float32 [2] sha256:af5570f5a1810b7a'}
    """
    return {name: _plain(part, name) for name, part in parts.items()}


def completed(saved: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint that an earlier release saved, with what it did not know of its dataclasses.

    Fields that it has no value of are taken for their defaults: it trained as these do.

    Args:
        saved: What `fingerprint_of` gave then.
        parts: What it is asked to give now.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Settings:
        ...     rate: float
        ...     decay: float = 0.5
        >>> completed({"settings": {"rate": 1.0}}, {"settings": Settings(2.0)})
        {'settings': {'rate': 1.0, 'decay': 0.5}}
    """
    found = dict(saved)
    for name, part in parts.items():
        if is_dataclass(part) and isinstance(saved.get(name), Mapping):
            defaults = {
                each.name: _plain(each.default, f"{name}.{each.name}")
                for each in fields(part)
                if each.default is not MISSING and each.name not in saved[name]
            }
            found[name] = {**saved[name], **defaults}
    return found


def differences(saved: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> list[str]:
    """Each difference of two fingerprints, as "settings.generator_lr: checkpoint 1, now 2"."""
    found = []
    for key in [*saved, *(key for key in now if key not in saved)]:
        one, other = saved.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{within}{key}.")
        elif one != other:
            found.append(f"{within}{key}: checkpoint {_text(one)}, now {_text(other)}")
    return found


def _text(value: Any) -> str:
    return "none" if value is ABSENT else _SHORT.repr(value)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else float(value)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _digest(value, where)
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: _plain(getattr(value, each.name), f"{where}.{each.name}")
            for each in fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, f"{where}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(each, where) for each in value), key=repr)
    if isinstance(value, (torch.dtype, torch.device, np.dtype, PurePath)):
        return str(value)
    raise TypeError(
        f"{where} is of {type(value).__module__}.{type(value).__qualname__}, of which no "
        "fingerprint can be taken: give plain data, tensors or arrays"
    )


def _digest(value: torch.Tensor | np.ndarray, where: str) -> str:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufcmMSU":
            raise TypeError(f"{where} is an array of {value.dtype}: give one of numbers")
        dtype = str(value.dtype)
        data: bytes | memoryview = np.ascontiguousarray(value).tobytes()
    else:
        dtype = str(value.dtype).removeprefix("torch.")
        data = bytes_of(value.detach().cpu().resolve_conj().resolve_neg()).numpy().data
    return f"{dtype} {list(value.shape)} sha256:{hashlib.sha256(data).hexdigest()[:16]}"
