"""Running ONNX networks in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def open_session(model: Path | bytes, *, threads: int = 1, device: str = "auto") -> Any:
    """A session for the network in a file or in `model` itself. Logs nothing while it loads.

    `threads` is the number of CPU threads of one inference. On `cuda` and `cuda:n` the network runs
    on that GPU if ONNX Runtime was built with CUDA (the package onnxruntime-gpu); everywhere else,
    and for `auto`, it runs on the CPU.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    providers: list[Any] = ["CPUExecutionProvider"]
    kind, _, index = device.partition(":")
    if kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(index or 0)}))
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=providers)
