"""Native conditions: exact, with the right distribution of the rest, and errors by name."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.encoding.conditions import names_of_conditions
from sdv_wgangp.models.tabular import TabularModel
from sdv_wgangp.training.settings import TrainingSettings

REFUSED = "Unable to sample any rows for the given conditions"
CITIES = {"Rome": "Italy", "Milan": "Italy", "Pisa": "Italy", "Paris": "France", "Lyon": "France"}


def make_frame(rows=1200):
    random = np.random.default_rng(0)
    city = random.choice(list(CITIES), rows, p=[0.4, 0.2, 0.1, 0.2, 0.1])
    kind = random.choice(np.array(["a", "b", None], dtype=object), rows)
    return pd.DataFrame(
        {
            "country": [CITIES[name] for name in city],
            "city": city,
            "x": random.normal(size=rows) + 2 * (kind == "b"),
            "kind": kind,
            "count": random.integers(0, 4, rows),
            "gaps": np.where(random.random(rows) < 0.3, np.nan, random.integers(0, 3, rows)),
            "flag": random.random(rows) < 0.3,
            "level": pd.Categorical(random.choice(["lo", "hi"], rows), ["lo", "hi", "none"]),
            "text": pd.array(random.choice(["u", "v"], rows), dtype="string"),
            "when": pd.to_datetime(random.choice(["2020-01-01", "2021-05-05"], rows)),
            "one": "same",
        }
    )


def fit(frame, epochs=2, **options):
    settings = {"batch_size": 100, "epochs": epochs, "min_steps_per_epoch": 20} | options
    model = TabularModel(
        TrainingSettings(**settings),
        embedding_dim=8,
        generator_dim=(32, 32),
        discriminator_dim=(32, 32),
        random_state=0,
    )
    return model.fit(frame)


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def fitted(frame):
    return fit(frame, min_steps_per_epoch=120)


@pytest.fixture(params=[True, False], ids=["calibrated", "uncalibrated"])
def model(fitted, request):
    fitted.calibrated = request.param
    return fitted


def holds(sample, name, value):
    return sample[name].isna() if pd.isna(value) else sample[name] == value


@pytest.mark.parametrize(
    "conditions",
    [
        {"kind": "b"},
        {"kind": None},
        {"gaps": np.nan, "kind": np.nan},
        {"count": 3},
        {"count": 3.0, "gaps": 1},
        {"flag": True},
        {"level": "hi", "text": "v"},
        {"when": pd.Timestamp("2021-05-05")},
        {"one": "same"},
        {"city": "Pisa", "kind": "a", "flag": np.bool_(False), "count": np.int64(0), "gaps": 2},
        {"country": "Italy"},
        {"country": "France", "kind": "a"},
        {"country": "Italy", "city": "Pisa"},
    ],
    ids=str,
)
def test_every_row_meets_the_conditions(model, frame, conditions):
    sample = model.sample(300, conditions)
    assert len(sample) == 300
    assert list(sample) == list(frame)
    assert (sample.dtypes == frame.dtypes).all()
    for name, value in conditions.items():
        assert holds(sample, name, value).all()
    assert sample["x"].nunique() > 250
    assert sample["country"].tolist() == [CITIES[name] for name in sample["city"]]


def test_the_table_is_what_the_tests_think(model):
    assert [derived.column.name for derived in model.encoder.derived] == ["country"]
    columns = {column.name: column for column in model.encoder.columns}
    assert columns["x"].has_positions
    assert not columns["count"].has_positions
    names = [name for name in make_frame(5) if name != "x"]
    assert names_of_conditions(model.encoder) == names


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"kind": "z"}, f"{REFUSED}: column 'kind' holds 'z', which was not in the data"),
        ({"level": "none"}, f"{REFUSED}: column 'level' holds 'none'"),
        ({"count": 2.5}, f"{REFUSED}: column 'count' holds .*2.5"),
        ({"count": "many"}, f"{REFUSED}: column 'count' is numeric, not 'many'"),
        ({"city": None}, f"{REFUSED}: column 'city' had no missing values"),
        ({"country": "Spain"}, f"{REFUSED}: column 'country' holds 'Spain'"),
        (
            {"city": "Paris", "country": "Italy"},
            f"{REFUSED}: 'city' = 'Paris', 'country' = 'Italy' contradict each other, as 'country'"
            " follows from 'city'",
        ),
        ({"x": 1.0}, "column 'x' is continuous and cannot be a condition"),
        ({"y": 1.0}, "condition on 'y', which is no column of the table: name one of country"),
    ],
    ids=str,
)
def test_conditions_that_cannot_be_met(model, conditions, message):
    with pytest.raises(ValueError, match=message):
        model.sample(10, conditions)


def test_a_source_follows_its_frequencies(model):
    shares = model.sample(6000, {"country": "Italy"})["city"].value_counts(normalize=True)
    real = make_frame()
    real = real.loc[real["country"] == "Italy", "city"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[real.index], real, atol=0.03)


def test_a_source_follows_the_generator_given_other_conditions(model):
    """Its distribution is that of the generator's rows, cut to the allowed ones."""
    shares = model.sample(6000, {"country": "Italy", "kind": "a"})["city"]
    # Without conditions, where a reference is what rows are brought to.
    free = model.sample(60_000) if model.calibrated else model.sample(12_000, {"kind": "a"})
    free = free[free["kind"] == "a"]
    free = free.loc[free["country"] == "Italy", "city"].value_counts(normalize=True)
    found = shares.value_counts(normalize=True)
    # Calibration makes no row more than twice as likely as this young generator does.
    tolerance = 0.08 if model.calibrated else 0.04
    np.testing.assert_allclose(found[free.index], free, atol=tolerance)


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_any_number_of_rows(model, rows):
    assert len(model.sample(rows, {"kind": "a"})) == rows
    assert len(model.sample(rows, {"country": "Italy", "kind": "a"})) == rows


def test_one_row_through_the_network_for_each_row(model, monkeypatch):
    """No row is rejected; calibration chooses among so many times as many, and only the choice of
    a source's code looks at noise of its own."""
    model.sample(1, {"kind": "a"})  # draws the reference
    times = DEFAULT.candidates if model.calibrated else 1
    seen = []
    draw = model.generator.draw  # noise for so many rows
    monkeypatch.setattr(
        model.generator, "draw", lambda rows, random: seen.append(rows) or draw(rows, random)
    )
    for conditions, rows in (
        ({"kind": None}, [1000 * times]),
        ({"city": "Pisa", "count": 1, "flag": False, "gaps": 0, "kind": "b"}, [1000 * times]),
        ({"country": "Italy"}, [1000 * times]),
        ({"country": "Italy", "kind": "a"}, [1000 * times] * 2),
    ):
        seen.clear()
        model.sample(1000, conditions)
        assert seen == rows


def test_the_reference_leaves_the_random_numbers_of_sampling_alone(frame):
    model = fit(frame[["x", "kind"]])
    conditions = {"kind": "a"}
    first, plain = model.sample(20, conditions), model.sample(20)  # the first one draws it
    model.set_random_state(9)
    again = model.sample(20, conditions)
    without_reference = pickle.loads(pickle.dumps(model))
    without_reference.set_random_state(9)
    assert_frame_equal(without_reference.sample(20, conditions), again)
    assert not first["x"].equals(plain["x"])


@pytest.mark.parametrize("value", [["a"], np.array(["a", "b"]), {"a"}], ids=str)
def test_values_that_are_no_single_value_are_named(model, value):
    with pytest.raises(ValueError, match=f"{REFUSED}: column 'kind' is to be .* no single value"):
        model.sample(5, {"kind": value})


def test_conditional_samples_go_on_and_repeat_after_a_seed(model):
    conditions = {"country": "Italy", "kind": "a"}
    model.set_random_state(3)
    first, second = (model.sample(50, conditions) for _ in range(2))
    assert not first.equals(second)
    model.set_random_state(3)
    assert_frame_equal(model.sample(50, conditions), first)
    copy = pickle.loads(pickle.dumps(model))
    assert_frame_equal(copy.sample(50, conditions), model.sample(50, conditions))


def test_without_conditional_training_there_are_no_conditions(frame):
    model = fit(frame[["x", "kind"]], conditional_share=0.0)
    assert model.native_conditions({"kind": "a"}) == {}
    with pytest.raises(ValueError, match=r"trained without conditions: .* conditional_share > 0"):
        model.sample(5, {"kind": "a"})
    names = {name for name, _ in model.generator.named_parameters()}
    assert not any("condition" in name for name in names)
    assert len(model.sample(5)) == 5


def test_fits_with_conditions_repeat(frame):
    models = [fit(frame[["x", "kind", "count"]], log_frequency=True) for _ in range(2)]
    states = [model.generator.state_dict().values() for model in models]
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))
    other = fit(frame[["x", "kind", "count"]], log_frequency=False)
    pairs = zip(states[0], other.generator.state_dict().values(), strict=True)
    assert not all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("columns", [["kind"], ["kind", "count"], ["x"], ["x", "kind"]])
def test_tables_with_little_to_condition_on(frame, columns):
    model = fit(frame[columns], meta_features=("frequency",))
    assert len(model.sample(30)) == 30
    if len(columns) > 1:
        assert (model.sample(30, {"kind": "a"})["kind"] == "a").all()


A, B, Y = "pqr", "uv", "xyz"
# Of `a` (the last one is rare), of `b` given `a`, of `y` given both.
P_A = np.array([0.67, 0.3, 0.03])
P_B = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
P_Y = np.array(
    [
        [[0.9, 0.1, 0.0], [0.1, 0.3, 0.6]],
        [[0.2, 0.2, 0.6], [0.7, 0.3, 0.0]],
        [[0.0, 0.5, 0.5], [0.4, 0.0, 0.6]],
    ]
)


def known_frame(rows=4000):
    random = np.random.default_rng(3)
    a = random.choice(3, rows, p=P_A)
    b = (random.random(rows) < P_B[a, 1]).astype(int)
    y = (random.random((rows, 1)) > P_Y[a, b].cumsum(1)).sum(1)
    value = random.normal(size=rows) * 0.5 + 2 * a - b
    return pd.DataFrame(
        {"a": np.array(list(A))[a], "b": np.array(list(B))[b], "y": np.array(list(Y))[y]}
    ).assign(value=value)


def distance(sample, name, levels, truth):
    shares = sample[name].value_counts(normalize=True).reindex(list(levels), fill_value=0)
    return np.abs(shares - truth).sum() / 2


def test_the_rest_follows_its_conditional_distribution():
    """P(y | a, b), P(b | a) and the numeric column's mean, for rare values too."""
    model = TabularModel(
        TrainingSettings(epochs=30, batch_size=200, generator_lr=2e-3, discriminator_lr=2e-3),
        embedding_dim=16,
        generator_dim=(64, 64),
        discriminator_dim=(64, 64),
        random_state=0,
    ).fit(known_frame())
    far, means = {}, {}
    for i, a in enumerate(A):
        sample = model.sample(3000, {"a": a})
        far[a] = distance(sample, "b", B, P_B[i])
        for j, b in enumerate(B):
            sample = model.sample(3000, {"a": a, "b": b})
            assert (sample[["a", "b"]] == [a, b]).all(axis=None)
            far[a + b] = distance(sample, "y", Y, P_Y[i, j])
            means[a + b] = abs(sample["value"].mean() - (2 * i - j))
    # Without the conditions' effect distances are .2 to .7, and .45 or more of rare "r" with
    # others, of which there are 60 rows each; means of "r" are 3 off, others 1.
    assert np.mean(list(far.values())) < 0.08
    assert max(distance for cell, distance in far.items() if "r" not in cell) < 0.2
    assert max(far.values()) < 0.3
    assert max(gap for cell, gap in means.items() if "r" not in cell) < 0.35
    assert max(means.values()) < 1.5
    free = model.sample(6000)
    assert distance(free, "a", A, P_A) < 0.02
    joint = free.groupby("a")["b"].value_counts(normalize=True).unstack(fill_value=0)
    assert np.abs(joint.loc[["p", "q"]].to_numpy() - P_B[:2]).max() < 0.06
