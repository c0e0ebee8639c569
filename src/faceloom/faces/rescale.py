"""A face's metadata for its picture at another size."""

from __future__ import annotations

from dataclasses import replace

from faceloom.faces.record import FaceRecord, SegPolygon


def scaled_record(record: FaceRecord, factor: float) -> FaceRecord:
    """The record of the same picture `factor` times as large.

    As DFL does it: landmarks, polygons and matrix are multiplied; the stored mask has a size of
    its own and stays (pipeline.md 5.5). A picture that is the whole frame (`mark_only`) keeps its
    frame landmarks, which are those of the footage.
    """
    if factor == 1:
        return record
    matrix = record.image_to_face_mat
    return replace(
        record,
        landmarks=record.landmarks * factor,
        image_to_face_mat=None if matrix is None else matrix * factor,
        seg_ie_polys=tuple(SegPolygon(p.include, p.points * factor) for p in record.seg_ie_polys),
    )
