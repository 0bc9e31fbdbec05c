"""What a fitted model of a table does: it draws rows, with conditions or without."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from sdv_wgangp.calibration.calibrate import Calibration, calibrate
from sdv_wgangp.calibration.conditional import ConditionalCalibration, calibrate_conditional
from sdv_wgangp.calibration.extremes import reach_extremes
from sdv_wgangp.calibration.options import DEFAULT as CALIBRATION
from sdv_wgangp.calibration.options import CalibrationOptions
from sdv_wgangp.encoding.conditions import allowed_codes, native_part
from sdv_wgangp.encoding.layout import Layout
from sdv_wgangp.encoding.table import EncodedTable, TableEncoder
from sdv_wgangp.models.conditions import draw_each, drawn_until_met
from sdv_wgangp.models.sampler import Sampler
from sdv_wgangp.models.warn import warn_of_distances
from sdv_wgangp.networks.generator import Generator
from sdv_wgangp.training.settings import TrainingSettings


class TableSampling:
    """Draws rows of a table from what was learned of it; `TabularModel` learns that.

    Args:
        settings: Hyperparameters of the training.
        calibrate: Whether samples are calibrated.
        enable_gpu: Use CUDA where there is one.
        calibration_options: Hyper-parameters of the calibration.

    Attributes:
        calibrated: Whether `sample` applies the calibration.
        encoder, layout, generator: There once something was learned.
    """

    encoder: TableEncoder
    layout: Layout
    generator: Generator
    _calibration: Calibration
    _reference_seed: int
    _random: torch.Generator
    # Of models that were fitted before there were others.
    calibration_options: CalibrationOptions = CALIBRATION

    def __init__(
        self,
        settings: TrainingSettings,
        *,
        calibrate: bool,
        enable_gpu: bool,
        calibration_options: CalibrationOptions = CALIBRATION,
    ):
        self.settings = settings
        self.calibration_options = calibration_options
        self.calibrated = calibrate
        self._enable_gpu = enable_gpu
        self._device = _device(enable_gpu)
        self._conditional_calibration: ConditionalCalibration | None = None

    @property
    def can_sample(self) -> bool:
        """Whether it has learned something."""
        return hasattr(self, "_calibration")

    @property
    def knows_conditions(self) -> bool:
        """Whether the rows that samples under conditions are chosen by are drawn already."""
        return not self.calibrated or self._conditional_calibration is not None

    @property
    def calibration(self) -> Calibration:
        """What selects among generated rows, and maps their values.

        Raises:
            RuntimeError: The model was not fitted.
        """
        if not self.can_sample:
            raise RuntimeError("there is no calibration yet: fit the model first")
        return self._calibration

    def set_random_state(self, seed: int | None) -> None:
        """Start the random numbers of `sample` anew; None draws a seed."""
        seed = secrets.randbits(63) if seed is None else int(seed)
        self._random = torch.Generator(self._device).manual_seed(seed)

    def native_conditions(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        """The part of conditions that `sample` takes; rows have to be filtered for the rest."""
        return native_part(self.encoder, conditions) if self.generator.conditional else {}

    def permutation(self, rows: int) -> np.ndarray:
        """Row numbers in random order, from the random numbers of `sample`."""
        order = torch.randperm(rows, device=self._device, generator=self._random)
        return order.cpu().numpy()

    def sample(self, rows: int, conditions: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Draw rows, columns in the order and dtypes of the training frame.

        Without conditions a sample as large as that frame reaches its extremes
        (`calibration.extremes`).

        Args:
            rows: How many.
            conditions: Values by column; which columns can have some, `native_conditions` tells.
                Every row has them, and the other columns follow their distribution given these;
                no row is rejected. (The first call draws up to
                `CalibrationOptions.reference_rows` rows for this.)

        Raises:
            ValueError: A column cannot be a condition, a value was not in its training column, or
                values of columns that determine each other contradict; names them.
        """
        if conditions:
            return self.sample_each([(conditions, rows)])
        return drawn_until_met(self.encoder, [({}, rows)], lambda counts: self._draw(*counts))

    def _draw(self, rows: int) -> pd.DataFrame:
        """Rows without conditions."""
        generate = self._generate(self._random)
        if self.calibrated:
            table = self._calibration.draw(rows, generate, self._random)
        else:
            table = generate(rows)
        reach_extremes(table, self.encoder, self._random, self.calibration_options.extreme_rows)
        return self.encoder.decode(table)

    def sample_each(self, wanted: Sequence[tuple[Mapping[str, Any], int]]) -> pd.DataFrame:
        """Draw rows under several conditions, together.

        Args:
            wanted: Conditions as of `sample`, and how many rows are to meet each; at least one.

        Returns:
            The rows, in the order of the conditions.

        Raises:
            ValueError: As `sample` does, before any row is drawn.
        """
        if not self.generator.conditional:
            raise ValueError(
                "this model was trained without conditions: fit one with conditional_share > 0, "
                "batch_size of at least twice pac, and a column of categories beside others"
            )
        allowed = [(allowed_codes(self.encoder, given), rows) for given, rows in wanted]
        chosen_by = None
        if self.calibrated:
            if self._conditional_calibration is None:
                # Random numbers of its own: those of `sample` go on as if nothing had been drawn.
                random = torch.Generator(self._device).manual_seed(self._reference_seed)
                self._conditional_calibration = calibrate_conditional(
                    self._calibration, self._generate(random), random
                )
            chosen_by = self._conditional_calibration

        def draw(counts: Sequence[int]) -> pd.DataFrame:
            asked = [(codes, rows) for (codes, _), rows in zip(allowed, counts, strict=True)]
            asked = [each for each in asked if each[1]] or asked[:1]
            table = draw_each(self._sampler(), asked, chosen_by, self._random)
            return self.encoder.decode(table)

        return drawn_until_met(self.encoder, allowed, draw)

    def _sampler(self, generator: Generator | None = None) -> Sampler:
        """Of a generator of this table, or of the one that was learned."""
        generator = self.generator if generator is None else generator
        return Sampler(generator, self.layout, self.settings.precision, self._device)

    def _generate(self, random: torch.Generator) -> Callable[[int], EncodedTable]:
        sampler = self._sampler()
        return lambda rows: sampler.draw(rows, random)

    def _calibrate(self, table: EncodedTable, random: torch.Generator) -> None:
        """Prepare calibrated sampling, so that ``calibrated`` can be switched later."""
        self._calibration = calibrate(
            *(table, self.encoder, self._generate(random), random),
            options=self.calibration_options,
        )
        if self.calibrated:
            warn_of_distances(self.encoder, self._calibration.distances, stacklevel=5)

    def __getstate__(self) -> dict[str, Any]:
        # It is drawn again when it is needed.
        state = self.__dict__ | {"_conditional_calibration": None}
        if "generator" in state:
            # `to` would move the module itself.
            state["generator"] = copy.deepcopy(self.generator).to("cpu")
            state["_random"] = (self._device.type, self._random.get_state())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._device = _device(self._enable_gpu)
        if "generator" not in state:
            return
        self.generator.to(self._device)
        kind, random_state = state["_random"]
        self._random = torch.Generator(self._device)
        if kind == self._device.type:
            self._random.set_state(random_state)
        else:  # another device's generator: begin anew, the same way every time
            self._random.manual_seed(0)


def _device(enable_gpu: bool) -> torch.device:
    return torch.device("cuda" if enable_gpu and torch.cuda.is_available() else "cpu")
