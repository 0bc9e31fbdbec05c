"""What a command prints, and when it is silent."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sdv_wgangp.user_errors import one_line


def printer(options: argparse.Namespace) -> Callable[[str], None]:
    """Prints a line at once, or nothing with ``--quiet``; not among rows on standard output."""

    def say(text: str) -> None:
        if not options.quiet:
            to = sys.stderr if getattr(options, "output", None) == "-" else sys.stdout
            print(text, file=to, flush=True)

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
