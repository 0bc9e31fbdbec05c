"""Files that are complete or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from sdv_wgangp.persistence import durable
from sdv_wgangp.persistence.durable import write_durably


def names(folder) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def partial(folder, process: int, host: str | None = None):
    host = durable.host() if host is None else host
    path = folder / f".a.bin.{host}.{process}-0123abcd.partial"
    path.write_bytes(b"half")
    return path


def dead_process() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_parts_are_written_one_after_the_other_and_replace_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    write_durably(path, b"new", memoryview(b" content"))
    assert path.read_bytes() == b"new content"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable.os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["a.bin"]


def test_the_disk_has_the_file_before_its_name_and_the_name_before_it_returns(
    tmp_path, monkeypatch
):
    events = []
    real = os.fsync, os.replace

    def fsync(handle):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        real[0](handle)

    def replace(source, target):
        events.append("name")
        real[1](source, target)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    monkeypatch.setattr(durable.os, "replace", replace)
    write_durably(tmp_path / "a.bin", b"new")
    assert events == ["file", "name", "folder"]


def test_leftovers_of_dead_writers_are_removed_and_no_others(tmp_path):
    left = partial(tmp_path, dead_process())
    of_own_number = partial(tmp_path, os.getpid())  # of a process before, in a container perhaps
    alive = partial(tmp_path, os.getppid())
    elsewhere = partial(tmp_path, 1, "another-machine")
    foreign = tmp_path / ".notes.partial"
    foreign.write_bytes(b"")
    write_durably(tmp_path / "b.bin", b"new")
    assert not left.exists()
    assert not of_own_number.exists()
    assert all(each.exists() for each in (alive, elsewhere, foreign))


def test_two_writers_of_one_name_do_not_meet(tmp_path, monkeypatch):
    real, path = os.fsync, tmp_path / "a.bin"

    def fsync(handle):
        monkeypatch.setattr(durable.os, "fsync", real)
        write_durably(path, b"second")  # while the first is at it
        real(handle)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    write_durably(path, b"first")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["a.bin"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "none" / "a.bin", b"new")
