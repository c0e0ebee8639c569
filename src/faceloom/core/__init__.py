"""The ground floor: errors, progress and cancel, configuration, paths, registries."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from faceloom.core.config import Settings

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
    "atomic_path",
    "atomic_write",
    "cache_dir",
    "file_lock",
    "list_images",
]


def __getattr__(name: str) -> Any:
    # Loaded when it is first used, so that `faceloom --help` does without pydantic.
    if name == "Settings":
        from faceloom.core.config import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
