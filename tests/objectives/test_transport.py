"""Distances between clouds against POT and against each other."""

from __future__ import annotations

import ot
import pytest
import torch

from sdv_wgangp.objectives import transport


def clouds(points=7, k=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(points, k, dtype=torch.double, generator=random) for _ in range(2))
    return x.requires_grad_(), (y + 0.5).requires_grad_()


def entropic(x, y):
    return transport.sinkhorn([x], [y])[0]


def sliced(x, y):
    random = torch.Generator().manual_seed(1)
    return transport.sliced(x, y, torch.randn(x.shape[1], 20_000, generator=random))


ALL = [transport.exact, entropic, sliced, transport.by_coordinate]


@pytest.mark.parametrize(("points", "k"), [(1, 1), (7, 4), (30, 2), (10, 200)])
def test_exact_transport_is_pots(points, k):
    x, y = clouds(points, k)
    found = transport.exact(x, y)
    weights = ot.unif(points, type_as=x)
    expected = ot.emd2(weights, weights, ot.dist(x, y))
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, (x, y)), torch.autograd.grad(expected, (x, y)), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_sinkhorn_is_pots():
    x, y = clouds()
    found = transport.sinkhorn([x], [y], epsilon=0.2, iterations=2000)[0]
    smoothing = 0.2 * ot.dist(x, y).mean().item()
    weights = ot.unif(len(x), type_as=x)

    def entropic_cost(a, b):
        costs = ot.dist(a, b).detach()
        plan = ot.sinkhorn(weights, weights, costs, smoothing, numItermax=10_000, stopThr=1e-10)
        relative = (plan * (plan * len(x) ** 2).log()).sum()
        return (plan * costs).sum() + smoothing * relative

    expected = entropic_cost(x, y) - (entropic_cost(x, x) + entropic_cost(y, y)) / 2
    torch.testing.assert_close(found.detach(), expected, rtol=1e-6, atol=1e-8)


def test_sinkhorn_tends_to_exact_transport():
    x, y = clouds()
    exact = transport.exact(x, y).item()
    errors = [
        abs(transport.sinkhorn([x], [y], epsilon, 3000).item() - exact)
        for epsilon in (0.3, 0.03, 0.003)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3 * exact


def test_the_gradient_of_sinkhorn_is_that_of_its_limit():
    """Differences of the converged value, at an epsilon that does not move with the clouds."""
    x, y = (cloud.detach() for cloud in clouds(5, 2))
    smoothing = 0.5

    def value(x):
        mean = torch.cdist(x.double(), y.double()).square().mean().item()
        return transport.sinkhorn([x], [y], smoothing / mean, 2000)[0]

    x.requires_grad_()
    (found,) = torch.autograd.grad(value(x), x)
    with torch.no_grad():
        for place in ((0, 0), (3, 1)):
            step = torch.zeros_like(x)
            step[place] = 1e-5
            slope = (value(x + step) - value(x - step)) / 2e-5
            torch.testing.assert_close(found[place], slope, rtol=1e-5, atol=1e-7)


def test_the_default_iterations_come_close():
    x, y = clouds(10, 20)
    default = transport.sinkhorn([x], [y])
    converged = transport.sinkhorn([x], [y], iterations=5000)
    torch.testing.assert_close(default, converged, rtol=0.02, atol=0)


def test_many_pairs_are_as_one_after_the_other():
    pairs = [clouds(6, k, seed=k) for k in (1, 3, 50)]
    together = transport.sinkhorn(*zip(*pairs, strict=True))
    apart = torch.cat([transport.sinkhorn([x], [y]) for x, y in pairs])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("distance", ALL)
def test_a_shift_is_its_squared_length(distance):
    x, _ = clouds()
    shift = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.double)
    tolerance = {sliced: 0.02, entropic: 1e-3}.get(distance, 1e-9)
    found = distance(x, x + 3 * shift)
    torch.testing.assert_close(found, 9 * shift.square().sum(), rtol=tolerance, atol=1e-9)


@pytest.mark.parametrize("distance", ALL)
def test_equal_clouds_are_at_no_distance_in_any_order(distance):
    x, _ = clouds()
    (gradient,) = torch.autograd.grad(distance(x, x.detach().flip(0)), x)
    assert distance(x, x.flip(0)).item() == pytest.approx(0, abs=1e-9)
    assert float(gradient.abs().max()) < 1e-6
    constant = torch.ones(4, 2, requires_grad=True)
    value = distance(constant, constant.detach())
    assert value.item() == 0
    assert (torch.autograd.grad(value, constant)[0] == 0).all()


def test_lines_are_one_dimensional_transport():
    x, y = clouds(9, 1)
    exact = transport.exact(x, y)
    torch.testing.assert_close(sliced(x, y), exact)
    torch.testing.assert_close(transport.by_coordinate(x, y), exact)
    x, y = clouds(9, 5)
    assert transport.by_coordinate(x, y) < transport.exact(x, y)


@pytest.mark.parametrize("distance", [transport.exact, sliced, transport.by_coordinate])
def test_gradients(distance):
    assert torch.autograd.gradcheck(distance, clouds(4, 3))


@pytest.mark.parametrize("distance", ALL)
def test_clouds_of_different_sizes_are_refused(distance):
    with pytest.raises(ValueError, match=r"got shapes \[3, 2\] and \[4, 2\]"):
        distance(torch.zeros(3, 2), torch.zeros(4, 2))


def test_costs_that_are_not_finite_end_the_training():
    with pytest.raises(FloatingPointError, match="not finite"):
        transport.exact(torch.full((2, 2), torch.nan), torch.zeros(2, 2))
