"""One update as one CUDA graph: what the CPU would start kernel by kernel is started at once.

A step of a small model on a GPU is a hundred short kernels; starting them takes several times as long as they run. A
captured update repeats the same kernels on the same memory, so whatever changes from step to step (inputs, what is
hidden, learning rates) must be in tensors, and nothing may be read back in between.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# In the first calls libraries choose their kernels and take their memory, which must not happen while capturing.
WARM_UP_CALLS = 3


class Captured:
    """`function` of tensors, captured after a few plain calls; all calls have the same shapes and the same Nones.

    What `function` gives back lies in memory that the next call writes again.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor | None, ...] = ()
        self.output: Tensor | None = None

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        if self.calls < WARM_UP_CALLS:
            self.calls += 1
            return self._plainly(inputs)
        if self.graph is None:
            self._capture(inputs)
        for kept, given in zip(self.inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        assert self.graph is not None
        assert self.output is not None
        self.graph.replay()
        return self.output

    def _plainly(self, inputs: tuple[Tensor | None, ...]) -> Tensor:
        """On the stream of the capture, as torch asks for."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            output = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(self.stream)
        return output

    def _capture(self, inputs: tuple[Tensor | None, ...]) -> None:
        self.inputs = tuple(None if given is None else given.clone() for given in inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.output = self.function(*self.inputs)
        self.graph = graph
