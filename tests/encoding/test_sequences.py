"""Frames of sequences, taken apart and put together again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.encoding.sequences import SequenceAssembler


def ragged(index) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": [1.5, None, 2.5, 0.25, 7.0, 1.0],
            "who": ["b", "a", "a", "c", "a", "b"],
            "t": index,
            "kind": [1, 2, 2, 3, 2, 1],
            "word": pd.Categorical(["u", "v", None, "u", "u", "v"]),
        }
    )


INDEXES = [
    [3, 5, 1, 9, 5, 3],
    np.array([3, 5, 1, 9, 5, 3], dtype="uint8"),
    pd.array([3, 5, 1, 9, 5, 3], dtype="Int32"),
    [0.1, 0.7, 0.3, 2.0, 1.1, 0.2],
    pd.to_datetime(["2024-03-01", "2024-02-29", "2020-01-01", "1999-12-31", "2024-02-29",
                    "2024-01-01"]),
    pd.to_datetime(["2024-03-31 01:30", "2024-03-31 03:30", "2024-03-30 00:00", "2024-10-27 00:00",
                    "2024-10-28 00:00", "2024-03-30 00:00"]).tz_localize("Europe/Berlin"),
    pd.to_datetime(["2024-03-01", "2024-02-29", "2020-01-01", "1999-12-31", "2024-02-28",
                    "2024-01-01"]).as_unit("s"),
]  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("context", [(), ("kind",)])
def test_what_was_taken_apart_comes_back_as_it_was(index, context):
    frame = ragged(index)
    assembler = SequenceAssembler("who", "t", context)
    found = assembler.fit(frame)
    back = assembler.frame(found.head, found.steps, found.keys)
    expected = frame.assign(place=pd.factorize(frame.who)[0]).sort_values(
        ["place", "t"], kind="stable"
    )
    pd.testing.assert_frame_equal(back, expected[frame.columns].reset_index(drop=True))
    gaps = found.steps["t"].iloc[found.times > 0]
    assert (gaps >= gaps.iloc[0] * 0).all()
    assert found.steps["t"].iloc[found.begins].isna().all()
    assert found.lengths.tolist() == [2, 3, 1]


@pytest.mark.fast
def test_without_an_index_rows_stay_in_their_order():
    frame = ragged(range(6))
    found = SequenceAssembler(["who"]).fit(frame)
    assert found.steps["t"].tolist() == [0, 5, 1, 2, 4, 3]


@pytest.mark.fast
def test_names_of_the_head_leave_those_of_columns():
    frame = pd.DataFrame({"who": ["a"], "length": [1], "t": [2], "t.start": ["x"]})
    assembler = SequenceAssembler("who", "t", ["length", "t.start"])
    assert list(assembler.fit(frame).head) == ["length", "t.start", "t.start_", "length_"]


@pytest.mark.fast
def test_segments():
    frame = pd.DataFrame({"who": [*"aaaaabbbc"], "t": range(9)})
    found = SequenceAssembler("who", "t", segment_size=2).fit(frame)
    assert found.lengths.tolist() == [2, 2, 2, 1]
    assert found.head["t.start"].tolist() == [0, 2, 5, 8]
    timed = frame.assign(t=pd.to_datetime([0, 1, 2, 5, 6, 0, 1, 9, 0], unit="D"))
    found = SequenceAssembler("who", "t", segment_size=pd.Timedelta(days=3)).fit(timed)
    assert found.lengths.tolist() == [3, 1, 1, 2, 1, 1]


@pytest.mark.fast
def test_a_long_series_is_cut_into_overlapping_windows():
    frame = pd.DataFrame({"t": range(10), "x": range(10)})
    found = SequenceAssembler(None, "t", segment_size=4).fit(frame)
    assert len(found) == 7
    assert found.steps.x.to_numpy().reshape(7, 4)[2].tolist() == [2, 3, 4, 5]
    assert found.keys is None


@pytest.mark.fast
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("who", "t", ["who"]), "'who' cannot be context and sequence key"),
        (("who", "t", ["t"]), "'t' cannot be context"),
        (("who", "who"), "cannot be sequence key and sequence index"),
        ((None, "t", ["x"]), "'x' needs a sequence key"),
        (("who", "t", (), 0), "segment_size"),
        (("who", "t", (), True), "segment_size"),
        (("who", "t", (), pd.Timedelta(0)), "segment_size"),
    ],
)
def test_contradictions_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SequenceAssembler(*arguments)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": [1, 2, 3, 3, 2, 1]}, "'kind' is changing inside sequence who = 'a'"),
        ({"t": [1, None, 2, 3, 4, 5]}, "index 't' is missing in 1 rows"),
        ({"who": ["a", None, "a", "a", "a", "a"]}, "key 'who' is missing in 1 rows"),
        ({"t": [*"abcdef"]}, "'t' has dtype"),
    ],
)
def test_frames_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SequenceAssembler("who", "t", ["kind"]).fit(ragged(range(6)).assign(**change))
    with pytest.raises(ValueError, match="no rows"):
        SequenceAssembler("who", "t", ["kind"]).fit(ragged(range(6)).head(0))
    with pytest.raises(ValueError, match="'who' is not in the table"):
        SequenceAssembler("who").fit(pd.DataFrame({"x": [1]}))
