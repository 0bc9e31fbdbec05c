"""Modules that have moved, for the pickles of earlier releases.

A pickle names the module of every class. Python asks `Moved` where it finds no module of that name
itself, and gets the module of today: its classes are the same objects under both names.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

# The former name of a module, and the one of today, within the package.
MOVED = {
    "models.balancing": "calibration.balancing",
    "models.calibration": "calibration.calibrate",
    "models.cells": "calibration.cells",
    "models.conditional_calibration": "calibration.conditional",
    "models.cost": "models.warn",
    "models.density_ratio": "calibration.ratio",
    "models.extremes": "calibration.extremes",
    "models.raking": "calibration.raking",
    "models.refined_ratio": "calibration.ratio",
    "models.value_calibration": "calibration.values",
    "saved_classes": "synthesizers.saved_classes",
    "saving": "synthesizers.loading",
    "sdv_versions": "synthesizers.sdv_versions",
    "training.trainer": "training.log",
    "transformers": "synthesizers.transformers",
}
_PACKAGE = __name__.rpartition(".")[0]


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `MOVED` by their former names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of a module that has moved; None of any other."""
        package, _, name = fullname.partition(".")
        if package != _PACKAGE or name not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of an empty one."""
        former = module.__name__
        today = MOVED[former.partition(".")[2]]
        # The import system takes a module from here when its loader is done.
        sys.modules[former] = importlib.import_module(f"{_PACKAGE}.{today}")


def install() -> None:
    """Have imports that find nothing ask `Moved`; once, however often it is called."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())
