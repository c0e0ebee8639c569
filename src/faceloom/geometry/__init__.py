"""Landmarks, face types, alignment, masks and pose: the geometry of a face, in NumPy.

Points are (x, y) with pixel centres at integer coordinates; sizes are (h, w); matrices are 2x3
float64 and named by direction. docs/internals/alignment.md has the formulas.
"""

from faceloom.geometry.align import (
    crop_area,
    crop_corners,
    frame_roll,
    frame_to_face,
    invert_affine,
    rect_from_landmarks,
    transform_points,
    umeyama,
)
from faceloom.geometry.expression import BLENDSHAPES
from faceloom.geometry.facetype import FACE_TYPES, PADDING, SHORT, FaceType, covers, face_type
from faceloom.geometry.landmarks import (
    MIRROR,
    PARTS,
    five_points,
    mirror_landmarks,
)
from faceloom.geometry.masks import (
    expand_brows,
    eyes_mask,
    eyes_mouth_mask,
    hull_mask,
    mouth_mask,
)
from faceloom.geometry.pose import Pose, head_pose, pose_in_frame
from faceloom.geometry.tables import (
    ALIGNED_LANDMARKS,
    ARCFACE_POINTS,
    MODEL_POINTS_3D,
    TEMPLATE_POINTS,
)
from faceloom.geometry.warp import (
    BORDERS,
    INTERPOLATIONS,
    Border,
    Interpolation,
    warp_to_face,
    warp_to_frame,
)

__all__ = [
    "ALIGNED_LANDMARKS",
    "ARCFACE_POINTS",
    "BLENDSHAPES",
    "BORDERS",
    "FACE_TYPES",
    "INTERPOLATIONS",
    "MIRROR",
    "MODEL_POINTS_3D",
    "PADDING",
    "PARTS",
    "SHORT",
    "TEMPLATE_POINTS",
    "Border",
    "FaceType",
    "Interpolation",
    "Pose",
    "covers",
    "crop_area",
    "crop_corners",
    "expand_brows",
    "eyes_mask",
    "eyes_mouth_mask",
    "face_type",
    "five_points",
    "frame_roll",
    "frame_to_face",
    "head_pose",
    "hull_mask",
    "invert_affine",
    "mirror_landmarks",
    "mouth_mask",
    "pose_in_frame",
    "rect_from_landmarks",
    "transform_points",
    "umeyama",
    "warp_to_face",
    "warp_to_frame",
]
