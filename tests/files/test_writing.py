"""Files are there whole or not at all, and no input is overwritten."""

import os
import subprocess
import sys
import threading

import pandas as pd
import pytest

from sdv_wgangp.files import (
    TableWriter,
    check_folder,
    check_outputs,
    read_table,
    write_table,
    write_text,
)
from sdv_wgangp.user_errors import UserError

FRAME = pd.DataFrame({"x": [1, 2], "word": ["a", "b"]})


@pytest.mark.parametrize(
    "name", ["t.csv", "t.tsv", "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.parquet"]
)
def test_pieces_become_one_table(name, tmp_path):
    with TableWriter(tmp_path / name) as out:
        out.write(FRAME)
        out.write(FRAME)
    assert os.listdir(tmp_path) == [name]
    pd.testing.assert_frame_equal(
        read_table(tmp_path / name), pd.concat([FRAME, FRAME], ignore_index=True)
    )


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_an_error_leaves_what_was_there(name, tmp_path):
    write_table(FRAME, tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def fail():
        with TableWriter(tmp_path / name) as out:
            out.write(FRAME)
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fail()
    assert (tmp_path / name).read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_two_writers_do_not_disturb_each_other(name, tmp_path):
    meeting, wrong = threading.Barrier(2, timeout=60), []

    def write(number):
        try:
            with TableWriter(tmp_path / name) as out:
                for _ in range(20):
                    meeting.wait()
                    out.write(pd.DataFrame({"x": [number] * 100}))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    found = read_table(tmp_path / name)
    assert len(found) == 2000
    assert found["x"].nunique() == 1
    assert os.listdir(tmp_path) == [name]


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path):
    code = (
        "import os, sys, pandas as pd; from sdv_wgangp.files import TableWriter\n"
        "with TableWriter(sys.argv[1]) as out:\n"
        "    out.write(pd.DataFrame({'x': [1]})); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "t.csv"], check=False)
    assert len(os.listdir(tmp_path)) == 1
    write_table(FRAME, tmp_path / "other.csv")
    assert os.listdir(tmp_path) == ["other.csv"]


def test_links_and_modes_stay(tmp_path):
    target, link = tmp_path / "t.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


def test_pipes_and_standard_output(tmp_path, capsys):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_table(FRAME, pipe)
    reader.join(60)
    assert read == ["x,word\n1,a\n2,b\n"]
    write_table(FRAME, "-")
    assert capsys.readouterr().out == "x,word\n1,a\n2,b\n"


def test_parquet_keeps_the_types_of_pandas(tmp_path):
    whole = pd.array([2**53 + 1, None, 2**53 + 3], "Int64")
    frame = pd.DataFrame({"k": whole, "t": pd.array([True, None, False], "boolean")})
    write_table(frame, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)


def test_outputs_that_are_inputs_are_refused(tmp_path):
    data, other = tmp_path / "d.csv", tmp_path / "e.csv"
    data.write_text("a\n1\n")
    (tmp_path / "link.csv").symlink_to(data)
    os.link(data, tmp_path / "hard.csv")
    check_outputs([other], [data])
    for same in (data, tmp_path / "link.csv", tmp_path / "hard.csv", tmp_path / "x/../d.csv"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(UserError, match="would be overwritten, and is read as well"):
            check_outputs([other, same], [data])
    with pytest.raises(UserError, match="is another output"):
        check_outputs([other, other], [data])


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="does not exist; create it"):
        check_folder(tmp_path / "no/t.csv")
    with pytest.raises(UserError, match="is a folder"):
        check_folder(tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UserError, match=r"t\.csv: cannot be written: No space left"):
        check_folder(tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())
