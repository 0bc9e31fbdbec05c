"""Where sampling begins: a seed of one's own, and processes that were forked."""

from __future__ import annotations

import os
import secrets
import threading
from typing import Any

from sdv.errors import NotFittedError

from sdv_wgangp.synthesizers.arguments import input_errors
from sdv_wgangp.synthesizers.keys import seed_keys, seed_patterns
from sdv_wgangp.synthesizers.mixins import Mixed
from sdv_wgangp.values import Whole

# Of the process, not of the model: not saved.
OF_THE_PROCESS = frozenset({"_process"})


class Seeded(Mixed):
    """Mixed into a synthesizer that begins to sample where it is told."""

    _sampling_seed: int | None = None
    # Whose random numbers it has; a process that is forked from it draws others.
    _process: int | None = None
    _fitted: bool

    def set_sampling_seed(self, seed: int) -> None:
        """Begin sampling anew from a seed: rows, keys and anonymised values depend on it.

        All methods that sample go on from there, until `reset_sampling` goes back to the fixed
        start, where each fitted synthesizer begins. To sample in several processes give each a
        seed of its own, 0, 1, 2 and so on; then keys do not collide either, as long as all
        processes together draw less than about a third of the keys that there are (SDV has
        16,777,217 for integers without a format; anonymised values that are keys, like e-mail
        addresses, are drawn at random and may).

        A process that is forked from one with a fitted synthesizer has a seed that nobody knows,
        unless it sets one. A synthesizer that is loaded or unpickled begins at the fixed start,
        or where it was when it was pickled.

        Args:
            seed: At least 0.

        Raises:
            NotFittedError: Before `fit`, which begins sampling anew.
            SynthesizerInputError: The seed is no whole number of at least 0.

        Example:
            >>> def work(number, path):                                         # doctest: +SKIP
            ...     synthesizer = load_model(path)
            ...     synthesizer.set_sampling_seed(number)
            ...     return synthesizer.sample(1_000_000)
        """
        with input_errors():
            Whole(least=0).check("seed", seed)
        if not self._fitted:
            raise NotFittedError("A fit begins sampling anew: fit first, then set the seed.")
        self.reset_sampling()
        self._sampling_seed = int(seed)
        self._begin_at(int(seed))

    def _begin_at(self, seed: int) -> None:
        raise NotImplementedError

    def reset_sampling(self) -> None:
        """Go back to the fixed start, where a fitted synthesizer begins."""
        self._sampling_seed = None
        self._process = os.getpid()
        super().reset_sampling()

    def fit_processed_data(self, processed_data: Any) -> None:
        if self._sampling_seed is not None:
            self.reset_sampling()
        self._process = os.getpid()
        super().fit_processed_data(processed_data)

    def _complete(self) -> None:
        super()._complete()
        self._process = os.getpid()

    def _seed_after_fork(self) -> int | None:
        """A new seed for a process that was forked, and so has the numbers of another one."""
        if self._process is None or self._process == os.getpid():
            return None
        seed = secrets.randbits(63)
        self.set_sampling_seed(seed)
        return seed


class SeededTable(Seeded):
    """Mixed into a synthesizer of one table."""

    _data_processor: Any
    _model: Any

    def _begin_at(self, seed: int) -> None:
        seed_keys(self._data_processor, seed)
        if self._model is not None:
            self._set_random_state(seed % 2**63)

    def _complete(self) -> None:
        super()._complete()
        if self._sampling_seed is not None:
            seed_patterns(self._data_processor, self._sampling_seed)

    def _sample_rows(self, *args: Any, **kwargs: Any) -> Any:
        with one_at_a_time():
            self._seed_after_fork()
            return super()._sample_rows(*args, **kwargs)


_lock = threading.RLock()


def one_at_a_time() -> threading.RLock:
    """Held while rows are drawn: RDT sets NumPy's generator for all threads meanwhile."""
    return _lock


def _new_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # a thread that held it is not in the new process
    os.register_at_fork(after_in_child=_new_lock)
