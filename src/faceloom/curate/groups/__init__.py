"""Group faces by person, and find near-duplicates."""

from faceloom.curate.groups.clusters import Clusters, cluster_faces, face_trust
from faceloom.curate.groups.duplicates import (
    STRENGTHS,
    Duplicates,
    FaceTraits,
    Limits,
    find_duplicates,
    keep_order,
)

__all__ = [
    "STRENGTHS",
    "Clusters",
    "Duplicates",
    "FaceTraits",
    "Limits",
    "cluster_faces",
    "face_trust",
    "find_duplicates",
    "keep_order",
]
