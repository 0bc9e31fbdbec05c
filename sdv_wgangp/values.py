"""Kinds of values: what a parameter or an option may be, and how a command line writes it.

Nothing is imported but the standard library: ``--help`` waits for neither PyTorch nor SDV.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# What follows from the table. Whatever follows is of a parameter's own type, so for type checkers
# this is, too.
AUTO: Any = "auto"


def is_whole(value: Any, least: int) -> bool:
    """Whether it is a whole number of at least so much."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_list(value: Any) -> bool:
    """Whether it is a sequence, and not of letters."""
    return isinstance(value, Sequence) and not isinstance(value, str)


# --------------------------------------------------------------------------- from a command line


def whole(text: str, word: str = "whole number") -> int:
    """The whole number that a text says; ``word`` is what the error calls it."""
    return _said(int, text, word)


def number(text: str, word: str = "number") -> float:
    """The number that a text says; ``word`` is what the error calls it."""
    return _said(float, text, word)


def _said(kind: Callable[[str], Any], text: str, word: str) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"invalid {word} value: {text!r}") from error


def count(text: str) -> int:
    """A whole number from 1 on; ``1e6`` is one.

    Example:
        >>> count("500"), count("1e6")
        (500, 1000000)
    """
    if "e" in text.lower() and (power := number(text, "positive number")).is_integer():
        text = str(int(power))
    value = whole(text, "positive number")
    if value < 1:
        raise ValueError(f"{text} is not a positive number")
    return value


def seed(text: str) -> int:
    """A seed of NumPy's generators."""
    value = whole(text, "seed")
    if not 0 <= value < 2**32:
        raise ValueError(f"{text} is not in 0 .. 4294967295")
    return value


def seconds(text: str) -> float:
    """A time."""
    value = number(text, "number of seconds")
    if not 0 < value < math.inf:
        raise ValueError(f"{text} is not a positive number of seconds")
    return value


def names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",")]


# --------------------------------------------------------------------------- kinds of values


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Values that a parameter may have, and how a command line writes them.

    Attributes:
        optional: Whether None is one, too.
        metavar: What stands for a value in the help.
    """

    optional: bool = False
    metavar: ClassVar[str] = "X"

    def check(self, name: str, value: Any) -> None:
        """Refuse what is none of them.

        Raises:
            ValueError: Names the parameter, and what it must be.

        Example:
            >>> Whole(least=1).check("epochs", 5)
            >>> Whole(least=1, optional=True).check("epochs", 0)
            Traceback (most recent call last):
            ...
            ValueError: epochs must be None or a whole number of at least 1, not 0
        """
        if value is None and self.optional:
            return
        wanted = self._fault(value)
        if wanted is not None:
            if self.optional:
                wanted = "be None or " + wanted.removeprefix("be ")
            raise ValueError(f"{name} must {wanted}, not {value!r}{self._hint()}")

    def _fault(self, value: Any) -> str | None:
        """What follows "must" where the value, which is not None, is none of them."""
        raise NotImplementedError

    def _hint(self) -> str:
        """Ends the error."""
        return ""

    def read(self, text: str) -> Any:
        """The value that a text on the command line says; it is not checked.

        Raises:
            ValueError: It says none.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Whole(Kind):
    """Whole numbers from ``least`` to ``most``."""

    least: int
    most: float = math.inf
    metavar: ClassVar[str] = "N"

    def _fault(self, value: Any) -> str | None:
        if is_whole(value, self.least) and value <= self.most:
            return None
        if self.most < math.inf:
            return f"be a whole number in [{self.least}, {self.most}]"
        return f"be a whole number of at least {self.least}"

    def read(self, text: str) -> int:
        return whole(text)


@dataclass(frozen=True, kw_only=True)
class Number(Kind):
    """Finite numbers of an interval.

    Attributes:
        least, most: Its ends.
        ends: Which of them belong to it, as mathematicians write it: "[]", "[)", "(]" or "()".
        zero: What 0 does, for the error.

    Example:
        >>> Number(most=1, ends="[)", zero="averaging").check("ema_decay", 1)
        Traceback (most recent call last):
        ...
        ValueError: ema_decay must lie in [0, 1), not 1; 0 switches averaging off
    """

    least: float = 0
    most: float = math.inf
    ends: str = "[]"
    zero: str = ""

    def _fault(self, value: Any) -> str | None:
        low, high = self.ends[0], self.ends[1]
        if (
            is_number(value)
            and (self.least < value if low == "(" else self.least <= value)
            and (value < self.most if high == ")" else value <= self.most)
        ):
            return None
        if self.most < math.inf:
            return f"lie in {low}{self.least:g}, {self.most:g}{high}"
        return f"be a finite number {'above' if low == '(' else 'of at least'} {self.least:g}"

    def _hint(self) -> str:
        return f"; 0 switches {self.zero} off" if self.zero else ""

    def read(self, text: str) -> float:
        return number(text)


@dataclass(frozen=True, kw_only=True)
class Flag(Kind):
    """True or False; an option without a value."""

    def _fault(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else "be True or False"


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of some names."""

    names: tuple[str, ...]
    metavar: ClassVar[str] = "NAME"

    def check(self, name: str, value: Any) -> None:
        known = (None, *self.names) if self.optional else self.names
        if value not in known:
            listed = ", ".join(map(str, known))
            raise ValueError(f"{name} must be one of {listed}, not {value!r}")

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True, kw_only=True)
class Widths(Kind):
    """Widths of at least one layer."""

    metavar: ClassVar[str] = "N,N,..."

    def _fault(self, value: Any) -> str | None:
        if is_list(value) and len(value) and all(is_whole(width, 1) for width in value):
            return None
        return "list the widths of at least one layer, like (256, 256)"

    def read(self, text: str) -> tuple[int, ...]:
        return tuple(whole(part) for part in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Betas(Kind):
    """Decays of the averages of gradients and of their squares."""

    metavar: ClassVar[str] = "X,X"

    def _fault(self, value: Any) -> str | None:
        pair = is_list(value) and len(value) == 2 and all(map(is_number, value))
        if pair and all(0 <= beta < 1 for beta in value):
            return None
        return "be two numbers in [0, 1)"

    def read(self, text: str) -> tuple[float, ...]:
        return tuple(number(part) for part in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Column(Kind):
    """Name of a column; which ones there are the metadata say."""

    metavar: ClassVar[str] = "COLUMN"

    def _fault(self, value: Any) -> str | None:
        return None if isinstance(value, str) else "be a column of the metadata"

    def read(self, text: str) -> str:
        return text


@dataclass(frozen=True, kw_only=True)
class Locales(Kind):
    """One locale, or some."""

    metavar: ClassVar[str] = "NAME,..."

    def _fault(self, value: Any) -> str | None:
        if isinstance(value, Sequence) and all(isinstance(each, str) for each in value):
            return None
        return "be a locale or a list of locales"

    def read(self, text: str) -> list[str]:
        return names(text)


@dataclass(frozen=True, kw_only=True)
class MetaFeatures(Kind):
    """Names of meta-features, or "auto"; which ones there are their registry knows."""

    metavar: ClassVar[str] = "auto|NAME,..."

    def check(self, name: str, value: Any) -> None:
        named = isinstance(value, Sequence) and all(isinstance(each, str) for each in value)
        if value is not None and not named:
            raise ValueError(f"{name} must be None, 'auto' or a list of names, not {value!r}")

    def read(self, text: str) -> str | list[str]:
        return text if text == "auto" else names(text)


@dataclass(frozen=True, kw_only=True)
class RelationsToKeep(Kind):
    """ "auto", "off", or statements of relations; which ones hold the table knows."""

    metavar: ClassVar[str] = "auto|off|STATEMENT;..."

    def check(self, name: str, value: Any) -> None:
        listed = is_list(value) and all(isinstance(each, str) for each in value)
        if value not in (AUTO, "off") and not listed:
            raise ValueError(
                f"{name} must be 'auto', 'off' or a list of statements like 'total = net + tax', "
                f"not {value!r}"
            )

    def read(self, text: str) -> str | list[str]:
        if text in (AUTO, "off"):
            return text
        return [statement.strip() for statement in text.split(";") if statement.strip()]


@dataclass(frozen=True, kw_only=True)
class Weights(Kind):
    """A weight from 0 on, or one by name for each."""

    metavar: ClassVar[str] = "X|NAME=X,..."

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            Number().check(name, value)
            return
        for part, weight in value.items():
            Number().check(f"{name} of {part!r}", weight)

    def read(self, text: str) -> float | dict[str, float]:
        if "=" not in text:
            return number(text)
        weights: dict[str, float] = {}
        for part in text.split(","):
            name, _, weight = part.partition("=")
            if name.strip() in weights:
                raise ValueError(f"{name.strip()} has two weights: leave one out")
            weights[name.strip()] = number(weight, f"weight of {name.strip()}")
        return weights


@dataclass(frozen=True, kw_only=True)
class Auto(Kind):
    """ "auto", for what follows from the table, or a value of another kind."""

    given: Kind
    metavar: ClassVar[str] = "auto|X"

    def _fault(self, value: Any) -> str | None:
        if isinstance(value, str) and value == AUTO:
            return None
        wanted = self.given._fault(value)
        return None if wanted is None else f"be {AUTO!r} or {wanted.removeprefix('be ')}"

    def _hint(self) -> str:
        return self.given._hint()

    def read(self, text: str) -> Any:
        return text if text == AUTO else self.given.read(text)
