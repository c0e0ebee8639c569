"""From a frame and its found faces to files: align, embed the metadata, encode, write."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from faceloom.core import InputError, atomic_write
from faceloom.detect import FoundFace
from faceloom.faces import FaceRecord, FaceSuffix, OwnMetadata, draw_debug, encode_face
from faceloom.geometry import (
    FaceType,
    crop_area,
    frame_to_face,
    pose_in_frame,
    transform_points,
    warp_to_face,
)
from faceloom.media import Frame

_DEBUG_QUALITY = 50
_OWN_SIZES_PX = (64, 2048)


@dataclass(frozen=True)
class FaceWriter:
    """Writes the faces of one frame after the other; has no state, so threads may share it."""

    folder: Path
    debug_folder: Path | None
    face_type: FaceType
    size_px: int | None
    """Side of the pictures; None: of each face the size that it has in its frame."""
    suffix: FaceSuffix
    jpeg_quality: int
    pixel_aspect: float

    def write(self, frame: Frame, faces: list[FoundFace]) -> int:
        """Write `<frame stem>_<k>` for each face, k counting the written ones; return how many.

        A face whose landmarks allow no alignment is left out. Raises `InputError` when a file
        cannot be written.
        """
        stem = PurePath(frame.name).stem
        records: list[tuple[FaceRecord, int]] = []
        for face in faces:
            try:
                image, record = self.align(frame, face)
            except InputError:
                continue
            data = encode_face(image, record, self.suffix, self.jpeg_quality)
            _write(self.folder / f"{stem}_{len(records)}{self.suffix}", data)
            records.append((record, image.shape[0]))
        if self.debug_folder is not None:
            self._write_debug(self.debug_folder / f"{stem}.jpg", frame, records)
        return len(records)

    def add(
        self, frame: Frame, faces: list[FoundFace], there: list[FaceRecord], *, taken: set[str]
    ) -> list[FaceRecord]:
        """Write `faces` beside those of the frame that are `there`, under free names; return the
        records written. `taken` holds the stems of the folder's files and grows."""
        stem, number = PurePath(frame.name).stem, 0
        records: list[tuple[FaceRecord, int]] = []
        for face in faces:
            try:
                image, record = self.align(frame, face)
            except InputError:
                continue
            while f"{stem}_{number}" in taken:
                number += 1
            taken.add(f"{stem}_{number}")
            data = encode_face(image, record, self.suffix, self.jpeg_quality)
            _write(self.folder / f"{stem}_{number}{self.suffix}", data)
            records.append((record, image.shape[0]))
        if self.debug_folder is not None:
            before = [(record, _side_px(record)) for record in there]
            self._write_debug(self.debug_folder / f"{stem}.jpg", frame, [*before, *records])
        return [record for record, _ in records]

    def align(self, frame: Frame, face: FoundFace) -> tuple[NDArray[np.uint8], FaceRecord]:
        """The face's picture and its record. Raises `InputError` for degenerate landmarks."""
        pose = _pose(face.landmarks, self.pixel_aspect)
        if self.face_type == "mark_only":
            matrix, landmarks, image = None, face.landmarks, frame.image
        else:
            size_px = self.size_px or self._own_size_px(face)
            matrix = frame_to_face(
                face.landmarks, size_px, self.face_type, pixel_aspect=self.pixel_aspect
            )
            landmarks = transform_points(face.landmarks, matrix)
            image = warp_to_face(frame.image, matrix, size_px, antialias=True)
        record = FaceRecord(
            face_type=self.face_type,
            landmarks=landmarks.astype(np.float32),
            source_filename=frame.name,
            source_rect=np.array(face.rect),
            source_landmarks=face.landmarks,
            image_to_face_mat=matrix,
            own=OwnMetadata(
                frame_index=frame.index,
                time=frame.time,
                track=face.track,
                detector=face.detector,
                score=round(face.score, 4),
                presence=round(face.presence, 3),
                pixel_aspect=self.pixel_aspect,
                pose=pose,
                turn_deg=face.turn_deg,
            ),
        )
        return np.asarray(image, dtype=np.uint8), record

    def _own_size_px(self, face: FoundFace) -> int:
        """Side of the face's crop in pixels of the frame as shown: even, 64 to 2048."""
        matrix = frame_to_face(face.landmarks, 1, self.face_type, pixel_aspect=self.pixel_aspect)
        side_px = math.sqrt(crop_area(matrix, 1) * self.pixel_aspect)
        return int(np.clip(2 * round(side_px / 2), *_OWN_SIZES_PX))

    def _write_debug(self, path: Path, frame: Frame, records: list[tuple[FaceRecord, int]]) -> None:
        picture = np.asarray(frame.image, dtype=np.uint8)
        for record, size_px in records:
            picture = draw_debug(picture, [record], size_px)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _DEBUG_QUALITY])
        if not done:
            raise InputError(f"{path}: the debug picture cannot be encoded")
        _write(path, data.tobytes())


def _side_px(record: FaceRecord) -> int:
    """The side of a stored face's crop, which its matrix tells up to its scale: by its type."""
    if record.image_to_face_mat is None:
        return 0
    whole = frame_to_face(
        record.source_landmarks,
        1,
        record.face_type,
        pixel_aspect=record.own.pixel_aspect if record.own else 1.0,
    )
    areas = (np.linalg.det(matrix[:, :2]) for matrix in (record.image_to_face_mat, whole))
    of_face, of_unit = areas
    return round(math.sqrt(abs(of_face / of_unit)))


def _pose(landmarks: NDArray[np.float32], pixel_aspect: float) -> tuple[float, float, float] | None:
    """As `pose_in_frame`, to the hundredth of a degree: no landmark is more exact."""
    pose = pose_in_frame(landmarks, pixel_aspect=pixel_aspect)
    if pose is None:
        return None
    pitch_deg, yaw_deg, roll_deg = (round(angle, 2) for angle in pose)
    return pitch_deg, yaw_deg, roll_deg


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data, durable=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
