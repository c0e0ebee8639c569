"""Check that this machine has what every stage needs, by using it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal

from faceloom.core.errors import InputError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import cache_dir
from faceloom.core.result import Result
from faceloom.stages.config import DoctorConfig

Verdict = Literal["ok", "warning", "failed"]
ENCODERS = {
    "libx264": "h264",
    "libx264rgb": "h264-lossless",
    "libx265": "h265",
    "prores_ks": "prores",
    "ffv1": "ffv1",
}
"""FFmpeg encoders, and the codec of `faceloom encode` that uses each."""
_LOW_DISK_BYTES = 5 << 30
_LOW_MEMORY_BYTES = 4 << 30


@dataclass(frozen=True)
class Check:
    """One check and its outcome."""

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class DoctorResult(Result):
    """All checks, in order."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> list[str]:
        """Names of the failed checks."""
        return [check.name for check in self.checks if check.verdict == "failed"]

    def as_dict(self) -> dict[str, Any]:
        """The checks, and whether all succeeded."""
        return {"ok": not self.failed, **super().as_dict()}

    def lines(self) -> list[str]:
        """One line per check."""
        return [f"{check.verdict:8}{check.name}: {check.detail}" for check in self.checks]

    def failure(self) -> str | None:
        """The failed checks."""
        return f"checks failed: {', '.join(self.failed)}" if self.failed else None


def run(config: DoctorConfig, *, progress: Progress, cancel: Cancel) -> DoctorResult:
    """Run all checks; a failed check is part of the result, not an error.

    Raises `InputError` if the workspace does not exist.
    """
    del progress
    if not config.workspace.expanduser().is_dir():
        raise InputError(f"{config.workspace}: no such folder")
    parts: list[Callable[[], Check]] = [
        _python,
        _memory,
        _torch,
        _devices,
        _video,
        _pictures,
        _networks,
        _weights,
        _credentials,
        _cache,
        lambda: _disk(config.workspace),
    ]
    checks: list[Check] = []
    for part in parts:
        cancel.check()
        checks.append(_try(part))
    return DoctorResult(tuple(checks))


def _try(part: Callable[[], Check]) -> Check:
    """The check's outcome; a check that raises has failed."""
    try:
        return part()
    except Exception as error:
        name = getattr(part, "__name__", "check").strip("_")
        return Check(name, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}")


def _python() -> Check:
    bits = 64 if sys.maxsize > 2**32 else 32
    detail = (
        f"Faceloom {metadata.version('faceloom')}, Python {platform.python_version()} "
        f"({bits} bit), {platform.system()} {platform.machine()}"
    )
    fine = sys.version_info >= (3, 11) and bits == 64
    return Check("python", "ok" if fine else "failed", detail)


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return Check("memory", "ok", "size unknown on this system")
    verdict: Verdict = "ok" if total >= _LOW_MEMORY_BYTES else "warning"
    return Check("memory", verdict, f"{total / 2**30:.1f} GiB")


def _torch() -> Check:
    import torch

    product = torch.ones(8, 8) @ torch.ones(8, 8)
    fine = bool((product == 8).all())
    detail = f"{torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores"
    return Check("torch", "ok" if fine else "failed", detail)


def _devices() -> Check:
    import torch

    names = ["cpu"]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(index).total_memory / 2**30
            names.append(f"cuda:{index} {torch.cuda.get_device_name(index)} {memory:.0f} GiB")
    if torch.backends.mps.is_available():
        names.append("mps")
    hint = "" if len(names) > 1 else "; no GPU: training takes hours, use small models"
    return Check("devices", "ok", ", ".join(names) + hint)


def _video() -> Check:
    import av

    missing = [codec for encoder, codec in ENCODERS.items() if encoder not in av.codecs_available]
    if missing:
        return Check(
            "video", "warning", f"PyAV {av.__version__}, cannot encode {', '.join(missing)}"
        )
    return Check("video", "ok", f"PyAV {av.__version__}, encodes {', '.join(ENCODERS.values())}")


def _pictures() -> Check:
    import cv2

    return Check("pictures", "ok", f"OpenCV {cv2.__version__}")


def _networks() -> Check:
    """The runtimes of the face networks. LiteRT has wheels for some systems only."""
    found: list[str] = []
    for module, package in (("ai_edge_litert", "ai-edge-litert"), ("onnxruntime", "onnxruntime")):
        try:
            import_module(module)
            found.append(f"{package} {metadata.version(package)}")
        except ImportError:
            continue
    if not found:
        return Check("networks", "failed", "neither ai-edge-litert nor onnxruntime is installed")
    return Check("networks", "ok", ", ".join(found))


def _weights() -> Check:
    from faceloom.weights import status

    states = [one for one in status() if one.weight.needed]
    altered = [one.weight.name for one in states if one.state == "altered"]
    missing = [one.weight.name for one in states if one.state == "missing"]
    if altered:
        detail = f"altered files: {', '.join(altered)}; run `faceloom weights fetch`"
        return Check("weights", "failed", detail)
    if missing:
        detail = f"not downloaded yet: {', '.join(missing)}; run `faceloom weights fetch`"
        return Check("weights", "warning", detail)
    return Check("weights", "ok", f"{len(states)} present")


def _credentials() -> Check:
    """Sign a picture with a temporary key and read it back."""
    import c2pa
    import cv2
    import numpy as np

    from faceloom.provenance import (
        Statement,
        inspect_file,
        make_record,
        sign_file,
        write_rights,
    )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = folder / "probe.png"
        picture.write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
        nobody = Statement(ground="synthetic", files=())
        digest = write_rights(folder, make_record(nobody, nobody))
        sign_file(picture, workspace_dir=folder, rights_digest=digest)
        report = inspect_file(picture, workspace_dir=folder)
    fine = report.state == "valid" and report.trusted
    return Check("credentials", "ok" if fine else "failed", f"C2PA {c2pa.sdk_version()}")


def _cache() -> Check:
    folder = cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return Check("cache", "ok", str(folder))


def _disk(folder: Path) -> Check:
    place = folder.expanduser().resolve()
    while not place.is_dir():
        place = place.parent
    free = shutil.disk_usage(place).free
    verdict: Verdict = "ok" if free >= _LOW_DISK_BYTES else "warning"
    return Check("disk", verdict, f"{free / 2**30:.1f} GiB free at {place}")
