"""The journal of finished frames, from which a stopped merge resumes.

`merged/.merge-journal.jsonl` has a line per frame, written after its two files: the name of the
frame, a key of everything that it was made from, and the sizes of the files. A frame is redone if
its key differs or its files are missing or truncated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Self, TextIO

from faceloom.compositing import MergeSettings
from faceloom.core import atomic_write
from faceloom.core.paths import sweep_temporary
from faceloom.faces import FaceRecord
from faceloom.media import FootageInfo

FILE_NAME = ".merge-journal.jsonl"
# Increase whenever compositing gives other pixels for the same settings.
_METHOD = 1


@dataclass(frozen=True)
class FrameEntry:
    """A finished frame."""

    name: str
    """Name of the frame, with its suffix; the output files have its stem."""
    key: str
    faces: int
    sizes: tuple[int, int]
    """Sizes of the picture and of the mask in bytes."""


class FrameKeys:
    """Computes the key of a frame: its source, its faces and, if it has any, model and settings."""

    def __init__(self, info: FootageInfo, settings: MergeSettings, model: str) -> None:
        """`model` identifies the saved state of the model."""
        stamps = {path.name: _stamp(path) for path in info.paths}
        self._pictures = stamps if info.kind == "images" else {}
        self._all = json.dumps(sorted(stamps.items()))
        chosen = MergeSettings.model_validate(settings.model_dump(include=_SETTINGS))
        self._making = json.dumps([_METHOD, model, chosen.model_dump_json()])

    def key(self, name: str, faces: Sequence[FaceRecord]) -> str:
        """The key of the frame called `name` (with suffix) with these faces."""
        digest = hashlib.blake2b(digest_size=12)
        digest.update(json.dumps([name, self._pictures.get(name) or self._all]).encode())
        if faces:
            digest.update(self._making.encode())
        for face in faces:
            aspect = face.own.pixel_aspect if face.own is not None else 1.0
            digest.update(face.source_landmarks.tobytes() + repr(aspect).encode())
        return digest.hexdigest()


_SETTINGS = set(MergeSettings.model_fields)


def _stamp(path: Path) -> list[Any]:
    stat = path.stat()
    return [path.name, stat.st_size, stat.st_mtime_ns]


class MergeJournal:
    """The finished frames of the two output folders. A context manager; one writer at a time."""

    def __init__(self, images: Path, masks: Path, *, forget: bool = False) -> None:
        """With `forget`, no frame counts as finished."""
        self._images, self._masks = images, masks
        self._file = images / FILE_NAME
        self._entries = _read(self._file)
        if forget:
            self._entries = {name: replace(entry, key="") for name, entry in self._entries.items()}
        self._seen: set[str] = set()
        self._handle: TextIO | None = None

    def __enter__(self) -> Self:
        for folder in (self._images, self._masks):
            folder.mkdir(parents=True, exist_ok=True)
            sweep_temporary(folder)
        # Without older versions of a line and a torn last one.
        lines = (json.dumps(asdict(entry)) + "\n" for entry in self._entries.values())
        atomic_write(self._file, "".join(lines))
        self._handle = self._file.open("a", encoding="utf-8")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.close()

    def outputs(self, name: str) -> tuple[Path, Path]:
        """The files of the frame called `name`: picture and mask."""
        file = f"{PurePath(name).stem}.png"
        return self._images / file, self._masks / file

    def finished(self, name: str, key: str) -> FrameEntry | None:
        """The entry of the frame, if its files exist and have this key."""
        entry = self._entries.get(name)
        if entry is None or entry.key != key or _sizes(self.outputs(name)) != entry.sizes:
            return None
        self._seen.add(name)
        return entry

    def add(self, name: str, key: str, faces: int) -> None:
        """Add a frame whose two files are written."""
        entry = FrameEntry(name, key, faces, _sizes(self.outputs(name)) or (0, 0))
        self._entries[name] = entry
        self._seen.add(name)
        if self._handle is not None:
            self._handle.write(json.dumps(asdict(entry)) + "\n")
            self._handle.flush()

    def remove_others(self) -> int:
        """Delete frames of earlier merges that are not part of this one; return their number."""
        others = [name for name in self._entries if name not in self._seen]
        kept = {self.outputs(name)[0] for name in self._seen}
        for name in others:
            files = self.outputs(name)
            for file in () if files[0] in kept else files:
                with contextlib.suppress(OSError):
                    file.unlink()
            del self._entries[name]
        return len(others)


def _sizes(files: tuple[Path, Path]) -> tuple[int, int] | None:
    try:
        return files[0].stat().st_size, files[1].stat().st_size
    except OSError:
        return None


def _read(file: Path) -> dict[str, FrameEntry]:
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    entries: dict[str, FrameEntry] = {}
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = _entry(json.loads(line))
            entries[entry.name] = entry
    return entries


def _entry(values: Mapping[str, Any]) -> FrameEntry:
    name, sizes = str(values["name"]), values["sizes"]
    if not name or set(name) & set("/\\\0") or name in {".", ".."}:
        raise ValueError(name)
    return FrameEntry(
        name=name,
        key=str(values["key"]),
        faces=int(values["faces"]),
        sizes=(int(sizes[0]), int(sizes[1])),
    )
