"""How commands and their options are declared; those of the synthesizer come from its table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from sdv_wgangp.cli.output import shows_progress
from sdv_wgangp.parameters import GROUPS, PARAMETERS, Parameter
from sdv_wgangp.user_errors import one_line
from sdv_wgangp.values import Choice, Flag, number


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    examples: Sequence[str],
    more: str = "",
    usage: str | None = None,
) -> argparse.ArgumentParser:
    """The parser of a subcommand.

    Args:
        commands: The subparsers of ``sdv-wgangp``.
        name: Of the command.
        run: Carries it out, and returns the exit code.
        text: What it does, without a capital.
        examples: Command lines, without the program.
        more: Further sentences for its own help.
        usage: What follows the name in its first line, where not all options are to; None lists
            them.
    """
    parser = commands.add_parser(
        name,
        help=text,
        usage=usage and f"%(prog)s {usage}",
        description=f"{text[0].upper()}{text[1:]}. {more}".strip(),
        epilog="examples:\n" + "\n".join(f"  sdv-wgangp {line}" for line in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, verbose=False, quiet=False)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_loudness(parser: argparse.ArgumentParser) -> None:
    """``--verbose`` or ``--quiet``."""
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("--verbose", action="store_true", help=PARAMETERS["verbose"].help)
    loud.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_reading(parser: argparse.ArgumentParser, file: str) -> None:
    """What a text file leaves open, for those who know; otherwise it is detected, and said.

    Args:
        parser: Of the command.
        file: What its help calls the file.
    """
    group = parser.add_argument_group(
        f"{file} as a text file", "What is not given is detected, and said."
    )
    group.add_argument(
        "--separator", metavar="C", help="of values: one character, or comma, semicolon, tab, bar"
    )
    group.add_argument("--decimal", metavar="C", help="decimal mark: point or comma")
    group.add_argument("--encoding", metavar="NAME", help="like utf-8, cp1252, utf-16")
    group.add_argument(
        "--na",
        action="append",
        default=[],
        metavar="TEXT",
        help="stands for a missing value, beside empty cells; can be given several times",
    )
    group.add_argument(
        "--dtype",
        action="append",
        default=[],
        type=reading(_column_type),
        metavar="COLUMN=TYPE",
        help="text or number; can be given several times",
    )
    header = group.add_mutually_exclusive_group()
    header.add_argument(
        "--header", action="store_true", default=None, help="the first line names the columns"
    )
    header.add_argument(
        "--no-header", dest="header", action="store_false", help="the first line is a row"
    )


def _column_type(text: str) -> tuple[str, str]:
    """A column and its type.

    Example:
        >>> _column_type("zip=text")
        ('zip', 'text')
    """
    name, found, kind = text.rpartition("=")
    if not found or not name:
        raise ValueError(f"{text} is not like zip=text")
    return name, kind


def given_format(options: argparse.Namespace) -> Any:
    """The `files.Format` that a command line gives.

    Raises:
        UserError: It contradicts itself.
    """
    from sdv_wgangp.files import Format

    names = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "point": "."}
    return Format(
        separator=names.get(options.separator, options.separator),
        decimal=names.get(options.decimal, options.decimal),
        encoding=options.encoding,
        header=options.header,
        na=tuple(options.na),
        dtype=dict(options.dtype),
    )


def add_parameters(
    parser: argparse.ArgumentParser,
    defaults: Mapping[str, Any] | None = None,
    leave_out: Iterable[str] = (),
) -> None:
    """An option for each parameter of the synthesizer, under the heading of its group.

    Args:
        parser: Of a command that fits.
        defaults: Those of the command, where they are not the synthesizer's.
        leave_out: Parameters whose option the command declares itself, with their names as
            ``dest``.
    """
    groups = {title: parser.add_argument_group(title) for title in GROUPS}
    for name, parameter in PARAMETERS.items():
        if parameter.group in groups and name not in leave_out:
            _add_parameter(groups[parameter.group], parameter, (defaults or {}).get(name))


def _add_parameter(group: Any, parameter: Parameter, default: Any) -> None:
    """One option; what is not given is None, and the synthesizer has its own default."""
    shown = parameter.default if default is None else default
    if isinstance(parameter.kind, Flag):
        group.add_argument(
            parameter.option,
            dest=parameter.name,
            action="store_const",
            const=not parameter.default,
            default=default,
            help=parameter.help,
        )
        return
    text = parameter.help
    if isinstance(parameter.kind, Choice):
        text += f": {', '.join(parameter.kind.names)}"
    if shown is not None:
        text += f" (default: {parameter.text_of(shown)})"
    group.add_argument(
        parameter.option,
        dest=parameter.name,
        type=reading(parameter.from_text),
        metavar=parameter.unit.upper() or parameter.kind.metavar,
        default=default,
        help=text,
    )


def given_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of the synthesizer that a command line gives.

    Example:
        >>> parser = Parser()
        >>> add_parameters(parser)
        >>> parser.set_defaults(verbose=True, quiet=False)
        >>> given_parameters(parser.parse_args(["--pac", "5", "--no-calibrate"]))
        {'calibrate': False, 'pac': 5, 'verbose': True}
    """
    values = {name: getattr(options, name, None) for name in sorted(PARAMETERS)}
    values["verbose"] = shows_progress(options)
    return {name: value for name, value in values.items() if value is not None}


def reading(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader of texts as a type of argparse, which shows the errors of no other kind."""

    def converted(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def fraction(text: str) -> float:
    """A share between 0 and 1."""
    value = number(text, "share")
    if not 0 < value < 1:
        raise ValueError(f"{text} is not a share between 0 and 1")
    return value
