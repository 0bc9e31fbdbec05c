"""Selection restores what the generator lacks."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from sdv_wgangp.calibration import calibrate as calibrate_module
from sdv_wgangp.calibration import selection, sizes
from sdv_wgangp.calibration.balancing import needed
from sdv_wgangp.calibration.calibrate import calibrate
from sdv_wgangp.calibration.cells import cells_of
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.pool import thinned
from sdv_wgangp.encoding.table import TableEncoder


def generator_of(pool, asked=None):
    """Makes the rows of a pool, from the beginning again each time."""

    def generate(count):
        if asked is not None:
            asked.append(count)
        return pool.rows(torch.arange(count) % len(pool))

    return generate


@pytest.fixture(scope="module")
def torn(frame):
    """A table, its encoder, and generated rows without its dependence, marginals right."""
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    random = np.random.default_rng(1)
    wrong = real.apply(lambda column: random.permutation(column.to_numpy()))
    # Half of the rows are right, or there would be no rows to select.
    mixed = pd.concat([wrong, frame(seed=2)[lambda rows: rows.smooth.between(*_range(real))]])
    mixed = mixed.sample(frac=1, random_state=0).reset_index(drop=True)
    for name in ("smooth", "spiked", "gaps"):
        mixed[name] = mixed[name].clip(real[name].min(), real[name].max())
    return real, encoder, mixed


def limit_of(weights, counts=None):
    counts = np.ones(len(weights)) if counts is None else counts
    return selection.weight_limit(weights, counts, DEFAULT.max_weight)


def _range(real):
    return real["smooth"].min(), real["smooth"].max()


def test_selection_restores_a_dependence(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    table = encoder.encode(real, np.random.default_rng(1))
    calibration = calibrate(table, encoder, generator_of(pool), random)
    after = encoder.decode(calibration.draw(10_000, generator_of(pool), random))

    def wrong_level(rows):  # level is "a" where the latent of smooth is positive
        return ((rows["smooth"] > 1) != (rows["level"] == "a")).mean()

    def rank_correlation(rows):
        return spearmanr(rows["smooth"], rows["gaps"], nan_policy="omit").statistic

    assert wrong_level(real) == 0
    assert wrong_level(mixed) > 0.2
    assert wrong_level(after) < 0.03
    assert rank_correlation(mixed) < 0.6
    assert rank_correlation(after) > 0.97
    assert abs((after["level"] == "a").mean() - (real["level"] == "a").mean()) < 0.02


def test_calibration_draws_as_many_rows_as_asked_for(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    table = encoder.encode(real, np.random.default_rng(1))
    asked = []
    generate = generator_of(pool, asked)
    calibration = calibrate(table, encoder, generate, torch.Generator().manual_seed(0))
    for rows in (0, 1, 7, 5_000):
        drawn = calibration.draw(rows, generate, torch.Generator().manual_seed(1))
        assert len(drawn) == rows
    assert asked[-1] < needed(5_000) / calibration.acceptance * 1.1 + 16
    assert 1 / DEFAULT.max_weight < calibration.acceptance < 0.7


def test_most_rows_are_kept_where_nothing_is_wrong(frame):
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    table = encoder.encode(real, np.random.default_rng(0))
    other = frame(seed=5, rows=200_000)
    for name in ("smooth", "spiked", "gaps"):
        other[name] = other[name].clip(real[name].min(), real[name].max())
    pool = encoder.encode(other, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    calibration = calibrate(table, encoder, generator_of(pool), random)
    assert calibration.acceptance > 0.6


def test_a_rare_level_comes_as_often_as_it_should():
    """The generator makes half as many rows of it; other weights scatter a little."""
    random = np.random.default_rng(0)
    rows = 40_000
    real = pd.DataFrame({"level": random.choice(["a", "b"], rows, p=[0.995, 0.005])})
    encoder = TableEncoder(["level"]).fit(real)
    other = pd.DataFrame({"level": random.choice(["a", "b"], 400_000, p=[0.9975, 0.0025])})
    pool = encoder.encode(other, random)
    table = encoder.encode(real, random)

    class Scattered:
        def ratios(self, cells):
            return np.exp(0.2 * random.normal(size=len(cells[0])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate_module, "fit_refined_ratio", lambda *_, **__: Scattered())
        generator = torch.Generator().manual_seed(0)
        calibration = calibrate(table, encoder, generator_of(pool), generator)
        drawn = calibration.draw(100_000, generator_of(pool), generator)
    assert encoder.decode(drawn)["level"].eq("b").mean() == pytest.approx(0.005, rel=0.1)
    assert calibration.acceptance > 0.4


def test_thinning_keeps_what_the_weights_say(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    table = encoder.encode(real, np.random.default_rng(1))
    random = torch.Generator().manual_seed(0)
    calibration = calibrate(table, encoder, generator_of(pool), random)
    columns, of_row = calibration.columns, calibration.ratio
    left, weights, counts = thinned(pool, columns, of_row, random, limit_of)
    before = of_row.ratios(cells_of(columns, pool))
    assert len(left) < 0.8 * len(pool)
    assert counts.min() == 1
    assert counts.sum() == pytest.approx(len(pool), rel=0.06)
    level = encoder.names.index("level")
    for code in (0, 1):
        for most in (np.inf, limit_of(before) / 10):
            of_code = (counts * weights.clip(max=most))[left.codes[:, level] == code].sum()
            wanted = before.clip(max=most)[pool.codes[:, level] == code].sum()
            assert of_code == pytest.approx(wanted, rel=0.03)


def test_the_pool_grows_until_enough_rows_are_kept(torn):
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    table = encoder.encode(real, np.random.default_rng(1))
    for times in (1, 20):
        asked = []

        def pool_of(*arguments, asked=asked, own=calibrate_module.draw_pool):
            asked.clear()  # what the trees have learned from
            return own(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(calibrate_module, "draw_pool", pool_of)
            found = calibrate(
                *(table, encoder, generator_of(pool, asked), torch.Generator().manual_seed(0)),
                options=CalibrationOptions(kept_times=times),
            )
        wanted = min(times * len(real), DEFAULT.max_kept_rows) / found.acceptance
        first, *more = asked
        assert first == DEFAULT.first_rows
        assert all(count <= sizes.DRAWN_ROWS for count in more)
        if wanted < first:
            assert not more
        else:
            assert first + sum(more) == pytest.approx(wanted, rel=0.3)
    assert more


def test_a_rough_calibration_asks_any_generator_for_as_much(torn):
    """It is timed with an untrained one."""
    real, encoder, mixed = torn
    table = encoder.encode(real, np.random.default_rng(1))
    asked = []
    for made in (real, mixed):
        pool, counts = encoder.encode(made, np.random.default_rng(0)), []
        random = torch.Generator().manual_seed(0)
        calibrate(table, encoder, generator_of(pool, counts), random, fraction=1 / 8)
        asked.append(counts)
    assert asked[0] == asked[1]
    first, second, *pool = asked[0]
    kept = sizes.ROUGHLY_KEPT
    wanted = DEFAULT.kept_times * len(real) / kept
    assert sum(pool) == min(wanted, DEFAULT.max_pool_rows) // 8
    assert first == DEFAULT.generated_times * max(len(real) // 8, DEFAULT.min_tree_rows)
    wanted = DEFAULT.generated_times * len(real) / kept
    assert second == min(wanted, DEFAULT.max_pool_rows) // 8


def test_a_rough_calibration_of_a_small_table_asks_for_its_part(torn):
    """Of what the second stage may need; of one without trees nothing."""
    real, encoder, mixed = torn
    pool = encoder.encode(mixed, np.random.default_rng(0))
    pooled = DEFAULT.kept_times / sizes.ROUGHLY_KEPT
    for rows, second in ((300, []), (1_000, [4 * 1_000 / sizes.ROUGHLY_KEPT // 8])):
        table = encoder.encode(real[:rows], np.random.default_rng(1))
        counts = []
        random = torch.Generator().manual_seed(0)
        calibrate(table, encoder, generator_of(pool, counts), random, fraction=1 / 8)
        first = 4 * min(rows, DEFAULT.min_tree_rows)
        assert counts[: 1 + len(second)] == [first, *second]
        least = DEFAULT.first_rows // 8
        assert sum(counts[1 + len(second) :]) == max(least, pooled * rows // 8)


def test_distances_tell_what_a_generator_hardly_makes(frame):
    real = frame()
    encoder = TableEncoder(["level"]).fit(real)
    table = encoder.encode(real, np.random.default_rng(0))
    lost = frame(seed=3)
    for name in ("smooth", "spiked"):
        lost[name] = lost[name].clip(real[name].min(), real[name].max())
    lost["gaps"] = np.nan  # 80 % of it are lost, and nothing else
    pool = encoder.encode(lost, np.random.default_rng(0))
    random = torch.Generator().manual_seed(0)
    calibration = calibrate(table, encoder, generator_of(pool), random)
    names = [column.name for column in encoder.columns]
    distances = dict(zip(names, calibration.distances, strict=True))
    assert distances.pop("gaps") == pytest.approx(0.8, abs=0.02)
    assert max(distances.values()) < 0.03


def test_distances_of_many_levels_are_no_noise():
    """As many levels as rows: a level more or less in the pool is not told apart."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3_000))
    real, other = (
        pd.DataFrame({"level": random.choice(3_000, rows, p=shares).astype(str)})
        for rows in (3_000, 200_000)
    )
    encoder = TableEncoder(["level"]).fit(real)
    seen = other[other["level"].isin(real["level"])].reset_index(drop=True)
    pool = encoder.encode(seen, np.random.default_rng(0))
    calibration = calibrate(
        encoder.encode(real, np.random.default_rng(0)),
        encoder,
        generator_of(pool),
        torch.Generator().manual_seed(0),
    )
    (distance,) = calibration.distances
    assert distance < 0.1  # from which on there is a warning
