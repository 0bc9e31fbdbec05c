"""A generator's training pass, forward and back, without automatic differentiation.

Each product runs in the type the processor multiplies fastest, on one buffer of features; what
lies between two products is one compiled pass (`sdv_wgangp.ops.generator`). The order is that of
`Generator.forward` in training mode and of its derivative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from sdv_wgangp import ops
from sdv_wgangp.networks.generator import LOG_SCALE_RANGE, Generator

WIDTH_UNIT = 32


@dataclass
class Generated:
    """Generated rows, and what the way back needs to know.

    Attributes:
        levels: Level of every cell, counted over all columns, shape ``[rows, columns]``, int64.
        positions: Shape ``[rows, positions]`` in (0, 1).
        features: What the heads read, the last block's units first, ``[rows, features]``.
        normals: Normalised pre-activations of every block, ``[rows, width]`` each.
        inverses: Their inverse standard deviations, ``[width]`` each.
        logits: Without their bias, ``[rows, levels]``.
        scores, stretches: Normal scores of the positions and their derivatives along the log
            scales, ``[rows, positions]`` each.
    """

    levels: torch.Tensor
    positions: torch.Tensor
    features: torch.Tensor
    normals: list[torch.Tensor]
    inverses: list[torch.Tensor]
    logits: torch.Tensor
    scores: torch.Tensor | None = None
    stretches: torch.Tensor | None = None


class TrainingPass:
    """Draws rows from a generator and brings gradients at them back to its weights.

    Args:
        generator: Its blocks are normalised with each batch's own statistics; their running
            averages stay as they are.
        offsets: The columns' blocks of levels, shape ``[columns + 1]``, int64.
        bfloat16: Whether products are done in bfloat16.
    """

    def __init__(self, generator: Generator, offsets: torch.Tensor, bfloat16: bool):
        self.generator, self.offsets = generator, offsets
        self.dtype = torch.bfloat16 if bfloat16 else torch.float32
        self.hidden = sum(block.linear.out_features for block in generator.body)
        self.parameters = list(generator.parameters())
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.levels, width = generator.logits.weight.shape
        # Products of an odd width are several times slower: rows of zeros make it a round one.
        padded = -(-self.levels // WIDTH_UNIT) * WIDTH_UNIT
        self.logit_weight = generator.logits.weight.new_zeros(padded, width, dtype=self.dtype)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the generator's weights; call it after they have changed."""
        self.weights = [block.linear.weight.to(self.dtype) for block in self.generator.body]
        self.logit_weight[: self.levels].copy_(self.generator.logits.weight)
        if self.generator.positions is not None:
            self.position_weight = self.generator.positions.weight.to(self.dtype)

    @torch.no_grad()
    def forward(
        self, noise: torch.Tensor, jitter: torch.Tensor, uniforms: torch.Tensor
    ) -> Generated:
        """Draw rows.

        Args:
            noise, jitter: Standard normal, as for `Generator.forward`.
            uniforms: In [0, 1), shape ``[rows, columns]``; they choose the levels.

        Raises:
            FloatingPointError: The logits are no distribution. (On CUDA nothing is raised here:
                the losses tell.)
        """
        rows, generator = len(noise), self.generator
        features = torch.empty(
            rows, self.hidden + noise.shape[1], dtype=self.dtype, device=noise.device
        )
        features[:, self.hidden :] = noise
        normals, inverses = [], []
        start = self.hidden
        for block, weight in zip(generator.body, self.weights, strict=True):
            product = torch.mm(features[:, start:], weight.T)
            stop, start = start, start - weight.shape[0]
            norm = block.norm
            inverses.append(
                ops.norm_relu(
                    product, norm.weight, norm.bias, norm.eps, features[:, start:stop]
                )
            )
            normals.append(product)
        logits = torch.mm(features, self.logit_weight.T)[:, : self.levels]
        try:
            levels = ops.column_sample(logits, uniforms, self.offsets, generator.logits.bias)
        except RuntimeError as error:
            if torch.isfinite(logits).all() and torch.isfinite(generator.logits.bias).all():
                raise
            raise FloatingPointError("non-finite logits") from error
        levels += self.offsets[:-1]
        made = Generated(levels, jitter, features, normals, inverses, logits)
        if generator.positions is not None:
            head = generator.positions
            made.scores, made.stretches = ops.position_head(
                features, head.weight, head.bias, jitter, *LOG_SCALE_RANGE
            )
            made.positions = torch.special.ndtr(made.scores)
        return made

    @torch.no_grad()
    def backward(
        self,
        made: Generated,
        to_codes: torch.Tensor,
        to_positions: torch.Tensor,
        slopes: torch.Tensor,
        tables: torch.Tensor,
    ) -> None:
        """Set the gradients of the generator's parameters.

        Args:
            made: What `forward` gave; it is used up.
            to_codes: The loss's gradient at the one-hot codes, shape ``[rows, levels]``, of the
                type of products; it is used up.
            to_positions: At the positions, shape ``[rows, positions]``.
            slopes, tables: At what the levels look up (`sdv_wgangp.ops.code_gradient`).
        """
        generator, features = self.generator, made.features
        head = generator.logits
        head.bias.grad.copy_(
            ops.code_gradient(
                to_codes, made.logits, head.bias, made.levels, self.offsets, slopes, tables
            )
        )
        head.weight.grad.copy_(to_codes.T @ features)
        back = to_codes @ self.logit_weight[: self.levels, : self.hidden]
        if generator.positions is not None:
            density = made.scores.square().mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
            to_scores = density.mul_(to_positions)
            to_head = torch.cat([to_scores, to_scores * made.stretches], 1)
            generator.positions.bias.grad.copy_(to_head.sum(0))
            to_head = to_head.to(self.dtype)
            generator.positions.weight.grad.copy_(to_head.T @ features)
            back.addmm_(to_head, self.position_weight[:, : self.hidden])
        start = 0
        parts = zip(generator.body, self.weights, made.normals, made.inverses, strict=True)
        for block, weight, normal, inverse in reversed(list(parts)):
            stop, norm = start + weight.shape[0], block.norm
            ops.norm_relu_backward(
                back[:, start:stop],
                normal,
                norm.weight,
                norm.bias,
                inverse,
                norm.weight.grad,
                norm.bias.grad,
            )
            # The bias cancels in the normalisation: its gradient stays 0.
            block.linear.weight.grad.copy_(normal.T @ features[:, stop:])
            if stop < self.hidden:
                back[:, stop:].addmm_(normal, weight[:, : self.hidden - stop])
            start = stop
