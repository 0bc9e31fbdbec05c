"""Encoded rows as a generator gives them, and the probabilities that it gives to codes."""

from __future__ import annotations

import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.networks.generator import Conditions, Generator
from sdv_wgangp.networks.passes import SamplingPass
from sdv_wgangp.ops import uses_bfloat16
from sdv_wgangp.training.precision import matmul_precision

# Rows that sampling works on at a time: their features stay in the cache.
CHUNK_ROWS = 2**11
# The code of a cell that is not given.
FREE = -1


class Sampler:
    """Draws rows from a generator, with given cells or without.

    *Given codes* are an int64 tensor ``[rows, columns]``, or ``[1, columns]`` for all rows: the
    code of a cell, or `FREE` where it is not given.

    Args:
        generator: In evaluation mode.
        layout: Of its table.
        precision: Of float32 products, as of `TrainingSettings`.
        device: Of the generator.
    """

    def __init__(self, generator: Generator, layout: Layout, precision: str, device: torch.device):
        self._generator, self.layout = generator, layout
        self._precision, self.device = precision, device
        self._offsets = layout.offsets.to(device)

    @torch.no_grad()
    def draw(
        self, rows: int, random: torch.Generator, given: torch.Tensor | None = None
    ) -> EncodedTable:
        """So many rows, on the CPU.

        Args:
            rows: How many.
            random: Source of the noise and the draws, on the device.
            given: Given codes.
        """
        layout = self.layout
        codes = torch.empty(rows, layout.columns, dtype=torch.int32)
        positions = torch.empty(rows, len(layout.positioned))
        with matmul_precision(self._precision):
            passes = self._passes()
            for start in range(0, rows, CHUNK_ROWS):
                part = slice(start, min(start + CHUNK_ROWS, rows))
                count = part.stop - part.start
                noise = self._generator.draw(count, random)
                uniforms = torch.rand(count, layout.columns, device=self.device, generator=random)
                conditions = None
                if given is not None:
                    conditions = self._conditions(given if len(given) == 1 else given[part])
                levels, inside = passes.draw(*noise, uniforms, conditions)
                codes[part] = levels.sub_(self._offsets[:-1]).cpu()
                positions[part] = inside.cpu()
        return EncodedTable(codes, positions)

    @torch.no_grad()
    def probabilities(
        self, column: int, given: torch.Tensor, rows: int, random: torch.Generator
    ) -> torch.Tensor:
        """Of the codes of a column, the mean over the noise of so many rows: ``[width]``.

        Args:
            column: Its index.
            given: Given codes, ``[1, columns]``.
            rows: How many.
            random: Source of the noise, on the device.
        """
        with matmul_precision(self._precision):
            passes = self._passes()
            noise, _ = self._generator.draw(rows, random)
            return passes.probabilities(noise, column, self._conditions(given))

    def _conditions(self, given: torch.Tensor) -> Conditions:
        """Given codes as the generator reads them."""
        given = given.to(self.device)
        fixed = given != FREE
        return Conditions(torch.where(fixed, given, 0) + self._offsets[:-1], fixed)

    def _passes(self) -> SamplingPass:
        return SamplingPass(self._generator, self._offsets, uses_bfloat16(self.device))
