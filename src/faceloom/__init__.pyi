# Written by scripts/api_stub.py from the catalog of stages; do not edit.
from pathlib import Path
from typing import Any, Literal, overload

from faceloom.checkpoints.folder import find_model as find_model
from faceloom.checkpoints.state import load_model as load_model
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
from faceloom.export import make_dfm as make_dfm
from faceloom.export import make_xseg_onnx as make_xseg_onnx
from faceloom.models.base import FaceModel as FaceModel
from faceloom.models.base import MaskBatch as MaskBatch
from faceloom.models.base import MaskModel as MaskModel
from faceloom.models.base import Prediction as Prediction
from faceloom.models.base import SampleBatch as SampleBatch
from faceloom.models.build import build_model as build_model
from faceloom.settings.models import AmpSettings as AmpSettings
from faceloom.settings.models import Quick96Settings as Quick96Settings
from faceloom.settings.models import SaehdSettings as SaehdSettings
from faceloom.settings.models import XsegSettings as XsegSettings
from faceloom.stages.config import DoctorConfig as DoctorConfig
from faceloom.stages.config import EncodeConfig as EncodeConfig
from faceloom.stages.config import FramesConfig as FramesConfig
from faceloom.stages.config import InspectConfig as InspectConfig
from faceloom.stages.config import NewConfig as NewConfig
from faceloom.stages.config import RunConfig as RunConfig
from faceloom.stages.config import WeightsAddConfig as WeightsAddConfig
from faceloom.stages.config import WeightsFetchConfig as WeightsFetchConfig
from faceloom.stages.config import WeightsListConfig as WeightsListConfig
from faceloom.stages.curate.cluster import ClusterResult as ClusterResult
from faceloom.stages.curate.config import ClusterConfig as ClusterConfig
from faceloom.stages.curate.config import CoverageConfig as CoverageConfig
from faceloom.stages.curate.config import DedupeConfig as DedupeConfig
from faceloom.stages.curate.config import SortConfig as SortConfig
from faceloom.stages.curate.coverage import CoverageResult as CoverageResult
from faceloom.stages.curate.dedupe import DedupeResult as DedupeResult
from faceloom.stages.curate.sort import MethodList as MethodList
from faceloom.stages.curate.sort import SortResult as SortResult
from faceloom.stages.demo.config import DemoConfig as DemoConfig
from faceloom.stages.demo.run import DemoResult as DemoResult
from faceloom.stages.doctor import DoctorResult as DoctorResult
from faceloom.stages.encode import EncodeResult as EncodeResult
from faceloom.stages.extract.config import ExtractConfig as ExtractConfig
from faceloom.stages.extract.result import ExtractResult as ExtractResult
from faceloom.stages.faceset.config import FacesetDebugConfig as FacesetDebugConfig
from faceloom.stages.faceset.config import FacesetEnhanceConfig as FacesetEnhanceConfig
from faceloom.stages.faceset.config import FacesetExportConfig as FacesetExportConfig
from faceloom.stages.faceset.config import FacesetImportConfig as FacesetImportConfig
from faceloom.stages.faceset.config import FacesetListConfig as FacesetListConfig
from faceloom.stages.faceset.config import FacesetMasksConfig as FacesetMasksConfig
from faceloom.stages.faceset.config import FacesetMetadataRestoreConfig as FacesetMetadataRestoreConfig
from faceloom.stages.faceset.config import FacesetMetadataSaveConfig as FacesetMetadataSaveConfig
from faceloom.stages.faceset.config import FacesetPackConfig as FacesetPackConfig
from faceloom.stages.faceset.config import FacesetPeopleAddConfig as FacesetPeopleAddConfig
from faceloom.stages.faceset.config import FacesetPeopleForgetConfig as FacesetPeopleForgetConfig
from faceloom.stages.faceset.config import FacesetPeopleListConfig as FacesetPeopleListConfig
from faceloom.stages.faceset.config import FacesetRenameConfig as FacesetRenameConfig
from faceloom.stages.faceset.config import FacesetResizeConfig as FacesetResizeConfig
from faceloom.stages.faceset.config import FacesetTracksConfig as FacesetTracksConfig
from faceloom.stages.faceset.config import FacesetUndoConfig as FacesetUndoConfig
from faceloom.stages.faceset.config import FacesetUnpackConfig as FacesetUnpackConfig
from faceloom.stages.faceset.debug import FacesetDebugResult as FacesetDebugResult
from faceloom.stages.faceset.enhance import FacesetEnhanceResult as FacesetEnhanceResult
from faceloom.stages.faceset.list import FacesetListResult as FacesetListResult
from faceloom.stages.faceset.masks import FacesetMasksResult as FacesetMasksResult
from faceloom.stages.faceset.metadata import FacesetMetadataRestoreResult as FacesetMetadataRestoreResult
from faceloom.stages.faceset.metadata import FacesetMetadataSaveResult as FacesetMetadataSaveResult
from faceloom.stages.faceset.pack import FacesetPackResult as FacesetPackResult
from faceloom.stages.faceset.pack import FacesetUnpackResult as FacesetUnpackResult
from faceloom.stages.faceset.people import PeopleResult as PeopleResult
from faceloom.stages.faceset.rename import FacesetRenameResult as FacesetRenameResult
from faceloom.stages.faceset.resize import FacesetResizeResult as FacesetResizeResult
from faceloom.stages.faceset.tracks import FacesetTracksResult as FacesetTracksResult
from faceloom.stages.faceset.transfer import TransferResult as TransferResult
from faceloom.stages.faceset.undo import FacesetUndoResult as FacesetUndoResult
from faceloom.stages.frames import FramesResult as FramesResult
from faceloom.stages.inspect import InspectResult as InspectResult
from faceloom.stages.merge.config import MergeConfig as MergeConfig
from faceloom.stages.merge.run import MergeResult as MergeResult
from faceloom.stages.model.config import ExportDfmConfig as ExportDfmConfig
from faceloom.stages.model.config import ExportXsegConfig as ExportXsegConfig
from faceloom.stages.model.config import ModelBackupConfig as ModelBackupConfig
from faceloom.stages.model.config import ModelBackupsConfig as ModelBackupsConfig
from faceloom.stages.model.config import ModelCopyConfig as ModelCopyConfig
from faceloom.stages.model.config import ModelDeleteConfig as ModelDeleteConfig
from faceloom.stages.model.config import ModelExportConfig as ModelExportConfig
from faceloom.stages.model.config import ModelForgetConfig as ModelForgetConfig
from faceloom.stages.model.config import ModelImportConfig as ModelImportConfig
from faceloom.stages.model.config import ModelListConfig as ModelListConfig
from faceloom.stages.model.config import ModelRenameConfig as ModelRenameConfig
from faceloom.stages.model.config import ModelResetConfig as ModelResetConfig
from faceloom.stages.model.config import ModelRestoreConfig as ModelRestoreConfig
from faceloom.stages.model.config import ModelSnapshotConfig as ModelSnapshotConfig
from faceloom.stages.model.config import ModelSnapshotsConfig as ModelSnapshotsConfig
from faceloom.stages.model.config import ModelSummaryConfig as ModelSummaryConfig
from faceloom.stages.model.config import ModelTimelapseConfig as ModelTimelapseConfig
from faceloom.stages.model.dfl import ModelExportResult as ModelExportResult
from faceloom.stages.model.dfl import ModelImportResult as ModelImportResult
from faceloom.stages.model.export import ExportFileResult as ExportFileResult
from faceloom.stages.model.manage import ModelCopyResult as ModelCopyResult
from faceloom.stages.model.manage import ModelDeleteResult as ModelDeleteResult
from faceloom.stages.model.manage import ModelList as ModelList
from faceloom.stages.model.manage import ModelRenameResult as ModelRenameResult
from faceloom.stages.model.states import KeptList as KeptList
from faceloom.stages.model.states import ModelBackupResult as ModelBackupResult
from faceloom.stages.model.states import ModelForgetResult as ModelForgetResult
from faceloom.stages.model.states import ModelResetResult as ModelResetResult
from faceloom.stages.model.states import ModelRestoreResult as ModelRestoreResult
from faceloom.stages.model.states import ModelSnapshotResult as ModelSnapshotResult
from faceloom.stages.model.summary import ModelSummary as ModelSummary
from faceloom.stages.model.timelapse import ModelTimelapseResult as ModelTimelapseResult
from faceloom.stages.new import NewResult as NewResult
from faceloom.stages.run import RunResult as RunResult
from faceloom.stages.settings import SettingsConfig as SettingsConfig
from faceloom.stages.settings import SettingsResult as SettingsResult
from faceloom.stages.train.config import PlanConfig as PlanConfig
from faceloom.stages.train.config import TrainConfig as TrainConfig
from faceloom.stages.train.plan import PlanResult as PlanResult
from faceloom.stages.train.run import TrainResult as TrainResult
from faceloom.stages.weights import AddedWeight as AddedWeight
from faceloom.stages.weights import FetchedWeights as FetchedWeights
from faceloom.stages.weights import WeightsList as WeightsList
from faceloom.workspace.layout import Workspace as Workspace
from faceloom.settings.training import Plateau

_Path = str | Path

__version__: str

@overload
def cluster(
    config: ClusterConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ClusterResult:
    """Group faces by person; list, name, keep or move the groups."""

@overload
def cluster(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    name: tuple[str, ...] | list[str] = ...,
    keep: tuple[str, ...] | list[str] = ...,
    move: bool = ...,
    outliers: bool = ...,
    threshold: float = ...,
    sheet: _Path | None = ...,
    dry_run: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ClusterResult: ...

@overload
def coverage(
    config: CoverageConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> CoverageResult:
    """Compare src's faces with dst's: head pose, expression, light, size and brightness."""

@overload
def coverage(
    *,
    pose_tolerance_deg: float = ...,
    expression_tolerance: float = ...,
    light_tolerance: float = ...,
    size_ratio: float = ...,
    brightness_tolerance: float = ...,
    enough: int = ...,
    flip_src: bool = ...,
    threads: int = ...,
    workspace: _Path = ...,
    src: str = ...,
    dst: str = ...,
    html: _Path | None = ...,
    png: _Path | None = ...,
    trash_unused: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> CoverageResult: ...

@overload
def dedupe(
    config: DedupeConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> DedupeResult:
    """Move near-duplicates to `aligned_duplicates/<strength>`; the best face of each set stays."""

@overload
def dedupe(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    strength: int = ...,
    per_track: bool = ...,
    sheet: _Path | None = ...,
    dry_run: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> DedupeResult: ...

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
    threads: int = ...,
    workspace: _Path = ...,
    output: str | None = ...,
    codec: Literal['h264', 'h265', 'prores', 'ffv1', 'h264-lossless'] | None = ...,
    crf: float | None = ...,
    bitrate: int | None = ...,
    preset: Literal['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower', 'veryslow', 'placebo'] = ...,
    masks: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> EncodeResult: ...

@overload
def export_dfm(
    config: ExportDfmConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ExportFileResult:
    """Write a SAEHD or AMP model as a DFM file for DeepFaceLive."""

@overload
def export_dfm(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP'] | None = ...,
    quantized: bool = ...,
    weights: Literal['auto', 'trained', 'mean'] = ...,
    output: str | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExportFileResult: ...

@overload
def export_xseg(
    config: ExportXsegConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ExportFileResult:
    """Write an XSeg mask model as ONNX, in DeepFaceLab's form."""

@overload
def export_xseg(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    weights: Literal['auto', 'trained', 'mean'] = ...,
    output: str | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExportFileResult: ...

@overload
def extract(
    config: ExtractConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ExtractResult:
    """Find the faces in the footage of src or dst, align them and store them in `aligned`."""

@overload
def extract(
    *,
    device: str = ...,
    threads: int = ...,
    workspace: _Path = ...,
    side: Literal['src', 'dst'],
    face_type: Literal['half_face', 'midfull_face', 'full_face', 'full_face_no_align', 'whole_face', 'head', 'head_no_align', 'mark_only'] = ...,
    image_size: int | Literal['estimated'] | None = ...,
    format: Literal['jpg', 'png'] = ...,
    jpeg_quality: int = ...,
    max_faces: int = ...,
    min_face_px: int = ...,
    detector: str = ...,
    landmarker: Literal['mesh-478', '2dfan', '3dfan'] = ...,
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
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ExtractResult: ...

@overload
def faceset_debug(
    config: FacesetDebugConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetDebugResult:
    """Draw landmarks and hull on a copy of every face, in `<faceset>_landmarks`."""

@overload
def faceset_debug(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    jpeg_quality: int = ...,
    again: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetDebugResult: ...

@overload
def faceset_enhance(
    config: FacesetEnhanceConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetEnhanceResult:
    """Sharpen blurred or small faces with a super-resolution network (Real-ESRGAN)."""

@overload
def faceset_enhance(
    *,
    device: str = ...,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    strength: float = ...,
    scale: Literal[1, 2, 4] = ...,
    detail: Literal['frame', 'picture'] = ...,
    jpeg_quality: int = ...,
    again: bool = ...,
    precision: Literal['auto', 'fp32', 'bf16'] = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetEnhanceResult: ...

@overload
def faceset_export(
    config: FacesetExportConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> TransferResult:
    """Write a faceset that DeepFaceLab and Machine Video Editor can open."""

@overload
def faceset_export(
    *,
    workspace: _Path = ...,
    faceset: str,
    output: _Path,
    dfl_only: bool = ...,
    jpeg_quality: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> TransferResult: ...

@overload
def faceset_import(
    config: FacesetImportConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> TransferResult:
    """Copy the faces of another faceset into yours; each is read and decoded first."""

@overload
def faceset_import(
    *,
    workspace: _Path = ...,
    faceset: str,
    source: _Path,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> TransferResult: ...

@overload
def faceset_list(
    config: FacesetListConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetListResult:
    """Show what is in a faceset: how many faces, their types, sizes and sources."""

@overload
def faceset_list(
    *,
    workspace: _Path = ...,
    faceset: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetListResult: ...

@overload
def faceset_masks(
    config: FacesetMasksConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetMasksResult:
    """Write the mask of every face as a picture, white where the face is."""

@overload
def faceset_masks(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    source: Literal['auto', 'xseg', 'polygons', 'hull'] = ...,
    place: Literal['folder', 'beside_faces'] = ...,
    format: Literal['png', 'jpg'] | None = ...,
    soft: bool = ...,
    again: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetMasksResult: ...

@overload
def faceset_metadata_restore(
    config: FacesetMetadataRestoreConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetMetadataRestoreResult:
    """Put saved metadata back into edited pictures."""

@overload
def faceset_metadata_restore(
    *,
    workspace: _Path = ...,
    faceset: str,
    file: _Path | None = ...,
    keep_size: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetMetadataRestoreResult: ...

@overload
def faceset_metadata_save(
    config: FacesetMetadataSaveConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetMetadataSaveResult:
    """Save the metadata of every loose face, in the faceset's folder."""

@overload
def faceset_metadata_save(
    *,
    workspace: _Path = ...,
    faceset: str,
    format: Literal['both', 'faceloom', 'dfl'] = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetMetadataSaveResult: ...

@overload
def faceset_pack(
    config: FacesetPackConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetPackResult:
    """Put the faces of a faceset into one file: DeepFaceLab's `faceset.pak`, or a plain zip file."""

@overload
def faceset_pack(
    *,
    workspace: _Path = ...,
    faceset: str,
    format: Literal['pak', 'zip'] = ...,
    persons: bool = ...,
    remove: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetPackResult: ...

@overload
def faceset_people_add(
    config: FacesetPeopleAddConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> PeopleResult:
    """Learn a person from a picture or a folder of pictures; replaces a person of the same name."""

@overload
def faceset_people_add(
    *,
    workspace: _Path = ...,
    name: str,
    pictures: _Path,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PeopleResult: ...

@overload
def faceset_people_forget(
    config: FacesetPeopleForgetConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> PeopleResult:
    """Delete what is known about a person. Their faces stay."""

@overload
def faceset_people_forget(
    *,
    workspace: _Path = ...,
    name: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PeopleResult: ...

@overload
def faceset_people_list(
    config: FacesetPeopleListConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> PeopleResult:
    """List the people a workspace knows by name, and what each was learned from."""

@overload
def faceset_people_list(
    *,
    workspace: _Path = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PeopleResult: ...

@overload
def faceset_rename(
    config: FacesetRenameConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetRenameResult:
    """Name faces after their source files again, for example after a sort: `00017_0.jpg`."""

@overload
def faceset_rename(
    *,
    workspace: _Path = ...,
    faceset: str,
    prefix: str = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetRenameResult: ...

@overload
def faceset_resize(
    config: FacesetResizeConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetResizeResult:
    """Change the size or the face type of a faceset, from its pictures or from the footage."""

@overload
def faceset_resize(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    size: int | Literal['estimated', 'same'] = ...,
    face_type: Literal['half_face', 'midfull_face', 'full_face', 'full_face_no_align', 'whole_face', 'head', 'head_no_align', 'mark_only'] | Literal['same'] = ...,
    source: Literal['face', 'footage'] = ...,
    footage: _Path | None = ...,
    allow_borders: bool = ...,
    output: _Path | None = ...,
    jpeg_quality: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetResizeResult: ...

@overload
def faceset_tracks(
    config: FacesetTracksConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetTracksResult:
    """List the tracks of a faceset: first and last frame, number of faces, size and sharpness."""

@overload
def faceset_tracks(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str,
    keep: tuple[str, ...] | list[str] = ...,
    drop: tuple[str, ...] | list[str] = ...,
    sheet: _Path | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetTracksResult: ...

@overload
def faceset_undo(
    config: FacesetUndoConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetUndoResult:
    """Undo the last operation that moved or renamed faces; run it again for the one before."""

@overload
def faceset_undo(
    *,
    workspace: _Path = ...,
    faceset: str,
    only_list: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetUndoResult: ...

@overload
def faceset_unpack(
    config: FacesetUnpackConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> FacesetUnpackResult:
    """Turn the faces of a packed faceset into files again."""

@overload
def faceset_unpack(
    *,
    workspace: _Path = ...,
    faceset: str,
    archive: _Path | None = ...,
    keep: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FacesetUnpackResult: ...

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
    output: str | None = ...,
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
def model_backup(
    config: ModelBackupConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelBackupResult:
    """Add the saved state of a model to its backups."""

@overload
def model_backup(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelBackupResult: ...

@overload
def model_backups(
    config: ModelBackupsConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> KeptList:
    """List a model's backups, the oldest first."""

@overload
def model_backups(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> KeptList: ...

@overload
def model_copy(
    config: ModelCopyConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelCopyResult:
    """Copy the saved state of a model to a new model, for an experiment."""

@overload
def model_copy(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    new_name: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelCopyResult: ...

@overload
def model_delete(
    config: ModelDeleteConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelDeleteResult:
    """Delete one model with its backups, snapshots and previews."""

@overload
def model_delete(
    *,
    workspace: _Path = ...,
    name: str,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    yes: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelDeleteResult: ...

@overload
def model_export(
    config: ModelExportConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelExportResult:
    """Export a model to DeepFaceLab 2, where training can continue."""

@overload
def model_export(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    output: _Path | None = ...,
    format: Literal['dfl'] = ...,
    new_name: str | None = ...,
    overwrite: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelExportResult: ...

@overload
def model_forget(
    config: ModelForgetConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelForgetResult:
    """Delete a snapshot or backup. The model itself does not change."""

@overload
def model_forget(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    state: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelForgetResult: ...

@overload
def model_import(
    config: ModelImportConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelImportResult:
    """Import a DeepFaceLab 2 model: SAEHD, AMP, Quick96 or XSeg."""

@overload
def model_import(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    folder: _Path | None = ...,
    new_name: str | None = ...,
    allow_missing: bool = ...,
    seed: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelImportResult: ...

@overload
def model_list(
    config: ModelListConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelList:
    """List the models of a workspace, the latest saved first."""

@overload
def model_list(
    *,
    workspace: _Path = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelList: ...

@overload
def model_rename(
    config: ModelRenameConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelRenameResult:
    """Give a model another name."""

@overload
def model_rename(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    new_name: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelRenameResult: ...

@overload
def model_reset(
    config: ModelResetConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelResetResult:
    """Reinitialise networks of a model. The state before is kept as a snapshot."""

@overload
def model_reset(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    networks: tuple[str, ...] | list[str] = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelResetResult: ...

@overload
def model_restore(
    config: ModelRestoreConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelRestoreResult:
    """Go back to a snapshot or backup. The current state is saved as a backup first."""

@overload
def model_restore(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    state: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelRestoreResult: ...

@overload
def model_snapshot(
    config: ModelSnapshotConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelSnapshotResult:
    """Keep the saved state of a model under a label until `forget` deletes it."""

@overload
def model_snapshot(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    label: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelSnapshotResult: ...

@overload
def model_snapshots(
    config: ModelSnapshotsConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> KeptList:
    """List a model's snapshots, the oldest first."""

@overload
def model_snapshots(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> KeptList: ...

@overload
def model_summary(
    config: ModelSummaryConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelSummary:
    """Show everything about a model: settings, losses and their trend, time, sizes, events."""

@overload
def model_summary(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelSummary: ...

@overload
def model_timelapse(
    config: ModelTimelapseConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> ModelTimelapseResult:
    """Make a video of a model's preview history."""

@overload
def model_timelapse(
    *,
    workspace: _Path = ...,
    name: str | None = ...,
    class_name: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    preview: Literal['plain', 'masked', 'morph'] = ...,
    output: str | None = ...,
    fps: int = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ModelTimelapseResult: ...

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
def plan(
    config: PlanConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> PlanResult:
    """Estimate the memory and time that a training needs, and what fits, without starting it."""

@overload
def plan(
    *,
    threads: int = ...,
    device: str = ...,
    workspace: _Path = ...,
    model: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    name: str | None = ...,
    iterations: int | None = ...,
    recipe: str | None = ...,
    recipe_scale: float = ...,
    batch: Literal['auto'] | int | None = ...,
    settings: dict[str, Any] = ...,
    changes: tuple[str, ...] | list[str] = ...,
    precision: Literal['auto', 'fp32', 'bf16'] = ...,
    card: str | None = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PlanResult: ...

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
def sort(
    config: SortConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> SortResult | MethodList:
    """Sort a faceset: rename its faces 00000, 00001 … in the order you choose."""

@overload
def sort(
    *,
    threads: int = ...,
    workspace: _Path = ...,
    faceset: str | None = ...,
    by: str = ...,
    list: bool = ...,
    reverse: bool = ...,
    count: int | None = ...,
    towards: str | None = ...,
    reference: str | None = ...,
    trash: bool = ...,
    keep_names: bool = ...,
    sheet: _Path | None = ...,
    list_file: _Path | None = ...,
    dry_run: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> SortResult | MethodList: ...

@overload
def train(
    config: TrainConfig, *, progress: Progress | None = None, cancel: Cancel | None = None
) -> TrainResult:
    """Train a model on the facesets of src and dst, or continue training an existing one."""

@overload
def train(
    *,
    threads: int = ...,
    device: str = ...,
    workspace: _Path = ...,
    model: Literal['SAEHD', 'AMP', 'Quick96', 'XSeg'] | None = ...,
    name: str | None = ...,
    iterations: int | None = ...,
    recipe: str | None = ...,
    recipe_scale: float = ...,
    batch: Literal['auto'] | int | None = ...,
    settings: dict[str, Any] = ...,
    changes: tuple[str, ...] | list[str] = ...,
    precision: Literal['auto', 'fp32', 'bf16'] = ...,
    src_src: bool = ...,
    pretrain_faces: _Path | None = ...,
    preview_src: tuple[str, ...] | list[str] = ...,
    preview_dst: tuple[str, ...] | list[str] = ...,
    save_every_s: float = ...,
    preview_every_s: float = ...,
    preview_every: int = ...,
    preview_history: bool = ...,
    backup_every_h: float = ...,
    backups: int = ...,
    collapse_factor: float = ...,
    max_rollbacks: int = ...,
    plateau: Plateau = ...,
    compile: Literal['auto', 'on', 'off'] = ...,
    seed: int = ...,
    tensorboard: bool = ...,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> TrainResult: ...

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
