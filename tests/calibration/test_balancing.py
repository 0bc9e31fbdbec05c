"""Selection by marginals: nearer to them than chance, and otherwise nothing changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sdv_wgangp.calibration.balancing import balanced, needed
from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.options import DEFAULT
from sdv_wgangp.calibration.raking import rake
from sdv_wgangp.calibration.selection import systematic
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder

KINDS = np.array([0.6, 0.3, 0.07, 0.02, 0.006, 0.004])


def drawn(rows: int, seed: int) -> pd.DataFrame:
    """A category with rare levels, and numbers: continuous, of few values, with missing ones."""
    random = np.random.default_rng(seed)
    kind = random.choice(len(KINDS), rows, p=KINDS)
    smooth = random.normal(size=rows) + (kind == 0)
    return pd.DataFrame(
        {
            "kind": np.array(list("abcdef"))[kind],
            "smooth": np.where(random.random(rows) < 0.1, np.nan, smooth),
            "few": random.poisson(2 + (kind == 1), rows),
        }
    )


@pytest.fixture(scope="module")
def table() -> tuple[TableEncoder, list[Cells], EncodedTable]:
    real = drawn(200_000, 0)
    encoder = TableEncoder(["kind"]).fit(real)
    encoded = encoder.encode(real, np.random.default_rng(0))
    return encoder, Cells.all_of(encoder), encoded


def part(encoded: EncodedTable, rows: int, seed: int) -> EncodedTable:
    chosen = np.random.default_rng(seed).choice(len(encoded), rows)
    return encoded.rows(torch.from_numpy(chosen))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def error(columns: list[Cells], encoded: EncodedTable) -> float:
    """Mean over columns of the total-variation distance to the training marginals."""
    shares = [
        np.bincount(column.coarse[column.of(encoded)], minlength=len(column.frequencies))
        / len(encoded)
        for column in columns
    ]
    return np.mean(
        [
            np.abs(have - column.frequencies).sum() / 2
            for have, column in zip(shares, columns, strict=True)
        ]
    )


@pytest.mark.parametrize(("rows", "ratio"), [(300, 0.85), (3_000, 0.3), (60_000, 0.3)])
def test_marginals_are_nearer_than_chance_brings_them(table, rows, ratio):
    _, columns, encoded = table
    chance, selected = [], []
    for seed in range(4):
        candidates = part(encoded, needed(rows), seed)
        chance.append(error(columns, candidates.rows(slice(rows))))
        selected.append(error(columns, balanced(candidates, columns, rows, seeded(seed))))
    assert np.mean(selected) < ratio * np.mean(chance)


@pytest.mark.parametrize("rows", [120, 500])
def test_rare_values_and_relations_come_as_often_as_before(table, rows):
    """Over many small selections; 120 rows have the rarest value once in two times."""
    encoder, columns, encoded = table
    frames = []
    for seed in range(30_000 // rows):
        candidates = part(encoded, needed(rows), seed)
        frames.append(encoder.decode(balanced(candidates, columns, rows, seeded(seed))))
    after, real = pd.concat(frames), encoder.decode(encoded)
    shares = after["kind"].value_counts(normalize=True)[list("abcdef")].to_numpy()
    noise = np.sqrt(KINDS * (1 - KINDS) / len(after))
    assert (np.abs(shares - KINDS) < 4 * noise + 0.01 * KINDS).all()
    for name in ("smooth", "few"):
        ours, wanted = (frame.groupby("kind")[name].mean() for frame in (after, real))
        assert np.abs(ours - wanted)[["a", "b", "c"]].max() < 0.1
        assert after[name].std() == pytest.approx(real[name].std(), rel=0.03)


def test_rows_are_those_of_the_table_in_their_order(table):
    _, columns, encoded = table
    candidates = part(encoded, needed(400), 1)
    candidates.positions[:, 0] = torch.linspace(0, 0.999, len(candidates))  # marks the rows
    selected = balanced(candidates, columns, 400, seeded())
    assert len(selected) == 400
    marks = selected.positions[:, 0]
    assert (marks.diff() > 0).all()
    places = torch.searchsorted(candidates.positions[:, 0].contiguous(), marks.contiguous())
    assert torch.equal(candidates.codes[places], selected.codes)
    again = balanced(candidates, columns, 400, seeded())
    assert torch.equal(again.positions, selected.positions)
    assert not torch.equal(
        balanced(candidates, columns, 400, seeded(1)).positions, selected.positions
    )


def test_few_rows_are_not_chosen_among(table):
    _, columns, encoded = table
    for rows in (0, 1, 2 * DEFAULT.min_balanced_rows - 1):
        assert needed(rows) == rows
        few = part(encoded, rows, 0)
        assert balanced(few, columns, rows, seeded()) is few


@pytest.mark.parametrize("rows", [50, 300, 100_000])
def test_groups_hold_enough_rows_and_neighbours(table, rows):
    encoder, columns, _ = table
    for column, of_column in zip(columns, encoder.columns, strict=True):
        groups = column.groups(rows, DEFAULT.min_balanced_rows)
        expected = rows * np.bincount(groups, column.frequencies)
        assert expected.min() >= DEFAULT.min_balanced_rows - 1e-9
        assert expected.sum() == pytest.approx(rows)
        if of_column.name != "kind":
            assert (np.diff(groups) >= 0).all()


def test_a_table_of_fewer_rows_than_a_group_needs_is_one_group(table):
    _, columns, _ = table
    assert all((column.groups(10, DEFAULT.min_balanced_rows) == 0).all() for column in columns)


def test_raking_gives_the_marginals():
    random = np.random.default_rng(0)
    cells = [random.integers(0, 3, 5_000), random.integers(0, 2, 5_000)]
    goals = [np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.6])]
    weights = rake(cells, goals, 10.0)
    for of_column, goal in zip(cells, goals, strict=True):
        shares = np.bincount(of_column, weights) / weights.sum()
        np.testing.assert_allclose(shares, goal, atol=1e-3)


def test_raking_limits_the_weights_and_leaves_out_what_is_not_there():
    cells = [np.repeat([0, 1], [990, 10])]
    weights = rake(cells, [np.array([0.3, 0.5, 0.2])], 4.0)
    assert weights.min() > DEFAULT.min_weight
    # Before the cut, 990 rows have .3 and 10 rows .5 of a sum of .8.
    assert weights[-1] / weights[0] == pytest.approx((4 * 0.8 / 1000) / (0.3 / 990))


def test_collapsed_rows_in_many_columns_are_chosen_among_all_the_same():
    """A diverged generator: most cells have no rows, and few rows have the others."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(2_000, 100))).rename(columns=str)
    encoder = TableEncoder().fit(frame)
    columns = Cells.all_of(encoder)
    collapsed = frame.iloc[random.choice(12, needed(1_000))]
    encoded = encoder.encode(collapsed, random)
    assert len(balanced(encoded, columns, 1_000, seeded())) == 1_000


def test_systematic_sampling_keeps_the_probabilities_and_repeats_nothing():
    random = np.random.default_rng(0)
    weights = random.random(60) + 0.1
    weights[7] = 1e9  # more than a single row's share
    count, counts = 20, np.zeros(60)
    for _ in range(4000):
        chosen = systematic(weights, count, random.random() if counts.any() else 0.0)
        assert len(np.unique(chosen)) == count
        counts[chosen] += 1
    expected = weights * (19 / np.delete(weights, 7).sum())
    expected[7] = 1
    np.testing.assert_allclose(counts / 4000, expected, atol=0.04)
