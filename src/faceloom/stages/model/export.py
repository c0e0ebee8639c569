"""Trained models as files for other programs: DFM for DeepFaceLive, XSeg as ONNX."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch

from faceloom.checkpoints import (
    ModelFolder,
    ModelState,
    find_model,
    list_models,
    load_model,
    name_and_class,
)
from faceloom.core import Cancel, InputError, Progress, atomic_path
from faceloom.core.paths import output_file
from faceloom.core.result import Result
from faceloom.core.vocabulary import SIDES
from faceloom.export import (
    DFM_CLASSES,
    check_dfm,
    check_xseg_onnx,
    make_dfm,
    make_xseg_onnx,
)
from faceloom.provenance import append_ledger, file_sha256, read_rights, require_rights
from faceloom.stages.model.config import ExportDfmConfig, ExportXsegConfig
from faceloom.workspace.layout import Workspace


@dataclass(frozen=True)
class ExportFileResult(Result):
    """The file that was written."""

    model: str
    iteration: int
    output: Path
    size_bytes: int
    sha256: str
    difference: float
    """The largest one between the file's pictures, made by onnxruntime, and the model's."""

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"wrote {self.output}: {self.size_bytes / 1e6:.0f} MB, {self.model} at iteration"
            f" {self.iteration}",
            f"checked in onnxruntime: differs from the model by at most {self.difference:.1g}",
        ]


@dataclass(frozen=True)
class _Format:
    name: Literal["dfm", "onnx"]
    classes: tuple[str, ...]
    """Model classes that it is for."""
    file_name: str
    """The usual name of a file, with `{model}` for the model's folder."""
    make: Callable[..., None]
    """Writes a model to a path, with metadata."""
    check: Callable[..., float]
    """The largest difference between the model's pictures and those of the file."""
    quantized: bool = False


def export_dfm(config: ExportDfmConfig, *, progress: Progress, cancel: Cancel) -> ExportFileResult:
    """Write a model as a DFM file, check it in onnxruntime, and record it in the ledger.

    Raises `RightsError` when the workspace's rights record does not cover its footage,
    `InputError` when none or several models fit or the model is too large for one file,
    `ModelError` when the file's pictures are not the model's; the file is then not kept.
    """
    dfm = _Format(
        "dfm",
        DFM_CLASSES if config.class_name is None else (config.class_name,),
        "{model}_model.dfm",
        partial(make_dfm, quantized=config.quantized),
        partial(check_dfm, quantized=config.quantized),
        config.quantized,
    )
    return _export(dfm, config, progress, cancel)


def export_xseg(
    config: ExportXsegConfig, *, progress: Progress, cancel: Cancel
) -> ExportFileResult:
    """Write a mask model as ONNX, check it in onnxruntime, and record it in the ledger.

    Raises as `export_dfm`.
    """
    onnx = _Format("onnx", ("XSeg",), "XSeg_model.onnx", make_xseg_onnx, check_xseg_onnx)
    return _export(onnx, config, progress, cancel)


def _export(
    format: _Format, config: ExportDfmConfig | ExportXsegConfig, progress: Progress, cancel: Cancel
) -> ExportFileResult:
    workspace = Workspace.open(config.workspace)
    covered = {side: workspace.footage(side) for side in SIDES if workspace.has_footage(side)}
    digest = require_rights(workspace.folder, covered, progress=progress, cancel=cancel)
    folder = _chosen(workspace.model, config.name, format)
    usual_name = format.file_name.format(model=folder.path.name)
    output = output_file(config.output or f"{workspace.model}/", usual_name)
    cancel.check()
    progress.start("export", 2, "steps")
    model, state = load_model(folder, device=torch.device("cpu"), weights=config.weights)
    metadata = _metadata(workspace, folder, state, digest, quantized=format.quantized)
    with atomic_path(output) as temporary:
        format.make(model, temporary, metadata=metadata)
        progress.advance()
        cancel.check()
        difference = format.check(model, temporary)
        progress.advance()
    progress.finish()
    result = ExportFileResult(
        model=folder.path.name,
        iteration=state.iteration,
        output=output,
        size_bytes=output.stat().st_size,
        sha256=file_sha256(output),
        difference=difference,
    )
    append_ledger(
        workspace.folder,
        "model-export",
        {
            "rights_sha256": digest,
            "model": result.model,
            "iteration": result.iteration,
            "format": format.name,
            "quantized": format.quantized,
            "file": result.output.name,
            "sha256": result.sha256,
        },
    )
    return result


def _chosen(models: Path, name: str | None, format: _Format) -> ModelFolder:
    """The model, among those of a class that the format is for."""
    classes = {name_and_class(found)[1] for found in list_models(models)}
    if classes.isdisjoint(format.classes) and classes:
        raise InputError(
            f"{models}: {format.name} is for {' and '.join(format.classes)}, not for"
            f" {', '.join(sorted(classes))}"
        )
    return find_model(models, name=name, only=format.classes.__contains__)


def _metadata(
    workspace: Workspace, folder: ModelFolder, state: ModelState, digest: str, *, quantized: bool
) -> dict[str, str]:
    """Where the file comes from, stored in the file itself."""
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
