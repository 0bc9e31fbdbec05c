"""What every tracker of trainings logs, and when; where it goes is a subclass's matter.

The number of the step is the x axis of everything. Names are

* ``losses/NAME``: each loss of the step;
* ``gradient_norms/PLAYER``: of all its weights together, as the optimizer got them;
* ``rates/PLAYER``: learning rate;
* ``speed/rows_per_second``: real rows that critics saw, since the point before;
* ``epoch/NAME``: means over an epoch: each loss, and the totals "generator_loss",
  "discriminator_loss", "gradient_penalty"; "validation_score" where there is one;
  "rows_per_second"; norms and rates of the last step.

**After a training was killed and continues from a checkpoint, every step stands there once.** A
checkpoint asks for `Tracker.state_dict`, which puts all points up to that step on the disk; what
was written after the checkpoint is removed when the training continues from it. A training that
begins anew keeps what an earlier one left, apart.

Where points cannot be written (the disk is full) a warning says so, once for each reason, and the
training goes on. They are kept, also in checkpoints, and written as soon as that is possible.
"""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdv_wgangp.persistence.durable import write_durably
from sdv_wgangp.training.callbacks.figures import Draw, drawn, figures_of, have_matplotlib
from sdv_wgangp.training.optimizers import gradient_norm

logger = logging.getLogger(__name__)
# Points are written together: so many of them, or those of so many seconds.
MOST_PENDING, LONGEST_PENDING = 64, 2.0


class Point(NamedTuple):
    """Values of one step.

    Attributes:
        step: From 1.
        values: By name.
        epoch: Of an epoch's values, from 0; None for a step's.
    """

    step: int
    values: dict[str, float]
    epoch: int | None = None


class Beyond(NamedTuple):
    """Where a training continues: what was logged beyond this goes.

    An epoch is finished after its last step was made, so of that step the step's values can be
    known to a checkpoint whose epoch is not.

    Attributes:
        step: The last step that counts.
        epoch_step: Last step of the last epoch that counts; 0 if there is none.
    """

    step: int
    epoch_step: int

    def keeps(self, step: int, name: str) -> bool:
        """Whether a value was known where the training continues."""
        if name.startswith("final/"):
            return False
        of_epoch = name.startswith(("epoch/", "figures/"))
        return step <= (self.epoch_step if of_epoch else self.step)


class Tracker:
    """Base of trackers.

    Args:
        every_steps: Log the values of every so many steps.
        figures_every: Epochs between two sets of figures; there is one at the end, too.
        figures: Functions of the run that return a `matplotlib.figure.Figure`, by name; beside
            those that the model gives.

    Raises:
        ValueError: A number is no positive integer.
    """

    def __init__(
        self,
        every_steps: int = 10,
        figures_every: int = 10,
        figures: Mapping[str, Draw] | None = None,
    ):
        for name, value in (("every_steps", every_steps), ("figures_every", figures_every)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        self.every_steps, self.figures_every = every_steps, figures_every
        self.figures = dict(figures or {})
        self._id: str | None = None
        self._loaded = False
        self._run: Any = None  # while it trains
        self._step, self._epochs, self._drawn = 0, 0, -1
        self._pending: list[_Pending] = []
        self._unwritten: list[Point] = []  # that could not be written yet
        self._warned: set[Any] = set()
        self._written = self._told = 0.0
        self._told_step = 0
        self._last: dict[str, float] = {}  # of the players in the last step

    # ----------------------------------------------------------------- a subclass's part

    def open(self, run: Any, beyond: Beyond | None) -> None:
        """Begin to track a run.

        Args:
            beyond: The run continues: remove what lies beyond. None if it is tracked for the
                first time.
        """
        raise NotImplementedError

    def write(self, points: Sequence[Point]) -> None:
        """Write points, in the order of their steps.

        Raises:
            OSError: None of them stays written; they are given again.
        """
        raise NotImplementedError

    def write_figure(self, name: str, figure: Any, step: int) -> None:
        """Write a figure of matplotlib's."""
        raise NotImplementedError

    def sync(self) -> None:
        """Return when all that was written outlives the process."""
        raise NotImplementedError

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        """The training is over, with these scores; close what is open."""
        raise NotImplementedError

    # ----------------------------------------------------------------- what it is told

    def on_fit_begin(self, run: Any) -> None:
        """Begin, or continue where the run is."""
        known = self._id is not None
        continued = known and (self._loaded or 0 < run.step == self._step)
        if not continued:
            self._id = uuid.uuid4().hex
        self._loaded, self._run = False, run
        self._step, self._epochs = run.step, len(run.logs)
        if not continued or self._drawn > run.step:
            self._drawn = -1
        self._pending.clear()
        self._warned.clear()
        if not continued:
            self._unwritten = []
        self._told, self._told_step = time.perf_counter(), run.step
        self._written = self._told
        last = run.logs[-1].step if run.logs else 0
        self.open(run, Beyond(run.step, last) if continued else None)
        self._log([])

    def on_step(self, run: Any) -> None:
        """Note the values of the step; they stay on the device for a while."""
        self._note_step(run)
        now = time.perf_counter()
        if len(self._pending) >= MOST_PENDING or (
            self._pending and now - self._written > LONGEST_PENDING
        ):
            self._write_pending()

    def on_epoch(self, run: Any) -> None:
        """Write the epoch's values, and figures if it is time."""
        self._note_epochs(run)

    def on_fit_end(self, run: Any) -> None:
        """Write what is left, the figures of the end, and the final scores."""
        if self._run is None:  # it never began
            return
        try:
            if run.whole:
                self._note_step(run)
                self._note_epochs(run)
                if run.logs:
                    self._draw(run, run.logs[-1].step)
            self._write_pending()
            self._last = self._of_players(run)
        finally:
            self._run = None
            try:
                self.finish(final_scores(run), run.step)
            except OSError as error:
                self._warn(error)

    def state_dict(self) -> dict[str, Any]:
        """Which training this is. All that the run has come to is on the disk, or in the state."""
        if self._run is not None:
            # A checkpoint may be told of a step before the tracker is.
            self._note_step(self._run)
            self._note_epochs(self._run)
            self._write_pending()
            try:
                self.sync()
            except OSError as error:
                self._warn(error)
            self._last = self._of_players(self._run)
        return {
            "id": self._id or "",
            "step": self._step,
            "last": dict(self._last),
            "drawn": self._drawn,
            "unwritten": [[step, dict(values), epoch] for step, values, epoch in self._unwritten],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue that training."""
        self._id, self._step = state["id"] or None, state["step"]
        self._last, self._drawn = dict(state["last"]), state["drawn"]
        self._unwritten = [Point(*each) for each in state["unwritten"]]
        self._loaded = self._id is not None

    # ----------------------------------------------------------------- values

    def _note_step(self, run: Any) -> None:
        if run.step <= self._step:
            return
        self._step = run.step
        if run.step % self.every_steps == 0 and run.losses is not None:
            now = time.perf_counter()
            rows = (run.step - self._told_step) * run.source.rows_per_step
            more = {f"rates/{name}": each.rate for name, each in run.optimizers.items()}
            more["speed/rows_per_second"] = rows / max(now - self._told, 1e-9)
            self._told, self._told_step = now, run.step
            self._pending.append(_Pending.of(run, more))

    def _note_epochs(self, run: Any) -> None:
        if self._epochs >= len(run.logs):
            return
        of_players = self._of_players(run)
        self._write_pending()
        points = []
        for log in run.logs[self._epochs :]:
            values = epoch_values(log) | {f"epoch/{n}": v for n, v in of_players.items()}
            points.append(Point(log.step, values, log.epoch))
        self._epochs = len(run.logs)
        self._log(points)
        if run.epoch % self.figures_every == 0:
            self._draw(run, run.logs[-1].step)
        self._written = time.perf_counter()

    def _of_players(self, run: Any) -> dict[str, float]:
        """Norms and rates of the last step, also of one before this process."""
        if not run.gradients:
            return self._last
        norms = {f"gradient_norms/{name}": float(norm) for name, norm in _norms(run).items()}
        return norms | {f"rates/{name}": each.rate for name, each in run.optimizers.items()}

    def _write_pending(self) -> None:
        pending, self._pending = self._pending, []
        self._written = time.perf_counter()
        if pending:
            self._log(_Pending.points(pending))

    def _log(self, points: Sequence[Point]) -> None:
        """Write points, after those that could not be written before."""
        self._unwritten += points
        if self._unwritten:
            try:
                self.write(self._unwritten)
            except OSError as error:
                self._warn(error)
            else:
                self._unwritten = []

    def _warn(self, error: OSError) -> None:
        if error.errno not in self._warned:
            self._warned.add(error.errno)
            warnings.warn(
                f"{type(self).__name__} cannot write: {error.strerror or error}; the training "
                "goes on, and what was not written is tried again",
                stacklevel=2,
            )

    def _draw(self, run: Any, step: int) -> None:
        figures = figures_of(run, self.figures)
        if step == self._drawn or not figures:
            return
        self._drawn = step
        if not have_matplotlib():  # where a tracker needs it, it says so when it is made
            logger.warning("No figures are drawn: pip install matplotlib")
            return
        for name, draw in figures.items():
            figure = drawn(run, draw)
            try:
                self.write_figure(name, figure, step)
            except OSError as error:
                self._warn(error)


class _Pending(NamedTuple):
    """Values of a step that are on the device still."""

    step: int
    names: tuple[str, ...]
    values: Tensor
    more: dict[str, float]

    @classmethod
    def of(cls, run: Any, more: dict[str, float]) -> _Pending:
        norms = _norms(run)
        names = tuple(f"losses/{name}" for name in run.losses.names)
        names += tuple(f"gradient_norms/{name}" for name in norms)
        # A copy: a graph writes every step's losses to the same place.
        values = torch.cat([run.losses.values, *(norm.reshape(1) for norm in norms.values())])
        return cls(run.step, names, values, more)

    @classmethod
    def points(cls, pending: Sequence[_Pending]) -> list[Point]:
        """All of them, fetched from the device at once."""
        fetched = torch.cat([each.values for each in pending]).tolist()
        points, at = [], 0
        for step, names, _, more in pending:
            own = fetched[at : at + len(names)]
            at += len(names)
            points.append(Point(step, dict(zip(names, own, strict=True)) | more))
        return points


def _norms(run: Any) -> dict[str, Tensor]:
    return {
        name: gradient_norm(gradients)
        for name, gradients in run.gradients.items()
        if any(gradient is not None for gradient in gradients)
    }


def epoch_values(log: Any) -> dict[str, float]:
    """The values of an `EpochLog`, by the names of trackers."""
    values = {f"epoch/{name}": value for name, value in log.losses.items()}
    for name in ("generator_loss", "discriminator_loss", "gradient_penalty", "rows_per_second"):
        values[f"epoch/{name}"] = getattr(log, name)
    if log.validation_score is not None:
        values["epoch/validation_score"] = log.validation_score
    return {name: value for name, value in values.items() if not math.isnan(value)}


def final_scores(run: Any) -> dict[str, float]:
    """What a training has come to: the last epoch's means, and the last held-out score."""
    scores: dict[str, float] = {"steps": run.step, "epochs": run.epoch}
    if run.logs:
        scores |= {
            name.removeprefix("epoch/"): value
            for name, value in epoch_values(run.logs[-1]).items()
        }
        known = [log.validation_score for log in run.logs if log.validation_score is not None]
        if known:
            scores["validation_score"] = known[-1]
    return scores


# --------------------------------------------------------------------------- for subclasses


def needs(tracker: str, extra: str, *modules: str) -> None:
    """Check that packages are installed.

    Raises:
        ImportError: One is missing; says what to install.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"{tracker} needs {' and '.join(missing)}: pip install 'sdv-wgangp[{extra}]'"
        )


def plain(value: Any) -> Any:
    """A hyper-parameter as what JSON knows."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a number of numpy's
        return value.item()
    return str(value)


def write_json(path: Path, value: Any) -> None:
    """Write, so that a reader finds the whole file or the one before."""
    write_durably(path, (json.dumps(value, indent=2) + "\n").encode())


def claim(folder: Path, marker: str, identity: str, continued: bool, own: Sequence[str]) -> bool:
    """Make a folder the place of one training.

    What another training left there is moved to ``folder/earlier-N``.

    Args:
        marker: Name of the file that says whose the folder is.
        identity: Of the training.
        continued: Whether it was tracked before.
        own: Patterns of the files that are a tracker's.

    Returns:
        Whether the training's earlier files are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / marker
    before = mark.read_text(encoding="utf-8").strip() if mark.exists() else None
    if continued and before == identity:
        return True
    if continued:
        logger.warning("%s does not hold what was tracked of this training before", folder)
    found = sorted({path for pattern in own for path in folder.glob(pattern)})
    if found:
        number = 1
        while (earlier := folder / f"earlier-{number}").exists():
            number += 1
        logger.warning("%s holds another training: it is moved to %s", folder, earlier)
        earlier.mkdir()
        for path in found:
            path.rename(earlier / path.name)
    mark.write_text(identity + "\n", encoding="utf-8")
    return False
