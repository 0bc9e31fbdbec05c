"""Errors that users can put right, and their text in one line."""

from __future__ import annotations


class UserError(Exception):
    """Something that the user can put right; the message says how."""


def one_line(error: BaseException | str) -> str:
    """The text of an error without line breaks; its type where it has none.

    Example:
        >>> one_line("look\\nhere"), one_line(ValueError())
        ('look here', 'ValueError')
    """
    text = " ".join(str(error).split())
    return text or type(error).__name__
