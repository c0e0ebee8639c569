"""How an extraction begins: a new journal or one to go on with, and old faces moved aside."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from faceloom.core import InputError
from faceloom.core.paths import list_images
from faceloom.faces.archives.pack import folder_pack
from faceloom.media import Footage
from faceloom.stages.extract.config import ExtractConfig
from faceloom.stages.extract.journal import (
    LOCK_NAME,
    Done,
    Journal,
    locked,
    read_journal,
    start_journal,
)


def follows(config: ExtractConfig, footage: Footage) -> bool:
    if config.tracking == "auto":
        return footage.info.kind == "video" or footage.has_timeline
    return config.tracking == "on"


def open_journal(folder: Path, config: ExtractConfig, footage: Footage) -> Journal:
    """The journal to go on with, or a new one. `InputError` where going on would mix things."""
    header = _header(config, footage)
    journal = read_journal(folder)
    if journal is None:
        if list_images(folder) or folder_pack(folder) is not None:
            raise InputError(
                f"{folder}: holds faces that were not extracted here; --restart moves them aside "
                "and extracts anew"
            )
        return start_journal(folder, header)
    if not journal.done.frames and not journal.done.finished and not list_images(folder):
        # Begun, and stopped by a mistake in the settings, say: there is nothing to go on with.
        return start_journal(folder, header)
    before = journal.done.header
    if before.get("footage") != header["footage"]:
        raise InputError(
            f"{folder}: was extracted from other footage than {footage.info.path}; --restart "
            "moves those faces aside and extracts anew"
        )
    old_settings = before.get("settings", {})
    if not journal.done.finished and header["settings"].keys() - old_settings.keys():
        raise InputError(
            f"{folder}: an earlier version began it and did not finish; --restart moves those "
            "faces aside and extracts anew"
        )
    changed = [k for k, v in header["settings"].items() if old_settings.get(k, v) != v]
    if changed:
        pairs = [(key, old_settings[key]) for key in changed]
        old = ", ".join(f"{key} unset" if v is None else f"{key}={v}" for key, v in pairs)
        raise InputError(
            f"{folder}: was extracted with {old}; use the same again, or --restart to move those "
            "faces aside and extract anew"
        )
    return journal


def check_redo(folder: Path, config: ExtractConfig, footage: Footage, done: Done) -> None:
    """`InputError` where faces that were extracted again would not fit those that are there."""
    header = _header(config, footage)
    if done.header.get("footage") != header["footage"]:
        raise InputError(f"{folder}: was extracted from other footage than {footage.info.path}")
    before = done.header.get("settings", {}).get("face_type", config.face_type)
    if before != config.face_type:
        raise InputError(f"{folder}: its faces are {before}; others would not fit them")


def _header(config: ExtractConfig, footage: Footage) -> dict[str, Any]:
    """What must be the same for a run to go on with another's faceset."""
    files = [(path.name, path.stat().st_size) for path in footage.info.paths]
    return {
        "footage": hashlib.sha256(json.dumps(files).encode()).hexdigest()[:32],
        "settings": {
            "face_type": config.face_type,
            "image_size": config.size_px or "estimated",
            "format": config.format,
            "jpeg_quality": config.jpeg_quality,
            "max_faces": config.max_faces,
            "min_face_px": config.min_face_px,
            "detector": config.detector,
            "landmarker": config.landmarker,
            "detector_size": config.side_px,
            "turns": config.turns if config.turns == "auto" else list(config.turns),
            "tracking": follows(config, footage),
            "smooth": config.smooth,
            "join": config.join,
            "who": config.who,
        },
    }


def move_aside(folder: Path, debug_folder: Path) -> None:
    """Move a faceset to `aligned_old`, `aligned_old2` …; debug pictures can be made again."""
    if debug_folder.is_dir():
        for picture in list_images(debug_folder):
            picture.unlink()
    if not folder.is_dir() or not any(entry.name != LOCK_NAME for entry in folder.iterdir()):
        return
    with locked(folder):
        number = 1
        while (
            target := folder.with_name(f"{folder.name}_old{number if number > 1 else ''}")
        ).exists():
            number += 1
    folder.rename(target)
