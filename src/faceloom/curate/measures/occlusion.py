"""How much of a face is hidden, from how sure the mesh is that it sees one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CLEAR: Final = 18.0
"""Logit of the mesh at a face that is all there."""
_PER_DEGREE: Final = 0.1
"""What each degree of yaw takes off the logit of a face that nothing hides."""


def occlusion_of(presence: ArrayLike, yaw_deg: ArrayLike) -> NDArray[np.float32]:
    """0 (nothing hidden) to 1 (no face to be seen), of faces' mesh logits and yaw; NaN stays NaN.

    The mesh's presence logit falls with what is missing of a face. Of what could be had from
    networks at hand it told faces with a hand before them best, also in clips that nothing was
    fitted on (docs/measures.md); a hand in the same frame that hides nothing does not disturb it.
    """
    turned = np.abs(np.nan_to_num(np.asarray(yaw_deg, dtype=np.float32)))
    seen = np.asarray(presence, dtype=np.float32) + np.float32(_PER_DEGREE) * turned
    return np.clip(1 - seen / np.float32(_CLEAR), 0, 1).astype(np.float32)
