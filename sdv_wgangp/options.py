"""Hyper-parameters of a floor in one frozen dataclass, checked by name and range.

Like `sdv_wgangp.values` it imports nothing but the standard library.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from sdv_wgangp.values import Number, Whole

Own = TypeVar("Own", bound="Options")


def option(default: float, least: float = 0, most: float = math.inf) -> Any:
    """A field of `Options`: a number in [least, most], a whole one where the default is one."""
    whole = isinstance(default, int)
    kind = Whole(least=int(least), most=most) if whole else Number(least=least, most=most)
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class Options:
    """What hyper-parameters of a floor derive from; every field is an `option`.

    Raises:
        ValueError: A value is out of range; names the option and the range.

    Example:
        >>> @dataclass(frozen=True)
        ... class Smoothing(Options):
        ...     width: int = option(3, least=1)
        ...     decay: float = option(0.9, most=1)
        >>> Smoothing(width=5)
        Smoothing(width=5, decay=0.9)
        >>> Smoothing(decay=2)
        Traceback (most recent call last):
        ...
        ValueError: decay must lie in [0, 1], not 2
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            each.metadata["kind"].check(each.name, value)
            # Files hold no NumPy numbers, and 1 is the same decay as 1.0.
            kind = int if isinstance(each.default, int) else float
            object.__setattr__(self, each.name, kind(value))

    @classmethod
    def of(cls: type[Own], given: Mapping[str, Any] | None, parameter: str) -> Own:
        """The options of a mapping from names to values; the others have their defaults.

        Args:
            given: None stands for no changes.
            parameter: What errors call the mapping.

        Raises:
            ValueError: It is no mapping, an option is unknown, or a value out of range; names it.

        Example:
            >>> @dataclass(frozen=True)
            ... class Smoothing(Options):
            ...     width: int = option(3, least=1)
            >>> Smoothing.of({"widht": 5}, "smoothing")
            Traceback (most recent call last):
            ...
            ValueError: smoothing has no option 'widht': did you mean 'width'?
        """
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            raise ValueError(
                f"{parameter} must be None or a dictionary from options to numbers, not {given!r}"
            )
        known = [each.name for each in fields(cls)]
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                remedy = (
                    f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
                )
                raise ValueError(f"{parameter} has no option {name!r}: {remedy}")
        try:
            return cls(**given)
        except ValueError as error:
            raise ValueError(f"{parameter}: {error}") from error

    @classmethod
    def from_text(cls, text: str) -> dict[str, Any]:
        """The mapping that ``NAME=NUMBER,...`` says; ranges are not checked.

        Raises:
            ValueError: A part is malformed or repeated.

        Example:
            >>> @dataclass(frozen=True)
            ... class Smoothing(Options):
            ...     width: int = option(3, least=1)
            >>> Smoothing.from_text("width=1e3")
            {'width': 1000}
        """
        whole = {each.name for each in fields(cls) if isinstance(each.default, int)}
        found: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = (word.strip() for word in part.partition("="))
            if name in found:
                raise ValueError(f"{name} has two values: leave one out")
            try:
                value = float(number)
            except ValueError as error:
                raise ValueError(f"{part!r} is not like NAME=NUMBER") from error
            found[name] = int(value) if name in whole and value.is_integer() else value
        return found

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }
