"""The gradient through sampled codes."""

from __future__ import annotations

import torch

from sdv_wgangp.objectives.straight_through import soft_codes, straight_through
from sdv_wgangp.ops import column_sample

OFFSETS = torch.tensor([0, 3, 5])


def test_the_gradient_is_exact_on_average_for_a_quadratic_loss():
    """Two columns of three and two levels, ``loss = d' A d + b' d``: all outcomes enumerated."""
    torch.manual_seed(0)
    logits = torch.randn(5, dtype=torch.double)
    a, b = torch.randn(3, 3, dtype=torch.double), torch.randn(3, dtype=torch.double)

    def loss(codes):  # quadratic in the first column
        d = codes[..., :3]
        return torch.einsum("...i,ij,...j->...", d, a, d) + d @ b

    exact = logits.clone().requires_grad_()
    p = torch.softmax(exact[:3], 0)
    outcomes = torch.eye(3, dtype=torch.double)
    (p * loss(outcomes)).sum().backward()

    estimate = torch.zeros(5, dtype=torch.double)
    for level in range(3):
        row = logits.clone()[None].requires_grad_()
        levels = torch.tensor([[level, 3]])
        codes = straight_through(soft_codes(row, levels, OFFSETS), levels)
        loss(codes).sum().backward()
        estimate += p[level].item() * row.grad[0]
    torch.testing.assert_close(estimate, exact.grad)


def test_the_forward_pass_is_the_sample():
    logits = torch.randn(50, 5)
    levels = column_sample(logits, torch.rand(50, 2), OFFSETS) + OFFSETS[:-1]
    codes = straight_through(soft_codes(logits.requires_grad_(), levels, OFFSETS), levels)
    torch.testing.assert_close(codes.sum(1), torch.full((50,), 2.0))
    assert torch.equal(codes.round().nonzero()[:, 1].view(50, 2), levels)
