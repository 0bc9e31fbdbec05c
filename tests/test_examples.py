"""The examples run, are short, and do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def check_ring(output: str) -> None:
    found = re.findall(r"^(\S+) +(\d) of 8 +([\d.]+) %$", output, re.MULTILINE)
    assert [name for name, *_ in found] == ["gan", "wgan", "wgan-gp"]
    for name, covered, near in found:
        assert int(covered) >= 6, name
        assert 30 < float(near) < 100, name


def check_own_modules(output: str) -> None:
    line = r"^(\S+) +standard deviation (\S+) quiet, (\S+) loud$"
    found = re.findall(line, output, re.MULTILINE)
    assert [name for name, *_ in found] == ["real", "generated"]
    quiet, loud = (float(size) for size in found[1][1:])
    assert 0.1 < quiet < 0.6 < loud < 1.6


def check_table(output: str) -> None:
    assert len(re.findall(r"^epoch \d: generator", output, re.MULTILINE)) == 8
    found = re.findall(r"^  (\w+) +([\d.]+) +([\d.]+)$", output, re.MULTILINE)
    assert [name for name, *_ in found] == ["Africa", "Americas", "Asia", "Europe", "Oceania"]
    assert all(abs(float(real) - float(synthetic)) < 12 for _, real, synthetic in found)


def check_sequences(output: str) -> None:
    assert re.search(r"^\d+ rows of 200 machines, 0 steps back in time$", output, re.MULTILINE)
    line = r"^old (\w+) +wear a check: real ([\d.]+), synthetic ([\d.]+)$"
    found = re.findall(line, output, re.MULTILINE)
    assert [name for name, *_ in found] == ["False", "True"]
    assert all(abs(float(real) - float(synthetic)) < 0.8 for _, real, synthetic in found)
    assert "machine 1 after" in output


def check_stop_and_resume(output: str) -> None:
    assert "stopped after 1 whole epochs" in output
    assert "resumed:  4 epochs" in output
    assert "the same rows as without the interruption: True" in output


def check_tensorboard(output: str) -> None:
    assert "written to runs" in output


CHECKS = {
    "ring.py": check_ring,
    "own_modules.py": check_own_modules,
    "table.py": check_table,
    "sequences.py": check_sequences,
    "stop_and_resume.py": check_stop_and_resume,
    "watched_fit.py": check_tensorboard,
}
NEEDED = {"watched_fit.py": "tensorboard"}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_runs(path, tmp_path):
    if path.name in NEEDED:
        pytest.importorskip(NEEDED[path.name])
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    result = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES.parent)},
    )
    assert result.returncode == 0, result.stderr
    CHECKS[path.name](result.stdout)
    if path.name == "watched_fit.py":
        assert list(tmp_path.glob("runs/**/events.out.*"))
