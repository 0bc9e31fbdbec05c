"""The meta-feature objective: its losses, that they are not biased, what it asks of its host."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.objectives import matching
from sdv_wgangp.objectives.feature_table import FeatureTable, Target
from sdv_wgangp.objectives.matching import (
    DISTANCES,
    UNIFORM_SIGMA,
    Batch,
    MetaFeatureObjective,
    check_weights,
    sample_size,
)
from sdv_wgangp.objectives.meta_features import (
    META_FEATURES,
    own_meta_features,
    register_meta_feature,
)

ROWS = 100_000  # of a training table that is as good as endless


def table_of(channels, widths=()):
    offsets = torch.tensor([0, *widths, *[1] * channels]).cumsum(0)
    levels = int(offsets[-1])
    nothing = torch.zeros(0, dtype=torch.int64)
    layout = Layout(
        offsets,
        torch.linspace(0.3, 0.5, levels),
        torch.zeros(levels, 2),
        torch.arange(channels) + len(widths),
        nothing,
        torch.zeros(levels, dtype=torch.bool),
        nothing,
    )
    target = Target("kind", 0, torch.arange(widths[0]), True) if widths else None
    return FeatureTable.of(layout, target)


def draw(random, rows=100, d=2):
    return Batch(torch.rand(rows, d, generator=random), None)


def objective_of(names, batches, *, table=None, seed=0, rows=ROWS, **options):
    d = batches[0].channels.shape[1]
    random = torch.Generator().manual_seed(seed)
    return MetaFeatureObjective(names, table or table_of(d), batches, rows, random, **options)


def stepped(objective, *batches, phase=0.0):
    objective.advance(phase)
    return objective.loss(*batches)


@pytest.fixture
def random():
    return torch.Generator().manual_seed(0)


def test_tracked_has_the_gradient_of_the_squared_residual(random):
    """For a linear statistic and a single step: grad of |m - m_real|^2, in units of a rank."""
    real = [draw(random, 50, 3) for _ in range(40)]
    objective = objective_of(["mean"], real, weight=3.0)
    means = torch.stack([batch.channels.mean(0) for batch in real])
    sigma = (means.std(0, correction=0) * (50 / (1 - 50 / ROWS)) ** 0.5).clamp_min(0.1)
    scale = UNIFORM_SIGMA / sigma
    fake = draw(random, 50, 3)
    found = stepped(objective, fake)
    residual = scale * (fake.channels.mean(0) - means.mean(0))
    expected = (3.0 * 2 * scale * residual / 50).expand(50, 3)
    torch.testing.assert_close(found.gradient.channels, expected)
    torch.testing.assert_close(
        found.loss, 3.0 * 2 * (scale * fake.channels.mean(0) * residual).sum()
    )
    torch.testing.assert_close(found.distances, residual.square().sum()[None])
    assert found.gradient.codes is None


def test_the_scale_of_the_mean_of_ranks_is_one_at_every_batch_size(random):
    for rows in (20, 500):
        real = [draw(random, rows, 400) for _ in range(50)]
        (scale,) = objective_of(["mean"], real).scale
        assert float(scale.mean()) == pytest.approx(1, abs=0.05)


def test_the_scale_does_not_take_a_small_table_for_one_without_noise():
    """Batches of 100 of 120 rows, drawn without replacement, hardly differ."""
    random = torch.Generator().manual_seed(0)
    rows = torch.rand(120, 200, generator=random)
    order = [torch.randperm(120, generator=random)[:100] for _ in range(50)]
    (scale,) = objective_of(["mean"], [Batch(rows[i], None) for i in order], rows=120).scale
    assert float(scale.mean()) == pytest.approx(1, abs=0.05)


def test_the_gradient_reaches_the_codes():
    hot = torch.eye(3)[torch.tensor([0, 0, 1, 2, 2, 2])]
    batches = [Batch(torch.zeros(6, 0), hot)]
    objective = objective_of(["frequency"], batches, table=table_of(0, (3,)))
    fake = torch.eye(3)[torch.tensor([0, 0, 0, 1, 2, 2])]
    gradient = stepped(objective, Batch(torch.zeros(6, 0), fake)).gradient
    scale = (UNIFORM_SIGMA / 0.1) ** 2  # one batch has no noise to go by
    expected = scale * 2 * torch.tensor([1.0, 0.0, -1.0]) / 6 / 6
    torch.testing.assert_close(gradient.codes, expected.expand(6, 3))
    assert gradient.channels is None


# --- bias ----------------------------------------------------------------------------------------


def mean_slope(distance, steps, rows=60, **options):
    """Mean derivative of the loss when generated rows spread about their centre, and its error.

    The generated rows are distributed as the real ones: an unbiased loss has none.
    """
    random = torch.Generator().manual_seed(1)
    real = [draw(random, rows) for _ in range(8000)]
    objective = objective_of(["mean", "sd"], real, distance=distance, **options)
    slopes = []
    for _ in range(steps):
        fake, real = draw(random, rows), draw(random, rows)
        gradient = stepped(objective, fake, real).gradient.channels
        slopes.append(float((gradient * (fake.channels - 0.5)).sum()))
    slopes = np.array(slopes[50:]).reshape(-1, 50).mean(1)  # steps in a row are not independent
    return slopes.mean(), slopes.std() / len(slopes) ** 0.5


@pytest.mark.parametrize("distance", ["tracked", "product"])
def test_a_perfect_generator_is_left_as_it_is(distance):
    slope, error = mean_slope(distance, 2050)
    assert error < 0.002
    assert abs(slope) < 4 * error


def test_the_plain_squared_distance_would_narrow_a_perfect_generator():
    """The check above can fail: a moving average without memory is the biased distance."""
    slope, error = mean_slope("tracked", 2050, tracking_decay=0.0)
    assert slope > 6 * error


def test_product_is_the_squared_difference_on_average(random):
    real = [draw(random) for _ in range(2000)]
    objective = objective_of(["mean"], real, distance="product")
    found = [
        stepped(objective, Batch(draw(random).channels + 0.1, None)).distances.item()
        for _ in range(2000)
    ]
    error = np.std(found) / len(found) ** 0.5
    expected = float(0.01 * objective.scale[0].square().sum())
    assert np.mean(found) == pytest.approx(expected, abs=4 * error)
    assert min(found) < max(found)


def test_tracked_distance_of_the_same_distribution_is_small_and_calm(random):
    objective = objective_of(["mean", "var", "cor"], [draw(random, 500) for _ in range(50)])
    losses = [stepped(objective, draw(random, 500)).loss.item() for _ in range(300)]
    assert abs(np.mean(losses[100:])) < 5e-3
    odd = stepped(objective, Batch(draw(random, 500).channels * 0.5, None))
    assert odd.distances.max() < 0.01  # one odd batch barely moves the tracked average


CLOUDS = DISTANCES[2:]


@pytest.fixture
def seen():
    """What a meta-feature called "seen", the mean, was taken of."""
    rows = []
    with own_meta_features():
        register_meta_feature("seen", lambda x: rows.append(x.detach()) or x.mean(-2))
        yield rows


def test_subsets_have_the_same_number_and_size_on_both_sides(random, seen):
    objective = objective_of(
        ["seen"], [draw(random)] * 2, distance="transport", subsets=400, fraction=0.3
    )
    seen.clear()
    stepped(objective, draw(random), draw(random))
    real, fake = seen
    assert fake.shape == real.shape == (400, 30, 2)
    # So the clouds of two samples of one distribution scatter alike: (1/p - 1) sigma^2 / rows.
    for rows in (fake, real):
        np.testing.assert_allclose(rows.mean(1).var(0), (1 / 0.3 - 1) / 12 / 100, rtol=0.35)


def test_clouds_need_a_real_batch(random):
    objective = objective_of(["mean"], [draw(random)] * 2, distance="sliced")
    with pytest.raises(ValueError, match="'sliced' compares generated rows with real ones"):
        stepped(objective, draw(random))


def test_subsets_hold_no_row_twice(random, seen):
    objective = objective_of(["seen"], [draw(random)] * 2, distance="sliced", fraction=0.8)
    batch = draw(random)
    seen.clear()
    for _ in range(2):
        stepped(objective, batch, batch)
    first, _, second, _ = seen
    assert first.shape == (10, 80, 2)
    assert all(len(rows.unique()) == 80 for rows in first[..., 0])
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("distance", "option"),
    [
        ("sinkhorn", {"sinkhorn_epsilon": 1.0}),
        ("sinkhorn", {"sinkhorn_iterations": 1}),
        ("sliced", {"sliced_projections": 1}),
    ],
)
def test_distances_between_clouds_have_their_options(distance, option, random):
    real, (x, y) = [draw(random)] * 2, (draw(random), draw(random))
    found = [
        stepped(objective_of(["mean"], real, distance=distance, **options), x, y).loss
        for options in ({}, {}, option)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("distance", CLOUDS)
def test_clouds_apart_are_brought_together(distance, random):
    """A scale and a shift, learned by descent on the distance alone."""
    objective = objective_of(["mean", "sd"], [draw(random) for _ in range(30)], distance=distance)
    scale, shift = torch.tensor(0.3), torch.tensor(0.4)
    first = None
    for step in range(300):
        noise = draw(random).channels
        fake = Batch(scale * noise + shift, None)
        found = stepped(objective, fake, draw(random))
        first = found.distances if first is None else first
        gradient = found.gradient.channels
        rate = 0.05 * (1 - step / 300)
        scale -= rate * (gradient * noise).sum()
        shift -= rate * gradient.sum()
    assert scale.item() == pytest.approx(1, abs=0.15)
    assert shift.item() == pytest.approx(0, abs=0.08)
    assert found.distances.sum() < first.sum() / 10


# --- weights, schedules, errors ------------------------------------------------------------------


def test_every_meta_feature_has_its_weight(random):
    real, fake = [draw(random) for _ in range(3)], draw(random)
    gradients = {
        weight: stepped(
            objective_of(["mean", "var"], real, weight={"mean": weight[0], "var": weight[1]}), fake
        )
        for weight in ((1, 0), (0, 1), (2, 5))
    }
    torch.testing.assert_close(
        gradients[2, 5].gradient.channels,
        2 * gradients[1, 0].gradient.channels + 5 * gradients[0, 1].gradient.channels,
    )
    torch.testing.assert_close(gradients[2, 5].distances, gradients[0, 1].distances)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {1: 1, 10: 1, 100: 1}),
        ("warmup", {1: 0.1, 5: 0.5, 10: 1, 100: 1}),
        ("decay", {1: 1, 50: 1, 75: 0.5, 100: 0}),
    ],
)
def test_schedules(schedule, expected, random):
    real, fake = [draw(random)] * 2, draw(random)
    objective = objective_of(["mean"], real, schedule=schedule)
    for step in range(1, 101):
        loss = stepped(objective, fake, phase=step / 100).loss
        if step in expected:
            full = stepped(objective_of(["mean"], real), fake).loss
            torch.testing.assert_close(loss, expected[step] * full)


def test_weights_must_fit_the_names():
    assert check_weights(["mean", "var"], 2.0) == [2.0, 2.0]
    assert check_weights(["mean", "var"], {"var": 1, "mean": 3}) == [3, 1]
    with pytest.raises(ValueError, match="names 'cor', which is not in meta_features"):
        check_weights(["mean"], {"mean": 1, "cor": 1})
    with pytest.raises(ValueError, match="meta_feature_weight has no weight for 'var'"):
        check_weights(["mean", "var"], {"mean": 1})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.from_numpy(np.var(x.detach().numpy(), axis=-2)), "has no gradient at"),
        (lambda x: x.mean(-2).log() * 0 + x.sub(2).log().mean(-2), "is not finite on training"),
        (lambda x: (x * 0).sqrt().mean(-2), "is not finite at training rows: correct"),
    ],
    ids=["numpy", "nan", "slope"],
)
def test_statistics_that_cannot_be_learned_are_named(random, function, message):
    real = [draw(random) for _ in range(3)]
    with own_meta_features():
        register_meta_feature("mine", function)
        with pytest.raises(ValueError, match=f"meta-feature 'mine' {message}"):
            objective_of(["mean", "mine"], real)


def test_every_training_row_is_in_a_batch_unless_there_are_very_many():
    assert matching.real_batches(300, 500) == 50
    assert matching.real_batches(200_001, 500) == 401
    assert matching.real_batches(10**9, 500) == 1_000


def test_samples_of_one_row_are_refused():
    assert sample_size("tracked", 0.1, 3) == 3
    assert sample_size("product", 0.1, 5) == 2
    assert sample_size("transport", 0.5, 500) == 250
    with pytest.raises(ValueError, match=r"'product' takes .* 1 row\(s\) of .*raise batch_size$"):
        sample_size("product", 0.5, 3)
    with pytest.raises(ValueError, match="raise batch_size or meta_feature_fraction"):
        sample_size("sinkhorn", 0.1, 19)


# --- the device ----------------------------------------------------------------------------------


class NoHost(TorchDispatchMode):
    """Fails where a CUDA graph would: tensors from the host, numbers to it, sizes by content."""

    FORBIDDEN = ("_local_scalar_dense", "lift_fresh", "nonzero", "unique", "masked_select", "eigh")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if any(word in name for word in self.FORBIDDEN):
            raise AssertionError(f"{name} asks the host")
        return function(*args, **(kwargs or {}))


def batch_with_codes(random):
    levels = torch.randint(0, 3, (60, 2), generator=random)
    codes = torch.cat([*torch.eye(3)[levels].unbind(1), torch.ones(60, 2)], 1)
    return Batch(torch.rand(60, 2, generator=random), codes)


@pytest.mark.parametrize("distance", DISTANCES)
def test_what_is_called_static_asks_nothing_of_the_host(distance, random):
    table = table_of(2, (3, 3))
    names = [name for name, feature in META_FEATURES.items() if feature.static]
    real = [batch_with_codes(random) for _ in range(3)]
    table = table.with_pairs(real[0].codes[:, :6].view(60, 2, 3).argmax(2) + torch.tensor([0, 3]))
    objective = objective_of(names, real, table=table, distance=distance)
    objective.advance()
    assert objective.static == (distance != "transport")
    if objective.static:
        with NoHost():
            found = objective.loss(*real[:2])
        assert found.distances.shape == (len(names),)
        assert torch.isfinite(found.gradient.channels).all()
        assert torch.isfinite(found.gradient.codes).all()


def test_the_check_above_can_fail():
    with NoHost(), pytest.raises(AssertionError, match="lift_fresh asks the host"):
        torch.tensor([1.0])
    with NoHost(), pytest.raises(AssertionError, match="asks the host"):
        torch.ones(1).item()


def test_eigenvalues_keep_the_step_out_of_a_graph(random):
    assert objective_of(["mean"], [draw(random)] * 2).static
    assert not objective_of(["mean", "eigenvalues"], [draw(random)] * 2).static
