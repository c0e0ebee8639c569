"""Undoing the operations that moved or renamed faces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from faceloom.core import Cancel, Progress
from faceloom.core.result import Result
from faceloom.core.words import counted
from faceloom.faces import Operation, operations, undo_moves
from faceloom.stages.faceset.config import FacesetUndoConfig
from faceloom.workspace import faceset_folder


@dataclass(frozen=True)
class FacesetUndoResult(Result):
    """What was undone, and what can still be."""

    folder: Path
    undone: str
    """The operation's label; empty if nothing was undone."""
    left: list[Operation]

    def as_dict(self) -> dict[str, Any]:
        left = [{"label": o.label, "time": _time(o), "faces": o.count} for o in self.left]
        return {"folder": str(self.folder), "undone": self.undone or None, "operations": left}

    def lines(self) -> list[str]:
        lines = [f"{self.folder}: undid: {self.undone}"] if self.undone else []
        if not self.left:
            return [*lines, "nothing more to undo" if lines else "nothing to undo"]
        lines.append("can be undone, newest first:")
        return lines + [
            f"  {_time(o)}  {counted(o.count, 'face'):>13}  {o.label}" for o in reversed(self.left)
        ]


def run(config: FacesetUndoConfig, *, progress: Progress, cancel: Cancel) -> FacesetUndoResult:
    """Undo the last operation that moved or renamed faces, or only list what can be undone."""
    cancel.check()
    folder = faceset_folder(config.workspace, config.faceset)
    if config.only_list:
        return FacesetUndoResult(folder, "", operations(folder))
    label = undo_moves(folder, progress=progress)
    return FacesetUndoResult(folder, label or "an operation without a name", operations(folder))


def _time(operation: Operation) -> str:
    try:
        return datetime.fromtimestamp(operation.time).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return "unknown time"
