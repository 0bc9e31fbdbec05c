"""The matrix products that a training step cannot do without, and their time bare.

Counted for an `MLPCritic` and a `Generator` (widths as in the code), rows B of a batch, S critic
steps for a generator step, D levels, X dense channels, P positions; ``m x k x n`` is a product of
``[m, k]`` and ``[k, n]`` with 2 m k n operations:

* the generator forward for the rows of all S critic steps (S B rows at once), and for its own
  step (B rows): every block, the logits' head (to D), the positions' head (to 2 P);
* its backward pass (B rows): the gradient of every weight, and of every layer's input, of which
  the part that is noise is not needed;
* a critic step (S times; n = B / pac packed rows): the dense channels of real and fake rows
  through the first layer (what is one-hot is gathered, and an interpolate's first layer is the
  interpolation of two), the further layers forward for 3 n rows, the signals back through them,
  the Gram matrix of the first layer's weight (H x (D + X) x H) and the n signals times it, the
  tangent of n rows through the further layers, the weights' gradients of loss and penalty
  together (3 n rows), and the penalty's gradient of the first layer: H x n x H, then
  (D + X) x H x H (`docs/derivations.md`);
* the gradient at the generated rows (n rows): forward, back, and the last product to D and X;
* the whitened channels: S B real, S B generated rows, and B forward and back.

Left out is what is no product: gathers, sampling, softmax, normalisation, Adam, random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from timing import timed

DTYPES = {"medium": torch.bfloat16, "highest": torch.float32}
PEAK_SIZE = 2_048


@dataclass(frozen=True)
class Product:
    """``count`` products of ``[m, k]`` and ``[k, n]`` in a training step."""

    name: str
    m: int
    k: int
    n: int
    count: int = 1

    @property
    def operations(self) -> int:
        return 2 * self.m * self.k * self.n * self.count


@dataclass(frozen=True)
class Sizes:
    """What the products depend on; `speed_worker.py` tells them of a model in training."""

    batch: int
    critic_steps: int
    pac: int
    levels: int
    dense: int
    positions: int
    white: int
    noise: int
    generator: Sequence[int]
    critic: Sequence[int]


def training_step(sizes: Sizes) -> list[Product]:
    """The products of one training step; see the head of this module."""
    batch, steps, width = sizes.batch, sizes.critic_steps, sizes.pac * sizes.dense
    rows, levels = batch // sizes.pac, sizes.pac * sizes.levels
    widths = [sizes.noise]
    for block in sizes.generator:
        widths.append(widths[-1] + block)
    heads = [("logits", sizes.levels), ("positions", 2 * sizes.positions)]
    found = []
    for what, count in (("critic's fakes", steps * batch), ("generator", batch)):
        for place, block in enumerate(sizes.generator):
            found.append(Product(f"{what}: block {place + 1}", count, widths[place], block))
        found += [Product(f"{what}: {name}", count, widths[-1], out) for name, out in heads]
    for name, out in heads:
        found.append(Product(f"{name}: weight gradient", out, batch, widths[-1]))
        found.append(Product(f"{name}: back", batch, out, widths[-1] - sizes.noise))
    for place, block in enumerate(sizes.generator):
        found.append(Product(f"block {place + 1}: weight gradient", block, batch, widths[place]))
        if place:
            found.append(
                Product(f"block {place + 1}: back", batch, block, widths[place] - sizes.noise)
            )
    first, layers = sizes.critic[0], list(pairwise([*sizes.critic, 1]))
    found += [
        Product("critic: dense channels", 2 * rows, width, first, steps),
        Product("critic: Gram matrix", first, levels + width, first, steps),
        Product("critic: signals times it", rows, first, first, steps),
        Product("critic: outer product of signals", first, rows, first, steps),
        Product("critic: penalty's first gradient", levels + width, first, first, steps),
        Product("critic: dense weight gradient", width, 2 * rows, first, steps),
        Product("row gradient: dense channels", rows, width, first),
        Product("row gradient: to levels", rows, first, levels),
        Product("row gradient: to dense channels", rows, first, width),
    ]
    for place, (below, above) in enumerate(layers):
        name = f"layer {place + 2}"
        found += [
            Product(f"critic: {name} forward", 3 * rows, below, above, steps),
            Product(f"critic: {name} weight gradient", above, 3 * rows, below, steps),
            Product(f"critic: {name} tangent", rows, below, above, steps),
            Product(f"row gradient: {name}", rows, below, above),
        ]
        if above > 1:  # from the score back is a copy of the last weight
            found.append(Product(f"critic: {name} back", 3 * rows, above, below, steps))
            found.append(Product(f"row gradient: {name} back", rows, above, below))
    if sizes.white:
        both = 2 * steps * batch + 2 * batch
        found.append(Product("whitened channels", both, sizes.white, sizes.white))
    return [product for product in found if product.operations]


class Bare:
    """Bare products on operands that are there already.

    Args:
        products: Which.
        dtype: Of operands and results.
    """

    def __init__(self, products: Sequence[Product], dtype: torch.dtype) -> None:
        random = torch.Generator().manual_seed(0)

        def matrix(rows: int, columns: int) -> torch.Tensor:
            return torch.randn(rows, columns, generator=random).to(dtype)

        self._operands = [
            (
                product.count,
                matrix(product.m, product.k),
                matrix(product.k, product.n),
                torch.empty(product.m, product.n, dtype=dtype),
            )
            for product in products
        ]

    def __call__(self) -> None:
        for count, left, right, out in self._operands:
            for _ in range(count):
                torch.mm(left, right, out=out)

    def seconds(self, repeats: int = 5) -> float:
        """Of all of them, the best of a few."""
        self()
        return min(timed(self)[0] for _ in range(repeats))


def peak(dtype: torch.dtype, size: int = PEAK_SIZE, repeats: int = 5) -> float:
    """Operations a second of a large square product; the best of a few."""
    product = Product("peak", size, size, size)
    return product.operations / Bare([product], dtype).seconds(repeats)
