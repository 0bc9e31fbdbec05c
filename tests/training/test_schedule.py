"""Progress, and the factors of the learning rates along it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdv_wgangp.training.schedule import Schedule


class Clock:
    def __init__(self):
        self.now = 7.0

    def __call__(self):
        return self.now


def run(schedule, clock=None, pauses=()):
    """Factors of all steps, one part each, with a pause after every step."""
    factors, pauses = [], iter(pauses)
    while not schedule.done:
        factors += schedule.advance(1)
        if clock is not None:
            clock.now += next(pauses, 1.0)
    return factors


def test_constant_for_half_of_the_steps_then_down_to_zero():
    schedule = Schedule(8)
    assert run(schedule) == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert schedule.steps == 8
    assert schedule.advance(2) == [0, 0]


def test_parts_of_a_step_lie_between_the_steps():
    schedule = Schedule(4)
    factors = [schedule.advance(2) for _ in range(4)]
    assert factors == [[1, 1], [1, 1], [1, 0.75], [0.5, 0.25]]


def test_no_steps():
    assert Schedule(0).done


def test_time_takes_the_place_of_steps_where_it_is_short():
    clock = Clock()
    schedule = Schedule(1000, seconds=8.0, clock=clock)
    assert run(schedule, clock) == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_time_that_suffices_changes_nothing():
    clock = Clock()
    assert run(Schedule(8, 8.5, clock), clock) == run(Schedule(8))


def test_a_slow_stretch_is_made_up_for():
    """What was planned at first does not matter: the rates follow the time that is left."""
    clock = Clock()
    factors = run(Schedule(100, 20.0, clock), clock, [1.0] * 5 + [12.0])
    assert factors == pytest.approx([1] * 6 + [0.3, 0.2, 0.1])


@given(
    steps=st.integers(1, 60),
    seconds=st.floats(0.5, 60),
    pauses=st.lists(st.floats(0, 9), max_size=60),
)
def test_factors_never_rise_and_time_is_kept(steps, seconds, pauses):
    clock = Clock()
    started = clock.now
    factors = run(Schedule(steps, seconds, clock), clock, pauses)
    assert factors == sorted(factors, reverse=True)
    assert 1 <= len(factors) <= steps
    assert all(0 <= factor <= 1 for factor in factors)
    longest = max([1.0, *pauses])
    assert clock.now - started <= seconds + longest


def test_a_plateau_begins_a_decay_of_a_quarter():
    schedule = Schedule(100)
    assert [schedule.advance(1)[0] for _ in range(40)] == [1] * 40
    assert not schedule.decaying
    schedule.stop_improving()
    assert schedule.decaying
    assert run(schedule) == pytest.approx([1 - step / 10 for step in range(10)])
    assert schedule.steps == 50


def test_a_plateau_in_the_decay_is_the_end():
    schedule = Schedule(100)
    for _ in range(60):
        schedule.advance(1)
    assert schedule.decaying
    assert not schedule.done
    schedule.stop_improving()
    assert schedule.done
