"""Files that are there completely or not at all, whatever ends the process or the machine."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not of POSIX
    fcntl = None  # type: ignore[assignment]

_PARTIAL = re.compile(r"\..*\.(?P<host>[\w-]*)\.(?P<process>\d+)-[0-9a-f]{8}\.partial", re.DOTALL)
# Of this process, while it writes them.
_writing: set[Path] = set()


def write_durably(path: str | Path, *parts: bytes | memoryview) -> None:
    """Write a file that survives a crash of the machine, and that nobody ever sees half-written.

    The bytes go to a temporary file beside it, which takes its name once they are on the disk:
    whoever opens ``path`` finds what was there before or all of what is new. Two writers never
    share a temporary file. Those that killed processes have left in the folder are removed.

    Args:
        path: The file; one that exists is replaced.
        parts: Its content, one after the other.

    Raises:
        OSError: It cannot be written: the folder does not exist or cannot be written to, the disk
            is full. What was there before is untouched, and nothing else is left.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.bin"
        >>> write_durably(path, b"1 2 ", b"3")
        >>> path.read_bytes()
        b'1 2 3'
    """
    with partial_file(path) as partial, open(partial, "xb") as file:
        for part in parts:
            file.write(part)


@contextlib.contextmanager
def partial_file(path: str | Path, keep: bool = True) -> Iterator[Path]:
    """A place for a file's new content, which takes its name at the end of the block.

    By then its bytes are on the disk. An error in the block leaves what was there before.

    Args:
        path: The file.
        keep: Whether it takes its name; otherwise it is removed.

    Yields:
        The place, beside the file and of this block alone; nothing is there yet.

    Raises:
        OSError: It cannot be put where it belongs.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
        >>> with partial_file(path) as partial:
        ...     _ = partial.write_text("1 2 3")
        ...     path.exists()
        False
        >>> path.read_text()
        '1 2 3'
    """
    # A link stays one: what it leads to is replaced.
    path = Path(os.path.realpath(path))
    remove_leftovers(path.parent)
    partial = path.with_name(f".{path.name}.{host()}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    _writing.add(partial)
    try:
        yield partial
        if keep:
            with open(partial, "rb+") as file:
                os.fsync(file.fileno())
            with contextlib.suppress(OSError):  # a new file has those of new files
                shutil.copymode(path, partial)
            os.replace(partial, path)
            _sync_folder(path.parent)
    finally:
        # Should it stay (a disk that fails), the next write tries again.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        _writing.discard(partial)


class InUseError(ValueError):
    """Another process, or another training of this one, writes to the folder."""


class FolderClaim:
    """A folder to oneself, until `release` or the end of the process, however it comes.

    Where the system or the file system has no locks nothing is claimed.

    Args:
        folder: That is there.

    Raises:
        InUseError: Somebody else has it.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> claim = FolderClaim(folder)
        >>> FolderClaim(folder)
        Traceback (most recent call last):
        sdv_wgangp.persistence.durable.InUseError: ... is in use by another training
        >>> claim.release()
    """

    def __init__(self, folder: str | Path):
        self._descriptor: int | None = None
        if fcntl is None:
            return
        self._descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise InUseError(f"{folder} is in use by another training") from error
        except OSError:  # of network file systems not all have locks
            self.release()

    def release(self) -> None:
        """Give the folder back; again does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of writers that are dead. What cannot be removed stays."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob(".*.partial"):
            found = _PARTIAL.fullmatch(leftover.name)
            # Of another machine that shares the folder nobody here knows who is alive.
            if found is None or found["host"] != host() or leftover in _writing:
                continue
            process = int(found["process"])
            if process == os.getpid() or not _alive(process):
                with contextlib.suppress(OSError):
                    leftover.unlink(missing_ok=True)


def host() -> str:
    """The name of this machine, as it stands in names of files."""
    return re.sub(r"[^\w-]", "-", platform.node())[:64]


def _alive(process: int) -> bool:
    if os.name == "nt":  # where open files cannot be removed, and `os.kill` ends processes
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Let the folder's new entry reach the disk, too."""
    if os.name == "nt":  # folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)
