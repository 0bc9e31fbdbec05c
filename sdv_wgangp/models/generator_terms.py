"""The further terms of a table's generator: meta-features, conditional scores, marginals."""

from __future__ import annotations

from typing import Any

import torch

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.networks.views import Views
from sdv_wgangp.objectives.feature_table import FeatureTable, Target
from sdv_wgangp.objectives.matching import MetaFeatureObjective, real_batches
from sdv_wgangp.objectives.meta_features import META_FEATURES
from sdv_wgangp.players.marginal_control import MarginalControl
from sdv_wgangp.players.protocols import Term
from sdv_wgangp.players.table_terms import ConditionalScores, MetaFeatures, as_features_read
from sdv_wgangp.training.settings import TrainingSettings
from sdv_wgangp.training.sources import shuffled_batches
from sdv_wgangp.training.table_source import TableSource


def generator_terms(
    generator: Generator,
    source: TableSource,
    layout: Layout,
    views: Views,
    settings: TrainingSettings,
    random: torch.Generator,
    conditional: int,
    target: Target | None,
    optimizer: Any = None,
) -> tuple[dict[str, Term], bool]:
    """Terms of the generator's loss, by name; and whether a CUDA graph can hold them.

    Args:
        generator: That is trained.
        source: Of the real batches.
        layout: Of the table.
        views: The critic's.
        settings: Which terms there are.
        random: Source of the batches that real meta-features are taken of.
        conditional: Rows of a batch, the first ones, that have conditions.
        target: The column that meta-features relate others to, if any.
        optimizer: The generator's.
    """
    terms: dict[str, Term] = {}
    static = True
    if settings.meta_features:
        matched = _meta_features(source, layout, views, settings, random, conditional, target)
        terms["meta-features"] = matched
        static = matched.objective.static
    if conditional > 1 and settings.conditional_weight:
        terms["conditional scores"] = ConditionalScores(
            layout.offsets.to(random.device),
            layout.ordered.to(random.device),
            conditional,
            settings.conditional_weight,
            settings.batch_size,
        )
    if settings.marginal_control:
        terms["marginal control"] = MarginalControl(
            generator,
            layout.frequencies.to(random.device),
            conditional,
            gain=settings.marginal_control,
            optimizer=optimizer,
        )
    return terms, static


def _meta_features(
    source: TableSource,
    layout: Layout,
    views: Views,
    settings: TrainingSettings,
    random: torch.Generator,
    conditional: int,
    target: Target | None,
    pair_rows: int = 2_000,  # that the strengths of pairs are measured on
) -> MetaFeatures:
    rows, levels = len(source.table), layout.levels
    count = real_batches(rows, settings.batch_size)
    batches = shuffled_batches(rows, settings.batch_size, count, random)
    features = [META_FEATURES[name] for name in settings.meta_features]
    known = FeatureTable.of(layout, target, random.device)
    if any(feature.blocks > 1 for feature in features):
        known = known.with_pairs(source.levels(batches.flatten()[:pair_rows]))
    codes = any(feature.reads != "channels" for feature in features)
    objective = MetaFeatureObjective(
        settings.meta_features,
        known,
        (
            as_features_read(source.rows(own[conditional:]), views, levels, codes)
            for own in batches
        ),
        rows,
        random,
        weight=settings.meta_feature_weight,
        distance=settings.meta_feature_distance,
        subsets=settings.meta_feature_subsets,
        fraction=settings.meta_feature_fraction,
        schedule=settings.meta_feature_schedule,
        tracking_decay=settings.tracking_decay,
        sinkhorn_epsilon=settings.sinkhorn_epsilon,
        sinkhorn_iterations=settings.sinkhorn_iterations,
        sliced_projections=settings.sliced_projections,
    )
    return MetaFeatures(objective, views, levels, codes, conditional)
