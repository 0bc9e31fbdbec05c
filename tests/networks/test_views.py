"""What the critic sees beside the codes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.networks.views import Views


def encoded(frame):
    encoder = TableEncoder().fit(frame)
    layout = Layout.of(encoder)
    table = encoder.encode(frame, np.random.default_rng(0))
    return layout, layout.level_index(table), table.positions


def correlated(rows=4000):
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    return pd.DataFrame(
        {
            "x": x,
            "y": np.exp(x + 0.1 * random.normal(size=rows)),
            "zero": np.where(random.random(rows) < 0.3, 0.0, random.normal(size=rows)),
            "kind": random.choice(["a", "b"], rows),
            "count": random.integers(0, 5, rows),
        }
    )


def test_width_and_order():
    layout, levels, positions = encoded(correlated())
    views = Views(layout)
    views.fit_whitening(levels, positions)
    dense = views(levels, positions)
    # 1 binned position (zero), 4 ordered columns, 3 whitened
    assert views.width == dense.shape[1] == 8
    ranks = views.ordering(dense)
    assert ranks.shape[1] == 4
    torch.testing.assert_close(ranks[:, 0], positions[:, 0])
    assert ranks.min() >= 0
    assert ranks.max() <= 1


def test_ordering_channels_follow_the_values():
    frame = correlated()
    layout, levels, positions = encoded(frame)
    views = Views(layout, whiten=False)
    ranks = views.ordering(views(levels, positions)).numpy()
    for place, name in enumerate(["x", "y", "zero", "count"]):
        assert np.corrcoef(ranks[:, place], frame[name].rank())[0, 1] > 0.99


def test_whitened_channels_have_unit_covariance():
    layout, levels, positions = encoded(correlated())
    views = Views(layout)
    views.fit_whitening(levels, positions)
    white = views(levels, positions)[:, -3:]
    covariance = torch.cov(white.T)
    # the clamp takes a little off the tails
    torch.testing.assert_close(covariance, torch.eye(3), atol=0.03, rtol=0)
    assert 2 < white.abs().max() <= views.clamp
    near = Views(layout, clamp=2.0)
    near.fit_whitening(levels, positions)
    torch.testing.assert_close(near(levels, positions)[:, -3:], white.clamp(-2, 2))


def test_columns_with_missing_values_are_not_whitened():
    frame = correlated()
    frame.loc[::5, "zero"] = np.nan
    layout, levels, positions = encoded(frame)
    views = Views(layout)
    views.fit_whitening(levels, positions)
    assert views.width == 7
    assert views.scored.tolist() == [0, 1]
    assert layout.missing.tolist() == [2]
    frame.loc[::7, "y"] = np.nan
    assert Views(encoded(frame)[0]).scored.tolist() == []


def test_breaking_a_dependence_shows_in_the_whitened_channels():
    layout, levels, positions = encoded(correlated())
    views = Views(layout)
    views.fit_whitening(levels, positions)
    broken = positions.clone()
    broken[:, 1] = positions[torch.randperm(len(positions)), 1]
    size = [views(levels, p)[:, -3:-1].square().mean().item() for p in (positions, broken)]
    assert size[1] > 3 * size[0]


def test_the_gradient_reaches_positions_and_lookups():
    layout, levels, positions = encoded(correlated(50))
    views = Views(layout).double()
    views.fit_whitening(levels, positions.double())
    positions = positions.double().clamp(0.01, 0.99)
    dense = views(levels, positions)
    to_ranks = torch.zeros_like(dense)
    views.ordering(to_ranks)[:] = 1
    to_positions, slopes = views.backward(to_ranks, levels, positions)
    step = torch.zeros_like(positions)
    for column in range(positions.shape[1]):
        step[:, column] = 1e-6
        moved = views.ordering(views(levels, positions + step) - views(levels, positions - step))
        torch.testing.assert_close(to_positions[:, column], moved.sum(1) / 2e-6)
        step.zero_()
    # every ordered cell looks up its first rank; the last column has no positions, so no span
    assert slopes[0].T.tolist() == [[float(c in layout.ordered)] * 50 for c in range(5)]
    assert (slopes[1][:, 4] == 0).all()
    torch.testing.assert_close(slopes[1][:, 0], positions[:, 0])
    assert torch.equal(views.lookups, layout.ranks.T.double())
