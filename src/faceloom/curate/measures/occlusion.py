"""Estimate how much of a face is hidden, from the confidence of the face mesh."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The mesh's presence logit for a fully visible face.
_CLEAR: Final = 18.0
# By how much each degree of yaw lowers the logit of a face that nothing hides.
_PER_DEGREE: Final = 0.1


def occlusion_of(presence: ArrayLike, yaw_deg: ArrayLike) -> NDArray[np.float32]:
    """Return 0 (nothing hidden) to 1 (no face visible) from mesh logits and yaw; NaN stays NaN.

    The presence logit falls with the part of the face that is hidden. Of the networks that are
    used anyway, it separated faces with a hand in front best, also in clips that were not used for
    the fit (docs/measures.md), and a hand that hides nothing does not affect it.
    """
    turned = np.abs(np.nan_to_num(np.asarray(yaw_deg, dtype=np.float32)))
    seen = np.asarray(presence, dtype=np.float32) + np.float32(_PER_DEGREE) * turned
    return np.clip(1 - seen / np.float32(_CLEAR), 0, 1).astype(np.float32)
