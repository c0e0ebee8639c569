"""A workspace: its layout and settings, the footage of each side, and which faceset a tool uses.

Names are loaded when first used: reading `faceloom.toml` must not load the media libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceloom.workspace.faceset import (
        beside,
        faceset_folder,
        held_for_moves,
        refuse_empty,
        undo_command,
    )
    from faceloom.workspace.footage import open_side, timeline_like, timeline_of_dump
    from faceloom.workspace.frame_feed import FrameFeed
    from faceloom.workspace.layout import (
        Workspace,
        create_workspace,
        footage_in,
        media_files,
        set_footage,
        stage_config,
    )
    from faceloom.workspace.result_video import (
        mask_like,
        refuse_sources,
        sound_of,
        unsigned_path,
    )

__all__ = [
    "FrameFeed",
    "Workspace",
    "beside",
    "create_workspace",
    "faceset_folder",
    "footage_in",
    "held_for_moves",
    "mask_like",
    "media_files",
    "open_side",
    "refuse_empty",
    "refuse_sources",
    "set_footage",
    "sound_of",
    "stage_config",
    "timeline_like",
    "timeline_of_dump",
    "undo_command",
    "unsigned_path",
]

_MODULES = {
    "faceset": ("beside", "faceset_folder", "held_for_moves", "refuse_empty", "undo_command"),
    "footage": ("open_side", "timeline_like", "timeline_of_dump"),
    "frame_feed": ("FrameFeed",),
    "layout": (
        *("Workspace", "create_workspace", "footage_in", "media_files"),
        *("set_footage", "stage_config"),
    ),
    "result_video": (*("mask_like", "refuse_sources", "sound_of", "unsigned_path"),),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
