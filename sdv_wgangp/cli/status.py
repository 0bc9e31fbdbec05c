"""``sdv-wgangp status``."""

from __future__ import annotations

import argparse
from typing import Any

from sdv_wgangp.cli.options import add_command


def add(commands: Any) -> None:
    """Declare the command."""
    add_command(
        commands,
        "status",
        run,
        "say which operators and searches are compiled and which are not, and why",
        ["status"],
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from sdv_wgangp import ops
    from sdv_wgangp.encoding.relations import counting

    print(ops.status())
    print(counting.status())
    return 0
