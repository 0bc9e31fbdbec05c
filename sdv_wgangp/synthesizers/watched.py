"""Synthesizers that are watched, stopped, saved as they go on, and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdv.errors import SynthesizerInputError

from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.mixins import Mixed
from sdv_wgangp.training.callbacks.checkpoint import Checkpoints
from sdv_wgangp.training.watchers import check_callbacks

# Of the process, not of the model: none of it is saved.
WATCHING = frozenset({"_callbacks", "_checkpoint_options", "_resuming", "_exact"})


class Watched(Mixed):
    """Mixed into a synthesizer."""

    _callbacks: tuple[Any, ...] = ()
    _checkpoint_options: tuple[str, dict[str, Any]] | None = None
    _resuming = False
    _exact = True

    def __getstate__(self) -> dict[str, Any]:
        return {n: value for n, value in super().__getstate__().items() if n not in WATCHING}

    def set_callbacks(self, callbacks: Sequence[Any]) -> None:
        """Have the fits to come watched, and stopped, by callbacks.

        They are no parameter: SDV writes parameters into files, and callbacks are not saved.

        Args:
            callbacks: Callables that take one `sdv_wgangp.training.log.EpochLog`, once an epoch,
                and may return True to end the training; or objects with any of the methods that
                `sdv_wgangp.training.watchers` lists. An empty list for none.

        Raises:
            SynthesizerInputError: One of them is neither.
        """
        try:
            self._callbacks = check_callbacks(callbacks)
        except TypeError as error:
            raise SynthesizerInputError(f"{error}.") from error

    def set_checkpoints(
        self,
        folder: str | Path | None,
        *,
        every_epochs: int | None = 1,
        every_steps: int | None = None,
        every_seconds: float | None = None,
        keep: int = 3,
        export_weights: bool = False,
    ) -> None:
        """Have the fits to come saved into a folder as they go on; `resume` continues from there.

        They are also saved at the end of the training, when it is interrupted (Ctrl-C), when the
        process is asked to terminate (SIGTERM; it then exits with code 143 after the current
        step), and after an error of a callback. Where the folder cannot be written to, a warning
        says so and the training goes on.

        Args:
            folder: Made if it is not there; of one synthesizer alone (several tables have a folder
                each in it). None switches checkpoints off.
            every_epochs, every_steps, every_seconds: How often; whichever comes first.
            keep: The last so many are kept, and the one with the best validation score.
            export_weights: Also write the weights of both players after each epoch, as state
                dicts in safetensors files.

        Raises:
            SynthesizerInputError: An argument is out of range; names it.
        """
        options: dict[str, Any] = {
            "every_epochs": every_epochs,
            "every_steps": every_steps,
            "every_seconds": every_seconds,
            "keep": keep,
            "export_weights": export_weights,
        }
        with input_errors():
            if folder is not None:
                Checkpoints(folder, **options)
        self._checkpoint_options = None if folder is None else (str(folder), options)

    def _make_checkpoints(self) -> Checkpoints | None:
        if self._checkpoint_options is None:
            return None
        folder, options = self._checkpoint_options
        return Checkpoints(folder, exact=self._exact, **options)

    def resume(self, data, exact: bool = True) -> None:
        """`fit`, continued from the newest checkpoint of `set_checkpoints`.

        The model becomes the one that a fit without the interruption would have made, bit for
        bit: with the same processor, number of threads and versions, and without ``max_seconds``.
        (On a GPU the last digits of some sums depend on the order of its threads.)
        Where there is no checkpoint the fit begins anew, and a warning says so.

        Args:
            data: The same table as before.
            exact: False also continues what was begun with other versions or another number of
                threads, no longer bit for bit; a warning names them.

        Raises:
            SynthesizerInputError: `set_checkpoints` was not called.
            CheckpointMismatchError: The checkpoints are of another table, other parameters or
                other versions; names what differs.
        """
        if self._checkpoint_options is None:
            raise SynthesizerInputError(
                "There is nothing to resume from: call set_checkpoints with the folder first."
            )
        self._resuming, self._exact = True, exact
        try:
            self.fit(data)
        finally:
            self._resuming, self._exact = False, True
