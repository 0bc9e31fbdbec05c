"""Meta-features against pymfe, NumPy and each other; the registry and its errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from pymfe.info_theory import MFEInfoTheory
from pymfe.statistical import MFEStatistical

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import TableEncoder
from sdv_wgangp.objectives import meta_features
from sdv_wgangp.objectives.feature_table import FeatureTable, Target
from sdv_wgangp.objectives.meta_features import (
    AUTO_META_FEATURES,
    META_FEATURES,
    applicable,
    check_meta_features,
    own_meta_features,
    register_meta_feature,
)
from sdv_wgangp.training.precision import matmul_precision

OF_CHANNELS = [name for name, feature in META_FEATURES.items() if feature.reads == "channels"]
OF_CODES = [name for name, feature in META_FEATURES.items() if feature.reads == "codes"]
WIDTHS = (3, 2, 1, 4)


def one_hot(levels, widths=WIDTHS):
    parts = [torch.eye(width)[column] for width, column in zip(widths, levels.T, strict=True)]
    return torch.cat(parts, 1)


def table_of(widths=WIDTHS, ordered=(0, 2, 3), frequencies=None, target=None):
    """A table of columns without names; by default its levels are equally frequent."""
    if frequencies is None:
        frequencies = torch.cat([torch.full((width,), 1 / width) for width in widths])
    nothing = torch.zeros(0, dtype=torch.int64)
    layout = Layout(
        torch.tensor([0, *widths]).cumsum(0),
        frequencies,
        torch.zeros(sum(widths), 2),
        torch.tensor(ordered, dtype=torch.int64),
        nothing,
        torch.zeros(sum(widths), dtype=torch.bool),
        nothing,
    )
    return FeatureTable.of(layout, target)


def levels_of(table, codes):
    widths = [table.width(c) for c in range(len(table.offsets) - 1)]
    parts = [part.argmax(1) for part in codes.split(widths, 1)]
    return torch.stack(parts, 1) + torch.tensor(table.offsets[:-1])


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(200, 4)))


@pytest.fixture
def levels():
    """Local codes ``[rows, columns]``; the second column follows the first."""
    random = np.random.default_rng(1)
    first = random.choice(3, 300, p=[0.6, 0.3, 0.1])
    second = np.where(random.random(300) < 0.8, first == 1, random.random(300) < 0.5)
    last = random.choice(4, 300, p=[0.25, 0.25, 0.05, 0.45])
    return torch.from_numpy(np.stack([first, second, np.zeros(300), last], 1)).long()


@pytest.fixture
def table(levels):
    hot = one_hot(levels)
    plain = table_of()
    return plain.with_pairs(levels_of(plain, hot))


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_CHANNELS)
def test_pymfe_agrees(x, name):
    """pymfe drops the sign of `cor` and `cov`, so it does from ours here."""
    if name == "sparsity":  # exact where values tie or are many bandwidths apart
        x = (x * 4).round() / 4
    found = META_FEATURES[name].function(x)
    expected = getattr(MFEStatistical, f"ft_{name}")(x.numpy())
    found = found.abs() if name in ("cor", "cov") else found
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_cor_and_cov_are_signed(x):
    x[:, 1] = -x[:, 0]
    row, column = np.tril_indices(4, -1)
    np.testing.assert_allclose(meta_features.cov(x), np.cov(x.numpy().T)[row, column])
    np.testing.assert_allclose(meta_features.cor(x), np.corrcoef(x.numpy().T)[row, column])
    assert meta_features.cor(x)[0] == pytest.approx(-1)


def test_every_name_of_pymfe_is_there():
    known = {"cor", "cov", "eigenvalues", "iq_range", "gravity", "kurtosis", "skewness", "mad"}
    known |= {"max", "min", "mean", "median", "range", "sd", "var", "sparsity"}
    assert len(known) == 16
    assert known | {"frequency", "contingency", "joint_entropy"} <= set(META_FEATURES)
    assert all(feature.source for feature in META_FEATURES.values())


def target_of(classes, column=0, categorical=True):
    return Target("kind", column, torch.as_tensor(classes), categorical)


@pytest.mark.parametrize("ordered", [(2, 3), (0, 2, 3)], ids=["category", "ordered target"])
def test_gravity_agrees_with_pymfe(levels, ordered):
    """pymfe's attributes are the channels without the target's own."""
    hot = one_hot(levels)
    table = table_of(ordered=ordered, frequencies=hot.mean(0), target=target_of([0, 1, 2]))
    channels = torch.rand(300, len(ordered), dtype=torch.double)
    channels[:, -1] += levels[:, 0]
    found = meta_features.gravity(channels, hot, table)
    attributes = channels[:, -2:] if len(ordered) == 3 else channels
    expected = MFEStatistical.ft_gravity(attributes.numpy(), levels[:, 0].numpy())
    assert found.shape == (1,)
    assert found.item() == pytest.approx(expected)


def test_gravity_of_rows_without_one_of_the_classes_is_zero(levels):
    hot = one_hot(levels)
    table = table_of(frequencies=hot.mean(0), target=target_of([0, 1, 2]))
    some = levels[:, 0] == 0
    channels = torch.rand(int(some.sum()), 3, requires_grad=True)
    found = meta_features.gravity(channels, hot[some], table)
    found.sum().backward()
    assert found.item() == 0
    assert (channels.grad == 0).all()


def test_a_target_that_follows_from_another_column_has_that_one_s_levels(levels):
    """Levels 0 and 2 of the column are one class of the target."""
    hot = one_hot(levels)
    classes = torch.tensor([1, 0, 1])
    table = table_of(ordered=(2, 3), frequencies=hot.mean(0), target=target_of(classes))
    channels = torch.rand(300, 2, dtype=torch.double)
    found = meta_features.gravity(channels, hot, table).item()
    of_target = classes[levels[:, 0]].numpy()
    assert found == pytest.approx(MFEStatistical.ft_gravity(channels.numpy(), of_target))


def test_gravity_takes_missing_values_for_no_class(levels):
    """Level 2, the rarest, stands for "missing": the contrast is between the other two."""
    levels = levels[levels[:, 0] != 2]
    hot = one_hot(levels)
    frequencies = hot.mean(0)
    frequencies[2] = 1e-3
    table = table_of(ordered=(2, 3), frequencies=frequencies, target=target_of([0, 1, -1]))
    channels = torch.rand(len(levels), 2, dtype=torch.double)
    found = meta_features.gravity(channels, hot, table).item()
    assert found == pytest.approx(
        MFEStatistical.ft_gravity(channels.numpy(), levels[:, 0].numpy())
    )


def test_contingency_and_joint_entropy(levels, table):
    hot = one_hot(levels)
    assert set(table.pairs) == {(0, 1), (0, 3), (1, 3)}
    expected = [
        pd.crosstab(levels[:, b].numpy(), levels[:, a].numpy(), normalize=True).to_numpy()
        for a, b in table.pairs
    ]
    frequencies = meta_features.contingency(hot, table)
    np.testing.assert_allclose(
        frequencies, np.concatenate([e.ravel() for e in expected]), rtol=1e-6
    )
    found = meta_features.joint_entropy(hot, table)
    pymfe = [
        MFEInfoTheory.ft_joint_ent(levels[:, [b]].numpy(), levels[:, a].numpy())[0]
        for a, b in table.pairs
    ]
    np.testing.assert_allclose(found, pymfe, rtol=1e-5)  # pymfe adds 1e-8 to every share


def test_frequency(levels, table):
    found = meta_features.frequency(one_hot(levels), table)
    columns = zip(levels.T.numpy(), WIDTHS, strict=True)
    expected = [np.bincount(column, minlength=width) / 300 for column, width in columns]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-6)


def test_the_joint_entropy_of_an_empty_cell_has_a_finite_slope(table):
    hot = one_hot(torch.zeros(8, 4, dtype=torch.int64)).requires_grad_()
    found = meta_features.joint_entropy(hot, table)
    found.sum().backward()
    assert found.abs().max() == 0
    assert torch.isfinite(hot.grad).all()


def test_sparsity_tends_to_its_definition_and_pulls_ties_apart():
    x = torch.rand(100, 1, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    expected = MFEStatistical.ft_sparsity(x.numpy()).item()
    errors = [abs(meta_features.sparsity(x, h).item() - expected) for h in (1e-2, 1e-3, 1e-6)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-5
    tied = torch.tensor([[0.5], [0.5], [0.1]], requires_grad=True)
    meta_features.sparsity(tied).sum().backward()
    assert tied.grad[0] > 0 > tied.grad[1]  # less sparse as they part


@pytest.mark.parametrize("name", ["sd", "skewness", "kurtosis", "cor"])
def test_constant_channels_have_no_gradient(x, name):
    x[:, 1] = 3.0
    x.requires_grad_()
    META_FEATURES[name].function(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[:, 1] == 0).all()


# --- derivatives, batches, precision -------------------------------------------------------------


@pytest.mark.parametrize("name", OF_CHANNELS)
def test_gradients_of_channels(name):
    x = torch.randn(2, 7, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(META_FEATURES[name].function, x)


@pytest.mark.parametrize("name", OF_CODES)
def test_gradients_of_codes(name, table):
    """At soft codes: all frequencies well above half a row."""
    codes = torch.rand(2, 5, 10, dtype=torch.double) + 0.5
    codes.requires_grad_()
    assert torch.autograd.gradcheck(lambda c: META_FEATURES[name].function(c, table), codes)


def test_gradients_of_both():
    table = table_of(target=target_of([0, 1, 2]))
    inputs = torch.rand(2, 6, 3), torch.rand(2, 6, 10) + 0.5
    inputs = [part.double().requires_grad_() for part in inputs]
    assert torch.autograd.gradcheck(lambda x, c: meta_features.gravity(x, c, table), inputs)


@pytest.mark.parametrize("name", META_FEATURES)
def test_batches_are_the_same_as_one_after_the_other(name, levels):
    target = target_of([0, 1, 2])
    plain = table_of(target=target)
    hot = one_hot(levels)
    table = plain.with_pairs(levels_of(plain, hot))
    channels = torch.rand(4, 75, 3, generator=torch.Generator().manual_seed(0))
    codes = hot.view(4, 75, -1)
    feature = META_FEATURES[name]
    together = feature(channels, codes, table)
    apart = torch.stack([feature(*rows, table) for rows in zip(channels, codes, strict=True)])
    assert together.shape == (4, feature.size(table))
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cov", "cor", "eigenvalues", "contingency", "gravity"])
def test_the_precision_of_the_networks_is_not_that_of_statistics(name, levels):
    """Training multiplies in bfloat16, which would leave three digits."""
    hot = one_hot(levels)
    plain = table_of(target=target_of([0, 1, 2]))
    table = plain.with_pairs(levels_of(plain, hot))
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    gradients = []
    for precision, dtype in (("highest", torch.double), ("medium", torch.float)):
        inputs = [part.to(dtype).requires_grad_() for part in (x, hot)]
        with matmul_precision(precision):
            META_FEATURES[name](*inputs, table).square().sum().backward()
        gradients.append([part.grad for part in inputs if part.grad is not None])
    for exact, found in zip(*gradients, strict=True):
        assert float((found - exact).abs().max()) < 1e-5 * float(exact.abs().max())


# --- pairs ---------------------------------------------------------------------------------------


def test_the_strongest_pairs_come_first_and_those_of_the_target_always(levels):
    hot = one_hot(levels)
    plain = table_of()
    rows = levels_of(plain, hot)
    # (0, 1) has 6 cells, (1, 3) has 8.
    for cells, pairs in ((7, ((0, 1),)), (13, ((0, 1),)), (14, ((0, 1), (1, 3)))):
        assert replace(plain, pair_cells=cells).with_pairs(rows).pairs == pairs
    little = replace(plain, pair_cells=1)
    assert plain.has_pairs
    assert not little.has_pairs
    with pytest.raises(ValueError, match="no two columns have a joint table of at most 1 cells"):
        little.with_pairs(rows)
    target = replace(table_of(target=target_of([0, 1, 2, 3], column=3)), pair_cells=1)
    assert target.with_pairs(rows).pairs == ((0, 3), (1, 3))


def test_strength_is_cramers_v(levels):
    plain = table_of()
    rows = levels_of(plain, one_hot(levels))
    found = plain.strengths(rows, 0, [1, 3])
    for strength, other in zip(found, (1, 3), strict=True):
        counts = pd.crosstab(levels[:, 0].numpy(), levels[:, other].numpy()).to_numpy()
        expected = np.outer(counts.sum(1), counts.sum(0)) / 300
        phi2 = ((counts - expected) ** 2 / expected).sum() / 300
        r, k = counts.shape
        phi2 = max(0, phi2 - (r - 1) * (k - 1) / 299)
        least = min(r - (r - 1) ** 2 / 299, k - (k - 1) ** 2 / 299)
        assert strength == pytest.approx((phi2 / (least - 1)) ** 0.5)
    assert found[0] > 0.5 > found[1]


def test_the_layout_of_a_frame_gives_blocks_and_channels():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"kind": random.choice(list("abc"), 200), "x": random.normal(size=200)})
    encoder = TableEncoder().fit(frame)
    table = FeatureTable.of(Layout.of(encoder))
    assert table.ordered == (1,)
    assert [table.width(block) for block in table.blocks] == encoder.widths
    assert table.levels == sum(encoder.widths)


# --- registry and errors -------------------------------------------------------------------------


@pytest.fixture
def registry():
    with own_meta_features() as known:
        yield known


def test_a_registered_meta_feature_is_one_like_the_others(registry):
    register_meta_feature("third", lambda x: x.pow(3).mean(-2), source="by hand")
    register_meta_feature(
        "rate", lambda codes, table: codes[..., :1].mean(-2), "codes", lambda table: 1, blocks=1
    )
    assert check_meta_features(["third", "rate"]) == ("third", "rate")
    table, x = table_of(), torch.rand(5, 3)
    torch.testing.assert_close(registry["third"](x, None, table), x.pow(3).mean(0))
    assert registry["rate"](x, torch.ones(5, 10), table).item() == 1
    for name in ("mean", "auto"):
        with pytest.raises(ValueError, match=f"'{name}' is the package's own: choose another"):
            register_meta_feature(name, lambda x: x, replace=True)
    with pytest.raises(ValueError, match=r"'third' is registered already.*replace=True"):
        register_meta_feature("third", lambda x: x.pow(5).mean(-2))
    register_meta_feature("third", lambda x: x.pow(5).mean(-2), replace=True)
    torch.testing.assert_close(registry["third"](x, None, table), x.pow(5).mean(0))
    with pytest.raises(ValueError, match="reads must be one of channels, codes, both, not 'x'"):
        register_meta_feature("other", lambda x: x, reads="x")
    register_meta_feature("wrong", lambda x: x)
    with pytest.raises(ValueError, match=r"'wrong' gave shape \[5, 3\] instead of \[3\]"):
        registry["wrong"](x, None, table)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="unknown meta-feature 'meen': choose from mean, var"):
        check_meta_features(["mean", "meen"])
    with pytest.raises(ValueError, match="'auto' stands for a choice of its own: meta_features="):
        check_meta_features(["auto", "gravity"])
    with pytest.raises(ValueError, match="'mean' is there twice"):
        check_meta_features(["mean", "mean"])


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("mean", {"ordered": ()}, "'mean' needs 1 ordered column.*has 0: leave it out"),
        ("cor", {"ordered": (2,)}, "'cor' needs 2 ordered column.*has 1"),
        ("cov", {"ordered": (2,)}, "'cov' needs 2 ordered column"),
        ("contingency", {"widths": (3, 1), "ordered": ()}, "needs 2 column.*of categories"),
        ("joint_entropy", {"widths": (3, 1), "ordered": ()}, "needs 2 column.*of categories"),
        ("frequency", {"widths": (1,), "ordered": (0,)}, "needs 1 column.*of categories"),
        ("gravity", {}, "'gravity' needs the classes of a target column: name one"),
        ("gravity", {"target": target_of([0, 1, 2], categorical=False)}, "'kind' is continuous"),
        ("gravity", {"target": target_of([0, 0, 0])}, "two classes or more, and 'kind' has one"),
        (
            "gravity",
            {"target": target_of([0, 1, 2]), "ordered": (0,)},
            "needs 1 ordered column.*beside the target.*has 0",
        ),
    ],
)
def test_what_a_table_cannot_have_is_refused(name, table, message):
    with pytest.raises(ValueError, match=message):
        applicable([name], table_of(**table))


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ({}, AUTO_META_FEATURES),
        ({"ordered": ()}, ("frequency", "contingency")),
        ({"ordered": (2,)}, ("mean", "var", "frequency", "contingency")),
        ({"widths": (3, 1), "ordered": (0, 1)}, ("mean", "var", "cov", "frequency")),
        ({"widths": (200, 100), "ordered": ()}, ("frequency",)),
        ({"widths": (200, 100), "target": target_of(range(200)), "ordered": ()},
         ("frequency", "contingency")),
    ],
)  # fmt: skip
def test_auto_takes_what_a_table_can_have(table, names):
    assert applicable("auto", table_of(**table)) == names


def test_auto_finds_pairs_wherever_they_are(levels):
    for widths in ((128, 128), (129, 128)):
        table = table_of(widths=widths, ordered=())
        rows = torch.stack([torch.arange(50) % 128, widths[0] + torch.arange(50) % 7], 1)
        if "contingency" in applicable("auto", table):
            assert table.with_pairs(rows).pairs == ((0, 1),)
        else:
            with pytest.raises(ValueError, match="no two columns"):
                table.with_pairs(rows)
