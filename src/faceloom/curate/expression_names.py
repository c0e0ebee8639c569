"""The names of the 52 coefficients of an expression, as in ARKit and MediaPipe's model."""

from __future__ import annotations

from typing import Final

from faceloom.core import InputError

_NAMES = (
    "_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff "
    "cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight "
    "eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight "
    "eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight "
    "mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel "
    "mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker "
    "mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
    "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight "
    "noseSneerLeft noseSneerRight"
)
BLENDSHAPES: Final = tuple(_NAMES.split(" "))
"""In the order of the column `blendshapes`. Left and right are the person's own."""


def blendshape_columns(name: str) -> list[int]:
    """Columns of a coefficient, or of both sides of it: `mouthSmile` is the left and the right.

    Case does not matter. Raises `InputError` with the names nearest in spelling.
    """
    from difflib import get_close_matches

    lowered = [known.lower() for known in BLENDSHAPES]
    wanted = name.lower()
    if wanted in lowered:
        return [lowered.index(wanted)]
    both = [lowered.index(wanted + s) for s in ("left", "right") if wanted + s in lowered]
    if len(both) == 2:
        return both
    close = get_close_matches(wanted, lowered, n=3, cutoff=0.4)
    shown = [BLENDSHAPES[lowered.index(one)] for one in close] or BLENDSHAPES[1:]
    raise InputError(f"no expression is called {name!r}; such as {', '.join(shown)}")
