"""What a table's training looks like, for trackers: generated rows beside real ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.models.table_training import TableTraining
from sdv_wgangp.players.table_terms import MetaFeatures
from sdv_wgangp.plots.tables import marginals, pca_scatter
from sdv_wgangp.plots.training import quantiles


def table_figures(
    training: TableTraining,
    real: pd.DataFrame,
    generate: Callable[[int, torch.Generator], pd.DataFrame],
    most_rows: int = 2_000,
    batches: int = 40,
) -> dict[str, Callable[[Any], Any]]:
    """Figures of a run, by name; each is drawn from random numbers of its own.

    Args:
        training: Of the run.
        real: The training rows.
        generate: Draws so many rows from the averaged generator as it is, not calibrated.
        most_rows: Rows of each kind in a figure, at most.
        batches: Of which meta-features are taken for a figure.
    """

    @lru_cache(maxsize=1)
    def rows_after(step: int, seed: int, device: torch.device) -> tuple[pd.DataFrame, ...]:
        """Real and generated rows; the figures of one step have the same."""
        shown = real.sample(min(len(real), most_rows), random_state=0)
        return shown, generate(len(shown), _random_after(step, seed, device))

    def beside(draw: Callable[[pd.DataFrame, pd.DataFrame], Any]) -> Callable[[Any], Any]:
        return lambda run: draw(*rows_after(*_moment(run)))

    figures = {"marginals": beside(marginals), "principal components": beside(pca_scatter)}
    matched = training.run.terms.get("meta-features")
    if isinstance(matched, MetaFeatures):
        statistics_of = matched.statistics

        def meta_features(run: Any) -> Any:
            # Of the run that is drawn: held here, in a circle, they would outlive the fit.
            random = _random_after(*_moment(run))
            source, player = run.source, run.generator
            pairs: dict[str, tuple[list, list]] = {}
            for _ in range(batches):
                index = torch.randint(
                    source.row_count,
                    (1, source.batch_size),
                    device=random.device,
                    generator=random,
                )
                (rows,) = source.batches(index, random)
                (fake,) = player.fakes([rows], random)
                for place, each in enumerate((rows, fake)):
                    for name, values in statistics_of(each).items():
                        pairs.setdefault(name, ([], []))[place].append(values.flatten().cpu())
            return quantiles(
                {
                    name: (np.concatenate(shown), np.concatenate(generated))
                    for name, (shown, generated) in pairs.items()
                }
            )

        figures["meta-features"] = meta_features
    return figures


def _moment(run: Any) -> tuple[int, int, torch.device]:
    return run.step, run.random.initial_seed(), run.random.device


def _random_after(step: int, seed: int, device: torch.device) -> torch.Generator:
    """The same for all figures of a step, and for the same step after a resumption."""
    return torch.Generator(device).manual_seed(seed + step)
