"""Meta-features against NumPy, SciPy and each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from sdv_wgangp.objectives import meta_features
from sdv_wgangp.objectives.meta_features import MetaFeatureObjective, check_meta_features
from sdv_wgangp.training.precision import matmul_precision


@pytest.fixture
def x():
    return torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(200, 4)))


def test_values(x):
    a = x.numpy()
    upper = np.triu_indices(4, 1)
    expected = {
        "mean": a.mean(0),
        "var": a.var(0, ddof=1),
        "sd": a.std(0, ddof=1),
        "skewness": scipy.stats.skew(a),
        "kurtosis": scipy.stats.kurtosis(a),
        "cov": np.cov(a.T)[upper],
        "cor": np.corrcoef(a.T)[upper],
    }
    for name, value in expected.items():
        found = meta_features.CHANNEL_FEATURES[name](x)
        np.testing.assert_allclose(found.numpy(), value, rtol=1e-6, err_msg=name)


def test_constant_channels_have_no_correlation_and_no_gradient(x):
    x = x.clone()
    x[:, 1] = 3.0
    x.requires_grad_()
    cor = meta_features.cor(x)
    cor.sum().backward()
    assert cor[0] == 0
    assert torch.isfinite(x.grad).all()
    assert (x.grad[:, 1] == 0).all()


@pytest.mark.parametrize("name", ["cov", "cor"])
def test_the_precision_of_the_networks_is_not_that_of_statistics(name):
    """Training multiplies in bfloat16, which would leave three digits of a covariance."""
    x = torch.randn(500, 60, generator=torch.Generator().manual_seed(0))
    exact = meta_features.CHANNEL_FEATURES[name](x.double())
    with matmul_precision("medium"):
        found = meta_features.CHANNEL_FEATURES[name](x)
    assert float((found - exact).abs().max()) < 1e-6


@pytest.mark.parametrize("name", ["mean", "var", "sd", "skewness", "kurtosis", "cov", "cor"])
def test_gradients(name):
    x = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(meta_features.CHANNEL_FEATURES[name], x)


def test_objective_has_the_gradient_of_the_squared_residual():
    """For a linear statistic and a single step: grad of |m - m_real|^2."""
    real = [(torch.randn(50, 3), torch.zeros(50, 0)) for _ in range(8)]
    target = torch.stack([channels.mean(0) for channels, _ in real]).mean(0)
    objective = MetaFeatureObjective(["mean"], 3.0, iter(real))
    x = torch.randn(50, 3)
    assert not objective.reads_codes
    objective.advance()
    loss, to_channels, to_codes = objective.loss(x, None)
    residual = x.mean(0) - target
    torch.testing.assert_close(to_channels, (3.0 * 2 * residual / 50).expand_as(x))
    torch.testing.assert_close(loss, 3.0 * 2 * (x.mean(0) * residual).sum())
    assert to_codes is None


def test_the_gradient_reaches_the_codes():
    hot = torch.eye(3)[torch.tensor([0, 0, 1, 2, 2, 2])]
    objective = MetaFeatureObjective(["frequency"], 1.0, [(torch.zeros(6, 0), hot)])
    assert objective.reads_codes
    generated = torch.eye(3)[torch.tensor([0, 0, 0, 1, 2, 2])]
    objective.advance()
    _, to_channels, to_codes = objective.loss(torch.zeros(6, 0), generated)
    expected = 2 * torch.tensor([1.0, 0.0, -1.0]) / 6 / 6
    torch.testing.assert_close(to_codes, expected.expand(6, 3))
    assert to_channels is None


def test_objective_vanishes_on_average_for_the_same_distribution():
    draw = lambda: (torch.rand(500, 2, generator=random), torch.zeros(500, 0))  # noqa: E731
    random = torch.Generator().manual_seed(0)
    objective = MetaFeatureObjective(["mean", "var", "cor"], 1.0, (draw() for _ in range(50)))

    def loss_of(channels, hot):
        objective.advance()
        return objective.loss(channels, hot)[0].item()

    losses = [loss_of(*draw()) for _ in range(300)]
    shifted = loss_of(draw()[0] * 0.5, torch.zeros(500, 0))
    assert abs(np.mean(losses[100:])) < 2e-4
    assert abs(shifted) < 1  # one odd batch barely moves the tracked average


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match="unknown meta-feature 'meen': choose from mean, var"):
        check_meta_features(["mean", "meen"])
