"""Softmax and sampling of all columns of a row at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import torch
from torch.nn import functional

from operator_cases.case import Case, Options, Rival, compiled, relative_error
from sdv_wgangp import ops
from sdv_wgangp.ops.registry import reference

TEMPERATURE = 0.2  # CTGAN's


@dataclass(frozen=True)
class Sizes:
    """Rows, columns and one-hot width: a batch of training, wide tables, a piece of sampling."""

    softmax: tuple[tuple[int, int, int], ...] = (
        (500, 14, 200),
        (500, 14, 2_000),
        (500, 100, 1_000),
        (500, 14, 20_000),
    )
    sample: tuple[tuple[int, int, int], ...] = (
        (1_000, 14, 200),
        (8_192, 14, 200),
        (500, 14, 2_000),
        (500, 100, 1_000),
    )


QUICK = Sizes(softmax=((20, 5, 33),), sample=((20, 5, 33),))


def _sizes(options: Options) -> Sizes:
    return QUICK if options.quick else Sizes()


def blocks(columns: int, width: int) -> torch.Tensor:
    """Uneven blocks: a few wide columns and many narrow ones, at least two levels each."""
    weights = torch.arange(1, columns + 1).double().square()
    free = width - 2 * columns
    edges = (weights.cumsum(0) / weights.sum() * free).round().long()
    return torch.cat([torch.zeros(1, dtype=torch.int64), edges + 2 * torch.arange(1, columns + 1)])


def gumbel_softmax_columns(offsets: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Straight-through Gumbel-softmax, column by column."""

    def apply(logits):
        return torch.cat(
            [
                functional.gumbel_softmax(logits[:, low:high], tau=TEMPERATURE, hard=True)
                for low, high in pairwise(offsets)
            ],
            1,
        )

    return apply


def ctgan_activation(offsets: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """CTGAN's own `_apply_activate`: soft codes of every column (it has no hard ones)."""
    from ctgan import CTGAN
    from ctgan.data_transformer import SpanInfo

    model = CTGAN(enable_gpu=False)
    columns = [[SpanInfo(high - low, "softmax")] for low, high in pairwise(offsets)]
    model._transformer = SimpleNamespace(output_info_list=columns)
    return model._apply_activate


def soft(logits: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Ours with the noise drawn, hard codes on the side."""
    noise = -torch.empty_like(logits).exponential_().log()
    return ops.column_softmax(logits, noise, offsets, TEMPERATURE)[0]


def sampled(logits: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """As in our training: codes drawn exactly, and the softmax that their gradient passes."""
    uniforms = torch.rand(len(logits), len(offsets) - 1, device=logits.device)
    ops.column_sample(logits.detach(), uniforms, offsets)
    return ops.column_softmax(logits, torch.zeros_like(logits), offsets, 1.0)[0]


def _with_loss(function: Callable, logits: torch.Tensor) -> Callable[[], object]:
    leaf = logits.clone().requires_grad_()
    upstream = torch.ones_like(logits)

    def call():
        return torch.autograd.grad(function(leaf), leaf, upstream)

    return call


def _softmax_errors(logits: torch.Tensor, offsets: torch.Tensor) -> tuple[float, float]:
    """Of values and gradients, without noise, against torch's softmax of every column."""
    leaf = logits.clone().requires_grad_()
    found, _ = ops.column_softmax(leaf, torch.zeros_like(logits), offsets, TEMPERATURE)
    plain = torch.cat(
        [(leaf[:, a:b] / TEMPERATURE).softmax(1) for a, b in pairwise(offsets.tolist())], 1
    )
    gradients = [torch.autograd.grad(y.square().sum(), leaf)[0] for y in (found, plain)]
    return relative_error(found, plain), relative_error(*gradients)


def softmax_cases(options: Options) -> Iterator[Case]:
    """Gumbel-softmax with its noise, forward and back from given gradients.

    The last case is what our training does in its place, against the same rivals.
    """
    for rows, columns, width in _sizes(options).softmax:
        random = torch.Generator().manual_seed(width)
        logits = torch.randn(rows, width, generator=random).to(options.device)
        offsets = blocks(columns, width).to(options.device)
        error, gradient_error = _softmax_errors(logits, offsets)
        listed = offsets.tolist()
        loop, ctgan = gumbel_softmax_columns(listed), ctgan_activation(listed)
        size = f"{rows} x {width:,}, {columns} columns"

        def gumbel(given, offsets=offsets):
            return soft(given, offsets)

        def exact(given, offsets=offsets):
            return sampled(given, offsets)

        def forward(function, logits=logits):
            return lambda: function(logits)

        def both(function, logits=logits):
            return _with_loss(function, logits)

        for what, ours, use, found in (
            ("forward", gumbel, forward, error),
            ("and back", gumbel, both, gradient_error),
            ("sample, softmax and back", exact, both, gradient_error),
        ):
            yield Case(
                "column_softmax",
                f"{size}, {what}",
                use(ours),
                (
                    Rival("eager, a loop over columns", use(loop), error=found),
                    compiled("torch.compile", gumbel_softmax_columns(listed), options, use),
                    Rival("CTGAN's _apply_activate", use(ctgan)),
                ),
            )


def _multinomial_columns(offsets: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def draw(logits):
        return torch.cat(
            [
                torch.multinomial(logits[:, low:high].softmax(1), 1)
                for low, high in pairwise(offsets)
            ],
            1,
        )

    return draw


def _inversion(offsets: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """All columns at once in plain PyTorch: our reference of `column_sample`."""

    def draw(logits):
        uniforms = torch.rand(len(logits), len(offsets) - 1, device=logits.device)
        return reference("column_sample")(logits, uniforms, offsets)

    return draw


def _wrong_codes(logits: torch.Tensor, offsets: torch.Tensor) -> float:
    """Fraction of codes that differ from inverting the distribution in float64."""
    random = torch.Generator(logits.device).manual_seed(1)
    columns = len(offsets) - 1
    uniforms = torch.rand(len(logits), columns, generator=random, device=logits.device)
    found = ops.column_sample(logits, uniforms, offsets)
    exact = reference("column_sample")(logits.double(), uniforms.double(), offsets)
    return float((found != exact).double().mean())


def sample_cases(options: Options) -> Iterator[Case]:
    """Codes of generated rows, the uniforms drawn with them. The error is a fraction of codes."""
    for rows, columns, width in _sizes(options).sample:
        random = torch.Generator().manual_seed(width)
        logits = torch.randn(rows, width, generator=random).to(options.device)
        offsets = blocks(columns, width).to(options.device)
        listed = offsets.tolist()
        loop, ctgan = _multinomial_columns(listed), ctgan_activation(listed)

        def ours(logits=logits, offsets=offsets):
            uniforms = torch.rand(len(logits), len(offsets) - 1, device=logits.device)
            return ops.column_sample(logits, uniforms, offsets)

        def use(function, logits=logits):
            return lambda: function(logits)

        yield Case(
            "column_sample",
            f"{rows:,} x {width:,}, {columns} columns",
            ours,
            (
                Rival(
                    "eager, multinomial of each column",
                    use(loop),
                    error=_wrong_codes(logits, offsets),
                ),
                Rival("eager, all columns at once", use(_inversion(offsets))),
                compiled(
                    "torch.compile of multinomials", _multinomial_columns(listed), options, use
                ),
                Rival("CTGAN's _apply_activate", use(ctgan)),
            ),
        )


CASES = {"column_softmax": (softmax_cases,), "column_sample": (sample_cases,)}
