"""What the tests of players share."""

import sys
from pathlib import Path

# The network stands beside the tests: their folder goes on the import path.
sys.path.insert(0, str(Path(__file__).resolve().parent))
