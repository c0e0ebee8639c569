"""`faceloom frames`: write footage out as pictures."""

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


def frames(
    side: Annotated[Literal["src", "dst"], Parameter(help="Whose video.")],
    /,
    *,
    format_: Annotated[
        Literal["png", "jpg"] | None,
        Parameter(name="--format", help="png (lossless, the default) or jpg (small)."),
    ] = None,
    jpeg_quality: Annotated[int | None, Parameter(help="1 to 100; 95 unless given.")] = None,
    fps: Annotated[
        float | None, Parameter(help="Pictures a second; 0, the default, takes every frame.")
    ] = None,
    deep: Annotated[
        bool | None,
        Parameter(negative="", help="Keep more than 8 bits, in 16-bit PNG."),
    ] = None,
    output: Annotated[
        Path | None, Parameter(help="The folder; default: data_src or data_dst.")
    ] = None,
    redo: Annotated[
        bool | None,
        Parameter(negative="", help="Delete pictures of another dump in that folder first."),
    ] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write a side's video out as pictures: 00001.png and so on, with their times in frames.json.

    No other command needs this: faces are extracted from videos as they are. Run again after a
    stop, it goes on with the pictures that are missing.

    **Example**

        faceloom frames dst

        faceloom frames src --format jpg --fps 5 --output stills
    """
    from faceloom.stages.frames import FramesConfig, run

    config = build_config(
        FramesConfig,
        set_,
        stage="frames",
        workspace=workspace,
        side=side,
        format=format_,
        jpeg_quality=jpeg_quality,
        fps=fps,
        deep=deep,
        output=output,
        redo=redo,
    )
    run_stage(run, config, json=json, verbose=verbose)
