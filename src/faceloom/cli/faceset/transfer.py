"""`faceloom faceset import` and `export`: facesets from elsewhere, and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def import_(
    faceset: Annotated[str, Parameter(help="Where to: src, dst, or a folder of faces.")],
    source: Annotated[Path, Parameter(help="A folder of faces, a faceset.pak or a zip file.")],
    /,
    *,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Copy a foreign faceset's faces into one of yours, each after it was read and decoded.

    Facesets of DeepFaceLab's, of any age, and Machine Video Editor's. Nothing in their files is
    run and nothing of yours is overwritten; what is no face is left out and named.

    **Example**

        faceloom faceset import src downloads/faceset.pak
    """
    from faceloom.stages.faceset.transfer import ImportFacesConfig, run_import

    config = build_config(ImportFacesConfig, workspace=workspace, faceset=faceset, source=source)
    run_stage(run_import, config, json=json, verbose=verbose)


def export(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    target: Annotated[Path, Parameter(help="A file that ends in .pak or .zip, or a folder.")],
    /,
    *,
    dfl_only: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Leave out what only Faceloom knows of a face: time, track, embedding …",
        ),
    ] = False,
    jpeg_quality: Annotated[
        int | None, Parameter(help="1 to 100, of what must be encoded anew; 100 unless given.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a faceset so that DeepFaceLab and Machine Video Editor open it.

    Pixels are encoded anew only in PNG files and in JPEG files that DeepFaceLab cannot parse.

    **Example**

        faceloom faceset export src for_dfl/aligned

        faceloom faceset export src faceset.pak --dfl-only
    """
    from faceloom.stages.faceset.transfer import ExportFacesConfig, run_export

    config = build_config(
        ExportFacesConfig,
        workspace=workspace,
        faceset=faceset,
        target=target,
        dfl_only=dfl_only,
        jpeg_quality=jpeg_quality,
    )
    run_stage(run_export, config, json=json, verbose=verbose)
