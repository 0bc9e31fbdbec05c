"""Runs commands of ``sdv-wgangp``, each in a process of its own that has imported everything.

Reads one JSON object a line: ``arguments``, ``stdout`` and ``stderr`` (a path, "closed", or
"broken" for a pipe without a reader), ``encoding`` of both, ``cwd``, ``modes``: whether root obeys
those of files, ``bytes`` that a file may have, ``watched``, a folder, and ``events``: how many
operations on files in it (open, rename, remove) the process makes before it is sent ``signal``.
Answers with the process's number; ``{"wait": number}`` with how it ended.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import resource
import sys
import warnings


def main() -> None:
    import sklearn.ensemble  # noqa: F401

    import sdv_wgangp.cli.metadata
    import sdv_wgangp.cli.models
    import sdv_wgangp.reporting.report
    import sdv_wgangp.single_table  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        if "wait" in told:
            _, status = os.waitpid(told["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        process = os.fork()
        if process == 0:
            sys.exit(command(told))
        print(process, flush=True)


def command(told: dict) -> int:
    """What the new process does."""
    from sdv_wgangp import cli

    os.chdir(told["cwd"])
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdout = stream(1, told["stdout"], told.get("encoding", "utf-8"), "strict")
    sys.stderr = stream(2, told["stderr"], told.get("encoding", "utf-8"), "backslashreplace")
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    if "bytes" in told:
        resource.setrlimit(resource.RLIMIT_FSIZE, (told["bytes"],) * 2)
    if told.get("modes"):
        obey_modes()
    if "events" in told:
        end_after(told["events"], told["watched"], told["signal"])
    warnings.simplefilter("default")
    return cli.main(told["arguments"])


def stream(number: int, place: str, encoding: str, errors: str) -> io.TextIOWrapper | None:
    """A standard stream as Python makes it at its start."""
    if place == "closed":
        os.close(number)
        return None
    if place == "broken":
        read, written = os.pipe()
        os.close(read)
    else:
        written = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(written, number)
    os.close(written)
    return open(number, "w", encoding=encoding, errors=errors, closefd=False)


def obey_modes() -> None:
    """Give root's right away to write where the modes of files forbid it (capabilities(7))."""
    if os.geteuid():
        return
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Twice 32 bits of each of: effective, permitted, inheritable.
    sets = (ctypes.c_uint32 * 6)()
    if library.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    dac_override = 1
    sets[0] &= ~(1 << dac_override)
    sets[1] &= ~(1 << dac_override)
    if library.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def end_after(events: int, folder: str, number: int) -> None:
    """Signal oneself at an operation on a file of the folder."""
    left = events

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event not in ("open", "os.rename", "os.remove", "os.link") or left < 0:
            return
        if any(isinstance(each, str) and each.startswith(folder) for each in map(text, arguments)):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def text(value: object) -> object:
    return os.fsdecode(value) if isinstance(value, bytes | os.PathLike) else value


if __name__ == "__main__":
    main()
