"""Colour tags: FFmpeg's numbers and names, defaults for untagged files, matrices.

Sources: ITU-T H.273 (code points), ITU-R BT.601, BT.709, BT.2020.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from faceloom.media.types import ColorTags

MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
}
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    9: "log100",
    10: "log316",
    11: "iec61966-2-4",
    12: "bt1361e",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}
UNSPECIFIED = 2
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})

LUMA = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
    # Constant luminance needs linear light; the non-constant matrix is close and invertible.
    "bt2020c": (0.2627, 0.0593),
}
"""Kr and Kb of each matrix."""

Matrix = npt.NDArray[np.float64]


def name_of(table: dict[int, str], code: int) -> str:
    """The name of a code point, `unknown` when unspecified or reserved."""
    return table.get(code, "unknown")


def code_of(table: dict[int, str], name: str) -> int:
    """The code point of a name; unspecified (2) for `unknown`."""
    return next((code for code, known in table.items() if known == name), UNSPECIFIED)


def decide_tags(
    codes: tuple[int, int, int, int], *, size: tuple[int, int], pix_fmt: str, is_rgb: bool
) -> ColorTags:
    """Tags from the (matrix, range, primaries, transfer) code points of a frame.

    Untagged footage is interpreted as players do: BT.709 from 720 lines or 1280 columns on, else
    BT.601 (as 525 lines below 500, else 625); limited range unless the format says full.
    """
    matrix_code, range_code, primaries_code, transfer_code = codes
    primaries = name_of(PRIMARIES, primaries_code)
    transfer = name_of(TRANSFERS, transfer_code)
    if is_rgb:
        return ColorTags("gbr", "full", primaries, transfer)
    range_: Literal["limited", "full"] = (
        "full" if range_code == 2 or pix_fmt.startswith("yuvj") else "limited"
    )
    matrix = name_of(MATRICES, matrix_code)
    if matrix != "gbr" and matrix != "unknown":
        return ColorTags(matrix, range_, primaries, transfer)
    return ColorTags(guess_matrix(size, primaries), range_, primaries, transfer, guessed=True)


def guess_matrix(size: tuple[int, int], primaries: str = "unknown") -> str:
    """The matrix that untagged footage of `size` (h, w) most likely uses."""
    height, width = size
    if primaries == "bt2020":
        return "bt2020nc"
    if height >= 720 or width >= 1280:
        return "bt709"
    return "smpte170m" if height < 500 else "bt470bg"


def rgb_to_ycc(matrix: str) -> Matrix:
    """3×3 from R'G'B' in [0, 1] to Y in [0, 1] and Cb, Cr in [-0.5, 0.5]."""
    if matrix == "ycgco":
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
    kr, kb = LUMA[matrix]
    kg = 1.0 - kr - kb
    return np.array(
        [
            [kr, kg, kb],
            [-kr / (2 * (1 - kb)), -kg / (2 * (1 - kb)), 0.5],
            [0.5, -kg / (2 * (1 - kr)), -kb / (2 * (1 - kr))],
        ]
    )


def code_scale(bits: int, full: bool) -> tuple[Matrix, Matrix]:
    """(scale, offset) that map (Y, Cb, Cr) to code values of `bits`: `code = scale·v + offset`."""
    step = float(1 << (bits - 8))
    if full:
        top = float((1 << bits) - 1)
        return np.array([top, top, top]), np.array([0.0, 128 * step, 128 * step])
    return np.array([219.0, 224.0, 224.0]) * step, np.array([16.0, 128.0, 128.0]) * step
