"""Relations are found, told apart from chance, reduced, and counted in other tables."""

from __future__ import annotations

import doctest

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.relations import (
    candidates,
    find_relations,
    reduction,
    relation,
    search,
    significance,
    values,
)

pytestmark = pytest.mark.fast
ROWS = 2000


def told(table, **options):
    return [each.statement for each in find_relations(table, **options)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("module", [candidates, reduction, relation, search, significance, values])
def test_examples_of_docstrings(module):
    assert doctest.testmod(module, extraglobs={"np": np, "pd": pd}).failed == 0


def test_sums_with_equality_where_a_part_is_zero(rng):
    above = rng.integers(50, 900, ROWS) * 10
    basement = np.where(rng.random(ROWS) < 0.6, 0, rng.integers(5, 200, ROWS) * 10)
    table = pd.DataFrame({"living": above + basement, "above": above, "basement": basement})
    found = find_relations(table)
    assert str(found.relations[0]) == "living = above + basement in all 2,000 rows"
    assert "above <= living" in [each.statement for each in found]
    # living = above in 60 % of the rows follows from the sum.
    assert not found.of_kind("equal in part")


def test_equality_in_a_share(rng):
    lot, other = rng.integers(500, 90_000, (2, ROWS))
    copied = rng.random(ROWS) < 0.2
    table = pd.DataFrame({"lot": lot, "lot15": np.where(copied, lot, other)})
    (found,) = find_relations(table)
    assert found.statement == "lot15 = lot"
    assert abs(found.fraction - copied.mean()) < 0.002
    table = pd.DataFrame({"due": np.where(copied, 0, lot)})
    table["paid"] = np.where(copied | (rng.random(ROWS) < 0.3), table["due"], other)
    (found,) = find_relations(table).of_kind("equal in part")
    assert found.statement == "paid = due (not 0)"
    assert found.held == ((table["paid"] == table["due"]) & (table["due"] != 0)).sum()


def test_equality_of_categories(rng):
    towns = np.array([f"town {k}" for k in range(30)])
    one, other = towns[rng.integers(0, 30, (2, ROWS))]
    table = pd.DataFrame({"birth": one, "home": np.where(rng.random(ROWS) < 0.5, one, other)})
    assert told(table) == ["home = birth"]
    # A mark that two columns of levels share is no copy.
    unknown = rng.random(ROWS) < 0.3
    table = pd.DataFrame(
        {
            "work": np.where(unknown, "?", towns[rng.integers(0, 10, ROWS)]),
            "job": np.where(unknown, "?", towns[rng.integers(10, 20, ROWS)]),
        }
    )
    assert "job = work" not in told(table)


def test_correlated_grades_are_not_copies(rng):
    grade = rng.integers(0, 21, ROWS)
    table = pd.DataFrame({"one": grade, "other": grade + rng.integers(-2, 3, ROWS)})
    assert (table["one"] == table["other"]).mean() > 0.15
    assert not find_relations(table).of_kind("equal in part")


def test_lines_products_and_ratios_within_their_decimals(rng):
    celsius = np.round(rng.normal(10, 10, ROWS), 1)
    price, count = np.round(rng.gamma(2, 50, ROWS) + 1, 2), rng.integers(1, 20, ROWS)
    table = pd.DataFrame(
        {
            "celsius": celsius,
            "fahrenheit": np.round(celsius * 1.8 + 32, 2),
            "price": price,
            "count": count,
            "amount": np.round(price * count, 2),
        }
    )
    found = find_relations(table)
    statements = [each.statement for each in found]
    assert "fahrenheit = 1.8 * celsius + 32" in statements
    assert "amount = price * count" in statements
    assert not found.of_kind("ratio", "equal in part")
    square = pd.DataFrame({"count": count, "price": price, "squared": np.round(price**2, 4)})
    assert told(square) == ["squared = price * price"]
    rounded = pd.DataFrame({"count": count, "price": price, "mean": np.round(price / count, 2)})
    assert "mean = price / count" in told(rounded)


def test_differences_constant_or_of_few_values(rng):
    year = rng.integers(1950, 2000, ROWS)
    table = pd.DataFrame(
        {"year": year, "later": year + 3, "about": year + rng.integers(0, 3, ROWS)}
    )
    statements = told(table)
    assert "later = year + 3" in statements
    assert "about - year is one of 3 values" in statements
    noise = pd.DataFrame({"year": year, "other": rng.integers(1950, 2000, ROWS)})
    assert told(noise) == []


def test_dates(rng):
    begin = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D")
    nights = rng.integers(1, 30, ROWS)
    table = pd.DataFrame({"begin": begin, "nights": nights})
    table["end"] = begin + pd.to_timedelta(nights, unit="D")
    table["due"] = begin + pd.Timedelta(days=7)
    assert told(table) == ["due = begin + 7 days", "end = begin + nights in days", "begin < end"]
    zoned = table.assign(**{n: table[n].dt.tz_localize("UTC") for n in ("begin", "end", "due")})
    assert told(zoned) == told(table)
    plain = table.assign(**{n: table[n].dt.date for n in ("begin", "end", "due")})
    assert told(plain) == told(table)


def test_zero_and_missing(rng):
    children = rng.integers(0, 3, ROWS)
    gone = rng.random(ROWS) < 0.2
    table = pd.DataFrame(
        {
            "children": children,
            "benefit": np.where(children == 0, 0, rng.integers(0, 500, ROWS)),
            "a": np.where(gone, np.nan, rng.normal(size=ROWS)),
            "b": np.where(gone, np.nan, rng.normal(size=ROWS)),
            "c": np.where(gone | (rng.random(ROWS) < 0.3), np.nan, rng.normal(size=ROWS)),
        }
    )
    assert told(table) == [
        "benefit = 0 where children = 0",
        "a and b are missing together",
        "c is missing where a is",
    ]


def test_functional_dependences(rng):
    city = rng.integers(0, 40, ROWS)
    x, z = rng.integers(0, 6, (2, ROWS))
    table = pd.DataFrame(
        {
            "city": [f"city {k}" for k in city],
            "state": [f"state {k // 5}" for k in city],
            "code": city + 100,
            "x": x,
            "z": z,
            "cell": np.array(list("abcdefgh"))[(x * x + 2 * z) % 8],
        }
    )
    found = told(table, categories=["code", "x", "z"])
    assert "code and city follow from each other" in found
    assert "state follows from city" in found
    assert "cell follows from x and z" in found
    assert "state follows from code" not in found  # from the city, which is the same
    # Rows that are all different determine everything, and say nothing.
    table = pd.DataFrame({"key": rng.permutation(ROWS), "y": rng.integers(0, 3, ROWS)})
    assert told(table, categories=["key"]) == []


def test_what_follows_from_others_is_not_told(rng):
    a, b = rng.integers(1, 900, (2, ROWS))
    table = pd.DataFrame({"a": a, "b": b, "again": a, "third": a, "sum": a + b})
    assert told(table) == ["again = a", "third = a", "sum = a + b", "a < sum", "b < sum"]
    low, high = rng.integers(0, 9, ROWS), rng.integers(20, 90, ROWS)
    assert told(pd.DataFrame({"low": low, "high": high})) == []  # disjoint ranges
    steps = rng.integers(0, 1000, (3, ROWS)).cumsum(0)
    table = pd.DataFrame(dict(zip("abc", steps, strict=True)))
    assert told(table) == ["a <= b", "b <= c"]


def test_whole_numbers_that_floats_do_not_reach(rng):
    large = 2**60 + rng.integers(0, 1000, ROWS)
    table = pd.DataFrame({"key": large, "same": large, "next": large + 1})
    assert told(table) == ["same = key", "key < next"]
    assert find_relations(table).rates(table.assign(same=large + 1)) == [0.0, 1.0]


def test_missing_values_do_not_count(rng):
    a, b = rng.integers(1, 900, (2, ROWS)).astype(float)
    table = pd.DataFrame({"a": a, "b": b, "sum": a + b}).astype("Int64")
    table.loc[rng.random(ROWS) < 0.3, "sum"] = pd.NA
    found = find_relations(table).relations[0]
    assert found.statement == "sum = a + b"
    assert found.rows == table["sum"].notna().sum()


def test_chance_is_told_in_fewer_than_the_promised_share_of_tables(rng):
    """Independent columns of every kind, small tables: nothing, at the default level."""
    for _ in range(60):
        rows = int(rng.integers(20, 300))
        table = pd.DataFrame(
            {
                "small": rng.integers(0, 3, rows),
                "zeros": np.where(rng.random(rows) < 0.7, 0, rng.integers(0, 30, rows)),
                "more zeros": np.where(rng.random(rows) < 0.9, 0, rng.integers(0, 30, rows)),
                "whole": rng.integers(0, 40, rows),
                "other": rng.integers(0, 60, rows),
                "gap": np.where(rng.random(rows) < 0.05, np.nan, rng.random(rows)),
                "level": rng.choice(list("abcd"), rows, p=[0.9, 0.05, 0.03, 0.02]),
                "rare": rng.random(rows) < 0.02,
            }
        )
        assert told(table) == []


def test_counts_in_another_table(rng):
    a, b = rng.integers(1, 900, (2, ROWS))
    city = rng.integers(0, 30, ROWS)
    table = pd.DataFrame({"a": a, "b": b, "sum": a + b, "city": city, "state": city // 4})
    found = find_relations(table, categories=["city", "state"])
    assert found.rates(table) == [1.0] * len(found)
    other = table.head(100).copy()
    other.loc[:24, "sum"] += 1
    other.loc[50:59, "state"] += 1
    other.loc[90:, "city"] = 999  # a city of which nothing is known
    rates = {each.kind: rate for each, rate in zip(found, found.rates(other), strict=True)}
    assert rates["sum"] == 0.75
    assert rates["functional dependence"] == pytest.approx(80 / 90)
    with pytest.raises(ValueError, match="column 'sum' of a relation is missing"):
        found.rates(other.drop(columns="sum"))


def test_the_same_seed_finds_the_same(rng):
    table = pd.DataFrame(rng.integers(0, 50, (500, 4)), columns=list("abcd"))
    table["e"] = table["a"] + table["b"]
    assert find_relations(table, seed=3) == find_relations(table, seed=3)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "two columns are called 'a'"),
        (pd.DataFrame({"a": [1]}), {"categories": ["b"]}, "'b' is no column"),
        (pd.DataFrame({"a": [1]}), {"significance": 0}, "significance: give"),
        (pd.DataFrame({"a": [1]}), {"least_fraction": 2}, "least_fraction: give"),
        (pd.DataFrame({"a": [1]}), {"lift": 0.5}, "lift: give"),
    ],
)
def test_errors_name_the_remedy(table, options, message):
    with pytest.raises(ValueError, match=message):
        find_relations(table, **options)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(),
        pd.DataFrame({"a": []}),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"a": [None, None, None], "b": [pd.NaT] * 3, "c": [1, 1, 1]}),
        pd.DataFrame({"a": [np.inf, 1.0, 2.0, 3.0] * 9, "b": [True, False, None] * 12}),
    ],
)
def test_small_and_empty_tables_have_none(table):
    assert len(find_relations(table)) == 0
