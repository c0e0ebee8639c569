"""`faceloom coverage`: what dst shows that src lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from faceloom.cli.common import (
    JsonOption,
    SetOption,
    VerboseOption,
    WorkspaceOption,
    build_config,
    run_stage,
)


def coverage(
    *,
    src: Annotated[
        str | None, Parameter(help="The faces that are trained: src, or a folder of faces.")
    ] = None,
    dst: Annotated[
        str | None, Parameter(help="The faces to be replaced: dst, or a folder of faces.")
    ] = None,
    html: Annotated[
        Path | None, Parameter(help="The page; coverage.html in the workspace unless given.")
    ] = None,
    png: Annotated[
        Path | None, Parameter(help="The picture; coverage.png in the workspace unless given.")
    ] = None,
    pose_tolerance_deg: Annotated[
        float | None, Parameter(help="How far apart two heads may look, in degrees; 8.")
    ] = None,
    enough: Annotated[
        int | None, Parameter(help="So many src faces must be near for a dst face; 3.")
    ] = None,
    flip_src: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Count src's mirror images, as training with random_src_flip does.",
        ),
    ] = False,
    trash_unused: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Move src faces that look where no dst face does to aligned_trash.",
        ),
    ] = False,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare src's faces with dst's: head pose, expression, light, size and brightness.

    Tells in words which dst faces have no src like them, and what footage to look for; draws heat
    maps into coverage.html and coverage.png.

    **Example**

        faceloom coverage -w cast

        faceloom coverage --src takes/anna --dst data_dst/aligned --json
    """
    from faceloom.stages.curate.coverage import CoverageConfig, run

    config = build_config(
        CoverageConfig,
        set_,
        stage="coverage",
        workspace=workspace,
        src=src,
        dst=dst,
        html=html,
        png=png,
        pose_tolerance_deg=pose_tolerance_deg,
        enough=enough,
        flip_src=flip_src or None,
        trash_unused=trash_unused or None,
    )
    run_stage(run, config, json=json, verbose=verbose)
