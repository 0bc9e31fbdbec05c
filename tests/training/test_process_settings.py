"""Settings of the process that trainings change: threads that train at once share them."""

import threading

import pytest
import torch
from torch import nn

from sdv_wgangp.objectives.adversarial import objective
from sdv_wgangp.training.loop import train
from sdv_wgangp.training.precision import matmul_precision
from sdv_wgangp.training.runs import run_of
from sdv_wgangp.training.sources import TensorSource


def test_the_last_of_two_threads_restores_the_precision():
    before = torch.get_float32_matmul_precision()
    other_is_in, first_is_out = threading.Event(), threading.Event()
    seen = []

    def other():
        with matmul_precision("medium"):
            other_is_in.set()
            assert first_is_out.wait(60)
            seen.append(torch.get_float32_matmul_precision())

    thread = threading.Thread(target=other)
    with matmul_precision("medium"):
        thread.start()
        assert other_is_in.wait(60)
    first_is_out.set()
    thread.join()
    assert seen == ["medium"]
    assert torch.get_float32_matmul_precision() == before


def test_another_precision_waits_for_its_turn():
    seen, begun = [], threading.Event()

    def other():
        begun.set()
        with matmul_precision("highest"):
            seen.append(torch.get_float32_matmul_precision())

    thread = threading.Thread(target=other)
    with matmul_precision("medium"):
        thread.start()
        assert begun.wait(60)
        thread.join(0.1)
        assert thread.is_alive()
        with matmul_precision("medium"):  # its own thread may come in again
            pass
        with (
            pytest.raises(RuntimeError, match="inside another precision"),
            matmul_precision("high"),
        ):
            pass
        assert not seen
    thread.join(60)
    assert seen == ["highest"]


def test_trainings_in_threads_leave_the_global_generator_as_it_was():
    def new_run():
        critic = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1), nn.Flatten(0))
        return run_of(nn.Linear(4, 2), critic, objective("gan"), noise=4, seed=0)

    source, meeting = TensorSource(torch.zeros(64, 2), batch_size=16), threading.Barrier(2)
    runs = {1: new_run(), 20: new_run()}
    before = torch.get_rng_state()

    def meet(log):
        if log.epoch == 0:
            meeting.wait(60)

    threads = [
        threading.Thread(target=train, args=(run, source, epochs, [meet]))
        for epochs, run in runs.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.epoch for run in runs.values()] == [1, 20]
    assert torch.equal(torch.get_rng_state(), before)
