"""The captured step: when it runs, is captured, replayed; on a GPU, that it is the same step."""

from __future__ import annotations

import contextlib
import functools

import pytest
import torch

from sdv_wgangp.training.graph import GraphedStep


class FakeGraph:
    """Remembers what was called under capture, as a CUDA graph remembers launches."""

    capturing = None

    def __init__(self):
        self.calls, self.generators = [], []

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def pool(self):
        return id(self), 0

    def replay(self):
        for call in self.calls:
            call()


class FakeStream:
    def wait_stream(self, other):
        assert isinstance(other, FakeStream)


@pytest.fixture
def fake_cuda(monkeypatch):
    @contextlib.contextmanager
    def capture(graph, pool):
        FakeGraph.capturing = graph
        yield
        FakeGraph.capturing = None

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())


def test_each_phase_is_warmed_up_captured_once_and_replayed(fake_cuda):
    count, done = torch.zeros(2, dtype=torch.int64), []

    def step(phase):
        launch = functools.partial(count[phase].add_, 1)
        done.append((phase, FakeGraph.capturing is not None))
        if FakeGraph.capturing is None:
            launch()
        else:  # a capture runs nothing
            FakeGraph.capturing.calls.append(launch)
        return count

    random = torch.Generator()
    graphed = GraphedStep(step, random)
    for call in range(1, 8):
        assert graphed(0)[0] == call
    assert graphed(1)[1] == 1
    assert done == [(0, False)] * GraphedStep.WARM_UP + [(0, True), (1, False)]
    (graph, _) = graphed._graphs[0]
    assert graph.generators == [random]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replays_draw_new_random_numbers_and_move_the_same_tensors():
    random = torch.Generator("cuda").manual_seed(0)
    weight = torch.zeros(3, device="cuda")

    def step(phase):
        weight.add_(torch.rand(3, device="cuda", generator=random))
        return weight * 1

    graphed = GraphedStep(step, random)
    results = [graphed(0).clone() for _ in range(8)]
    steps = torch.stack(results).diff(dim=0, prepend=torch.zeros(1, 3, device="cuda"))
    assert (steps > 0).all()
    assert len({tuple(row) for row in steps.tolist()}) == 8
