"""Progress, and the factors of the learning rates along it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdv_wgangp.training.schedule import Schedule


class Clock:
    def __init__(self):
        self.now = 7.0

    def __call__(self):
        return self.now


def step(schedule, parts=1):
    """Factors of the parts of a step, which is then made."""
    factors = schedule.factors(parts)
    schedule.advance()
    return factors


def run(schedule, clock=None, pauses=()):
    """Factors of all steps, one part each, with a pause after every step."""
    factors, pauses = [], iter(pauses)
    while not schedule.done:
        factors += step(schedule)
        if clock is not None:
            clock.now += next(pauses, 1.0)
    return factors


def test_constant_for_half_of_the_steps_then_down_to_zero():
    schedule = Schedule(8)
    assert run(schedule) == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert schedule.steps == 8
    assert step(schedule, 2) == [0, 0]


def test_parts_of_a_step_lie_between_the_steps():
    schedule = Schedule(4)
    factors = [step(schedule, 2) for _ in range(4)]
    assert factors == [[1, 1], [1, 1], [1, 0.75], [0.5, 0.25]]


def test_no_steps():
    assert Schedule(0).done


def test_time_takes_the_place_of_steps_where_it_is_short():
    clock = Clock()
    schedule = Schedule(1000, seconds=8.0, clock=clock)
    assert run(schedule, clock) == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_a_limit_counts_from_when_it_is_set():
    clock = Clock()
    schedule = Schedule(1000, clock=clock)
    assert not schedule.limited
    clock.now += 100.0
    schedule.limit(8.0)
    assert schedule.limited
    assert run(schedule, clock) == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_a_decay_that_begins_elsewhere():
    assert run(Schedule(8, decay_from=0.75)) == [1] * 7 + [0.5]
    assert run(Schedule(4, decay_from=0.0)) == [1, 0.75, 0.5, 0.25]
    assert run(Schedule(4, decay_from=1.0)) == [1] * 4


@pytest.mark.parametrize("hastened", [False, True])
@pytest.mark.parametrize("seconds", [None, 70.0])
def test_a_state_continues_where_it_was(hastened, seconds):
    """Of a limit of time, what was left counts: the time in between does not."""
    factors = []
    for interrupted in (False, True):
        clock = Clock()
        schedule = Schedule(100, seconds, clock)
        factors.append([])
        while not schedule.done:
            factors[-1] += step(schedule)
            clock.now += 1.0
            if hastened and schedule.steps == 40:
                schedule.hasten()
            if interrupted and schedule.steps == 45:
                state = schedule.state_dict()
                clock.now += 1000.0
                # Made for less than what is loaded, and without a limit.
                schedule = Schedule(7, clock=clock)
                schedule.load_state_dict(state)
    assert factors[0] == pytest.approx(factors[1])
    assert 45 < len(factors[0]) <= 100


def test_what_has_no_limit_has_none_after_loading():
    schedule = Schedule(10, seconds=5.0)
    schedule.load_state_dict(Schedule(10).state_dict())
    assert not schedule.limited


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
    assert clock.now - started <= seconds + longest + 1e-6  # what rounding of the clock may hide


def test_a_hastened_decay_takes_a_quarter_of_the_steps_made():
    schedule = Schedule(100)
    assert [step(schedule)[0] for _ in range(40)] == [1] * 40
    schedule.hasten()
    assert run(schedule) == pytest.approx([1 - step / 10 for step in range(10)])
    assert schedule.steps == 50


def test_every_decay_ends_the_last_phase():
    plain, hastened = Schedule(100), Schedule(100)
    phases = []
    for schedule in (plain, hastened):
        phases.append([])
        while not schedule.done:
            step(schedule)
            phases[-1].append(schedule.phase)
            if schedule is hastened and schedule.steps == 40:
                schedule.hasten()
    assert phases[0] == pytest.approx([step / 100 for step in range(1, 101)])
    assert phases[1][:40] == phases[0][:40]
    assert phases[1][40:] == pytest.approx([0.5 + step / 20 for step in range(1, 11)])


def test_rates_that_are_falling_fall_faster_from_where_they_are():
    schedule = Schedule(100)
    for _ in range(80):
        step(schedule)
    schedule.hasten()
    # From .4 to 0; from 1 it would have been a fifth of the training.
    assert run(schedule) == pytest.approx([0.4 - step / 20 for step in range(8)])


def test_a_short_decay_is_not_made_longer():
    schedule = Schedule(100)
    for number in range(45):
        step(schedule)
        if number >= 39:
            schedule.hasten()
    assert run(schedule) == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])


@given(steps=st.integers(1, 200), moments=st.lists(st.integers(0, 199), max_size=5))
def test_factors_never_rise_whenever_the_decay_is_hastened(steps, moments):
    schedule, factors = Schedule(steps), []
    while not schedule.done:
        factors += step(schedule)
        if schedule.steps in moments:
            schedule.hasten()
    assert all(one + 1e-9 >= other for one, other in itertools.pairwise(factors))
    assert len(factors) <= steps
    assert step(schedule)[0] == pytest.approx(0)
