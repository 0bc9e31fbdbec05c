"""Moments, order statistics and eigenvalues of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from operator_cases.case import Case, Options, Rival, compiled, relative_error, with_backward
from sdv_wgangp import ops

FORWARD, BACKWARD = "forward", "and back"
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
# `moments` is to be no slower than its product, `sorted_columns` of `Sizes.sort_bar` five times
# faster than torch's.
LEVEL, SORT_BAR = 1.0, 5.0


@dataclass(frozen=True)
class Sizes:
    """Rows and columns; of eigenvalues how many matrices, and their size."""

    moments: tuple[tuple[int, ...], ...] = (
        (500, 14),
        (500, 150),
        (500, 400),
        (20_000, 50),
        (40, 500, 20),
    )
    sort: tuple[tuple[int, int], ...] = ((500, 14), (500, 150), (5_000, 50), (100_000, 10))
    sort_bar: tuple[int, int] = (500, 150)
    eigen: tuple[tuple[int, int], ...] = ((64, 4), (64, 6), (64, 16), (1, 16), (1, 64))
    other: tuple[int, int] = (500, 150)


QUICK = Sizes(
    moments=((20, 3), (4, 20, 3)),
    sort=((20, 3),),
    sort_bar=(20, 3),
    eigen=((3, 4),),
    other=(20, 3),
)


def _sizes(options: Options) -> Sizes:
    return QUICK if options.quick else Sizes()


def _named(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{n:,}" for n in shape)


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
    for shape in _sizes(options).moments:
        x = _normal(*shape, device=options.device)
        alone = Rival("its product x' x alone", lambda x=x: _product(x), bar=LEVEL)
        yield from _pairs(
            options, "moments", _named(shape), _covariance_of_moments,
            _covariance, "mean, centring, product", x, more=(alone,),
        )  # fmt: skip


def correlation_cases(options: Options) -> Iterator[Case]:
    shape = _sizes(options).other
    x = _normal(*shape, device=options.device)
    yield from _pairs(
        options, "correlation", _named(shape), ops.correlation, _correlation, "the same by hand", x
    )


def sort_cases(options: Options) -> Iterator[Case]:
    sizes = _sizes(options)
    for shape in sizes.sort:
        x = _normal(*shape, device=options.device)
        yield from _pairs(
            options, "sorted_columns", _named(shape), _our_sorted, _sorted,
            "torch.sort", x, bar=SORT_BAR if shape == sizes.sort_bar else None,
        )  # fmt: skip
    x = _normal(*sizes.other, device=options.device)
    for name, changed in (
        ("heavy tails", torch.exp(5 * x)),
        ("20 values", torch.round(3 * x)),
        ("an outlier each", torch.cat((x[1:], torch.full_like(x[:1], 1e9)))),
    ):
        yield from _pairs(
            options, "sorted_columns", f"{_named(sizes.other)}, {name}", _our_sorted, _sorted,
            "torch.sort", changed, backward=False,
        )  # fmt: skip


def quantile_cases(options: Options) -> Iterator[Case]:
    shape = _sizes(options).other
    x = _normal(*shape, device=options.device)
    at = torch.tensor(LEVELS, device=options.device)
    yield from _pairs(
        options, "quantiles", f"{_named(shape)}, {len(LEVELS)} levels",
        lambda x: ops.quantiles(x, LEVELS), lambda x: torch.quantile(x, at, dim=0),
        "torch.quantile", x,
    )  # fmt: skip


def wasserstein_cases(options: Options) -> Iterator[Case]:
    shape = _sizes(options).other
    x = _normal(*shape, device=options.device)
    yield from _pairs(
        options, "wasserstein_1d", _named(shape), ops.wasserstein_1d, _distance, "two sorts",
        x, x.flip(0, 1) * 2,
    )  # fmt: skip


def eigen_cases(options: Options) -> Iterator[Case]:
    for batch, size in _sizes(options).eigen:
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
