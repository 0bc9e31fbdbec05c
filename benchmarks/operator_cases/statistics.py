"""Moments, order statistics and eigenvalues of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from operator_cases.case import Case, Options, Rival, compiled, relative_error, with_backward
from sdv_wgangp import ops

FORWARD, BACKWARD = "forward", "and back"
MOMENT_SIZES = ((500, 14), (500, 150), (500, 400), (20_000, 50))
SORT_SIZES = ((500, 14), (500, 150), (5_000, 50), (100_000, 10))
EIGEN_SIZES = ((64, 4), (64, 6), (64, 16), (1, 16), (1, 64))
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
# The rounds of `moments` end with its product at least level, `sorted_columns` at the size of the
# issue's bar five times faster.
LEVEL, SORT_BAR, SORT_BAR_SIZE = 1.0, 5.0, (500, 150)


def _normal(*shape: int, device: str) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def _covariance(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-2, keepdim=True)
    return centred.mT @ centred / (x.shape[-2] - 1)


def _correlation(x: torch.Tensor) -> torch.Tensor:
    covariance = _covariance(x)
    scale = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
    return covariance * scale.unsqueeze(-2) * scale.unsqueeze(-1)


def _product(x: torch.Tensor) -> torch.Tensor:
    return x.mT @ x


def _sorted(x: torch.Tensor) -> torch.Tensor:
    return x.sort(-2)[0]


def _distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (_sorted(x) - _sorted(y)).abs().mean(-2)


def _covariance_of_moments(x: torch.Tensor) -> torch.Tensor:
    return ops.moments(x)[1]


def _our_sorted(x: torch.Tensor) -> torch.Tensor:
    return ops.sorted_columns(x)[0]


def _pairs(
    options: Options,
    operator: str,
    size: str,
    ours: Callable,
    eager: Callable,
    against: str,
    *arguments: torch.Tensor,
    bar: float | None = None,
    more: tuple[Rival, ...] = (),
    backward: bool = True,
) -> Iterator[Case]:
    """Forward, and forward and back, against eager code and the same code compiled."""
    for what in (FORWARD, BACKWARD) if backward else (FORWARD,):

        def use(function, what=what):
            if what == BACKWARD:
                return with_backward(function, *arguments)
            return lambda: function(*arguments)

        found, expected = use(ours)(), use(eager)()
        if what == BACKWARD:
            found, expected = (
                torch.cat([g.flatten() for g in part]) for part in (found, expected)
            )
        rivals = [
            Rival(
                against,
                use(eager),
                error=relative_error(found, expected),
                bar=bar if what == FORWARD else None,
            ),
            compiled(f"torch.compile of {against}", eager, options, use),
            *(more if what == FORWARD else ()),
        ]
        yield Case(operator, f"{size}, {what}", use(ours), tuple(rivals))


def moment_cases(options: Options) -> Iterator[Case]:
    for shape in (*MOMENT_SIZES, (40, 500, 20)):
        x = _normal(*shape, device=options.device)
        alone = Rival("its product x' x alone", lambda x=x: _product(x), bar=LEVEL)
        yield from _pairs(
            options, "moments", " x ".join(f"{n:,}" for n in shape), _covariance_of_moments,
            _covariance, "mean, centring, product", x, more=(alone,),
        )  # fmt: skip


def correlation_cases(options: Options) -> Iterator[Case]:
    x = _normal(500, 150, device=options.device)
    yield from _pairs(
        options, "correlation", "500 x 150", ops.correlation, _correlation, "the same by hand", x
    )


def sort_cases(options: Options) -> Iterator[Case]:
    for shape in SORT_SIZES:
        x = _normal(*shape, device=options.device)
        yield from _pairs(
            options, "sorted_columns", " x ".join(f"{n:,}" for n in shape), _our_sorted, _sorted,
            "torch.sort", x, bar=SORT_BAR if shape == SORT_BAR_SIZE else None,
        )  # fmt: skip
    x = _normal(500, 150, device=options.device)
    for name, changed in (
        ("heavy tails", torch.exp(5 * x)),
        ("20 values", torch.round(3 * x)),
        ("an outlier each", torch.cat((x[1:], torch.full_like(x[:1], 1e9)))),
    ):
        yield from _pairs(
            options, "sorted_columns", f"500 x 150, {name}", _our_sorted, _sorted, "torch.sort",
            changed, backward=False,
        )  # fmt: skip


def quantile_cases(options: Options) -> Iterator[Case]:
    x = _normal(500, 150, device=options.device)
    at = torch.tensor(LEVELS, device=options.device)
    yield from _pairs(
        options, "quantiles", f"500 x 150, {len(LEVELS)} levels",
        lambda x: ops.quantiles(x, LEVELS), lambda x: torch.quantile(x, at, dim=0),
        "torch.quantile", x,
    )  # fmt: skip


def wasserstein_cases(options: Options) -> Iterator[Case]:
    x = _normal(500, 150, device=options.device)
    yield from _pairs(
        options, "wasserstein_1d", "500 x 150", ops.wasserstein_1d, _distance, "two sorts",
        x, x.flip(0, 1) * 2,
    )  # fmt: skip


def eigen_cases(options: Options) -> Iterator[Case]:
    for batch, size in EIGEN_SIZES:
        a = _normal(batch, size, size, device=options.device)
        yield from _pairs(
            options, "symmetric_eigenvalues", f"{batch} x {size} x {size}",
            ops.symmetric_eigenvalues, torch.linalg.eigvalsh, "torch.linalg.eigvalsh", a + a.mT,
        )  # fmt: skip


CASES = {
    "moments": (moment_cases,),
    "correlation": (correlation_cases,),
    "sorted_columns": (sort_cases,),
    "quantiles": (quantile_cases,),
    "wasserstein_1d": (wasserstein_cases,),
    "symmetric_eigenvalues": (eigen_cases,),
}
