"""A tracker for Aim."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdv_wgangp.plots.style import png
from sdv_wgangp.training.callbacks.figures import Draw
from sdv_wgangp.training.callbacks.tracker import Beyond, Point, Tracker, needs, plain


class AimTracker(Tracker):
    """Tracks a training as one run of an Aim repository: ``aim up --repo REPO``.

    Values and figures as `training.callbacks.tracker` says; hyper-parameters are
    ``run["hparams"]`` and the final scores ``run["final"]``. A training that continues is the same
    run of Aim, without what lies beyond the step it continues from. Aim's watch of the machine and
    its copy of the terminal are off. To read a run from Python after its end, index the repository
    first: ``aim storage --repo REPO reindex -y``.

    Args:
        repo: Folder of the repository; made if there is none. (A server's address cannot be: of
            what it holds nothing can be removed.)
        experiment: Name under which Aim groups runs.
        every_steps, figures_every, figures: As for `Tracker`.

    Raises:
        ImportError: Aim, matplotlib or Pillow is missing; says what to install.
        ValueError: A number is no positive integer, or ``repo`` is an address.

    Example:
        >>> import tempfile
        >>> tracker = AimTracker(tempfile.mkdtemp(), "tables")  # doctest: +SKIP
    """

    def __init__(
        self,
        repo: str | Path,
        experiment: str | None = None,
        every_steps: int = 10,
        figures_every: int = 10,
        figures: Mapping[str, Draw] | None = None,
    ):
        needs(type(self).__name__, "aim", "aim", "matplotlib", "PIL")
        super().__init__(every_steps, figures_every, figures)
        if "://" in str(repo):
            raise ValueError(f"repo must be a folder, not the address {str(repo)!r}")
        self.repo, self.experiment = Path(repo), experiment
        self.run_hash: str | None = None
        self._aim: Any = None

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"run_hash": self.run_hash or ""}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.run_hash = state["run_hash"] or None

    def open(self, run: Any, beyond: Beyond | None) -> None:
        from aim import Run

        self.repo.mkdir(parents=True, exist_ok=True)
        options = {
            "repo": str(self.repo),
            "experiment": self.experiment,
            "system_tracking_interval": None,
            "log_system_params": False,
            "capture_terminal_logs": False,
        }
        if beyond is None:
            self._aim = Run(**options)
            self.run_hash = self._aim.hash
        else:
            # A process that was killed could not give its lock back.
            self._aim = Run(self.run_hash, force_resume=True, **options)
            cut(self._aim, beyond)
        self._aim["hparams"] = plain(run.hyperparameters)

    def write(self, points: Sequence[Point]) -> None:
        for step, values, epoch in points:
            for name, value in values.items():
                self._aim.track(value, name, step, epoch, context={})

    def write_figure(self, name: str, figure: Any, step: int) -> None:
        from aim import Image
        from PIL import Image as Picture

        with Picture.open(io.BytesIO(png(figure))) as picture:
            image = Image(picture.convert("RGB"))
        self._aim.track(image, f"figures/{name}", step, context={})

    def sync(self) -> None:
        """Every value is in the log of Aim's database at once, and outlives the process there."""

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        if self._aim is not None:
            self._aim["final"] = plain(scores)
            self._aim.close()
            self._aim = None


def cut(run: Any, beyond: Beyond) -> None:
    """Remove what a run of Aim holds beyond a step.

    Aim has no way to do that, but its storage has: each value lies under its step (or a hash of
    it), and beside them what is known of all values of one name. Written for Aim 3.29, the last
    release.
    """
    traces = run.meta_run_tree.subtree("traces")
    for context, names in run.meta_run_tree.get("traces", {}).items():
        for name, known in names.items():
            version = known.get("version", 1)
            series = run.series_run_trees[version].subtree((context, name))
            values = dict(series.array("val").items())
            # By hash of the step where there are hashes, else by step.
            steps = dict(series.array("step").items()) if version == 2 else {k: k for k in values}
            kept = {key: step for key, step in steps.items() if beyond.keeps(step, name)}
            if len(kept) == len(steps):
                continue
            for key in set(steps) - set(kept):
                for part in ("val", "epoch", "time", "step"):
                    if part != "step" or version == 2:
                        del series[part, key]
            if not kept:
                del run.series_run_trees[version][context, name]
                del traces[context, name]
                continue
            last = max(kept, key=kept.__getitem__)
            traces[context, name, "last"] = values[last]
            traces[context, name, "last_step"] = kept[last]
            if version == 2:
                numbers = np.array([values[key] for key in kept])
                traces[context, name, "min"] = float(np.nanmin(numbers))
                traces[context, name, "max"] = float(np.nanmax(numbers))
    # It has read how many values there are when it was opened.
    run._tracker = type(run._tracker)(run)
    run._resources._tracker = run._tracker
