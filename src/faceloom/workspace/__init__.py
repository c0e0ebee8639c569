"""A workspace: its layout and settings, the footage of each side, and which faceset a tool uses.

Names are loaded when first used: reading `faceloom.toml` must not load the media libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceloom.workspace.faceset import (
        faceset_folder,
        lock_for_moves,
        refuse_empty,
        sibling,
        undo_command,
    )
    from faceloom.workspace.footage import open_side, timeline_like
    from faceloom.workspace.frame_feed import FrameFeed
    from faceloom.workspace.layout import (
        Workspace,
        create_workspace,
        footage_in,
        media_files,
        set_footage,
        stage_config,
        table_sources,
    )
    from faceloom.workspace.result_video import (
        mask_like,
        refuse_sources,
        result_file,
        sound_of,
        unsigned_path,
    )

__all__ = [
    "FrameFeed",
    "Workspace",
    "create_workspace",
    "faceset_folder",
    "footage_in",
    "lock_for_moves",
    "mask_like",
    "media_files",
    "open_side",
    "refuse_empty",
    "refuse_sources",
    "result_file",
    "set_footage",
    "sibling",
    "sound_of",
    "stage_config",
    "table_sources",
    "timeline_like",
    "undo_command",
    "unsigned_path",
]

# The module of each name; `layout` for the others.
_ELSEWHERE = {
    "FrameFeed": "frame_feed",
    **dict.fromkeys(("open_side", "timeline_like"), "footage"),
    **dict.fromkeys(
        ("mask_like", "refuse_sources", "result_file", "sound_of", "unsigned_path"), "result_video"
    ),
    **dict.fromkeys(("sibling", "faceset_folder", "lock_for_moves"), "faceset"),
    **dict.fromkeys(("refuse_empty", "undo_command"), "faceset"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'layout')}"), name)
