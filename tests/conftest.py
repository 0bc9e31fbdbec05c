"""What all tests share."""

import os
import signal

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


@pytest.fixture(autouse=True)
def _the_same_random_numbers_in_any_order():
    torch.manual_seed(0)
    np.random.seed(0)
