"""The critic of tables on packed one-hot rows, written out for automatic differentiation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from sdv_wgangp.networks.critic import LEAKY_SLOPE, MLPCritic
from sdv_wgangp.ops import PENALTIES_BETWEEN


class PlainNetwork(nn.Module):
    """Its parameters are the critic's.

    Dropout masks, those of a pass after those of another, are taken from ``masks``; where there
    are none, nothing is dropped.
    """

    def __init__(self, critic: MLPCritic):
        super().__init__()
        self.level_weight, self.dense_weight = critic.level_weight, critic.dense_weight
        self.bias, self.layers = critic.bias, critic.layers
        self.shape, self.masks = (critic.pac, critic.levels, critic.dense), []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        pac, levels, dense = self.shape
        of_levels = self.level_weight.unflatten(0, (pac, levels))
        of_dense = self.dense_weight.unflatten(0, (pac, dense))
        weight = torch.cat([of_levels, of_dense], 1).flatten(0, 1)
        masks = self.masks.pop(0) if self.masks else [None] * len(self.layers)
        hidden = rows @ weight + self.bias
        for layer, mask in zip(self.layers, masks, strict=True):
            hidden = functional.leaky_relu(hidden, LEAKY_SLOPE)
            hidden = layer(hidden if mask is None else hidden * mask)
        return hidden.squeeze(1)


def masks_of_passes(
    masks: list[torch.Tensor] | None, kind: str, rows: int
) -> list[list[torch.Tensor]]:
    """The masks of a closed step in the order of an automatic one's passes: generated rows, real
    ones, and where the penalty is."""
    if masks is None:
        return []
    places = [1, 0]
    places += [2] if kind in PENALTIES_BETWEEN else []
    places += [place for place, name in enumerate(("r1", "r2")) if name in kind]
    return [[mask[place * rows : (place + 1) * rows] for mask in masks] for place in places]
