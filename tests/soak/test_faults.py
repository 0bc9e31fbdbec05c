"""Whatever ends fit, sample or report: every file is the old one or the new one, and whole.

Faults are drawn with a seed: SIGKILL and SIGTERM at a time or at an operation on a file, a full
disk, a limit on the size of files, folders that cannot be written to, closed, full and broken
streams, streams of other encodings, two runs to one output. After each, every output is what was
there before or complete, no input has changed, nobody has seen a traceback, and the next run
leaves no temporary file. `SOAK=1` tries 351 of them, otherwise a seeded 13 and those of a fit's
streams.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sdv_wgangp.synthesizers import loading

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
SOAK = os.environ.get("SOAK") == "1"
SERVER = Path(__file__).with_name("command_server.py")
ROWS = 400
SMALL = [
    *("--epochs", "1", "--min-steps-per-epoch", "2", "--batch-size", "50", "--embedding-dim", "4"),
    *("--generator-dim", "8", "--discriminator-dim", "8", "--no-calibrate", "--seed", "1"),
]
COMMANDS = {
    "fit": ["fit", "people.csv", "--model", "out/m.safetensors", "--holdout", "0.2", *SMALL],
    "sample": ["sample", "model.safetensors", "--rows", str(ROWS), "--output", "out/s.csv"],
    "report": [
        *("report", "people.csv", "drawn.csv", "--holdout", "drawn.csv"),
        *("--html", "out/r.html", "--json", "out/r.json"),
    ],
}
OUTPUTS = {
    "fit": ("m.safetensors", "m.metadata.json", "m.train.csv", "m.holdout.csv"),
    "sample": ("s.csv",),
    "report": ("r.html", "r.json"),
}
FAULTS = (
    "killed",
    "killed at a file",
    "terminated",
    "terminated at a file",
    "disk full",
    "size limit",
    "read-only",
    "closed",
    "full",
    "broken",
    "ascii",
    "cp1252",
    "two at once",
)
OLD = b"what was there before"
CASES = list(itertools.product(COMMANDS, FAULTS, range(9)))
if not SOAK:
    # Faults of streams have no time: one turn of each is all that there is.
    streams = [("fit", fault, 0) for fault in ("closed", "full", "broken", "ascii", "cp1252")]
    others = [case for case in CASES if case[-1] == 0 and case not in streams]
    CASES = sorted(streams + random.Random(0).sample(others, 13))


class Server:
    """Starts commands, and tells how they ended."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._answer() == "ready"

    def start(self, **told: Any) -> int:
        return int(self._ask(told))

    def wait(self, process: int) -> int:
        return int(self._ask({"wait": process}))

    def _ask(self, told: dict[str, Any]) -> str:
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


class Place:
    """A folder with inputs, a model, and ``out``, which is open to others, too."""

    def __init__(self, folder: Path, server: Server):
        self.folder, self.server = folder, server
        self.out = folder / "out"
        rng = np.random.default_rng(0)
        people = pd.DataFrame({"größe": rng.normal(170, 9, 200).round(1), "ort": "Köln"})
        people.loc[::3, "ort"] = "Łódź"
        people.to_csv(folder / "people.csv", index=False)
        self.out.mkdir()
        for arguments in (
            ["fit", "people.csv", "--model", "model.safetensors", *SMALL],
            ["sample", "model.safetensors", "--rows", "100", "--output", "drawn.csv"],
        ):
            assert self.run(arguments) == 0, self.told()
        for path in (folder, self.out, *folder.iterdir()):
            path.chmod(0o777 if path.is_dir() else 0o644)
        self._inputs = self._contents(folder)

    @staticmethod
    def _contents(folder: Path) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.is_file() and path.name not in ("stdout", "stderr")
        }

    def start(self, arguments: list[str], **told: Any) -> int:
        streams = {name: str(self.folder / name) for name in ("stdout", "stderr")}
        return self.server.start(
            arguments=arguments, **({"cwd": str(self.folder)} | streams | told)
        )

    def run(self, arguments: list[str], **told: Any) -> int:
        return self.server.wait(self.start(arguments, **told))

    def told(self) -> str:
        return "".join(
            (self.folder / name).read_text(encoding="utf-8", errors="replace")
            for name in ("stdout", "stderr")
            if (self.folder / name).exists()
        )

    def begin(self, command: str, old: bool) -> None:
        """Nothing is there, or old files are."""
        for path in self.out.iterdir():
            if not path.name.startswith("."):  # what the last one left, its next run removes
                path.unlink()
        for name in ("stdout", "stderr"):
            (self.folder / name).unlink(missing_ok=True)
        for name in OUTPUTS[command] if old else ():
            # The metadata of before are read, and have to agree.
            if name != "m.metadata.json":
                (self.out / name).write_bytes(OLD)
                (self.out / name).chmod(0o666)

    def check(self, command: str, code: int, complete: bool) -> None:
        """That all files are whole, and of a run that succeeded new."""
        assert self._contents(self.folder) == self._inputs
        told = self.told()
        assert "Traceback" not in told
        assert "unexpected" not in told
        for name in OUTPUTS[command]:
            path = self.out / name
            there = path.exists() and path.read_bytes() != OLD
            assert there or code != 0 or not complete, (name, told)
            if there:
                whole(path)

    def hidden(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir() if path.name.startswith("."))


def whole(path: Path) -> None:
    """Fail unless a file is complete."""
    if path.suffix == ".safetensors":
        assert len(loading.load_model(path).sample(5)) > 0
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    else:
        rows = {"s.csv": ROWS, "m.train.csv": 160, "m.holdout.csv": 40}[path.name]
        frame = pd.read_csv(path)
        assert len(frame) == rows
        assert set(frame["ort"]) == {"Köln", "Łódź"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def place(server) -> Iterator[Place]:
    # Not below pytest's own folder, which others cannot enter.
    folder = Path(tempfile.mkdtemp())
    yield Place(folder, server)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def seconds(place) -> dict[str, float]:
    """How long the commands take when nothing happens to them."""
    found = {}
    for command, arguments in COMMANDS.items():
        place.begin(command, old=False)
        started = time.perf_counter()
        assert place.run(arguments) == 0, place.told()
        found[command] = time.perf_counter() - started
        place.check(command, 0, complete=True)
    return found


@contextlib.contextmanager
def full_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes there."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("command", "fault", "turn"), CASES)
def test_every_file_is_old_or_new_and_whole(command, fault, turn, place, seconds):
    chance = random.Random(f"{command} {fault} {turn}")
    arguments = COMMANDS[command]
    place.begin(command, old=chance.random() < 0.5)
    if fault.endswith("at a file"):
        number = signal.SIGKILL if fault.startswith("killed") else signal.SIGTERM
        code = place.run(
            arguments,
            events=chance.randrange(8 if command == "sample" else 20),
            watched=str(place.out),
            signal=number,
        )
        assert code in (0, -number, 128 + number)
    elif fault in ("killed", "terminated"):
        number = signal.SIGKILL if fault == "killed" else signal.SIGTERM
        process = place.start(arguments)
        time.sleep(chance.random() * seconds[command])
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
        code = place.server.wait(process)
        assert code in (0, -number, 128 + number)
    elif fault == "disk full":
        with full_disk(place.out, 4096 * chance.randrange(1, 40)):
            code = place.run(arguments)
            assert code in (0, 1, 2), place.told()
            place.check(command, code, complete=code == 0)
            assert not place.hidden()
    elif fault == "size limit":
        code = place.run(arguments, bytes=chance.randrange(1, 100_000))
        assert code in (0, 1, 2), place.told()
    elif fault == "read-only":
        place.out.chmod(0o555)
        try:
            assert place.run(arguments, modes=True) == 2, place.told()
        finally:
            place.out.chmod(0o777)
        code = 2
        assert "cannot be written" in place.told() or "read-only" in place.told()
    elif fault in ("closed", "full", "broken"):
        stream = "/dev/full" if fault == "full" else fault
        streams = chance.choice([("stdout",), ("stderr",), ("stdout", "stderr")])
        code = place.run(arguments, **dict.fromkeys(streams, stream))
        # The text of a report is its result.
        assert code == 0 or (command, code) == ("report", 2)
    elif fault in ("ascii", "cp1252"):
        code = place.run(arguments, encoding=fault)
        assert code == 0, place.told()
    else:
        both = [place.start(arguments) for _ in range(2)]
        codes = [place.server.wait(process) for process in both]
        assert codes == [0, 0], place.told()
        code = 0
    if fault != "disk full":
        place.check(command, code, complete=True)
    # What was killed could not tidy up; the next run does, of whichever command.
    if fault.startswith("killed"):
        assert place.run(COMMANDS["sample"]) == 0, place.told()
        place.check("sample", 0, complete=True)
    assert not place.hidden()
