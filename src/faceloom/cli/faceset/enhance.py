"""`faceloom faceset enhance`: sharper faces by super-resolution."""

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


def enhance(
    faceset: Annotated[str, Parameter(help="src, dst or a folder of faces.")],
    /,
    *,
    strength: Annotated[
        float | None, Parameter(help="How much of the enhanced picture is mixed in, up to 1.")
    ] = None,
    scale: Annotated[
        Literal[1, 2, 4] | None, Parameter(help="How much larger the new pictures are; 1: not.")
    ] = None,
    detail: Annotated[
        Literal["frame", "picture"] | None,
        Parameter(help="Enhance at the size in the frame (the default) or at the stored one."),
    ] = None,
    jpeg_quality: Annotated[int | None, Parameter(help="1 to 100; 95 unless given.")] = None,
    again: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Also those enhanced before."),
    ] = False,
    device: Annotated[str | None, Parameter(help="auto, cpu, cuda, cuda:1 … or mps.")] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make blurred or small faces sharper with a super-resolution network (Real-ESRGAN).

    The pictures from before move to `aligned_original`, and `faceloom faceset undo` brings them
    back. The run may be stopped at any time; the same command goes on, and the faceset changes
    only when all faces are done.

    **Example**

        faceloom faceset enhance src --strength 0.7
    """
    from faceloom.stages.faceset.enhance import EnhanceConfig, run

    config = build_config(
        EnhanceConfig,
        set_,
        stage="enhance",
        workspace=workspace,
        faceset=faceset,
        strength=strength,
        scale=scale,
        detail=detail,
        jpeg_quality=jpeg_quality,
        again=again or None,
        device=device,
    )
    run_stage(run, config, json=json, verbose=verbose)
