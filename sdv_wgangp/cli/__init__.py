"""``sdv-wgangp``: fit, sample and judge tables from the command line.

Errors of use are one line on standard error, with exit code 2; ``--debug`` shows the traceback.
A command imports what it needs when it runs: ``--help`` waits for neither PyTorch nor SDV.
"""

from sdv_wgangp.cli.main import build_parser, main

__all__ = ["build_parser", "main"]
