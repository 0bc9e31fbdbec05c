r"""The meta-feature objective: generated rows are to have the training table's statistics.

With no names training is *vanilla*; with names (*MFS*) the generator's loss grows by

.. math:: s(t) \sum_f w_f \, D_f,

s a schedule, w a weight for each meta-feature f, and D one of `DISTANCES` between its values m on
generated and on real rows.

**Scale.** Statistics have units of their own, and their noise. Every coordinate of m is divided
by its standard deviation for a single row, ``sigma = sqrt(rows) sd(m over real batches)``
(floored at ``sigma_floor``, or rare levels would count most), then multiplied by that of a uniform
rank, ``12^(-1/2)``. So the squared differences of all meta-features, which D adds up over
coordinates, are in the unit of the squared difference of two mean ranks; batch sizes do not
change what a weight means; and a coordinate weighs by what can be known of it.

**Bias.** The squared distance of one batch's m to the truth has expectation ``|E m - m_real|^2 +
Var m``, which rewards generators that vary less than the table. The distances differ in what they
do about it.

*tracked* (default)
    ``2 <m, M - m_real>`` with the moving average M of m over some 50 batches
    (``tracking_decay``), held constant together with ``m_real``. Its expected gradient is that
    of ``|E m - m_real|^2`` (up to the batch's own share in M, a fiftieth), without the noise of a
    product of two batches. Reported is ``|M - m_real|^2``.

*product*
    ``<m1 - m_real, m2 - m_real>`` over two halves of the batch. Of independent halves the
    expectation is exactly ``|E m - m_real|^2``. Our generator's halves share the means and
    variances that its batch normalisation takes of the batch, which couples them a little: what
    one half has more of, the other has less of. Can be negative.

For both, ``m_real`` is the mean over real samples of the size of m's own: a statistic that is not
linear in the rows, like a range, has the same bias on both sides. (But for tables smaller than a
batch, whose samples hold rows more than once.)

*transport*, *sinkhorn*, *sliced*, *wasserstein_1d* (`objectives.transport`)
    Between two clouds, of m on random subsets of a generated batch and of m on the same number of
    subsets, of the same size, of a real batch. Split ``W_2^2`` of two clouds into the squared
    distance of their centres and the distance of the centred clouds. Statistics of subsets of a
    fraction p of B rows scatter about the batch's own value with covariance ``(1/p - 1) Sigma /
    B``, Sigma that of one row. With one size on both sides the scatter agrees exactly when Sigma
    does, and the second part has nothing to shrink; with subsets of 64 generated and 1,400 real
    rows, say, it would be least for a generator with a fortieth of the variance. The first part
    has expectation ``|E m - E m_real|^2 + (Sigma_generated + Sigma_real) / B`` (with independent
    rows): what is left of the reward for varying less is of the order 1/B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from sdv_wgangp.objectives import transport
from sdv_wgangp.objectives.feature_table import FeatureTable
from sdv_wgangp.objectives.meta_features import META_FEATURES, check_meta_features

DISTANCES = ("tracked", "product", "transport", "sinkhorn", "sliced", "wasserstein_1d")
# Progress at which "decay" begins, as the learning rates do.
DECAY_FROM = 0.5
SCHEDULES = ("constant", "warmup", "decay")
UNIFORM_SIGMA = 12**-0.5


class Batch(NamedTuple):
    """Rows as meta-features read them.

    Attributes:
        channels: Ordering channels, ``[rows, d]``.
        codes: One-hot codes, ``[rows, levels]``; None where no statistic reads them.
    """

    channels: torch.Tensor
    codes: torch.Tensor | None


class BatchGradient(NamedTuple):
    """A gradient at a `Batch`, of its structure; a part is None where no statistic reads it."""

    channels: torch.Tensor | None
    codes: torch.Tensor | None


class Matched(NamedTuple):
    """What `MetaFeatureObjective.loss` gives; nothing has a graph.

    Attributes:
        loss: The weighted sum, a scalar.
        gradient: At the generated rows.
        distances: By name in their order, without weights and schedule, ``[names]``.
    """

    loss: torch.Tensor
    gradient: BatchGradient
    distances: torch.Tensor


def check_weights(names: Sequence[str], weight: float | Mapping[str, float]) -> list[float]:
    """The weight of every meta-feature.

    Raises:
        ValueError: A mapping names another set of meta-features than ``names``.
    """
    if not isinstance(weight, Mapping):
        return [weight] * len(names)
    for name in weight:
        if name not in names:
            raise ValueError(f"meta_feature_weight names {name!r}, which is not in meta_features")
    for name in names:
        if name not in weight:
            raise ValueError(f"meta_feature_weight has no weight for {name!r}")
    return [weight[name] for name in names]


def sample_size(distance: str, fraction: float, rows: int) -> int:
    """How many rows of a batch a statistic is taken of.

    Raises:
        ValueError: The batch is too small for two of them.
    """
    if distance == "tracked":
        return rows
    size = rows // 2 if distance == "product" else int(fraction * rows)
    if size < 2:
        raise ValueError(
            f"meta_feature_distance {distance!r} takes statistics of {size} row(s) of the {rows} "
            f"without conditions in a batch, and two are needed: raise batch_size"
            + ("" if distance == "product" else " or meta_feature_fraction")
        )
    return size


def real_batches(rows: int, batch_size: int, least: int = 50, most: int = 1_000) -> int:
    """How many batches of a table's rows to learn ``m_real`` from.

    Until every row has been in one, but ``least`` at least and ``most`` at most.
    """
    return min(max(least, -(-rows // batch_size)), most)


class MetaFeatureObjective:
    """Matches named meta-features of generated batches with those of the training table.

    Args:
        names: Keys of `META_FEATURES`.
        table: What they know of the table.
        real: Batches of training rows, of the size of the generated ones, to learn scales and
            ``m_real`` from; as many as `real_batches` says will do.
        rows: Training rows there are.
        random: Source of subsets and directions, on the device of the rows.
        weight: Factor of the losses, or one for each name.
        distance: One of `DISTANCES`.
        subsets: How many subsets make a cloud.
        fraction: Share of the batch in each, in (0, 1].
        schedule: "constant"; "warmup", rising from 0 in the beginning of the training; "decay",
            falling to 0 in the last half of it.
        tracking_decay: Of the moving average of "tracked", per step, in [0, 1).
        sinkhorn_epsilon, sinkhorn_iterations: See `transport.sinkhorn`.
        sliced_projections: Directions of "sliced".
        sigma_floor: Least standard deviation that a coordinate is divided by, for a single row.
        warmup: Part of the training after which "warmup" is over.

    Attributes:
        scale: Factors of the statistics, ``[size]`` for each name.

    Raises:
        ValueError: A name, distance or schedule is unknown, a subset has less than two rows, a
            weight is missing, or a statistic is not finite or not differentiable; names it.
    """

    def __init__(
        self,
        names: Sequence[str],
        table: FeatureTable,
        real: Iterable[Batch],
        rows: int,
        random: torch.Generator,
        *,
        weight: float | Mapping[str, float] = 1.0,
        distance: str = "tracked",
        subsets: int = 10,
        fraction: float = 0.5,
        schedule: str = "constant",
        tracking_decay: float = 0.98,
        sinkhorn_epsilon: float = 0.05,
        sinkhorn_iterations: int = 50,
        sliced_projections: int = 32,
        sigma_floor: float = 0.1,
        warmup: float = 0.1,
    ):
        self.names = check_meta_features(names)
        self.table, self.distance = table, distance
        self._weights = check_weights(self.names, weight)
        self._features = [META_FEATURES[name] for name in self.names]
        self._schedule, self._subsets, self._fraction = schedule, subsets, fraction
        self._random, self._warmup = random, warmup
        self._tracking_decay, self._sigma_floor = tracking_decay, sigma_floor
        self._sinkhorn = sinkhorn_epsilon, sinkhorn_iterations
        self._projections = sliced_projections
        self._done, self._phase = 0, 0.0
        self.scale, self._target = self._learn(real, rows)
        self._tracked = [target.clone() for target in self._target]
        self._rate = torch.ones((), device=random.device)
        self._factor = torch.ones((), device=random.device)

    def _learn(
        self, real: Iterable[Batch], rows: int
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Scales, and ``m_real`` on them, from batches that are not kept."""
        single: list[list[torch.Tensor]] = []
        sampled: list[list[torch.Tensor]] = []
        for batch in real:
            if not single:
                self._check_gradients(batch)
            count = len(batch.channels)
            # Batches of a large part of the table are too much alike to tell the noise.
            few = max(2, min(count, rows // 4))
            single.append(self._raw(_rows(batch, few)))
            size = sample_size(self.distance, self._fraction, count)
            sampled.append(single[-1] if size == few else self._raw(_rows(batch, size)))
        of_a_row = (few / (1 - few / rows if few < rows else 1)) ** 0.5
        scale = [
            UNIFORM_SIGMA
            / (of_a_row * torch.stack(values).std(0, correction=0)).clamp_min(self._sigma_floor)
            for values in zip(*single, strict=True)
        ]
        means = [torch.stack(values).mean(0) for values in zip(*sampled, strict=True)]
        for name, part, mean in zip(self.names, scale, means, strict=True):
            if not (part.isfinite().all() and mean.isfinite().all()):
                raise ValueError(
                    f"meta-feature {name!r} is not finite on training rows: correct its function, "
                    "or leave it out"
                )
        return scale, [part * mean for part, mean in zip(scale, means, strict=True)]

    def _check_gradients(self, batch: Batch) -> None:
        """Refuse statistics that the generator could not learn from."""
        leaves = _leaves(batch)
        at = [leaf for leaf in leaves if leaf is not None]
        for name, value in zip(self.names, self._raw(leaves), strict=True):
            if not value.numel():
                continue
            if not value.requires_grad:
                raise ValueError(
                    f"meta-feature {name!r} has no gradient at the rows: its function must be "
                    "differentiable and stay in PyTorch"
                )
            gradients = torch.autograd.grad(value.sum(), at, allow_unused=True)
            finite = all(one is None or one.isfinite().all() for one in gradients)
            if value.isfinite().all() and not finite:  # values are looked at later, in all batches
                raise ValueError(
                    f"the gradient of meta-feature {name!r} is not finite at training rows: "
                    "correct its function (a root at 0 and a division by 0 have none; a missing "
                    "value has rank 0.5), or leave it out"
                )

    @property
    def needs_real(self) -> bool:
        """Whether `loss` compares with a real batch."""
        return self.distance not in ("tracked", "product")

    @property
    def static(self) -> bool:
        """Whether a CUDA graph can hold `loss`."""
        on_device = all(feature.static for feature in self._features)
        return on_device and self.distance != "transport"

    def advance(self, phase: float = 0.0) -> None:
        """Count a step: set how far it moves the averages, and the schedule's factor.

        (A CUDA graph may hold `loss`.)

        Args:
            phase: Share of the training that is done with this step, for the schedules.
        """
        self._done += 1
        self._phase = phase
        # Early on the average is young: it is the plain mean of the batches so far.
        self._rate.fill_(max(1 - self._tracking_decay, 1 / self._done))
        self._factor.fill_(self.factor)

    def state_dict(self) -> dict[str, Any]:
        """What changes from step to step; scales and ``m_real`` are learned anew."""
        return {"done": self._done, "tracked": self._tracked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._done = state["done"]
        for own, saved in zip(self._tracked, state["tracked"], strict=True):
            own.copy_(saved)

    @property
    def factor(self) -> float:
        """The schedule's factor of the current step."""
        part = self._phase
        if self._schedule == "warmup":
            return min(1.0, part / self._warmup)
        if self._schedule == "decay":
            return min(1.0, max(0.0, (1 - part) / (1 - DECAY_FROM)))
        return 1.0

    def loss(self, fake: Batch, real: Batch | None = None) -> Matched:
        """Loss of one generated batch and its gradient there; moves the averages.

        `advance` comes before it.

        Args:
            fake: Generated rows.
            real: As many real rows, where `needs_real`.

        Raises:
            ValueError: Real rows are needed, and there are none.
        """
        leaves = _leaves(fake)
        if self.needs_real:
            if real is None:
                raise ValueError(
                    f"meta_feature_distance {self.distance!r} compares generated rows with real "
                    "ones: give the real batch"
                )
            index = self._draw_subsets(len(fake.channels))
            with torch.no_grad():
                theirs = self._values(_subsets(real, index))
            samples = _subsets(leaves, index)
        else:
            theirs, samples = self._target, self._samples(leaves)
        losses, distances = self._compare(self._values(samples), theirs)
        total = fake.channels.new_zeros(())
        for weight, loss in zip(self._weights, losses, strict=True):
            total = total + weight * loss.to(total.dtype)
        total = self._factor * total
        total.backward()
        gradient = BatchGradient(*(None if leaf is None else leaf.grad for leaf in leaves))
        return Matched(total.detach(), gradient, torch.stack(distances).detach().to(total.dtype))

    def _samples(self, rows: Batch) -> Batch:
        """The rows that statistics are taken of where there are no clouds, ``[..., rows, width]``:
        all of them, or two halves."""
        if self.distance == "tracked":
            return rows
        half = len(rows.channels) // 2
        return _mapped(lambda part: part[: 2 * half].unflatten(0, (2, half)), rows)

    def _draw_subsets(self, rows: int) -> torch.Tensor:
        """Rows of each subset, ``[subsets, size]``, without repetition within one.

        Real and generated batches are cut alike: they have nothing to do with each other.
        """
        size = sample_size(self.distance, self._fraction, rows)
        random = self._random
        keys = torch.rand(self._subsets, rows, device=random.device, generator=random)
        return keys.argsort(1)[:, :size]

    def _compare(
        self, values: list[torch.Tensor], others: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The loss of every meta-feature, and the distance to report."""
        pairs = list(zip(values, others, strict=True))
        if self.distance == "tracked":
            for tracked, value in zip(self._tracked, values, strict=True):
                tracked.lerp_(value.detach(), self._rate)
            residuals = [m - real for m, real in zip(self._tracked, others, strict=True)]
            losses = [2 * (m * rest).sum() for m, rest in zip(values, residuals, strict=True)]
            return losses, [rest.square().sum() for rest in residuals]
        if self.distance == "product":
            halves = [(value - real).unbind() for value, real in pairs]
            distances = [(first * second).sum() for first, second in halves]
        elif self.distance == "transport":
            distances = [transport.exact(*pair) for pair in pairs]
        elif self.distance == "sinkhorn":
            distances = list(transport.sinkhorn(values, others, *self._sinkhorn))
        elif self.distance == "sliced":
            distances = [transport.sliced(*pair, self._lines(pair[0])) for pair in pairs]
        else:
            distances = [transport.by_coordinate(*pair) for pair in pairs]
        return distances, distances

    def _lines(self, cloud: torch.Tensor) -> torch.Tensor:
        """Directions to project a cloud to."""
        shape = cloud.shape[-1], self._projections
        return torch.randn(shape, device=cloud.device, generator=self._random)

    @torch.no_grad()
    def statistics(self, rows: Batch) -> dict[str, torch.Tensor]:
        """The meta-features of rows by their names, in their own units, ``[size]`` each."""
        return dict(zip(self.names, self._raw(rows), strict=True))

    def _raw(self, rows: Batch) -> list[torch.Tensor]:
        """Values of the statistics, ``[..., size]`` each."""
        return [feature(*rows, self.table) for feature in self._features]

    def _values(self, rows: Batch) -> list[torch.Tensor]:
        """The same on their common scale."""
        raw = self._raw(rows)
        return [value * scale for value, scale in zip(raw, self.scale, strict=True)]


def _mapped(function: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> Batch:
    """What a function makes of the parts that a batch has."""
    codes = None if batch.codes is None else function(batch.codes)
    return Batch(function(batch.channels), codes)


def _leaves(batch: Batch) -> Batch:
    """The same rows, where gradients end."""
    return _mapped(lambda part: part.detach().requires_grad_(), batch)


def _rows(batch: Batch, count: int) -> Batch:
    """The first rows of a batch."""
    return _mapped(lambda part: part[:count], batch)


def _subsets(batch: Batch, index: torch.Tensor) -> Batch:
    """``[subsets, size, width]`` of a batch's rows."""
    return _mapped(
        lambda part: part.index_select(0, index.flatten()).unflatten(0, index.shape), batch
    )
