"""A training step captured in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch


class GraphedStep:
    """Runs a step a few times, then captures it in a CUDA graph and replays that.

    The host then has one thing to do for each step instead of a hundred launches.

    Args:
        step: Called with a phase; works on tensors that stay where they are, draws all its random
            numbers from ``random``, and returns a tensor. Each phase has a graph of its own.
        random: On a CUDA device.
    """

    # The first calls allocate and choose algorithms, which a capture must not see.
    WARM_UP = 3

    def __init__(self, step: Callable[[int], torch.Tensor], random: torch.Generator):
        self._step, self._random = step, random
        self._calls: dict[int, int] = {}
        self._pool: tuple[int, int] | None = None
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}

    def __call__(self, phase: int) -> torch.Tensor:
        """One step. What it returns is overwritten by the next step of the same phase."""
        calls = self._calls.get(phase, 0)
        self._calls[phase] = calls + 1
        if calls < self.WARM_UP:
            return self._aside(phase)
        if phase not in self._graphs:
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._random)
            # Phases never run at the same time: they may share their memory.
            with torch.cuda.graph(graph, pool=self._pool):
                result = self._step(phase)
            self._pool = self._pool or graph.pool()
            self._graphs[phase] = graph, result
        graph, result = self._graphs[phase]
        graph.replay()
        return result

    def _aside(self, phase: int) -> torch.Tensor:
        """The step on a stream of its own, as captures are made."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        try:
            with torch.cuda.stream(aside):
                return self._step(phase)
        finally:
            current.wait_stream(aside)
