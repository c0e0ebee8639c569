"""Faces as they are stored: pictures that carry their own metadata, and folders of them.

The formats are those of DeepFaceLab (shared reference pipeline.md, section 2), read without
unpickling, plus a block of our own.
"""

from faceloom.faces.debug import draw_debug, draw_landmarks
from faceloom.faces.faceset import Faceset
from faceloom.faces.files.face_file import (
    FaceSuffix,
    decode_picture,
    encode_face,
    encoded_size,
    read_face,
    read_record,
    update_record,
    write_face,
)
from faceloom.faces.index.measures import MeasureCache
from faceloom.faces.index.store import INDEX_NAME
from faceloom.faces.masks import (
    decode_mask,
    encode_mask,
    face_mask,
    has_polygons,
    polygon_mask,
)
from faceloom.faces.moves.moves import (
    Move,
    Moved,
    Operation,
    move_faces,
    operations,
    recover_moves,
    undo_moves,
)
from faceloom.faces.own import OwnMetadata
from faceloom.faces.record import FaceRecord, SegPolygon

__all__ = [
    "INDEX_NAME",
    "FaceRecord",
    "FaceSuffix",
    "Faceset",
    "MeasureCache",
    "Move",
    "Moved",
    "Operation",
    "OwnMetadata",
    "SegPolygon",
    "decode_mask",
    "decode_picture",
    "draw_debug",
    "draw_landmarks",
    "encode_face",
    "encode_mask",
    "encoded_size",
    "face_mask",
    "has_polygons",
    "move_faces",
    "operations",
    "polygon_mask",
    "read_face",
    "read_record",
    "recover_moves",
    "undo_moves",
    "update_record",
    "write_face",
]
