"""Where the faces are: detectors, landmarkers, the search over turns, tracks.

A detector or landmarker of your own needs the methods of `Detector` or `Landmarker`.
"""

from faceloom.detect.finder import (
    DETECTORS,
    LANDMARKERS,
    MIN_FACE_PX,
    FaceFinder,
    open_finder,
)
from faceloom.detect.mesh import MeshLandmarker
from faceloom.detect.points import MESH_TO_68, mesh_to_68
from faceloom.detect.tracker import SceneCuts, Tracker
from faceloom.detect.types import (
    Detection,
    Detector,
    FaceLandmarks,
    FoundFace,
    Landmarker,
    Region,
    Seed,
)
from faceloom.detect.yunet import YuNet

__all__ = [
    "DETECTORS",
    "LANDMARKERS",
    "MESH_TO_68",
    "MIN_FACE_PX",
    "Detection",
    "Detector",
    "FaceFinder",
    "FaceLandmarks",
    "FoundFace",
    "Landmarker",
    "MeshLandmarker",
    "Region",
    "SceneCuts",
    "Seed",
    "Tracker",
    "YuNet",
    "mesh_to_68",
    "open_finder",
]
