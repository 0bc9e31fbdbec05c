"""What all tests share."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

# A shell without a terminal starts background jobs with Ctrl-C ignored, and so would the processes
# that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Several processes of tests share the cores (pytest-xdist): more threads than cores would wait for
# each other. The environment is for the processes that tests start.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    threads = max((os.cpu_count() or 1) // workers, 1)
    torch.set_num_threads(threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

# Fits, processes of their own, thousands of sizes: all tests of these take minutes together. What
# else there is has the mark "fast" (`pytest -m fast`), but for repetitions.
SLOW = (
    *("benchmarks", "soak", "single_table", "models", "calibration", "reporting", "plots"),
    *("ops/test_status.py", "ops/test_tree_scores.py", "ops/test_critic_step.py"),
    *("ops/test_penalty.py", "persistence/test_model_files.py"),
    *("training/test_trackers.py", "training/test_training.py", "training/test_checkpoints.py"),
    *("test_cli.py", "test_docs.py", "test_examples.py", "test_multi_table.py", "test_package.py"),
    *("test_reproducible.py", "test_compatibility.py", "test_recipes.py"),
)


# Of the cases of these in a file the first is fast: seconds each, and one shows what most faults
# would be.
ONCE = ("test_opcheck", "test_every_level_gets_its_share_of_the_unit_interval")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root, seen = Path(__file__).parent, set()
    for item in items:
        place, name = item.path.relative_to(root).as_posix(), item.name.split("[")[0]
        repeated = name in ONCE and (place, name) in seen
        seen.add((place, name))
        if not (repeated or place.startswith(SLOW)):
            item.add_marker("fast")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process has neighbours, whose fixtures it makes once; an idle one takes over a part.

    An argument of pytest could say so, too, but not where there is no pytest-xdist.
    """
    if config.getoption("dist") == "load":
        from xdist.scheduler import WorkStealingScheduling

        return WorkStealingScheduling(config, log)
    return None


@pytest.fixture(autouse=True)
def _the_same_random_numbers_in_any_order():
    torch.manual_seed(0)
    np.random.seed(0)
