"""Conditions as codes: which ones a value allows, and which conditions need no filter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.conditions import OneOf, allowed_codes, native_part, values_of
from sdv_wgangp.encoding.table import TableEncoder

CITIES = {"Rome": "Italy", "Milan": "Italy", "Pisa": "Italy", "Paris": "France", "Lyon": "France"}


@pytest.fixture(scope="module")
def encoder():
    random = np.random.default_rng(0)
    city = random.choice(list(CITIES), 1200)
    kind = random.choice(np.array(["a", "b", None], dtype=object), 1200)
    frame = pd.DataFrame(
        {
            "country": [CITIES[name] for name in city],
            "city": city,
            "x": random.normal(size=1200),
            "kind": kind,
            "count": random.integers(0, 4, 1200),
            "gaps": np.where(random.random(1200) < 0.3, np.nan, random.integers(0, 3, 1200)),
        }
    )
    return TableEncoder().fit(frame)


def test_a_derived_column_allows_the_codes_of_its_source(encoder):
    names = [column.name for column in encoder.columns]
    city = encoder.columns[names.index("city")]
    (codes,) = allowed_codes(encoder, {"country": "Italy"}).values()
    assert set(city.levels[codes]) == {"Rome", "Milan", "Pisa"}
    allowed = allowed_codes(encoder, {"city": "Pisa", "country": "Italy", "kind": "a"})
    assert sorted(allowed) == sorted([names.index("city"), names.index("kind")])
    assert city.levels[allowed[names.index("city")]].tolist() == ["Pisa"]


def test_what_is_left_to_a_filter(encoder):
    given = {"x": 1.0, "count": 2.5, "gaps": None, "kind": "z", "country": "Italy", "new": 3}
    assert list(native_part(encoder, given)) == ["gaps", "kind", "country"]


def test_values_of_a_column(encoder):
    assert set(values_of(encoder, "kind")) == {"a", "b"}
    assert values_of(encoder, "gaps") == [0.0, 1.0, 2.0]
    assert set(values_of(encoder, "country")) == {"Italy", "France"}
    with pytest.raises(ValueError, match="column 'x' is no column of categories or few values"):
        values_of(encoder, "x")


def test_one_of_several_values(encoder):
    names = [column.name for column in encoder.columns]
    city, kind = names.index("city"), encoder.column("kind")
    codes = allowed_codes(encoder, {"kind": OneOf(["b", None]), "city": OneOf(["Rome", "Lyon"])})
    assert codes[names.index("kind")].tolist() == sorted(
        kind.encode(pd.Series(["b", None], dtype=object))[0]
    )
    both = allowed_codes(encoder, {"city": OneOf(["Rome", "Lyon"]), "country": "France"})
    assert both[city].tolist() == allowed_codes(encoder, {"city": "Lyon"})[city].tolist()
    countries = allowed_codes(encoder, {"country": OneOf(["France", "Italy"])})
    assert len(countries[city]) == len(CITIES)
    with pytest.raises(ValueError, match="column 'kind' holds 'z'"):
        allowed_codes(encoder, {"kind": OneOf(["a", "z"])})
