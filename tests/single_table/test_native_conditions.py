"""Native conditions: discrete columns are given to the generator, and no row is rejected."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from rdt.transformers import LabelEncoder
from sdv.errors import NotFittedError, SynthesizerInputError
from sdv.sampling import Condition
from shared_tables import FAST, PEOPLE, as_input, describe, fit, people, rows_of

from sdv_wgangp.cli.models import without_calibration
from sdv_wgangp.models import conditions
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions


@pytest.fixture(scope="module")
def conditional():
    """A synthesizer of a table with missing categories, few numbers and a derived column."""
    frame = people(600)
    random = np.random.default_rng(1)
    frame["plan"] = random.choice(np.array(["s", "m", "l", None], dtype=object), len(frame))
    frame["cars"] = random.integers(0, 3, len(frame))
    frame["region"] = frame["group"].map({"a": "north", "b": "north", "c": "south"})
    columns = PEOPLE.to_dict()["tables"]["people"]["columns"]
    columns |= {"plan": "categorical", "cars": "numerical", "region": "categorical"}
    return fit(describe(columns, primary_key="id"), frame, epochs=2), frame


def conditioned(synthesizer, *conditions, **options):
    given = [Condition(values, num_rows=rows) for values, rows in conditions]
    return rows_of(synthesizer.sample_from_conditions(given, **options))


@pytest.fixture
def drawn(monkeypatch):
    """How many rows the model was asked for, and under which conditions."""
    asked = []
    plain, each = TabularModel.sample, TabularModel.sample_each

    def sample(self, rows, conditions=None):
        if not conditions:
            asked.append((rows, {}))
        return plain(self, rows, conditions)

    def sample_each(self, wanted):
        asked.extend((rows, dict(conditions)) for conditions, rows in wanted)
        return each(self, wanted)

    monkeypatch.setattr(TabularModel, "sample", sample)
    monkeypatch.setattr(TabularModel, "sample_each", sample_each)
    return asked


@pytest.mark.parametrize(
    "values",
    [
        {"group": "b"},
        {"plan": None},
        {"plan": np.nan, "group": "a"},
        {"member": True, "plan": "l", "group": "c"},
        {"cars": 2},
        {"region": "south"},
        {"region": "north", "group": "b", "cars": 0},
        {"region": "north", "member": False},
    ],
    ids=str,
)
def test_conditions_on_discrete_columns_reject_no_row(conditional, drawn, values):
    synthesizer, frame = conditional
    sample = conditioned(synthesizer, (values, 30))
    assert [rows for rows, _ in drawn] == [30]
    assert set(drawn[0][1]) == set(values)
    assert len(sample) == 30
    assert list(sample) == list(frame)
    for name, value in values.items():
        assert (sample[name].isna() if pd.isna(value) else sample[name] == value).all()
    assert (
        sample["region"] == sample["group"].map({"a": "north", "b": "north", "c": "south"})
    ).all()
    assert (
        sample["income"].nunique() > 5 or values.get("group") == "c" or "south" in values.values()
    )


def test_conditions_on_numbers_are_filtered_among_rows_that_meet_the_others(conditional, drawn):
    synthesizer, frame = conditional
    income = frame["income"].median()
    sample = conditioned(synthesizer, ({"income": income, "plan": "m"}, 3))
    assert (sample[["income", "plan"]] == [income, "m"]).all(axis=None)
    assert len(sample) == 3
    assert {tuple(given) for _, given in drawn} == {("plan",)}


def test_a_missing_number_is_filtered(conditional):
    synthesizer, _ = conditional
    sample = conditioned(synthesizer, ({"income": np.nan, "group": "c"}, 5))
    assert sample["income"].isna().all()
    assert sample["group"].eq("c").all()


@pytest.mark.parametrize(
    "values",
    [
        {"group": "z"},
        {"region": "west"},
        {"region": "south", "group": "a"},
        {"cars": 7},
        {"cars": "2"},
        {"age": 1_000_000},
    ],
    ids=str,
)
def test_conditions_that_cannot_be_met_end_in_the_error_of_sdv(conditional, values):
    synthesizer, _ = conditional
    with pytest.raises(ValueError, match="Unable to sample any rows for the given conditions"):
        conditioned(synthesizer, (values, 5), max_tries_per_batch=3)


def test_a_condition_that_cannot_be_met_leaves_the_others(conditional):
    synthesizer, _ = conditional
    wanted = [({"group": "z"}, 3), ({"plan": "q"}, 2), ({"group": "a"}, 4)]
    with pytest.warns(UserWarning, match="column 'group' holds 'z'.*; .*'plan' holds 'q'"):
        sample = conditioned(synthesizer, *wanted)
    assert sample["group"].tolist() == ["a"] * 4


def test_known_rows_that_cannot_be_met_leave_the_others(conditional):
    synthesizer, _ = conditional
    known = pd.DataFrame({"group": ["a", "z", "c", "a", None], "region": ["north"] * 5})
    with pytest.warns(UserWarning, match="contradict each other"):
        sample = rows_of(synthesizer.sample_remaining_columns(known))
    assert sample["group"].tolist()[:2] == ["a", "a"]
    assert sample["group"].isna().tolist() == [False, False, True]  # a cell can be emptied
    assert sample.index.tolist() == [0, 3, 4]
    with pytest.raises(
        ValueError, match="contradict each other, as 'region' follows from 'group'"
    ):
        synthesizer.sample_remaining_columns(known.iloc[[2]])


def test_unmet_conditions_are_told_once_beside_rows_that_have_to_be_filtered(conditional):
    synthesizer, frame = conditional
    known = pd.DataFrame({"group": ["z", "a"], "age": [30, int(frame["age"].mode()[0])]})
    with pytest.warns(UserWarning, match="'z'") as caught:
        sample = rows_of(synthesizer.sample_remaining_columns(known))
    assert sum(str(warning.message).count("holds 'z'") for warning in caught) == 1
    assert sample["group"].tolist() == ["a"]


def test_many_conditions_that_cannot_be_met_are_counted(conditional):
    synthesizer, _ = conditional
    known = pd.DataFrame({"group": ["a", *(f"z{i}" for i in range(8))]})
    with pytest.warns(UserWarning, match="holds 'z0'.*holds 'z4'.*; and 3 more"):
        synthesizer.sample_remaining_columns(known)


def test_several_conditions_and_batches(conditional):
    synthesizer, _ = conditional
    wanted = [({"group": "a"}, 7), ({"group": "c"}, 5), ({"plan": None, "cars": 1}, 4)]
    sample = conditioned(synthesizer, *wanted, batch_size=3)
    assert len(sample) == 16
    assert sample["group"].head(12).tolist() == ["a"] * 7 + ["c"] * 5
    assert sample["plan"].tail(4).isna().all()
    assert sample["id"].is_unique


def test_remaining_columns_follow_the_known_ones_row_by_row(conditional):
    synthesizer, frame = conditional
    known = frame[["group", "plan", "member"]].head(25)
    sample = rows_of(synthesizer.sample_remaining_columns(known.copy()))
    for name in known:
        same = sample[name].eq(known[name]) | (sample[name].isna() & known[name].isna())
        assert same.all()
    assert list(sample) == list(frame)


def test_distinct_known_rows_are_drawn_together(conditional, drawn):
    synthesizer, frame = conditional
    known = frame[["plan", "cars", "member"]].iloc[100:200]
    calls = []

    def draw_together(sampler, wanted, *arguments, one_pass=conditions.draw_together):
        calls.append(len(wanted))
        return one_pass(sampler, wanted, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "draw_together", draw_together)
        sample = rows_of(synthesizer.sample_remaining_columns(known.copy()))
    assert calls == [len(known.drop_duplicates())]
    assert sum(rows for rows, _ in drawn) == 100
    assert sample.index.equals(known.index)
    assert sample["id"].is_unique
    for name in known:
        same = sample[name].eq(known[name]) | (sample[name].isna() & known[name].isna())
        assert same.all()
    assert list(sample) == list(frame)
    assert sample.dtypes.equals(frame.dtypes)


def test_known_rows_with_a_repeated_index_keep_their_order(conditional):
    synthesizer, _ = conditional
    known = pd.DataFrame({"group": ["a", "b", "c"] * 4}, index=[0] * 12)
    sample = rows_of(synthesizer.sample_remaining_columns(known.copy()))
    assert sample["group"].tolist() == known["group"].tolist()


def test_no_known_rows_are_an_error(conditional):
    synthesizer, _ = conditional
    with pytest.raises(ValueError, match="terminated"):
        synthesizer.sample_remaining_columns(pd.DataFrame({"group": []}, dtype=object))


@pytest.fixture(scope="module")
def labelled():
    """A synthesizer with a column whose values a transformer maps to others."""
    synthesizer = WGANGPMFSSynthesizer(PEOPLE, **FAST)
    synthesizer.auto_assign_transformers(as_input(people()))
    synthesizer.update_transformers({"group": LabelEncoder()})
    synthesizer.fit(as_input(people()))
    return synthesizer


def test_values_that_a_transformer_maps_to_others_are_filtered(labelled):
    with pytest.raises(ValueError, match="Unable to sample any rows"):
        conditioned(labelled, ({"group": "zzz"}, 5), max_tries_per_batch=3)
    sample = conditioned(labelled, ({"group": "a"}, 5), ({"group": "b"}, 5))
    assert sample["group"].tolist() == ["a"] * 5 + ["b"] * 5


def test_batches_and_files_leave_known_rows_to_sdv(conditional, tmp_path):
    synthesizer, frame = conditional
    known = frame[["plan", "group"]].head(12)
    place = (
        {"output_folder_path": tmp_path}
        if sdv_versions.takes_dictionaries()
        else {"output_file_path": tmp_path / "people.csv"}
    )
    for options in ({"batch_size": 1}, place):
        sample = rows_of(synthesizer.sample_remaining_columns(known.copy(), **options))
        assert sample["group"].tolist() == known["group"].tolist()
    (written,) = tmp_path.iterdir()
    assert len(pd.read_csv(written)) == 12


def test_without_conditional_training_rows_are_rejected_until_enough_meet_them(drawn):
    synthesizer = fit(PEOPLE, people(), epochs=2, conditional_share=0.0)
    sample = conditioned(synthesizer, ({"group": "b"}, 20))
    assert sample["group"].eq("b").all()
    assert len(sample) == 20
    assert sum(rows for rows, _ in drawn) > 20


# --------------------------------------------------------------------------- marginals


def test_a_balanced_marginal(conditional):
    synthesizer, frame = conditional
    sample = rows_of(synthesizer.sample_marginal(61, "group"))
    assert sorted(sample["group"].value_counts()) == [20, 20, 21]
    assert list(sample) == list(frame)
    assert sample["id"].is_unique
    assert sample["group"].ne(sample["group"].shift()).sum() > 10, "rows must be in random order"
    balanced = rows_of(synthesizer.sample_marginal(30, "plan"))["plan"]
    assert balanced.value_counts().to_dict() == {"s": 10, "m": 10, "l": 10}


def test_a_given_marginal(conditional):
    synthesizer, _ = conditional
    sample = rows_of(synthesizer.sample_marginal(40, "plan", {"s": 3, None: 1, "l": 0}))
    assert sample["plan"].eq("s").sum() == 30
    assert sample["plan"].isna().sum() == 10
    numbers = rows_of(synthesizer.sample_marginal(10, "cars", {0: 0.9, 2: 0.1}))["cars"]
    assert numbers.value_counts().to_dict() == {0: 9, 2: 1}
    derived = rows_of(synthesizer.sample_marginal(10, "region", {"south": 1.0}))
    assert derived["group"].eq("c").all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "group"), "num_rows must be a whole number of at least 1, not 0"),
        (
            (5, "group", "even"),
            "marginal must be 'balanced' or a dictionary of shares, not 'even'",
        ),
        ((5, "group", {"a": -1}), "marginal of 'a' must be a finite number of at least 0"),
        ((5, "group", pd.Series([1, 2], ["a", "a"])), "marginal has more than one share for 'a'"),
        ((5, "group", {"a": 0}), "marginal must give a share above 0 to some value"),
        ((5, ["group"]), r"column must be one of the metadata, not \['group'\]"),
        ((5, "id"), "column 'id' is a key or anonymised"),
        ((5, "email"), "column 'email' is a key or anonymised"),
        ((5, "income"), "column 'income' is no column of categories or few values: name one of"),
        (
            (5, "since"),
            "marginal of 'since', which goes through a TimestampEncoder, must be a dic",
        ),
        ((5, "group", {"z": 1}), "Unable to sample any rows for the given conditions"),
        ((5, "group", pd.Series({"z": 1})), "Unable to sample any rows for the given conditions"),
    ],
    ids=str,
)
def test_marginals_that_cannot_be_are_named(conditional, arguments, message):
    synthesizer, _ = conditional
    with pytest.raises((SynthesizerInputError, ValueError), match=message):
        synthesizer.sample_marginal(*arguments)


def test_a_marginal_needs_a_fit():
    with pytest.raises(NotFittedError, match="Fit the synthesizer"):
        WGANGPMFSSynthesizer(PEOPLE).sample_marginal(5, "group")


@pytest.mark.parametrize(
    ("column", "marginal", "value"),
    [
        ("cars", {0: 1, 7: 1}, "7"),
        ("cars", {0: 1, None: 1}, "None"),
        ("group", {"a": 1, "z": 1}, "'z'"),
        ("group", pd.Series({"a": 1, "z": 1}), "'z'"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_drawn_is_named(conditional, column, marginal, value):
    synthesizer, _ = conditional
    message = f"only 3 of 6 rows could be drawn: none with {column!r} = {value}; leave it out"
    with pytest.raises(ValueError, match=message):
        synthesizer.sample_marginal(6, column, marginal, max_tries_per_batch=3)


def test_a_balanced_marginal_of_transformed_values_is_refused(labelled):
    with pytest.raises(SynthesizerInputError, match="'group', which goes through a LabelEncoder"):
        labelled.sample_marginal(6, "group")


@pytest.mark.parametrize("calibrate", [True, False])
def test_models_sample_under_conditions_after_a_file(conditional, calibrate, tmp_path):
    synthesizer, _ = conditional
    synthesizer.save_model(tmp_path / "model.safetensors")
    loaded = WGANGPMFSSynthesizer.load_model(tmp_path / "model.safetensors")
    samples = []
    for one in (copy.deepcopy(synthesizer), loaded):
        if not calibrate:
            without_calibration(one)
        one.reset_sampling()
        samples.append(conditioned(one, ({"group": "b", "region": "north"}, 20)))
    modelled = ["group", "income", "age", "member", "since", "plan", "cars"]
    pd.testing.assert_frame_equal(samples[0][modelled], samples[1][modelled])
