"""An expression by name: which of the 52 coefficients is meant."""

from __future__ import annotations

from faceloom.core import InputError
from faceloom.geometry import BLENDSHAPES


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
