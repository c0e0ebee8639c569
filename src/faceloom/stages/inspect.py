"""Show what a file is and what it says: media, face metadata, credentials, ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceloom.core.errors import FaceloomError, InputError
from faceloom.core.events import Cancel, Progress
from faceloom.core.paths import IMAGE_SUFFIXES
from faceloom.core.result import Result
from faceloom.faces import FaceRecord, read_record
from faceloom.media import FootageInfo, open_footage
from faceloom.provenance import (
    InspectReport,
    LedgerEntry,
    file_sha256,
    find_workspace,
    inspect_file,
    read_ledger,
)
from faceloom.stages.config import InspectConfig


@dataclass(frozen=True)
class InspectResult(Result):
    """What a file is and says."""

    path: Path
    size_bytes: int
    sha256: str
    media: dict[str, Any]
    """Kind, size, rate, codec, colours, audio; empty for files that are no video or picture."""
    face: dict[str, Any]
    """Face metadata; empty for files without."""
    credentials: InspectReport
    ledger: dict[str, Any] = field(default_factory=dict[str, Any])
    """The entry about this file in the workspace's ledger, if there is one."""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data; the credentials with their verdicts."""
        return {**super().as_dict(), "credentials": self.credentials.as_dict()}

    def lines(self) -> list[str]:
        """The result for people."""
        lines = [f"file: {self.path}, {self.size_bytes:,} bytes"]
        if self.media:
            lines.append(f"{self.media['kind']}: {_media_line(self.media)}")
        if self.face:
            lines.append(f"face: {_face_line(self.face)}")
        lines += self.credentials.lines()
        if self.ledger:
            lines.append(f"ledger: {self.ledger['says']}")
        return lines + [f"note: {note}" for note in self.notes]


def run(config: InspectConfig, *, progress: Progress, cancel: Cancel) -> InspectResult:
    """Look at one file. Raises `InputError` if it is missing, a folder or unreadable, or if the
    workspace does not exist."""
    del progress, cancel
    path = config.file.expanduser()
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; inspect takes one file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    workspace = find_workspace(path) if config.workspace is None else config.workspace.expanduser()
    if workspace is not None and not workspace.is_dir():
        raise InputError(f"{workspace}: no such folder")
    digest = file_sha256(path)
    media, notes = _media(path)
    return InspectResult(
        path=path,
        size_bytes=path.stat().st_size,
        sha256=digest,
        media=media,
        face=_face(path),
        credentials=inspect_file(path, workspace_dir=workspace),
        ledger=_ledger(workspace, path, digest) if workspace is not None else {},
        notes=tuple(notes),
    )


def _media(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        info = open_footage(path).info
    except FaceloomError as error:
        return {}, [str(error)]
    return _describe(info, path), list(info.notes)


def _describe(info: FootageInfo, path: Path) -> dict[str, Any]:
    height, width = info.size
    described: dict[str, Any] = {
        "kind": "picture" if path.suffix.lower() in IMAGE_SUFFIXES else "video",
        "width_px": width,
        "height_px": height,
        "codec": info.codec,
        "pix_fmt": info.pix_fmt,
        "bit_depth": info.bit_depth,
        "sample_aspect": info.sample_aspect,
        "rotation_deg": info.rotation_deg,
        "hdr": info.hdr,
    }
    if described["kind"] == "video":
        described |= {
            "fps": info.fps,
            "frames": info.frame_count,
            "duration_s": round(info.duration_s, 3),
            "vfr": info.vfr,
            "interlaced": info.interlaced,
            "color": info.color,
            "audio": info.audio,
        }
    return described


def _media_line(media: dict[str, Any]) -> str:
    depth = f", {media['bit_depth']} bit" if media["bit_depth"] != 8 else ""
    parts = [f"{media['width_px']}x{media['height_px']}", f"{media['codec']} {media['pix_fmt']}"]
    parts[-1] += depth
    if media["kind"] == "video":
        parts.insert(1, f"{float(media['fps']):.6g} fps")
        parts.insert(2, f"{media['frames']} frames, {media['duration_s']:g} s")
        color = media["color"]
        parts.append(f"{color.matrix} {color.range}" + (" (guessed)" if color.guessed else ""))
        audio = [f"{one.codec} {one.layout} {one.sample_rate_hz} Hz" for one in media["audio"]]
        parts.append("audio " + " + ".join(audio) if audio else "no audio")
    if media["sample_aspect"] != 1:
        parts.append(f"pixel aspect {media['sample_aspect']}")
    parts += [word for word in ("hdr", "vfr", "interlaced") if media.get(word)]
    return ", ".join(parts)


def _face(path: Path) -> dict[str, Any]:
    """The face metadata of a picture; empty if it has none."""
    try:
        record = read_record(path)
    except FaceloomError:
        return {}
    return _describe_face(record)


def _describe_face(record: FaceRecord) -> dict[str, Any]:
    described: dict[str, Any] = {
        "face_type": record.face_type,
        "source_filename": record.source_filename,
        "source_rect": record.source_rect,
        "source_landmarks": record.source_landmarks,
        "polygons": len(record.seg_ie_polys),
        "mask": record.xseg_mask is not None,
    }
    if record.own is not None:
        own = record.own
        described |= {
            "frame_index": own.frame_index,
            "time": own.time,
            "track": own.track,
            "detector": own.detector,
            "score": own.score,
            "pose_deg": own.pose,
        }
    return described


def _face_line(face: dict[str, Any]) -> str:
    left, top, right, bottom = (int(edge) for edge in face["source_rect"])
    parts = [f"{face['face_type']} from {face['source_filename']}"]
    parts.append(f"rectangle {left},{top} to {right},{bottom}")
    if face.get("track") is not None:
        parts.append(f"track {face['track']}")
    if face.get("score") is not None:
        parts.append(f"score {face['score']:.2f} ({face['detector']})")
    if face.get("pose_deg") is not None:
        parts.append("pitch {:.0f}, yaw {:.0f}, roll {:.0f} degrees".format(*face["pose_deg"]))
    return ", ".join(parts)


def _ledger(workspace: Path, path: Path, digest: str) -> dict[str, Any]:
    """What the ledger says about a file: made here, altered since, or nothing."""
    try:
        entries = read_ledger(workspace)
    except FaceloomError as error:
        return {"known": False, "says": str(error)}
    for entry in reversed(entries):
        if entry.data.get("sha256") == digest:
            return _entry(entry, known=True, says="made in this workspace, unchanged since")
    for entry in reversed(entries):
        # A name proves nothing, but a result that was edited in place keeps its name.
        if entry.data.get("file") == path.name and path.resolve().parent == workspace.resolve():
            return _entry(
                entry,
                known=False,
                says="a file with this name was made here, but its content was different",
            )
    return {}


def _entry(entry: LedgerEntry, *, known: bool, says: str) -> dict[str, Any]:
    where = f"line {entry.number}, {entry.event} at {entry.time}"
    return {
        "known": known,
        "line": entry.number,
        "event": entry.event,
        "time": entry.time,
        "says": f"{says} ({where})",
    }
