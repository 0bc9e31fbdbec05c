"""Paths as channels with a level and a scale of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.paths import PathEncoder


def prices(sequences: int = 40, steps: int = 30) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    level = 10 ** random.uniform(0, 3, (sequences, 1))
    close = level * np.exp(0.01 * random.standard_normal((sequences, steps)).cumsum(1))
    low = close * np.exp(-0.01 * random.random((sequences, steps)))
    noise = random.normal(size=(sequences, steps))
    frame = pd.DataFrame(
        {"close": close.ravel(), "low": low.ravel(), "noise": noise.ravel()}
    ).assign(twin=lambda each: each.close)
    return frame, np.full(sequences, steps)


@pytest.mark.fast
def test_what_kind_of_channel_each_column_is():
    encoder = PathEncoder().fit(*prices())
    close, low, noise = (
        next(channel for channel in encoder.channels if channel.name == name)
        for name in ("close", "low", "noise")
    )
    assert (close.walk, close.log, close.beside) == (True, True, None)
    assert (low.walk, low.log, low.below) == (False, True, ("close",))
    assert (noise.walk, noise.log, noise.beside) == (False, False, None)
    assert encoder.equal == {"twin": "close"}
    assert ("low", "close") in encoder.orders


@pytest.mark.fast
def test_paths_come_back_from_their_scores():
    frame, lengths = prices()
    encoder = PathEncoder().fit(frame, lengths)
    scores, summaries = encoder.encode(frame, lengths)
    back = encoder.decode(scores, summaries, lengths)
    for name in ("close", "low"):
        assert np.abs(np.log(back[name] / frame[name])).max() < 0.02
    assert (back.low <= back.close).all()
    assert (back.twin == back.close).all()
    assert np.abs(scores).max() <= 4
    assert scores[:, 0].std() == pytest.approx(1, abs=0.05)


@pytest.mark.fast
def test_means_and_scales_are_those_of_the_summaries():
    """Whatever the scores are: what the head says of a sequence holds."""
    frame, lengths = prices()
    encoder = PathEncoder().fit(frame, lengths)
    scores, summaries = encoder.encode(frame, lengths)
    other = np.random.default_rng(1).standard_normal(scores.shape)
    drawn = encoder.decode(other, summaries, lengths)
    _, found = encoder.encode(drawn, lengths)
    for name in ("close.start", "close.mean", "close.scale"):
        # But for the few sequences that meet the range of the column.
        assert np.quantile(np.abs(found[name] - summaries[name]), 0.9) < 0.05, name


@pytest.mark.fast
def test_a_column_between_others_keeps_the_order_without_meeting_them():
    frame, lengths = prices()
    high = frame.close * np.exp(0.01 * np.random.default_rng(2).random(len(frame)))
    frame = frame.assign(high=high, open=(frame.low + high) / 2)
    encoder = PathEncoder().fit(frame, lengths)
    scores, summaries = encoder.encode(frame, lengths)
    other = np.random.default_rng(1).standard_normal(scores.shape)
    drawn = encoder.decode(other, summaries, lengths)
    for low, high in (("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")):
        assert (drawn[low] <= drawn[high]).all()
        assert (drawn[low] == drawn[high]).mean() < 0.1


@pytest.mark.fast
def test_decimals_and_steps_of_whole_numbers_are_kept():
    frame, lengths = prices()
    frame = frame.assign(close=frame.close.round(1), count=(frame.low * 10).astype(int) * 100)
    encoder = PathEncoder().fit(frame, lengths)
    scores, summaries = encoder.encode(frame, lengths)
    back = encoder.decode(scores, summaries, lengths)
    assert back["count"].dtype == frame["count"].dtype
    assert (back["count"] % 100 == 0).all()
    assert np.array_equal(back.close, back.close.round(1))
