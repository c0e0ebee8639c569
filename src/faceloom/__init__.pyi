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
from faceloom.stages.config import DoctorConfig as DoctorConfig
from faceloom.stages.config import EncodeConfig as EncodeConfig
from faceloom.stages.config import FramesConfig as FramesConfig
from faceloom.stages.config import InspectConfig as InspectConfig
from faceloom.stages.config import NewConfig as NewConfig
from faceloom.stages.config import RunConfig as RunConfig
from faceloom.stages.config import WeightsAddConfig as WeightsAddConfig
from faceloom.stages.config import WeightsFetchConfig as WeightsFetchConfig
from faceloom.stages.config import WeightsListConfig as WeightsListConfig
from faceloom.stages.demo.config import DemoConfig as DemoConfig
from faceloom.stages.demo.run import DemoResult as DemoResult
from faceloom.stages.doctor import DoctorResult as DoctorResult
from faceloom.stages.encode import EncodeResult as EncodeResult
from faceloom.stages.extract.config import ExtractConfig as ExtractConfig
from faceloom.stages.extract.result import ExtractResult as ExtractResult
from faceloom.stages.frames import FramesResult as FramesResult
from faceloom.stages.inspect import InspectResult as InspectResult
from faceloom.stages.merge.config import MergeConfig as MergeConfig
from faceloom.stages.merge.run import MergeResult as MergeResult
from faceloom.stages.new import NewResult as NewResult
from faceloom.stages.run import RunResult as RunResult
from faceloom.stages.settings import SettingsConfig as SettingsConfig
from faceloom.stages.settings import SettingsResult as SettingsResult
from faceloom.stages.weights import AddedWeight as AddedWeight
from faceloom.stages.weights import FetchedWeights as FetchedWeights
from faceloom.stages.weights import WeightsList as WeightsList
from faceloom.workspace.layout import Workspace as Workspace

_Path = str | Path

__version__: str

@overload
def demo(
    config: DemoConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> DemoResult:
    """Run the whole pipeline, unattended, on two built-in public-domain portraits."""

@overload
def demo(
    *,
    device: str = ...,
    threads: int = ...,
    workspace: _Path = ...,
    iterations: int = ...,
    train_minutes: float = ...,
    frames: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> DemoResult: ...

@overload
def doctor(
    config: DoctorConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> DoctorResult:
    """Check what every stage needs and print one line per check."""

@overload
def doctor(
    *,
    workspace: _Path = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> DoctorResult: ...

@overload
def encode(
    config: EncodeConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> EncodeResult:
    """Encode the merged frames as a signed video with the timing, colours and audio of dst."""

@overload
def encode(
    *,
    workspace: _Path = ...,
    output: _Path | None = ...,
    codec: Literal['h264', 'h265', 'prores', 'ffv1', 'h264-lossless'] | None = ...,
    crf: float | None = ...,
    bitrate: int | None = ...,
    preset: Literal['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower', 'veryslow', 'placebo'] = ...,
    masks: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> EncodeResult: ...

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
def frames(
    config: FramesConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FramesResult:
    """Write a video out as pictures (00001.png …) and their times (frames.json)."""

@overload
def frames(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    side: Literal['src', 'dst'],
    format: Literal['png', 'jpg'] = ...,
    jpeg_quality: int = ...,
    fps: float = ...,
    deep: bool = ...,
    output: _Path | None = ...,
    redo: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FramesResult: ...

@overload
def inspect(
    config: InspectConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> InspectResult:
    """Show what a file is, what it says about itself, and whether it was altered."""

@overload
def inspect(
    *,
    file: _Path,
    workspace: _Path | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> InspectResult: ...

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

@overload
def merge(
    config: MergeConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> MergeResult:
    """Put the trained face on the footage of dst: as frames and masks, or directly as a video."""

@overload
def merge(
    *,
    mode: Literal['overlay'] = ...,
    mask_mode: Literal['full', 'dst', 'learned-prd', 'learned-dst', 'learned-prd*learned-dst', 'learned-prd+learned-dst'] = ...,
    morph_factor: float = ...,
    erode: int = ...,
    blur: int = ...,
    face_scale: int = ...,
    color_transfer: Literal['none', 'rct', 'lct', 'mkl', 'idt', 'sot'] = ...,
    color_statistics: Literal['black', 'inside'] = ...,
    device: str = ...,
    threads: int = ...,
    workspace: _Path = ...,
    model: Literal['SAEHD', 'AMP', 'Quick96'] | None = ...,
    name: str | None = ...,
    weights: Literal['auto', 'trained', 'mean'] = ...,
    to_video: bool = ...,
    output: _Path | None = ...,
    codec: Literal['h264', 'h265', 'prores', 'ffv1', 'h264-lossless'] | None = ...,
    crf: float | None = ...,
    bitrate: int | None = ...,
    precision: Literal['auto', 'fp32', 'bf16'] = ...,
    batch_size: int = ...,
    redo: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> MergeResult: ...

@overload
def new(
    config: NewConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> NewResult:
    """Create a workspace: a folder for the footage of one pair, with a rights record."""

@overload
def new(
    *,
    workspace: _Path,
    src: _Path | None = ...,
    dst: _Path | None = ...,
    src_rights: Literal['own', 'consent', 'licence', 'public-domain', 'synthetic'],
    dst_rights: Literal['own', 'consent', 'licence', 'public-domain', 'synthetic'],
    src_name: str = ...,
    dst_name: str = ...,
    note: str = ...,
    stated_by: str = ...,
    copy_footage: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> NewResult: ...

@overload
def run(
    config: RunConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> RunResult:
    """Run every stage that is not done yet, in order: extract, train, merge, encode."""

@overload
def run(
    *,
    workspace: _Path = ...,
    model: Literal['SAEHD', 'AMP', 'Quick96'] | None = ...,
    name: str | None = ...,
    iterations: int | None = ...,
    device: str | None = ...,
    threads: int | None = ...,
    changes: tuple[str, ...] | list[str] = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> RunResult: ...

@overload
def weights_add(
    config: WeightsAddConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> AddedWeight:
    """Add a network file to the cache; its SHA-256 identifies it, or you do with --as."""

@overload
def weights_add(
    *,
    file: str,
    network: Literal['s3fd', '2dfan', '3dfan'] | None = ...,
    sha256: str | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> AddedWeight: ...

@overload
def weights_fetch(
    config: WeightsFetchConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FetchedWeights:
    """Download network files into the cache, so that everything works offline afterwards."""

@overload
def weights_fetch(
    *,
    names: tuple[str, ...] | list[str] = ...,
    all: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FetchedWeights: ...

@overload
def weights_list(
    config: WeightsListConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> WeightsList:
    """List every known network file: its state, size, licence and purpose."""

@overload
def weights_list(
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> WeightsList: ...
