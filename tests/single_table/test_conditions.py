"""Conditions: fixed values, missing values, values that do not exist.

Nothing here depends on whether rows are drawn to meet a condition or drawn and thrown away.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sdv.sampling import Condition, DataFrameCondition
from shared_tables import PEOPLE, as_input, describe, fit, people, rows_of

from sdv_wgangp.single_table import WGANGPMFSSynthesizer


@pytest.fixture(scope="module")
def synthesizer():
    return fit(PEOPLE, people(), epochs=20)


def conditioned(synthesizer, values: dict, rows: int = 20, **options) -> pd.DataFrame:
    return rows_of(synthesizer.sample_from_conditions([Condition(values, rows)], **options))


def unlike(found: pd.Series, value) -> int:
    """How many cells are not the value, a missing one included."""
    return int((found.notna() if pd.isna(value) else found != value).sum())


@pytest.mark.parametrize(
    "values",
    [
        {"group": "b"},
        {"member": True},
        {"group": "a", "member": False},
        {"age": int(people()["age"].mode()[0])},
        {"age": int(people()["age"].mode()[0]), "group": "c"},
        {"income": None},
        {"income": np.nan, "member": True},
        {"email": "someone@example.org"},
        {"email": "someone@example.org", "group": "a"},
    ],
    ids=str,
)
def test_every_row_meets_the_condition(synthesizer, values):
    sample = conditioned(synthesizer, values)
    assert list(sample) == list(people())
    assert len(sample) == 20
    assert {name: unlike(sample[name], value) for name, value in values.items()} == dict.fromkeys(
        values, 0
    )


def test_a_float_is_met_within_a_percent_and_then_exact(synthesizer):
    typical = float(people()["income"].median())
    sample = conditioned(synthesizer, {"income": typical}, max_tries_per_batch=500)
    assert len(sample) == 20
    assert (sample["income"] == typical).all()


def test_conditions_of_several_kinds_and_sizes(synthesizer):
    conditions = [
        Condition({"group": "a"}, 7),
        Condition({"member": True, "group": "c"}, 5),
        DataFrameCondition(
            pd.DataFrame({"group": ["b", "b", "c"], "member": [True, False, True]})
        ),
    ]
    sample = rows_of(synthesizer.sample_from_conditions(conditions, batch_size=4))
    assert len(sample) == 15
    counts = sample.groupby(["group", "member"]).size()
    assert counts["b", True] == 1
    assert counts["b", False] == 1
    assert counts["c", True] >= 6
    assert sample["group"].value_counts()["a"] == 7


def test_remaining_columns_keep_the_order_of_the_known_ones(synthesizer):
    known = pd.DataFrame(
        {"group": ["c", "a", "b", "a", "c"], "member": [True, False] * 2 + [True]}
    )
    sample = rows_of(synthesizer.sample_remaining_columns(known))
    pd.testing.assert_frame_equal(sample[["group", "member"]].reset_index(drop=True), known)
    assert list(sample) == list(people())


def test_known_columns_may_have_missing_values(synthesizer):
    known = pd.DataFrame({"income": [np.nan] * 6, "member": [True, False] * 3})
    sample = rows_of(synthesizer.sample_remaining_columns(known))
    assert sample["income"].isna().all()
    assert sample["member"].tolist() == known["member"].tolist()


def test_a_missing_value_says_what_the_other_columns_are():
    """Incomes are missing in group c and nowhere else."""
    learning = {"epochs": 40, "batch_size": 100, "generator_dim": (64, 64), "generator_lr": 2e-3}
    synthesizer = fit(PEOPLE, people(1000), calibration_options=None, **learning)
    sample = conditioned(synthesizer, {"income": None}, 500)
    assert (sample["group"] == "c").mean() > 0.8  # of all rows: 0.33


@pytest.mark.parametrize(
    "kind",
    [
        "object",
        "category",
        "string",
        "boolean",
        "Int64",
        "float64",
        "datetime64[ns]",
        "datetime64[ns, UTC]",
    ],
)
def test_a_missing_value_of_every_dtype_can_be_asked_for(kind):
    values = {"boolean": [True, False, None], "Int64": [1, 2, None], "float64": [1.5, 2.5, None]}
    dates = ["2020-01-03", "2021-05-01", None] if kind.startswith("datetime") else None
    column = pd.Series((dates or values.get(kind, ["x", "y", None])) * 60, dtype=kind)
    frame = pd.DataFrame({"holes": column, "other": ["p", "q"] * 90})
    sdtype = "boolean" if kind == "boolean" else "categorical"
    if kind == "float64" or dates:
        sdtype = "datetime" if dates else "numerical"
    synthesizer = fit(describe({"holes": sdtype, "other": "categorical"}), frame)
    sample = conditioned(synthesizer, {"holes": None, "other": "p"})
    assert sample["holes"].isna().all()
    assert (sample["other"] == "p").all()
    assert len(sample) == 20
    assert sample["holes"].dtype == frame["holes"].dtype
    known = frame[frame["holes"].isna()].head(3)
    again = rows_of(synthesizer.sample_remaining_columns(known.copy()))
    assert again["holes"].isna().all()
    assert again["other"].tolist() == known["other"].tolist()


@pytest.mark.parametrize(
    "values",
    [{"group": "z"}, {"group": "z", "member": True}, {"age": 500}],
    ids=str,
)
def test_values_that_were_never_seen_end_in_the_error_of_sdv(synthesizer, values):
    with pytest.raises(ValueError, match="Unable to sample any rows for the given conditions"):
        conditioned(synthesizer, values, 5, max_tries_per_batch=5)


def test_conditions_on_what_is_no_data(synthesizer):
    with pytest.raises(ValueError, match="'id' because it is the primary key"):
        conditioned(synthesizer, {"id": 5})
    with pytest.raises(ValueError, match="Unexpected column name 'wage'"):
        conditioned(synthesizer, {"wage": 5})
    with pytest.raises(ValueError, match="Unexpected column name 'wage'"):
        synthesizer.sample_remaining_columns(pd.DataFrame({"wage": [1]}))


def test_conditions_meet_the_constraints_as_well():
    from sdv.cag import FixedCombinations, Inequality

    frame = people().assign(income=lambda f: f["age"] + 1.0 + f["id"] % 7)
    frame["floor"] = frame["group"].map({"a": "up", "b": "up", "c": "down"})
    columns = PEOPLE.to_dict()["tables"]["people"]["columns"] | {"floor": "categorical"}
    metadata = describe(columns, primary_key="id")
    synthesizer = WGANGPMFSSynthesizer(metadata, epochs=2, batch_size=60, random_state=0)
    synthesizer.add_constraints(
        [Inequality("age", "income"), FixedCombinations(["group", "floor"])]
    )
    synthesizer.fit(as_input(frame))
    sample = conditioned(synthesizer, {"group": "b", "member": True})
    assert sample["group"].eq("b").all()
    assert sample["member"].all()
    assert sample["floor"].eq("up").all()
    assert (sample["age"] <= sample["income"]).all()
