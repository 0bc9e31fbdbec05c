"""The captured step: when it runs, is captured, replayed; on a GPU, that it is the same step."""

from __future__ import annotations

import contextlib
import functools

import pytest
import torch

from sdv_wgangp.players.protocols import Losses
from sdv_wgangp.training.graph import GraphedUpdate


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


class Steps:
    """A run as a graph sees it."""

    def __init__(self, random):
        self.random, self.step = random, 0
        self.gradients, self.max_grad_norm = {}, {}


def test_each_phase_is_warmed_up_captured_once_and_replayed(fake_cuda):
    count, done, random = torch.zeros(2, dtype=torch.int64), [], torch.Generator()
    registered = []

    def update(run, drawn):
        phase = run.step % 2
        launch = functools.partial(count[phase].add_, 1)
        done.append((phase, FakeGraph.capturing is not None))
        if FakeGraph.capturing is None:
            launch()
        else:  # a capture runs nothing
            registered.append(FakeGraph.capturing.generators[:])
            FakeGraph.capturing.calls.append(launch)
        run.gradients["critic"] = [phase]
        return Losses(("even", "odd"), count)

    graphed, run, drawn = GraphedUpdate(update, 2), Steps(random), torch.zeros(1)
    for call in range(1, 8):
        run.gradients["critic"] = []
        assert graphed(run, drawn).values[0] == call
        assert run.gradients["critic"] == [0]  # also of a replay
        run.step += 2
    run.step = 1
    losses = graphed(run, drawn)
    assert losses.names == ("even", "odd")
    assert losses.values[1] == 1
    assert done == [(0, False)] * GraphedUpdate.WARM_UP + [(0, True), (1, False)]
    assert registered == [[random]]


def test_what_is_drawn_stays_where_it_is(fake_cuda):
    """A graph reads the memory that it was captured with: new batches are copied there."""
    seen = []

    def update(run, drawn):
        def launch():
            seen.append(drawn.clone())

        if FakeGraph.capturing is None:
            launch()
        else:
            FakeGraph.capturing.calls.append(launch)
        return Losses((), torch.zeros(0))

    graphed, run = GraphedUpdate(update), Steps(torch.Generator())
    batches = [torch.full((2, 3), value) for value in range(8)]
    for run.step, batch in enumerate(batches):
        graphed(run, batch)
    assert torch.equal(torch.stack(seen), torch.stack(batches))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replays_draw_new_random_numbers_and_move_the_same_tensors():
    weight = torch.zeros(3, device="cuda")

    def update(run, drawn):
        weight.add_(torch.rand(3, device="cuda", generator=run.random))
        return Losses(("a", "b", "c"), weight * 1)

    graphed, run = GraphedUpdate(update), Steps(torch.Generator("cuda").manual_seed(0))
    drawn = torch.zeros(1, device="cuda")
    results = [graphed(run, drawn).values.clone() for _ in range(8)]
    steps = torch.stack(results).diff(dim=0, prepend=torch.zeros(1, 3, device="cuda"))
    assert (steps > 0).all()
    assert len({tuple(row) for row in steps.tolist()}) == 8
