"""The generator's side of a training step: passes, products, views and the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from operator_cases.case import Case, Options, Rival, compiled, relative_error
from operator_cases.softmax import blocks
from sdv_wgangp import ops
from sdv_wgangp.networks.generator import Residual

NOISE, COLUMNS, POSITIONS = 128, 14, 10


@dataclass(frozen=True)
class Sizes:
    """Of a batch and a network; one-hot widths; rows, inner, columns of products on Adult."""

    rows: int = 500
    hidden: int = 256
    widths: tuple[int, ...] = (200, 2_000, 20_000)
    products: tuple[tuple[int, int, int], ...] = (
        (1_000, 640, 512),
        (500, 502, 512),
        (256, 500, 384),
        (500, 128, 256),
    )


QUICK = Sizes(rows=30, hidden=16, widths=(40,), products=((20, 33, 16),))


def _sizes(options: Options) -> Sizes:
    return QUICK if options.quick else Sizes()


def _normal(*shape: int, device: str, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def multiply_cases(options: Options) -> Iterator[Case]:
    """In the types of training; the right side is a weight, read by its rows."""
    for rows, inner, columns in _sizes(options).products:
        a = _normal(rows, inner, device=options.device, dtype=torch.bfloat16)
        b = _normal(columns, inner, device=options.device, seed=1, dtype=torch.bfloat16)
        out = torch.empty(rows, columns, dtype=a.dtype, device=a.device)
        wide = a.float(), b.float()
        expected = torch.mm(wide[0], wide[1].T)
        yield Case(
            "multiply",
            f"{rows:,} x {inner} x {columns}, bfloat16",
            lambda a=a, b=b, out=out: ops.multiply(a, b.T, out),
            (
                Rival(
                    "torch.mm",
                    lambda a=a, b=b, out=out: torch.mm(a, b.T, out=out),
                    error=relative_error(ops.multiply(a, b.T), expected),
                ),
                Rival(
                    "torch.mm in float32",
                    lambda wide=wide: torch.mm(wide[0], wide[1].T),
                ),
            ),
            precision="medium",
        )


def norm_relu_cases(options: Options) -> Iterator[Case]:
    sizes = _sizes(options)
    rows, hidden = sizes.rows, sizes.hidden
    z = _normal(rows, hidden, device=options.device)
    gradient = _normal(rows, hidden, device=options.device, seed=1)
    weight, bias = (torch.ones(hidden, device=options.device) * k for k in (1.5, 0.1))
    wide = torch.zeros(rows, hidden + NOISE, device=options.device)
    grads = torch.empty_like(weight), torch.empty_like(bias)

    def eager(x):
        return torch.relu(functional.batch_norm(x, None, None, weight, bias, training=True))

    def ours(backward):
        def call():
            product = z.clone()
            inverse = ops.norm_relu(product, weight, bias, 1e-5, wide[:, :hidden])
            if not backward:
                return wide[:, :hidden]
            ops.norm_relu_backward(gradient, product, weight, bias, inverse, *grads)
            return product

        return call

    def plain(backward):
        def use(function):
            def call():
                x = z.clone().requires_grad_(backward)
                y = function(x)
                return torch.autograd.grad(y, x, gradient)[0] if backward else y

            return call

        return use

    for backward in (False, True):
        use = plain(backward)
        yield Case(
            "norm_relu",
            f"{rows} x {hidden}, " + ("and back" if backward else "forward"),
            ours(backward),
            (
                Rival("eager", use(eager), error=relative_error(ours(backward)(), use(eager)())),
                compiled("torch.compile", eager, options, use),
            ),
        )


def _eager_reinmax(gradient, logits, hot, index, columns):
    """Softmax, and its derivative twice (Liu et al. 2023, algorithm 2), all columns at once."""

    def block_sum(x):
        zeros = x.new_zeros(len(x), columns)
        return zeros.index_add(1, index, x).index_select(1, index)

    weights = torch.exp(logits - logits.amax(1, keepdim=True))
    p = weights / block_sum(weights)
    q = (p + hot) / 2

    def jacobian(q):
        return q * (gradient - block_sum(q * gradient))

    return 2 * jacobian(q) - jacobian(p) / 2


def code_gradient_cases(options: Options) -> Iterator[Case]:
    sizes = _sizes(options)
    rows = sizes.rows
    for width in sizes.widths:
        offsets = blocks(COLUMNS, width).to(options.device)
        index = torch.repeat_interleave(
            torch.arange(COLUMNS, device=options.device), offsets.diff()
        )
        logits = _normal(rows, width, device=options.device)
        at_codes = _normal(rows, width, device=options.device, seed=1)
        bias = torch.zeros(width, device=options.device)
        uniforms = torch.rand(rows, COLUMNS, generator=torch.Generator().manual_seed(2))
        levels = ops.column_sample(logits, uniforms.to(options.device), offsets) + offsets[:-1]
        hot = torch.zeros_like(logits).scatter_(1, levels, 1.0)
        none = logits.new_zeros(0, rows, COLUMNS), logits.new_zeros(0, width)

        def ours(logits=logits, at=at_codes, bias=bias, levels=levels, offsets=offsets, none=none):
            result = at.clone()
            ops.code_gradient(result, logits, bias, levels, offsets, *none)
            return result

        arguments = at_codes, logits, hot, index, COLUMNS

        def use(function, arguments=arguments):
            return lambda: function(*arguments)

        yield Case(
            "code_gradient",
            f"{rows} x {width:,}",
            ours,
            (
                Rival(
                    "eager",
                    use(_eager_reinmax),
                    error=relative_error(ours(), _eager_reinmax(*arguments)),
                ),
                compiled("torch.compile", _eager_reinmax, options, use),
            ),
        )


def position_head_cases(options: Options) -> Iterator[Case]:
    sizes = _sizes(options)
    rows, hidden = sizes.rows, sizes.hidden
    features = _normal(rows, NOISE + 2 * hidden, device=options.device)
    weight = _normal(2 * POSITIONS, features.shape[1], device=options.device, seed=1) / 25
    bias = torch.zeros(2 * POSITIONS, device=options.device)
    jitter = _normal(rows, POSITIONS, device=options.device, seed=2)

    def eager(features=features):
        mean, log_scale = functional.linear(features, weight, bias).chunk(2, 1)
        return mean + log_scale.clamp(-8, 2).exp() * jitter

    def ours(features=features):
        return ops.position_head(features, weight, bias, jitter, -8.0, 2.0)[0]

    yield Case(
        "position_head",
        f"{rows} x {features.shape[1]}, {POSITIONS} positions",
        ours,
        (
            Rival("eager", eager, error=relative_error(ours(), eager())),
            compiled("torch.compile", eager, options),
        ),
    )


def row_views_cases(options: Options) -> Iterator[Case]:
    """Ten numeric columns of 21 levels, all with positions, ranked and whitened."""
    width = 21 * POSITIONS
    rows = _sizes(options).rows
    random = torch.Generator().manual_seed(0)
    column = torch.arange(POSITIONS)
    tables = torch.stack(
        [
            torch.linspace(0, 0.95, 21).repeat(POSITIONS),
            torch.full((width,), 0.05),
            torch.ones(width),
        ]
    )
    known = ops.ViewTables(
        tables.to(options.device),
        torch.stack([column, column], 1).to(options.device),
        torch.stack([column, column], 1).to(options.device),
        column.to(options.device),
        torch.randn(POSITIONS, POSITIONS, generator=random).to(options.device),
        5e-5,
        4.0,
    )
    levels = torch.randint(21, (rows, POSITIONS), generator=random) + 21 * column
    positions = torch.rand(rows, POSITIONS, generator=random)
    levels, positions = levels.to(options.device), positions.to(options.device)

    def eager(levels=levels, positions=positions):
        start, span, shown = known.tables[:, levels]
        ranks = start + span * positions
        scores = torch.special.ndtri(ranks.clamp(known.margin, 1 - known.margin))
        white = (scores @ known.whitening).clamp(-known.clamp, known.clamp)
        return torch.cat([torch.where(shown > 0, positions, 0.5), ranks, white], 1)

    def ours():
        return ops.row_views(levels, positions, known)

    yield Case(
        "row_views",
        f"{rows} rows, {POSITIONS} positions",
        ours,
        (
            Rival("eager", eager, error=relative_error(ours(), eager())),
            compiled("torch.compile", eager, options),
        ),
    )


def adam_step_cases(options: Options) -> Iterator[Case]:
    """A generator of the default widths, with the average of its weights."""
    torch.manual_seed(0)
    hidden = _sizes(options).hidden
    body = [Residual(NOISE, hidden), Residual(NOISE + hidden, hidden)]
    network = nn.Sequential(*body, nn.Linear(NOISE + 2 * hidden, 500)).to(options.device)
    parameters = list(network.parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    gradients = [parameter.grad for parameter in parameters]

    def copies():
        return [parameter.detach().clone() for parameter in parameters]

    rates = torch.tensor([5e-4, 1.0, 1e-3], dtype=torch.float64, device=options.device)
    own, squares, averages = copies(), [torch.zeros_like(p) for p in parameters], copies()

    def ours():
        ops.adam_step(own, gradients, squares, averages, rates, decay=1e-6)

    adams = {
        name: torch.optim.Adam(parameters, 5e-4, (0.0, 0.9), weight_decay=1e-6, **{name: True})
        for name in ("fused", "foreach")
    }
    plain_averages = copies()

    def eager(name):
        def call():
            adams[name].step()
            with torch.no_grad():
                torch._foreach_lerp_(plain_averages, parameters, 1e-3)

        return call

    first = [tensor.clone() for tensor in copies()]
    ops.adam_step(first, gradients, [torch.zeros_like(p) for p in parameters], [],
                  rates.clone().index_fill_(0, torch.tensor([1], device=rates.device), 10**0.5),
                  decay=1e-6)  # fmt: skip
    before = copies()
    adams["fused"].step()
    error = relative_error(
        torch.cat([(a - b).flatten() for a, b in zip(first, before, strict=True)]),
        torch.cat([(a - b).detach().flatten() for a, b in zip(parameters, before, strict=True)]),
    )
    count = sum(parameter.numel() for parameter in parameters)
    yield Case(
        "adam_step",
        f"{count:,} weights and their average",
        ours,
        (
            Rival("torch.optim.Adam(fused) and lerp", eager("fused"), error=error),
            Rival("torch.optim.Adam(foreach) and lerp", eager("foreach")),
        ),
    )


CASES = {
    "multiply": (multiply_cases,),
    "norm_relu": (norm_relu_cases,),
    "code_gradient": (code_gradient_cases,),
    "position_head": (position_head_cases,),
    "row_views": (row_views_cases,),
    "adam_step": (adam_step_cases,),
}
