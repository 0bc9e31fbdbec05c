"""Objects to JSON and tensors, and back."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import operator
import uuid
import zoneinfo
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow
import pytest
import pytz
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdv_wgangp.persistence.container import ModelFileError
from sdv_wgangp.persistence.graph import Decoder, Encoder, Kind


@dataclass
class Node:
    name: str
    other: Any = None

    @property
    def length(self) -> int:
        return len(self.name)

    def shout(self) -> str:
        return self.name.upper()


KINDS = {"node": Kind(Node)}


def there_and_back(value):
    encoder = Encoder(KINDS)
    text = json.dumps(encoder.encode(value, "it"), allow_nan=False)
    return Decoder(KINDS, encoder.tensors).decode(json.loads(text))


UTC = datetime.timezone.utc
ZONED = pd.Timestamp("2024-03-10 12:00", tz="America/New_York")
PLAIN = [
    *(None, True, False, 0, -1, 2**80, 0.1, -0.0, math.inf, -math.inf, "", "naïve \ud800"),
    *([], [1, [2]], (), (1, (2, "a")), {}, {"a": 1}, {1: "a", None: 2, (1, "b"): [3]}),
    *({1, 2}, frozenset({"a"}), {"tuple": [1]}, {"same": 0}),
    *(np.int64(2**62), np.uint8(3), np.float32(0.1), np.float64(math.inf), np.bool_(True)),
    *(np.str_("a"), np.datetime64("2020-01-01"), np.timedelta64(3, "D")),
    *(b"\x00\xff", decimal.Decimal("1.10"), uuid.UUID(int=7), pd.NaT, pd.NA),
    *(pd.Timestamp("2020-01-01 00:00:00.123456789"), ZONED, pd.Timedelta("3 days 1ns")),
    *(pd.Timestamp("1850-01-01").as_unit("s"), pd.Timestamp("2020-01-01", tz="+02:00")),
    *(datetime.date(2020, 1, 2), datetime.time(1, 2, 3), datetime.timedelta(1, 2, 3)),
    *(datetime.datetime(2020, 1, 2, 3), datetime.datetime(2020, 1, 2, tzinfo=UTC)),
    *(np.dtype("f4"), np.dtype("O"), np.dtype("M8[us]"), np.dtype(">i2"), np.dtype("<U3")),
    *(pd.Int64Dtype(), pd.BooleanDtype(), pd.Float32Dtype(), pd.StringDtype("python")),
    *(pd.StringDtype("pyarrow"), pd.DatetimeTZDtype("us", "Europe/Paris")),
    *(pd.CategoricalDtype(["b", "a"], ordered=True), pd.CategoricalDtype([1, 2])),
    *(pd.ArrowDtype(pyarrow.int32()), operator.lt, np.greater_equal, Node),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_values_come_back_as_they_were(value):
    found = there_and_back(value)
    assert type(found) is type(value)
    assert repr(found) == repr(value)
    if value is pd.NA or value is pd.NaT:
        assert found is value
    else:
        assert found == value


def test_a_timestamp_keeps_its_unit_and_zone():
    for value in (ZONED, pd.Timestamp("1850-01-01").as_unit("s")):
        found = there_and_back(value)
        assert found.unit == value.unit
        assert str(found.tz) == str(value.tz)


@pytest.mark.parametrize(
    "zone",
    [
        pytz.FixedOffset(330),
        pytz.timezone("Europe/Berlin"),
        dateutil.tz.tzutc(),
        dateutil.tz.tzoffset(None, -9000),
        dateutil.tz.gettz("Europe/Berlin"),
        datetime.timezone(datetime.timedelta(hours=-3)),
        zoneinfo.ZoneInfo("Asia/Tokyo"),
    ],
    ids=repr,
)
def test_zones_of_every_kind_come_back(zone):
    dtype = pd.DatetimeTZDtype("ns", zone)
    assert there_and_back(dtype) == dtype
    moment = pd.Timestamp("2024-03-10 12:00", tz=zone)
    assert there_and_back(moment).tz == moment.tz


def test_nan_is_nan():
    assert math.isnan(there_and_back(math.nan))
    assert math.isnan(there_and_back(np.float32("nan")))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_any_nesting_comes_back(value):
    assert repr(there_and_back(value)) == repr(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.array([], dtype=np.float32),
        np.array(3.5),
        np.array([2**64 - 1], dtype=np.uint64),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
        np.array(["a", "bcd"]),
        np.array(["2020-01-01", "NaT"], dtype="M8[ms]"),
        np.array([["a", None], [(1, 2), 2.5]], dtype=object),
        np.array([(1, 2), (3, 4)], dtype="i,i")["f0"],
    ],
    ids=str,
)
def test_arrays(array):
    found = there_and_back(array)
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)
    found.flat[:1] = found.flat[:1]  # can be written to


def test_an_array_that_is_no_data_is_refused():
    with pytest.raises(ModelFileError, match=r"an array of dtype .* \(at it\)"):
        there_and_back(np.array([(1, 2)], dtype="i,i"))


def test_tensors():
    tensor = torch.randn(3, 4, dtype=torch.bfloat16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(there_and_back(tensor), tensor)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1, 2], name="a", index=["x", "y"]),
        pd.Series(["a", None, 1.5, True], name=3),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype="category"),
        pd.Series(pd.to_datetime(["2020-01-01", None]).tz_localize("Europe/Paris")),
        pd.Series([np.dtype("i8"), pd.Int64Dtype()], index=["a", "b"], dtype=object),
        pd.Series([], dtype=float),
    ],
    ids=lambda column: str(column.dtype),
)
def test_series_and_indexes(column):
    pd.testing.assert_series_equal(there_and_back(column), column, check_index_type=False)
    index = pd.Index(column, name="n")
    pd.testing.assert_index_equal(there_and_back(index), index)


def test_frames():
    frame = pd.DataFrame({"a": [1, 2], 3: ["x", None], "c": pd.Categorical(["u", "v"])}, [5, 6])
    pd.testing.assert_frame_equal(there_and_back(frame), frame)
    labels = pd.Index([("a", 1), ("b", 2)], tupleize_cols=False)
    pd.testing.assert_index_equal(there_and_back(labels), labels)


def test_what_is_shared_stays_shared_and_cycles_close():
    inner = Node("inner")
    outer = Node("outer", [inner, inner, {"again": inner}])
    inner.other = outer
    found = there_and_back(outer)
    first, second, again = *found.other[:2], found.other[2]["again"]
    assert first is second is again
    assert first.other is found
    assert first.shout() == "INNER"


def test_a_defaultdict_keeps_its_default():
    found = there_and_back(defaultdict(dict, a={"b": 1}))
    assert found == {"a": {"b": 1}}
    assert found["new"] == {}


class Unknown(Node):
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([Unknown("x")], r"an object of .*Unknown \(at it\[0\]\)"),
        (Node("x", {"f": lambda: 1}), r"a function .* \(at it\.other\['f'\]\)"),
        (Unknown, r"a function of builtins\.type \(at it\)"),
        (print, r"a function .*builtin"),
        (math, r"an object of builtins\.module"),
        (OrderedDict(), r"OrderedDict"),
        (defaultdict(list), r"defaultdict"),
        (1j, r"complex"),
        (pd.Period("2020"), r"Period"),
        (np.random.default_rng(), r"Generator"),
        (datetime.datetime(2020, 1, 1, tzinfo=ZONED.tz), r"datetime"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_stored_is_named_with_a_remedy(value, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        there_and_back(value)
    assert "use save() instead" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["shout", "length", "__class__", "__dict__", "__reduce__"])
def test_data_may_not_take_the_place_of_a_method(name):
    with pytest.raises(ModelFileError, match="hides what Node defines"):
        Decoder(KINDS, {}).decode({"object": ["node", 0, {"name": "n", name: "data"}]})
    node = Node("n")
    if name in ("shout",):
        node.shout = "data"
        with pytest.raises(ModelFileError, match="hides what Node defines"):
            there_and_back(node)


@pytest.mark.parametrize(
    "state",
    [
        {"object": ["os.system", 0, {}]},
        {"object": ["builtins.eval", 0, {}]},
        {"object": ["Node", 0, {}]},
        {"class": "subprocess.Popen"},
        {"function": "eval"},
        {"unheard": 1},
        {"tuple": [], "set": []},
        {},
        {"tensor": "absent"},
        {"same": 3},
        {"dtype": "no dtype"},
        {"missing": "eval"},
        {"bytes": "§"},
    ],
    ids=str,
)
def test_what_no_encoder_wrote_is_an_error(state):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Decoder(KINDS, {}).decode(state)
