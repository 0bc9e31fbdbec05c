"""Passes through a generator without automatic differentiation: training, and sampling.

Each product runs in the type the processor multiplies fastest, on one buffer of features; what
lies between two products is one compiled pass (`sdv_wgangp.ops.generator`). The order is that of
`Generator.forward` and of its derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sdv_wgangp import ops
from sdv_wgangp.networks.generator import LOG_SCALE_RANGE, Conditions, Generator
from sdv_wgangp.ops.blocks import block_of

WIDTH_UNIT = 32


class _LogitHead:
    """The logits' product, and levels drawn from them.

    Args:
        generator: Its head is taken over by `refresh`.
        offsets: The columns' blocks of levels, shape ``[columns + 1]``, int64.
        dtype: Of the products.
        held_logits: Logits that are held at a time where they are not needed afterwards.
    """

    def __init__(
        self, generator: Generator, offsets: torch.Tensor, dtype: torch.dtype, held_logits: int
    ):
        self.head, self.offsets, self.held_logits = generator.logits, offsets, held_logits
        self.levels, width = self.head.weight.shape
        # Products of an odd width are several times slower: rows of zeros make it a round one.
        padded = -(-self.levels // WIDTH_UNIT) * WIDTH_UNIT
        self._padded = self.head.weight.new_zeros(padded, width, dtype=dtype)
        self.refresh()

    @property
    def weight(self) -> torch.Tensor:
        """In the type of products, shape ``[levels, features]``."""
        return self._padded[: self.levels]

    @torch.no_grad()
    def refresh(self) -> None:
        self.weight.copy_(self.head.weight)

    def draw(
        self, features: torch.Tensor, uniforms: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Levels counted over all columns, and the logits without their bias.

        Raises:
            FloatingPointError: The logits are no distribution. (On CUDA nothing is raised here:
                the losses tell.)
        """
        logits = ops.multiply(features, self._padded.T)[:, : self.levels]
        bias = self.head.bias.detach()
        try:
            levels = ops.column_sample(logits, uniforms, self.offsets, bias)
        except RuntimeError as error:
            if torch.isfinite(logits + bias).all():
                raise
            raise FloatingPointError(
                "the generator's logits are not finite: fit again with a lower generator_lr"
            ) from error
        return levels.add_(self.offsets[:-1]), logits

    def draw_levels(self, features: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """The levels alone, a part of the rows at a time."""
        rows = max(self.held_logits // len(self._padded), 1)
        parts = zip(features.split(rows), uniforms.split(rows), strict=True)
        return torch.cat([self.draw(*part)[0] for part in parts])


def _feature_buffer(noise: torch.Tensor, hidden: int, dtype: torch.dtype) -> torch.Tensor:
    """Room for the blocks' outputs, ``[rows, hidden]``, and the noise behind them."""
    return noise.new_empty(len(noise), hidden + noise.shape[1], dtype=dtype)


def operand_type(bfloat16: bool) -> torch.dtype:
    """The type of products."""
    return torch.bfloat16 if bfloat16 else torch.float32


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
        conditions: The cells that were given, if any.
    """

    levels: torch.Tensor
    positions: torch.Tensor
    features: torch.Tensor
    normals: list[torch.Tensor]
    inverses: list[torch.Tensor]
    logits: torch.Tensor
    scores: torch.Tensor
    stretches: torch.Tensor
    conditions: Conditions | None


class GeneratorPass:
    """What both passes have in common: the heads, and drawing.

    Args:
        generator: What is drawn from.
        offsets: The columns' blocks of levels, shape ``[columns + 1]``, int64.
        bfloat16: Whether products are done in bfloat16.
        held_logits: Logits that `draw` holds at a time.
    """

    @torch.no_grad()
    def __init__(
        self,
        generator: Generator,
        offsets: torch.Tensor,
        bfloat16: bool,
        held_logits: int = 2**22,
    ):
        self.generator, self.offsets = generator, offsets
        self.dtype = operand_type(bfloat16)
        self.hidden = sum(block.linear.out_features for block in generator.body)
        self.logits = _LogitHead(generator, offsets, self.dtype, held_logits)
        self._take_over(generator)

    def _take_over(self, generator: Generator) -> None:
        """Make what a pass keeps beside the heads."""

    @torch.no_grad()
    def draw(
        self,
        noise: torch.Tensor,
        jitter: torch.Tensor,
        uniforms: torch.Tensor,
        conditions: Conditions | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Levels ``[rows, columns]`` and positions ``[rows, positions]`` in (0, 1).

        Args:
            noise, jitter: Standard normal, as for `Generator.forward`.
            uniforms: In [0, 1), shape ``[rows, columns]``; they choose the levels.
            conditions: Cells that are given, of a generator that reads conditions: those of the
                first rows; in a `SamplingPass` those of every row, or one row of them for all.

        Raises:
            FloatingPointError: The logits are no distribution. (On CUDA nothing is raised here:
                the losses tell.)
        """
        features = self._make_features(noise, conditions)
        levels = self.logits.draw_levels(features, uniforms)
        if conditions is not None:
            self._impose(conditions, levels)
        return levels, self._positions(features, jitter)[0]

    def _make_features(self, noise: torch.Tensor, conditions: Conditions | None) -> torch.Tensor:
        """What the heads read, the last block's units first, ``[rows, features]``."""
        raise NotImplementedError

    def _impose(self, conditions: Conditions, levels: torch.Tensor) -> None:
        """Put the given cells into drawn ones, in place."""
        conditions.impose(levels)

    def _positions(
        self, features: torch.Tensor, jitter: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Positions, their scores and stretches; without positions all of them are empty."""
        head = self.generator.positions
        if head is None:
            return jitter, jitter, jitter
        scores, stretches = ops.position_head(
            features, head.weight, head.bias, jitter, *LOG_SCALE_RANGE
        )
        return torch.special.ndtr(scores), scores, stretches


class TrainingPass(GeneratorPass):
    """Draws rows from a generator and brings gradients at them back to its weights.

    The blocks are normalised with each batch's own statistics; their running averages stay as
    they are.
    """

    def _take_over(self, generator: Generator) -> None:
        # Always the same memory: a CUDA graph holds on to it.
        self.weights = [block.linear.weight.to(self.dtype, copy=True) for block in generator.body]
        if generator.positions is not None:
            self.position_weight = generator.positions.weight.to(self.dtype, copy=True)
        if generator.conditional:
            self._column_of_level = block_of(self.offsets, len(generator.logits.bias))
        # Those of matrices stay in the type their products come in: half the memory.
        self._gradients: dict[torch.Tensor, torch.Tensor] = {
            parameter: torch.zeros_like(
                parameter, dtype=self.dtype if parameter.dim() == 2 else None
            )
            for parameter in generator.parameters()
        }

    @property
    def gradients(self) -> list[torch.Tensor]:
        """Of the generator's parameters, in their order: what `backward` sets."""
        return list(self._gradients.values())

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the generator's weights; call it after they have changed."""
        for weight, block in zip(self.weights, self.generator.body, strict=True):
            weight.copy_(block.linear.weight)
        self.logits.refresh()
        if self.generator.positions is not None:
            self.position_weight.copy_(self.generator.positions.weight)

    @torch.no_grad()
    def forward(
        self,
        noise: torch.Tensor,
        jitter: torch.Tensor,
        uniforms: torch.Tensor,
        conditions: Conditions | None = None,
    ) -> Generated:
        """Draw rows as `draw` does, with what `backward` has to know."""
        features, normals, inverses = self._normalised(noise, conditions)
        levels, logits = self.logits.draw(features, uniforms)
        if conditions is not None:
            conditions.impose(levels)
        positions, scores, stretches = self._positions(features, jitter)
        return Generated(
            levels, positions, features, normals, inverses, logits, scores, stretches, conditions
        )

    def _make_features(self, noise: torch.Tensor, conditions: Conditions | None) -> torch.Tensor:
        return self._normalised(noise, conditions)[0]

    def _normalised(
        self, noise: torch.Tensor, conditions: Conditions | None
    ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """`Generated.features`, `Generated.normals` and `Generated.inverses`."""
        features = _feature_buffer(noise, self.hidden, self.dtype)
        features[:, self.hidden :] = noise
        normals, inverses = [], []
        start = self.hidden
        for block, weight in zip(self.generator.body, self.weights, strict=True):
            product = ops.multiply(features[:, start:], weight.T)
            if (given := block.given(conditions)) is not None:
                product[: len(given)] += given
            stop, start = start, start - weight.shape[0]
            norm = block.norm
            inverses.append(
                ops.norm_relu(product, norm.weight, norm.bias, norm.eps, features[:, start:stop])
            )
            normals.append(product)
        return features, normals, inverses

    @torch.no_grad()
    def backward(
        self,
        generated: Generated,
        to_codes: torch.Tensor,
        to_positions: torch.Tensor,
        slopes: torch.Tensor,
        tables: torch.Tensor,
        to_conditions: Sequence[torch.Tensor | None] | None = None,
    ) -> None:
        """Set `gradients`.

        Args:
            generated: What `forward` gave; it is used up.
            to_codes: The loss's gradient at the one-hot codes, shape ``[rows, levels]``, of the
                type of products; it is used up.
            to_positions: At the positions, shape ``[rows, positions]``.
            slopes, tables: At what the levels look up (`sdv_wgangp.ops.code_gradient`); the
                slopes are used up.
            to_conditions: A further gradient at what is added for given cells, block by block:
                what `backward_of_conditions` gave.
        """
        generator, features, gradients = self.generator, generated.features, self._gradients
        head, conditions = generator.logits, generated.conditions
        given: tuple[int, torch.Tensor] | None = None  # rows, and what is added along weights
        if conditions is not None:
            # A cell that is given was not drawn: nothing comes back through its logits, whose
            # gradient is made of differences of what stands here.
            own = conditions.fixed.index_select(1, self._column_of_level)
            to_codes[: conditions.rows].masked_fill_(own, 0)
            slopes[:, : conditions.rows].masked_fill_(conditions.fixed, 0)
            # A product adds the same rows up as a scatter does, and always in the same order, also
            # on a GPU.
            given = (
                conditions.rows,
                conditions.derivative(len(head.bias), self.dtype, generator.condition_gain),
            )
        gradients[head.bias].copy_(
            ops.code_gradient(
                to_codes,
                generated.logits,
                head.bias,
                generated.levels,
                self.offsets,
                slopes,
                tables,
            )
        )
        ops.multiply(to_codes.T, features, gradients[head.weight])
        back = ops.multiply(to_codes, self.logits.weight[:, : self.hidden])
        if generator.positions is not None:
            to_head = self._at_position_head(generated, to_positions)
            gradients[generator.positions.bias].copy_(to_head.sum(0))
            to_head = to_head.to(self.dtype)
            ops.multiply(to_head.T, features, gradients[generator.positions.weight])
            ops.multiply(to_head, self.position_weight[:, : self.hidden], back, add=True)
        start = 0
        extra: Sequence[torch.Tensor | None] = to_conditions or [None] * len(self.weights)
        parts = zip(
            generator.body, self.weights, generated.normals, generated.inverses, extra, strict=True
        )
        for block, weight, normal, inverse, more in reversed(list(parts)):
            stop, norm = start + weight.shape[0], block.norm
            ops.norm_relu_backward(
                back[:, start:stop],
                normal,
                norm.weight,
                norm.bias,
                inverse,
                gradients[norm.weight],
                gradients[norm.bias],
            )
            # The bias cancels in the normalisation: its gradient stays 0.
            ops.multiply(normal.T, features[:, stop:], gradients[block.linear.weight])
            if block.condition is not None and given is None:
                gradients[block.condition].zero_()
            elif block.condition is not None and given is not None:
                rows, derivative = given
                to_sum = normal[:rows]
                if more is not None:
                    to_sum = to_sum.clone()
                    to_sum[: len(more)] += more
                ops.multiply(derivative.T, to_sum, gradients[block.condition])
            if stop < self.hidden:
                ops.multiply(normal, weight[:, : self.hidden - stop], back[:, stop:], add=True)
            start = stop

    @torch.no_grad()
    def backward_of_conditions(
        self,
        generated: Generated,
        to_logits: torch.Tensor,
        to_positions: torch.Tensor,
        slopes: torch.Tensor,
        tables: torch.Tensor,
    ) -> list[torch.Tensor]:
        """A gradient that only what is added for given cells shall follow.

        The statistics of the batch are constants here, so rows have nothing to do with each other.

        Args:
            generated: What `forward` gave; it stays as it is.
            to_logits: The gradient at the logits of the first rows, ``[some rows, levels]``.
            to_positions, slopes, tables: As for `backward`, of these rows.

        Returns:
            The gradient at the pre-activations of every block, ``[some rows, width]`` each.
        """
        generator, rows = self.generator, len(to_logits)
        bias = generator.logits.bias
        to_codes = torch.zeros_like(generated.logits[:rows])
        ops.code_gradient(
            to_codes,
            generated.logits[:rows],
            bias,
            generated.levels[:rows],
            self.offsets,
            slopes,
            tables,
        )
        to_codes += to_logits
        back = ops.multiply(to_codes, self.logits.weight[:, : self.hidden])
        if generator.positions is not None:
            to_head = self._at_position_head(generated, to_positions).to(self.dtype)
            ops.multiply(to_head, self.position_weight[:, : self.hidden], back, add=True)
        found, start = [], 0
        parts = zip(generator.body, self.weights, generated.inverses, strict=True)
        for block, weight, inverse in reversed(list(parts)):
            stop = start + weight.shape[0]
            open_units = generated.features[:rows, start:stop] > 0
            to_block = back[:, start:stop] * open_units * (block.norm.weight * inverse)
            found.append(to_block.to(self.dtype))
            if stop < self.hidden:
                ops.multiply(found[-1], weight[:, : self.hidden - stop], back[:, stop:], add=True)
            start = stop
        return found[::-1]

    def _at_position_head(self, generated: Generated, to_positions: torch.Tensor) -> torch.Tensor:
        """The gradient at what the head of the positions gives for the first rows."""
        rows = len(to_positions)
        density = (
            generated.scores[:rows].square().mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
        )
        to_scores = density.mul_(to_positions)
        return torch.cat([to_scores, to_scores * generated.stretches[:rows]], 1)


class SamplingPass(GeneratorPass):
    """Draws rows from a trained generator, whose normalisation is folded into its products.

    The generator is in evaluation mode.

    Raises:
        ValueError: The generator has no running statistics.
    """

    def _take_over(self, generator: Generator) -> None:
        self.layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for block in generator.body:
            norm, linear = block.norm, block.linear
            mean, variance = norm.running_mean, norm.running_var
            if mean is None or variance is None:
                raise ValueError(
                    "the generator's normalisation must track running statistics to be sampled "
                    "from, got a BatchNorm1d with track_running_stats=False"
                )
            scale = norm.weight * (variance + norm.eps).rsqrt()
            bias = norm.bias + scale * (linear.bias - mean)
            folded = scale[:, None] * linear.weight
            self.layers.append((folded.to(self.dtype), bias.to(self.dtype), scale))
        self._features: torch.Tensor | None = None

    def _impose(self, conditions: Conditions, levels: torch.Tensor) -> None:
        torch.where(conditions.fixed, conditions.levels, levels, out=levels)

    @torch.no_grad()
    def probabilities(
        self, noise: torch.Tensor, column: int, conditions: Conditions
    ) -> torch.Tensor:
        """Of the codes of one column, the mean over the rows' noise, ``[codes]`` float32."""
        block = slice(*self.logits.offsets[column : column + 2].tolist())
        features = self._make_features(noise, conditions)
        logits = ops.multiply(features, self.logits.weight[block].T).float()
        return torch.softmax(logits + self.generator.logits.bias[block], 1).mean(0)

    def _make_features(self, noise: torch.Tensor, conditions: Conditions | None) -> torch.Tensor:
        """What the heads read, in a buffer that the next call overwrites."""
        if self._features is None or len(self._features) < len(noise):
            self._features = _feature_buffer(noise, self.hidden, self.dtype)
        features = self._features[: len(noise)]
        features[:, self.hidden :] = noise
        start = self.hidden
        for block, (weight, bias, scale) in zip(self.generator.body, self.layers, strict=True):
            stop, start = start, start - len(bias)
            units = features[:, start:stop]
            ops.multiply(features[:, stop:], weight.T, units)
            if (given := block.given(conditions)) is not None:
                bias = bias + (scale * given).to(self.dtype)
            units.add_(bias).relu_()
        return features
