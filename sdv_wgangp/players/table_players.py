"""Which players a table's networks get: closed forms where there are some, else autograd."""

from __future__ import annotations

import logging

import torch
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.networks.critic import MLPCritic
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.ops import PENALTIES, uses_bfloat16
from sdv_wgangp.players.autograd import AutogradCritic
from sdv_wgangp.players.autograd_columns import AutogradColumnGenerator
from sdv_wgangp.players.columns import ColumnGenerator
from sdv_wgangp.players.given_cells import ConditionSampler
from sdv_wgangp.players.mlp_critic import CompiledCritic
from sdv_wgangp.players.protocols import Objective
from sdv_wgangp.players.rows import OneHotMLPCritic, OneHotRows

logger = logging.getLogger(__name__)


def generator_player(
    generator: Generator,
    views: Views,
    layout: Layout,
    conditions: ConditionSampler | None,
    device: torch.device,
) -> ColumnGenerator | AutogradColumnGenerator:
    """The player of a table's generator."""
    if type(generator) is Generator:
        return ColumnGenerator(generator, views, layout, conditions, uses_bfloat16(device))
    _say("generator", generator)
    return AutogradColumnGenerator(generator, views, layout, conditions)


def critic_player(
    critic: nn.Module, levels: int, objective: Objective
) -> CompiledCritic | AutogradCritic:
    """The player of a table's critic.

    Args:
        critic: An `MLPCritic`, or a module from packed one-hot rows to scores with a ``pac``.
        levels: Number of levels of one row.
        objective: That it is trained for.

    Raises:
        ValueError: The module is none for that objective; says why.
    """
    penalty, _ = objective.penalty_at(0)
    if type(critic) is not MLPCritic:
        _say("critic", critic)
    elif penalty in PENALTIES:
        return CompiledCritic(critic)
    else:
        logger.info(
            "There is no closed form of the penalty %s: the critic is trained by automatic "
            "differentiation.",
            penalty,
        )
        critic = OneHotMLPCritic(critic)
    player = AutogradCritic(critic, view=OneHotRows(levels, getattr(critic, "pac", 1)))
    player.check(objective)
    return player


def _say(role: str, network: nn.Module) -> None:
    logger.info(
        "The %s is a %s, for which there are no closed forms: it is trained by automatic "
        "differentiation.",
        role,
        type(network).__name__,
    )
