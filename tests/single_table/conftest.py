"""What the tests of the synthesizer share."""

import sys
from pathlib import Path

import pytest

from sdv_wgangp.calibration import sizes
from sdv_wgangp.training import settings

# The tables stand beside the tests: their folder goes on the import path.
sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture
def quick(monkeypatch):
    """Four training steps and little calibration: for what holds however little is learned."""
    monkeypatch.setattr(settings, "MIN_STEPS_PER_EPOCH", 4)
    monkeypatch.setattr(sizes, "POOL_ROWS", 2**12)
