"""Figures of a training, every few epochs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from sdv_wgangp.plots.style import save_png
from sdv_wgangp.plots.training import gradient_flow, losses
from sdv_wgangp.training.callbacks.gradient_norms import layer_norms

OF_ANY_RUN: dict[str, Callable[[Any], Any]] = {
    "losses": lambda run: losses(run.logs),
    "gradient flow": lambda run: gradient_flow(layer_norms(run)),
}
# A function that draws what a run has come to: a `matplotlib.figure.Figure`.
Draw = Callable[[Any], Any]


def figures_of(run: Any, more: Mapping[str, Draw] | None = None) -> dict[str, Draw]:
    """Those of any training, those a model gave its run (``run.figures``), and more.

    Of one name the last wins.
    """
    known = {n: each for n, each in OF_ANY_RUN.items() if run.gradients or n != "gradient flow"}
    return {**known, **getattr(run, "figures", {}), **(more or {})}


def drawn(run: Any, draw: Draw) -> Any:
    """A figure, drawn without a trace: random numbers go on as if there had been none.

    Raises:
        TypeError: What was drawn is no figure of matplotlib's.
    """
    with _random_as_before(run):
        figure = draw(run)
    if not hasattr(figure, "savefig"):
        raise TypeError(f"{draw!r} must return a matplotlib Figure, not {type(figure).__name__}")
    return figure


def have_matplotlib() -> bool:
    """Whether figures can be drawn."""
    return find_spec("matplotlib") is not None


class Figures:
    """Writes figures as PNG files, ``folder/NAME/STEP.png``.

    Files of steps beyond the one a training continues from are removed when it does.

    Args:
        folder: Made if it is not there.
        figures: Functions of the run, by name; beside those that the model gives.
        every: Epochs between two sets of figures. There is one at the end, too.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: ``every`` is no positive integer.

    Example:
        >>> import tempfile
        >>> from sdv_wgangp.plots.training import losses
        >>> figures = Figures(tempfile.mkdtemp(), {"losses": lambda run: losses(run.logs)})
    """

    def __init__(
        self, folder: str | Path, figures: Mapping[str, Draw] | None = None, every: int = 10
    ):
        if not have_matplotlib():
            raise ImportError("Figures needs matplotlib: pip install matplotlib")
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a positive number of epochs, got {every!r}")
        self.folder, self.figures, self.every = Path(folder), dict(figures or {}), every
        self._drawn = -1

    def on_fit_begin(self, run: Any) -> None:
        """Remove what a training that was killed drew beyond the step it continues from."""
        remove_beyond(self.folder, run.logs[-1].step if run.logs else 0)
        self._drawn = -1

    def on_epoch(self, run: Any) -> None:
        """Draw, if it is time."""
        if run.epoch % self.every == 0:
            self._draw(run)

    def on_fit_end(self, run: Any) -> None:
        """Draw the end."""
        if run.whole and run.logs:
            self._draw(run)

    def _draw(self, run: Any) -> None:
        step = run.logs[-1].step
        if step == self._drawn:
            return
        self._drawn = step
        for name, draw in figures_of(run, self.figures).items():
            save_png(drawn(run, draw), png_path(self.folder, name, step))


def png_path(folder: Path, name: str, step: int) -> Path:
    """Where the figure of a name and step is."""
    return folder / re.sub(r"[^\w. -]+", "_", name) / f"{step}.png"


def remove_beyond(folder: Path, step: int) -> None:
    """Remove the figures of later steps."""
    for path in folder.glob("*/*.png"):
        if path.stem.isdigit() and int(path.stem) > step:
            path.unlink()


@contextmanager
def _random_as_before(run: Any):
    own, device = run.random.get_state(), run.random.device
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        run.random.set_state(own)
