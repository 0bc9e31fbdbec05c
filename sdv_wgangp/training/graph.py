"""The device part of a training step, captured in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdv_wgangp.players.protocols import Losses


class GraphedUpdate:
    """Makes an update a few times, then captures it in a CUDA graph and replays that.

    The host then has one thing to do for each step instead of a hundred launches.

    Args:
        update: `training.loop.update`, of a run whose players, terms and source work on tensors
            that stay where they are and draw all their random numbers from the run's.
        phases: Steps that differ in what they do come in a cycle of so many: each has a graph of
            its own.
    """

    # The first calls allocate and choose algorithms, which a capture must not see.
    WARM_UP = 3

    def __init__(self, update: Callable[[Any, Tensor], Losses], phases: int = 1):
        self._update, self._phases = update, phases
        self._calls: dict[int, int] = {}
        self._pool: torch.cuda._POOL_HANDLE | None = None
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Losses, dict[str, Any]]] = {}
        self._drawn: Tensor | None = None

    def __call__(self, run: Any, drawn: Tensor) -> Losses:
        """One update. What it returns is overwritten by the next one of the same phase."""
        own = self._drawn
        if own is None:
            own = self._drawn = drawn.clone()
        own.copy_(drawn)
        phase = run.step % self._phases
        calls = self._calls.get(phase, 0)
        self._calls[phase] = calls + 1
        if calls < self.WARM_UP:
            return self._on_own_stream(run, own)
        if phase not in self._graphs:
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(run.random)
            # Phases never run at the same time: they may share their memory. But gradients that
            # are clipped lie there, too, and are looked at afterwards.
            pool = None if run.max_grad_norm else self._pool
            with torch.cuda.graph(graph, pool=pool):
                losses = self._update(run, own)
            self._pool = self._pool or graph.pool()
            self._graphs[phase] = graph, losses, dict(run.gradients)
        graph, losses, gradients = self._graphs[phase]
        graph.replay()
        run.gradients.update(gradients)
        return losses

    def _on_own_stream(self, run: Any, drawn: Tensor) -> Losses:
        """The update on a stream of its own, as captures are made."""
        current, own = torch.cuda.current_stream(), torch.cuda.Stream()
        own.wait_stream(current)
        try:
            with torch.cuda.stream(own):
                return self._update(run, drawn)
        finally:
            current.wait_stream(own)
