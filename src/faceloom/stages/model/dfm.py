"""The export stage: a trained model as a file for other programs (reference: training.md 8)."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from faceloom.checkpoints import ModelFolder, ModelState, list_models, load_model, split_name
from faceloom.checkpoints.manage import name_and_class, named_model
from faceloom.checkpoints.state import Weights
from faceloom.core import Cancel, InputError, Progress, Settings, atomic_path
from faceloom.core.vocabulary import SIDES
from faceloom.export.dfm import DFM_CLASSES, check_dfm, make_dfm
from faceloom.export.onnx_parts import save_onnx
from faceloom.export.xseg_onnx import FILE_NAME, check_xseg_onnx, make_xseg_onnx
from faceloom.provenance import append_ledger, file_sha256, read_rights, require_rights
from faceloom.workspace.layout import Workspace

XSEG_CLASSES = ("XSeg",)


class ExportDfmConfig(Settings):
    """Which model to write, how, and where to."""

    workspace: Path = Path()
    """The workspace that the model is in."""
    format: Literal["dfm", "onnx"] = "dfm"
    """dfm: a swap model for DeepFaceLive; onnx: an XSeg model as DeepFaceLab exports it."""
    name: str | None = None
    """The model's name, or name and class; needed when there are several."""
    class_name: str | None = None
    """Its class; needed when several have the name."""
    quantized: bool = False
    """Convolutions in half precision: about half the size and memory."""
    weights: Weights = "auto"
    """The weights of the last step (trained), their running mean (mean), or the mean where the
    model has one (auto)."""
    output: Path | None = None
    """The file; unset: NAME_CLASS_model.dfm or XSeg_model.onnx in the workspace's `model/`."""


@dataclass(frozen=True)
class ExportDfmResult:
    """What was written."""

    model: str
    iteration: int
    output: Path
    size_bytes: int
    sha256: str
    difference: float
    """The largest one between the file's pictures, made by onnxruntime, and the model's."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {**asdict(self), "output": str(self.output)}

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.output}: {self.size_bytes / 1e6:.0f} MB, {self.model} at iteration"
            f" {self.iteration}",
            f"checked in onnxruntime: at most {self.difference:.1g} away from the model",
        ]


def run(config: ExportDfmConfig, *, progress: Progress, cancel: Cancel) -> ExportDfmResult:
    """Write a model's file, check it in onnxruntime, and note it in the ledger.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when none or several models fit or the model is too large for one file,
    `ModelError` when the file does not make what the model makes; it is not kept then.
    """
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = _chosen(workspace.model, config)
    output = _output(workspace, folder, config)
    cancel.check()
    progress.start("export", 2, "steps")
    model, state = load_model(folder, device=torch.device("cpu"), weights=config.weights)
    metadata = _metadata(workspace, folder, state, digest, quantized=config.quantized)
    with atomic_path(output) as temporary:
        difference = _write(model, temporary, metadata, config, progress, cancel)
    progress.finish()
    result = ExportDfmResult(
        model=folder.path.name,
        iteration=state.iteration,
        output=output,
        size_bytes=output.stat().st_size,
        sha256=file_sha256(output),
        difference=difference,
    )
    _record(workspace, config, result, digest)
    return result


def _chosen(models: Path, config: ExportDfmConfig) -> ModelFolder:
    """The model, among those of a class that the format is for."""
    allowed = DFM_CLASSES if config.format == "dfm" else XSEG_CLASSES
    if config.class_name is not None:
        return named_model(models, config.name, class_name=config.class_name)
    classes = {(split_name(found.path) or ("", ""))[1] for found in list_models(models)}
    fitting = [name for name in allowed if name in classes]
    if classes and not fitting:
        raise InputError(
            f"{models}: {config.format} is for {' and '.join(allowed)}, not for"
            f" {', '.join(sorted(classes))}"
        )
    return named_model(models, config.name, class_name=fitting[0] if len(fitting) == 1 else None)


def _output(workspace: Workspace, folder: ModelFolder, config: ExportDfmConfig) -> Path:
    usual = FILE_NAME if config.format == "onnx" else f"{folder.path.name}_model.dfm"
    if config.output is None:
        return workspace.model / usual
    output = config.output.expanduser()
    return output / usual if output.is_dir() else output


def _write(
    model: Any,
    path: Path,
    metadata: dict[str, str],
    config: ExportDfmConfig,
    progress: Progress,
    cancel: Cancel,
) -> float:
    """Write the file and check it; return how far its pictures are from the model's."""
    if config.format == "dfm":
        save_onnx(make_dfm(model, quantized=config.quantized, metadata=metadata), path)
    else:
        save_onnx(make_xseg_onnx(model, metadata=metadata), path)
    progress.advance()
    cancel.check()
    if config.format == "dfm":
        difference = check_dfm(path, model, quantized=config.quantized)
    else:
        difference = check_xseg_onnx(path, model)
    progress.advance()
    return difference


def _metadata(
    workspace: Workspace, folder: ModelFolder, state: ModelState, digest: str, *, quantized: bool
) -> dict[str, str]:
    """Where the file comes from, kept inside; the original keeps nothing (defect 29)."""
    name, class_name = name_and_class(folder)
    rights = read_rights(workspace.folder)
    grounds = {"src": rights[0].src.ground, "dst": rights[0].dst.ground} if rights else {}
    return {
        "generator": f"Faceloom {version('faceloom')}",
        "model": name,
        "class": class_name,
        "iteration": str(state.iteration),
        "face_type": str(state.settings["face_type"]),
        "resolution": str(state.settings["resolution"]),
        "quantized": str(quantized).lower(),
        "rights_sha256": digest,
        **{f"{side}_rights": ground for side, ground in grounds.items()},
        "exported_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _record(
    workspace: Workspace, config: ExportDfmConfig, result: ExportDfmResult, digest: str
) -> None:
    append_ledger(
        workspace.folder,
        "model-export",
        {
            "rights_sha256": digest,
            "model": result.model,
            "iteration": result.iteration,
            "format": config.format,
            "quantized": config.quantized,
            "file": result.output.name,
            "sha256": result.sha256,
        },
    )
