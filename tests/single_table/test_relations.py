"""Relations that samples keep, through SDV."""

import numpy as np
import pandas as pd
import pytest
from sdv.sampling import Condition

from sdv_wgangp import load_model
from sdv_wgangp.encoding.relations import find_relations
from sdv_wgangp.single_table import WGANGPMFSSynthesizer
from sdv_wgangp.synthesizers import sdv_versions

ROWS = 1_200
TINY = {
    "epochs": 1,
    "min_steps_per_epoch": 60,
    "batch_size": 200,
    "generator_dim": (32,),
    "discriminator_dim": (32,),
    "random_state": 0,
    "calibration_options": {"trees": 20},
}


@pytest.fixture(scope="module")
def bookings():
    rng = np.random.default_rng(0)
    net = rng.lognormal(4, 1, ROWS).round(2)
    rooms = rng.integers(1, 6, ROWS)
    begin = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, ROWS), "D")
    nights = rng.integers(1, 15, ROWS)
    return pd.DataFrame(
        {
            "net": net,
            "tax": (tax := rng.lognormal(2, 1, ROWS).round(2)),
            "total": (net + tax).round(2),
            "paid": np.where(rng.random(ROWS) < 0.3, net, rng.lognormal(4, 1, ROWS).round(2)),
            "rooms": rooms,
            "beds": rooms + rng.integers(0, 6, ROWS),
            "begin": begin,
            "nights": nights,
            "end": begin + pd.to_timedelta(nights, "D"),
            "kind": rng.choice(["a", "b", "c"], ROWS),
        }
    )


def synthesizer_of(frame, **parameters):
    metadata = sdv_versions.detect_metadata(frame)
    synthesizer = WGANGPMFSSynthesizer(metadata, **(TINY | parameters))
    synthesizer.fit(sdv_versions.as_fit_input(metadata, frame))
    return synthesizer


@pytest.fixture(scope="module")
def fitted(bookings):
    return synthesizer_of(bookings)


def exact_rates(real, synthetic):
    found = find_relations(real)
    rates = found.rates(synthetic)
    return {
        relation.statement: rate
        for relation, rate in zip(found, rates, strict=True)
        if relation.in_all
    }


def test_samples_keep_what_the_table_keeps(bookings, fitted):
    sample = sdv_versions.as_frame(fitted.sample(2_000))
    rates = exact_rates(bookings, sample)
    assert {
        "total = net + tax",
        "end = begin + nights in days",
        "rooms <= beds",
    } <= set(rates)
    assert set(rates.values()) == {1.0}
    real, made = ((frame["paid"] == frame["net"]).mean() for frame in (bookings, sample))
    assert made == pytest.approx(real, abs=0.08)
    assert sample["net"].between(bookings["net"].min(), bookings["net"].max()).all()
    assert sample["end"].between(bookings["end"].min(), bookings["end"].max()).all()


def test_rows_under_conditions_keep_them_and_the_condition(bookings, fitted):
    sample = sdv_versions.as_frame(
        fitted.sample_from_conditions([Condition({"rooms": 5, "kind": "b"}, num_rows=60)])
    )
    assert (sample["rooms"] == 5).all()
    assert (sample["kind"] == "b").all()
    assert set(exact_rates(bookings, sample).values()) == {1.0}


def test_what_no_row_can_be_names_the_relation(fitted):
    with pytest.raises(ValueError, match=r"'(rooms|beds)' is to be .* 'rooms <= beds'"):
        fitted.sample_from_conditions([Condition({"rooms": 5, "beds": 2}, num_rows=3)])


def test_a_rebuilt_column_is_a_condition_that_sdv_filters_for(bookings, fitted):
    end = bookings["end"].mode()[0]
    sample = sdv_versions.as_frame(
        fitted.sample_from_conditions(
            [Condition({"end": end}, num_rows=2)], max_tries_per_batch=200
        )
    )
    assert (sample["end"] == end).all()


def test_a_model_file_holds_them(fitted, tmp_path):
    path = tmp_path / "bookings.safetensors"
    fitted.save_model(path)
    loaded = load_model(path)
    fitted.reset_sampling()
    wanted = sdv_versions.as_frame(fitted.sample(300))
    pd.testing.assert_frame_equal(sdv_versions.as_frame(loaded.sample(300)), wanted)


def test_off_leaves_them_to_the_generator(bookings):
    off = synthesizer_of(bookings, relations="off")
    assert off.model.encoder.held.steps == ()
    sample = sdv_versions.as_frame(off.sample(500))
    assert (sample["end"] != sample["begin"] + pd.to_timedelta(sample["nights"], "D")).mean() > 0.5


def test_a_statement_that_does_not_hold_is_an_error_before_training(bookings):
    with pytest.raises(ValueError, match="'net = paid' is none that the table has"):
        synthesizer_of(bookings, relations=["net = paid"])
