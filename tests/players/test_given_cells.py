"""Which cells of real rows are given in training."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.players.given_cells import ConditionSampler, given_columns
from sdv_wgangp.training.settings import TrainingSettings

ROWS = 500
DRAWN = 4000


@pytest.fixture(scope="module")
def encoded():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=ROWS),
            "kind": random.choice(list("abc"), ROWS, p=[0.9, 0.09, 0.01]),
            "count": random.integers(0, 4, ROWS),
            "same": "s",
            "flag": random.random(ROWS) < 0.5,
        }
    )
    encoder = TableEncoder().fit(frame)
    return Layout.of(encoder), encoder.encode(frame, random), frame


def seeded():
    return torch.Generator().manual_seed(0)


def sampler(encoded, log_frequency, columns=None):
    layout, table, _ = encoded
    columns = layout.conditionable if columns is None else columns
    return ConditionSampler(columns, layout, table, DRAWN, log_frequency)


def test_columns_that_may_be_given_are_sets_of_codes(encoded):
    assert encoded[0].conditionable.tolist() == [1, 2, 4]


def test_masks_are_any_columns_and_their_number_is_uniform_on_a_log_scale(encoded):
    index = torch.zeros(1, DRAWN, dtype=torch.int64)
    same, fixed = sampler(encoded, False).draw(index, seeded())
    assert same is index
    assert fixed.shape == (DRAWN, 5)
    assert not fixed[:, [0, 3]].any()
    sizes = fixed.sum(1).bincount(minlength=4) / DRAWN
    expected = [0, *(math.log((k + 1) / k) / math.log(4) for k in (1, 2, 3))]
    np.testing.assert_allclose(sizes, expected, atol=0.03)
    frequencies = fixed[:, [1, 2, 4]].float().mean(0)
    np.testing.assert_allclose(frequencies, frequencies.mean(), atol=0.03)


def test_something_is_left_to_make_up(encoded):
    layout, table, _ = encoded
    part = table.rows(torch.arange(ROWS))
    part = type(part)(part.codes[:, [1, 2]], part.positions[:, :0])
    offsets = torch.tensor([0, 3, 7])
    narrow = Layout(
        offsets, layout.frequencies[1:8], layout.ranks[1:8], *(torch.zeros(0).long(),) * 2,
        layout.has_position[1:8], torch.zeros(0).long(),
    )  # fmt: skip
    drawn = ConditionSampler(torch.tensor([0, 1]), narrow, part, 300, True)
    _, fixed = drawn.draw(torch.zeros(2, 400, dtype=torch.int64), seeded())
    assert fixed.shape == (600, 2)
    assert (fixed.sum(1) == 1).all()


def test_rows_by_log_frequency(encoded):
    frame = encoded[2]
    index = torch.full((2, DRAWN + 7), -1)
    drawn, fixed = sampler(encoded, True, torch.tensor([1])).draw(index, seeded())
    assert (drawn[:, DRAWN:] == -1).all()
    assert fixed[:, 1].all()
    assert fixed.sum() == 2 * DRAWN
    rows = drawn[:, :DRAWN].flatten()
    kinds = frame["kind"].to_numpy()[rows]
    weights = np.log1p(frame["kind"].value_counts())
    frequencies = pd.Series(kinds).value_counts(normalize=True)
    np.testing.assert_allclose(frequencies[weights.index], weights / weights.sum(), atol=0.02)
    # Every row of a value comes up as often as any other of it.
    rare = rows[torch.from_numpy(kinds == "c")].bincount(minlength=ROWS)
    rare = rare[torch.from_numpy((frame["kind"] == "c").to_numpy())]
    assert rare.min() > 0.7 * rare.float().mean()


def test_rows_of_several_columns_are_rows_of_the_table(encoded):
    """Averaged over which column is chosen; continuous columns have no say."""
    drawn, fixed = sampler(encoded, True).draw(torch.zeros(1, DRAWN, dtype=torch.int64), seeded())
    assert drawn.min() >= 0
    assert drawn.max() < ROWS
    assert len(drawn.unique()) > 0.9 * ROWS
    assert fixed.any(1).all()


def test_channels_of_the_critic(encoded):
    drawn = sampler(encoded, False)
    fixed = torch.zeros(2, 5, dtype=torch.bool)
    fixed[0, 1] = fixed[1, 2] = fixed[1, 4] = True
    channels = drawn.channels(fixed, 3)
    assert (channels / drawn.mask_scale).tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("fraction", "batch", "pac", "rows"),
    [
        (0.0, 500, 1, 0),
        (0.25, 500, 1, 125),
        (0.25, 500, 10, 120),
        (0.01, 20, 1, 1),
        (0.5, 20, 10, 10),
        (0.5, 30, 10, 10),
        (0.5, 10, 10, 0),
        (0.5, 3, 1, 1),
        (0.5, 2, 1, 0),
    ],
)
def test_conditional_rows_are_whole_packs(encoded, fraction, batch, pac, rows):
    settings = TrainingSettings(batch_size=batch, conditional_share=fraction)
    assert settings.conditional_rows(pac) == rows
    given = given_columns(encoded[0], settings.conditional_rows(pac))
    assert given.tolist() == (encoded[0].conditionable.tolist() if rows else [])


def test_a_share_that_leaves_few_plain_rows_is_refused():
    with pytest.raises(ValueError, match=r"conditional_share must lie in \[0, 0.5\], not 0.6"):
        TrainingSettings(conditional_share=0.6)


def test_weights_of_scores_are_checked():
    with pytest.raises(ValueError, match=r"conditional_weight must be a finite .* not -1"):
        TrainingSettings(conditional_weight=-1.0)


def test_meta_features_are_taken_of_plain_rows():
    options = {"meta_features": ("mean",), "meta_feature_distance": "product", "batch_size": 5}
    TrainingSettings(**options, conditional_share=0.0)
    with pytest.raises(ValueError, match="takes statistics of 1 row"):
        TrainingSettings(**options, conditional_share=0.5)
