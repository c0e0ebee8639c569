"""`faceloom faceset masks` and `debug`: pictures made of the faces, beside the faceset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)

AgainOption = Annotated[
    bool,
    Parameter(negative="", show_default=False, help="Also those that are there already."),
]


def masks(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    source: Annotated[
        Literal["auto", "xseg", "polygons", "hull"] | None,
        Parameter(help="Which mask; auto, the default: the first of the others that is there."),
    ] = None,
    place: Annotated[
        Literal["folder", "beside_faces"] | None,
        Parameter(
            help="folder (the default): `<faceset>_masks`; beside_faces: `<stem>_mask.jpg` beside "
            "each face, as DeepFaceLab does."
        ),
    ] = None,
    format_: Annotated[
        Literal["png", "jpg"] | None,
        Parameter(name="--format", help="png, or jpg (the default beside faces)."),
    ] = None,
    soft: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Keep grey values instead of cutting at half."
        ),
    ] = False,
    again: AgainOption = False,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write the mask of every face as a picture, white where the face is.

    **Example**

        faceloom faceset masks src --source polygons
    """
    from faceloom.stages.faceset.masks import MasksConfig, run

    config = build_config(
        MasksConfig,
        workspace=workspace,
        faceset=faceset,
        source=source,
        place=place,
        format=format_,
        soft=soft or None,
        again=again or None,
    )
    run_stage(run, config, json=json, verbose=verbose)


def debug(
    faceset: Annotated[str, Parameter(help="src, dst, or a folder of faces.")],
    /,
    *,
    again: AgainOption = False,
    jpeg_quality: Annotated[int | None, Parameter(help="1 to 100; 85 unless given.")] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Draw landmarks and hull on every face, into `<faceset>_landmarks`.

    **Example**

        faceloom faceset debug dst
    """
    from faceloom.stages.faceset.debug import DebugConfig, run

    config = build_config(
        DebugConfig,
        workspace=workspace,
        faceset=faceset,
        again=again or None,
        jpeg_quality=jpeg_quality,
    )
    run_stage(run, config, json=json, verbose=verbose)
