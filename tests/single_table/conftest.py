"""What the tests of the synthesizer share."""

import sys
from pathlib import Path

import pytest

from sdv_wgangp.calibration import sizes

# The tables stand beside the tests: their folder goes on the import path.
sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture
def quick(monkeypatch):
    """Little calibration: for what holds however little is learned (as the steps of `FAST`)."""
    monkeypatch.setattr(sizes, "POOL_ROWS", 2**12)
