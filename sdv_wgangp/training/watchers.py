"""Those who watch a training, and what they are told.

A *callback* is any callable that takes one `training.log.EpochLog`, once an epoch; or an object
with any of these methods, which is then told by them alone:

* ``on_stage(name)``: the model begins with "encoding", "training", "validation", "calibration";
* ``on_fit_begin(run)``: the training begins, or continues;
* ``on_step(run)``: a step was made;
* ``on_epoch(run)``: an epoch was made; ``run.logs[-1]`` is its log;
* ``on_fit_end(run)``: the training is over, for whatever reason;
* ``state_dict()``, ``load_state_dict(state)``: for checkpoints, of what it has to remember.

A callable, ``on_step`` and ``on_epoch`` may return True to end the training in order. If one
raises, the training ends the same way, the model keeps what it has learned, and the error is
raised afterwards.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

logger = logging.getLogger(__name__)
EVENTS = ("on_stage", "on_fit_begin", "on_step", "on_epoch", "on_fit_end")
NUMPY_BOOLS = ("bool", "bool_")


def check_callbacks(callbacks: Sequence[Any]) -> tuple[Any, ...]:
    """The callbacks as a tuple.

    Raises:
        TypeError: One is neither callable nor has a method of a callback; names it.
    """
    if callable(callbacks) or any(hasattr(callbacks, event) for event in EVENTS):
        raise TypeError(f"callbacks must be a list of callbacks, not {callbacks!r}: put it in one")
    callbacks = tuple(callbacks)
    for callback in callbacks:
        if isinstance(callback, type):
            raise TypeError(f"{callback!r} is a class, not a callback: make one of it")
        if not callable(callback) and not any(hasattr(callback, event) for event in EVENTS):
            raise TypeError(
                f"{callback!r} is no callback: give a callable that takes an EpochLog, or an "
                f"object with any of {', '.join(EVENTS)}"
            )
    return callbacks


def tell_stage(callbacks: Sequence[Any], stage: str) -> None:
    """Tell those who want to know what the model begins with."""
    for callback in callbacks:
        if hasattr(callback, "on_stage"):
            callback.on_stage(stage)


class Watchers:
    """The callbacks of one training.

    Args:
        callbacks: In the order in which they are told.
        run: That they watch.
    """

    def __init__(self, callbacks: Sequence[Any], run: Any):
        self.callbacks = check_callbacks(callbacks)
        # The run knows its watchers: in a circle, its tensors would outlive it for a while.
        self._run = weakref.ref(run)
        self._handled = sys.exc_info()[1]  # by our caller, who may train in an except clause
        self._told = {
            event: [getattr(each, event) for each in self.callbacks if hasattr(each, event)]
            for event in EVENTS
        }
        for callback in self.callbacks:
            if not any(hasattr(callback, event) for event in EVENTS):
                self._told["on_epoch"].append(lambda run, own=callback: own(run.logs[-1]))

    def tell(self, event: str) -> None:
        """Tell all of an event; any may end the training by returning True."""
        run = self._run()
        if run is None:
            raise ReferenceError(
                "the run that is watched is gone: keep it until its training ends"
            )
        for told in self._told[event]:
            # Of numpy, too; an array or a frame is not meant.
            if (wish := told(run)) is True or (type(wish).__name__ in NUMPY_BOOLS and wish):
                run.stopped = True

    def end(self) -> None:
        """Tell all that it is over. An error does not keep the others from being told.

        Raises:
            Exception: The first of them, unless another is on its way already.
        """
        first: Exception | None = None
        for told in self._told["on_fit_end"]:
            try:
                told(self._run())
            except Exception as error:
                logger.error("A callback failed at the end of the training: %s", error)
                first = first or error
        if first is not None and sys.exc_info()[1] is self._handled:
            raise first

    # ----------------------------------------------------------------- checkpoints

    def _names(self) -> dict[str, Any]:
        """Those with a state, by their class and their number among its callbacks."""
        named: dict[str, Any] = {}
        for callback in self.callbacks:
            if hasattr(callback, "state_dict"):
                kind = type(callback).__name__
                number = sum(name.split(" ")[0] == kind for name in named)
                named[f"{kind} {number}"] = callback
        return named

    def state_dict(self) -> dict[str, Any]:
        """Of all that have a state."""
        return {name: callback.state_dict() for name, callback in self._names().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`. A callback that was not there begins anew."""
        for name, callback in self._names().items():
            if name in state:
                callback.load_state_dict(state[name])
