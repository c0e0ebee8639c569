"""Making the next batch on a CUDA device while the model trains on the current one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from faceloom.nn.batch import SampleBatch

Pair = tuple[SampleBatch, SampleBatch]


class Ahead:
    """Pairs of batches by number; the next one is always in progress on a separate stream.

    The host only launches the work, in the calling thread: another thread could disturb the capture
    of a CUDA graph.
    """

    def __init__(self, make: Callable[[int], Pair], device: torch.device) -> None:
        self._make = make
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._next: tuple[int, Pair, torch.cuda.Event] | None = None

    def take(self, number: int) -> Pair:
        """Return pair `number`, ready for the current stream, and start to make number + 1."""
        ready = self._next
        if ready is None or ready[0] != number:
            ready = self._begin(number)
        _, pair, done = ready
        current = torch.cuda.current_stream(self._device)
        current.wait_event(done)
        for batch in pair:
            for tensor in (batch.warped, batch.target, batch.mask, batch.eyes_mouth):
                if tensor is not None:
                    # Its memory belongs to the side stream, which must not reuse it before the
                    # current stream is done with it.
                    tensor.record_stream(current)
        self._next = self._begin(number + 1)
        return pair

    def _begin(self, number: int) -> tuple[int, Pair, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            pair = self._make(number)
            done = torch.cuda.Event()
            done.record(self._stream)
        return number, pair, done
