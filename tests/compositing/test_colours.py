"""Every colour transfer in a merge: a face of the wrong colours comes out in the frame's."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from faceloom.color import TransferName
from faceloom.compositing import FaceGeometry, MergeSettings, SwappedFace, composite
from merge_scenes import landmarks_at, record_of, smooth_frame

N = 48
GEOMETRY = FaceGeometry(N, "whole_face")


def tinted(crops: np.ndarray) -> list[SwappedFace]:
    full = np.ones((N, N), np.float32)
    colours = np.array([0.5, 0.7, 0.9], np.float32)
    return [SwappedFace((0.1 + 0.6 * crop * colours), full, full) for crop in crops]


@pytest.mark.parametrize("mode", [m for m in get_args(TransferName) if m != "none"])
@pytest.mark.parametrize("statistics", ["black", "inside"])
def test_colours_come_from_the_frame(mode: TransferName, statistics: str) -> None:
    plain, recoloured = (
        off_colour({"color_transfer": m, "color_statistics": statistics}) for m in ("none", mode)
    )
    assert plain > 0.1
    # idt goes two thirds of the way, as in DFL.
    assert recoloured < (0.45 if mode == "idt" else 0.2) * plain


def off_colour(options: dict[str, str]) -> float:
    """How far the merged face's mean colour is from that of the frame in its place."""
    frame = smooth_frame((160, 160))
    base = {"mask_mode": "learned-prd", "blur": 0}
    face = record_of(landmarks_at((80, 80), 0.25))
    settings = MergeSettings.model_validate(base | options)
    result = composite(frame, [face], tinted, settings, GEOMETRY)
    inside = result.mask > 250
    assert inside.any()
    off = result.image[inside].astype(float).mean(0) - frame[inside].mean(0)
    return float(np.abs(off).mean()) / 255
