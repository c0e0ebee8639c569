"""`faceloom export`: trained models as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)

# The same words as `training.checkpoint.Weights`, which help must not have to import.
WeightsWord = Literal["auto", "trained", "mean"]

NameOption = Annotated[
    str | None,
    Parameter(help="The model: NAME or NAME_CLASS; needed when there are several."),
]
WeightsOption = Annotated[
    WeightsWord | None,
    Parameter(
        help="Those of the last step (trained), their running mean (mean), or auto (the default):"
        " the mean where the model has one."
    ),
]
OutOption = Annotated[
    Path | None,
    Parameter(name=["--out", "-o"], help="The file, or a folder for it; else model/."),
]

app = App(name="export", help_format="markdown")
app.help = """Write trained models as files for other programs.

A model holds a face: the workspace needs its rights record, whose digest goes into the file and
the ledger. For DeepFaceLab itself there is `faceloom model export`.

**Example**

    faceloom export dfm --name main --out DeepFaceLive/dfm_models
"""


@app.command
def dfm(
    *,
    name: NameOption = None,
    class_: Annotated[
        Literal["SAEHD", "AMP"] | None,
        Parameter(name="--class", help="Its class, where both have a model of the name."),
    ] = None,
    quantized: Annotated[
        bool | None,
        Parameter(negative="", help="Half precision inside: about half the size and memory."),
    ] = None,
    weights: WeightsOption = None,
    out: OutOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a SAEHD or AMP model as a DFM file for DeepFaceLive.

    The file is checked in onnxruntime against the model before it takes its name.

    **Example**

        faceloom export dfm --quantized --out anna.dfm
    """
    from faceloom.stages.model.dfm import ExportDfmConfig, run

    config = build_config(
        ExportDfmConfig,
        workspace=workspace,
        name=name,
        class_name=class_,
        quantized=quantized,
        weights=weights,
        output=out,
    )
    run_stage(run, config, json=json, verbose=verbose)


@app.command
def xseg(
    *,
    name: NameOption = None,
    weights: WeightsOption = None,
    out: OutOption = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write an XSeg mask model as ONNX, in the form of DeepFaceLab's.

    **Example**

        faceloom export xseg --out XSeg_model.onnx
    """
    from faceloom.stages.model.dfm import ExportDfmConfig, run

    config = build_config(
        ExportDfmConfig,
        workspace=workspace,
        format="onnx",
        name=name,
        weights=weights,
        output=out,
    )
    run_stage(run, config, json=json, verbose=verbose)
