"""`faceloom faceset resize`: faces at another size or of another face type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def resize(
    faceset: Annotated[str, Parameter(help="src, dst or a folder of faces.")],
    /,
    *,
    size: Annotated[
        str | None,
        Parameter(
            help="Side in pixels, 64 to 2048; estimated: what each face has in its frame; same."
        ),
    ] = None,
    face_type: Annotated[
        str | None,
        Parameter(help="How much of the head the new faces show; same unless given."),
    ] = None,
    from_: Annotated[
        Literal["face", "footage"] | None,
        Parameter(name="--from", help="Cut from the faces' pictures, or anew from the frames."),
    ] = None,
    footage: Annotated[
        Path | None, Parameter(help="The footage, for a faceset that is neither src nor dst.")
    ] = None,
    allow_borders: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Leave black what a picture does not show, rather than refuse.",
        ),
    ] = False,
    to: Annotated[
        Path | None, Parameter(help="Write into this folder rather than in place.")
    ] = None,
    jpeg_quality: Annotated[int | None, Parameter(help="1 to 100; 95 unless given.")] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Change the size or the face type of a faceset, from its pictures or from the footage.

    Landmarks, polygons and masks follow. The pictures from before move to `aligned_original`,
    and `faceloom faceset undo` brings them back. The run may be stopped at any time; the same
    command goes on, and the faceset changes only when all faces are done.

    **Example**

        faceloom faceset resize src --size 384 --face-type f

        faceloom faceset resize src --size estimated --from footage
    """
    from faceloom.stages.faceset.resize import ResizeConfig, run

    config = build_config(
        ResizeConfig,
        set_,
        stage="resize",
        workspace=workspace,
        faceset=faceset,
        size=size,
        face_type=face_type,
        source=from_,
        footage=footage,
        allow_borders=allow_borders or None,
        to=to,
        jpeg_quality=jpeg_quality,
    )
    run_stage(run, config, json=json, verbose=verbose)
