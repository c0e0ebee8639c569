"""Loading the mesh leaves the process's standard error as it was, from any number of threads."""

from __future__ import annotations

import os
import sys
import threading
import time
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from faceloom.detect import MeshLandmarker


class SlowInterpreter:
    """Loads for a while, the second one longer than the first."""

    loading = 0

    def __init__(self, **_: Any) -> None:
        SlowInterpreter.loading += 1
        time.sleep(0.02 * SlowInterpreter.loading)

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0}]

    def get_output_details(self) -> list[dict[str, Any]]:
        return []


def test_threads_that_load_at_once_do_not_lose_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = SlowInterpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    model = tmp_path / "face.task"
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("face_landmarks_detector.tflite", b"")
    before = os.fstat(2)
    together = threading.Barrier(3)

    def load(_: int) -> None:
        together.wait()
        MeshLandmarker(model, backend="litert")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(load, range(3)))
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
