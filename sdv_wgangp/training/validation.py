"""Early stopping: checkpoints are scored against rows that were held out from the critic."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable
from sdv_wgangp.statistics.two_sample import Probability, cross_fitted
from sdv_wgangp.training.schedule import Schedule

# What scikit-learn's trees accept in a categorical column.
MAX_LEVELS = 255


def held_out_rows(rows: int, fraction: float, least: int = 50, most: int = 10_000) -> int:
    """How many of a table's rows to hold out.

    Args:
        rows: Of the table.
        fraction: Of them, in (0, 1).
        least: Fewer say too little.
        most: More cost time and say nothing new (a check sees as many generated ones).

    Raises:
        ValueError: They are fewer than ``least``.
    """
    held = int(rows * fraction)
    if held < least:
        enough = math.ceil(100 * least / rows) / 100 if rows else 1
        remedy = "switch early_stopping off"
        if enough <= 0.5:
            remedy = f"raise validation_fraction to {enough:g} or {remedy}"
        raise ValueError(
            f"early_stopping needs at least {least} held-out rows, and validation_fraction "
            f"{fraction:g} of {rows} rows is {held}: {remedy}"
        )
    return min(held, most)


class HeldOutScore:
    """How hard boosted trees find it to tell generated rows from held-out ones.

    The score is ``1 - (2 max(AUC, 1/2) - 1)``, the AUC being the mean over the folds: 1 where
    the trees only guess, 0 where they are always right (`statistics.two_sample`). The trees see
    the ranks of the columns with an order, and all codes: as categories where there is no order
    and they are not too many, else as numbers (of a category these are in the order of frequency).
    With a hundred held-out rows the score soon is near 1: so few cannot tell good rows from better
    ones.

    Args:
        held_out: Encoded rows, as many as `held_out_rows` says.
        layout: The table's layout.
        seed: Of the folds and the trees.
        folds: Of the cross-validation.
        trees: In a fold.

    Attributes:
        noise: Standard error of the score of rows that cannot be told apart, from the variance of
            the rank-sum statistic (Mann and Whitney 1947).
    """

    def __init__(
        self, held_out: EncodedTable, layout: Layout, seed: int, folds: int = 3, trees: int = 100
    ):
        self._layout, self._seed = layout, seed
        self._folds, self._trees = folds, trees
        self._real = self.features(held_out)
        categorical = (layout.offsets.diff() <= MAX_LEVELS).numpy()
        categorical[layout.ordered.numpy()] = False
        self._categorical = np.concatenate([np.zeros(len(layout.ordered), bool), categorical])
        rows = len(held_out)
        self.noise = 2 * math.sqrt((2 * rows + 1) / (12 * rows**2))

    @property
    def rows(self) -> int:
        """How many generated rows to score."""
        return len(self._real)

    def __call__(self, generated: EncodedTable) -> float:
        """The score of as many generated rows, in [0, 1].

        Args:
            generated: Encoded, not calibrated.
        """
        rows = np.concatenate([self._real, self.features(generated)])
        is_real = np.arange(len(rows)) < len(self._real)
        folds = cross_fitted(rows, is_real, self._fit, self._folds, self._seed)
        areas = [fold.area for fold in folds]
        return 2 - 2 * max(float(np.mean(areas)), 0.5)

    def _fit(self, rows: np.ndarray, is_real: np.ndarray) -> Probability:
        trees = HistGradientBoostingClassifier(
            max_iter=self._trees,
            categorical_features=self._categorical,
            early_stopping=False,
            random_state=self._seed,
        ).fit(rows, is_real)
        return lambda others: trees.predict_proba(others)[:, 1]

    def features(self, table: EncodedTable) -> np.ndarray:
        """Ranks of the ordered columns, then all codes; float32 ``[rows, ordered + columns]``."""
        layout = self._layout
        levels = layout.level_index(table)
        positions = table.positions
        if layout.copies is not None:
            positions = layout.copies.resolve(levels, positions, layout.ranks.T).positions
        inside = torch.zeros(levels.shape)
        inside[:, layout.positioned] = positions
        first, span = layout.ranks[levels].unbind(2)
        ranks = (first + span * inside)[:, layout.ordered]
        return torch.cat([ranks, table.codes.float()], 1).numpy()


class EarlyStopping:
    """A callback that scores the generator as training goes on, keeps the best, and ends it
    when that helps.

    Much of the quality comes while the learning rates fall, so a training that has stopped
    improving is never cut off: after ``patience`` checks without a new highest score the rates
    fall to 0 within a quarter of the progress made so far (`Schedule.hasten`), or within a part
    of that if they were falling already. Then training ends, with a last check.

    The *best* generator is the latest one whose score is not below the highest by more than its
    noise: of scores that differ by chance alone, the highest is an accident, and later weights
    have had more training.

    Args:
        score: Of a generator in evaluation mode; higher is better.
        preview: Gives the generator to score; the training goes on as if it had not been called.
        noise: Standard error of the score.
        patience: How many checks.
        interval: Progress from one check to the next.
        overhead: Largest part of the progress (that is, of the time, where it is limited) that
            checks may take.

    Attributes:
        score: As given.
        best: The best generator so far, a copy; None before the first check.
    """

    def __init__(
        self,
        score: Callable[[nn.Module], float],
        preview: Callable[[], nn.Module],
        noise: float,
        patience: int,
        interval: float = 0.05,
        overhead: float = 0.2,
    ):
        self.score, self._preview = score, preview
        self._noise, self._patience = noise, patience
        self._highest, self._waited, self._next = -math.inf, 0, interval
        self._interval, self._overhead = interval, overhead
        self._epochs = 0  # that it was told of
        self.best: nn.Module | None = None

    def on_fit_begin(self, run: Any) -> None:
        """Make up for a check that an interruption has kept from the last epoch."""
        if len(run.logs) > self._epochs and not run.step_in_epoch:
            self.on_epoch(run)

    def on_epoch(self, run: Any) -> None:
        """Check if it is time, and put the score into the epoch's log."""
        if self.due(run.schedule):
            score = self.check(self._preview(), run.schedule)
            run.logs[-1] = replace(run.logs[-1], validation_score=score)
        self._epochs = len(run.logs)

    def due(self, schedule: Schedule) -> bool:
        """Whether it is time for a check."""
        # Intervals add up to a little more than the share of steps that they should be.
        return schedule.done or schedule.progress >= self._next - 1e-9

    def check(self, generator: nn.Module, schedule: Schedule) -> float:
        """Score a generator, keep it if it is the best, and tell the schedule of a plateau."""
        before = schedule.progress
        score = self.score(generator)
        now = schedule.progress
        # Progress that the check itself has made is time that training has lost.
        self._next = now + max(self._interval, (now - before) / self._overhead)
        if score >= self._highest - self._noise:
            self.best = copy.deepcopy(generator)
        self._waited = 0 if score > self._highest else self._waited + 1
        self._highest = max(score, self._highest)
        if self._waited >= self._patience:
            schedule.hasten()
        return score

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, and the best generator."""
        return {
            "highest": self._highest,
            "waited": self._waited,
            "next": self._next,
            "epochs": self._epochs,
            "best": None if self.best is None else dict(self.best.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._highest, self._waited = state["highest"], state["waited"]
        self._next, self._epochs, self.best = state["next"], state["epochs"], None
        if state["best"] is not None:
            self.best = copy.deepcopy(self._preview())
            self.best.load_state_dict(state["best"])
