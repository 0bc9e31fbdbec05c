"""What a command prints, when it is silent, and where nobody can be told anything."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from sdv_wgangp.user_errors import one_line


@contextmanager
def streams() -> Iterator[None]:
    """Standard output and error as they should be, whatever the program was started with.

    A closed one is as good as ``/dev/null``: files that are opened later do not get its number. A
    character that the encoding does not have is written as its code. What cannot be told on
    standard error (a closed terminal, a full disk) ends nothing; for standard output, `printer`
    does the same.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = before[0] or nowhere
        sys.stderr = _Deaf(before[1] or nowhere)
        try:
            yield
        finally:
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                _let_go(sys.stdout)
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


class _Deaf:
    """A stream of text to write to whether or not somebody hears it."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            _let_go(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            _let_go(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _let_go(stream: TextIO) -> None:
    """Let what a stream holds, and what comes, go where it disturbs nobody."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def printer(options: argparse.Namespace) -> Callable[[str], None]:
    """Prints a line at once, or nothing with ``--quiet``; not among rows on standard output.

    Where it cannot be printed the command goes on.
    """

    def say(text: str) -> None:
        if options.quiet:
            return
        to = sys.stderr if getattr(options, "output", None) == "-" else sys.stdout
        try:
            print(text, file=to, flush=True)
        except (OSError, ValueError):
            _let_go(to)

    return say


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether there is somebody to look at a progress bar."""
    return options.verbose or (not options.quiet and sys.stderr.isatty())


@contextmanager
def calm(quiet: bool = False) -> Iterator[None]:
    """Warnings as one line each, or none, and never those addressed to programmers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING if quiet else logging.INFO)

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        if not quiet:
            print(f"sdv-wgangp: warning: {one_line(message)}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, PendingDeprecationWarning):
                warnings.simplefilter("ignore", category)
            warnings.showwarning = show
            yield
    finally:
        logging.disable(level)
