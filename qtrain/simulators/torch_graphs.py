"""CUDA graphs: a pass over a small circuit is hundreds of kernels of microseconds, which one launch replays.

A graph reads and writes the memory it was captured with: inputs are copied there, and what comes out stays valid until
the same work is replayed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import torch

Tensor = torch.Tensor

GRAPH_BYTES = 16 * 1024**2  # states of a call beyond it keep a GPU busy without a graph
_GRAPHS = 32  # kept; each holds the memory of its pass
_WARM_UPS = 2  # libraries allocate their workspaces, constants are made, before a capture may begin


class Runner:
    """Runs work on one device, as graphs where the device is a GPU and the work is small."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: OrderedDict[Hashable, _Captured] = OrderedDict()

    def __call__(self, key: Hashable, work: Callable[..., Any], *inputs: Tensor, small: bool) -> Any:
        """work(*inputs). It must depend on nothing but `key` and `inputs`, and never wait for the device."""
        if self.device.type != "cuda" or not small:
            return work(*inputs)
        full_key = (key, tuple((tuple(tensor.shape), tensor.dtype) for tensor in inputs))
        captured = self._graphs.get(full_key)
        if captured is None:
            # from its first call on: a result must not depend on whether the same work was done before
            captured = self._graphs[full_key] = _Captured(work, inputs, self.device)
            while len(self._graphs) > _GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(full_key)
        return captured(inputs)


class _Captured:
    def __init__(self, work: Callable[..., Any], inputs: tuple[Tensor, ...], device: torch.device) -> None:
        self.inputs = tuple(tensor.clone() for tensor in inputs)
        self.graph = torch.cuda.CUDAGraph()
        self.device = device
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    work(*self.inputs)
            torch.cuda.current_stream(device).wait_stream(side)
            with torch.cuda.graph(self.graph):
                self.result = work(*self.inputs)

    def __call__(self, inputs: tuple[Tensor, ...]) -> Any:
        with torch.cuda.device(self.device):
            for kept, new in zip(self.inputs, inputs):
                kept.copy_(new)
            self.graph.replay()
        return self.result
