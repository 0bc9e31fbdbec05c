"""The examples of the synthesizers' docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from sdv_wgangp import synthesizers

MODULES = [module.name for module in pkgutil.iter_modules(synthesizers.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"sdv_wgangp.synthesizers.{name}")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    assert not doctest.testmod(module, optionflags=flags).failed
