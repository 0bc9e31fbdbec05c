"""What the tests of the synthesizer share."""

import sys
from pathlib import Path

# The tables stand beside the tests: their folder goes on the import path.
sys.path.insert(0, str(Path(__file__).resolve().parent))
