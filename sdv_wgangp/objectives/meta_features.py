"""Meta-feature statistics of a table, and the objective that matches them.

A meta-feature is a statistic of a batch of rows: of the ordering channels (the ranks of the
values in their columns, `networks.views`) or of the one-hot codes. The objective compares the
generator's with the training table's.

The squared distance of one batch's statistics is biased towards under-dispersed generators (the
batch's own sampling variance is in it), so the *tracked residual* is used: with ``m`` the
statistics of the batch and ``M`` their moving average over earlier batches,

    loss = 2 <m, M - m_real>,   M - m_real held constant,

which has the gradient of ``|E m - m_real|^2`` without that variance. ``m_real`` is the mean over
batches of the same size, so statistics that are not linear in the rows carry the same bias on
both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from sdv_wgangp.ops import correlation, moments

REAL_BATCHES = 50
TRACKING_DECAY = 0.98


def mean(x: torch.Tensor) -> torch.Tensor:
    """Mean of every channel: ``[rows, d] -> [d]``."""
    return x.mean(0)


def var(x: torch.Tensor) -> torch.Tensor:
    """Unbiased variance of every channel: ``[rows, d] -> [d]``."""
    return x.var(0)


def sd(x: torch.Tensor) -> torch.Tensor:
    """Standard deviation of every channel: ``[rows, d] -> [d]``."""
    return (x.var(0) + _TINY).sqrt()


def skewness(x: torch.Tensor) -> torch.Tensor:
    """Third standardised moment of every channel, 0 where constant: ``[rows, d] -> [d]``."""
    return _standardised(x).pow(3).mean(0)


def kurtosis(x: torch.Tensor) -> torch.Tensor:
    """Fourth standardised moment less 3 of every channel: ``[rows, d] -> [d]``."""
    return _standardised(x).pow(4).mean(0) - 3


def cov(x: torch.Tensor) -> torch.Tensor:
    """Covariances of all pairs of channels, ``i < j``: ``[rows, d] -> [d (d - 1) / 2]``."""
    return _pairs(moments(x)[1])


def cor(x: torch.Tensor) -> torch.Tensor:
    """Pearson correlations of all pairs, 0 with a constant: ``[rows, d] -> [d (d - 1) / 2]``."""
    return _pairs(correlation(x, minimum_variance=_TINY))


def frequency(hot: torch.Tensor) -> torch.Tensor:
    """Share of the rows on every level: ``[rows, levels] -> [levels]``."""
    return hot.mean(0)


_TINY = 1e-8
CHANNEL_FEATURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    function.__name__: function for function in (mean, var, sd, skewness, kurtosis, cov, cor)
}
CODE_FEATURES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"frequency": frequency}
META_FEATURES = (*CHANNEL_FEATURES, *CODE_FEATURES)


def check_meta_features(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple.

    Raises:
        ValueError: A name is unknown; the message lists the known ones.
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in META_FEATURES:
            raise ValueError(
                f"unknown meta-feature {name!r}: choose from {', '.join(META_FEATURES)}"
            )
    return names


def check_applicable(names: Iterable[str], ordered_columns: int) -> None:
    """Refuse meta-features that a table cannot have.

    Raises:
        ValueError: A feature of channels without an ordered column, or of pairs without two.
    """
    for name in names:
        needed = 2 if name in ("cov", "cor") else 1
        if name in CHANNEL_FEATURES and ordered_columns < needed:
            raise ValueError(
                f"meta-feature {name!r} needs {needed} ordered column(s), like numbers, and the "
                f"table has {ordered_columns}: leave it out or use 'frequency'"
            )


class MetaFeatureObjective:
    """Matches named meta-features of generated batches with those of the training table.

    Args:
        names: Keys of `META_FEATURES`.
        weight: Factor of the loss.
        real: Batches of training rows: ordering channels ``[rows, d]`` and one-hot codes
            ``[rows, levels]``, of the size of the generated batches.
    """

    def __init__(
        self,
        names: Sequence[str],
        weight: float,
        real: Iterable[tuple[torch.Tensor, torch.Tensor]],
    ):
        self.names = check_meta_features(names)
        self.weight = weight
        batches = [self._statistics(channels, hot) for channels, hot in real]
        self._target = [torch.stack(values).mean(0) for values in zip(*batches, strict=True)]
        self._tracked = [target.clone() for target in self._target]
        self._steps = 0
        self._share = torch.ones((), device=self._target[0].device)

    @property
    def reads_codes(self) -> bool:
        """Whether a statistic is one of the codes."""
        return any(name in CODE_FEATURES for name in self.names)

    def advance(self) -> None:
        """Count a step: set how far it moves the averages. (A CUDA graph may hold `loss`.)"""
        self._steps += 1
        # Early on the average is young: it is the plain mean of the batches so far.
        self._share.fill_(max(1 - TRACKING_DECAY, 1 / self._steps))

    def loss(
        self, channels: torch.Tensor, hot: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Loss of one generated batch and its gradient there; moves the averages.

        `advance` comes before it.

        Args:
            channels: Ordering channels, shape ``[rows, d]``.
            hot: One-hot codes, ``[rows, levels]``; None will do unless `reads_codes`.

        Returns:
            The loss, a scalar without a graph, and its gradients at the channels and at the
            codes, None where no statistic reads them.
        """
        leaves = [
            None if rows is None else rows.detach().requires_grad_() for rows in (channels, hot)
        ]
        total = channels.new_zeros(())
        for index, value in enumerate(self._statistics(*leaves)):
            self._tracked[index].lerp_(value.detach(), self._share)
            residual = self._tracked[index] - self._target[index]
            total = total + 2 * (value * residual).sum()
        total = self.weight * total
        total.backward()
        return total.detach(), *(None if leaf is None else leaf.grad for leaf in leaves)

    def _statistics(self, channels, hot) -> list[torch.Tensor]:
        return [
            CHANNEL_FEATURES[name](channels)
            if name in CHANNEL_FEATURES
            else CODE_FEATURES[name](hot)
            for name in self.names
        ]


def _standardised(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(0)
    variance = centred.square().mean(0)
    return centred * torch.where(variance > _TINY, variance, torch.inf).rsqrt()


def _pairs(matrix: torch.Tensor) -> torch.Tensor:
    row, column = torch.triu_indices(*matrix.shape, offset=1, device=matrix.device)
    return matrix[row, column]
