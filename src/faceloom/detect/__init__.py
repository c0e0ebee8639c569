"""Finding faces: detectors, landmarkers, the search in turned pictures, tracking.

A custom detector or landmarker needs the methods of `Detector` or `Landmarker`.
"""

from faceloom.detect.finder import MIN_FACE_PX, FaceFinder, Turn, Turns
from faceloom.detect.manual import ManualFaces, read_manual, template_landmarks
from faceloom.detect.merged import MergedDetector
from faceloom.detect.networks.mesh import MeshLandmarker
from faceloom.detect.networks.yunet import YuNet
from faceloom.detect.points import MESH_TO_68, mesh_to_68
from faceloom.detect.registry import DETECTORS, LANDMARKERS, open_finder
from faceloom.detect.tracking.tracker import SceneCuts, Tracker
from faceloom.detect.types import (
    Detection,
    Detector,
    FaceLandmarks,
    FoundFace,
    Landmarker,
    Region,
    Seed,
)

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
    "ManualFaces",
    "MergedDetector",
    "MeshLandmarker",
    "Region",
    "SceneCuts",
    "Seed",
    "Tracker",
    "Turn",
    "Turns",
    "YuNet",
    "mesh_to_68",
    "open_finder",
    "read_manual",
    "template_landmarks",
]
