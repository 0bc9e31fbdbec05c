"""Starts and asks the processes of the speed benchmark (speed_worker.py)."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from quality import THREAD_VARIABLES

SCRIPT = Path(__file__).resolve().parents[1] / "speed_worker.py"


class WorkerFailed(Exception):
    """The process ended with an error, or took too long; the message is one line."""


class Worker:
    """A process that works a turn at a time; a context manager that ends it.

    Args:
        threads: Of the process.
        spec: What it does; see speed_worker.py.
    """

    def __init__(self, threads: int, **spec: object) -> None:
        # Closed by __exit__.
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps({**spec, "threads": threads})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {name: str(threads) for name in THREAD_VARIABLES},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def answer(self, seconds: float | None = None) -> dict:
        """Its next answer.

        Args:
            seconds: The longest time to wait for it.

        Raises:
            WorkerFailed: The last line of its error output, or that it took longer.
        """
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready:
            raise WorkerFailed(f"no answer within {seconds:g} s")
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._errors.seek(0)
        lines = [text.strip() for text in self._errors.read().splitlines() if text.strip()]
        if code < 0:
            raise WorkerFailed(f"killed by {signal.Signals(-code).name}")
        raise WorkerFailed((lines[-1] if lines else f"exit code {code}")[:200])

    def turn(self, seconds: float | None = None) -> dict:
        """Ask for a turn; its answer (see `answer`)."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self.answer(seconds)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        # Nothing it holds is of use to anyone.
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()
