r"""Meta-features: statistics of a batch of rows, and the registry of their names.

A row has *channels*, the ranks of its ordered values in their columns, 0.5 where one is missing
(`networks.views`), and *codes*, the one-hot blocks of all columns. Every statistic is a
differentiable function of rows ``[..., rows, width]``, with at most one dimension in front, and
gives ``[..., size]``.

Names and definitions of the statistics of channels, of `gravity` and of `joint_entropy` are those
of pymfe 0.4 (Alcobaca et al. 2020, "MFE: Towards reproducible meta-feature extraction", JMLR 21),
except that `cor` and `cov` keep their sign. `register_meta_feature` adds others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable

from sdv_wgangp.objectives.feature_table import FeatureTable
from sdv_wgangp.ops import (
    correlation,
    moments,
    quantiles,
    sorted_columns,
    symmetric_eigenvalues,
)

_TINY = 1e-8
# Makes the median absolute deviation of a normal distribution its standard deviation.
MAD_FACTOR = 1.4826


# --- statistics of channels ----------------------------------------------------------------------


def mean(x: torch.Tensor) -> torch.Tensor:
    """Mean of every channel: ``[..., rows, d] -> [..., d]``."""
    return x.mean(-2)


def var(x: torch.Tensor) -> torch.Tensor:
    """Unbiased variance of every channel: ``[..., rows, d] -> [..., d]``."""
    return x.var(-2)


def sd(x: torch.Tensor) -> torch.Tensor:
    """Root of `var`, with gradient 0 where it is 0: ``[..., rows, d] -> [..., d]``."""
    return _root(x.var(-2))


def skewness(x: torch.Tensor) -> torch.Tensor:
    """``m_3 / sd^3``, m_3 the mean third power of the deviations; 0 where constant.

    ``[..., rows, d] -> [..., d]``. (b_1 of Joanes and Gill 1998.)
    """
    return _standardised(x).pow(3).mean(-2)


def kurtosis(x: torch.Tensor) -> torch.Tensor:
    """``m_4 / sd^4 - 3``; -3 where constant: ``[..., rows, d] -> [..., d]``.

    (b_2 of Joanes and Gill 1998.)
    """
    return _standardised(x).pow(4).mean(-2) - 3


def cov(x: torch.Tensor) -> torch.Tensor:
    """Signed covariances of all pairs of channels: ``[..., rows, d] -> [..., d (d - 1) / 2]``.

    The lower triangle, row by row: (1, 0), (2, 0), (2, 1), ...
    """
    return _pairs(moments(x)[1])


def cor(x: torch.Tensor) -> torch.Tensor:
    """Signed Pearson correlations, 0 with a constant; shape and order of `cov`."""
    return _pairs(correlation(x, minimum_variance=_TINY))


def eigenvalues(x: torch.Tensor) -> torch.Tensor:
    """Of the covariance matrix, ascending: ``[..., rows, d] -> [..., d]``."""
    return symmetric_eigenvalues(moments(x)[1])


def minimum(x: torch.Tensor) -> torch.Tensor:
    """``min``, smallest value of every channel: ``[..., rows, d] -> [..., d]``."""
    return x.amin(-2)


def maximum(x: torch.Tensor) -> torch.Tensor:
    """``max``, largest value of every channel: ``[..., rows, d] -> [..., d]``."""
    return x.amax(-2)


def value_range(x: torch.Tensor) -> torch.Tensor:
    """``range``, largest value less the smallest: ``[..., rows, d] -> [..., d]``."""
    return x.amax(-2) - x.amin(-2)


def median(x: torch.Tensor) -> torch.Tensor:
    """Median, the middle of two for an even number: ``[..., rows, d] -> [..., d]``."""
    return quantiles(x, (0.5,)).squeeze(-2)


def iq_range(x: torch.Tensor) -> torch.Tensor:
    """Upper quartile less the lower one: ``[..., rows, d] -> [..., d]``."""
    lower, upper = quantiles(x, (0.25, 0.75)).unbind(-2)
    return upper - lower


def mad(x: torch.Tensor) -> torch.Tensor:
    """1.4826 times the median absolute deviation: ``[..., rows, d] -> [..., d]``."""
    return MAD_FACTOR * median((x - median(x).unsqueeze(-2)).abs())


def sparsity(x: torch.Tensor, bandwidth: float | None = None) -> torch.Tensor:
    r"""``(n / phi - 1) / (n - 1)``, phi a smooth number of distinct values of the channel.

    Two neighbours among the sorted values count as distinct by how far they are apart,

    .. math:: \phi_h = 1 + \sum_i \left(1 - e^{-(x_{(i+1)} - x_{(i)}) / h}\right),

    which is the number of distinct values as the bandwidth h goes to 0. The gradient is largest
    where values tie: it pulls them apart or together, whichever is wanted. Takes no more memory
    than the rows.

    Args:
        x: ``[..., rows, d]``, two rows or more.
        bandwidth: h, in the unit of the channels; by default ``1 / (4 rows)``, a quarter of the
            mean gap of a channel that fills [0, 1] as ranks do.

    Returns:
        ``[..., d]``.
    """
    rows = x.shape[-2]
    gaps = sorted_columns(x)[0].diff(dim=-2)
    distinct = 1 - torch.expm1(-gaps / (bandwidth or 1 / (4 * rows))).sum(-2)
    return (rows / distinct - 1) / (rows - 1)


# --- statistics of codes -------------------------------------------------------------------------


def frequency(codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
    """Share of the rows on every level: ``[..., rows, levels] -> [..., levels]``."""
    return codes.mean(-2)


def contingency(codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
    """Joint frequencies of pairs of blocks: ``[..., rows, levels] -> [..., cells]``.

    The cells of a pair (a, b) of ``table.pairs`` stand together, b's levels by a's. Wide tables
    have more pairs than can be looked at: `FeatureTable.with_pairs` takes all pairs with the
    target, then the most strongly associated ones, as many as ``table.pair_cells`` holds.
    """
    return _joint_frequencies(codes, table).to(codes.dtype)


def joint_entropy(codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
    """Entropy, in bits, of `contingency`'s tables: ``[..., rows, levels] -> [..., pairs]``.

    An empty cell adds nothing; its slope, infinite in truth, is that of half a row.
    """
    joint = _joint_frequencies(codes, table)
    bits = -joint * joint.clamp_min(0.5 / codes.shape[-2]).log2()
    # Sums of consecutive cells, without atomics and in float64: differences of running sums.
    ends = bits.cumsum(-1).index_select(-1, table.pair_ends - 1)
    return torch.diff(ends, prepend=ends.new_zeros((*ends.shape[:-1], 1))).to(codes.dtype)


def _joint_frequencies(codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
    """`contingency` in float64, exact whatever products the networks are multiplied with."""
    return _PairProducts.apply(codes.double(), table) / codes.shape[-2]


class _PairProducts(torch.autograd.Function):
    """Sums over rows of the products of two blocks' codes, for all pairs, group by group.

    By automatic differentiation every slice of the codes would have a gradient of full width.
    """

    @staticmethod
    def forward(ctx, codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
        ctx.save_for_backward(codes)
        ctx.table = table
        cells = [
            (codes[..., slice(*run)].mT @ codes[..., slice(*group.first)]).flatten(-2)
            for group in table.groups
            for run in group.partners
        ]
        return torch.cat(cells, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (codes,) = ctx.saved_tensors
        found = torch.zeros_like(codes)
        start = 0
        for group in ctx.table.groups:
            first = slice(*group.first)
            for begin, end in group.partners:
                run, shape = slice(begin, end), (end - begin, first.stop - first.start)
                own = gradient[..., start : start + shape[0] * shape[1]].unflatten(-1, shape)
                found[..., first] += codes[..., run] @ own
                found[..., run] += codes[..., first] @ own.mT
                start += shape[0] * shape[1]
        return found, None


def gravity(channels: torch.Tensor, codes: torch.Tensor, table: FeatureTable) -> torch.Tensor:
    """Distance between the centres of the target's most and least frequent classes.

    The classes are those of the training table; 0 with gradient 0 for rows that lack one of
    them. The target's own channel, if it has one, is left out.

    Args:
        channels: ``[..., rows, d]``.
        codes: ``[..., rows, levels]``.
        table: With a categorical target.

    Returns:
        ``[..., 1]``.

    Raises:
        ValueError: The table has no such target.
    """
    if table.target is None or table.contrast is None:
        raise ValueError("gravity needs a target with two classes or more: give the table one")
    own = table.target_channel
    x = channels
    if own is not None:
        x = torch.cat([x[..., :own], x[..., own + 1 :]], -1)
    member = codes[..., slice(*table.span(table.target.column))].double() @ table.contrast
    count = member.sum(-2).unsqueeze(-1)
    centres = member.mT @ x.double() / count.masked_fill(count == 0, 1)
    apart = (centres[..., 0, :] - centres[..., 1, :]).square().sum(-1, keepdim=True)
    return _root(apart * (count > 0).all(-2)).to(channels.dtype)


# --- registry ------------------------------------------------------------------------------------

READS = ("channels", "codes", "both")


@dataclass(frozen=True)
class MetaFeature:
    """One statistic; `register_meta_feature` describes the attributes."""

    name: str
    function: Callable[..., torch.Tensor]
    reads: str
    size: Callable[[FeatureTable], int]
    source: str
    ordered: int
    blocks: int
    needs_target: bool
    static: bool

    def __call__(
        self, channels: torch.Tensor | None, codes: torch.Tensor | None, table: FeatureTable
    ) -> torch.Tensor:
        """The statistic of rows, ``[..., size]``.

        Raises:
            ValueError: There are no rows, or the function's result has another size than the
                registry says.
        """
        if self.reads == "channels":
            value = self.function(channels)
        elif self.reads == "codes":
            value = self.function(codes, table)
        else:
            value = self.function(channels, codes, table)
        rows = codes if channels is None else channels
        if rows is None:
            raise ValueError(f"meta-feature {self.name!r} reads {self.reads}: give it rows")
        expected = (*rows.shape[:-2], self.size(table))
        if tuple(value.shape) != expected:
            raise ValueError(
                f"meta-feature {self.name!r} gave shape {list(value.shape)} instead of "
                f"{list(expected)}: correct its function or its size"
            )
        return value


# What "auto" stands for, where a table can have it: every marginal, and what pairs of columns have
# in common. (docs/ablation.md compares with training without them.)
AUTO = "auto"
AUTO_META_FEATURES = ("mean", "var", "cov", "frequency", "contingency")

META_FEATURES: dict[str, MetaFeature] = {}
_OWN: frozenset[str] = frozenset()


def register_meta_feature(
    name: str,
    function: Callable[..., torch.Tensor],
    reads: str = "channels",
    size: Callable[[FeatureTable], int] = lambda table: len(table.ordered),
    source: str = "",
    *,
    ordered: int = 0,
    blocks: int = 0,
    needs_target: bool = False,
    static: bool = False,
    replace: bool = False,
) -> None:
    """Make a statistic known by a name, for ``meta_features=[name]``.

    A fitted synthesizer remembers the name only: register it again in a new process before
    fitting there.

    Args:
        name: Not yet taken, unless it is to be replaced.
        function: Differentiable. Called with what it reads: ``function(channels)``,
            ``function(codes, table)`` or ``function(channels, codes, table)``, with channels
            ``[..., rows, d]`` (ranks from 0 to 1), one-hot codes ``[..., rows, levels]``, both
            float32 with at most one dimension in front, and a `FeatureTable`. Returns
            ``[..., size]``.
        reads: "channels", "codes" or "both".
        size: Of the result, as a function of the table; by default one number per channel.
        source: Where it is defined.
        ordered, blocks: How many ordered columns, and columns with two codes or more, a table
            must have at least.
        needs_target: Whether it needs a target column with classes.
        static: Whether it makes no tensors on the host and waits for nothing there, so that a
            CUDA graph can hold it; the training step is not captured otherwise.
        replace: Whether a statistic that was registered by this name before is forgotten.

    Raises:
        ValueError: The name is taken, or ``reads`` is none of the three.
    """
    if name in _OWN or name == AUTO:
        raise ValueError(f"meta-feature {name!r} is the package's own: choose another name")
    if name in META_FEATURES and not replace:
        raise ValueError(
            f"meta-feature {name!r} is registered already: choose another name, or replace it "
            "with replace=True"
        )
    if reads not in READS:
        raise ValueError(f"reads must be one of {', '.join(READS)}, not {reads!r}")
    META_FEATURES[name] = MetaFeature(
        name, function, reads, size, source, ordered, blocks, needs_target, static
    )


@contextmanager
def own_meta_features() -> Iterator[dict[str, MetaFeature]]:
    """What is registered within it is forgotten at its end; gives the registry.

    Example:
        >>> with own_meta_features() as known:
        ...     register_meta_feature("third", lambda x: x.pow(3).mean(-2))
        ...     "third" in known
        True
        >>> "third" in META_FEATURES
        False
    """
    before = dict(META_FEATURES)
    try:
        yield META_FEATURES
    finally:
        META_FEATURES.clear()
        META_FEATURES.update(before)


def check_meta_features(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple; those that "auto" stands for.

    Raises:
        ValueError: A name is unknown (the message lists the known ones) or there twice.
    """
    if isinstance(names, str) and names == AUTO:
        return AUTO_META_FEATURES
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name == AUTO:
            raise ValueError(f"{AUTO!r} stands for a choice of its own: meta_features={AUTO!r}")
        if name not in META_FEATURES:
            raise ValueError(
                f"unknown meta-feature {name!r}: choose from {', '.join(META_FEATURES)}, or "
                f"{AUTO!r} alone"
            )
        if names.count(name) > 1:
            raise ValueError(f"meta-feature {name!r} is there twice: leave one out")
    return names


def applicable(names: Iterable[str], table: FeatureTable) -> tuple[str, ...]:
    """The names; of those that "auto" stands for, only the ones that a table can have.

    Raises:
        ValueError: The table cannot have one that was named: too few ordered columns or blocks,
            or no target with classes.
    """
    obstacles = {
        name: _obstacle(META_FEATURES[name], table) for name in check_meta_features(names)
    }
    if names != AUTO:
        for obstacle in filter(None, obstacles.values()):
            raise ValueError(obstacle)
    return tuple(name for name, obstacle in obstacles.items() if obstacle is None)


def _obstacle(feature: MetaFeature, table: FeatureTable) -> str | None:
    """Why a table cannot have a meta-feature."""
    ordered = len(table.ordered)
    if feature.needs_target:
        if (obstacle := _target_obstacle(feature.name, table)) is not None:
            return obstacle
        ordered -= table.target_channel is not None
    for needed, there, kind in (
        (feature.ordered, ordered, "ordered column(s), like numbers"),
        (feature.blocks, len(table.blocks), "column(s) of categories, atoms or bins"),
    ):
        if there < needed:
            beside = " beside the target" if feature.needs_target else ""
            return (
                f"meta-feature {feature.name!r} needs {needed} {kind}{beside}, and the table "
                f"has {there}: leave it out"
            )
    if feature.blocks > 1 and not table.has_pairs:
        return (
            f"meta-feature {feature.name!r} looks at joint tables of two columns, and none has at "
            f"most {table.pair_cells} cells: leave it out, or name a target"
        )
    return None


def _target_obstacle(name: str, table: FeatureTable) -> str | None:
    if table.target is None:
        return (
            f"meta-feature {name!r} needs the classes of a target column: name one with target=..."
        )
    column = table.target.name
    if not table.target.categorical:
        return (
            f"meta-feature {name!r} needs a target with classes, and {column!r} is continuous: "
            "choose a categorical target or leave the meta-feature out"
        )
    if table.contrast is None:
        return (
            f"meta-feature {name!r} needs a target with two classes or more, and {column!r} has "
            "one: choose another target or leave the meta-feature out"
        )
    return None


def _root(square: torch.Tensor) -> torch.Tensor:
    """Square root with value and gradient 0 near 0."""
    positive = square > _TINY**2
    return torch.where(positive, square, 1.0).sqrt() * positive


def _standardised(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-2, keepdim=True)
    variance = centred.square().sum(-2, keepdim=True) / (x.shape[-2] - 1)
    return centred * torch.where(variance > _TINY, variance, torch.inf).rsqrt()


def _pairs(matrix: torch.Tensor) -> torch.Tensor:
    rows, columns = matrix.shape[-2:]
    row, column = torch.tril_indices(rows, columns, offset=-1, device=matrix.device)
    return matrix[..., row, column]


_PYMFE = "pymfe.statistical.MFEStatistical.ft_"


def _pair_count(table: FeatureTable) -> int:
    return len(table.ordered) * (len(table.ordered) - 1) // 2


for _name, _function in {
    "mean": mean,
    "var": var,
    "sd": sd,
    "skewness": skewness,
    "kurtosis": kurtosis,
    "min": minimum,
    "max": maximum,
    "range": value_range,
    "median": median,
    "iq_range": iq_range,
    "mad": mad,
    "sparsity": sparsity,
}.items():
    register_meta_feature(_name, _function, source=_PYMFE + _name, ordered=1, static=True)
for _name, _function in {"cov": cov, "cor": cor}.items():
    register_meta_feature(
        _name, _function, size=_pair_count, source=_PYMFE + _name, ordered=2, static=True
    )
# The solver for large matrices on CUDA asks the host.
register_meta_feature("eigenvalues", eigenvalues, source=_PYMFE + "eigenvalues", ordered=1)
register_meta_feature(
    "gravity",
    gravity,
    "both",
    lambda table: 1,
    _PYMFE + "gravity",
    ordered=1,
    needs_target=True,
    static=True,
)
register_meta_feature(
    "frequency",
    frequency,
    "codes",
    lambda table: table.levels,
    "relative frequencies, of which SDMetrics' TVComplement is made",
    blocks=1,
    static=True,
)
register_meta_feature(
    "contingency",
    contingency,
    "codes",
    lambda table: table.cells,
    "joint frequencies, of which SDMetrics' ContingencySimilarity is made",
    blocks=2,
    static=True,
)
register_meta_feature(
    "joint_entropy",
    joint_entropy,
    "codes",
    lambda table: len(table.pairs),
    "pymfe.info_theory.MFEInfoTheory.ft_joint_ent, of pairs of blocks",
    blocks=2,
    static=True,
)
_OWN = frozenset(META_FEATURES)
