"""Making the next batch on a CUDA device while the model still trains on this one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from faceloom.models import TrainBatch

Pair = tuple[TrainBatch, TrainBatch]


class Ahead:
    """Pairs of batches by number, the next one always under way on a stream of its own.

    The host only launches the work, in the calling thread: a thread of its own could disturb the
    capture of a CUDA graph.
    """

    def __init__(self, make: Callable[[int], Pair], device: torch.device) -> None:
        self._make = make
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._next: tuple[int, Pair, torch.cuda.Event] | None = None

    def take(self, number: int) -> Pair:
        """Pair `number`, ready for the current stream; then number + 1 is begun."""
        held = self._next
        if held is None or held[0] != number:
            held = self._begin(number)
        _, pair, done = held
        current = torch.cuda.current_stream(self._device)
        current.wait_event(done)
        for batch in pair:
            for tensor in (batch.warped, batch.target, batch.mask, batch.eyes_mouth):
                if tensor is not None:
                    # Its memory came from the side stream: not to be given out again there before
                    # the current stream is done with it.
                    tensor.record_stream(current)
        self._next = self._begin(number + 1)
        return pair

    def _begin(self, number: int) -> tuple[int, Pair, torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            pair = self._make(number)
            done = torch.cuda.Event()
            done.record(self._stream)
        return number, pair, done
