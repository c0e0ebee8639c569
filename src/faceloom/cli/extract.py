"""`faceloom extract`: find, align and store the faces of src or dst."""

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

# The same words as `geometry.FaceType` and its short names, which help must not have to import.
FaceTypeWord = Literal[
    "half_face",
    "midfull_face",
    "full_face",
    "full_face_no_align",
    "whole_face",
    "head",
    "head_no_align",
    "mark_only",
    "h",
    "mf",
    "f",
    "wf",
]


def extract(
    side: Annotated[Literal["src", "dst"], Parameter(help="Whose faces.")],
    /,
    *,
    face_type: Annotated[
        FaceTypeWord | None,
        Parameter(help="How much of the head a face shows (whole_face unless given)."),
    ] = None,
    image_size: Annotated[
        int | Literal["estimated"] | None,
        Parameter(
            help="Side of the faces in pixels: 512, or 768 for head; estimated: each its own."
        ),
    ] = None,
    format_: Annotated[
        Literal["jpg", "png"] | None,
        Parameter(name="--format", help="jpg (the default, DFL reads it) or png (lossless)."),
    ] = None,
    jpeg_quality: Annotated[int | None, Parameter(help="1 to 100; 90 unless given.")] = None,
    max_faces: Annotated[
        int | None, Parameter(help="Most faces of a frame, largest first; 0, the default: all.")
    ] = None,
    min_face_px: Annotated[
        int | None,
        Parameter(help="Leave out faces smaller than this in the frame; 12 unless given."),
    ] = None,
    detector: Annotated[
        str | None,
        Parameter(
            help="yunet (the default), centerface, mtcnn, dlib, s3fd, manual; several with commas."
        ),
    ] = None,
    landmarker: Annotated[
        str | None, Parameter(help="mesh-478 (the default), 2dfan or 3dfan.")
    ] = None,
    manual_file: Annotated[
        Path | None, Parameter(help="JSON file with the faces of the detector manual.")
    ] = None,
    turns: Annotated[
        str | None,
        Parameter(help="auto (the default), or always these turns of frames: 0,90,180,270."),
    ] = None,
    detector_size: Annotated[
        int | None,
        Parameter(help="Longer side at which frames are searched (640); more for tiny faces."),
    ] = None,
    tracking: Annotated[
        Literal["auto", "on", "off"] | None,
        Parameter(help="Follow faces from frame to frame; auto: in videos, not among pictures."),
    ] = None,
    smooth: Annotated[
        float | None,
        Parameter(
            help="Steady the points of followed faces in time: 0 (off) to 1; 0.5 unless given."
        ),
    ] = None,
    join: Annotated[
        bool | None,
        Parameter(help="Give a person who comes back the same track number, by identity (yes)."),
    ] = None,
    who: Annotated[
        str | None,
        Parameter(help="Keep only this person: a name, a picture, or a folder of pictures."),
    ] = None,
    debug: Annotated[
        bool | None, Parameter(help="Also write frames with landmarks drawn, to aligned_debug.")
    ] = None,
    redo: Annotated[
        Literal["debug", "faces", "empty"] | None,
        Parameter(
            help="Of a finished extraction, only frames whose debug picture or face you deleted, "
            "or without a face."
        ),
    ] = None,
    restart: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Extract anew; faces there move to aligned_old.",
        ),
    ] = False,
    set_: SetOption = (),
    workspace: WorkspaceOption = Path(),
    json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find the faces in the footage of src or dst, align them and store them in `aligned`.

    Every face is a picture that carries its own metadata: sort, copy and delete them with any
    file manager. The run may be stopped at any time; the same command goes on where it was, and
    faces you deleted stay deleted.

    **Example**

        faceloom extract dst --debug

        faceloom extract src --face-type head --max-faces 1 -w cast

        faceloom extract dst --who anna.jpg

        faceloom extract dst --redo empty --detector centerface --detector-size 1280
    """
    from faceloom.stages.extract import ExtractConfig, run

    config = build_config(
        ExtractConfig,
        set_,
        stage="extract",
        workspace=workspace,
        side=side,
        face_type=face_type,
        image_size=image_size,
        format=format_,
        jpeg_quality=jpeg_quality,
        max_faces=max_faces,
        min_face_px=min_face_px,
        detector=detector,
        landmarker=landmarker,
        manual_file=manual_file,
        turns=turns,
        detector_size=detector_size,
        tracking=tracking,
        smooth=smooth,
        join=join,
        who=who,
        debug=debug,
        redo=redo,
        restart=restart or None,
    )
    run_stage(run, config, json=json, verbose=verbose)
