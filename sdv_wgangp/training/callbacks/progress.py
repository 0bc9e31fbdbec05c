"""A progress bar with the losses, the speed, and the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import std
from tqdm.auto import tqdm

# What the text before the bar says while the model is at something.
STAGES = {
    "encoding": "Encoding",
    "training": "Training",
    "validation": "Validating",
    "calibration": "Calibrating",
}
WITHOUT_STEPS = "{desc} [{elapsed}]"


class ProgressBar:
    """Draws one bar over the steps of a training, and says what else the model is doing.

    It is drawn anew as often as tqdm draws (ten times a second; ``TQDM_MININTERVAL`` changes it,
    too), and only then are losses fetched from the device. With a limit of time the length of the
    bar is the number of steps that there will be at the pace so far. Where nothing can be written
    any more (a closed terminal, a broken pipe) the bar ends, the training goes on.

    Within ``with`` the bar stays for what follows the training (calibration); otherwise it ends
    with the training.

    Args:
        disable: Draw nothing.
        min_interval: Seconds from one drawing to the next, at least; None for tqdm's own.

    Example:
        >>> from types import SimpleNamespace
        >>> with ProgressBar(disable=True) as progress:
        ...     progress.on_stage("encoding")
    """

    def __init__(self, *, disable: bool = False, min_interval: float | None = None):
        self._disable, self._min_interval = disable, min_interval
        self._bar: Any = None
        self._stream: _Stream | None = None
        self._within = False
        self._stage, self._score = "", ""
        self._epoch_speed = 0.0

    # ----------------------------------------------------------------- what it is told

    def on_stage(self, name: str) -> None:
        """Say what the model begins with."""
        self._stage = STAGES.get(name, name.capitalize())
        if self._bar is None:
            self._open(None, 0)
        if self._bar is not None:
            self._bar.set_description_str(self._stage, refresh=True)
            self._look()

    def on_fit_begin(self, run: Any) -> None:
        """Begin the bar where the training is."""
        self._close(leave=False)
        self._stage = self._stage if self._within and self._stage else "Training"
        self._score = ""
        for log in run.logs:
            self._read(log)
        self._open(expected_steps(run), run.step)

    def on_step(self, run: Any) -> None:
        """Draw the bar, if it is time."""
        bar = self._bar
        # tqdm's own condition, so that nothing is fetched for a bar that is not drawn.
        if bar is None or time.time() - bar.last_print_t < bar.mininterval:
            return
        self._draw(run, {} if run.losses is None else run.losses.floats())

    def on_epoch(self, run: Any) -> None:
        """Note the score of held-out rows."""
        self._read(run.logs[-1])

    def on_fit_end(self, run: Any) -> None:
        """Draw the bar as it is at the end; finish it, unless it is used within ``with``."""
        if self._bar is not None:
            # An epoch's means say more than the last step.
            self._draw(run, run.logs[-1].losses if run.logs else {})
        if not self._within:
            self._close()

    def __enter__(self) -> ProgressBar:
        self._within = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._within = False
        self._close()

    # ----------------------------------------------------------------- the bar

    def _open(self, total: int | None, step: int) -> None:
        if self._disable or sys.stderr is None:
            return
        options: dict[str, Any] = {"bar_format": WITHOUT_STEPS} if total is None else {}
        if self._min_interval is not None:
            options["mininterval"] = self._min_interval
        if _IN_TERMINAL:  # a notebook draws by other means
            self._stream = _Stream(sys.stderr)
            options["file"] = self._stream
        self._bar = tqdm(
            total=total,
            initial=step,
            unit="step",
            desc=self._stage,
            miniters=1,
            dynamic_ncols=True,
            **options,
        )
        if self._bar.disable:  # by TQDM_DISABLE
            self._bar = None
            return
        self._look()

    def _draw(self, run: Any, losses: Mapping[str, float]) -> None:
        bar = self._bar
        bar.total = max(expected_steps(run), run.step)
        bar.set_postfix_str(self._text(losses, run), refresh=False)
        if not bar.update(run.step - bar.n):
            bar.refresh()
        self._look()

    def _text(self, losses: Mapping[str, float], run: Any) -> str:
        totals: dict[str, float] = {}
        for name, value in losses.items():
            part = name.split("/")[0]
            part = "meta-features" if part == "meta_features" else part
            totals[part] = totals.get(part, 0.0) + value
        said = [
            f"{part} {value:{'.2g' if part == 'meta-features' else '+.3f'}}"
            for part, value in totals.items()
        ]
        # tqdm's own average of the steps a second, which forgets as it goes.
        rate = self._bar.format_dict["rate"]
        speed = rate * run.source.rows_per_step if rate else self._epoch_speed
        if speed:
            said.append(f"{speed:,.0f} rows/s")
        return ", ".join(said) + self._score

    def _read(self, log: Any) -> None:
        self._epoch_speed = log.rows_per_second
        if log.validation_score is not None:
            self._score = f", held-out score {log.validation_score:.3f}"

    def _look(self) -> None:
        """Part with a bar that cannot be drawn."""
        if self._bar is not None and self._stream is not None and self._stream.broken:
            self._bar.disable = True  # for its own end
            self._bar = None
            self._disable = True

    def _close(self, leave: bool = True) -> None:
        if self._bar is not None:
            self._bar.leave = leave
            self._bar.close()
            self._bar = None


class _Stream:
    """A stream of text whose errors are noted, not raised."""

    def __init__(self, stream: Any):
        self._stream, self.broken = stream, False

    def write(self, text: str) -> int:
        return self._tried(self._stream.write, text) or 0

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def _tried(self, call: Any, *arguments: str) -> Any:
        if self.broken:
            return None
        try:
            return call(*arguments)
        except (OSError, ValueError):  # a broken pipe; a closed file
            self.broken = True
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def expected_steps(run: Any) -> int:
    """Steps that the training will have in all."""
    most = run.epochs * run.source.steps_per_epoch
    # What a run had made before its schedule began does not count there.
    before = run.step - run.schedule.steps
    return min(most, before + run.schedule.expected_steps)


_IN_TERMINAL = tqdm.display is std.tqdm.display
