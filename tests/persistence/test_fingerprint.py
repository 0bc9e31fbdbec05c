"""What a training was made from, as plain data."""

from __future__ import annotations

import enum
import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from sdv_wgangp.persistence.fingerprint import completed, differences, fingerprint_of


class Colour(enum.Enum):
    RED = 1


@dataclass
class Settings:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.9)


def test_everything_becomes_plain_and_stays_so():
    found = fingerprint_of(
        settings=Settings(),
        numbers=[np.float32(0.5), np.int64(3), math.nan, math.inf, True],
        names={"b", "a"},
        nested={"path": PurePosixPath("a/b"), 3: Colour.RED, "none": None},
        kinds=[torch.float32, torch.device("cpu"), np.dtype("f4")],
    )
    assert found == {
        "settings": {"lr": 1e-3, "betas": [0.0, 0.9]},
        "numbers": [0.5, 3, "nan", math.inf, True],
        "names": ["a", "b"],
        "nested": {"path": "a/b", "3": "RED", "none": None},
        "kinds": ["torch.float32", "cpu", "float32"],
    }
    assert json.loads(json.dumps(found)) == found == fingerprint_of(**found)


def test_arrays_are_told_by_content_dtype_and_shape():
    data = torch.arange(6.0)
    of = [fingerprint_of(data=each)["data"] for each in (
        *(data, data.double(), data.reshape(2, 3), data + 1, data.numpy(), data.clone()),
        *(np.arange(6), data.bfloat16(), torch.tensor(1.0), torch.empty(0)),
    )]  # fmt: skip
    assert of[0] == of[4] == of[5]
    assert len(set(of)) == len(of) - 2


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"f": print}, "settings.f is of builtins"),
        ([np.array([None])], r"settings\[0\] is an arr"),
    ],
)
def test_what_has_none_is_named(part, named):
    with pytest.raises(TypeError, match=named):
        fingerprint_of(settings=part)


def test_what_an_earlier_release_did_not_know_had_its_default():
    old = {"settings": {"lr": 1e-3}, "table": "a"}
    parts = {"settings": Settings(), "table": "a"}
    assert not differences(completed(old, parts), fingerprint_of(**parts))
    others = {"settings": Settings(betas=(0.5, 0.9)), "table": "a"}
    assert differences(completed(old, others), fingerprint_of(**others)) == [
        "settings.betas: checkpoint [0.0, 0.9], now [0.5, 0.9]"
    ]
    assert completed({"table": "a"}, parts) == {"table": "a"}


def test_differences_are_named_with_both_values():
    saved = fingerprint_of(settings=Settings(), table="a", old=1)
    now = fingerprint_of(settings=Settings(lr=5e-4), table="b", new=None)
    assert differences(saved, now) == [
        "settings.lr: checkpoint 0.001, now 0.0005",
        "table: checkpoint 'a', now 'b'",
        "old: checkpoint 1, now none",
        "new: checkpoint none, now None",
    ]
    assert not differences(saved, saved)
    (long,) = differences({"a": "x" * 10_000}, {"a": 1})
    assert len(long) < 200
