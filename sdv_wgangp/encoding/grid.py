"""Steps that all values of a column keep to, learned where chance does not explain them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

# How often a column without steps may seem to have some.
CHANCE = 1e-6
# Beyond it, floats skip whole numbers.
MOST_UNITS = 2.0**53
# Denominators of fractions without finitely many decimals that are tried, on so many values.
MOST_PARTS = 1000
TRIAL_VALUES = 30

SECOND = 10**9
DAY = 24 * 3600 * SECOND
# Lengths of time that people measure in, nanoseconds. All dates of a column are read to one of the
# first; to begin at one of the last says more than any other common step.
RESOLUTIONS = (1, 10**3, 10**6, SECOND)
UNITS = (SECOND, 60 * SECOND, 3600 * SECOND, DAY)
DAYS_OF_MONTH = 28
LEAST_INT64 = -(2**63)
# The months whose beginning and end nanoseconds reach.
MONTHS = (np.datetime64("1678-01", "ns"), np.datetime64("2262-01", "ns"))


@dataclass(frozen=True)
class Grid:
    """The values ``(first + k * step) / scale`` with whole ``k``.

    Attributes:
        first: Smallest value, in units of ``1 / scale``.
        step: Units from a value to the next.
        scale: Units in 1; 1.0 for integers, which are handled in integer arithmetic.

    Example:
        >>> quarters = Grid.of(np.arange(1, 200, 3) / 4)
        >>> quarters
        Grid(first=25, step=75, scale=100.0)
        >>> quarters.snap(np.array([0.3, 0.9])).tolist()
        [0.25, 1.0]
    """

    first: int
    step: int
    scale: float = 1.0

    @classmethod
    def of(cls, values: np.ndarray, precision: np.dtype | None = None) -> Grid | None:
        """The coarsest grid with all values on it; None where there is none but by chance.

        Args:
            values: The distinct values of a column, ascending, shape ``[n]``; float64, int64 or
                uint64.
            precision: The dtype of floats that the values come from and go back to.
        """
        if len(values) < 2:
            return None
        if values.dtype.kind != "f":
            step = common_divisor(values)
            return cls(int(values[0]), step) if is_evident(step, len(values)) else None
        precision = values.dtype if precision is None else precision
        decimals = decimals_of(values, precision)
        scale = parts_of(values, precision) if decimals is None else 10.0**decimals
        if scale is None:
            return None
        units = np.rint(values * scale)
        if np.abs(units).max() >= MOST_UNITS:
            return None
        step = common_divisor(units.astype(np.int64))
        if decimals is not None and not is_evident(step, len(values)):
            return None
        return cls(int(units[0]), step, scale)

    def snap(self, values: np.ndarray) -> np.ndarray:
        """The value of the grid next to each, of the same dtype and shape.

        Args:
            values: Integers of at least ``first``, or any floats.
        """
        if values.dtype.kind == "f":
            steps = np.rint((values * self.scale - self.first) / self.step)
            return (steps * self.step + self.first) / self.scale
        # Unsigned, modulo 2**64: the range of an integer column may exceed its dtype.
        first = np.array(self.first, dtype=values.dtype).astype(np.uint64)
        step = np.uint64(self.step)
        steps, rest = np.divmod(values.astype(np.uint64) - first, step)
        steps += rest > step - rest
        return (first + steps * step).astype(values.dtype)


def decimals_of(values: np.ndarray, precision: np.dtype, most: int = 12) -> int | None:
    """Smallest number of decimals that all values have, or None.

    Floats of less than 64 bits have so many if decimals are what they were rounded from. At their
    last digits some decimals always are, so these have to be more than chance.

    Args:
        values: Distinct values, shape ``[n]``; integers have no decimals to learn.
        precision: The dtype of floats that the values come from.
        most: Decimals that are tried.
    """
    if values.dtype.kind != "f":
        return None
    some = _spread(values)
    for decimals in range(most + 1):
        if not _have_decimals(some, decimals, precision):
            continue
        if np.array_equal(np.round(values, decimals), values):
            return decimals
        if precision != np.float64 and _have_decimals(values, decimals, precision):
            own = np.abs(values[values != 0]).astype(precision)
            hit = np.spacing(own).astype(np.float64) * 10.0**decimals
            return decimals if np.log(np.minimum(hit, 1)).sum() <= np.log(CHANCE) else None
    return None


def _have_decimals(values: np.ndarray, decimals: int, precision: np.dtype) -> bool:
    rounded = np.round(values, decimals).astype(precision)
    return np.array_equal(rounded, values.astype(precision))


def _spread(values: np.ndarray) -> np.ndarray:
    """A few of the values, with which most of what does not hold for all is soon seen."""
    return values[:: max(1, len(values) // TRIAL_VALUES)]


def parts_of(values: np.ndarray, precision: np.dtype) -> float | None:
    """The whole number of equal parts of 1 that all values are made of, or None.

    Args:
        values: Distinct floats of an unlimited number of decimals, shape ``[n]``.
        precision: The dtype of floats that the values come from.
    """
    error = 2 * float(np.spacing(np.abs(values).max().astype(precision)))
    parts = np.arange(2.0, MOST_PARTS + 1)
    whole = _spread(values)[:, None] * parts
    fits = (np.abs(whole - np.rint(whole)) <= error * parts).all(axis=0)
    chance = len(values) * np.log(np.minimum(4 * error * parts, 1)) <= np.log(CHANCE)
    for scale in parts[fits & chance]:
        units = values * scale
        if (np.abs(units - np.rint(units)) <= error * scale).all():
            return float(scale)
    return None


@dataclass(frozen=True)
class DateGrid:
    """Dates in steps of a length of time, or of months.

    Attributes:
        steps: Grid of nanoseconds since 1970, or of months since then.
        shift: None for lengths of time; nanoseconds from the beginning of a month to its date,
            or, negative, from its date to its end.
        zone: Where the clock shows these steps; None for dates without a zone and for UTC.

    Example:
        >>> days = pd.date_range("2001-01-01", periods=50, freq="MS").asi8
        >>> months = DateGrid.of(days)
        >>> months.snap(days + 3 * DAY).tolist() == days.tolist()
        True
    """

    steps: Grid
    shift: int | None = None
    zone: pd.DatetimeTZDtype | None = None

    @classmethod
    def of(cls, values: np.ndarray, zone: pd.DatetimeTZDtype | None = None) -> DateGrid | None:
        """The coarsest grid with all dates on it; None where there is none but by chance.

        Args:
            values: Distinct nanoseconds since 1970 in UTC, int64, ascending, shape ``[n]``.
            zone: Where the dates come from; steps on the clock there come before those of UTC.
        """
        found = cls._of_clock(values, None)
        if zone is None:
            return found
        clock = np.sort(_on_clock(values, zone), kind="stable")  # in order but for hours set back
        there = cls._of_clock(clock[np.append(True, np.diff(clock) > 0)], zone)
        if there is None or (found is not None and found._length() > there._length()):
            return found
        return there

    @classmethod
    def _of_clock(cls, values: np.ndarray, zone: pd.DatetimeTZDtype | None) -> DateGrid | None:
        in_months = cls._of_months(values, zone)
        if in_months is not None:
            return in_months
        steps = duration_grid(values)
        return None if steps is None else cls(steps, zone=zone)

    @classmethod
    def _of_months(cls, values: np.ndarray, zone: pd.DatetimeTZDtype | None) -> DateGrid | None:
        """The same day and time of months, counted from their beginning or from their end."""
        first, last = values[[0, -1]].view("M8[ns]")
        if first < MONTHS[0] or last > MONTHS[1] or not is_evident(DAYS_OF_MONTH, len(values)):
            return None
        for after in (0, 1):
            if np.ptp(_within_month(_spread(values), after)[1]):
                continue
            months, shift = _within_month(values, after)
            if not np.ptp(shift):
                step = common_divisor(months)
                step = step if is_evident(step, len(months)) else 1
                return cls(Grid(int(months[0]), step), int(shift[0]), zone)
        return None

    def _length(self) -> int:
        return self.steps.step * (1 if self.shift is None else DAYS_OF_MONTH * DAY)

    def _back_to(self, least: int) -> Grid:
        """The same steps of time from a date on that lies before ``least``, if int64 has it."""
        first, step = self.steps.first, self.steps.step
        first -= -(-(first - least) // step) * step
        return replace(self.steps, first=first if first >= LEAST_INT64 else first + step)

    def snap(self, values: np.ndarray) -> np.ndarray:
        """The date of the grid next to each, nanoseconds in UTC, shape ``[n]``.

        Args:
            values: Nanoseconds in UTC, int64; also beyond the dates that were learned.
        """
        clock = values if self.zone is None else _on_clock(values, self.zone)
        if self.shift is None:
            steps = self._back_to(int(clock.min(initial=self.steps.first)))
            clock = steps.snap(np.maximum(clock, steps.first))
        else:
            moved = clock - self.shift
            months = moved.view("M8[ns]").astype("M8[M]").astype(np.int64)
            begin, end = _beginnings(months), _beginnings(months + 1)
            parts = months + (moved - begin) / (end - begin)
            clock = _beginnings(self.steps.snap(parts).astype(np.int64)) + self.shift
        if self.zone is None:
            return clock
        local = pd.DatetimeIndex(clock.view("M8[ns]")).tz_localize(
            self.zone.tz, ambiguous=np.ones(len(clock), bool), nonexistent="shift_forward"
        )
        return nanoseconds(local)


def duration_grid(values: np.ndarray) -> Grid | None:
    """The steps of times in nanoseconds; None for single nanoseconds and for one time.

    A resolution like milliseconds is taken as it is; coarser steps need evidence.

    Args:
        values: Distinct times, int64, ascending, shape ``[n]``.
    """
    step = common_divisor(values)
    if not step:
        return None
    first, count = int(values[0]), len(values)
    unit = read = max(unit for unit in RESOLUTIONS if step % unit == 0 and first % unit == 0)
    for longer in UNITS:
        # To begin at whole units is one more coincidence for each of the values.
        alike = count + 2 if first % longer == 0 else count
        if step % longer == 0 and is_evident(longer // read, alike):
            unit = longer
    if is_evident(step // unit, count):
        unit = step
    return Grid(first, unit) if unit > 1 else None


def nanoseconds(times: pd.DatetimeIndex | pd.TimedeltaIndex) -> np.ndarray:
    """Since 1970 in UTC, or of lengths of time, none of which is missing: int64 ``[n]``.

    Example:
        >>> int(nanoseconds(pd.DatetimeIndex(["1970-01-01"], tz="Etc/GMT+1"))[0]) == 3600 * SECOND
        True
    """
    return times.as_unit("ns").to_numpy(f"{times.dtype.kind}8[ns]").view(np.int64)


def common_divisor(values: np.ndarray) -> int:
    """The greatest that all differences have; 0 where there is one value only.

    Args:
        values: Distinct int64 or uint64, ascending, shape ``[n]``.
    """
    gaps = np.diff(values.astype(np.uint64))
    divisor = 0
    for start in range(0, len(gaps), 1024):
        divisor = int(np.gcd.reduce(gaps[start : start + 1024], initial=np.uint64(divisor)))
        if divisor == 1:
            break
    return divisor


def is_evident(step: int, values: int) -> bool:
    """Whether so many distinct values without steps would hardly have one so long in common.

    Two values always have one, and each other one has it, too, by a chance of ``1 / step``.
    """
    return step > 1 and (values - 2) * np.log(step) >= -np.log(CHANCE)


def _on_clock(values: np.ndarray, zone: pd.DatetimeTZDtype) -> np.ndarray:
    """What clocks in a zone show, as if it were UTC."""
    there = pd.DatetimeIndex(values.view("M8[ns]"), tz="UTC").tz_convert(zone.tz)
    return nanoseconds(there.tz_localize(None))


def _within_month(values: np.ndarray, after: int) -> tuple[np.ndarray, np.ndarray]:
    """The months of dates, or those after them; and nanoseconds from their beginning."""
    months = values.view("M8[ns]").astype("M8[M]").astype(np.int64) + after
    return months, values - _beginnings(months)


def _beginnings(months: np.ndarray) -> np.ndarray:
    """Nanoseconds at which months since 1970 begin."""
    return months.view("M8[M]").astype("M8[ns]").view(np.int64)
