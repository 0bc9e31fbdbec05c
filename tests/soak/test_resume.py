"""A fit that was stopped, or killed, and resumed in a new process is the fit without the stop.

`SOAK=1` tries every step of every case and 30 kills; otherwise a seeded tenth of them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("resume_worker.py")
specification = importlib.util.spec_from_file_location("resume_worker", WORKER)
worker = importlib.util.module_from_spec(specification)
specification.loader.exec_module(worker)
SOAK = os.environ.get("SOAK") == "1"
EVERY = 1 if SOAK else 10
KILLS = 30 if SOAK else 3


class Server:
    """Runs the worker's fits, each in a process of its own."""

    def __init__(self, hashes: int):
        """``hashes`` seeds those of text, and with them the order of sets."""
        self.process = subprocess.Popen(
            [sys.executable, WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"PYTHONHASHSEED": str(hashes)},
        )

    def work(self, *arguments: object) -> dict[str, str]:
        """What the worker prints."""
        self.process.stdin.write(json.dumps(list(map(str, arguments))) + "\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        assert told is not None, f"{arguments} failed: see standard error"
        return told

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    servers = [Server(hashes) for hashes in (1, 2)]
    yield servers
    for server in servers:
        server.close()


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("case", worker.CASES)
def test_resumed_after_any_step(case, servers, tmp_path):
    first, second = servers
    folder = tmp_path / "checkpoints"
    told = first.work("whole", case, folder)
    assert told["whole"] == told["apart"], "checkpoints change the training"
    order = random.Random(case).sample(range(1, worker.STEPS + 1), worker.STEPS)
    steps = sorted(order[: worker.STEPS // EVERY])
    resumed = second.work("resume", case, folder, *steps)
    assert len(resumed) == len(steps)
    different = [step for step, digest in resumed.items() if digest != told["whole"]]
    assert not different


def test_killed_at_any_time(servers, tmp_path):
    """Also within a write: with a checkpoint after every step most of the time is spent there."""
    case, chance = "meta-features", random.Random(0)
    first, second = servers
    expected = first.work("whole", case, tmp_path / "whole")["apart"]
    killed = 0
    for kill in range(KILLS):
        folder = tmp_path / f"killed-{kill}"
        started = chance.randrange(worker.STEPS)
        process = subprocess.Popen(
            [sys.executable, WORKER, "fit", case, folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        wait_for(folder, started, process)
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert second.work("fit", case, folder) == {"fit": expected}, f"killed after {started}"
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert killed > KILLS / 2  # and not over before


def wait_for(folder: Path, step: int, process: subprocess.Popen) -> None:
    """Until a checkpoint of that step or a later one is there, or the process has ended."""
    while process.poll() is None:
        if folder.is_dir() and any(worker.step_of(path) >= step for path in folder.iterdir()):
            return
        time.sleep(0.002)
