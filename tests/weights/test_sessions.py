"""Where ONNX networks run."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest

from faceloom.weights.sessions import open_session

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


@pytest.mark.parametrize(
    ("device", "there", "expected"),
    [
        ("auto", [CUDA, CPU], [CPU]),
        ("cpu", [CUDA, CPU], [CPU]),
        ("mps", [CUDA, CPU], [CPU]),
        ("cuda", [CPU], [CPU]),
        ("cuda", [CUDA, CPU], [(CUDA, {"device_id": 0}), CPU]),
        ("cuda:2", [CUDA, CPU], [(CUDA, {"device_id": 2}), CPU]),
    ],
)
def test_cuda_is_used_only_when_asked_for_and_there(
    monkeypatch: pytest.MonkeyPatch, device: str, there: list[str], expected: list[Any]
) -> None:
    opened: dict[str, Any] = {}

    def session(source: object, options: Any, *, providers: list[Any]) -> object:
        opened.update(source=source, threads=options.intra_op_num_threads, providers=providers)
        return object()

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    open_session(b"network", threads=3, device=device)
    assert opened == {"source": b"network", "threads": 3, "providers": expected}
