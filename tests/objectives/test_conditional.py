"""Scores of conditional distributions: gradients, and where they are least."""

from __future__ import annotations

from itertools import pairwise

import torch

from sdv_wgangp.objectives.conditional import code_score, rank_score

OFFSETS = torch.tensor([0, 3, 5, 9])
PAIRS = 7


def draw(seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, PAIRS, 9, dtype=torch.float64, generator=random) * 2
    levels = torch.stack([torch.randint(n, (PAIRS,), generator=random) for n in (3, 2, 4)], 1)
    fixed = torch.rand(PAIRS, 3, generator=random) < 0.4
    assert fixed.any()
    assert not fixed.all()
    return logits, levels + OFFSETS[:-1], fixed, random


def test_the_code_score_is_its_definition_and_its_derivative():
    logits, levels, fixed, _ = draw()
    score, gradient = code_score(logits, levels, fixed, OFFSETS)
    logits.requires_grad_()
    expected = logits.new_zeros(())
    for column, (start, stop) in enumerate(pairwise(OFFSETS)):
        p, q = torch.softmax(logits[:, :, start:stop], 2)
        code = levels[:, column, None] - start
        terms = (p * q).sum(1) - (p + q).gather(1, code)[:, 0]
        expected = expected + terms[~fixed[:, column]].sum()
    torch.testing.assert_close(score, expected.detach())
    (slope,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, slope)


def test_the_rank_score_is_its_definition_and_its_derivative():
    _, _, fixed, random = draw()
    ranks = torch.rand(2, PAIRS, 3, dtype=torch.float64, generator=random).requires_grad_()
    real = torch.rand(PAIRS, 3, dtype=torch.float64, generator=random)
    score, gradient = rank_score(ranks.detach(), real, fixed)
    one, other = ranks
    terms = (one - real).abs() + (other - real).abs() - (one - other).abs()
    expected = terms[~fixed].sum()
    torch.testing.assert_close(score, expected.detach())
    (slope,) = torch.autograd.grad(expected, ranks)
    torch.testing.assert_close(gradient, slope)


def test_the_expected_code_score_is_the_squared_distance_of_the_mean():
    """Over all pairs of noise and all real codes; single draws are far from the mean."""
    random = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(6, 4, dtype=torch.float64, generator=random)
    truth = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
    offsets, free = torch.tensor([0, 4]), torch.zeros(1, 1, dtype=torch.bool)
    expected = (
        sum(
            probability
            * code_score(torch.stack([a, b])[:, None], torch.tensor([[code]]), free, offsets)[0]
            for code, probability in enumerate(truth)
            for a in logits
            for b in logits
        )
        / len(logits) ** 2
    )
    mean = torch.softmax(logits, 1).mean(0)
    torch.testing.assert_close(expected, (mean - truth).square().sum() - truth.square().sum())


def test_the_expected_rank_score_is_least_at_the_true_distribution():
    """Both are three points: the score's excess is twice the squared distance of the functions."""
    values = torch.tensor([0.1, 0.4, 0.9], dtype=torch.float64)
    truth = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)

    def expected(frequencies):
        total = 0.0
        for a, of_a in zip(values, frequencies, strict=True):
            for b, of_b in zip(values, frequencies, strict=True):
                for r, of_r in zip(values, truth, strict=True):
                    ranks = torch.stack([a, b]).view(2, 1, 1)
                    score, _ = rank_score(ranks, r.view(1, 1), torch.zeros(1, 1, dtype=bool))
                    total += of_a * of_b * of_r * score
        return total

    other = torch.tensor([0.4, 0.1, 0.5], dtype=torch.float64)
    gap = (other - truth).cumsum(0)[:2].square() @ values.diff()
    torch.testing.assert_close(expected(other) - expected(truth), 2 * gap)
