"""A tracker for TensorBoard."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdv_wgangp.training.callbacks.figures import Draw
from sdv_wgangp.training.callbacks.tracker import Beyond, Point, Tracker, claim, needs, plain

MARKER = ".tensorboard-tracker"
EVENTS = "events.out.tfevents.*"


class TensorBoardTracker(Tracker):
    """Writes event files of one training to a folder: ``tensorboard --logdir FOLDER``.

    Scalars and figures as `training.callbacks.tracker` says; hyper-parameters as text and for the
    HPARAMS page, where they stand beside the final scores.

    Where a training continues, later events are cut off its files, and a running TensorBoard is
    told to forget them. What another training left in the folder is moved to ``earlier-N`` in it,
    where TensorBoard shows it as another run.

    Args:
        folder: Made if it is not there.
        every_steps, figures_every, figures: As for `Tracker`.

    Raises:
        ImportError: TensorBoard or matplotlib is missing; says what to install.
        ValueError: A number is no positive integer.

    Example:
        >>> import tempfile
        >>> tracker = TensorBoardTracker(tempfile.mkdtemp())  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | Path,
        every_steps: int = 10,
        figures_every: int = 10,
        figures: Mapping[str, Draw] | None = None,
    ):
        needs(type(self).__name__, "tensorboard", "tensorboard", "matplotlib")
        super().__init__(every_steps, figures_every, figures)
        self.folder = Path(folder)
        self._writer: Any = None
        self._parameters: dict[str, Any] = {}

    def open(self, run: Any, beyond: Beyond | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        mine = claim(self.folder, MARKER, self._id or "", beyond is not None, (EVENTS,))
        if mine and beyond:
            for path in sorted(self.folder.glob(EVENTS)):
                cut(path, beyond)
        _wait_for_next_second(self.folder)
        self._writer = SummaryWriter(
            str(self.folder), purge_step=run.step + 1 if mine else None, max_queue=1000
        )
        self._parameters = {
            name: value if isinstance(value, (bool, int, float, str)) else str(plain(value))
            for name, value in run.hyperparameters.items()
        }
        if not mine and self._parameters:
            lines = [f"| {name} | {value} |" for name, value in self._parameters.items()]
            text = "\n".join(["| hyper-parameter | value |", "|---|---|", *lines])
            self._writer.add_text("hyperparameters", text, 0)
            self._writer.flush()

    def write(self, points: Sequence[Point]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        # One event for all values of a step: a third of the time of `add_scalar` for each.
        for step, values, _ in points:
            own = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            event = Event(step=step, wall_time=time.time(), summary=Summary(value=own))
            self._writer.file_writer.event_writer.add_event(event)

    def write_figure(self, name: str, figure: Any, step: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self._writer.add_image(f"figures/{name}", pixels, step, dataformats="HWC")

    def sync(self) -> None:
        self._writer.flush()
        for path in self.folder.glob(EVENTS):
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            return
        from torch.utils.tensorboard.summary import hparams

        finals = {f"final/{name}": float(value) for name, value in scores.items()}
        for part in hparams(self._parameters, finals):
            self._writer.file_writer.add_summary(part)
        for name, value in finals.items():
            self._writer.add_scalar(name, value, step)
        self._writer.close()
        self._writer = None


def cut(path: Path, beyond: Beyond) -> None:
    """End a file of events before the first one that is not to be kept, or is not whole."""
    from tensorboard.compat.proto.event_pb2 import Event

    end = 0
    for start, stop, data in records(path):
        event = Event.FromString(data)
        tags = [value.tag for value in event.summary.value]
        known = all(
            beyond.keeps(event.step, tag) and not tag.startswith("_hparams_/") for tag in tags
        )
        if not known:
            end = start
            break
        end = stop
    with path.open("rb+") as file:
        file.truncate(end)
        file.flush()
        os.fsync(file.fileno())


def records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Where each record of a TFRecord file begins and ends, and its bytes.

    A record is its length (8 bytes, little-endian), a checksum of that (4), the data, and a
    checksum of these (4). It ends at the first record that is not whole.
    """
    with path.open("rb") as file:
        start = 0
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            data = file.read(length)
            if len(data) < length or len(file.read(4)) < 4:
                return
            stop = start + length + 16
            yield start, stop, data
            start = stop


def _wait_for_next_second(folder: Path) -> None:
    """Files are read in the order of their names, which begin with a time in seconds."""
    seconds = [path.name.split(".")[3] for path in folder.glob(EVENTS)]
    latest = max((int(each) for each in seconds if each.isdigit()), default=0)
    # Not where the clock was set back.
    if 0 <= latest - time.time() + 1 <= 1:
        time.sleep(latest + 1 - time.time() + 0.01)
