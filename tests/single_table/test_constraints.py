"""Constraints of `sdv.cag`: sampled rows meet all of them, and columns stay what they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sdv.cag import (
    FixedCombinations,
    FixedIncrements,
    Inequality,
    OneHotEncoding,
    Range,
)
from sdv.cag._errors import ConstraintNotMetError
from sdv.cag.programmable_constraint import SingleTableProgrammableConstraint
from sdv.errors import SynthesizerInputError
from sdv.sampling import Condition
from shared_tables import QUICK, as_input, describe, rows_of

from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

ROWS = 250
METADATA = describe(
    {
        "id": "id",
        "low": "numerical",
        "middle": "numerical",
        "high": "numerical",
        "batch": "numerical",
        "start": "datetime",
        "end": "datetime",
        "city": "categorical",
        "country": "categorical",
        "is_a": "categorical",
        "is_b": "categorical",
        "is_c": "categorical",
        "free": "numerical",
        "word": "categorical",
    },
    primary_key="id",
)
COUNTRIES = {"Paris": "FR", "Lyon": "FR", "Rome": "IT", "Bonn": "DE"}


class Below(SingleTableProgrammableConstraint):
    """A column stays under a limit: nothing is transformed, rows beyond are thrown away."""

    def __init__(self, column: str, limit: float):
        self.column, self.limit = column, limit

    def transform(self, data):
        return data

    def get_updated_metadata(self, metadata):
        return metadata

    def reverse_transform(self, transformed_data):
        return transformed_data

    def is_valid(self, synthetic_data):
        return ~(synthetic_data[self.column] >= self.limit)


class Doubled(SingleTableProgrammableConstraint):
    """``high`` is learned as half of itself and given back doubled."""

    def transform(self, data):
        return data.assign(high=data["high"] / 2)

    def get_updated_metadata(self, metadata):
        return metadata

    def reverse_transform(self, transformed_data):
        return transformed_data.assign(high=transformed_data["high"] * 2)

    def is_valid(self, synthetic_data):
        return pd.Series(True, index=synthetic_data.index)


def table(nulls: bool) -> pd.DataFrame:
    random = np.random.default_rng(0)
    low = random.integers(0, 50, ROWS).astype(float)
    kind = random.integers(0, 3, ROWS)
    start = pd.Timestamp("2001-01-01") + pd.to_timedelta(random.integers(0, 900, ROWS), "D")
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "low": low,
            "middle": low + random.integers(1, 9, ROWS),
            "high": low + random.integers(10, 40, ROWS),
            "batch": random.integers(1, 9, ROWS) * 25.0,
            "start": start,
            "end": start + pd.to_timedelta(random.integers(1, 90, ROWS), "D"),
            "city": random.choice([*COUNTRIES], ROWS),
            **{f"is_{letter}": (kind == i).astype(int) for i, letter in enumerate("abc")},
            "free": random.normal(size=ROWS),
            "word": random.choice(["x", "y"], ROWS),
        }
    )
    frame.insert(8, "country", frame["city"].map(COUNTRIES))
    if nulls:
        for name in ("low", "middle", "high", "batch", "start", "end", "city", "free", "word"):
            frame[name] = frame[name].mask(random.random(ROWS) < 0.15)
    return frame


def combinations_met(real, drawn):
    pairs = set(map(tuple, real[["city", "country"]].astype(object).fillna("").to_numpy()))
    return [
        tuple(row) in pairs for row in drawn[["city", "country"]].astype(object).fillna("").values
    ]


def missing_or(condition, *columns):
    """True where the condition holds or one of the columns is missing."""
    return condition | pd.concat(columns, axis=1).isna().any(axis=1)


# Constraints, and what must be true of every row of the samples.
NAMES = ("low", "middle", "high")
CASES = {
    "fixed combinations": (
        lambda: [FixedCombinations(["city", "country"])],
        combinations_met,
    ),
    "fixed increments": (
        lambda: [FixedIncrements("batch", 25)],
        lambda real, drawn: missing_or(drawn["batch"] % 25 == 0, drawn["batch"]),
    ),
    "inequality of numbers": (
        lambda: [Inequality("low", "high", strict_boundaries=True)],
        lambda real, drawn: missing_or(drawn["low"] < drawn["high"], drawn["low"], drawn["high"]),
    ),
    "inequality of dates": (
        lambda: [Inequality("start", "end")],
        lambda real, drawn: missing_or(
            drawn["start"] <= drawn["end"], drawn["start"], drawn["end"]
        ),
    ),
    "range": (
        lambda: [Range(*NAMES)],
        lambda real, drawn: (
            missing_or(drawn["low"] <= drawn["middle"], drawn["low"], drawn["middle"])
            & missing_or(drawn["middle"] <= drawn["high"], drawn["middle"], drawn["high"])
            & missing_or(drawn["low"] <= drawn["high"], drawn["low"], drawn["high"])
        ),
    ),
    "one-hot encoding": (
        lambda: [OneHotEncoding(["is_a", "is_b", "is_c"])],
        lambda real, drawn: drawn[["is_a", "is_b", "is_c"]].sum(axis=1) == 1,
    ),
    "programmable, by rejection": (
        lambda: [Below("free", 1.0)],
        lambda real, drawn: missing_or(drawn["free"] < 1.0, drawn["free"]),
    ),
    "programmable, transforming": (
        lambda: [Doubled()],
        lambda real, drawn: missing_or(
            drawn["high"].between(real["high"].min(), real["high"].max()), drawn["high"]
        ),
    ),
}
ALL = [*CASES]
CASES["all of them"] = (
    lambda: [*(each for name in ALL if "transforming" not in name for each in CASES[name][0]())],
    lambda real, drawn: np.logical_and.reduce(
        [np.asarray(CASES[name][1](real, drawn), dtype=bool) for name in ALL]
    ),
)
# Both of the same columns: SDV can transform for one of them and rejects rows for the other.
CASES["two of the same column"] = (
    lambda: [Inequality("low", "high"), Inequality("low", "middle")],
    lambda real, drawn: (
        missing_or(drawn["low"] <= drawn["high"], drawn["low"], drawn["high"])
        & missing_or(drawn["low"] <= drawn["middle"], drawn["low"], drawn["middle"])
    ),
)


@pytest.mark.parametrize("nulls", [False, True], ids=["full", "nulls"])
@pytest.mark.parametrize("name", CASES)
def test_every_row_meets_the_constraints(name, nulls):
    make, met = CASES[name]
    real = table(nulls)
    synthesizer = WGANGPMFSSynthesizer(METADATA, **QUICK)
    synthesizer.add_constraints(make())
    synthesizer.fit(as_input(real))
    drawn = rows_of(synthesizer.sample(300))
    assert len(drawn) == 300
    assert np.asarray(met(real, drawn), dtype=bool).all()
    assert list(drawn) == list(real)
    assert drawn.dtypes.equals(real.dtypes)
    assert set(drawn.columns[drawn.isna().any()]) <= set(real.columns[real.isna().any()])
    synthesizer.validate_constraints(drawn)


def test_discrete_columns_stay_discrete_beside_constraints():
    """SDV builds a new data processor for constraints, without the transformers of the model."""
    plain, constrained = (WGANGPMFSSynthesizer(METADATA, **QUICK) for _ in range(2))
    constrained.add_constraints([Inequality("low", "high")])
    kinds = []
    for synthesizer in (plain, constrained):
        synthesizer.fit(as_input(table(nulls=True)))
        columns = synthesizer.model.encoder.columns
        kinds.append(
            {c.name: type(c) for c in columns if c.name in METADATA.tables["people"].columns}
        )
    assert kinds[1] == {name: kinds[0][name] for name in kinds[1]}
    assert {"city", "word", "middle", "start"} <= set(kinds[1])


def test_constraints_survive_a_refit_and_a_pickle(tmp_path):
    synthesizer = WGANGPMFSSynthesizer(METADATA, **QUICK)
    synthesizer.add_constraints([FixedCombinations(["city", "country"]), Range(*NAMES)])
    real = table(nulls=False)
    synthesizer.fit(as_input(real))
    synthesizer.fit(as_input(real.head(200)))
    synthesizer.save(tmp_path / "model.pkl")
    loaded = sdv_versions.load(tmp_path / "model.pkl")
    assert [type(each).__name__ for each in loaded.get_constraints()] == [
        "FixedCombinations",
        "Range",
    ]
    drawn = rows_of(loaded.sample(100))
    loaded.validate_constraints(drawn)
    assert all(combinations_met(real, drawn))
    assert set(loaded.get_metadata("modified").tables["people"].columns) >= {"city#country"}
    assert set(loaded.get_metadata().tables["people"].columns) == set(real)


def test_data_that_breaks_a_constraint_is_refused():
    real = table(nulls=False)
    real.loc[3, "high"] = real.loc[3, "low"] - 1
    synthesizer = WGANGPMFSSynthesizer(METADATA, **QUICK)
    synthesizer.add_constraints([Inequality("low", "high")])
    with pytest.raises(ConstraintNotMetError, match="'Inequality' constraint"):
        synthesizer.fit(as_input(real))


@pytest.fixture(scope="module")
def combined():
    """Fixed combinations, one of them missing a city, beside an inequality."""
    real = table(nulls=False)
    real.loc[real["word"].eq("x") & real["city"].eq("Bonn"), "city"] = None
    synthesizer = WGANGPMFSSynthesizer(METADATA, **QUICK)
    synthesizer.add_constraints(
        [FixedCombinations(["city", "country"]), Inequality("low", "high")]
    )
    synthesizer.fit(as_input(real))
    return synthesizer


@pytest.mark.parametrize(
    ("values", "cities"),
    [
        ({"city": "Rome"}, ["Rome"]),
        ({"country": "FR"}, ["Paris", "Lyon"]),
        ({"country": "DE", "word": "x"}, ["Bonn", None]),
        ({"city": "Lyon", "country": "FR"}, ["Lyon"]),
        ({"city": None}, [None]),
    ],
    ids=str,
)
def test_conditions_on_fixed_combinations_reject_no_row(combined, monkeypatch, values, cities):
    asked = []
    original = TabularModel.sample

    def sample(self, rows, conditions=None):
        asked.append((rows, set(conditions)))
        return original(self, rows, conditions)

    monkeypatch.setattr(TabularModel, "sample", sample)
    condition = Condition(values, num_rows=40)
    drawn = rows_of(combined.sample_from_conditions([condition]))
    beside = {"word"} & set(values)
    assert asked == [(40, {"city#country"} | beside)]
    assert len(drawn) == 40
    found = set(drawn["city"].astype(object).where(drawn["city"].notna(), None))
    assert found <= set(cities)
    for name, value in values.items():
        assert (drawn[name].isna() if value is None else drawn[name] == value).all()
    combined.validate_constraints(drawn)


def test_combinations_that_were_never_seen_are_named(combined):
    conditions = [Condition({"city": "Rome", "country": "FR"}, num_rows=2)]
    with pytest.raises(ValueError, match="has 'city' = 'Rome', 'country' = 'FR'; use values seen"):
        combined.sample_from_conditions(conditions)
    conditions.append(Condition({"country": "IT"}, num_rows=3))
    with pytest.warns(UserWarning, match="'city' = 'Rome', 'country' = 'FR'"):
        drawn = rows_of(combined.sample_from_conditions(conditions))
    assert drawn["country"].tolist() == ["IT"] * 3


def test_a_marginal_of_a_column_of_fixed_combinations(combined):
    drawn = rows_of(combined.sample_marginal(20, "city", {"Rome": 3, "Paris": 1}))
    assert drawn["city"].value_counts().to_dict() == {"Rome": 15, "Paris": 5}
    assert drawn["country"].tolist() == drawn["city"].map(COUNTRIES).tolist()
    balanced = rows_of(combined.sample_marginal(30, "country"))
    assert balanced["country"].value_counts().to_dict() == {"FR": 10, "IT": 10, "DE": 10}
    message = "marginal of 'high', which a constraint transforms, must be a dictionary"
    with pytest.raises(SynthesizerInputError, match=message):
        combined.sample_marginal(20, "high")


def test_processed_rows_are_given_back_through_the_constraints():
    real = table(nulls=False)
    synthesizer = WGANGPMFSSynthesizer(METADATA, **QUICK)
    synthesizer.add_constraints([FixedCombinations(["city", "country"])])
    synthesizer.fit(as_input(real))
    joint = sdv_versions.as_frame(synthesizer.preprocess(as_input(real)))
    assert "city#country" in joint
    assert "city" not in joint
    back = synthesizer.reverse_transform_constraints(joint)
    assert all(combinations_met(real, back))


@pytest.mark.skipif(sdv_versions.takes_dictionaries(), reason="SDV 2.0 has dropped these methods")
def test_constraints_and_address_columns_of_the_older_line(tmp_path):
    first, second = (WGANGPMFSSynthesizer(METADATA, **QUICK) for _ in range(2))
    first.add_constraints([FixedCombinations(["city", "country"]), Inequality("low", "high")])
    first.get_constraints(filepath=tmp_path / "constraints.json")
    with pytest.warns(FutureWarning):
        second.set_constraints(tmp_path / "constraints.json")
    assert [type(each) for each in second.get_constraints()] == [FixedCombinations, Inequality]
    with pytest.warns(FutureWarning, match="deprecated"):
        second.set_address_columns(["city", "country"])
    real = table(nulls=False)
    second.fit(as_input(real))
    drawn = rows_of(second.sample(60))
    second.validate_constraints(drawn)
    assert all(combinations_met(real, drawn))
