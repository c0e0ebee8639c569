"""`faceloom encode`: make the result video of the merged frames."""

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

# The same words as `media.VideoCodec` and `media.Preset`, which help must not have to import.
CodecWord = Literal["h264", "h265", "prores", "ffv1", "h264-lossless"]
PresetWord = Literal[
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
]


def encode(
    *,
    codec: Annotated[
        CodecWord | None,
        Parameter(help="h264 unless given; h265 for footage of more than 8 bits."),
    ] = None,
    crf: Annotated[
        float | None,
        Parameter(help="Quality of h264 and h265, 0 to 51, lower is better; default 16 and 18."),
    ] = None,
    bitrate: Annotated[
        int | None, Parameter(help="Bits a second of h264 and h265, instead of a quality.")
    ] = None,
    preset: Annotated[
        PresetWord | None,
        Parameter(help="Slower makes smaller files of h264 and h265; medium unless given."),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(help="The video; default: result.mp4 (.mkv, .mov) in the workspace."),
    ] = None,
    masks: Annotated[
        bool | None, Parameter(help="Make a video of the masks, too; the default.")
    ] = None,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a video of the merged frames: dst's time stamps, colours and sound, and a signed label.

    The audio is copied as it is. ffv1 and h264-lossless keep every pixel of the merged frames;
    prores is for editing. Nothing is left behind when it is stopped.

    **Example**

        faceloom encode

        faceloom encode --codec prores --output cut.mov
    """
    from faceloom.stages.encode import EncodeConfig, run

    config = build_config(
        EncodeConfig,
        set_,
        stage="encode",
        workspace=workspace,
        codec=codec,
        crf=crf,
        bitrate=bitrate,
        preset=preset,
        output=output,
        masks=masks,
    )
    run_stage(run, config, json=json, verbose=verbose)
