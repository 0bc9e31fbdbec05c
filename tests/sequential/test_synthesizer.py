"""What SDV's sequential synthesizers promise, and what this one adds, under both lines of SDV."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from sdv.cag import FixedCombinations, Inequality, OneHotEncoding
from sdv.errors import InvalidDataError, NotFittedError, SamplingError, SynthesizerInputError
from sdv.metadata import Metadata
from sdv.sequential import PARSynthesizer

from sdv_wgangp.sequential import DoppelGANgerSynthesizer
from sdv_wgangp.synthesizers import sdv_versions
from sdv_wgangp.synthesizers.loading import load, load_model


def described(columns: dict[str, str], key: str | None = "who", index: str | None = None, **more):
    """Metadata of one table from sdtypes."""
    table = {
        "columns": {name: {"sdtype": sdtype, **more.get(name, {})}
                    for name, sdtype in columns.items()},
    }  # fmt: skip
    if key is not None:
        table["sequence_key"] = key
    if index is not None:
        table["sequence_index"] = index
    return Metadata.load_from_dict({"tables": {"visits": table}})


def visits(count: int = 12, seed: int = 0) -> pd.DataFrame:
    """Ragged sequences: irregular days, a category, whole numbers and missing values."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(count):
        length = int(random.integers(1, 7))
        level = random.choice([2.0, 20.0])
        parts.append(
            pd.DataFrame(
                {
                    "who": f"P-{number:03d}",
                    "sex": random.choice(["f", "m"]),
                    "size": level,
                    "day": pd.Timestamp("2024-01-01")
                    + pd.to_timedelta(random.integers(1, 9, length).cumsum(), unit="D"),
                    "mood": random.choice(["good", "bad", None], length),
                    "pulse": random.integers(50, 90, length),
                    "weight": np.where(
                        random.random(length) < 0.2, np.nan, random.normal(70, 5, length).round(1)
                    ),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


COLUMNS = {
    "who": "id",
    "sex": "categorical",
    "size": "numerical",
    "day": "datetime",
    "mood": "categorical",
    "pulse": "numerical",
    "weight": "numerical",
}
VISITS = described(COLUMNS, index="day", who={"regex_format": "P-[0-9]{3}"})


def synthesizer_of(metadata=VISITS, context=("sex", "size"), **options) -> DoppelGANgerSynthesizer:
    options = {"epochs": 1, "random_state": 0, "context_columns": list(context)} | options
    return DoppelGANgerSynthesizer(metadata, **options)


def fitted(frame, metadata=VISITS, context=("sex", "size"), **options) -> DoppelGANgerSynthesizer:
    synthesizer = synthesizer_of(metadata, context, **options)
    synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
    return synthesizer


def rows(sampled) -> pd.DataFrame:
    return sdv_versions.as_frame(sampled)


@pytest.fixture(scope="module")
def synthesizer() -> DoppelGANgerSynthesizer:
    return fitted(visits())


# --------------------------------------------------------------------------- sampling


def test_it_is_a_par_synthesizer_that_sdv_knows():
    from sdv.sequential import DoppelGANgerSynthesizer as from_sdv

    assert from_sdv is DoppelGANgerSynthesizer
    assert issubclass(DoppelGANgerSynthesizer, PARSynthesizer)
    shared = ["metadata", "enforce_min_max_values", "enforce_rounding", "locales",
              "context_columns", "segment_size", "epochs"]  # fmt: skip
    assert [*inspect.signature(DoppelGANgerSynthesizer).parameters][:7] == shared


def test_samples_look_like_the_table(synthesizer):
    frame, sampled = visits(), rows(synthesizer.sample(20))
    assert list(sampled.columns) == list(frame.columns)
    assert sampled.who.nunique() == 20
    assert sampled.who.str.fullmatch(r"P-[0-9]{3}").all()
    assert sampled.pulse.dtype == frame.pulse.dtype
    assert sampled.day.dtype == frame.day.dtype
    assert sampled.pulse.between(frame.pulse.min(), frame.pulse.max()).all()
    assert np.allclose(sampled.weight, sampled.weight.round(1), equal_nan=True)
    assert set(sampled.mood.dropna()) <= {"good", "bad"}
    for name in ("sex", "size"):
        assert (sampled.groupby("who")[name].nunique() == 1).all()
    sdv_versions.as_fit_input(VISITS, sampled)
    synthesizer.validate(sdv_versions.as_fit_input(VISITS, sampled))


def test_both_names_of_sampling_go_on_from_one_another(synthesizer):
    synthesizer.reset_sampling()
    first, second = rows(synthesizer.sample(3)), rows(synthesizer.sample_sequences(3))
    synthesizer.reset_sampling()
    again = rows(synthesizer.sample_sequences(3)), rows(synthesizer.sample(3))
    pd.testing.assert_frame_equal(first, again[0])
    pd.testing.assert_frame_equal(second, again[1])
    assert not first.equals(second)


def test_time_never_goes_back_nor_stands_still_where_it_does_not_in_the_data(synthesizer):
    sampled = rows(synthesizer.sample(10, sequence_length=30))
    assert (sampled.groupby("who").size() == 30).all()
    gaps = sampled.groupby("who").day.diff().dropna()
    assert (gaps > pd.Timedelta(0)).all()
    assert (sampled.day.dt.normalize() == sampled.day).all()


def test_a_seed_repeats_the_fit_and_the_sample():
    one, other = (rows(fitted(visits()).sample(5)) for _ in range(2))
    pd.testing.assert_frame_equal(one, other)


def test_seeds_of_sampling_give_other_rows_and_keys(synthesizer):
    samples = []
    for seed in (1, 2, 1):
        synthesizer.set_sampling_seed(seed)
        samples.append(rows(synthesizer.sample(4)))
    synthesizer.reset_sampling()
    pd.testing.assert_frame_equal(samples[0], samples[2])
    assert not set(samples[0].who) & set(samples[1].who)


# --------------------------------------------------------------------------- contexts, prefixes


@pytest.mark.parametrize("given", [["sex"], ["size"], ["who", "sex"], ["size", "sex"], ["who"]])
def test_any_subset_of_the_context_may_be_given(synthesizer, given):
    wanted = pd.DataFrame(
        {"who": ["X", "Y", "Z"], "size": [20.0, 2.0, 20.0], "sex": ["f", "m", "m"]}
    )[given]
    sampled = rows(synthesizer.sample_sequential_columns(wanted.copy(), sequence_length=2))
    assert len(sampled) == 6
    heads = sampled.groupby("who", sort=False).first().reset_index()
    for name in given:
        assert heads[name].tolist() == wanted[name].tolist()


def test_contexts_that_cannot_be_are_named(synthesizer):
    with pytest.raises(SamplingError, match=r"'sex'.*'x'"):
        synthesizer.sample_sequential_columns(pd.DataFrame({"sex": ["x"]}))
    with pytest.raises(SamplingError, match="'mood' is no context column"):
        synthesizer.sample_sequential_columns(pd.DataFrame({"mood": ["good"]}))
    columns = {name: kind for name, kind in COLUMNS.items() if name not in ("sex", "size")}
    bare = fitted(visits()[list(columns)], described(columns, index="day"), ())
    with pytest.raises(SamplingError, match="does not have any context columns"):
        bare.sample_sequential_columns(pd.DataFrame({"sex": ["f"]}))


def test_sequences_go_on_where_a_prefix_ends(synthesizer):
    prefix = visits(3, seed=5)
    more = rows(synthesizer.sample_continuation(sdv_versions.as_fit_input(VISITS, prefix), 4))
    assert (more.groupby("who").size() == 4).all()
    last, first = prefix.groupby("who").day.last(), more.groupby("who").day.first()
    assert (first > last).all()
    for name in ("sex", "size"):
        assert more.groupby("who")[name].first().equals(prefix.groupby("who")[name].first())


@pytest.fixture(scope="module")
def untrained() -> DoppelGANgerSynthesizer:
    """Of visits, and quick: what is asked of it needs no training."""
    return fitted(visits(), epochs=0)


def continued(synthesizer, metadata, prefix, steps: int = 4) -> pd.DataFrame:
    given = sdv_versions.as_fit_input(metadata, prefix)
    return rows(synthesizer.sample_continuation(given, steps))


@pytest.mark.parametrize(
    "moved", [pd.Timedelta(days=-3650), pd.Timedelta(hours=5), pd.Timedelta(hours=-4000)]
)
def test_sequences_go_on_from_prefixes_off_the_range_and_steps_of_the_training(untrained, moved):
    prefix = visits(3, seed=5)
    prefix["day"] += moved
    more = continued(untrained, VISITS, prefix)
    last, first = prefix.groupby("who").day.last(), more.groupby("who").day.first()
    assert (first > last).all()
    assert (first < last + pd.Timedelta(days=60)).all()
    gaps = more.groupby("who").day.diff().dropna()
    assert (gaps > pd.Timedelta(0)).all()
    assert (gaps % pd.Timedelta(days=1) == pd.Timedelta(0)).all()


@pytest.mark.parametrize("moved", [pd.DateOffset(years=-3), pd.DateOffset(days=2, hours=5)])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_months_go_on_as_months(moved, zone):
    frame = steps_table(
        t=[*pd.date_range("2020-01-01", periods=24, freq="MS", tz=zone)] * 2, x=[1, 2, 3] * 16
    )
    metadata = described({"who": "id", "t": "datetime", "x": "numerical"}, index="t")
    prefix = frame.assign(t=frame.t + moved)
    more = continued(fitted(frame, metadata, (), epochs=0), metadata, prefix)
    wanted = [prefix.t.iloc[23] + pd.DateOffset(months=number) for number in range(1, 5)]
    assert [*more.t.astype(frame.t.dtype)] == wanted * 2


def test_numbers_never_go_back_behind_a_prefix_with_more_decimals():
    frame = steps_table(t=[0.5, 0.5, 1.5] * 2, x=[1, 2, 3] * 2)
    metadata = described({"who": "id", "t": "numerical", "x": "numerical"}, index="t")
    prefix = frame.assign(t=frame.t + 0.14)
    more = continued(fitted(frame, metadata, (), epochs=0), metadata, prefix)
    assert (more.t >= 1.64).all()


@pytest.mark.parametrize("dtype", ["int8", "UInt8"])
def test_an_index_of_few_bits_does_not_wrap_round(dtype):
    frame = steps_table(t=pd.array([100, 101, 103] * 2, dtype=dtype), x=[1, 2, 3] * 2)
    metadata = described({"who": "id", "t": "numerical", "x": "numerical"}, index="t")
    synthesizer = fitted(frame, metadata, (), epochs=0)
    message = f"sequence_length of .* takes index 't' beyond {dtype.lower()}: use a wider dtype"
    with pytest.raises(SamplingError, match=message):
        synthesizer.sample(2, sequence_length=300)
    with pytest.raises(SamplingError, match=message):
        continued(synthesizer, metadata, frame, 300)
    assert continued(synthesizer, metadata, frame, 3).t.between(103, 115).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"who": ["X", "Y", "X"], "sex": ["f", "m", "m"]}, "key 'who' = 'X' is in several rows"),
        ({"who": ["X", None], "sex": ["f", "m"]}, "key 'who' is missing in 1 rows"),
        ({"sex": []}, "The context frame has no rows: give one for each sequence"),
        ({"size": ["big"]}, "Column 'size' holds 'big', which is no number"),
    ],
)
def test_context_frames_that_cannot_be_are_refused(untrained, given, message):
    with pytest.raises(SamplingError, match=message):
        untrained.sample_sequential_columns(pd.DataFrame(given), 2)


@pytest.mark.parametrize("name", ["who", "sex", "day", "pulse"])
def test_columns_that_a_prefix_lacks_are_named(untrained, name):
    with pytest.raises(SamplingError, match=f"column '{name}' is not in the prefix: add it"):
        untrained.sample_continuation(visits(2).drop(columns=name), 2)
    with pytest.raises(SamplingError, match="Column 'size' holds 'big', which is no number"):
        untrained.sample_continuation(visits(2).assign(size="big"), 2)


# --------------------------------------------------------------------------- data of any kind


def steps_table(**columns) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"who": ["a"] * (count // 2) + ["b"] * (count - count // 2), **columns})


@pytest.mark.parametrize(
    ("index", "sdtype"),
    [
        ([1, 2, 3, 5, 8, 9], "numerical"),
        ([0.5, 1.5, 2.0, 0.25, 0.75, 4.0], "numerical"),
        ([3, 3, 4, 7, 7, 7], "numerical"),
        (pd.to_datetime(["2020-01-31", "2020-02-01", "2020-02-03"] * 2), "datetime"),
        (["2020-01-31", "2020-02-01", "2020-02-03"] * 2, "datetime"),
    ],
)
def test_an_index_of_any_kind_is_sorted_and_keeps_its_kind(index, sdtype):
    frame = steps_table(t=index, x=[1.5, 2.5, 2.5, 1.5, 1.5, 2.5])
    formats = {"datetime_format": "%Y-%m-%d"} if sdtype == "datetime" else {}
    metadata = described({"who": "id", "t": sdtype, "x": "numerical"}, index="t", t=formats)
    sampled = rows(fitted(frame, metadata, ()).sample(3, sequence_length=4))
    assert sampled.t.dtype == frame.t.dtype
    zero = pd.Timedelta(0) if sdtype == "datetime" else 0
    when = pd.to_datetime(sampled.t) if sdtype == "datetime" else sampled.t
    assert (when.groupby(sampled.who).diff().dropna() >= zero).all()


def test_unsorted_rows_are_learned_in_their_order():
    count = 40
    frame = pd.DataFrame({
        "who": np.repeat(["a", "b", "c", "d"], 10), "t": [*range(10)] * 4,
        "state": ["low"] * 5 + ["high"] * 5 + ["low"] * 5 + ["high"] * 5 + ["low"] * 10 + [
            "high"] * 10})  # fmt: skip
    metadata = described({"who": "id", "t": "numerical", "state": "categorical"}, index="t")
    shuffled = frame.sample(count, random_state=0).reset_index(drop=True)
    one, other = (rows(fitted(each, metadata, ()).sample(2)) for each in (frame, frame.copy()))
    pd.testing.assert_frame_equal(one, other)
    sampled = rows(fitted(shuffled, metadata, ()).sample(4))
    assert (sampled.groupby("who").t.diff().dropna() == 1).all()


def test_constant_and_missing_columns_come_back():
    frame = steps_table(
        same=[7] * 6, nothing=[np.nan] * 6, none=[None] * 6, flag=[True, False] * 3
    )
    metadata = described(
        {"who": "id", "same": "numerical", "nothing": "numerical", "none": "categorical",
         "flag": "boolean"})  # fmt: skip
    sampled = rows(fitted(frame, metadata, ()).sample(2, sequence_length=3))
    assert (sampled.same == 7).all()
    assert sampled.nothing.isna().all()
    assert sampled.none.isna().all()
    assert sampled.flag.dtype == bool


@pytest.mark.parametrize("lengths", [[2], [1, 1, 1], [1, 5]])
def test_few_and_short_sequences(lengths):
    frame = pd.DataFrame({"who": np.repeat(np.arange(len(lengths)), lengths)})
    frame["t"], frame["x"] = np.arange(len(frame)), np.arange(len(frame)) % 2
    metadata = described({"who": "id", "t": "numerical", "x": "numerical"}, index="t")
    assert rows(fitted(frame, metadata, ()).sample(4)).who.nunique() == 4


def test_no_epochs_and_a_frame_with_gaps_in_its_index():
    frame = visits()
    frame = frame.iloc[::2]
    sampled = rows(fitted(frame, epochs=0).sample(3, sequence_length=2))
    assert len(sampled) == 6


def test_smooth_paths_keep_their_level_scale_and_order():
    random = np.random.default_rng(0)
    parts = []
    for number in range(30):
        close = 10 ** random.uniform(0, 3) * np.exp(0.01 * random.standard_normal(40).cumsum())
        high = close * np.exp(np.abs(0.01 * random.standard_normal(40)))
        parts.append(pd.DataFrame({
            "who": f"S{number}", "day": pd.date_range("2024-01-01", periods=40, freq="B"),
            "close": close.round(3), "high": high.round(3), "same": close.round(3)}))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    metadata = described({"who": "id", "day": "datetime", "close": "numerical",
                          "high": "numerical", "same": "numerical"}, index="day")  # fmt: skip
    synthesizer = fitted(frame, metadata, ())
    sampled = rows(synthesizer.sample(30))
    assert (sampled.high >= sampled.close).all()
    assert (sampled.close == sampled.same).all()
    own = sampled.groupby("who").day.apply(list)
    assert all(days == [*pd.date_range("2024-01-01", periods=40, freq="B")] for days in own)
    steps = [np.log(each.close).groupby(each.who).diff().std() for each in (frame, sampled)]
    assert steps[1] == pytest.approx(steps[0], rel=0.3)
    more = rows(synthesizer.sample_continuation(
        sdv_versions.as_fit_input(metadata, frame.iloc[:20]), 3))  # fmt: skip
    assert len(more) == 3
    assert abs(np.log(more.close.iloc[0] / frame.close.iloc[19])) < 0.1


def test_one_long_series_without_a_key():
    time = pd.date_range("2024-01-01", periods=200, freq="h")
    frame = pd.DataFrame({"t": time, "x": np.sin(np.arange(200) / 5).round(3)})
    metadata = described({"t": "datetime", "x": "numerical"}, key=None)
    synthesizer = fitted(frame, metadata, (), segment_size=20)
    sampled = rows(synthesizer.sample(2))
    assert len(sampled) == 40
    assert len(rows(synthesizer.sample(1, sequence_length=60))) == 60


def test_segments_of_steps_and_of_time():
    frame = visits(6)
    assert rows(fitted(frame, segment_size=2).sample(5)).groupby("who").size().max() <= 2
    sampled = rows(fitted(frame, segment_size=pd.Timedelta(days=5)).sample(5))
    assert sampled.who.nunique() == 5


def test_made_up_columns_are_made_up_once_a_sequence():
    frame = visits().assign(mail=lambda each: each.who + "@example.org", note="n")
    metadata = described({**COLUMNS, "mail": "email", "note": "id"}, index="day",
                         mail={"pii": True})  # fmt: skip
    sampled = rows(fitted(frame, metadata, ("sex", "mail")).sample(4, sequence_length=3))
    assert (sampled.groupby("who").mail.nunique() == 1).all()
    assert not set(sampled.mail) & set(frame.mail)
    assert sampled.mail.nunique() == 4


# --------------------------------------------------------------------------- constraints


def test_constraints_within_the_context_and_off_it():
    frame = visits().assign(country=lambda each: each.sex.map({"f": "A", "m": "B"}),
                            rest=lambda each: each.pulse - 10)  # fmt: skip
    metadata = described(
        {**COLUMNS, "country": "categorical", "rest": "numerical"}, index="day")  # fmt: skip
    synthesizer = synthesizer_of(metadata, ("sex", "country"))
    synthesizer.add_constraints([FixedCombinations(["sex", "country"])])
    synthesizer.add_constraints([Inequality("rest", "pulse")])
    synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
    sampled = rows(synthesizer.sample(6))
    assert (sampled.country == sampled.sex.map({"f": "A", "m": "B"})).all()
    assert (sampled.rest <= sampled.pulse).all()
    assert (sampled.groupby("who").sex.nunique() == 1).all()
    with pytest.raises(SamplingError, match=r"'sex' is under a constraint: .* of who"):
        synthesizer.sample_sequential_columns(pd.DataFrame({"sex": ["f"]}))
    with pytest.raises(SamplingError, match="column 'sex' is not in the prefix"):
        synthesizer.sample_continuation(frame.drop(columns="sex"), 1)


def test_constraints_that_mix_context_and_steps_are_refused():
    synthesizer = synthesizer_of()
    with pytest.raises(SynthesizerInputError, match="mix of context and non-context"):
        synthesizer.add_constraints([FixedCombinations(["sex", "mood"])])


def test_one_hot_columns_stay_one_hot():
    frame = steps_table(a=[1, 0, 0, 1, 0, 1], b=[0, 1, 1, 0, 1, 0])
    metadata = described({"who": "id", "a": "numerical", "b": "numerical"})
    synthesizer = synthesizer_of(metadata, ())
    synthesizer.add_constraints([OneHotEncoding(["a", "b"])])
    synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
    sampled = rows(synthesizer.sample(3, sequence_length=4))
    assert (sampled.a + sampled.b == 1).all()


# --------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": ["who"]}, "sequence key.*cannot be a context column"),
        ({"context": ["day"]}, "sequence index 'day'"),
        ({"context": ["hair"]}, "'hair' is not in the metadata"),
        ({"epochs": -1}, "epochs must be a whole number of at least 0"),
        ({"segment_size": 0}, "segment_size"),
        ({"segment_size": "week"}, "segment_size"),
        ({"random_state": -1}, "random_state"),
    ],
)
def test_parameters_that_cannot_be_are_named(options, message):
    with pytest.raises(SynthesizerInputError, match=message):
        synthesizer_of(**options)


def test_data_that_cannot_be_are_named_before_training():
    frame = visits()
    changing = frame.assign(sex=["f", "m"] * (len(frame) // 2) + ["f"] * (len(frame) % 2))
    with pytest.raises(InvalidDataError, match="'sex' is changing inside sequence"):
        fitted(changing)
    missing = frame.assign(day=frame.day.where(frame.index > 0))
    with pytest.raises(InvalidDataError, match="index 'day' is missing in 1 rows"):
        fitted(missing)
    with pytest.raises(NotFittedError):
        synthesizer_of().sample(1)
    with pytest.raises(SynthesizerInputError, match="num_sequences"):
        fitted(frame).sample(0)


# --------------------------------------------------------------------------- files, watching


def test_parameters_losses_and_their_plot(synthesizer):
    given = synthesizer.get_parameters()
    assert given["epochs"] == 1
    assert given["context_columns"] == ["sex", "size"]
    assert "metadata" not in given
    losses = synthesizer.get_loss_values()
    assert list(losses.columns) == ["Epoch", "Generator Loss", "Discriminator Loss"]
    assert len(losses) >= 1
    assert len(synthesizer.get_loss_values_plot().data) == 2
    with pytest.raises(NotFittedError):
        synthesizer_of().get_loss_values()


def test_both_kinds_of_files_sample_the_same(synthesizer, tmp_path):
    synthesizer.reset_sampling()
    wanted = rows(synthesizer.sample(5))
    synthesizer.save(tmp_path / "model.pkl")
    synthesizer.save_model(tmp_path / "model.safetensors")
    for loaded in (load(tmp_path / "model.pkl"), load_model(tmp_path / "model.safetensors")):
        loaded.reset_sampling()
        pd.testing.assert_frame_equal(rows(loaded.sample(5)), wanted)
    again = pickle.loads(pickle.dumps(synthesizer))
    again.reset_sampling()
    pd.testing.assert_frame_equal(rows(again.sample(5)), wanted)


def test_callbacks_are_told_and_a_killed_fit_is_resumed(tmp_path):
    told = []
    whole = synthesizer_of(epochs=2)
    whole.set_callbacks([lambda log: told.append(log.epoch)])
    whole.fit(sdv_versions.as_fit_input(VISITS, visits()))
    assert told == [0, 1]

    class KilledError(Exception):
        pass

    def kill(log):
        if log.epoch == 0:
            raise KilledError

    killed = synthesizer_of(epochs=2)
    killed.set_checkpoints(tmp_path)
    killed.set_callbacks([kill])
    with pytest.raises(KilledError):
        killed.fit(sdv_versions.as_fit_input(VISITS, visits()))
    resumed = synthesizer_of(epochs=2)
    resumed.set_checkpoints(tmp_path)
    resumed.resume(sdv_versions.as_fit_input(VISITS, visits()))
    pd.testing.assert_frame_equal(rows(resumed.sample(4)), rows(whole.sample(4)))
