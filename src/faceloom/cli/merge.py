"""`faceloom merge`: put the trained face on dst's footage."""

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

# The same words as the settings', which help must not have to import.
ModelWord = Literal["SAEHD", "AMP", "Quick96"]
MaskModeWord = Literal[
    "full",
    "dst",
    "learned-prd",
    "learned-dst",
    "learned-prd*learned-dst",
    "learned-prd+learned-dst",
]
CodecWord = Literal["h264", "h265", "prores", "ffv1", "h264-lossless"]


def merge(
    model: Annotated[
        ModelWord | None, Parameter(help="Class of the model; needed when there are several.")
    ] = None,
    /,
    *,
    name: Annotated[
        str | None, Parameter(help="Name of the model; needed when there are several.")
    ] = None,
    mask_mode: Annotated[
        MaskModeWord | None,
        Parameter(help="Which area is replaced; learned-prd*learned-dst is the default."),
    ] = None,
    erode: Annotated[
        int | None,
        Parameter(help="Shrink the mask (-400 to 400, below 0 grows it), in quarter model pixels."),
    ] = None,
    blur: Annotated[
        int | None,
        Parameter(help="Soften the mask's edge (0 to 400, default 32), in quarter model pixels."),
    ] = None,
    face_scale: Annotated[
        int | None, Parameter(help="Enlarge or shrink the face, -50 to 50 percent.")
    ] = None,
    color_transfer: Annotated[
        Literal["none", "rct", "lct", "mkl", "idt", "sot"] | None,
        Parameter(help="Match the face's colours to the frame's (default: rct)."),
    ] = None,
    set_: SetOption = (),
    to_video: Annotated[
        bool | None,
        Parameter(negative="", help="Write a signed video at once instead of pictures."),
    ] = None,
    output: Annotated[
        Path | None, Parameter(help="The video; default: result.mp4 in the workspace.")
    ] = None,
    codec: Annotated[CodecWord | None, Parameter(help="The video's codec.")] = None,
    crf: Annotated[
        float | None, Parameter(help="The video's quality, 0 to 51; lower is better.")
    ] = None,
    bitrate: Annotated[
        int | None, Parameter(help="The video's bits a second, instead of a quality.")
    ] = None,
    redo: Annotated[
        bool | None, Parameter(negative="", help="Make finished frames again, too.")
    ] = None,
    device: Annotated[
        str | None, Parameter(help="auto (the default), cpu, cuda, cuda:1 … or mps.")
    ] = None,
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put the trained face on dst's footage: frames and masks, or straight to a video.

    Frames go to data_dst/merged, masks to data_dst/merged_mask; `faceloom encode` makes a video of
    them. Run again after a stop, it goes on; after more training or with other settings, it makes
    anew what they change. Frames without a face pass through untouched.

    **Example**

        faceloom merge --blur 40 --erode 10

        faceloom merge --to-video --codec h265 --set color_statistics=inside
    """
    from faceloom.core.errors import UsageError
    from faceloom.stages.merge.run import MergeConfig, run

    config = build_config(
        MergeConfig,
        set_,
        stage="merge",
        workspace=workspace,
        model=model,
        name=name,
        mask_mode=mask_mode,
        erode=erode,
        blur=blur,
        face_scale=face_scale,
        color_transfer=color_transfer,
        to_video=to_video,
        output=output,
        codec=codec,
        crf=crf,
        bitrate=bitrate,
        redo=redo,
        device=device,
    )
    if not config.to_video:
        given = {"output": output, "codec": codec, "crf": crf, "bitrate": bitrate}
        named = {text.partition("=")[0].strip() for text in set_}
        if any(value is not None or key in named for key, value in given.items()):
            raise UsageError("output, codec, crf and bitrate are for a video: add --to-video")
    run_stage(run, config, json=json, verbose=verbose)
