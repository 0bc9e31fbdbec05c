"""Errors of arguments, as SDV raises them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sdv.errors import SynthesizerInputError


@contextmanager
def input_errors() -> Iterator[None]:
    """Raise what a check says of an argument as SDV's error.

    Only for checks: whatever is a `ValueError` within is taken for one of theirs.

    Raises:
        SynthesizerInputError: With the text of the `ValueError`.

    Example:
        >>> from sdv_wgangp.parameters import PARAMETERS
        >>> with input_errors():
        ...     PARAMETERS["pac"].check(0)
        Traceback (most recent call last):
        ...
        sdv.errors.SynthesizerInputError: pac must be a whole number of at least 1, not 0.
    """
    try:
        yield
    except ValueError as error:
        raise SynthesizerInputError(f"{error}.") from error
