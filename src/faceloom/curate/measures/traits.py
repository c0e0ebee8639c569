"""What a face shows that a swap has to imitate, as numbers that are comparable between facesets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faceloom.curate.table import FaceTable
from faceloom.geometry import PADDING

# The measures that `traits_of` needs.
TRAIT_COLUMNS: Final = (
    "pitch_deg",
    "yaw_deg",
    "source_size",
    "light",
    "brightness",
    "mouth_open",
    "eyes_closed",
    "gaze",
    "blendshapes",
)


@dataclass(frozen=True)
class Expression:
    """One part of an expression, in words, and how far apart two similar values may be."""

    name: str
    more: str
    """What a face with more of it does, completed by "than …"."""
    less: str
    more_shot: str
    """What to film to get more of it."""
    less_shot: str
    tolerance: float


# The parts of an expression that are compared. Between neighbouring frames of talking people, 19 of
# 20 differences are smaller than half the tolerance.
EXPRESSIONS: Final = (
    Expression(
        "mouth_open",
        "opens the mouth wider",
        "closes the mouth further",
        "a wide open mouth (talking, laughing, 'ah')",
        "a closed mouth",
        0.2,
    ),
    Expression(
        "smile", "smiles more", "smiles less", "a broad smile", "a face without a smile", 0.35
    ),
    Expression(
        "lips_pursed",
        "purses the lips more",
        "purses the lips less",
        "pursed lips (talking, 'oo')",
        "relaxed lips",
        0.4,
    ),
    Expression(
        "eyes_closed",
        "closes the eyes further",
        "opens the eyes wider",
        "closed eyes (blinks)",
        "wide open eyes",
        0.35,
    ),
    Expression(
        "brows_raised",
        "raises the brows more",
        "raises the brows less",
        "raised brows",
        "brows at rest",
        0.35,
    ),
    Expression(
        "brows_lowered",
        "draws the brows down more",
        "draws the brows down less",
        "lowered brows",
        "relaxed brows",
        0.4,
    ),
    Expression(
        "gaze_right",
        "turns the eyes further to the picture's right",
        "turns the eyes further to the picture's left",
        "eyes turned to the picture's right",
        "eyes turned to the picture's left",
        14,
    ),
    Expression(
        "gaze_down",
        "turns the eyes further down",
        "turns the eyes further up",
        "lowered eyes",
        "raised eyes",
        14,
    ),
)

# Rows of the 52 coefficients in the order of MediaPipe's face_blendshapes model.
_BROWS_DOWN: Final = (1, 2)
_BROWS_UP: Final = (3, 4, 5)
_PURSED: Final = (32, 38)
_SMILE: Final = (44, 45)
_FULL_FACE_SIDES: Final = 1 + 2 * np.sqrt(2) * PADDING["full_face"]


@dataclass(frozen=True, eq=False)
class Traits:
    """The traits of n faces. What was not measured is NaN."""

    pose: NDArray[np.float64]
    """n 2: yaw (> 0: nose toward the picture's left) and pitch (> 0: up) in degrees."""
    expression: NDArray[np.float64]
    """n x the parts in `EXPRESSIONS`."""
    light: NDArray[np.float64]
    """n 3: towards the light (x right, y down, z to the viewer); longer is more directional."""
    brightness: NDArray[np.float64]
    """n: 0 black to 1 white."""
    size_px: NDArray[np.float64]
    """n: side of the face's full_face crop in its frame, whatever the faceset's face type."""

    def __len__(self) -> int:
        return len(self.pose)

    def mirrored(self) -> Traits:
        """The mirror images of these faces."""
        pose, expression, light = self.pose.copy(), self.expression.copy(), self.light.copy()
        pose[:, 0] *= -1
        expression[:, [part.name for part in EXPRESSIONS].index("gaze_right")] *= -1
        light[:, 0] *= -1
        return Traits(pose, expression, light, self.brightness, self.size_px)

    def joined(self, other: Traits) -> Traits:
        """These faces, then the others."""
        return Traits(
            np.concatenate([self.pose, other.pose]),
            np.concatenate([self.expression, other.expression]),
            np.concatenate([self.light, other.light]),
            np.concatenate([self.brightness, other.brightness]),
            np.concatenate([self.size_px, other.size_px]),
        )


def traits_of(table: FaceTable) -> Traits:
    """Return the traits of a table's faces; `InputError` when one of `TRAIT_COLUMNS` is missing."""
    shapes = _floats(table, "blendshapes", 52)
    gaze = _floats(table, "gaze", 2)
    parts = {
        "mouth_open": _floats(table, "mouth_open"),
        "smile": shapes[:, _SMILE].mean(1),
        "lips_pursed": shapes[:, _PURSED].max(1),
        "eyes_closed": _floats(table, "eyes_closed"),
        "brows_raised": _from_rest(shapes[:, _BROWS_UP].mean(1)),
        "brows_lowered": _from_rest(shapes[:, _BROWS_DOWN].mean(1)),
        "gaze_right": gaze[:, 0],
        "gaze_down": gaze[:, 1],
    }
    return Traits(
        pose=np.stack([_floats(table, "yaw_deg"), _floats(table, "pitch_deg")], 1),
        expression=np.stack([parts[part.name] for part in EXPRESSIONS], 1),
        light=_floats(table, "light", 3),
        brightness=_floats(table, "brightness") / 255,
        size_px=_floats(table, "source_size") * _to_full_face(table),
    )


def known(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows (n x d) are complete."""
    return np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def _floats(table: FaceTable, name: str, width: int | None = None) -> NDArray[np.float64]:
    column = np.asarray(table.column(name), dtype=np.float64)
    return column.reshape((len(table),) if width is None else (len(table), width))


def _from_rest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values minus their median: brows at rest differ so much between people that only their
    movement is comparable."""
    return values - np.nanmedian(values) if np.isfinite(values).any() else values


def _to_full_face(table: FaceTable) -> NDArray[np.float64]:
    """Factors from a crop's side to that of a full_face crop; for a whole frame, `source_size` is
    the side of a whole_face crop."""
    factors: dict[Any, float] = {
        kind: _FULL_FACE_SIDES / (1 + 2 * np.sqrt(2) * padding) for kind, padding in PADDING.items()
    }
    factors["mark_only"] = factors["whole_face"]
    return np.array([factors[record.face_type] for record in table.records], np.float64)
