"""Errors of use, as one line."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can put right; the message says how."""


def one_line(error: BaseException | str) -> str:
    """The message of an error, or its kind where it has none."""
    text = " ".join(str(error).split())
    return text or type(error).__name__
