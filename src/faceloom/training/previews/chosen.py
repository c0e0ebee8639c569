"""Preview faces that the user has chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError
from faceloom.samples import SampleStore

_SUGGESTIONS: Final = 3


def choose_named(store: SampleStore, names: Sequence[str], count: int) -> NDArray[np.int64]:
    """Indices (count,) of the faces called `names`, file names with or without their suffix.

    In the order given; names beyond `count` are left out, and where there are fewer they are
    repeated. Raises `InputError` for a name that the faceset does not have, telling close ones,
    and for one without suffix that several files have.
    """
    if not names:
        raise InputError("preview faces: name one at least")
    places = {name: index for index, name in enumerate(store.names)}
    chosen = [_place(name, places) for name in names]
    return np.array([chosen[i % len(chosen)] for i in range(count)], np.int64)


def _place(name: str, places: dict[str, int]) -> int:
    if name in places:
        return places[name]
    of_stem = [known for known in places if PurePath(known).stem == name]
    if len(of_stem) == 1:
        return places[of_stem[0]]
    if of_stem:
        raise InputError(f"preview face {name!r}: several have that name: {', '.join(of_stem)}")
    close = get_close_matches(name, places, n=_SUGGESTIONS)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has {_some(list(places))}"
    raise InputError(f"preview face {name!r}: the faceset has no such face; {hint}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SUGGESTIONS])
    return f"{shown} …" if len(names) > _SUGGESTIONS else shown
