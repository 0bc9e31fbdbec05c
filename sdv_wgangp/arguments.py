"""Checks of arguments; the errors name them."""

from __future__ import annotations

import math
import numbers

from sdv.errors import SynthesizerInputError


def is_whole(value, least: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def check_not_negative(name: str, value) -> None:
    if not is_number(value) or value < 0:
        raise SynthesizerInputError(
            f"{name} must be a finite number of at least 0, not {value!r}."
        )


def check_fraction(name: str, value, most: float) -> None:
    if not is_number(value) or not 0 < value <= most:
        raise SynthesizerInputError(f"{name} must be in (0, {most:g}], not {value!r}.")
