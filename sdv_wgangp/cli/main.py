"""The program: its commands, its version, and how errors end it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from sdv_wgangp.cli import demo, fit, report, sample, status
from sdv_wgangp.cli.options import Parser
from sdv_wgangp.cli.output import streams
from sdv_wgangp.cli.termination import terminable
from sdv_wgangp.user_errors import one_line

COMMANDS = (fit, sample, report, demo, status)


class Version(argparse.Action):
    """Prints the versions of the program and of what it stands on."""

    def __init__(self, option_strings: Sequence[str], dest: str, **others: Any):
        super().__init__(option_strings, dest, nargs=0, **others)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from importlib.metadata import version

        from sdv_wgangp import __version__

        others = ", ".join(f"{name} {version(name)}" for name in ("sdv", "sdmetrics", "torch"))
        print(f"sdv-wgangp {__version__} ({others})")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``sdv-wgangp`` and its subcommands."""
    parser = Parser(
        prog="sdv-wgangp",
        description="Synthetic tables by a Wasserstein GAN with gradient penalty, for SDV.",
        epilog=(
            "examples:\n"
            "  sdv-wgangp demo\n"
            "  sdv-wgangp fit people.csv --model people.safetensors --holdout 0.1\n"
            "  sdv-wgangp sample people.safetensors --rows 10000 --output synthetic.csv\n"
            "  sdv-wgangp report people.train.csv synthetic.csv --holdout people.holdout.csv "
            "--html report.html\n"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, help="show the versions and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is success, 1 a defect of the program, 2 an error of use, 130 an interruption by Ctrl-C, 143
    a request to terminate (129 a terminal that was closed).
    """
    with streams(), terminable():
        options = build_parser().parse_args(arguments)
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    """The command, and the exit code of how it ended."""
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print(f"sdv-wgangp {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who read our output has seen enough
        return 0
    except Exception as error:
        if options.debug:
            raise
        if _is_users(error):
            print(f"sdv-wgangp {options.command}: error: {one_line(error)}", file=sys.stderr)
            return 2
        print(
            f"sdv-wgangp {options.command}: unexpected {type(error).__name__}: "
            f"{one_line(error)} (--debug shows where)",
            file=sys.stderr,
        )
        return 1


def _is_users(error: Exception) -> bool:
    """Whether an exception tells what to put right, and not of a defect of the program."""
    if isinstance(error, ValueError | ImportError | OSError):
        return True
    return type(error).__module__.split(".")[0] in ("sdv_wgangp", "sdv", "rdt", "sdmetrics")
