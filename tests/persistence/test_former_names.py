"""Attributes by their former names, in both formats."""

from __future__ import annotations

import pickle
from typing import ClassVar

import pytest

from sdv_wgangp.persistence import ModelFileError
from sdv_wgangp.persistence.former_names import FormerNames
from sdv_wgangp.persistence.graph import Decoder, Encoder, Kind


class Rates(FormerNames):
    former_names: ClassVar = {"_rate": "rate", "_unused": None, "_method": "method"}

    def method(self):
        """What no attribute may hide."""


class Before:
    """As the class was when the file was written."""


def written(**attributes):
    """The state of an object with such attributes, in a model file."""
    before = Before()
    before.__dict__.update(attributes)
    return Encoder({"Rates": Kind(Before)}).encode(before, "rates")


def test_a_model_file_with_former_names():
    found = Decoder({"Rates": Kind(Rates)}, {}).decode(written(_rate=0.5, _unused=[1], steps=3))
    assert type(found) is Rates
    assert vars(found) == {"rate": 0.5, "steps": 3}


def test_a_former_name_hides_no_method():
    with pytest.raises(ModelFileError, match="'method' hides what Rates defines"):
        Decoder({"Rates": Kind(Rates)}, {}).decode(written(_method="data"))


def test_a_pickle_with_former_names(monkeypatch):
    before = Before()
    before.__dict__.update(_rate=0.5, _unused=[1], steps=3)
    stream = pickle.dumps(before)
    monkeypatch.setitem(globals(), "Before", Rates)
    found = pickle.loads(stream)
    assert type(found) is Rates
    assert vars(found) == {"rate": 0.5, "steps": 3}
    assert vars(pickle.loads(pickle.dumps(found))) == vars(found)


def test_what_was_dropped_may_be_what_others_refer_to():
    shared = Before()
    shared.__dict__.update(_rate=1.0)
    found = Decoder({"Rates": Kind(Rates)}, {}).decode(written(_unused=shared, other=shared))
    assert vars(found.other) == {"rate": 1.0}
