"""Whole tables: round trips, size, errors, layout."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder


@pytest.fixture
def frame():
    random = np.random.default_rng(0)
    rows = 400
    return pd.DataFrame(
        {
            "kind": random.choice(["a", "b", "c"], rows),
            "count": random.integers(0, 5, rows),
            "amount": np.where(random.random(rows) < 0.3, 0.0, random.lognormal(size=rows)),
            "score": np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows)),
            "flag": random.random(rows) < 0.5,
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 9**8, rows)),
            "zip": random.integers(10_000, 10_010, rows),
        }
    )


def test_round_trip(frame):
    encoder = TableEncoder(["zip"]).fit(frame)
    table = encoder.encode(frame, np.random.default_rng(0))
    back = encoder.decode(table)
    assert list(back) == list(frame)
    assert (back.dtypes == frame.dtypes).all()
    for name in ("kind", "count", "flag", "zip"):
        assert back[name].tolist() == frame[name].tolist()
    assert back["score"].isna().equals(frame["score"].isna())
    for name in ("amount", "score"):
        span = frame[name].max() - frame[name].min()
        assert (back[name] - frame[name]).abs().max() < 1e-5 * span
    assert (back["when"] - frame["when"]).abs().max() < pd.Timedelta("1us")


def test_at_most_8_bytes_per_cell(frame):
    encoder = TableEncoder().fit(frame)
    table = encoder.encode(frame)
    size = sum(part.numel() * part.element_size() for part in (table.codes, table.positions))
    assert size <= 8 * frame.size


def test_a_hundred_thousand_levels_need_no_dense_matrix():
    rows = 200_000
    levels = np.random.default_rng(0).integers(0, 100_000, rows).astype(str)
    frame = pd.DataFrame({"id": levels, "x": np.arange(rows) % 3})
    encoder = TableEncoder(["id"]).fit(frame)
    table = encoder.encode(frame)
    assert table.codes.dtype == torch.int32
    assert max(encoder.widths) > 80_000
    assert table.codes.numel() * 4 + table.positions.numel() * 4 <= 8 * frame.size
    assert encoder.decode(table)["id"].tolist() == levels.tolist()


def test_layout_places_the_columns(frame):
    encoder = TableEncoder(["zip"]).fit(frame)
    layout = Layout.of(encoder)
    assert layout.offsets.diff().tolist() == encoder.widths
    names = list(frame)
    assert [names[c] for c in layout.ordered] == ["count", "amount", "score", "when"]
    assert [names[c] for c in layout.positioned] == ["amount", "score", "when"]
    for column in range(layout.columns):
        block = slice(layout.offsets[column], layout.offsets[column + 1])
        assert layout.frequencies[block].sum() == pytest.approx(1, abs=1e-6)
    # amount: an atom at zero, then bins; score: bins, then missing
    amount = slice(*layout.offsets[2:4].tolist())
    assert layout.has_position[amount].tolist() == [False] + [True] * (
        amount.stop - amount.start - 1
    )
    score = slice(*layout.offsets[3:5].tolist())
    assert layout.has_position[score].tolist() == [True] * (score.stop - score.start - 1) + [False]


def test_errors_name_the_column(frame):
    encoder = TableEncoder().fit(frame)
    with pytest.raises(ValueError, match="column 'flag' is not in the table"):
        encoder.encode(frame.drop(columns="flag"))
    with pytest.raises(ValueError, match="column 'zap' was named as discrete or ordinal"):
        TableEncoder(["zap"]).fit(frame)
    with pytest.raises(ValueError, match="column 'kind' is there more than once: rename"):
        TableEncoder().fit(pd.concat([frame, frame[["kind"]]], axis=1))
    with pytest.raises(ValueError, match=r"column .kind. cannot be encoded .*: turn its values"):
        TableEncoder().fit(frame.assign(kind=[["a"]] * len(frame)))
    lists = pd.Series([["a"]] * len(frame), dtype=pd.ArrowDtype(pa.list_(pa.string())))
    with pytest.raises(ValueError, match=r"column .kind. cannot be encoded .*: turn its values"):
        TableEncoder().fit(frame.assign(kind=lists))
    late = frame.assign(when=np.array(["3000-01-01"] * len(frame), dtype="datetime64[s]"))
    with pytest.raises(ValueError, match=r"column .when. cannot be encoded .*: use dates from"):
        TableEncoder().fit(late)
    with pytest.raises(ValueError, match="no rows or no columns"):
        TableEncoder().fit(frame.head(0))


def test_seeded(frame):
    encoder = TableEncoder().fit(frame)
    one, two = (encoder.encode(frame, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(one.codes, two.codes)
    assert torch.equal(one.positions, two.positions)


def test_encoding_makes_no_second_copy_of_the_frame():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": random.normal(size=50_000) for i in range(50)})
    encoder = TableEncoder().fit(frame)
    tracemalloc.start()
    table = encoder.encode(frame, random)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    result = sum(part.numel() * part.element_size() for part in (table.codes, table.positions))
    assert peak - result < 0.5 * frame.memory_usage(index=False).sum()
