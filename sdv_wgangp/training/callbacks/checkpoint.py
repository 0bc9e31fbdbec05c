"""Checkpoints of a training, from which it continues bit for bit."""

from __future__ import annotations

import contextlib
import math
import platform
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import sdv_wgangp
from sdv_wgangp import ops
from sdv_wgangp.persistence.container import DTYPES, safetensors_parts
from sdv_wgangp.persistence.durable import FolderClaim, write_durably
from sdv_wgangp.persistence.fingerprint import completed, differences, fingerprint_of
from sdv_wgangp.persistence.state import (
    CheckpointError,
    CheckpointMismatchError,
    check_state,
    read_state,
    write_state,
)

_NAME = re.compile(r"step-(\d{8,})\.checkpoint")


class Checkpoints:
    """Saves the whole state of a training into a folder, as it goes on and at its end.

    At the end, for whatever reason it has come (an interruption, SIGTERM, an error of a callback),
    the last whole step is saved. After a loss that is no number there is none, and what was saved
    before stays. Files appear under their names when they are complete, so that a process that is
    killed while it writes leaves the checkpoints before.

    Where a checkpoint cannot be written (the disk is full, the folder has gone) a warning says so,
    once for each reason, and the training goes on. Put this after the callback that scores epochs
    (`EpochLog.validation_score`), or there is no best one.

    Args:
        folder: Of this training alone; made, with those above it, where there is none.
        every_epochs, every_steps: Save whenever so many more were made; None for never.
        every_seconds: Save after the first step that ends so long after the last checkpoint.
        keep: How many of the last ones to keep.
        keep_best: Whether to save, and to keep, that of the epoch with the highest validation
            score, too.
        export_weights: Whether to write the players' weights beside each checkpoint that
            ``every_epochs`` asks for: ``generator-epoch-0003.safetensors``,
            ``generator-average-epoch-0003.safetensors`` and ``critic-epoch-0003.safetensors`` hold
            what ``module.load_state_dict`` takes from ``safetensors.torch.load_file``. They are
            not removed.
        fingerprint: What the training depends on (`fingerprint_of`): settings, data, the kind of
            the device. It can be set later, before the training begins.
        any_threads: Whether the players give the same bits with any number of threads.
        exact: Whether `load` refuses checkpoints of other versions, or of another number of
            threads, under which the training would continue a little differently.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from sdv_wgangp.objectives.adversarial import objective
        >>> from sdv_wgangp.training.loop import train
        >>> from sdv_wgangp.training.runs import run_of
        >>> from sdv_wgangp.training.sources import TensorSource
        >>> def ready():
        ...     torch.manual_seed(0)
        ...     return run_of(nn.Linear(4, 2), nn.Linear(2, 1), objective("gan"), noise=4, seed=0)
        >>> source = TensorSource(torch.zeros(64, 2), batch_size=16)
        >>> checkpoints = Checkpoints(tempfile.mkdtemp(), fingerprint={"lr": 1e-4})
        >>> run = train(ready(), source, 2, [checkpoints])
        >>> [path.name for path in checkpoints_in(checkpoints.folder)]
        ['step-00000004.checkpoint', 'step-00000008.checkpoint']
        >>> continued = ready()
        >>> continued.load_state_dict(checkpoints.load())
        >>> continued.epoch, torch.equal(continued.generator.parameters[0],
        ...                              run.generator.parameters[0])
        (2, True)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep: int = 3,
        keep_best: bool = True,
        export_weights: bool = False,
        fingerprint: Mapping[str, Any] | None = None,
        any_threads: bool = False,
        exact: bool = True,
    ):
        for name, value in (
            ("every_epochs", every_epochs),
            ("every_steps", every_steps),
            ("keep", keep),
        ):
            if value is None and name != "keep":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if every_seconds is not None and not 0 < every_seconds < math.inf:
            raise ValueError(f"every_seconds must be finite and above 0, got {every_seconds!r}")
        self.folder = Path(folder)
        self.every_epochs, self.every_steps = every_epochs, every_steps
        self.every_seconds, self.keep, self.keep_best = every_seconds, keep, keep_best
        self.export_weights, self.any_threads, self.exact = export_weights, any_threads, exact
        self.fingerprint: Mapping[str, Any] = fingerprint or {}
        self._best: tuple[float, int] | None = None  # score and step
        self._begun = False
        self._claim: FolderClaim | None = None  # while it trains

    def load(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint, for `Run.load_state_dict`.

        Returns:
            None where there is no checkpoint; a warning then says that the training begins anew.

        Raises:
            CheckpointError, CheckpointMismatchError: As `load_latest`.
        """
        found = load_latest(self.folder, self.fingerprint, exact=self.exact)
        if found is None:
            warnings.warn(
                f"{self.folder} holds no checkpoint to continue from: the training begins anew",
                stacklevel=2,
            )
            return None
        return found[0]

    def prepare(self, step: int = 0) -> None:
        """Make the folder ready for a training; `on_fit_begin` does so, if nobody did before.

        Args:
            step: At which the training begins or continues.

        Raises:
            ValueError: The folder cannot be made, or holds checkpoints of steps that are still to
                come: those of another training, or of this one before it began anew.
            InUseError: Another training writes there at the moment.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"the folder for checkpoints, {self.folder}, cannot be made: {_reason(error)}"
            ) from error
        claim = FolderClaim(self.folder)
        try:
            self._refuse_later(step)
        finally:
            claim.release()

    def _release(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    # ----------------------------------------------------------------- the events

    def on_fit_begin(self, run: Any) -> None:
        """Make the folder ready.

        Raises:
            ValueError: As `prepare`.
            TypeError: There is no fingerprint of what was given for one; names it.
            CheckpointError: The state of the run holds what a checkpoint cannot; names it.
        """
        self._begun = False
        self._plain_fingerprint = fingerprint_of(**self.fingerprint)
        self.prepare(run.step)
        self._claim = FolderClaim(self.folder)
        check_state(run.state_dict())
        self._begun = True
        self._warned: set[tuple[str, int | str]] = set()
        self._written: tuple[int, int] | None = None
        self._last = time.monotonic()

    def on_step(self, run: Any) -> None:
        """Save, if it is time to; what completes an epoch is left to `on_epoch`."""
        if not run.epoch_over and self._due(run):
            self._save(run)

    def on_epoch(self, run: Any) -> None:
        """Save, if it is time to or the epoch is the best so far."""
        before, own = self._best, False
        score = run.logs[-1].validation_score
        if self.keep_best and score is not None and math.isfinite(score):
            own = before is None or score > before[0]
        if own:
            self._best = float(score), run.step
        of_epoch = self.every_epochs is not None and run.epoch % self.every_epochs == 0
        if not (own or of_epoch or self._due(run)):
            return
        if not self._save(run) and own:
            self._best = before
        if of_epoch and self.export_weights:
            self._export(run)

    def on_fit_end(self, run: Any) -> None:
        """Save the last step, if it is whole and was not saved."""
        try:
            if self._begun and run.whole and self._written != (run.step, run.epoch):
                self._save(run)
        finally:
            self._release()

    def state_dict(self) -> dict[str, Any]:
        """Which one is the best."""
        return {"best": None if self._best is None else list(self._best)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`."""
        self._best = None if state["best"] is None else (state["best"][0], state["best"][1])

    # ----------------------------------------------------------------- files

    def _due(self, run: Any) -> bool:
        if self.every_steps is not None and run.step % self.every_steps == 0:
            return True
        waited = time.monotonic() - self._last
        return self.every_seconds is not None and waited >= self.every_seconds

    def _save(self, run: Any) -> bool:
        """Write a checkpoint and remove those that are not kept; whether it was written."""
        self._last = time.monotonic()
        path = self.folder / f"step-{run.step:08}.checkpoint"
        threads = None
        if not self.any_threads and run.random.device.type == "cpu":
            threads = torch.get_num_threads()
        about = {
            "step": run.step,
            "epoch": run.epoch,
            "fingerprint": self._plain_fingerprint,
            "versions": _versions(),
            "threads": threads,
        }
        if not run.finite:
            self._warn(path, CheckpointError("a loss or a weight is not a number"))
            return False
        state = run.state_dict()
        try:
            write_state(path, state, about)
        except (OSError, CheckpointError) as error:
            self._warn(path, error)
            return False
        self._written = run.step, run.epoch
        best = None if self._best is None else self._best[1]
        saved = [each for each in checkpoints_in(self.folder) if _step_of(each) <= run.step]
        for old in saved[: -self.keep]:
            if _step_of(old) != best:
                try:
                    old.unlink(missing_ok=True)
                except OSError as error:
                    self._warn(old, error, "removed")
        return True

    def _export(self, run: Any) -> None:
        players = {"generator": run.generator}
        players |= {name: critic.player for name, critic in run.critics.items()}
        states = {name: player.state_dict() for name, player in players.items()}
        if run.average is not None:
            states["generator-average"] = run.average.state_dict()
        for name, state in states.items():
            path = self.folder / f"{name}-epoch-{run.epoch:04}.safetensors"
            try:
                write_durably(path, *safetensors_parts(_weights(state), {"format": "pt"}))
            except (OSError, CheckpointError) as error:
                self._warn(path, error)

    def _warn(self, path: Path, error: Exception, what: str = "written") -> None:
        cause = what, getattr(error, "errno", None) or str(error)
        if cause not in self._warned:
            self._warned.add(cause)
            warnings.warn(
                f"{path.name} cannot be {what} in {self.folder}: {_reason(error)}; the training "
                "goes on",
                stacklevel=2,
            )

    def _refuse_later(self, step: int) -> None:
        """Nothing is known of steps that are still to come, but where a damaged file was skipped.

        Those would be taken for the newest ones, and the new ones be removed.
        """
        for path in checkpoints_in(self.folder):
            if _step_of(path) <= step:
                continue
            try:
                _read(path)
            except CheckpointMismatchError:
                pass
            except (CheckpointError, OSError) as error:
                warnings.warn(f"{error}; it is removed", stacklevel=3)
                # Should it stay, the step that it is named after overwrites it.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                continue
            raise ValueError(
                f"{self.folder} holds {path.name}, and this training is at step {step}: continue "
                "from that checkpoint, or give a folder that holds none"
            )


def load_latest(
    folder: str | Path, fingerprint: Mapping[str, Any], *, exact: bool = True
) -> tuple[dict[str, Any], Path] | None:
    """The newest checkpoint that can be read, if it is of this training.

    Args:
        folder: Of `Checkpoints`.
        fingerprint: What the training depends on now.
        exact: Whether other versions of this package and of PyTorch, and another number of
            threads where that matters, are refused; otherwise a warning names them. The training
            would continue, but not bit for bit.

    Returns:
        The state, for `Run.load_state_dict`, and the file; None where the folder holds no
        checkpoint, or is not there.

    Warns:
        UserWarning: A newer one is damaged; names both.

    Raises:
        CheckpointMismatchError: It is of another training, version or number of threads; names
            every difference and the remedy.
        CheckpointError: There are checkpoints, and none can be read.
        ValueError: ``folder`` is a file.
    """
    damaged: list[Exception] = []
    for path in reversed(checkpoints_in(folder)):
        try:
            state, about = _read(path)
        except CheckpointMismatchError:
            raise
        except (CheckpointError, OSError) as error:
            damaged.append(error)
            continue
        _check(path, about, fingerprint, exact)
        for reason in damaged:
            warnings.warn(f"{reason}; the training continues from {path}", stacklevel=2)
        return state, path
    if damaged:
        raise CheckpointError(
            f"no checkpoint in {folder} can be read: {'; '.join(map(str, damaged))}; remove them "
            "to begin the training anew"
        )
    return None


def checkpoints_in(folder: str | Path) -> list[Path]:
    """The checkpoints in a folder, by their steps; none where there is no folder.

    Raises:
        ValueError: It is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, where the folder of checkpoints should be")
    found = [path for path in folder.glob("step-*.checkpoint") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_step_of)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state in a file, and what is known of it.

    Raises:
        CheckpointError: It is damaged, or not of the step that it is named after.
    """
    state, about = read_state(path)
    if about.get("step") != _step_of(path):
        raise CheckpointError(f"{path} was copied or renamed: it is of step {about.get('step')}")
    return state, about


def _step_of(path: Path) -> int:
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise ValueError(f"{path} is not named as checkpoints are, step-00000012.checkpoint")
    return int(named[1])


def _versions() -> dict[str, str]:
    return {
        "sdv_wgangp": sdv_wgangp.__version__,
        # Builds for other devices ("+cpu") of a release compute the same on one device.
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "operators": "compiled" if ops.status().compiled else "reference",
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def _check(
    path: Path, about: Mapping[str, Any], fingerprint: Mapping[str, Any], exact: bool
) -> None:
    """Refuse a checkpoint of another training, or one that would not continue bit for bit."""
    own = completed(about.get("fingerprint", {}), fingerprint)
    if found := differences(own, fingerprint_of(**fingerprint)):
        raise CheckpointMismatchError(
            f"{path} is of another training: {'; '.join(found)}. Train with what the checkpoint "
            "has, or give another folder"
        )
    found, remedies = [], []
    saved, now = about.get("versions", {}), _versions()
    for package in ("sdv_wgangp", "torch"):
        if saved.get(package) != now[package]:
            found.append(f"{package}: checkpoint {saved.get(package)}, now {now[package]}")
            remedies.append(f"pip install '{package.replace('_', '-')}=={saved.get(package)}'")
    for name in ("operators", "processor"):
        if name in saved and saved[name] != now[name]:
            found.append(f"{name}: checkpoint {saved[name]}, now {now[name]}")
            remedies.append(f"{name} as they were")
    threads = about.get("threads")
    if threads not in (None, torch.get_num_threads()):
        found.append(f"threads: checkpoint {threads}, now {torch.get_num_threads()}")
        remedies.append(f"torch.set_num_threads({threads})")
    if not found:
        return
    text = f"{path} would not be continued bit for bit: {'; '.join(found)}"
    if not exact:
        warnings.warn(text, stacklevel=3)
        return
    raise CheckpointMismatchError(
        f"{text}. To have it so: {', '.join(remedies)}; to continue all the same: exact=False "
        "(--inexact)"
    )


def _weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the module of a player takes for its state, of the state of the player.

    Raises:
        CheckpointError: A tensor is of a dtype that the file cannot hold.
    """
    found = state.get("module", state)
    weights = {name: each for name, each in found.items() if isinstance(each, Tensor)}
    for name, tensor in weights.items():
        if tensor.dtype not in DTYPES:
            raise CheckpointError(f"{name} is of {tensor.dtype}, which cannot be exported")
    return weights


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
