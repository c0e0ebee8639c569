"""The ground floor: errors, progress and cancel, configuration, paths, registries."""

from faceloom.core.config import Settings, apply_overrides, settings_table
from faceloom.core.errors import (
    CancelledError,
    FaceloomError,
    FormatError,
    InputError,
    MediaError,
    ModelError,
    RightsError,
    UsageError,
    WeightsError,
)
from faceloom.core.events import Cancel, NullProgress, Progress
from faceloom.core.locks import file_lock
from faceloom.core.paths import atomic_path, atomic_write, cache_dir, list_images
from faceloom.core.registry import Registry

__all__ = [
    "Cancel",
    "CancelledError",
    "FaceloomError",
    "FormatError",
    "InputError",
    "MediaError",
    "ModelError",
    "NullProgress",
    "Progress",
    "Registry",
    "RightsError",
    "Settings",
    "UsageError",
    "WeightsError",
    "apply_overrides",
    "atomic_path",
    "atomic_write",
    "cache_dir",
    "file_lock",
    "list_images",
    "settings_table",
]
