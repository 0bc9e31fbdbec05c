"""``python -m sdv_wgangp.cli``."""

import sys

from sdv_wgangp.cli import main

sys.exit(main())
