"""Calibration of rows under a condition.

The training table's marginals say nothing about rows with given cells, and few training rows have
them all. The generator itself can tell: among many calibrated rows drawn without conditions, the
*reference*, those that happen to have the given cells follow its conditional distribution exactly.
They are too few to be handed out, but their marginals are what rows generated for the condition
are brought to: more candidates are drawn than wanted, raking finds their weights, and as many as
wanted are chosen by these. What holds between the other columns comes from the generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sdv_wgangp.calibration.calibrate import Calibration
from sdv_wgangp.calibration.cells import Cells
from sdv_wgangp.calibration.options import DEFAULT, CalibrationOptions
from sdv_wgangp.calibration.pool import Generate
from sdv_wgangp.calibration.raking import rake
from sdv_wgangp.calibration.selection import systematic, uniform
from sdv_wgangp.calibration.values import ValueCalibration
from sdv_wgangp.encoding.table import EncodedTable

# Cells of the reference, and rows that are generated for it.
REFERENCE_CELLS, REFERENCE_GENERATED = 2**25, 2**20


def calibrate_conditional(
    calibration: Calibration, generate: Generate, random: torch.Generator
) -> ConditionalCalibration:
    """Draw a reference.

    Args:
        calibration: Of rows without conditions.
        generate: Makes that many of these.
        random: Source of the choice among them.
    """
    options = calibration.options
    affordable = int(REFERENCE_GENERATED * calibration.acceptance)
    rows = min(options.reference_rows, REFERENCE_CELLS // len(calibration.columns), affordable)
    reference = calibration.draw(rows, generate, random)
    return ConditionalCalibration(calibration.columns, calibration.values, reference, options)


class ConditionalCalibration:
    """Chooses among rows that are generated for a condition.

    Args:
        columns: The cells of every column.
        values: What is corrected in the rows.
        reference: Calibrated rows without conditions.
        options: Hyper-parameters.
    """

    def __init__(
        self,
        columns: Sequence[Cells],
        values: ValueCalibration,
        reference: EncodedTable,
        options: CalibrationOptions = DEFAULT,
    ):
        self._columns, self._values, self._options = columns, values, options
        self._codes = reference.codes.numpy().T.copy()  # a column's rows side by side
        self._reference = [cells.astype(np.int32) for cells in self._coarse(reference)]

    def candidates(self, rows: int) -> int:
        """From how many rows generated for a condition so many are to be chosen."""
        options = self._options
        return max(options.candidates * rows, options.min_candidates) if rows else 0

    def choose(
        self,
        candidates: EncodedTable,
        rows: int,
        allowed: Mapping[int, np.ndarray],
        random: torch.Generator,
    ) -> EncodedTable:
        """Calibrated rows.

        Args:
            candidates: Rows that meet the condition; changed in place.
            rows: How many of them.
            allowed: The condition: by index of the column, the codes it may have.
            random: Source of the choice among them, and of their values.
        """
        if not rows:
            return candidates.rows(slice(0))
        self._values.apply(candidates, random, kept=allowed)
        weights = self._weights(allowed, self._coarse(candidates), len(candidates) / rows)
        return candidates.rows(torch.from_numpy(systematic(weights, rows, uniform(1, random)[0])))

    def _weights(
        self, allowed: Mapping[int, np.ndarray], cells: list[np.ndarray], most: float
    ) -> np.ndarray:
        """Of candidates, from their coarse cells; none exceeds ``most`` times the mean."""
        alike = np.ones(self._codes.shape[1], dtype=bool)
        for place, codes in allowed.items():
            own = self._codes[place]
            alike &= own == codes[0] if len(codes) == 1 else np.isin(own, codes)
        there = np.flatnonzero(alike)
        free = [
            place for place in range(len(cells)) if place not in allowed or len(allowed[place]) > 1
        ]
        if not len(there) or not free:
            return np.ones(len(cells[0]))
        certain = len(there) / (len(there) + self._options.reference_prior)
        goals = []
        for place in free:
            width = len(self._columns[place].frequencies)
            known = np.bincount(self._reference[place][there], minlength=width) / len(there)
            have = np.bincount(cells[place], minlength=width) / len(cells[place])
            goals.append(certain * known + (1 - certain) * have)
        return rake([cells[place] for place in free], goals, most, self._options)

    def _coarse(self, table: EncodedTable) -> list[np.ndarray]:
        return [column.coarse[column.of(table)] for column in self._columns]
