# Written by scripts/api_stub.py from the catalog of stages; do not edit.
from pathlib import Path
from typing import Any, Literal, overload

from faceloom.core.errors import CancelledError as CancelledError
from faceloom.core.errors import FaceloomError as FaceloomError
from faceloom.core.errors import FormatError as FormatError
from faceloom.core.errors import InputError as InputError
from faceloom.core.errors import MediaError as MediaError
from faceloom.core.errors import ModelError as ModelError
from faceloom.core.errors import RightsError as RightsError
from faceloom.core.errors import UsageError as UsageError
from faceloom.core.errors import WeightsError as WeightsError
from faceloom.core.events import Cancel as Cancel
from faceloom.core.events import NullProgress as NullProgress
from faceloom.core.events import Progress as Progress
from faceloom.core.result import Result as Result
from faceloom.stages.extract.config import ExtractConfig as ExtractConfig
from faceloom.stages.extract.result import ExtractResult as ExtractResult
from faceloom.stages.settings import SettingsConfig as SettingsConfig
from faceloom.stages.settings import SettingsResult as SettingsResult
from faceloom.workspace.layout import Workspace as Workspace

_Path = str | Path

__version__: str

@overload
def extract(
    config: ExtractConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ExtractResult:
    """Find the faces in the footage of src or dst, align them and store them in `aligned`."""

@overload
def extract(
    *,
    workspace: _Path = ...,
    side: Literal['src', 'dst'],
    face_type: Literal['half_face', 'midfull_face', 'full_face', 'full_face_no_align', 'whole_face', 'head', 'head_no_align', 'mark_only'] = ...,
    image_size: int | Literal['estimated'] | None = ...,
    format: Literal['jpg', 'png'] = ...,
    jpeg_quality: int = ...,
    max_faces: int = ...,
    min_face_px: int = ...,
    detector: str = ...,
    landmarker: str = ...,
    detector_size: int | None = ...,
    manual_file: _Path | None = ...,
    turns: Literal['auto'] | tuple[Literal[0, 90, 180, 270], ...] | list[Literal[0, 90, 180, 270]] = ...,
    tracking: Literal['auto', 'on', 'off'] = ...,
    smooth: float = ...,
    join: bool = ...,
    who: str | None = ...,
    debug: bool = ...,
    redo: Literal['debug', 'faces', 'empty'] | None = ...,
    restart: bool = ...,
    workers: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExtractResult: ...

@overload
def list_settings(
    config: SettingsConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> SettingsResult:
    """List the settings of a stage or a model, or explain one of them."""

@overload
def list_settings(
    *,
    words: tuple[str, ...] | list[str] = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> SettingsResult: ...
