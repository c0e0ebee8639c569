"""Find an expression coefficient by its name."""

from __future__ import annotations

from faceloom.core import InputError
from faceloom.geometry import BLENDSHAPES


def blendshape_columns(name: str) -> list[int]:
    """Columns of a coefficient, or of both its sides: `mouthSmile` is the left and the right one.

    Case does not matter. Raises `InputError` that suggests similar names.
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
    raise InputError(f"unknown expression {name!r}; did you mean one of {', '.join(shown)}?")
