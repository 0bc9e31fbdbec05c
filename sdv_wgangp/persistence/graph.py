"""Objects as JSON and tensors, and back, without code.

JSON's own kinds stand for themselves. Everything else is an object of one key, the *tag*, that
says how to read its content: ``{"tuple": [1, 2]}``, ``{"tensor": "weights"}``. Objects of classes
come back only if the class is one of the `Kind` that the reader was given; names are looked up
among those and never imported. An object that is met twice is stored once and comes back as one.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import inspect
import math
import operator
import re
import uuid
import zoneinfo
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import torch

from sdv_wgangp.persistence.container import ModelFileError
from sdv_wgangp.persistence.former_names import name_of_today

# Functions that SDV's constraints keep as attributes.
FUNCTIONS = {
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
MISSING = {"NaT": pd.NaT, "NA": pd.NA}


def _attributes(value: Any) -> dict[str, Any]:
    return value.__dict__


@dataclass(frozen=True)
class Kind:
    """How the objects of one class are stored.

    Attributes:
        cls: The class itself; not its subclasses.
        get: The state of an object, attributes by name unless ``make`` says otherwise.
        make: An object of that state. None: an object without its constructor run, with the state
            as its attributes, none of which may hide something that the class defines. (Those of
            a `FormerNames` may have the names of earlier releases.)
    """

    cls: type
    get: Callable[[Any], dict[str, Any]] = _attributes
    make: Callable[[dict[str, Any]], Any] | None = None


class Encoder:
    """Turns objects into JSON; arrays are laid aside as ``tensors``, named by where they were.

    Args:
        kinds: By the name that the file gives to the class.

    Attributes:
        tensors: Filled by `encode`.
    """

    def __init__(self, kinds: Mapping[str, Kind]):
        self._kinds = kinds
        self._names = {kind.cls: name for name, kind in kinds.items()}
        self._numbers: dict[int, int] = {}
        # Ids are only unique among objects that live.
        self._alive: list[Any] = []
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, where: str) -> Any:
        """The JSON of ``value``.

        Args:
            value: Data, or an object of one of the kinds.
            where: Name of its place, for tensors and errors.

        Raises:
            ModelFileError: It, or something in it, cannot be stored; names the place.
        """
        cls = type(value)
        if value is None or cls in (bool, int, str):
            return value
        if cls is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if cls is list:
            return self._list(value, where)
        if cls in self._names:
            return self._object(value, where)
        for tag, (known, encode, _) in VALUES.items():
            if isinstance(value, known) and (cls is known or tag in OPEN):
                content = encode(value)
                if content is not None:
                    return {tag: content}
        tag, content = self._composite(value, where)
        return {tag: content}

    def _list(self, values: Any, where: str) -> list:
        return [self.encode(each, f"{where}[{index}]") for index, each in enumerate(values)]

    def _pairs(self, pairs: Mapping, where: str) -> list:
        return [
            [self.encode(key, f"{where}.key"), self.encode(each, f"{where}[{key!r}]")]
            for key, each in pairs.items()
        ]

    def _composite(self, value: Any, where: str) -> tuple[str, Any]:
        cls = type(value)
        if cls is tuple:
            return "tuple", self._list(value, where)
        if cls is dict:
            return "dict", self._pairs(value, where)
        if cls is defaultdict and value.default_factory is dict:
            return "defaultdict", self._pairs(value, where)
        if isinstance(value, type) and value in self._names:
            return "class", self._names[value]
        if cls in (set, frozenset):  # in an order that does not depend on the process
            return cls.__name__, self._list(sorted(value, key=repr), where)
        if cls is torch.Tensor:
            return "tensor", self._tensor(value.detach().cpu(), where)
        if cls is np.ndarray:
            return self._array(value, where)
        if isinstance(value, pd.CategoricalDtype):
            categories = self.encode(value.categories, f"{where}.categories")
            return "categories", [categories, value.ordered]
        if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
            return "index", [self._vector(value, where), self.encode(value.name, f"{where}.name")]
        if cls is pd.Series:
            index = self.encode(value.index, f"{where}.index")
            name = self.encode(value.name, f"{where}.name")
            return "series", [self._vector(value, where), index, name]
        if cls is pd.DataFrame:
            columns = [
                self.encode(value.iloc[:, place].reset_index(drop=True), f"{where}[{place}]")
                for place in range(value.shape[1])
            ]
            names = self.encode(value.columns, f"{where}.columns")
            return "frame", [columns, names, self.encode(value.index, f"{where}.index")]
        raise ModelFileError(
            f"the model holds {'a function' if callable(value) else 'an object'} of "
            f"{cls.__module__}.{cls.__qualname__} (at {where}), which a model file cannot hold: "
            "use save() instead, which pickles it, or leave it out"
        )

    def _vector(self, values: pd.Index | pd.Series, where: str) -> list:
        """Dtype and values of a column."""
        dtype = self.encode(values.dtype, f"{where}.dtype")
        if isinstance(values.dtype, np.dtype) and values.dtype != object:
            return [dtype, self.encode(values.to_numpy(), f"{where}.values")]
        return [dtype, self._list(list(values), where)]

    def _array(self, value: np.ndarray, where: str) -> tuple[str, Any]:
        if value.dtype.kind in "OU":
            items = self._list(value.ravel().tolist(), where)
            return "items", [value.dtype.str, list(value.shape), items]
        if value.dtype.kind in "mM":
            return "times", [value.dtype.str, self._tensor(_torch(value.view("i8")), where)]
        if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
            return "array", self._tensor(_torch(value), where)
        raise ModelFileError(
            f"the model holds an array of dtype {value.dtype} (at {where}), which a model file "
            "cannot hold: use save() instead, which pickles it"
        )

    def _tensor(self, tensor: torch.Tensor, where: str) -> str:
        self.tensors[where] = tensor
        return where

    def _object(self, value: Any, where: str) -> dict:
        number = self._numbers.get(id(value))
        if number is not None:
            return {"same": number}
        number = self._numbers[id(value)] = len(self._alive)
        self._alive.append(value)
        name = self._names[type(value)]
        kind = self._kinds[name]
        state = {}
        for attribute, each in kind.get(value).items():
            if kind.make is None:
                check_attribute(kind.cls, attribute)
            state[attribute] = self.encode(each, f"{where}.{attribute}")
        return {"object": [name, number, state]}


class Decoder:
    """Turns what `Encoder` made back into objects.

    Args:
        kinds: By the name that the file gives to the class.
        tensors: As they were laid aside.
    """

    def __init__(self, kinds: Mapping[str, Kind], tensors: Mapping[str, torch.Tensor]):
        self._kinds, self._tensors = kinds, tensors
        self._objects: dict[int, Any] = {}
        self._composites: dict[str, Callable[[Any], Any]] = {
            "tuple": lambda content: tuple(self._list(content)),
            "set": lambda content: set(self._list(content)),
            "frozenset": lambda content: frozenset(self._list(content)),
            "dict": lambda content: dict(self._pairs(content)),
            "defaultdict": lambda content: defaultdict(dict, self._pairs(content)),
            "tensor": lambda content: self._tensors[content],
            "array": lambda content: self._tensors[content].numpy(),
            "times": lambda content: self._tensors[content[1]].numpy().view(content[0]),
            "items": self._items,
            "categories": lambda content: pd.CategoricalDtype(self.decode(content[0]), content[1]),
            "index": lambda content: pd.Index(
                **self._vector(content[0]), name=self.decode(content[1]), tupleize_cols=False
            ),
            "series": self._series,
            "frame": self._frame,
            "object": self._object,
            "class": lambda content: self._kinds[content].cls,
            "same": lambda content: self._objects[content],
        }

    def decode(self, value: Any) -> Any:
        """The object behind JSON.

        Raises:
            ValueError: It is not what `Encoder.encode` gives, or of an unknown class. (Content of
                the wrong kind can also raise what its constructor does.)
        """
        if isinstance(value, list):
            return self._list(value)
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            raise ValueError(f"an object with {len(value)} tags instead of one")
        ((tag, content),) = value.items()
        if tag in self._composites:
            return self._composites[tag](content)
        if tag in VALUES:
            return VALUES[tag][2](content)
        raise ValueError(f"unknown tag {tag!r}")

    def _list(self, values: list) -> list:
        return [self.decode(each) for each in values]

    def _pairs(self, pairs: list) -> list:
        return [(self.decode(key), self.decode(each)) for key, each in pairs]

    def _items(self, content: list) -> np.ndarray:
        dtype, shape, items = content
        flat = np.empty(len(items), dtype=dtype)
        for place, each in enumerate(items):  # element by element: a tuple stays one element
            flat[place] = self.decode(each)
        return flat.reshape(shape)

    def _vector(self, content: list) -> dict:
        dtype, values = content
        return {"data": self.decode(values), "dtype": self.decode(dtype)}

    def _series(self, content: list) -> pd.Series:
        vector, index, name = content
        return pd.Series(**self._vector(vector), index=self.decode(index), name=self.decode(name))

    def _frame(self, content: list) -> pd.DataFrame:
        columns, names, index = content
        frame = pd.DataFrame(dict(enumerate(self._list(columns))))
        return frame.set_axis(self.decode(names), axis=1).set_axis(self.decode(index), axis=0)

    def _object(self, content: list) -> Any:
        name, number, state = content
        if name not in self._kinds:
            raise ValueError(f"unknown class {name!r}")
        kind = self._kinds[name]
        if kind.make is not None:
            restored = kind.make({key: self.decode(each) for key, each in state.items()})
            self._objects[number] = restored
            return restored
        restored = self._objects[number] = object.__new__(kind.cls)
        for attribute, each in state.items():
            # What is no longer kept is decoded, too: others may refer to what it holds.
            value, today = self.decode(each), name_of_today(kind.cls, attribute)
            if today is not None:
                check_attribute(kind.cls, today)
                restored.__dict__[today] = value
        return restored


def check_attribute(cls: type, name: str) -> None:
    """Data may be stored, but nothing that takes the place of a method or property."""
    defined = inspect.getattr_static(cls, name, None)
    if callable(defined) or hasattr(defined, "__get__"):
        raise ModelFileError(
            f"the attribute {name!r} hides what {cls.__qualname__} defines, which a model file "
            "cannot hold: use save() instead"
        )


def _torch(array: np.ndarray) -> torch.Tensor:
    """The same numbers, in this machine's byte order, not sharing memory."""
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))


# ------------------------------------------------------------------- values that hold no others


def _scalar(value: np.generic) -> list | None:
    if value.dtype.kind in "mM":
        return [value.dtype.str, int(value.view("i8"))]
    if value.dtype.kind == "f" and value.dtype.itemsize <= 8:
        return [value.dtype.str, repr(float(value))]
    return [value.dtype.str, value.item()] if value.dtype.kind in "biuU" else None


def _read_scalar(content: list) -> np.generic:
    dtype, value = np.dtype(content[0]), content[1]
    if dtype.kind in "mM":
        return np.int64(value).view(dtype)
    return dtype.type(float(value) if dtype.kind == "f" else value)


def _timestamp(value: pd.Timestamp) -> list | None:
    content = [
        int(value.asm8.view("i8")),
        value.unit,
        None if value.tz is None else _zone_name(value.tz),
    ]
    try:
        same = _read_timestamp(content)
    except (ValueError, TypeError, KeyError):  # not by its zone's name
        return None
    return content if same == value and str(same.tz) == str(value.tz) else None


def _read_timestamp(content: list) -> pd.Timestamp:
    count, unit, zone = content
    moment = pd.Timestamp(np.datetime64(count, unit))
    return moment if zone is None else moment.tz_localize("UTC").tz_convert(_zone(zone))


def _zone_name(zone: datetime.tzinfo) -> str:
    return repr(zone) if isinstance(zone, zoneinfo.ZoneInfo) else str(zone)


def _zone(name: str) -> Any:
    """The time zone of that text: a name, or how a class of zones writes one.

    Example:
        >>> _zone("pytz.FixedOffset(330)"), _zone("tzoffset(None, 19800)"), _zone("UTC+05:30")
        (pytz.FixedOffset(330), tzoffset(None, 19800), 'UTC+05:30')
    """
    if found := re.fullmatch(r"pytz\.FixedOffset\((-?\d+)\)", name):
        import pytz  # of pandas 2

        return pytz.FixedOffset(int(found[1]))
    if found := re.fullmatch(r"tzoffset\(None, (-?\d+)\)", name):
        return dateutil.tz.tzoffset(None, int(found[1]))
    if found := re.fullmatch(r"tzfile\('(.+)'\)", name):
        return f"dateutil/{found[1]}"
    if found := re.fullmatch(r"zoneinfo\.ZoneInfo\(key='(.+)'\)", name):
        return zoneinfo.ZoneInfo(found[1])
    return dateutil.tz.tzutc() if name == "tzutc()" else name


def _datetime(value: datetime.datetime) -> str | None:
    plain = value.tzinfo is None or type(value.tzinfo) is datetime.timezone
    return value.isoformat() if plain else None


def _dtype(value: np.dtype) -> str | None:
    return value.str if value.names is None and value.kind in "biufOUmM" else None


def _extension_dtype(value: pd.api.extensions.ExtensionDtype) -> list | None:
    if isinstance(value, pd.StringDtype):
        missing = "NA" if getattr(value, "na_value", pd.NA) is pd.NA else "nan"
        return ["string", value.storage, missing]
    if isinstance(value, pd.DatetimeTZDtype):
        content = ["zone", value.unit, _zone_name(value.tz)]
    else:
        content = ["name", str(value)]
    try:
        return content if _read_extension_dtype(content) == value else None
    except (
        ValueError,
        TypeError,
        KeyError,
        NotImplementedError,
    ):  # not by its name
        return None


def _read_extension_dtype(content: list) -> Any:
    kind, *content = content
    if kind == "string":
        storage, missing = content
        return pd.StringDtype(storage) if missing == "NA" else pd.StringDtype(storage, np.nan)
    if kind == "zone":
        unit, name = content
        return pd.DatetimeTZDtype(unit, _zone(name))
    return pd.api.types.pandas_dtype(*content)


def _function_name(value: Callable) -> str | None:
    return next((name for name, known in FUNCTIONS.items() if known is value), None)


# By tag: the class, its JSON (None: this one cannot be stored) and the way back.
VALUES: dict[str, tuple[type, Callable, Callable]] = {
    "float": (float, repr, float),
    "scalar": (np.generic, _scalar, _read_scalar),
    "dtype": (np.dtype, _dtype, np.dtype),
    "extension_dtype": (
        pd.api.extensions.ExtensionDtype,
        lambda dtype: None if isinstance(dtype, pd.CategoricalDtype) else _extension_dtype(dtype),
        _read_extension_dtype,
    ),
    "missing": (
        object,
        lambda value: next((name for name, known in MISSING.items() if known is value), None),
        MISSING.__getitem__,
    ),
    "timestamp": (pd.Timestamp, _timestamp, _read_timestamp),
    "span": (
        pd.Timedelta,
        lambda value: [int(value.asm8.view("i8")), value.unit],
        lambda content: pd.Timedelta(np.timedelta64(*content)),
    ),
    "datetime": (datetime.datetime, _datetime, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (
        datetime.time,
        lambda value: value.isoformat() if value.tzinfo is None else None,
        datetime.time.fromisoformat,
    ),
    "timedelta": (
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda content: datetime.timedelta(*content),
    ),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "bytes": (
        bytes,
        lambda value: base64.b64encode(value).decode(),
        lambda content: base64.b64decode(content, validate=True),
    ),
    "function": (object, _function_name, FUNCTIONS.__getitem__),
}
# Whose subclasses are stored in the same way.
OPEN = frozenset({"scalar", "dtype", "extension_dtype", "missing", "function"})
