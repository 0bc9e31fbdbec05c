"""Attributes that had another name in files of earlier releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class FormerNames:
    """Mixed into a class of which files hold objects: reads attributes by their former names.

    Both pickles and model files (`persistence.graph`) ask for them. Nothing is written by a former
    name.

    Attributes:
        former_names: The name of today by the former one; None for what is no longer kept.

    Example:
        >>> class Rates(FormerNames):
        ...     former_names = {"_rate": "rate", "_unused": None}
        >>> rates = Rates.__new__(Rates)
        >>> rates.__setstate__({"_rate": 0.5, "_unused": 1, "steps": 3})
        >>> vars(rates)
        {'rate': 0.5, 'steps': 3}
    """

    former_names: ClassVar[Mapping[str, str | None]] = {}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            today = name_of_today(type(self), name)
            if today is not None:
                self.__dict__[today] = value


def name_of_today(cls: type, name: str) -> str | None:
    """The name of an attribute that a file holds; None where the class no longer keeps it."""
    if not issubclass(cls, FormerNames):
        return name
    return cls.former_names.get(name, name)
